//! `Connection`: a token that bytes go through, with the buffer of those that came. What TCP streams, Unix streams and
//! pipes have in common; each of them adds its addresses, and says which half it has.
//!
//! Reading fills a buffer that the connection borrows from the shard while it holds bytes: `poll_fill` adds to it,
//! `buffered` shows it, `consume` drops from its front. Nothing is ever in the kernel's hands, so dropping a future
//! loses nothing.
//!
//! The public methods are made by [`receiving`], [`sending`] and [`ending`], once for each type that holds a field
//! `connection`: a trait would have to be in scope wherever bytes move, and `Deref` would show what a half has not.

use core::fmt;
use core::panic::Location;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use std::rc::Rc;

use super::buffer::RecvBuffer;
use super::{CHUNK_BYTES, Chunk, Socket};
use crate::driver::Detached;
use crate::reactor::{Interest, Kind};
use crate::shard::Core;

/// See the file.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    received: RecvBuffer,
}

impl Connection {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, received: RecvBuffer::default() }
    }

    pub(crate) fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let pool = &self.socket.core.buffers;
        let room = if self.socket.is_ready(Interest::Read) {
            self.received.room(pool)
        } else {
            // Nothing is known to be there: borrow no buffer for the wait.
            self.received.settle(pool);
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
        if read.is_pending() {
            self.received.settle(pool);
        }
        self.received.release(pool);
        Poll::Ready(ready!(read).map(|transfer| transfer.count))
    }

    pub(crate) fn try_fill(&mut self) -> io::Result<Option<usize>> {
        let pool = &self.socket.core.buffers;
        let room = self.received.room(pool);
        let read = self.socket.try_io(Interest::Read, |driver, token| driver.read(token, room));
        if let Ok(Some(transfer)) = &read {
            self.received.filled(transfer.count);
            if transfer.exhausted {
                self.socket.exhaust(Interest::Read);
            }
        }
        self.received.release(pool);
        Ok(read?.map(|transfer| transfer.count))
    }

    pub(crate) fn poll_chunk(
        &mut self,
        cx: &Context<'_>,
        bytes_max: usize,
    ) -> Poll<io::Result<Chunk>> {
        assert!(self.received.bytes().is_empty(), "what is buffered comes first");
        assert!(bytes_max > 0, "a chunk of nothing would look like the end");
        // Nothing is known to be there: borrow no memory for the wait.
        ready!(self.socket.poll_ready(Interest::Read, cx));
        let pool = &self.socket.core.buffers;
        let mut memory = pool.take_chunk();
        let room = &mut memory[..bytes_max.min(CHUNK_BYTES)];
        let read =
            self.socket.poll_io(Interest::Read, cx, |driver, token| driver.read(token, room));
        match read {
            Poll::Ready(Ok(transfer)) => {
                if transfer.exhausted {
                    self.socket.exhaust(Interest::Read);
                }
                Poll::Ready(Ok(Chunk::new(memory, transfer.count)))
            }
            Poll::Ready(Err(error)) => {
                pool.give_back_chunk(memory);
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                pool.give_back_chunk(memory);
                Poll::Pending
            }
        }
    }

    pub(crate) fn buffered(&self) -> &[u8] {
        self.received.bytes()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.received.consume(count);
        self.received.release(&self.socket.core.buffers);
    }

    pub(crate) fn poll_write(
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

    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        self.socket.driver().shutdown_write(self.socket.token())
    }

    pub(crate) fn poll_peer_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.socket.poll_ready(Interest::Closed, cx)
    }

    pub(crate) fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
        self.socket.poll_ready(Interest::Broken, cx)
    }

    /// Takes the connection out of its shard. Cannot leave bytes behind: those of the buffer go along.
    pub(crate) fn detach(self) -> io::Result<Unattached> {
        let Self { socket, mut received } = self;
        let unread = received.bytes().to_vec();
        received.clear(&socket.core.buffers);
        Ok(Unattached { socket: socket.detach()?, unread })
    }

    pub(crate) fn attach(
        core: Rc<Core>,
        connection: Unattached,
        origin: &'static Location<'static>,
    ) -> io::Result<Self> {
        let Unattached { socket, unread } = connection;
        let socket = Socket::attach(core, socket, Kind::Stream, origin)?;
        let received = RecvBuffer::holding(&unread, &socket.core.buffers);
        Ok(Self { socket, received })
    }

    pub(crate) fn abort(self) {
        let Self { socket, mut received } = self;
        received.clear(&socket.core.buffers);
        socket.abort();
    }
}

/// A connection that belongs to no shard.
#[derive(Debug)]
pub(crate) struct Unattached {
    socket: Detached,
    /// Received and not consumed.
    unread: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?} unread", self.socket.token(), self.received)
    }
}

