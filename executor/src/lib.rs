//! A thread-per-core async executor and reactor whose whole world sits behind one trait.
//!
//! A [`Shard`] is one executor, one reactor and one set of timers on one thread. It asks everything of its
//! [`Driver`](driver::Driver): time, entropy, sockets, readiness, and which ready task goes next. With
//! [`OsDriver`](os::OsDriver) that is the operating system; with a simulator's driver it is a seed.
//!
//! A turn of the shard ([`Shard::turn`]) is always the same: wait for edges, deliver them, fire due timers, take what
//! other threads woke, run a bounded batch of ready tasks.
//!
//! ```
//! use core::time::Duration;
//! use mainspring_executor::{Shard, os::OsDriver, spawn, time::sleep};
//!
//! let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! let sum = shard.run(async {
//!     let two = spawn(async {
//!         sleep(Duration::from_millis(1)).await;
//!         2
//!     });
//!     40 + two.await.expect("the task neither panics nor is aborted")
//! })?;
//! assert_eq!(sum, 42);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Map
//! `driver` is the seam. Above it: `shard` runs `task`s from the `run_queue`, `reactor` and `timers` wake them; `net`,
//! `file`, `signal`, `time`, `scope` and `cancel` are what programs use. `os` is the driver for the operating system,
//! and the only module that names it.

pub mod cancel;
mod current;
pub mod driver;
pub mod file;
mod instant;
mod ledger;
mod metrics;
pub mod net;
pub mod os;
mod reactor;
mod remote;
mod run_queue;
pub mod scope;
mod shard;
pub mod signal;
mod task;
pub mod time;
mod timers;
pub mod token_table;

pub use cancel::CancelToken;
pub use instant::Instant;
pub use ledger::{Ledger, ResourceRecord, TaskRecord, TimerRecord};
pub use metrics::{Counter, LAG_BOUNDS, Metrics, MetricsSnapshot};
pub use scope::Scope;
pub use shard::{Shard, Turn, metrics, random, spawn};
pub use task::{JoinError, JoinHandle, TaskId};
