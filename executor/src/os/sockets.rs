//! TCP sockets: the system calls behind the driver's, non-blocking and closed on exec.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny, SocketType,
    sockopt,
};

use crate::driver::ListenOptions;

/// Buffers that one system call takes: `IOV_MAX` of Linux, macOS and the BSDs. The caller writes the rest next.
const SLICES_MAX: usize = 1024;

/// A listening socket. Connections inherit its `TCP_NODELAY`: small answers must not wait for an acknowledgement.
pub(super) fn listen(address: SocketAddr, options: ListenOptions) -> io::Result<OwnedFd> {
    let fd = tcp_socket(address)?;
    // As every server does: a port whose old connections linger in TIME_WAIT is not in use.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if options.reuse_port {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    sockopt::set_tcp_nodelay(&fd, true)?;
    rustix::net::bind(&fd, &address)?;
    rustix::net::listen(&fd, i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(fd)
}

/// Takes a connection.
pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let (fd, peer) = accept_nonblocking(listener)?;
    // A peer without an address is one that is gone already.
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((fd, peer.ok_or(io::ErrorKind::ConnectionAborted)?))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn accept_nonblocking(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::acceptfrom_with(listener, flags)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn accept_nonblocking(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (fd, peer) = rustix::net::acceptfrom(listener)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    Ok((fd, peer))
}

/// Starts to connect.
pub(super) fn connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = tcp_socket(address)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    match rustix::net::connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}

/// How the connect went.
pub(super) fn connect_outcome(fd: BorrowedFd<'_>) -> io::Result<()> {
    sockopt::socket_error(fd)??;
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(()),
        // No error and no peer: it is still under way, and the edge was spurious.
        Err(Errno::NOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(fd, buffer, RecvFlags::empty())?;
    Ok(count)
}

/// What one [`send`] takes of `buffers`: not more of them than the kernel does, which would refuse them all, and none
/// that is empty in front, so that something is written.
pub(super) fn for_one_call<'a, 'b>(buffers: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    let first = buffers.iter().take_while(|buffer| buffer.is_empty()).count();
    &buffers[first..buffers.len().min(first + SLICES_MAX)]
}

pub(super) fn send(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = match buffers {
        [one] => rustix::net::send(fd, one, SendFlags::NOSIGNAL)?,
        many => {
            let mut no_control = SendAncillaryBuffer::default();
            rustix::net::sendmsg(fd, many, &mut no_control, SendFlags::NOSIGNAL)?
        }
    };
    Ok(count)
}

pub(super) fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::shutdown(fd, Shutdown::Write)?)
}

pub(super) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let address = rustix::net::getsockname(fd)?;
    SocketAddr::try_from(address).map_err(|_| io::ErrorKind::AddrNotAvailable.into())
}

/// Makes the close that follows a reset.
pub(super) fn reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(fd, Some(Duration::ZERO))?)
}

fn tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    new_socket(family)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn new_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn new_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let fd = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}
