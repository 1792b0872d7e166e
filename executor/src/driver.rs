//! The seam. Everything that a program asks of the machine it runs on goes through [`Driver`]: time, entropy,
//! sockets, readiness, jobs that block, signals, and which ready task goes next.
//!
//! This file knows neither the operating system nor the simulator, and no code above it can tell which of them it
//! runs on. Only the types of this file (and [`Instant`]) cross the seam.
//!
//! The model is a non-blocking POSIX socket under an edge-triggered poller, with tokens where POSIX has descriptors:
//!
//! - A socket call never waits. It moves what it can and says `WouldBlock` when it can do nothing.
//! - Readiness is an **edge**: the driver reports that something became possible, once. The caller remembers it until
//!   a call reports [`Transfer::exhausted`] or `WouldBlock`; the driver then owes it another edge.
//! - A report may be **spurious** (the call that follows says `WouldBlock`) and may be late or reordered between
//!   sockets. It is never lost.
//! - What cannot be made non-blocking (files, names, the start of a child) is a [`Job`]: submitted, announced by one edge,
//!   collected once.
//!
//! All methods are called on the thread of the shard that owns the driver, none from inside another, and none after
//! the shard is gone. The one exception is [`Unpark`], which any thread may call.

use core::fmt;
use core::net::SocketAddr;
use core::ops::{BitOr, BitOrAssign};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

pub use crate::address::Address;
pub use crate::detached::Detached;
pub use crate::heartbeat::{Heartbeat, Patience, Pulse};
pub use crate::instant::Instant;
pub use crate::job::{
    Call, Ended, Entry, EntryKind, Job, Lane, Metadata, OpenMode, OpenedFile, Outcome, Refused,
};
pub use crate::keepalive::Keepalive;
pub use crate::run_queue::ReadyTasks;
pub use crate::site::{Observer, Site, SiteKind};
pub use crate::spawn::{ExitStatus, Spawn, Spawned, Stdio};
pub use crate::task::TaskId;

/// The machine that a shard runs on.
pub trait Driver {
    /// Time since this driver started. Never goes back. The shard calls it once or twice a turn, and hands the
    /// sample to everyone who asks in between, so an implementation need not be free.
    fn now(&self) -> Instant;

    /// The date, as time since 1970-01-01T00:00:00Z without leap seconds. It may jump either way: use it to print,
    /// never to measure.
    fn wall_clock(&self) -> Duration;

    /// Sixty-four unpredictable bits (in the simulator: drawn from the seed). Must not block after boot.
    fn entropy(&self) -> u64;

    /// One of `count` alternatives that are equally right, as a number below it: which branch of a
    /// [`select!`](crate::select) is looked at first. Each comes up again and again, so that none starves; not for
    /// secrets. `count` is at least 1.
    fn choose(&self, count: usize) -> usize;

    /// The order of ready tasks: `None` is first-in first-out. Called once, when the shard is made.
    fn schedule(&self) -> Option<Box<dyn Schedule>>;

    /// Waits for edges and appends them to `events`; returns as soon as there is at least one, or [`Unpark::unpark`]
    /// was called since the last `wait`, or `until` is reached. `None` waits without end; a moment that has passed
    /// makes it look once and not wait.
    ///
    /// The only call that may block or let time pass. It may return early with nothing: the shard asks again. It
    /// must never report a token that was closed before the call.
    ///
    /// # Errors
    /// Only where the machine is broken for good (the poller itself fails); the shard stops with it. Never
    /// `Interrupted`.
    fn wait(&self, events: &mut Vec<Readiness>, until: Option<Instant>) -> io::Result<()>;

    /// A handle that ends a `wait` from any thread.
    fn unparker(&self) -> Arc<dyn Unpark>;

    /// Takes the heartbeat of the shard, to report polls that take longer than the budget of this machine. Called once,
    /// on the thread of the shard, when the shard is made. A driver that puts itself in front of another one passes it
    /// on; one without a budget does nothing, which is what this does.
    fn watch(&self, heartbeat: Arc<Heartbeat>) {
        drop(heartbeat);
    }

    /// Who is told what the program says of itself ([`always!`](crate::always), [`sometimes!`](crate::sometimes)) and decides
    /// where something goes wrong in it ([`buggify!`](crate::buggify)). Called once, when the shard is made. A driver that puts
    /// itself in front of another one passes it on; one without has nobody, and nothing goes wrong: which is what this does.
    fn observer(&self) -> Option<Rc<dyn Observer>> {
        None
    }

