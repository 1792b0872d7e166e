//! `TcpStream`: bytes both ways.
//!
//! Reading fills a buffer that the stream borrows from the shard while it holds bytes: [`TcpStream::poll_fill`] adds to
//! it, [`TcpStream::buffered`] shows it, [`TcpStream::consume`] drops from its front. Nothing is ever in the kernel's
//! hands, so dropping a future loses nothing.

use core::fmt;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::panic::Location;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use std::rc::Rc;

use super::Socket;
use super::buffer::RecvBuffer;
use crate::current;
use crate::driver::{Ready, Token};
use crate::reactor::{Interest, Kind};
use crate::shard::Core;

/// A TCP connection of the current shard. Dropping it closes it: what was written is still delivered, unless unread
/// bytes are left, which resets the connection as POSIX has it.
pub struct TcpStream {
    socket: Socket,
    peer: SocketAddr,
    received: RecvBuffer,
}

impl TcpStream {
    /// Connects to `address`. Dropping the future gives up.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, and the others of the machine.
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self>> {
        let core = current::core();
        let origin = Location::caller();
        async move {
            let token = core.driver.connect(address)?;
            let socket = Socket::new(core, token, Kind::Stream, Ready::NONE, origin);
            poll_fn(|cx| {
                socket.poll_io(Interest::Write, cx, |driver, token| driver.connect_outcome(token))
            })
            .await?;
            Ok(Self { socket, peer: address, received: RecvBuffer::default() })
        }
    }

    /// A stream for a socket that the driver just accepted.
    pub(super) fn connected(
        core: Rc<Core>,
        token: Token,
        peer: SocketAddr,
        origin: &'static Location<'static>,
    ) -> Self {
        let ready = Ready::READABLE | Ready::WRITABLE;
        let socket = Socket::new(core, token, Kind::Stream, ready, origin);
        Self { socket, peer, received: RecvBuffer::default() }
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Our address.
    ///
    /// # Errors
    /// Where the machine cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.driver().local_addr(self.socket.token())
    }

    /// Receives more bytes behind those in [`TcpStream::buffered`], and gives how many; 0 is the peer's FIN.
    ///
    /// # Errors
    /// `ConnectionReset` and the like; the connection is of no use then.
    ///
    /// # Panics
    /// When [`RECV_BUFFER_BYTES`](super::RECV_BUFFER_BYTES) are buffered: consume first.
    pub fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let pool = &self.socket.core.buffers;
        let room = if self.socket.is_ready(Interest::Read) {
            self.received.room(pool)
        } else {
            // Nothing is known to be there: borrow no buffer for the wait.
            return self
                .socket
                .poll_ready(Interest::Read, cx)
                .map(|()| unreachable!("it was not ready"));
        };
        let read =
            self.socket.poll_io(Interest::Read, cx, |driver, token| driver.read(token, room));
        if let Poll::Ready(Ok(transfer)) = &read {
            self.received.filled(transfer.count);
            if transfer.exhausted {
                self.socket.exhaust(Interest::Read);
            }
        }
        self.received.release(pool);
        Poll::Ready(ready!(read).map(|transfer| transfer.count))
    }

    /// Bytes that were received and not consumed.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        self.received.bytes()
    }

    /// Drops the first `count` bytes of [`TcpStream::buffered`].
    ///
    /// # Panics
    /// When there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.received.consume(count);
        self.received.release(&self.socket.core.buffers);
    }

    /// Waits for more bytes. See [`TcpStream::poll_fill`]. Cancel-safe.
    ///
    /// # Errors
    /// As [`TcpStream::poll_fill`].
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Reads into `target` what is there, and waits if nothing is; 0 is the peer's FIN. Cancel-safe.
    ///
    /// # Errors
    /// As [`TcpStream::poll_fill`].
    pub async fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() && self.fill().await? == 0 {
            return Ok(0);
        }
        let count = target.len().min(self.buffered().len());
        target[..count].copy_from_slice(&self.buffered()[..count]);
        self.consume(count);
        Ok(count)
    }

    /// Writes from `buffers` what the machine takes; at least one must not be empty.
    ///
    /// # Errors
    /// `BrokenPipe`, `ConnectionReset` and the like.
    pub fn poll_write(
        &mut self,
        cx: &Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write =
            self.socket.poll_io(Interest::Write, cx, |driver, token| driver.write(token, buffers));
        if let Poll::Ready(Ok(transfer)) = &write
            && transfer.exhausted
        {
            self.socket.exhaust(Interest::Write);
        }
        Poll::Ready(ready!(write).map(|transfer| transfer.count))
    }

    /// Writes all of `bytes`. Not cancel-safe: nobody learns how much was written of a write that was dropped.
    ///
    /// # Errors
    /// As [`TcpStream::poll_write`].
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| self.poll_write(cx, &[IoSlice::new(bytes)])).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Sends FIN; reading goes on.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.socket.driver().shutdown_write(self.socket.token())
    }

    /// Waits until the peer will send nothing more: its FIN or a reset has arrived, though bytes before it may be
    /// unread. Needs no read. May be polled again after it is ready.
    pub fn poll_peer_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.socket.poll_ready(Interest::Closed, cx)
    }

    /// Waits until the connection is broken by a reset. Needs neither read nor write. May be polled again after it is
    /// ready.
    pub fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
        self.socket.poll_ready(Interest::Broken, cx)
    }

    /// Resets the connection at once; what was not sent is lost.
    pub fn abort(self) {
        let Self { socket, mut received, .. } = self;
        received.clear(&socket.core.buffers);
        socket.abort();
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpStream({:?}, {:?} unread)", self.socket.token(), self.received)
    }
}
