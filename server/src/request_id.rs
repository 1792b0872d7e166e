//! `RequestId`: a name for one request, for logs and for whoever asks about it.

use core::fmt;

/// Names one request among all of a server: which server, drawn at its start; which connection; which request on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId {
    pub(crate) server: u32,
    pub(crate) connection: u64,
    pub(crate) exchange: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, connection, exchange } = self;
        write!(f, "{server:08x}-{connection}-{exchange}")
    }
}
