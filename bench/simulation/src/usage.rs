//! What a simulation took: CPU time of this process, and the most memory that it had.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most that was resident so far, in KiB; 0 where the system does not say.
fn resident_kib_max() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// One line of JSON.
pub fn tell(requests: u64, events: Option<u64>, cpu: f64, virtual_seconds: f64) {
    let events = events.map_or("null".to_owned(), |events| events.to_string());
    println!(
        "{{\"requests\":{requests},\"events\":{events},\"cpu_seconds\":{cpu:.4},\
         \"virtual_seconds\":{virtual_seconds:.3},\"resident_kib\":{}}}",
        resident_kib_max(),
    );
}
