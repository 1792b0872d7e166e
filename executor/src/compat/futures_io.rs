//! `FuturesIo`: a stream for crates that read and write with the traits of `futures`.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use futures::io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::transfer;
use crate::net::ByteStream;

/// A [`ByteStream`] as [`AsyncRead`], [`AsyncBufRead`] and [`AsyncWrite`] of `futures`. What holds of it is said at
/// [`compat`](super).
///
/// ```
/// use futures::io::{AsyncBufReadExt, AsyncWriteExt};
/// use mainspring_executor::compat::FuturesIo;
/// use mainspring_executor::driver::ListenOptions;
/// use mainspring_executor::net::{TcpListener, TcpStream};
/// # use mainspring_executor::{Shard, os::OsDriver};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let listener = TcpListener::bind(([127, 0, 0, 1], 0).into(), ListenOptions::default())?;
/// let mut client = FuturesIo::new(TcpStream::connect(listener.local_addr()?).await?);
/// let mut server = FuturesIo::new(listener.accept().await?.0);
/// client.write_all(b"one line\nand more").await?;
/// client.close().await?;
/// let mut line = String::new();
/// server.read_line(&mut line).await?;
/// assert_eq!(line, "one line\n");
/// // The rest is in the stream: the adapter holds nothing.
/// assert_eq!(server.into_inner().buffered(), b"and more");
/// # Ok::<(), std::io::Error>(())
/// # })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FuturesIo<S> {
    stream: S,
}

impl<S> FuturesIo<S> {
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

impl<S: ByteStream + Unpin> AsyncRead for FuturesIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let room = target.len();
        let put = |bytes: &[u8]| target[..bytes.len()].copy_from_slice(bytes);
        transfer::poll_read(&mut self.stream, cx, room, put)
    }
}

impl<S: ByteStream + Unpin> AsyncBufRead for FuturesIo<S> {
    /// Lends the stream's own buffer: nothing is copied.
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().stream.poll_buffered(cx)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.stream.consume(count);
    }
}

impl<S: ByteStream + Unpin> AsyncWrite for FuturesIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_write(&mut self.stream, cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_write(&mut self.stream, cx, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Sends FIN; reading goes on.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        transfer::poll_shutdown(&mut self.stream, cx)
    }
}
