//! What an exchange tells its caller: events, and how far it has read.

use http::{HeaderMap, Response};

/// One step of reading.
#[derive(Debug)]
pub struct ResponseStep<'i> {
    /// Bytes at the front of the input that are done with; the caller drops them. May be more than
    /// 0 without an event.
    pub consumed: usize,
    /// What was read. `None`: nothing more can be said until there are more bytes, or ever, where
    /// the exchange is over.
    pub event: Option<ResponseEvent<'i>>,
}

/// What was read. Each exchange gives any number of `Interim`, one `Head`, any number of `Data` and
/// `End`, in this order. A response that hands the stream over
/// ([`Exchange::is_handed_over`](super::Exchange::is_handed_over)) ends with its `Head`.
#[derive(Debug)]
pub enum ResponseEvent<'i> {
    /// A 1xx response: more will follow.
    Interim(Response<()>),
    /// The head of the final response.
    Head(Response<()>),
    /// The next bytes of its body, never empty, borrowed from the input.
    Data(&'i [u8]),
    /// The response is complete.
    End {
        /// The fields after the last chunk. `None`: there were none.
        trailers: Option<HeaderMap>,
    },
}
