//! `HyperIo`: a stream for hyper 1.x, client or server.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::transfer;
use crate::net::ByteStream;

/// A [`ByteStream`] as hyper's [`Read`] and [`Write`], with vectored writes. What holds of it is said at
/// [`compat`](super).
///
/// ```
/// use core::{future::poll_fn, pin::Pin};
/// use hyper::rt::{Read, ReadBuf, Write};
/// use mainspring_executor::compat::HyperIo;
/// use mainspring_executor::driver::ListenOptions;
/// use mainspring_executor::net::{TcpListener, TcpStream};
/// # use mainspring_executor::{Shard, os::OsDriver};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let listener = TcpListener::bind(([127, 0, 0, 1], 0).into(), ListenOptions::default())?;
/// let mut client = HyperIo::new(TcpStream::connect(listener.local_addr()?).await?);
/// let mut server = HyperIo::new(listener.accept().await?.0);
/// // What `hyper::client::conn::http1::handshake(client)` and `serve_connection(server, …)` do.
/// poll_fn(|cx| Pin::new(&mut client).poll_write(cx, b"x")).await?;
/// let mut memory = [0; 16];
/// let mut buffer = ReadBuf::new(&mut memory);
/// poll_fn(|cx| Pin::new(&mut server).poll_read(cx, buffer.unfilled())).await?;
/// assert_eq!(buffer.filled(), b"x");
/// # Ok::<(), std::io::Error>(())
/// # })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct HyperIo<S> {
    stream: S,
}

impl<S> HyperIo<S> {
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

    /// The stream, with all that was received and not read. After an upgrade hyper gives what it had read itself
    /// apart from that.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: ByteStream + Unpin> Read for HyperIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = target.remaining();
        let put = |bytes: &[u8]| target.put_slice(bytes);
        transfer::poll_read(&mut self.stream, cx, room, put).map_ok(drop)
    }
}

impl<S: ByteStream + Unpin> Write for HyperIo<S> {
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

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_write(&mut self.stream, cx, buffers)
    }
}
