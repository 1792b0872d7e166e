//! The stand-ins. Each asks the run on its thread first, and where there is none the system.
//!
//! They keep the contract of the functions that they stand in for: any thread, any time, no panic. During a run they allocate
//! and look at thread-local state, which a signal handler must not: who asks for the time in one, on a thread that simulates, is
//! not served.
#![expect(unsafe_code, reason = "functions of libc, by their names and with their contracts")]
#![expect(clippy::cast_possible_truncation, reason = "registers hold what is narrower as a whole")]

use core::slice;
use core::time::Duration;

use libc::{c_int, c_long, c_uint, c_void, clockid_t, size_t, ssize_t, time_t, timespec, timeval};
use mainspring_sim::bypass;

use crate::kernel::{call, fail};
use crate::site::caller;

/// The most that `getentropy` gives.
const ENTROPY_MAX: usize = 256;

/// What the run on this thread shows on one of the system's clocks. The time that a processor took is that which passed. `None`:
/// there is no run, or it is a clock of another process or of a device.
fn shown(clock: clockid_t) -> Option<Duration> {
    match clock {
        libc::CLOCK_REALTIME
        | libc::CLOCK_REALTIME_COARSE
        | libc::CLOCK_REALTIME_ALARM
        | libc::CLOCK_TAI => bypass::date(caller),
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_BOOTTIME
        | libc::CLOCK_BOOTTIME_ALARM
        | libc::CLOCK_PROCESS_CPUTIME_ID
        | libc::CLOCK_THREAD_CPUTIME_ID => bypass::time(caller),
        _ => None,
    }
}

fn seconds(duration: Duration) -> time_t {
    time_t::try_from(duration.as_secs()).unwrap_or(time_t::MAX)
}

/// `clock_gettime(2)`.
///
/// # Safety
/// `target` is null, or has room for a time.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: clockid_t, target: *mut timespec) -> c_int {
    if !target.is_null()
        && let Some(duration) = shown(clock)
    {
        let time = timespec { tv_sec: seconds(duration), tv_nsec: duration.subsec_nanos().into() };
        // SAFETY: the caller's promise.
        unsafe { target.write(time) };
        return 0;
    }
    // SAFETY: the kernel writes a time to `target`, or finds that it cannot.
    let result =
        unsafe { call(libc::SYS_clock_gettime, [clock.into(), target as c_long, 0, 0, 0, 0]) };
    result as c_int
}

/// `gettimeofday(2)`.
///
/// # Safety
/// `target` is null, or has room for a time; `zone` is null, or has room for a time zone.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn gettimeofday(target: *mut timeval, zone: *mut c_void) -> c_int {
    if !target.is_null()
        && let Some(date) = bypass::date(caller)
    {
        let time = timeval { tv_sec: seconds(date), tv_usec: date.subsec_micros().into() };
        // SAFETY: the caller's promise.
        unsafe { target.write(time) };
        return 0;
    }
    let arguments = [target as c_long, zone as c_long, 0, 0, 0, 0];
    // SAFETY: the kernel writes to both, or finds that it cannot.
    let result = unsafe { call(libc::SYS_gettimeofday, arguments) };
    result as c_int
}

/// `time(2)`.
///
/// # Safety
/// `target` is null, or has room for a time.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn time(target: *mut time_t) -> time_t {
    let Some(date) = bypass::date(caller) else {
        // SAFETY: the kernel writes a time to `target`, where it is not null.
        return unsafe { call(libc::SYS_time, [target as c_long, 0, 0, 0, 0, 0]) };
    };
    if !target.is_null() {
        // SAFETY: the caller's promise.
        unsafe { target.write(seconds(date)) };
    }
    seconds(date)
}

/// Fills a buffer of a C program with entropy of the run on this thread. `None`: there is no run.
///
/// # Safety
/// `target` has room for `count` bytes.
unsafe fn filled(target: *mut c_void, count: size_t) -> Option<()> {
    if count == 0 {
        return bypass::fill(&mut [], caller);
    }
    if target.is_null() {
        return None;
    }
    // SAFETY: the caller's promise is about room. That the bytes have values is what this makes true first.
    unsafe { target.cast::<u8>().write_bytes(0, count) };
    // SAFETY: it has room for so many bytes, all of them just written, and nobody else has it during the call.
    let target = unsafe { slice::from_raw_parts_mut(target.cast::<u8>(), count) };
    bypass::fill(target, caller)
}

/// `getrandom(2)`.
///
/// # Safety
/// `target` has room for `count` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(
    target: *mut c_void,
    count: size_t,
    flags: c_uint,
) -> ssize_t {
    // SAFETY: the caller's promise.
    if unsafe { filled(target, count) }.is_some() {
        return ssize_t::try_from(count).unwrap_or(ssize_t::MAX);
    }
    let arguments = [target as c_long, count as c_long, flags.into(), 0, 0, 0];
    // SAFETY: the kernel writes so many bytes at most, or finds that it cannot.
    let result = unsafe { call(libc::SYS_getrandom, arguments) };
    result as ssize_t
}

/// `getentropy(3)`.
///
/// # Safety
/// `target` has room for `count` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getentropy(target: *mut c_void, count: size_t) -> c_int {
    if count > ENTROPY_MAX {
        return fail(libc::EIO);
    }
    // SAFETY: the caller's promise. So few bytes come as a whole once the system has any.
    let filled = unsafe { getrandom(target, count, 0) };
    if filled < 0 { -1 } else { 0 }
}

/// `syscall(2)`, for who asks by number. libc's has a variable number of arguments; in this convention of calls that makes
/// no difference to who is called, and here as there the six that a call may have are passed on, whatever the last of
/// them hold.
///
/// # Safety
/// As the call itself.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    match number {
        // SAFETY: the caller's promise is that of the function with this name, here and below.
        libc::SYS_clock_gettime => unsafe {
            clock_gettime(first as clockid_t, second as *mut timespec).into()
        },
        // SAFETY: as above.
        libc::SYS_gettimeofday => unsafe {
            gettimeofday(first as *mut timeval, second as *mut c_void).into()
        },
        // SAFETY: as above.
        libc::SYS_time => unsafe { time(first as *mut time_t) },
        // SAFETY: as above.
        libc::SYS_getrandom => unsafe {
            getrandom(first as *mut c_void, second as size_t, third as c_uint) as c_long
        },
        // SAFETY: as above.
        _ => unsafe { call(number, [first, second, third, fourth, fifth, sixth]) },
    }
}
