//! A machine room on one thread, for programs written against [`Driver`](mainspring_executor::driver::Driver).
//!
//! A [`World`] has hosts, each with a shard, an address, a clock, files and entropy, and a network between them. One
//! seed decides all that is not fixed: the order of shards and tasks, latencies, short reads and writes, lost datagrams,
//! edges for nothing. The same seed and scenario give the same run, to the last event; [`World::trace_hash`] proves it.
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
//! - Time: one virtual clock, which stands still while anything runs and then jumps to the next event. A task that is to
//!   take time itself says so with [`spend`], or its host does for it: [`Host::set_poll_cost`].
//! - TCP at the level of streams, after Linux: the handshake with backlog, SYN retries, refusal and time-out; send
//!   buffers and receive windows in bytes; arrival in order, each flight with a latency of its own; FIN, half-close,
//!   RST and what each of them does to which call; `TIME_WAIT`, and ports that run out; keep-alive probes; Nagle's delay.
//! - Unix sockets, after Linux: paths, refusals and full backlogs told at once, and what a close means to the peer.
//! - UDP: datagrams whole or cut off, with a latency of their own, so that they overtake each other; lost, and twice;
//!   receive buffers that overflow; ICMP for who is connected. IPv4 and IPv6.
//! - Order: which shard goes next, and which of its ready tasks. A host has one shard, or several.
//! - Files and folders, with what no sync has put on the disk kept apart; a disk that fails or is full.
//! - Machines that crash and come back, and programs that stand still: [`Host::crash`], [`Host::restart`], [`Host::pause`].
//! - Names, known to all hosts, which take a while to look up.
//! - Child processes: programs that a scenario makes known, each on a shard of its own, with pipes.
//! - Jobs that wait for a thread and take time, signals (a program that never subscribed dies), limits of open tokens.
//!
//! # What is not, yet
//! Congestion control.

#![forbid(unsafe_code)]

mod busy;
pub mod bypass;
mod calls;
mod capture;
mod choice;
mod clock;
mod condensed;
mod config;
mod coverage;
mod detached;
mod directory;
mod disk;
mod divergence;
mod driver;
mod event;
mod everywhere;
mod failure;
mod fairness;
mod files;
pub mod harness;
mod host;
mod inode;
mod jobs;
mod latencies;
mod measures;
mod memory;
mod minimise;
mod net;
mod observer;
mod order;
mod orders;
mod poll_cost;
mod poll_counter;
mod poll_counts;
mod ports;
mod power;
mod priorities;
mod process;
mod program;
mod quiet;
mod ready_waits;
mod recording;
mod room;
mod schedule;
mod script;
mod seat;
mod seen;
mod signals;
mod source;
mod spend;
mod swarm;
mod tape;
mod ties;
pub mod timeline;
mod tokens;
mod trace;
mod tree;
mod turns;
mod victim;
mod walk;
mod words;
mod world;

pub use capture::Capture;
pub use config::WorldConfig;
pub use coverage::{Coverage, Fault, Passes};
pub use divergence::{Divergence, first_divergence};
pub use driver::SimDriver;
pub use everywhere::{Everywhere, SweepFailure, Swept};
pub use failure::{Failure, FailureKind, Report};
pub use fairness::{Fairness, LineWait, ReadyWait};
pub use harness::{Check, check};
pub use host::Host;
pub use latencies::{Latencies, Window};
pub use memory::MemoryGrowth;
pub use minimise::{Minimised, minimise};
pub use order::{Order, OrderError};
pub use orders::Orders;
pub use poll_cost::PolledTask;
pub use poll_counts::PollCounts;
pub use program::SimProcess;
pub use recording::{Chosen, Recording};
pub use source::Source;
pub use spend::spend;
pub use tape::{Tape, TapeError};
pub use victim::{Victim, Victims};
pub use world::World;
