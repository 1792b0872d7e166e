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
//! # A server, from the first line to a clean end
//! What a server is made of: a listener, a [`Scope`] that holds one task for each connection, [`select!`] between the next
//! connection and the signal to end, and a drain that gives what runs some time. A task waits by `await`, and may be dropped
//! wherever it does; what it has made goes with it.
//!
//! ```no_run
//! use core::time::Duration;
//! use std::{io, rc::Rc};
//! use mainspring_executor::driver::ListenOptions;
//! use mainspring_executor::net::{TcpListener, TcpStream};
//! use mainspring_executor::time::sleep;
//! use mainspring_executor::{CancelToken, Scope, Shard, deadline, os::OsDriver, select, signal::Signals};
//!
//! /// Gives back what it gets. Whoever says nothing for a minute is shown out.
//! async fn echo(mut stream: TcpStream, closing: CancelToken) -> io::Result<()> {
//!     loop {
//!         select! {
//!             received = deadline::within(Duration::from_secs(60), stream.fill()) => match received?? {
//!                 0 => return Ok(()),
//!                 count => {
//!                     let bytes = stream.buffered().to_vec();
//!                     stream.write_all(&bytes).await?;
//!                     stream.consume(count);
//!                 }
//!             },
//!             () = closing.cancelled() => return Ok(()),
//!         }
//!     }
//! }
//!
//! fn main() -> io::Result<()> {
//!     let shard = Shard::new(Rc::new(OsDriver::new()?));
//!     shard.run(async {
//!         let mut signals = Signals::subscribe()?;
//!         let address = "127.0.0.1:7000".parse().expect("an address");
//!         let listener = TcpListener::bind(address, ListenOptions::default())?;
//!         let connections = Scope::new();
//!         loop {
//!             select! {
//!                 accepted = listener.accept() => match accepted {
//!                     Ok((stream, _peer)) => drop(connections.spawn(echo(stream, connections.token()))),
//!                     // That one gave up, or we are out of sockets: no reason to leave the others alone.
//!                     Err(_) => sleep(Duration::from_millis(100)).await,
//!                 },
//!                 _signal = signals.next() => break,
//!             }
//!         }
//!         drop(listener);
//!         let cut = connections.drain_for(Duration::from_secs(5)).await;
//!         println!("{cut} connections did not end in time");
//!         Ok(())
//!     })?
//! }
//! ```
//!
//! `executor/examples/chat.rs` goes on from here: guests that hear each other through a
//! [`broadcast`](sync::broadcast) channel, slow readers, lines that are too long. Its tests run the same function on the
//! operating system, and in the simulator with the end at each instant.
//!
//! To serve with several threads, [`os::run_shards`] starts a shard on each; they share nothing but what is sent through
//! a [`channel`](channel::channel), or by a [`ShardHandle`]. What blocks or computes for long goes to
//! [`offload`]; what must not be left half done into a [`shield`](shield::shield).
//!
//! # Map
//! `driver` is the seam. Above it: `shard` runs `task`s from the `run_queue`, `reactor` and `timers` wake them; `net`,
//! `file`, `names`, `process`, `offload`, `signal`, `time`, `deadline`, `scope`, `shield`, `cancel`, `sync` and the macros
//! [`select!`], [`join!`] and [`try_join!`] are what programs use; with [`always!`], [`sometimes!`] and their like they say
//! what is to be true of them. `os` is the driver for the operating system, and the only
//! module that names it.

mod address;
mod atomic;
mod budget;
pub mod cancel;
mod check;
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper", feature = "on-thread"))]
pub mod compat;
mod context;
pub mod deadline;
mod detached;
pub mod driver;
mod dump;
pub mod file;
mod futurelock;
mod heartbeat;
mod instant;
mod job;
mod keepalive;
mod ledger;
#[doc(hidden)]
pub mod macros;
mod metrics;
pub mod names;
pub mod net;
pub mod offload;
pub mod os;
pub mod process;
mod reactor;
mod run_queue;
pub mod scope;
mod shard;
pub mod shield;
pub mod signal;
mod site;
mod spawn;
pub mod sync;
mod task;
pub mod time;
mod timers;
pub mod token_table;
mod wait_graph;
mod waiters;
mod waits;

pub use cancel::CancelToken;
pub use context::{LocalKey, Within};
pub use dump::{Awaited, DumpedTask, Hold, TaskDump, TaskState, Wait};
pub use futurelock::Futurelock;
pub use instant::Instant;
pub use ledger::{Ledger, ResourceRecord, TaskRecord, TimerRecord};
pub use metrics::{CancelReason, Counter, Histogram, HistogramSnapshot, Metrics, MetricsSnapshot};
pub use scope::{Scope, ScopeError};
pub use shard::{
    Peers, RemoteJoinHandle, Shard, ShardGone, ShardHandle, Turn, channel, dump, handle, metrics,
    random, spawn, spawn_named,
};
pub(crate) use task::current;
pub use task::{JoinError, JoinHandle, TaskId, panic_message};
pub use wait_graph::{Cycle, Link};
pub use waits::{LongestWait, ResourceId};
