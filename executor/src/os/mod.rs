//! The driver for the operating system, and the only place that names it.
//!
//! Everywhere else clocks, sockets, files, threads and entropy are banned by name (`clippy.toml`): they would enter the
//! program past the seam.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the operating system is let in"
)]

mod beneath;
mod builder;
mod datagrams;
mod driver;
#[cfg(feature = "hyper")]
mod epoch;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
mod fair_choices;
mod files;
mod jobs;
mod muster;
mod names;
mod pipes;
mod poller;
mod pool;
mod portable;
mod process;
mod resource;
mod shards;
mod signals;
mod sockets;
mod stack;
mod unix;
mod watchdog;

pub use builder::OsDriverBuilder;
pub use driver::OsDriver;
#[cfg(feature = "hyper")]
pub(crate) use epoch::std_epoch;
pub use pool::{Pool, PoolOptions};
pub use shards::{POLL_BUDGET, available_cores, reserve_address, run_shards};
pub use signals::{HeldSignals, hold_signals};
