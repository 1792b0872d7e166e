//! The driver for the operating system, and the only place that names it.
//!
//! Everywhere else clocks, sockets, files, threads and entropy are banned by name (`clippy.toml`): they would enter the
//! program past the seam.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the operating system is let in"
)]

mod driver;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
mod files;
mod jobs;
mod poller;
mod portable;
mod shards;
mod signals;
mod sockets;

pub use driver::OsDriver;
pub use shards::{available_cores, reserve_address, run_shards};