    /// Opens a listening stream socket: TCP or Unix, as `address` says. Port 0 takes a free one;
    /// [`Driver::local_addr`] tells which. An IPv6 address takes IPv6 only, also where it is unspecified
    /// (`IPV6_V6ONLY`). A path is made by the call, and removed when the token is closed, if it still names this socket.
    ///
    /// # Errors
    /// `AddrInUse`, also for a path at which anything is; `AddrNotAvailable`; `PermissionDenied`; `NotFound` and
    /// `NotADirectory` for the folder of a path; `InvalidInput` for a path that no socket can have, and for
    /// [`Address::Unnamed`]; `Unsupported` for [`ListenOptions::reuse_port`] at a path; or that no more sockets can be
    /// had.
    fn listen(&self, address: &Address, options: ListenOptions) -> io::Result<Token>;

    /// Takes one connection that is complete, and the address of its peer. The socket starts as if an edge had said
    /// readable and writable: the caller tries first.
    ///
    /// # Errors
    /// `WouldBlock` when none waits (an edge will follow); `ConnectionAborted` when the peer gave up meanwhile (try
    /// again); an error of [`Exhausted::is`] when the machine is out of sockets, with the connection still waiting.
    fn accept(&self, listener: Token) -> io::Result<(Token, Address)>;

    /// Starts to connect. The first edge with [`Ready::WRITABLE`] says that the outcome is known.
    ///
    /// # Errors
    /// Only what is known at once: no route, no sockets left. For a path that is all there is to know: `NotFound`,
    /// `ConnectionRefused` when nobody listens there, `PermissionDenied`, and an error of [`Exhausted::is`] when the
    /// backlog is full. `InvalidInput` as for [`Driver::listen`].
    fn connect(&self, address: &Address) -> io::Result<Token>;

    /// The outcome of [`Driver::connect`], to be asked after its edge. An error is told once.
    ///
    /// # Errors
    /// `WouldBlock` while it is not known; else why the connection failed: `ConnectionRefused`, `TimedOut`, ….
    fn connect_outcome(&self, socket: Token) -> io::Result<()>;

    /// Opens both ends of a Unix connection without a path. They start as if an edge had said readable and writable.
    ///
    /// # Errors
    /// That no more sockets can be had.
    fn stream_pair(&self) -> io::Result<(Token, Token)>;

