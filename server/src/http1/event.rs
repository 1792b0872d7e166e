//! What the protocol tells its caller: events, how far it has read, and which phase it is in.

use http::HeaderMap;

use super::request_head::RequestHead;

/// One step of reading.
#[derive(Debug)]
pub struct Step<'i> {
    /// Bytes at the front of the input that are done with; the caller drops them. May be more than
    /// 0 without an event.
    pub consumed: usize,
    /// What was read. `None`: nothing more can be said until there are more bytes (or, in the
    /// phases `Respond`, `Done` and `Closed`, until the exchange has moved on).
    pub event: Option<Event<'i>>,
}

/// What was read. Each request gives `Request`, any number of `Data`, `End`, in this order; `End`
/// comes for a request without a body too, and needs no further bytes then.
#[derive(Debug)]
pub enum Event<'i> {
    /// The head of a request.
    Request(RequestHead),
    /// The next bytes of its body, never empty, borrowed from the input.
    Data(&'i [u8]),
    /// The request is complete.
    End {
        /// The fields after the last chunk. `None`: there were none.
        trailers: Option<Box<HeaderMap>>,
    },
}

/// Where an exchange is; picks the deadline that the caller holds the peer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between messages: not one byte of a head is there, apart from empty lines.
    Idle,
    /// A head has begun.
    Head,
    /// The body of the request is on its way, whether or not the response has begun or even ended.
    Body,
    /// The request is complete, the response is not.
    Respond,
    /// Both are complete: time for [`Connection::next_cycle`](super::Connection::next_cycle).
    Done,
    /// Nothing more will be read: an error, a rejection, the end of the input, or a close that was
    /// announced.
    Closed,
}
