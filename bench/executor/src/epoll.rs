//! The limit of the echo case: a bare epoll loop, with no runtime at all.
//!
//! Edge-triggered, registered once; a read that does not fill the buffer says that the socket is drained, unless the
//! client has hung up: that edge will not come again. It ends with its parent, or by a signal.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, accept_with, bind,
    getsockname, listen, recv, send, socket_with, sockopt,
};
use std::net::{Ipv4Addr, SocketAddr};

/// The listener's key; a connection's is its place in the table.
const LISTENER: u64 = u64::MAX;

struct Connection {
    socket: OwnedFd,
    /// What the socket would not take; nothing is read until it has.
    unsent: Vec<u8>,
}

/// The connection is over.
struct Gone;

fn main() -> Result<(), Errno> {
    let listener = listener()?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; 4096];
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                accept_all(&epoll, &listener, &mut connections)?;
            } else if let Some(slot) = connections.get_mut(key as usize)
                && let Some(connection) = slot
                && turn(connection, event.flags, &mut buffer).is_err()
            {
                *slot = None;
            }
        }
    }
}

/// Listens on a free port of this machine alone, and says which.
fn listener() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    listen(&socket, 1024)?;
    let address: SocketAddrAny = getsockname(&socket)?;
    println!("{}", SocketAddr::try_from(address)?.port());
    Ok(socket)
}

fn accept_all(
    epoll: &OwnedFd,
    listener: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
) -> Result<(), Errno> {
    loop {
        let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(error) => return Err(error),
        };
        sockopt::set_tcp_nodelay(&socket, true)?;
        let at = connections.iter().position(Option::is_none).unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(at as u64), flags)?;
        connections[at] = Some(Connection { socket, unsent: Vec::new() });
    }
}

fn turn(connection: &mut Connection, flags: EventFlags, buffer: &mut [u8]) -> Result<(), Gone> {
    let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
    let sent = send_some(&connection.socket, &connection.unsent)?;
    connection.unsent.drain(..sent);
    while connection.unsent.is_empty() {
        let count = match recv(&connection.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(Gone),
            Ok((_, count)) => count,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(_) => return Err(Gone),
        };
        let sent = send_some(&connection.socket, &buffer[..count])?;
        connection.unsent.extend_from_slice(&buffer[sent..count]);
        if count < buffer.len() && !ending {
            return Ok(());
        }
    }
    Ok(())
}

/// How many of the bytes the socket took; of none it takes none, without a system call.
fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Gone> {
    if bytes.is_empty() {
        return Ok(0);
    }
    loop {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => return Ok(sent),
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(_) => return Err(Gone),
        }
    }
}
