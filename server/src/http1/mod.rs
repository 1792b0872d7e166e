//! HTTP/1.1 for a server, and by [`exchange`] for a client, as a pure protocol: bytes in, events out. No I/O, no clock, no buffer of
//! its own.
//!
//! [`Connection`] is all that a caller needs: show it the bytes that came
//! ([`Connection::next_event`]), write what it appends to `out`. What one run of bytes means never
//! depends on how the network cut it; the tests hold it to that for every case.
//!
//! ```text
//!          first byte        head whole          body whole         response whole
//!   Idle ────────────► Head ────────────► Body ────────────► Respond ────────────► Done
//!    ▲                  │ no body: straight to Respond          ▲ response first:   │
//!    │                  └──────────────────┴────────────────────┘ Body, then Done   │
//!    └───────────────────────────── next_cycle, keep-alive ◄────────────────────────┤
//!   any phase ── error, reject, end of input between messages ──► Closed ◄── close ─┘
//! ```
//!
//! A caller's loop, without its I/O:
//! ```
//! # use std::rc::Rc;
//! # use mainspring::http1::{BodyLength, Connection, Event};
//! # use mainspring::limits::Limits;
//! let mut connection = Connection::new(Rc::new(Limits::default()));
//! let input = b"GET /hello HTTP/1.1\r\nHost: example.org\r\n\r\n";
//! let step = connection.next_event(input)?;
//! assert_eq!(step.consumed, input.len());
//! assert!(matches!(step.event, Some(Event::Request(head)) if head.path() == "/hello"));
//!
//! let (mut out, date) = (Vec::new(), b"Sun, 06 Nov 1994 08:49:37 GMT");
//! let (status, headers) = (http::StatusCode::OK, http::HeaderMap::new());
//! connection.start_response(status, &headers, BodyLength::Known(3), date, &mut out)?;
//! connection.send_data(b"hi\n", &mut out)?;
//! connection.finish(None, &mut out)?;
//! assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n") && out.ends_with(b"\r\n\r\nhi\n"));
//! assert!(connection.next_cycle(), "ready for the next head");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to find what:
//!
//! | RFC | | file |
//! | --- | --- | --- |
//! | 9112 §2.2, §3, §5; 9110 §5 | lines, request line, fields | `lines`, `head`, `plain_head`, `fields`, `request_head` |
//! | 9112 §3.2, 9110 §7.2 | request target and `Host` | `target`, `grammar` |
//! | 9112 §6 | where a message ends, for requests and responses | `framing` |
//! | 9112 §7.1, 9110 §6.5 | chunked coding, trailers | `chunked`, `trailers` |
//! | 9112 §4, 9110 §6.6 | response heads | `response`, `encode` |
//! | 9112 §9, 9110 §10.1.1 | persistence, close, `Expect` | `connection` |
//! | all of them, from the side of the client | requests out, responses in | [`exchange`] |
//!
//! Stricter than the RFCs where leniency has been abused: bare LF, a repeated `Content-Length` even
//! of the same value, `Content-Length` next to `Transfer-Encoding`, white space in chunk lines, an
//! empty or joined `Host`, a `Host` that differs from an absolute target, bad percent escapes in a
//! path, `_` in the names of framing fields. All of it is refused, none is repaired.

mod chunked;
mod connection;
mod encode;
mod error;
mod event;
pub mod exchange;
mod fields;
mod framing;
mod grammar;
mod head;
mod head_pool;
mod lines;
mod plain_head;
mod request_head;
mod response;
mod target;
mod trailers;

#[cfg(test)]
mod tests;

pub use chunked::{ChunkedDecoder, Decoded};
pub use connection::Connection;
pub use encode::Date;
pub use error::{Error, UsageError};
pub use event::{Event, Phase, Step};
pub use framing::BodyLength;
pub use head_pool::HeadPool;
pub use request_head::RequestHead;
pub use response::ResponseFields;
