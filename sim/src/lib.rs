//! A machine room on one thread, for programs written against [`Driver`](mainspring_executor::driver::Driver).
//!
//! A [`World`] has hosts, each with a shard, an address, a clock, files and entropy, and a network between them. One
//! seed decides all that is not fixed: the order of hosts and tasks, latencies, short reads and writes, edges for
//! nothing. The same seed and scenario give the same run, to the last event; [`World::trace_hash`] proves it.
//!
//! ```
//! use core::time::Duration;
//! use mainspring_executor::time::sleep;
//! use mainspring_sim::{World, WorldConfig};
//!
//! let world = World::new(42, WorldConfig::rough());
//! world.host("sleeper").run(async { sleep(Duration::from_secs(3600)).await });
//! let report = world.run().expect("an hour passes in no time");
//! assert_eq!(report.at.as_nanos(), 3_600_000_000_000);
//! ```
//!
//! # What is simulated
//! - Time: one virtual clock, which stands still while anything runs and then jumps to the next event.
//! - TCP at the level of streams, after Linux: the handshake with backlog, SYN retries, refusal and time-out; send
//!   buffers and receive windows in bytes; arrival in order, each flight with a latency of its own; FIN, half-close,
//!   RST and what each of them does to which call.
//! - Order: which host goes next, and which of its ready tasks.
//! - Files (read-only), jobs that take time, signals (a program that never subscribed dies), limits of open tokens.
//!
//! # What is not, yet
//! Loss, partitions, bandwidth, a host that crashes and comes back, clocks that are wrong, IPv6, names, `EINTR`,
//! congestion control, Nagle's delay, keep-alive probes, the time-outs of a kernel that gives up on a peer in the
//! middle of a connection, and `TIME_WAIT`.

#![forbid(unsafe_code)]

mod choice;
mod config;
mod driver;
mod event;
mod failure;
mod files;
mod host;
mod jobs;
mod net;
mod ports;
mod room;
mod schedule;
mod trace;
mod world;

pub use config::WorldConfig;
pub use driver::SimDriver;
pub use failure::{Failure, FailureKind, Report};
pub use host::Host;
pub use trace::{Divergence, first_divergence};
pub use world::World;
