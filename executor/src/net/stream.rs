//! `TcpStream`: bytes both ways over the network.

use core::fmt;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::panic::Location;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::rc::Rc;

use super::byte_stream::{ByteStream, byte_receiving, byte_sending};
use super::connection::{Connection, ending, receiving, sending};
use super::{DetachedStream, Socket};
use crate::current;
use crate::driver::{Address, Keepalive, Ready, Token};
use crate::reactor::{Interest, Kind};
use crate::shard::Core;

/// A TCP connection of the current shard. Dropping it closes it: what was written is still delivered, unless unread
/// bytes are left, which resets the connection as POSIX has it.
///
/// Small writes leave at once (`TCP_NODELAY` is on): a program that writes a message in pieces gathers them, or turns
/// it off with [`TcpStream::set_nodelay`].
pub struct TcpStream {
    connection: Connection,
    peer: SocketAddr,
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
            let socket = connect(core, &address.into(), origin).await?;
            Ok(Self { connection: Connection::new(socket), peer: address })
        }
    }

    /// A stream for a socket that the driver just accepted.
    pub(super) fn connected(
        core: Rc<Core>,
        token: Token,
        peer: SocketAddr,
        origin: &'static Location<'static>,
    ) -> Self {
        Self { connection: Connection::new(connected(core, token, origin)), peer }
    }

    /// Takes the connection out of this shard, with the bytes that were received and not consumed, to
    /// [`attach`](DetachedStream::attach) it in another one.
    ///
    /// # Errors
    /// Where the machine cannot let go of it; it is closed then.
    pub fn detach(self) -> io::Result<DetachedStream> {
        let Self { connection, peer } = self;
        Ok(DetachedStream { inner: connection.detach()?, peer })
    }

    pub(super) fn attach(
        core: Rc<Core>,
        stream: DetachedStream,
        origin: &'static Location<'static>,
    ) -> io::Result<Self> {
        let DetachedStream { inner, peer } = stream;
        Ok(Self { connection: Connection::attach(core, inner, origin)?, peer })
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
        let socket = &self.connection.socket;
        let address = socket.driver().local_addr(socket.token())?;
        address.ip().ok_or(io::ErrorKind::AddrNotAvailable.into())
    }

    /// Whether small writes leave at once. On from the start; off, a small write may wait for the acknowledgement of the
    /// one before, some 40 ms with a peer that delays it, and go together with what is written meanwhile.
    ///
    /// # Errors
    /// Where the machine refuses.
    pub fn set_nodelay(&self, is_on: bool) -> io::Result<()> {
        let socket = &self.connection.socket;
        socket.driver().set_nodelay(socket.token(), is_on)
    }

    /// Lets the connection ask whether its peer is still there when nothing has come for a while, as `keepalive` says; `None`,
    /// as from the start: not. A peer whose machine crashed while nothing was said is found out by this, and by nothing else:
    /// then [`TcpStream::poll_broken`] is ready, and a read or write fails with `TimedOut`. (While something is written that the
    /// peer does not acknowledge, the machine gives up by itself, after some 15 minutes on Linux.)
    ///
    /// # Errors
    /// `InvalidInput` as [`Keepalive::in_whole_seconds`] has it; `Unsupported` where the machine has nothing of it.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        let socket = &self.connection.socket;
        socket.driver().set_keepalive(socket.token(), keepalive)
    }

    receiving!();
    sending!();
    ending!();
}

/// Opens a socket that is connected to `address`.
pub(super) async fn connect(
    core: Rc<Core>,
    address: &Address,
    origin: &'static Location<'static>,
) -> io::Result<Socket> {
    let token = core.driver.connect(address)?;
    let socket = Socket::new(core, token, Kind::Stream, Ready::NONE, origin);
    poll_fn(|cx| {
        socket.poll_io(Interest::Write, cx, |driver, token| driver.connect_outcome(token))
    })
    .await?;
    Ok(socket)
}

/// Takes charge of a stream that is connected already: it is tried before its first edge.
pub(super) fn connected(
    core: Rc<Core>,
    token: Token,
    origin: &'static Location<'static>,
) -> Socket {
    Socket::new(core, token, Kind::Stream, Ready::READABLE | Ready::WRITABLE, origin)
}

impl ByteStream for TcpStream {
    byte_receiving!();
    byte_sending!();
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpStream({:?})", self.connection)
    }
}
