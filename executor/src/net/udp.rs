//! `UdpSocket`: datagrams.
//!
//! Each is sent and received as a whole or not at all; each may get lost, come twice, or after one that was sent later.

use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::panic::Location;
use core::task::{Context, Poll};
use std::io;

use super::Socket;
use crate::current;
use crate::driver::{Ready, Received};
use crate::reactor::{Interest, Kind};

/// A UDP socket of the current shard. Dropping it closes it, with the datagrams that nobody received.
///
/// One task may wait to receive and one to send: of several, only the last to poll is woken.
pub struct UdpSocket {
    socket: Socket,
}

impl UdpSocket {
    /// Binds `address`; port 0 takes a free one. An IPv6 address takes IPv6 only, also where it is unspecified.
    ///
    /// # Errors
    /// Those of [`Driver::bind_datagram`](crate::driver::Driver::bind_datagram).
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let core = current::core();
        let token = core.driver.bind_datagram(address)?;
        // Nothing is known of it; the first call finds out.
        let ready = Ready::READABLE | Ready::WRITABLE;
        let socket = Socket::new(core, token, Kind::Datagrams, ready, Location::caller());
        Ok(Self { socket })
    }

    /// From now on: [`UdpSocket::send`] goes to `peer`, only datagrams from `peer` arrive, and it is told when nobody is
    /// there. Datagrams that came before stay. May be called again, for another peer.
    ///
    /// # Errors
    /// `InvalidInput` for the other version of IP; and those of the machine: no route.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.socket.driver().connect_datagram(self.socket.token(), peer)
    }

    /// Our address. Of a socket that is bound to the unspecified address it is known better once it is connected.
    ///
    /// # Errors
    /// Where the machine cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.driver().local_addr(self.socket.token())?;
        address.ip().ok_or(io::ErrorKind::AddrNotAvailable.into())
    }

    /// Receives one datagram into `buffer`. What does not fit is lost, and [`Received::is_truncated`] says so. A count
    /// of zero is a datagram without bytes, not an end.
    ///
    /// # Errors
    /// `ConnectionRefused`, once, when a datagram that was sent to the peer of [`UdpSocket::connect`] found nobody; the
    /// socket goes on.
    pub fn poll_recv_from(
        &self,
        cx: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        self.socket.poll_io(Interest::Read, cx, |driver, token| driver.receive_from(token, buffer))
    }

    /// Waits for a datagram. See [`UdpSocket::poll_recv_from`]. Cancel-safe: a datagram is either given or still waits.
    ///
    /// # Errors
    /// As [`UdpSocket::poll_recv_from`].
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Received> {
        poll_fn(|cx| self.poll_recv_from(cx, buffer)).await
    }

    /// Sends one datagram to `to`, and waits while the machine has no room for it. It says nothing of whether it
    /// arrives.
    ///
    /// # Errors
    /// `InvalidInput` for one that is too long (beyond 65,507 bytes with IPv4, 65,527 with IPv6) and for the other
    /// version of IP; `ConnectionRefused` as [`UdpSocket::poll_recv_from`], whichever is called first, and then this one
    /// is not sent; and those of the machine: no route, and an error of [`Exhausted::is`](crate::driver::Exhausted::is) when
    /// it has no memory for it (go on after a pause).
    pub fn poll_send_to(
        &self,
        cx: &Context<'_>,
        datagram: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>> {
        self.poll_send_any(cx, datagram, Some(to))
    }

    /// Sends one datagram to `to`. See [`UdpSocket::poll_send_to`]. Cancel-safe: it is sent, or it is not.
    ///
    /// # Errors
    /// As [`UdpSocket::poll_send_to`].
    pub async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        poll_fn(|cx| self.poll_send_to(cx, datagram, to)).await
    }

    /// Sends one datagram to the peer of [`UdpSocket::connect`].
    ///
    /// # Errors
    /// As [`UdpSocket::poll_send_to`]; `NotConnected` without a peer.
    pub fn poll_send(&self, cx: &Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        self.poll_send_any(cx, datagram, None)
    }

    /// Sends one datagram to the peer of [`UdpSocket::connect`]. Cancel-safe: it is sent, or it is not.
    ///
    /// # Errors
    /// As [`UdpSocket::poll_send`].
    pub async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx, datagram)).await
    }

    fn poll_send_any(
        &self,
        cx: &Context<'_>,
        datagram: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<()>> {
        self.socket
            .poll_io(Interest::Write, cx, |driver, token| driver.send_to(token, datagram, to))
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpSocket({:?})", self.socket.token())
    }
}
