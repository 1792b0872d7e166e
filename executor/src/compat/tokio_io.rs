//! `TokioIo`: a stream for crates that read and write with the traits of tokio. None of tokio's runtime is in the tree.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::transfer;
use crate::net::ByteStream;

/// A [`ByteStream`] as [`AsyncRead`], [`AsyncBufRead`] and [`AsyncWrite`] of tokio, with vectored writes. What holds of
/// it is said at [`compat`](super).
///
/// It serves crates that need these traits alone. One that also calls tokio's timers, tasks or sockets panics, for
/// there is no runtime of tokio here.
///
/// ```
/// use core::{future::poll_fn, pin::Pin};
/// use mainspring_executor::compat::TokioIo;
/// use mainspring_executor::driver::ListenOptions;
/// use mainspring_executor::net::{TcpListener, TcpStream};
/// use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
/// # use mainspring_executor::{Shard, os::OsDriver};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let listener = TcpListener::bind(([127, 0, 0, 1], 0).into(), ListenOptions::default())?;
/// let mut client = TokioIo::new(TcpStream::connect(listener.local_addr()?).await?);
/// let mut server = TokioIo::new(listener.accept().await?.0);
/// // What the extension traits of tokio's feature `io-util` do.
/// poll_fn(|cx| Pin::new(&mut client).poll_write(cx, b"x")).await?;
/// let mut memory = [0; 16];
/// let mut buffer = ReadBuf::new(&mut memory);
/// poll_fn(|cx| Pin::new(&mut server).poll_read(cx, &mut buffer)).await?;
/// assert_eq!(buffer.filled(), b"x");
/// # Ok::<(), std::io::Error>(())
/// # })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TokioIo<S> {
    stream: S,
}

impl<S> TokioIo<S> {
    /// An adapter around `stream`, with what it has buffered.
    pub const fn new(stream: S) -> Self {
        Self { stream }
    }

    /// The stream.
    pub const fn inner(&self) -> &S {
        &self.stream
    }

    /// The stream, to do what the traits cannot. What is read or written there is missing here.
    pub const fn inner_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, with all that was received and not read.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: ByteStream + Unpin> AsyncRead for TokioIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = target.remaining();
        let put = |bytes: &[u8]| target.put_slice(bytes);
        transfer::poll_read(&mut self.stream, cx, room, put).map_ok(drop)
    }
}

impl<S: ByteStream + Unpin> AsyncBufRead for TokioIo<S> {
    /// Lends the stream's own buffer: nothing is copied.
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().stream.poll_buffered(cx)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.stream.consume(count);
    }
}

impl<S: ByteStream + Unpin> AsyncWrite for TokioIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_write(&mut self.stream, cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Sends FIN; reading goes on.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        transfer::poll_shutdown(&mut self.stream, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_write(&mut self.stream, cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
