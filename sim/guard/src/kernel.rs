//! System calls, without libc between: what the stand-ins answer outside of a run.
#![expect(unsafe_code, reason = "a system call")]
#![expect(clippy::cast_possible_truncation, reason = "the number of an error is at most 4095")]

use core::arch::asm;
use core::ops::Range;

use libc::{c_int, c_long};

/// The results that are errors, as their negative numbers; all others are none.
const ERRORS: Range<c_long> = -4095..0;

/// Makes a system call, and answers as libc does: -1 for an error, and its number in `errno`.
///
/// # Safety
/// As the call itself: what `arguments` point to has to be what the call `number` wants.
pub(crate) unsafe fn call(number: c_long, arguments: [c_long; 6]) -> c_long {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: c_long;
    // SAFETY: the registers are those of the kernel's convention on x86-64, with the two that it overwrites. What the call
    // does to memory is in the hands of the caller.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if ERRORS.contains(&result) {
        return fail(-result as c_int).into();
    }
    result
}

/// Sets `errno`, and gives -1.
pub(crate) fn fail(errno: c_int) -> c_int {
    // SAFETY: libc has one for each thread, at all times.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: it is this thread's, and nobody holds a reference to it.
    unsafe { place.write(errno) };
    -1
}
