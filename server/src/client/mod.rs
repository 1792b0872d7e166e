//! An HTTP/1.1 client: connections that are kept, streams both ways, bounds on everything.
//!
//! ```no_run
//! use mainspring::Body;
//! use mainspring::client::Client;
//!
//! # async fn example() -> Result<(), Box<dyn core::error::Error>> {
//! let client = Client::new();
//! let request = http::Request::get("http://example.org/").body(Body::empty())?;
//! let response = client.send(request).await?;
//! println!("{}", response.status());
//! let text = response.into_body().collect(64 * 1024).await?;
//! # drop(text);
//! # Ok(())
//! # }
//! ```
//!
//! # What it is made of
//! [`http1::exchange`](crate::http1::exchange) is the protocol. `conversation` joins one exchange with its socket and its clock;
//! nothing runs but while somebody polls, so whoever goes away takes the socket along. `pool` keeps the connections between
//! exchanges, `bounds` names every bound.
//!
//! # A request, from end to end
//! ```text
//!  queue ──► idle one? ──yes──► send ⇄ head ──► body ──► whole and in order? ──yes──► idle
//!              │ no               ▲                            │ no
//!              └──► resolve ──► connect                        └──► closed
//! ```
//! - An idle connection at which something came, its end or bytes that nobody asked for, is closed and never used.
//! - A request is sent again only if it went to a connection that was idle before, which ended without a byte of an answer; if
//!   its method is idempotent (RFC 9110 §9.2.2), or not a byte of it was written; if its body is full in memory; and once.
//! - An answer may come while the request is still sent. One of 400 and above ends the sending. With another the rest is sent while
//!   the body of the answer is read. Where the answer ends first the connection is closed.
//! - A final answer instead of the 100 that a request waits for: the body is not sent, and the connection closed.
//!
//! TLS is not spoken: `https` is refused.

mod body;
mod bounds;
mod builder;
mod call;
mod connect;
mod conversation;
mod error;
mod origin;
mod pool;
mod reaper;
mod upload;

pub use body::ResponseBody;
pub use bounds::{Limits, Timeouts};
pub use builder::ClientBuilder;
pub use call::Client;
pub use error::{Error, ErrorKind, Phase};
pub use pool::ClientStats;
