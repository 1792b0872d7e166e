//! Whose fault it is: [`ResponseError`] is the server's, [`RequestError`] is the caller's.

use core::fmt;

use super::super::error::{Error, UsageError};

/// What the server did wrong. The connection is of no use after it: where the next response would
/// begin is no longer certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The status line is not `HTTP-version SP 3DIGIT [ SP reason ]`, or something else stands
    /// before it.
    StatusLine,
    /// What is wrong in responses as it is in requests: lines, fields, framing, limits.
    Message(Error),
    /// More 1xx responses than `interim_count_max`.
    TooManyInterim,
    /// 101 to a request that asked for no upgrade, or for another protocol, or that is not whole.
    Upgrade,
}

impl ResponseError {
    /// One sentence. It never repeats bytes of the response.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::StatusLine => "malformed status line",
            Self::Message(error) => error.reason(),
            Self::TooManyInterim => "too many interim responses",
            Self::Upgrade => "a switch of protocols that was not asked for",
        }
    }
}

impl From<Error> for ResponseError {
    fn from(error: Error) -> Self {
        Self::Message(error)
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for ResponseError {}

/// What is wrong with a request that was to be sent. Not a byte of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The URI lacks an authority, has user information in it, or holds a byte that no request
    /// target holds.
    Target,
    /// `Host` is repeated, malformed, or disagrees with a target that names the host itself.
    Host,
    /// `Expect` is not `100-continue`, or nothing follows that could be waited with.
    Expectation,
    /// `TE` asks for more than trailers.
    Te,
    /// The fields or the body contradict each other.
    Usage(UsageError),
}

impl From<UsageError> for RequestError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => f.write_str("the URI cannot be a request target"),
            Self::Host => f.write_str("Host is repeated, malformed or not that of the target"),
            Self::Expectation => f.write_str("an expectation that cannot be met"),
            Self::Te => f.write_str("TE asks for more than trailers"),
            Self::Usage(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RequestError {}
