//! Adapters for other people's crates, each behind a cargo feature. They know the traits of those crates and
//! [`ByteStream`](crate::net::ByteStream), and nothing of what runs on top.
//!
//! | feature | adapter | for crates that ask for |
//! |---|---|---|
//! | `futures-io` | `FuturesIo` | `futures::io::{AsyncRead, AsyncWrite, AsyncBufRead}` |
//! | `tokio-io` | `TokioIo` | `tokio::io::{AsyncRead, AsyncWrite, AsyncBufRead}`, without tokio's runtime |
//! | `hyper` | `HyperIo`, `HyperTimer`, `HyperExecutor` | `hyper::rt::{Read, Write, Timer, Sleep, Executor}` |
//! | `hyper-server` | `HyperServer` | nothing: it is hyper's server on a listener, with a bound and an end |
//! | `tower` | `HyperServer::serve_tower` | `tower::Service`, such as a `Router` of axum, in that server |
//! | `on-thread` | `OnThread` | `Send`, though tasks never change threads |
//!
//! # What holds of all stream adapters
//! - **Buffers.** An adapter has none. What was received and not read stays in the stream; what was written is with
//!   the machine. So `into_inner` loses nothing, and a flush has nothing to do. A library on top may hold bytes of its
//!   own: that is what it then has a flush for.
//! - **Cancellation.** The poll functions are cancel-safe: bytes arrive in the caller's memory in the same call that
//!   reports them, and none are written but those that were counted. A future of another crate is as cancel-safe as
//!   what it builds on top: `read` usually is, `read_exact` and `write_all` are not.
//! - **Ends.** Dropping an adapter drops the stream, which closes the socket. A shutdown ends our way only; one of a
//!   connection that is gone already is no error, for there is nothing left to end.
//! - **Waiting.** One task at a time waits to read, and one to write: of several, only the last to poll is woken.
//! - **Turns.** What reaches the machine counts towards the budget of the task's poll, as with the stream itself: a
//!   task that is always fed lets the others run.
//!
//! # What a foreign crate may read behind the driver's back
//! The adapters bring in nothing but what the [`Driver`](crate::driver::Driver) says. A crate on top may still ask the
//! system for the date, for entropy or for a thread by itself; then a simulated run is no longer the seed's alone.
//! hyper reads the date for the `Date` field (switch it off with `auto_date_header(false)`), h2 reads the monotonic
//! clock to forget streams that were reset; rustls can be given a clock and, but for key exchange, randomness;
//! tokio-postgres numbers prepared statements in a counter of the process (`query_typed` does without).

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper_executor;
#[cfg(feature = "hyper")]
mod hyper_io;
#[cfg(feature = "hyper-server")]
mod hyper_server;
#[cfg(feature = "hyper")]
mod hyper_timer;
#[cfg(feature = "on-thread")]
mod on_thread;
#[cfg(feature = "tokio-io")]
mod tokio_io;
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
mod transfer;

#[cfg(feature = "futures-io")]
pub use futures_io::FuturesIo;
#[cfg(feature = "hyper")]
pub use hyper_executor::HyperExecutor;
#[cfg(feature = "hyper")]
pub use hyper_io::HyperIo;
#[cfg(feature = "hyper-server")]
pub use hyper_server::{HyperServer, HyperSummary};
#[cfg(feature = "hyper")]
pub use hyper_timer::{HyperSleep, HyperTimer};
#[cfg(feature = "on-thread")]
pub use on_thread::{OnThread, on_thread};
#[cfg(feature = "tokio-io")]
pub use tokio_io::TokioIo;
