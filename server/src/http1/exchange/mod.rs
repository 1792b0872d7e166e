//! One exchange, seen from the client: a state machine that writes a request, one that reads its
//! response, and the few facts that tie them together.
//!
//! [`Exchange`] is to a client what [`Connection`](super::Connection) is to a server, and as pure:
//! no I/O, no clock, no buffer of its own. A connection of a client has no state between its
//! exchanges, so there is no type for it: [`Exchange::is_reusable`] says whether another may follow
//! on the same one.
//!
//! ```text
//!              100              final head             body whole
//!   Waiting ────────► Sending ◄── both go on ──► Body ────────────► Done ── is_reusable? ──► next
//!      │ no 100 came     │ all written            ▲ no body: straight to Done
//!      └─────────────────┴──► Sent ───────────────┘
//!   Head: any number (bounded) of 1xx, then one final head; 101 and CONNECT's 2xx hand the stream over
//! ```
//!
//! A caller's loop, without its I/O:
//! ```
//! # use std::rc::Rc;
//! # use mainspring::http1::exchange::{Exchange, RequestParts, ResponseEvent, TargetForm};
//! # use mainspring::http1::BodyLength;
//! let (uri, headers) = ("http://example.org/hello?x".parse()?, http::HeaderMap::new());
//! let request = RequestParts {
//!     method: &http::Method::GET,
//!     uri: &uri,
//!     headers: &headers,
//!     body: BodyLength::Known(0),
//!     form: TargetForm::Origin,
//! };
//! let mut out = Vec::new();
//! let mut exchange = Exchange::start(Rc::default(), &request, &mut out)?;
//! assert_eq!(out, b"GET /hello?x HTTP/1.1\r\nhost: example.org\r\n\r\n");
//!
//! let input = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n";
//! let step = exchange.next_event(input)?;
//! assert!(matches!(step.event, Some(ResponseEvent::Head(response)) if response.status() == 200));
//! let step = exchange.next_event(&input[step.consumed..])?;
//! assert!(matches!(step.event, Some(ResponseEvent::Data(b"hi\n"))));
//! assert!(matches!(exchange.next_event(b"")?.event, Some(ResponseEvent::End { trailers: None })));
//! assert!(exchange.is_reusable());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | RFC | | file |
//! | --- | --- | --- |
//! | 9112 §3, §6.1; 9110 §7.2, §7.6, §7.8, §10.1 | request line, `Host`, fields of the connection | `request` |
//! | 9112 §4, §5 | status line, fields | `head` |
//! | 9112 §6.3 | where a response ends | `length` |
//!
//! Stricter than the RFCs in the same places as the server, and in these: several or listed lengths, a
//! length next to a transfer coding, a coding other than `chunked`, and a version other than 1.0 and
//! 1.1 are refused; a status without a body that announces one ends the connection. One leniency,
//! because the end of the line is certain all the same: a status line may end after its code.

mod error;
mod event;
mod head;
mod length;
mod limits;
mod machine;
mod request;

#[cfg(test)]
mod tests;

pub use error::{RequestError, ResponseError};
pub use event::{ResponseEvent, ResponseStep};
pub use limits::ResponseLimits;
pub use machine::Exchange;
pub use request::{RequestParts, TargetForm};
