//! `Error`: what went wrong with a request, where, and whether it may have had an effect.

use core::fmt;
use std::io;

use super::origin::Origin;
use crate::body::BoxError;
use crate::http1::exchange::{RequestError, ResponseError};

/// Why there is no response, or no more of it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    host: String,
    phase: Phase,
    may_be_processed: bool,
}

/// What went wrong.
#[derive(Debug)]
pub enum ErrorKind {
    /// The request cannot be sent as it is.
    Request(RequestError),
    /// The scheme of the URI is not `http`.
    Scheme,
    /// Too many requests wait for a connection to this origin already.
    QueueFull,
    /// The timeout of this phase was over. In [`Phase::Queue`]: no connection came free.
    Timeout,
    /// The time for the whole exchange, or the deadline of the caller, was over.
    Deadline,
    /// The machine said no: no such name, refused, reset, …
    Io(io::Error),
    /// The connection ended without a byte of an answer.
    Closed,
    /// The server broke the protocol, or its answer was cut off.
    Response(ResponseError),
    /// The body of the request failed, or was not as long as it said.
    RequestBody(BoxError),
    /// The body of the response is longer than its reader wants.
    TooLong,
}

/// Where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before anything was done.
    Check,
    /// While all connections to the origin were in use.
    Queue,
    /// While the host was looked up.
    Resolve,
    /// While a connection was made.
    Connect,
    /// While the request was sent.
    Send,
    /// While the head of the response was waited for.
    Head,
    /// While the body of the response was read.
    Body,
}

impl Error {
    pub(super) fn new(
        kind: ErrorKind,
        host: impl fmt::Display,
        phase: Phase,
        may_be_processed: bool,
    ) -> Self {
        Self(Box::new(Inner { kind, host: host.to_string(), phase, may_be_processed }))
    }

    /// Of a request that was not sent.
    pub(super) fn unsent(kind: ErrorKind, origin: &Origin, phase: Phase) -> Self {
        Self::new(kind, origin, phase, false)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The host and port that were asked, or the proxy's.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Where it went wrong.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Whether the server may have acted on the request: true from the first byte that was written.
    #[must_use]
    pub fn may_be_processed(&self) -> bool {
        self.0.may_be_processed
    }

    /// Whether some time was over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout | ErrorKind::Deadline)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, host, phase, may_be_processed } = &*self.0;
        write!(f, "{host}: {phase}: {kind}")?;
        match (may_be_processed, phase) {
            (true, Phase::Send | Phase::Head) => {
                f.write_str(" (the request may have been processed)")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::Scheme => f.write_str("the scheme is not http"),
            Self::QueueFull => f.write_str("too many requests wait for a connection"),
            Self::Timeout => f.write_str("it took too long"),
            Self::Deadline => f.write_str("the time for the whole exchange was over"),
            Self::Io(error) => error.fmt(f),
            Self::Closed => f.write_str("the connection ended without an answer"),
            Self::Response(error) => error.fmt(f),
            Self::RequestBody(error) => write!(f, "the body of the request: {error}"),
            Self::TooLong => f.write_str("the body is longer than its reader wants"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "checking the request",
            Self::Queue => "waiting for a connection",
            Self::Resolve => "looking up the host",
            Self::Connect => "connecting",
            Self::Send => "sending the request",
            Self::Head => "waiting for the response",
            Self::Body => "reading the response",
        })
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Request(error) => Some(error),
            ErrorKind::Io(error) => Some(error),
            ErrorKind::Response(error) => Some(error),
            ErrorKind::RequestBody(error) => Some(&**error),
            _ => None,
        }
    }
}
