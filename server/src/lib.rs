//! Mainspring: a deterministic, simulation-tested async HTTP server.
//!
//! A handler is an `async fn` from [`Request`] to something that becomes a [`Response`]:
//!
//! ```no_run
//! use mainspring::{Request, Server};
//!
//! async fn hello(request: Request) -> String {
//!     format!("Hello from {}\n", request.path())
//! }
//!
//! Server::new(hello).run(([127, 0, 0, 1], 8080).into())?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Map
//! `http1` is the protocol, without I/O and without a clock. `link` joins it with a socket; `exchange` brings one request
//! through the handler, and `serve` one after the other through a connection. `server` accepts and drains, `house` has the
//! connections, `context` is what they share. `handler`, `request`, `body`, `response`, `problem` and `upgrade` are what
//! handlers see.
//! `client` is the other side of the wire. `limits` and `timeouts` hold every bound. `app` is what the binary serves.

#![forbid(unsafe_code)]

pub mod app;
mod balance;
mod body;
pub mod client;
mod context;
mod date;
mod exchange;
mod handler;
mod house;
pub mod http1;
pub mod limits;
mod link;
mod media_type;
mod meter;
mod output;
mod peers;
mod problem;
mod request;
mod request_id;
mod response;
mod serve;
mod server;
mod shutdown;
mod telemetry;
mod timeouts;
mod upgrade;

pub use balance::Balance;
pub use body::{Body, BodyError, Incoming};
pub use handler::Handler;
pub use limits::Limits;
pub use media_type::MediaType;
pub use problem::Problem;
pub use request::Request;
pub use request_id::RequestId;
pub use response::IntoResponse;
pub use server::{OnClientFin, OnDisconnect, Server, Summary};
pub use shutdown::Shutdown;
pub use telemetry::{StatsSnapshot, Telemetry};
pub use timeouts::{Pace, Timeouts};
pub use upgrade::{Upgraded, upgrade};

/// What a handler gives.
pub type Response = http::Response<Body>;
