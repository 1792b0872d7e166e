//! Stream sockets: the system calls behind the driver's, non-blocking and closed on exec. TCP's way to be opened; that of
//! Unix sockets is in `unix`.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny,
    SocketAddrUnix, SocketType, sockopt,
};

use super::unix;
use crate::driver::{Address, Keepalive, ListenOptions};

/// Buffers that one system call takes: `IOV_MAX` of Linux, macOS and the BSDs. The caller writes the rest next.
const SLICES_MAX: usize = 1024;

/// Bytes that a connection may have in the kernel which are not even sent, before a write waits (`TCP_NOTSENT_LOWAT`, see
/// tcp(7)). Without it the kernel takes up to 4 MiB for each peer that reads slowly (`tcp_wmem`), and who writes to them has
/// the work of filling that. What is under way comes on top of it, so it costs no throughput.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_HIGH: u32 = 128 * 1024;

/// A listening socket. Connections inherit how it is tuned.
pub(super) fn listen(address: SocketAddr, options: ListenOptions) -> io::Result<OwnedFd> {
    let fd = bind_listener(address, options.reuse_port)?;
    start_to_listen(&fd, options)?;
    Ok(fd)
}

/// A socket that has its address and does not listen yet: nobody can connect to it.
pub(super) fn bind_listener(address: SocketAddr, reuse_port: bool) -> io::Result<OwnedFd> {
    let fd = tcp_socket(address)?;
    // As every server does: a port whose old connections linger in TIME_WAIT is not in use.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if reuse_port {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    if address.is_ipv6() {
        // Systems differ in what they do by themselves. One that took IPv4 as well would show its peers at addresses
        // that no list of addresses knows (::ffff:192.0.2.1).
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    tune(&fd)?;
    rustix::net::bind(&fd, &address)?;
    Ok(fd)
}

pub(super) fn start_to_listen(fd: impl AsFd, options: ListenOptions) -> io::Result<()> {
    Ok(rustix::net::listen(fd, i32::try_from(options.backlog).unwrap_or(i32::MAX))?)
}

/// Takes a connection.
pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    let (fd, peer) = accept_nonblocking(listener)?;
    // A peer without an address is one that is gone already.
    let peer = peer.and_then(|peer| in_our_words(peer).ok());
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
    if peer.as_ref().is_some_and(|peer| peer.address_family() != AddressFamily::UNIX) {
        tune(&fd)?;
    }
    Ok((fd, peer))
}

/// Starts to connect.
pub(super) fn connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = tcp_socket(address)?;
    tune(&fd)?;
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

pub(super) fn set_nodelay(fd: BorrowedFd<'_>, is_on: bool) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(fd, is_on)?)
}

#[cfg(not(any(
    target_os = "openbsd",
    target_os = "haiku",
    target_os = "nto",
    target_os = "redox"
)))]
pub(super) fn set_keepalive(fd: BorrowedFd<'_>, keepalive: Option<Keepalive>) -> io::Result<()> {
    if let Some(keepalive) = keepalive {
        let Keepalive { idle, interval, count } = keepalive.in_whole_seconds()?;
        sockopt::set_tcp_keepidle(fd, idle)?;
        sockopt::set_tcp_keepintvl(fd, interval)?;
        sockopt::set_tcp_keepcnt(fd, count)?;
    }
    Ok(sockopt::set_socket_keepalive(fd, keepalive.is_some())?)
}

#[cfg(any(target_os = "openbsd", target_os = "haiku", target_os = "nto", target_os = "redox"))]
pub(super) fn set_keepalive(_: BorrowedFd<'_>, _: Option<Keepalive>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<Address> {
    in_our_words(rustix::net::getsockname(fd)?)
}

fn in_our_words(address: SocketAddrAny) -> io::Result<Address> {
    if address.address_family() == AddressFamily::UNIX {
        return Ok(unix::address(&SocketAddrUnix::try_from(address)?));
    }
    let address = SocketAddr::try_from(address).map_err(|_| io::ErrorKind::AddrNotAvailable)?;
    Ok(Address::Ip(address))
}

/// Makes the close that follows a reset.
pub(super) fn reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(fd, Some(Duration::ZERO))?)
}

/// Small answers do not wait for an acknowledgement, and big ones do not pile up.
fn tune(fd: &OwnedFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(fd, true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(fd).set_tcp_notsent_lowat(UNSENT_BYTES_HIGH)?;
    Ok(())
}

fn tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    new_socket(family, SocketType::STREAM)
}

/// Two Unix sockets that are connected to each other.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::SocketFlags;
    let none = SocketFlags::empty();
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, none, None)?;
    for fd in [&pair.0, &pair.1] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    Ok(pair)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn new_socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn new_socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    let fd = rustix::net::socket(family, kind, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writes_leave_at_once_unless_told_otherwise() {
        let any_port = "127.0.0.1:0".parse().unwrap();
        let listener = listen(any_port, ListenOptions::default()).unwrap();
        let address = local_addr(listener.as_fd()).unwrap().ip().unwrap();
        let client = connect(address).unwrap();
        let server = loop {
            match accept(listener.as_fd()) {
                Ok((server, _)) => break server,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        for end in [&client, &server] {
            assert!(sockopt::tcp_nodelay(end).unwrap());
            set_nodelay(end.as_fd(), false).unwrap();
            assert!(!sockopt::tcp_nodelay(end).unwrap());
        }
    }
    #[test]
    fn keep_alive_is_set_in_whole_seconds_and_unset() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), ListenOptions::default()).unwrap();
        let client = connect(local_addr(listener.as_fd()).unwrap().ip().unwrap()).unwrap();
        assert!(!sockopt::socket_keepalive(&client).unwrap());
        let (idle, interval) = (Duration::from_millis(1500), Duration::from_secs(7));
        let keepalive = Keepalive { idle, interval, count: 3 };
        set_keepalive(client.as_fd(), Some(keepalive)).unwrap();
        assert!(sockopt::socket_keepalive(&client).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&client).unwrap(), Duration::from_secs(2));
        assert_eq!(sockopt::tcp_keepintvl(&client).unwrap(), interval);
        assert_eq!(sockopt::tcp_keepcnt(&client).unwrap(), 3);
        set_keepalive(client.as_fd(), None).unwrap();
        assert!(!sockopt::socket_keepalive(&client).unwrap());
    }
}