    /// Reads into `buffer`, which is not empty, from a stream or a pipe. A count of zero is the peer's FIN, and stays so. (The peer of a Unix socket
    /// may be closed with unread bytes after its FIN: that is told once, as a reset, and then it is a FIN again.)
    ///
    /// # Errors
    /// `WouldBlock`; `ConnectionReset`, told once after the bytes that came before it; `Interrupted` (try again).
    fn read(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Transfer>;

    /// Writes from `buffers` in order, of which at least one is not empty. Never raises SIGPIPE.
    ///
    /// # Errors
    /// `WouldBlock`; `BrokenPipe` after our own FIN or the peer's end; `ConnectionReset`; `Interrupted` (try again).
    fn write(&self, socket: Token, buffers: &[IoSlice<'_>]) -> io::Result<Transfer>;

    /// Sends FIN after what was written; reading goes on. At a pipe whoever reads finds its end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is already gone; never at a Unix socket or a pipe.
    fn shutdown_write(&self, socket: Token) -> io::Result<()>;

    /// Whether what is written to a TCP connection leaves at once, or may wait for the acknowledgement of what was
    /// sent before, to go with more (`TCP_NODELAY`; Nagle's algorithm, RFC 896). On from the start, for connections
    /// that were accepted as for those that were made.
    ///
    /// # Errors
    /// Where the machine refuses.
    fn set_nodelay(&self, socket: Token, is_on: bool) -> io::Result<()>;

    /// Whether a TCP connection on which nothing comes asks for its peer, and how (`SO_KEEPALIVE`); `None`, as from the start:
    /// it does not. One that asks in vain is broken, and what is tried next says `TimedOut`. Times are in whole seconds, rounded
    /// up.
    ///
    /// # Errors
    /// `InvalidInput` as [`Keepalive::in_whole_seconds`] has it; `Unsupported` where the machine has nothing of it.
    fn set_keepalive(&self, socket: Token, keepalive: Option<Keepalive>) -> io::Result<()>;

    /// The address a socket is bound to.
    ///
    /// # Errors
    /// Where the machine cannot tell any more.
    fn local_addr(&self, socket: Token) -> io::Result<Address>;

    /// Opens a UDP socket. Port 0 takes a free one. An IPv6 address takes IPv6 only, also where it is unspecified.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, or that no more sockets can be had.
    fn bind_datagram(&self, address: SocketAddr) -> io::Result<Token>;

    /// Gives a UDP socket a peer, or another one: datagrams of others no longer arrive, those that are there stay, and
    /// it is told of as an error when nobody receives what is sent to the peer.
    ///
    /// # Errors
    /// `InvalidInput` for the other version of IP; no route.
    fn connect_datagram(&self, socket: Token, peer: SocketAddr) -> io::Result<()>;

    /// Takes one datagram, as much of it as `buffer` holds. The rest of it is lost; that of others is not touched.
    ///
    /// # Errors
    /// `WouldBlock` when there is none (an edge will follow); `ConnectionRefused` when nobody received what was sent to
    /// the peer of [`Driver::connect_datagram`], told once, to whoever receives or sends next; `Interrupted` (try again).
    fn receive_from(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends one datagram as a whole, to the peer of [`Driver::connect_datagram`] where `to` does not say otherwise.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for it (an edge will follow); `InvalidInput` when it is longer than any
    /// network takes, and for the other version of IP; `NotConnected` when nobody says where to; `ConnectionRefused` as
    /// [`Driver::receive_from`], and then it is not sent; no route; an error of [`Exhausted::is`] when the machine has no memory
    /// for it (no edge follows: go on after a pause); `Interrupted` (try again).
    fn send_to(&self, socket: Token, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<()>;

    /// Gives up a token of any kind: its owner calls this once, and never uses the token again. A socket with unread
    /// bytes resets its connection, as POSIX does; otherwise what was written is still delivered, then FIN. The
    /// result of a job is thrown away, with all it holds.
    fn close(&self, token: Token);

    /// Like [`Driver::close`], but resets the connection at once and drops what was not yet sent (`SO_LINGER` 0). At a
    /// Unix socket it is a close: what was written is with the peer already.
    fn abort(&self, socket: Token);

    /// Takes a stream or a listener out of this driver, for another one of the same machine to [`Driver::adopt`]. The
    /// token is spent, as by [`Driver::close`]; the socket goes on, and what arrives for it is kept. When what this gives
    /// is dropped, the socket is closed.
    ///
    /// # Errors
    /// Where the machine cannot let go of it; it is closed then.
    fn detach(&self, socket: Token) -> io::Result<Detached>;

    /// Takes in a socket that a driver of the same machine let go. It starts as if an edge had said readable and
    /// writable; that it has ended or is broken makes an edge once more.
    ///
    /// # Errors
    /// Where the machine cannot watch it; it is closed then.
    ///
    /// # Panics
    /// When it comes from another machine.
    fn adopt(&self, socket: Detached) -> io::Result<Token>;

    /// Asks for `signals`, of which there is at least one, instead of sudden death. Each subscriber gets each signal of
    /// its kinds; those of one kind that it has not asked for yet are one. When the last subscription to a kind is
    /// closed, that kind kills again.
    ///
    /// # Errors
    /// Where the machine cannot watch signals.
    fn subscribe_signals(&self, signals: &[Signal]) -> io::Result<Token>;

    /// Takes one signal that arrived since.
    ///
    /// # Errors
    /// `WouldBlock` when there is none (an edge will follow).
    fn next_signal(&self, signals: Token) -> io::Result<Signal>;

    /// Queues work that would block. One edge with [`Ready::READABLE`] says that it has ended. Closing the token of a
    /// job that no thread has begun takes it out of the queue, and what it holds is dropped; one that has begun goes on
    /// to its end, and its result is dropped.
    ///
    /// # Errors
    /// With the job, which may be tried again: [`Exhausted`] when too many wait in its [`Lane`] already. The caller
    /// sheds load or waits until another of its own jobs has ended, rather than queue without end.
    fn submit(&self, job: Job) -> Result<Token, Refused>;

    /// Takes the result of a job, and with it the token: it must not be closed or used again. On `WouldBlock` the
    /// token stays.
    ///
    /// # Errors
    /// `WouldBlock` while the job waits or runs, and nothing else: its own error is in what it gives.
    fn collect(&self, job: Token) -> io::Result<Ended>;

    /// How a child of [`Job::Spawn`] ended. One edge with [`Ready::READABLE`] says that it has. Once told, it is told again
    /// as often as it is asked; the token stays until it is closed.
    ///
    /// Closing the token of a child that has not ended kills it (SIGKILL); the driver then waits for its end by itself, and
    /// nothing of it is left in the tables of the machine.
    ///
    /// # Errors
    /// `WouldBlock` while the child runs; others where somebody else has asked the machine first.
    fn process_exit(&self, process: Token) -> io::Result<ExitStatus>;

    /// Sends a signal to a child: `None` is SIGKILL, which no program can subscribe to. To one that has ended it does
    /// nothing.
    ///
    /// # Errors
    /// `PermissionDenied`, for a child that has become somebody else's.
    fn signal_process(&self, process: Token, signal: Option<Signal>) -> io::Result<()>;
}

/// Ends a [`Driver::wait`], from any thread.
pub trait Unpark: Send + Sync {
    /// Makes the current `wait` return, or else the next one. Any number of calls before a `wait` count as one.
    fn unpark(&self);
}

/// Chooses which ready task runs next.
///
/// It may let a ready task wait as long as it likes. Whatever it chooses, the shard looks at its driver after 64 polls at
/// the latest: edges, timers that are due and what other threads sent are found then, and make tasks ready.
pub trait Schedule {
    /// The position of the next task among `ready`, which holds at least one and is ordered by when each became
    /// ready: 0 is first-in first-out. `None` ends the turn: the shard looks at its driver before it asks again. Called for every
    /// poll, and for each task that is dropped when the shard ends, where `None` leaves the rest to be dropped unasked. An answer past the end is a bug and panics.
    fn choose(&mut self, ready: &ReadyTasks<'_>) -> Option<usize>;
}

/// Names a resource of a driver: a socket, a pipe, a signal subscription, a job, an open file, a child. Never reused: an index comes
/// back only with another generation, so a token that outlived its resource is caught instead of hitting a stranger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The place in the driver's table; small and dense.
    pub index: u32,
    /// How often that place was used before.
    pub generation: u32,
}

impl Token {
    /// The token as one number, for pollers that carry 64 bits of user data.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The inverse of [`Token::to_bits`].
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

/// What became possible on a token: one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whose.
    pub token: Token,
    /// What.
    pub ready: Ready,
}

/// A set of conditions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A read, an accept, a collect or a next signal may succeed.
    pub const READABLE: Self = Self(1);
    /// A write may succeed, or the outcome of a connect is known.
    pub const WRITABLE: Self = Self(2);
    /// The peer will send nothing more: its FIN or a reset arrived, perhaps behind bytes that are still unread.
    pub const READ_CLOSED: Self = Self(4);
    /// The connection is broken: reset, or failed.
    pub const BROKEN: Self = Self(8);

    /// Whether all of `other` is in here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in here.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is in here.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set as a number, for traces.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for Ready {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READABLE, 'r'),
            (Self::WRITABLE, 'w'),
            (Self::READ_CLOSED, 'c'),
            (Self::BROKEN, 'b'),
        ];
        for (flag, name) in names {
            write!(f, "{}", if self.contains(flag) { name } else { '-' })?;
        }
        Ok(())
    }
}

/// The result of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes moved.
    pub count: usize,
    /// The same call would now say `WouldBlock`, and the driver promises an edge when that changes, the peer's FIN
    /// included. Saves the call that would find out. A driver that cannot promise it says `false`.
    pub exhausted: bool,
}

/// A datagram that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer; zero for a datagram without bytes.
    pub count: usize,
    /// There were more, which are lost (`MSG_TRUNC`).
    pub is_truncated: bool,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// How to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Complete connections that may wait to be accepted; more are refused or dropped by the machine.
    pub backlog: u32,
    /// Lets several shards listen on one IP address; the machine spreads connections over them (`SO_REUSEPORT`).
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    /// A backlog of 1,024 and an address of one's own.
    fn default() -> Self {
        Self { backlog: 1024, reuse_port: false }
    }
}

