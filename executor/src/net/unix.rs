//! `UnixListener` and `UnixStream`: bytes both ways between programs of one machine, over a path of its file system.

use core::fmt;
use core::future::{Future, poll_fn};
use core::panic::Location;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::byte_stream::{ByteStream, byte_receiving, byte_sending};
use super::connection::{Connection, ending, receiving, sending};
use super::stream::{connect, connected};
use super::{DetachedUnixListener, DetachedUnixStream, Socket};
use crate::current;
use crate::driver::{Address, ListenOptions, Ready};
use crate::reactor::{Interest, Kind};
use crate::shard::Core;

/// A listening Unix socket of the current shard. Dropping it resets what waits in its backlog and removes its path.
///
/// The path is removed only while it still names this socket: one that somebody moved or replaced stays. A program
/// that dies without dropping its listener leaves the path behind; then nobody listens there, connecting says
/// `ConnectionRefused`, and binding says `AddrInUse` until the path is removed.
///
/// One shard listens at a path: sharing it with others, as `SO_REUSEPORT` does for TCP, is not to be had.
pub struct UnixListener {
    socket: Socket,
}

impl UnixListener {
    /// Listens at `path`, which must not be there yet. Who may connect is up to the permissions of the folder, and of
    /// the path, which come from the process's umask.
    ///
    /// # Errors
    /// `AddrInUse` when something is at the path, be it a socket or not; `NotFound` when its folder is missing;
    /// `InvalidInput` when it is empty or longer than a socket address holds (107 bytes on Linux); `Unsupported` with
    /// [`ListenOptions::reuse_port`]; and the others of [`Driver::listen`](crate::driver::Driver::listen).
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn bind(path: impl Into<PathBuf>, options: ListenOptions) -> io::Result<Self> {
        let core = current::core();
        let token = core.driver.listen(&Address::Unix(path.into()), options)?;
        // Nothing is known to wait; the first accept finds out.
        let socket = Socket::new(core, token, Kind::Listener, Ready::READABLE, Location::caller());
        Ok(Self { socket })
    }

    /// Takes the listener out of this shard, to [`attach`](DetachedUnixListener::attach) it in another one. Connections go
    /// on to wait in its backlog, and its path stays.
    ///
    /// # Errors
    /// Where the machine cannot let go of it; it is closed then.
    pub fn detach(self) -> io::Result<DetachedUnixListener> {
        Ok(DetachedUnixListener { inner: self.socket.detach()? })
    }

    pub(super) fn attach(
        core: Rc<Core>,
        listener: DetachedUnixListener,
        origin: &'static Location<'static>,
    ) -> io::Result<Self> {
        let socket = Socket::attach(core, listener.inner, Kind::Listener, origin)?;
        Ok(Self { socket })
    }

    /// The address that it listens at: the path as it was given.
    ///
    /// # Errors
    /// Where the machine cannot tell.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.socket.driver().local_addr(self.socket.token())
    }

    /// Takes the next connection, and the address of its peer, which is [`Address::Unnamed`] unless the peer bound
    /// its end. One waiter at a time: of several, only the last to poll is woken. Cancel-safe: a connection is either
    /// given or still waits.
    ///
    /// # Errors
    /// An error of [`Exhausted::is`](crate::driver::Exhausted::is) when the machine is out of sockets (go on after a
    /// pause).
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(UnixStream, Address)>> {
        let origin = Location::caller();
        poll_fn(move |cx| self.poll_accept(cx, origin))
    }

    fn poll_accept(
        &self,
        cx: &Context<'_>,
        origin: &'static Location<'static>,
    ) -> Poll<io::Result<(UnixStream, Address)>> {
        let accept = self.socket.poll_io(Interest::Read, cx, |driver, token| driver.accept(token));
        Poll::Ready(ready!(accept).map(|(token, peer)| {
            let socket = connected(Rc::clone(&self.socket.core), token, origin);
            (UnixStream::new(socket, peer.clone()), peer)
        }))
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixListener({:?})", self.socket.token())
    }
}

/// A Unix connection of the current shard. Dropping it closes it: what was written is still delivered. Unread bytes
/// that are left make it a reset for the peer, who otherwise finds a FIN.
///
/// It differs from TCP where both ends see the same kernel: a peer that is gone fails the very next write with
/// `BrokenPipe`, and shutting down the writing half never says `NotConnected`.
pub struct UnixStream {
    connection: Connection,
    peer: Address,
}

impl UnixStream {
    /// Connects to the listener at `path`. Dropping the future gives up.
    ///
    /// # Errors
    /// `NotFound` when nothing is there; `ConnectionRefused` when nobody listens there; `PermissionDenied`; an error
    /// of [`Exhausted::is`](crate::driver::Exhausted::is) when the listener's backlog is full (go on after a pause:
    /// unlike TCP's, this kernel does not try again by itself); and the others of the machine.
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn connect(path: impl Into<PathBuf>) -> impl Future<Output = io::Result<Self>> {
        let core = current::core();
        let origin = Location::caller();
        let address = Address::Unix(path.into());
        async move {
            let socket = connect(core, &address, origin).await?;
            Ok(Self::new(socket, address))
        }
    }

    /// Two ends of a connection that has no path.
    ///
    /// # Errors
    /// When the machine is out of sockets.
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let core = current::core();
        let origin = Location::caller();
        let (one, other) = core.driver.stream_pair()?;
        let end = |token| {
            let socket = connected(Rc::clone(&core), token, origin);
            Self::new(socket, Address::Unnamed)
        };
        Ok((end(one), end(other)))
    }

    /// Takes the connection out of this shard, with the bytes that were received and not consumed, to
    /// [`attach`](DetachedUnixStream::attach) it in another one.
    ///
    /// # Errors
    /// Where the machine cannot let go of it; it is closed then.
    pub fn detach(self) -> io::Result<DetachedUnixStream> {
        let Self { connection, peer } = self;
        Ok(DetachedUnixStream { inner: connection.detach()?, peer })
    }

    pub(super) fn attach(
        core: Rc<Core>,
        stream: DetachedUnixStream,
        origin: &'static Location<'static>,
    ) -> io::Result<Self> {
        let DetachedUnixStream { inner, peer } = stream;
        Ok(Self { connection: Connection::attach(core, inner, origin)?, peer })
    }

    fn new(socket: Socket, peer: Address) -> Self {
        Self { connection: Connection::new(socket), peer }
    }

    /// The peer's address: the path that was connected to; for who accepts mostly [`Address::Unnamed`].
    #[must_use]
    pub fn peer_addr(&self) -> &Address {
        &self.peer
    }

    /// The path that the peer's address is, if it has one.
    #[must_use]
    pub fn peer_path(&self) -> Option<&Path> {
        self.peer.path()
    }

    /// Our address.
    ///
    /// # Errors
    /// Where the machine cannot tell.
    pub fn local_addr(&self) -> io::Result<Address> {
        let socket = &self.connection.socket;
        socket.driver().local_addr(socket.token())
    }

    receiving!();
    sending!();
    ending!();
}

impl ByteStream for UnixStream {
    byte_receiving!();
    byte_sending!();
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixStream({:?})", self.connection)
    }
}
