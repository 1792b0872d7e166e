//! Mainspring: a deterministic, simulation-tested async HTTP server.
//!
//! A handler is an `async fn` from [`Request`] to something that becomes a [`Response`]:
//!
//! ```
//! use mainspring::{Request, Response, Server, Shutdown};
//! use mainspring_executor::{Shard, net::TcpListener, os::OsDriver, spawn, time::sleep};
//! # use core::time::Duration;
//!
//! async fn hello(request: Request) -> String {
//!     format!("Hello from {}\n", request.uri().path())
//! }
//!
//! let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! shard.run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"), Default::default())?;
//!     let shutdown = Shutdown::new(); // or Shutdown::on_signals()
//! #   let stop = shutdown.clone();
//! #   spawn(async move { sleep(Duration::from_millis(5)).await; stop.drain() });
//!     Server::new(hello).serve(vec![listener], shutdown).await;
//!     Ok::<(), std::io::Error>(())
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Map
//! `http1` is the protocol, without I/O and without a clock. `serve` joins it with a socket, one connection at a time;
//! `link` is what they share. `server` accepts and drains. `handler`, `body` and `response` are what handlers see.
//! `limits` and `timeouts` hold every bound. `app` is what the binary serves.

mod admission;
pub mod app;
mod body;
mod date;
mod handler;
pub mod http1;
pub mod limits;
mod link;
mod output;
mod response;
mod serve;
mod server;
mod shutdown;
mod telemetry;
mod timeouts;

pub use body::{Body, BodyError, Incoming};
pub use handler::Handler;
pub use limits::Limits;
pub use response::IntoResponse;
pub use server::{OnClientFin, Server, Summary};
pub use shutdown::Shutdown;
pub use telemetry::{StatsSnapshot, Telemetry};
pub use timeouts::Timeouts;

/// What a handler gets: a head as the `http` crate has it, and a body that streams.
pub type Request = http::Request<Incoming>;

/// What a handler gives.
pub type Response = http::Response<Body>;
