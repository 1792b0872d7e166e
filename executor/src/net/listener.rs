//! `TcpListener`: takes connections.

use core::fmt;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::panic::Location;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::rc::Rc;

use super::{DetachedListener, Socket, Sweep, TcpStream};
use crate::driver::{Address, Exhausted, ListenOptions, Ready, Token};
use crate::reactor::{Interest, Kind};
use crate::shard::Core;
use crate::time::sleep;
use crate::{current, reachable, sometimes};

/// Pause before the next accept when the machine is out of sockets: some will be closed meanwhile.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A listening TCP socket of the current shard. Dropping it closes it, and resets what waits in its backlog.
pub struct TcpListener {
    socket: Socket,
}

impl TcpListener {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of [`Driver::listen`](crate::driver::Driver::listen).
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let core = current::core();
        let token = core.driver.listen(&address.into(), options)?;
        // Nothing is known to wait; the first accept finds out.
        let socket = Socket::new(core, token, Kind::Listener, Ready::READABLE, Location::caller());
        Ok(Self { socket })
    }

    /// Takes the listener out of this shard, to [`attach`](DetachedListener::attach) it in another one. Connections go on
    /// to wait in its backlog.
    ///
    /// # Errors
    /// Where the machine cannot let go of it; it is closed then.
    pub fn detach(self) -> io::Result<DetachedListener> {
        Ok(DetachedListener { inner: self.socket.detach()? })
    }

    pub(super) fn attach(
        core: Rc<Core>,
        listener: DetachedListener,
        origin: &'static Location<'static>,
    ) -> io::Result<Self> {
        let socket = Socket::attach(core, listener.inner, Kind::Listener, origin)?;
        Ok(Self { socket })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// Where the machine cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.driver().local_addr(self.socket.token())?;
        address.ip().ok_or(io::ErrorKind::AddrNotAvailable.into())
    }

    /// Takes the next connection. One waiter at a time: of several, only the last to poll is woken. Cancel-safe: a
    /// connection is either given or still waits.
    ///
    /// # Errors
    /// `ConnectionAborted` when a peer gave up before its turn (go on); an error of
    /// [`Exhausted::is`](crate::driver::Exhausted::is) when the machine is out of sockets (go on after a pause).
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        let origin = Location::caller();
        poll_fn(move |cx| self.poll_accept(cx, origin))
    }

    /// Takes the next connection, however often that has to be tried: a peer that gave up before its turn is passed over, and where the
    /// machine is out of sockets, or fails in another way, it waits for 100 ms and says so in the log. One waiter at a time, and
    /// cancel-safe, as [`TcpListener::accept`].
    #[track_caller]
    pub fn accept_patiently(&self) -> impl Future<Output = (TcpStream, SocketAddr)> {
        let origin = Location::caller();
        async move {
            loop {
                match poll_fn(|cx| self.poll_accept(cx, origin)).await {
                    Ok(accepted) => return accepted,
                    Err(error) => pause_after(&error).await,
                }
            }
        }
    }

    /// What waits in the backlog at the end, when no more are to be accepted: closing the listener, which comes next, resets it.
    #[must_use]
    #[track_caller]
    pub fn sweep(&self) -> Sweep<'_> {
        Sweep::of(self, Location::caller())
    }

    /// Takes a connection that waits at this moment, though the shard may not have been told of it yet; `None` if none does.
    /// For whoever is about to close the listener: what waits then is reset.
    ///
    /// # Errors
    /// Those of [`TcpListener::accept`].
    #[track_caller]
    pub fn try_accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        self.try_accept_at(Location::caller())
    }

    pub(super) fn try_accept_at(
        &self,
        origin: &'static Location<'static>,
    ) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let accepted = self.socket.try_io(Interest::Read, |driver, token| driver.accept(token))?;
        Ok(accepted.map(|(token, peer)| self.taken(token, &peer, origin)))
    }

    fn poll_accept(
        &self,
        cx: &Context<'_>,
        origin: &'static Location<'static>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accept = self.socket.poll_io(Interest::Read, cx, |driver, token| driver.accept(token));
        Poll::Ready(ready!(accept).map(|(token, peer)| self.taken(token, &peer, origin)))
    }

    /// What the driver has accepted, as a stream.
    fn taken(
        &self,
        token: Token,
        peer: &Address,
        origin: &'static Location<'static>,
    ) -> (TcpStream, SocketAddr) {
        let peer = peer.ip().expect("a TCP connection comes from an IP address");
        (TcpStream::connected(Rc::clone(&self.socket.core), token, peer, origin), peer)
    }
}

/// Lets the machine recover from an accept that failed.
async fn pause_after(error: &io::Error) {
    match error.kind() {
        // That peer gave up; the next one is not concerned.
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {
            reachable!("a client gives up before it is accepted");
        }
        _ => {
            let out_of_sockets = Exhausted::is(error);
            sometimes!(out_of_sockets, "accept finds no sockets left");
            tracing::warn!(out_of_sockets, "accept failed, next try in 100 ms: {error}");
            sleep(EXHAUSTED_PAUSE).await;
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({:?})", self.socket.token())
    }
}
