//! Mainspring: a deterministic, simulation-tested async HTTP server.
//!
//! A handler is an `async fn` from [`Request`] to something that becomes a [`Response`]:
//!
//! ```no_run
//! use mainspring::{Request, Server};
//!
//! async fn hello(request: Request) -> String {
//!     format!("Hello from {}\n", request.uri().path())
//! }
//!
//! Server::new(hello).run(([127, 0, 0, 1], 8080).into())?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Map
//! `http1` is the protocol, without I/O and without a clock. `serve` joins it with a socket, one connection at a time;
//! `link` is what they share. `server` accepts and drains. `handler`, `body` and `response` are what handlers see.
//! `limits` and `timeouts` hold every bound. `app` is what the binary serves.

#![forbid(unsafe_code)]

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