/// The methods of what receives bytes.
macro_rules! receiving {
    () => {
        /// Receives more bytes behind those in `buffered`, and gives how many; 0 is the end: the peer's FIN.
        ///
        /// # Errors
        /// `ConnectionReset` and the like; the connection is of no use then.
        ///
        /// # Panics
        /// When [`RECV_BUFFER_BYTES`](crate::net::RECV_BUFFER_BYTES) are buffered: consume first.
        pub fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
            self.connection.poll_fill(cx)
        }

        /// As `poll_fill`, of what is there at this moment, though the shard may not have been told of it yet; `None` if
        /// nothing is. For whoever is about to end a connection because nothing has come.
        ///
        /// # Errors
        /// As `poll_fill`.
        ///
        /// # Panics
        /// As `poll_fill`.
        pub fn try_fill(&mut self) -> io::Result<Option<usize>> {
            self.connection.try_fill()
        }

        /// Receives up to `bytes_max` bytes, and no more than [`CHUNK_BYTES`](crate::net::CHUNK_BYTES), into memory of
        /// their own: for whoever knows that many are to come, and passes them on as they are. None is the end: the peer's
        /// FIN.
        ///
        /// # Errors
        /// As `poll_fill`.
        ///
        /// # Panics
        /// When bytes are `buffered`, which come before; when `bytes_max` is 0.
        pub fn poll_chunk(
            &mut self,
            cx: &Context<'_>,
            bytes_max: usize,
        ) -> Poll<io::Result<$crate::net::Chunk>> {
            self.connection.poll_chunk(cx, bytes_max)
        }

        /// Bytes that were received and not consumed.
        #[must_use]
        pub fn buffered(&self) -> &[u8] {
            self.connection.buffered()
        }

        /// Drops the first `count` bytes of `buffered`.
        ///
        /// # Panics
        /// When there are fewer.
        pub fn consume(&mut self, count: usize) {
            self.connection.consume(count);
        }

        /// Waits for more bytes. See `poll_fill`. Cancel-safe.
        ///
        /// # Errors
        /// As `poll_fill`.
        pub async fn fill(&mut self) -> io::Result<usize> {
            poll_fn(|cx| self.poll_fill(cx)).await
        }

        /// Reads into `target` what is there, and waits if nothing is; 0 is the end: the peer's FIN. Cancel-safe.
        ///
        /// # Errors
        /// As `poll_fill`.
        pub async fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            if self.buffered().is_empty() && self.fill().await? == 0 {
                return Ok(0);
            }
            let count = target.len().min(self.buffered().len());
            target[..count].copy_from_slice(&self.buffered()[..count]);
            self.consume(count);
            Ok(count)
        }
    };
}

/// The methods of what sends bytes.
macro_rules! sending {
    () => {
        /// Writes from `buffers` what the machine takes; at least one must not be empty.
        ///
        /// # Errors
        /// `BrokenPipe`, `ConnectionReset` and the like.
        pub fn poll_write(
            &mut self,
            cx: &Context<'_>,
            buffers: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.connection.poll_write(cx, buffers)
        }

        /// Writes all of `bytes`. Not cancel-safe: nobody learns how much was written of a write that was dropped.
        ///
        /// # Errors
        /// As `poll_write`.
        pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
            while !bytes.is_empty() {
                let count = poll_fn(|cx| self.poll_write(cx, &[IoSlice::new(bytes)])).await?;
                bytes = &bytes[count..];
            }
            Ok(())
        }
    };
}

/// The methods of what can end in one direction, or break.
macro_rules! ending {
    () => {
        /// Sends FIN; reading goes on.
        ///
        /// # Errors
        /// `NotConnected` when the connection is gone.
        pub fn shutdown_write(&mut self) -> io::Result<()> {
            self.connection.shutdown_write()
        }

        /// Waits until the peer will send nothing more: its FIN or a reset has arrived, though bytes before it may be
        /// unread. Needs no read. May be polled again after it is ready.
        pub fn poll_peer_closed(&self, cx: &Context<'_>) -> Poll<()> {
            self.connection.poll_peer_closed(cx)
        }

        /// Waits until the connection is broken by a reset. Needs neither read nor write. May be polled again after
        /// it is ready.
        pub fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
            self.connection.poll_broken(cx)
        }

        /// Ends the connection at once; what was not sent is lost.
        ///
        /// TCP resets it. A Unix socket has nothing that could be taken back: its bytes are at the peer as soon as
        /// they are written, and it is closed as by a drop.
        pub fn abort(self) {
            self.connection.abort();
        }
    };
}

pub(crate) use {ending, receiving, sending};
