//! `Peer`: one client that means no good, and what it does when. It knows no other peers and no poller.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};

/// What a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks once, takes its answer, and says nothing more.
    Idle,
    /// Sends a head, one field every few seconds, and never the empty line.
    Slowloris,
    /// Sends a body, just fast enough that no deadline is against it.
    Upload,
    /// Takes a response without end as slowly.
    Reader,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Idle, Self::Slowloris, Self::Upload, Self::Reader];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Slowloris => "slowloris",
            Self::Upload => "uploads",
            Self::Reader => "readers",
        }
    }

    const fn greeting(self) -> &'static [u8] {
        match self {
            Self::Idle => b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            Self::Slowloris => b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n",
            Self::Upload => {
                b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1073741824\r\n\r\n"
            }
            Self::Reader => b"GET /stream/4000000000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        }
    }

    /// Between two pieces; `None` if there are none.
    const fn pause(self) -> Option<Duration> {
        match self {
            Self::Idle => None,
            Self::Slowloris => Some(Duration::from_secs(3)),
            Self::Upload | Self::Reader => Some(Duration::from_secs(1)),
        }
    }

    /// How long the server bears one, by its default deadlines; `None`: for as long as it keeps its pace. The first of a
    /// kind leave by themselves at moments that are spread over this, as though they had come one by one: else all of them
    /// would be cut, and be back, at one moment.
    const fn life(self) -> Option<Duration> {
        match self {
            Self::Idle => Some(Duration::from_secs(60)),
            Self::Slowloris => Some(Duration::from_secs(10)),
            Self::Upload | Self::Reader => None,
        }
    }
}

/// A piece of a head.
const FIELD: &[u8] = b"X-Slow: yes\r\n";
/// A second's worth of a body, in either direction: the server's least is 500 bytes a second.
const PIECE_BYTES: usize = 600;
/// Asked for by slow readers; the kernel doubles it.
const READER_BUFFER_BYTES: usize = 4096;
/// How long to wait before the next try where the server takes nobody.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// What became of something that a peer did.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Held,
    /// The server has ended the connection.
    Cut,
    /// It leaves by itself.
    Left,
}

pub struct Peer {
    kind: Kind,
    source: Ipv4Addr,
    /// Its place among those of its kind, from 0 to 1: their turns are spread by it.
    share: f64,
    stream: Option<TcpStream>,
    /// When it was connected last.
    since: Duration,
    /// How long this connection lasts at most, if the server does not end it before.
    life: Duration,
    has_greeted: bool,
    /// It holds a connection, and the server has seen something of it.
    is_up: bool,
}

impl Peer {
    /// One of the first of its kind: `share` of a life lies before it.
    pub fn new(kind: Kind, source: Ipv4Addr, share: f64) -> Self {
        let life = kind.life().map_or(Duration::MAX, |life| life.mul_f64(share));
        Self {
            kind,
            source,
            share,
            stream: None,
            since: Duration::ZERO,
            life,
            has_greeted: false,
            is_up: false,
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Connects to the server; the greeting follows when the connection is there.
    pub fn connect(&mut self, server: SocketAddrV4, now: Duration) -> io::Result<&TcpStream> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd: OwnedFd = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        // The port is chosen by connect, from all that this address does not use towards the server yet.
        socket::setsockopt(&fd, sockopt::IpBindAddressNoPort, &true)?;
        if self.kind == Kind::Reader {
            socket::setsockopt(&fd, sockopt::RcvBuf, &READER_BUFFER_BYTES)?;
        }
        socket::bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(self.source, 0)))?;
        match socket::connect(fd.as_raw_fd(), &SockaddrIn::from(server)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.since = now;
        self.has_greeted = false;
        Ok(self.stream.insert(TcpStream::from(fd)))
    }

    /// Ends the connection; the next one lasts for as long as the server lets it.
    pub fn disconnect(&mut self) {
        self.stream = None;
        self.is_up = false;
        self.life = Duration::MAX;
    }

    /// Whether it has to connect anew.
    pub fn is_gone(&self) -> bool {
        self.stream.is_none()
    }

    /// The connection is there: says the first words.
    pub fn greet(&mut self) -> Outcome {
        if self.has_greeted {
            return Outcome::Held;
        }
        self.has_greeted = true;
        // An idle one is up when it has its answer.
        self.is_up = self.kind != Kind::Idle;
        self.send(self.kind.greeting())
    }

    /// Something has come, or the end. A slow reader takes nothing out of its turn.
    pub fn take(&mut self, scratch: &mut [u8]) -> Outcome {
        if self.kind == Kind::Reader {
            return Outcome::Held;
        }
        loop {
            match self.read(scratch) {
                Ok(0) => return Outcome::Cut,
                Ok(_) => self.is_up = true,
                Err(error) => return after(&error),
            }
        }
    }

    /// Its turn has come.
    pub fn act(&mut self, now: Duration, scratch: &mut [u8]) -> Outcome {
        if now >= self.since.saturating_add(self.life) {
            return Outcome::Left;
        }
        if !self.has_greeted {
            return Outcome::Held;
        }
        match self.kind {
            Kind::Idle => Outcome::Held,
            Kind::Slowloris => self.send(FIELD),
            Kind::Upload => self.send(&[b'a'; PIECE_BYTES]),
            Kind::Reader => match self.read(&mut scratch[..PIECE_BYTES]) {
                Ok(0) => Outcome::Cut,
                Ok(_) => Outcome::Held,
                Err(error) => after(&error),
            },
        }
    }

    /// When its first turn comes on the connection that it made `now`.
    pub fn first_turn(&self, now: Duration) -> Option<Duration> {
        self.turn_after(now, self.share)
    }

    /// When its turn comes next, after the one that was due at `due`; `None`: when something comes from the server. However
    /// late that one was, it is nobody else's turn then: who once came in a burst would do so for good.
    pub fn next_turn(&self, due: Duration) -> Option<Duration> {
        self.turn_after(due, 1.0)
    }

    fn turn_after(&self, due: Duration, pauses: f64) -> Option<Duration> {
        if self.is_gone() {
            return Some(due + REFUSED_PAUSE);
        }
        let end = (self.life < Duration::MAX).then(|| self.since + self.life);
        let piece = self.kind.pause().map(|pause| due + pause.mul_f64(pauses));
        match (end, piece) {
            (Some(end), Some(piece)) => Some(end.min(piece)),
            (end, piece) => end.or(piece),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        stream.read(into)
    }

    /// What the socket does not take is not sent: it is no message that anybody needs.
    fn send(&mut self, bytes: &[u8]) -> Outcome {
        let Some(stream) = &mut self.stream else { return Outcome::Cut };
        match stream.write_all(bytes) {
            Ok(()) => Outcome::Held,
            Err(error) => after(&error),
        }
    }
}

fn after(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Outcome::Held,
        _ => Outcome::Cut,
    }
}