/// A message from the machine or its user to a program. One that nobody subscribed to kills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// SIGINT: the user pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: the service manager asks to stop.
    Terminate,
    /// SIGHUP: the terminal is gone; for a program without one, by custom: read your configuration again.
    Hangup,
    /// SIGUSR1: means what the program wants it to.
    User1,
    /// SIGUSR2: means what the program wants it to.
    User2,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Interrupt, Self::Terminate, Self::Hangup, Self::User1, Self::User2];
}

/// The machine is out of something that comes back by itself: sockets, buffers, places in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Exhausted {
    /// Whether `error` says so. Worth another try after a pause; anything else is not.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        const ENOMEM: i32 = 12;
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        const ENOBUFS_LINUX: i32 = 105;
        const ENOBUFS_BSD: i32 = 55;
        let of_the_machine = matches!(
            error.raw_os_error(),
            Some(ENOMEM | ENFILE | EMFILE | ENOBUFS_LINUX | ENOBUFS_BSD)
        );
        of_the_machine
            || error.get_ref().is_some_and(<dyn core::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the machine is out of resources for now")
    }
}

impl core::error::Error for Exhausted {}

impl From<Exhausted> for io::Error {
    fn from(exhausted: Exhausted) -> Self {
        Self::new(io::ErrorKind::ResourceBusy, exhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_bits() {
        let token = Token { index: 7, generation: u32::MAX };
        assert_eq!(Token::from_bits(token.to_bits()), token);
    }

    #[test]
    fn exhaustion_is_told_from_other_errors() {
        assert!(Exhausted::is(&io::Error::from_raw_os_error(24)));
        assert!(Exhausted::is(&Exhausted.into()));
        assert!(!Exhausted::is(&io::ErrorKind::ConnectionAborted.into()));
    }
}
