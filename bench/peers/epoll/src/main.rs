//! The limit: what one core can do over the kernel's TCP when HTTP costs next to nothing.
//!
//! Edge-triggered, registered once; one read an event (a short one says the socket is drained), one write a read
//! however many requests were in it. A request ends at CRLFCRLF, its route is told by its first six bytes, the answer
//! is canned and as long as a real one; only `POST` looks for `Content-Length`, and what comes of its body goes back
//! from the buffer it was read into. No header is checked, no time is told, nothing is closed in good order: this is a
//! bound, not a server.
//! SIGTERM ends it by the default disposition.

use std::error::Error;
use std::net::SocketAddr;

use memchr::memmem::Finder;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with, sockopt,
};

/// The listener's place among the event data; a connection's is its descriptor's place in the table.
const LISTENER: u64 = u64::MAX;
/// The buffer all connections read into. A head that does not fit is refused by hanging up.
const READ: usize = 256 * 1024;

const PLAINTEXT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: peer-epoll\r\n\
    content-length: 13\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\nHello, World!";
const JSON: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: peer-epoll\r\n\
    content-length: 27\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n{\"message\":\"Hello, World!\"}";
const ECHO: &[u8] = b"HTTP/1.1 200 OK\r\nserver: peer-epoll\r\n\
    date: Sat, 21 Nov 2026 12:00:00 GMT\r\ncontent-length: ";
const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\nserver: peer-epoll\r\n\
    content-length: 9\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\nnot found";

struct Connection {
    socket: OwnedFd,
    /// The start of a head whose end has not been read.
    partial: Vec<u8>,
    /// Bytes of a body that are still to come and go back as they are; no head is partial then.
    echoing: usize,
    /// What the socket would not take; nothing is read until it has.
    unsent: Vec<u8>,
}

/// The connection is over: closed by the client, broken, or asking for what this server does not do.
struct Gone;

impl From<Errno> for Gone {
    fn from(_: Errno) -> Self {
        Self
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = listener(listen_address()?)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut events = Vec::with_capacity(1024);
    let mut connections = Vec::new();
    let mut input = vec![0; READ];
    let mut output = Vec::with_capacity(READ);
    let head_end = Finder::new(b"\r\n\r\n");
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                accept_all(&epoll, &listener, &mut connections)?;
                continue;
            }
            let Some(slot) = usize::try_from(token).ok().and_then(|at| connections.get_mut(at))
            else {
                continue;
            };
            if let Some(connection) = slot
                && turn(connection, event.flags, &head_end, &mut input, &mut output).is_err()
            {
                *slot = None;
            }
        }
    }
}

/// The value of `--listen`, the only flag.
fn listen_address() -> Result<SocketAddr, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--listen"), Some(address), None) => Ok(address.parse()?),
        _ => Err("usage: peer-epoll --listen ADDR".into()),
    }
}

fn listener(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 4096)?;
    Ok(socket)
}

fn accept_all(
    epoll: &OwnedFd,
    listener: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
) -> Result<(), Box<dyn Error>> {
    loop {
        let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(error) => return Err(error.into()),
        };
        sockopt::set_tcp_nodelay(&socket, true)?;
        let at = connections.iter().position(Option::is_none).unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, socket.as_fd(), EventData::new_u64(at as u64), flags)?;
        let connection = Connection { socket, partial: Vec::new(), echoing: 0, unsent: Vec::new() };
        connections[at] = Some(connection);
    }
}

/// Does what one event asks for: sends what is left, then reads until the socket is drained. After a hang-up only
/// the end of the stream says that: its edge will not come again.
fn turn(
    connection: &mut Connection,
    flags: EventFlags,
    head_end: &Finder<'_>,
    input: &mut [u8],
    output: &mut Vec<u8>,
) -> Result<(), Gone> {
    let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
    if !connection.unsent.is_empty() {
        let sent = send_some(&connection.socket, &connection.unsent)?;
        connection.unsent.drain(..sent);
    }
    while connection.unsent.is_empty() {
        let kept = connection.partial.len();
        input[..kept].copy_from_slice(&connection.partial);
        if kept == input.len() {
            return Err(Gone);
        }
        let read = match recv(&connection.socket, &mut input[kept..], RecvFlags::empty()) {
            Ok((_, 0)) => return Err(Gone),
            Ok((_, read)) => read,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let filled = kept + read;
        let echoed = connection.echoing.min(filled);
        connection.echoing -= echoed;
        send_or_keep(connection, &input[..echoed])?;
        output.clear();
        let answered = answer(&input[echoed..filled], head_end, output)?;
        connection.echoing += answered.echoing;
        connection.partial.clear();
        connection.partial.extend_from_slice(&input[echoed + answered.used..filled]);
        send_or_keep(connection, output)?;
        if filled < input.len() && !ending {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends what the socket takes, unless something waits already, and keeps the rest.
fn send_or_keep(connection: &mut Connection, bytes: &[u8]) -> Result<(), Gone> {
    let mut sent = 0;
    if connection.unsent.is_empty() && !bytes.is_empty() {
        sent = send_some(&connection.socket, bytes)?;
    }
    connection.unsent.extend_from_slice(&bytes[sent..]);
    Ok(())
}

fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Gone> {
    loop {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => return Ok(sent),
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How far [`answer`] came.
struct Answered {
    /// Bytes of the input.
    used: usize,
    /// Bytes of the last body that were not in the input.
    echoing: usize,
}

/// Answers every request in `input` whose head is whole.
fn answer(input: &[u8], head_end: &Finder<'_>, output: &mut Vec<u8>) -> Result<Answered, Gone> {
    let mut used = 0;
    let mut echoing = 0;
    while let Some(end) = head_end.find(&input[used..]) {
        let (head, rest) = input[used..].split_at(end + 4);
        used += head.len();
        match head.get(..6) {
            Some(b"GET /p") => output.extend_from_slice(PLAINTEXT),
            Some(b"GET /j") => output.extend_from_slice(JSON),
            Some(b"POST /") => {
                let body = content_length(head).ok_or(Gone)?;
                let here = body.min(rest.len());
                output.extend_from_slice(ECHO);
                output.extend_from_slice(body.to_string().as_bytes());
                output.extend_from_slice(b"\r\n\r\n");
                output.extend_from_slice(&rest[..here]);
                used += here;
                echoing = body - here;
            }
            _ => output.extend_from_slice(NOT_FOUND),
        }
    }
    Ok(Answered { used, echoing })
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|&byte| byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|it| it.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}
