//! `ByteStream`: what code that is generic over transports asks of a connection. It knows none of them.
//!
//! Invariant: a stream holds back nothing that it took. What [`ByteStream::poll_write`] counted is on its way without
//! a further call, so there is no flush; what was received and not consumed stays in [`ByteStream::buffered`].

use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

/// Bytes both ways, in order, with an end for each way. All calls are poll-level: a caller that goes away loses
/// nothing, for what arrived stays in the stream.
///
/// One task at a time waits for each way: of several, only the last to poll is woken.
pub trait ByteStream {
    /// Receives more bytes behind those in [`ByteStream::buffered`], and gives how many; 0 is the peer's end, and
    /// stays so.
    ///
    /// # Errors
    /// `ConnectionReset` and the like; the connection is of no use then.
    ///
    /// # Panics
    /// May panic when the bound of the buffer is reached: consume first.
    fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>>;

    /// Bytes that were received and not consumed.
    fn buffered(&self) -> &[u8];

    /// Drops the first `count` bytes of [`ByteStream::buffered`].
    ///
    /// # Panics
    /// When there are fewer.
    fn consume(&mut self, count: usize);

    /// Writes from `buffers` in order, and gives how many bytes were taken, at least one. At least one buffer must
    /// not be empty.
    ///
    /// # Errors
    /// `BrokenPipe`, `ConnectionReset` and the like.
    fn poll_write(&mut self, cx: &Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Ends our way after what was written; reading goes on. Again is the same as once.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    fn poll_shutdown_write(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>>;

    /// The bytes that are there; waits for some where there are none. Empty is the peer's end.
    ///
    /// # Errors
    /// As [`ByteStream::poll_fill`].
    fn poll_buffered(&mut self, cx: &Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.buffered().is_empty() {
            ready!(self.poll_fill(cx))?;
        }
        Poll::Ready(Ok(self.buffered()))
    }
}

/// The receiving half of a [`ByteStream`], for what has a field `connection`.
macro_rules! byte_receiving {
    () => {
        fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
            self.connection.poll_fill(cx)
        }

        fn buffered(&self) -> &[u8] {
            self.connection.buffered()
        }

        fn consume(&mut self, count: usize) {
            self.connection.consume(count);
        }
    };
}

/// The sending half.
macro_rules! byte_sending {
    () => {
        fn poll_write(
            &mut self,
            cx: &Context<'_>,
            buffers: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.connection.poll_write(cx, buffers)
        }

        /// Never waits: the end goes behind what the kernel holds.
        fn poll_shutdown_write(&mut self, _: &Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.connection.shutdown_write())
        }
    };
}

pub(crate) use {byte_receiving, byte_sending};
