//! What all of them ask and answer, and what a simulation took: CPU time of this process, and the most memory that it had.

#![allow(dead_code, reason = "no program needs all of it")]

use std::fs;

use rustix::time::{ClockId, clock_gettime};

pub const BODY: &str = "Hello, World!";
pub const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: server\r\n\r\n";
/// As long as one of Mainspring.
pub const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: a server here\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!";

/// CPU time of all threads so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most that was resident so far, in KiB; 0 where the system does not say.
pub fn resident_kib_max() -> u64 {
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
