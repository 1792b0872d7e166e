//! UDP sockets: the system calls behind the driver's.

use core::net::SocketAddr;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendFlags, SocketType, sockopt,
};

use super::sockets::new_socket;
use crate::driver::Received;

/// A socket, and what must be known of it beside.
#[derive(Debug)]
pub(super) struct DatagramSocket {
    fd: OwnedFd,
    is_v6: bool,
}

impl DatagramSocket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let is_v6 = address.is_ipv6();
        let family = if is_v6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let fd = new_socket(family, SocketType::DGRAM)?;
        if is_v6 {
            // As for a listener: systems differ in what they do by themselves.
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        rustix::net::bind(&fd, &address)?;
        Ok(Self { fd, is_v6 })
    }

    pub(super) fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.check_version(peer)?;
        Ok(rustix::net::connect(&self.fd, &peer)?)
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut no_control = RecvAncillaryBuffer::default();
        let mut buffers = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::empty();
        let received = rustix::net::recvmsg(&self.fd, &mut buffers, &mut no_control, flags)?;
        let peer = received.address.and_then(|peer| SocketAddr::try_from(peer).ok());
        Ok(Received {
            count: received.bytes,
            is_truncated: received.flags.contains(ReturnFlags::TRUNC),
            peer: peer.ok_or(io::ErrorKind::AddrNotAvailable)?,
        })
    }

    pub(super) fn send(&self, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        let sent = match to {
            Some(to) => {
                self.check_version(to)?;
                rustix::net::sendto(&self.fd, datagram, SendFlags::NOSIGNAL, &to)
            }
            None => rustix::net::send(&self.fd, datagram, SendFlags::NOSIGNAL),
        };
        match sent {
            Ok(count) => {
                assert_eq!(count, datagram.len(), "a datagram is sent as a whole");
                Ok(())
            }
            Err(Errno::MSGSIZE) => Err(io::ErrorKind::InvalidInput.into()),
            Err(Errno::DESTADDRREQ) => Err(io::ErrorKind::NotConnected.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Systems have many words for this mistake.
    fn check_version(&self, address: SocketAddr) -> io::Result<()> {
        if address.is_ipv6() == self.is_v6 {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
