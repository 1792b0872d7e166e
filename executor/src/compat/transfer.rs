//! What all stream adapters do alike. It knows no foreign trait.

use core::task::{Context, Poll, ready};
use std::io::{self, ErrorKind, IoSlice};

use crate::net::ByteStream;

/// Hands what is there to `put`, at most `room` bytes, and gives how many; 0 is the peer's end, or that there is no
/// room.
pub(super) fn poll_read<S: ByteStream>(
    stream: &mut S,
    cx: &Context<'_>,
    room: usize,
    put: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    if room == 0 {
        // Said at once: a wait would be for bytes that nobody asked for.
        return Poll::Ready(Ok(0));
    }
    let bytes = ready!(stream.poll_buffered(cx))?;
    let count = bytes.len().min(room);
    put(&bytes[..count]);
    stream.consume(count);
    Poll::Ready(Ok(count))
}

/// Writes what the stream takes. Nothing at all is written at once: a stream must be given something.
pub(super) fn poll_write<S: ByteStream>(
    stream: &mut S,
    cx: &Context<'_>,
    buffers: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if buffers.iter().all(|buffer| buffer.is_empty()) {
        return Poll::Ready(Ok(0));
    }
    stream.poll_write(cx, buffers)
}

/// Ends our way. A connection of which both ways have ended, or that is broken, has nothing left to end.
pub(super) fn poll_shutdown<S: ByteStream>(
    stream: &mut S,
    cx: &Context<'_>,
) -> Poll<io::Result<()>> {
    match ready!(stream.poll_shutdown_write(cx)) {
        Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
        result => Poll::Ready(result),
    }
}
