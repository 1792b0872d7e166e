//! `OsDriver`: the contract of `Driver`, kept by the operating system.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use super::files::OpenFile;
use super::jobs::{Done, JobPool, Work};
use super::poller::Poller;
use super::signals::SignalPipes;
use super::sockets;
use crate::driver::{
    Driver, Instant, Job, ListenOptions, OpenedFile, Outcome, Readiness, Ready, Schedule, Signal,
    Token, Transfer, Unpark,
};
use crate::token_table::TokenTable;

/// The operating system as a [`Driver`]: one for each shard.
///
/// On Linux it is epoll by itself: one system call a wait, and the peer's FIN is an edge of its own. Elsewhere, and
/// with [`OsDriver::portable`], it is the `polling` crate.
pub struct OsDriver {
    started: std::time::Instant,
    resources: RefCell<TokenTable<Resource>>,
    /// Behind the resources: it is dropped after the descriptors that it watches.
    poller: Poller,
    jobs: JobPool,
    /// What the jobs finished; kept for its memory.
    done: RefCell<Vec<Done>>,
}

/// What a token stands for.
enum Resource {
    Listener(OwnedFd),
    Stream(Stream),
    Signals(SignalPipes),
    /// `None` while the job runs.
    Job(Option<io::Result<Finished>>),
    File(Arc<OpenFile>),
}

struct Stream {
    fd: OwnedFd,
    /// The poller told of the peer's end, so no further edge will: a short read no longer means that the next one
    /// would block.
    peer_closed: Cell<bool>,
}

/// What a job gave, before it has a token of its own.
pub(super) enum Finished {
    Opened(OpenFile),
    Bytes(Vec<u8>),
}

impl OsDriver {
    /// A driver on the best poller of this system.
    ///
    /// # Errors
    /// When the system gives no poller: out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        Ok(Self::on(Poller::best()?))
    }

    /// A driver on the `polling` crate, for systems without epoll; also for tests of it on those with.
    ///
    /// Without edges for the peer's FIN: a handler learns that its client left when it reads or writes.
    ///
    /// # Errors
    /// As [`OsDriver::new`].
    pub fn portable() -> io::Result<Self> {
        Ok(Self::on(Poller::portable()?))
    }

    fn on(poller: Poller) -> Self {
        Self {
            started: std::time::Instant::now(),
            jobs: JobPool::new(poller.unparker()),
            poller,
            resources: RefCell::default(),
            done: RefCell::default(),
        }
    }

    /// Makes the resource of `fd` and has its edges reported.
    fn register(&self, fd: OwnedFd, make: impl FnOnce(OwnedFd) -> Resource) -> io::Result<Token> {
        let mut failed = None;
        let mut resources = self.resources.borrow_mut();
        let token = resources.insert_with(|token| {
            failed = self.poller.add(fd.as_fd(), token).err();
            make(fd)
        });
        let Some(error) = failed else { return Ok(token) };
        resources.remove(token);
        Err(error)
    }

    fn stream(fd: OwnedFd) -> Resource {
        Resource::Stream(Stream { fd, peer_closed: Cell::new(false) })
    }

    /// Runs `operation` on the stream of `token`.
    fn with_stream<T>(
        &self,
        token: Token,
        operation: impl FnOnce(&Stream) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.resources.borrow().get(token) {
            Resource::Stream(stream) => operation(stream),
            _ => panic!("token {token:?} is not a stream"),
        }
    }

    /// Notes which streams will have no further edge, and stores what the jobs finished.
    fn after_wait(&self, events: &mut Vec<Readiness>, first: usize) {
        for event in &events[first..] {
            if !event.ready.intersects(Ready::READ_CLOSED | Ready::BROKEN) {
                continue;
            }
            if let Some(Resource::Stream(stream)) = self.resources.borrow().try_get(event.token) {
                stream.peer_closed.set(true);
            }
        }
        let mut done = self.done.borrow_mut();
        self.jobs.take_done(&mut done);
        for Done { token, result } in done.drain(..) {
            let mut resources = self.resources.borrow_mut();
            // A job whose token was closed meanwhile: its result is dropped here, an open file with it.
            if let Some(Resource::Job(None)) = resources.try_get(token) {
                *resources.get_mut(token) = Resource::Job(Some(result));
                events.push(Readiness { token, ready: Ready::READABLE });
            }
        }
    }
}

impl Driver for OsDriver {
    fn now(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).expect("a process runs for less than 584 years"))
    }

    fn wall_clock(&self) -> Duration {
        // A clock before 1970 is a broken one; the epoch is as good a guess as any.
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn entropy(&self) -> u64 {
        getrandom::u64().expect("the system has entropy")
    }

    fn schedule(&self) -> Option<Box<dyn Schedule>> {
        None
    }

    fn wait(&self, events: &mut Vec<Readiness>, until: Option<Instant>) -> io::Result<()> {
        let first = events.len();
        let timeout = match until {
            Some(Instant::START) => Some(Duration::ZERO),
            Some(until) => Some(until - self.now()),
            None => None,
        };
        self.poller.wait(events, timeout)?;
        self.after_wait(events, first);
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.poller.unparker()
    }

    fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<Token> {
        self.register(sockets::listen(address, options)?, Resource::Listener)
    }

    fn accept(&self, listener: Token) -> io::Result<(Token, SocketAddr)> {
        let (fd, peer) = match self.resources.borrow().get(listener) {
            Resource::Listener(fd) => sockets::accept(fd.as_fd())?,
            _ => panic!("token {listener:?} is not a listener"),
        };
        Ok((self.register(fd, Self::stream)?, peer))
    }

    fn connect(&self, address: SocketAddr) -> io::Result<Token> {
        self.register(sockets::connect(address)?, Self::stream)
    }

    fn connect_outcome(&self, socket: Token) -> io::Result<()> {
        self.with_stream(socket, |stream| sockets::connect_outcome(stream.fd.as_fd()))
    }

    fn read(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Transfer> {
        assert!(!buffer.is_empty(), "a read of nothing would look like a FIN");
        self.with_stream(socket, |stream| {
            let room = buffer.len();
            let count = sockets::receive(stream.fd.as_fd(), buffer)?;
            // A short read took all there was. What comes later makes an edge, and so does a FIN: unless its edge
            // came before. See `Poller::announces_fin`.
            let exhausted = count > 0
                && count < room
                && self.poller.announces_fin()
                && !stream.peer_closed.get();
            Ok(Transfer { count, exhausted })
        })
    }

    fn write(&self, socket: Token, buffers: &[IoSlice<'_>]) -> io::Result<Transfer> {
        self.with_stream(socket, |stream| {
            let buffers = sockets::for_one_call(buffers);
            let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
            assert!(wanted > 0, "a write of nothing says nothing");
            let count = sockets::send(stream.fd.as_fd(), buffers)?;
            // A short write filled the send buffer; the kernel notes that someone waits for room.
            Ok(Transfer { count, exhausted: count < wanted })
        })
    }

    fn shutdown_write(&self, socket: Token) -> io::Result<()> {
        self.with_stream(socket, |stream| sockets::shutdown_write(stream.fd.as_fd()))
    }

    fn local_addr(&self, socket: Token) -> io::Result<SocketAddr> {
        match self.resources.borrow().get(socket) {
            Resource::Listener(fd) | Resource::Stream(Stream { fd, .. }) => {
                sockets::local_addr(fd.as_fd())
            }
            _ => panic!("token {socket:?} is not a socket"),
        }
    }

    fn close(&self, token: Token) {
        let resource = self.resources.borrow_mut().remove(token);
        match &resource {
            Resource::Listener(fd) | Resource::Stream(Stream { fd, .. }) => {
                self.poller.remove(fd.as_fd());
            }
            Resource::Signals(pipes) => {
                for fd in pipes.descriptors() {
                    self.poller.remove(fd);
                }
            }
            Resource::Job(_) | Resource::File(_) => {}
        }
        // Dropping the resource closes its descriptors.
    }

    fn abort(&self, socket: Token) {
        // Without the option it is an ordinary close: nothing else could be done about it.
        let lingered =
            self.with_stream(socket, |stream| sockets::reset_on_close(stream.fd.as_fd()));
        if let Err(error) = lingered {
            tracing::debug!(%error, "a connection is closed instead of reset");
        }
        self.close(socket);
    }

    fn subscribe_signals(&self) -> io::Result<Token> {
        let pipes = SignalPipes::subscribe()?;
        let mut failed = None;
        let mut resources = self.resources.borrow_mut();
        let token = resources.insert_with(|token| {
            failed = pipes.descriptors().find_map(|fd| self.poller.add(fd, token).err());
            Resource::Signals(pipes)
        });
        let Some(error) = failed else { return Ok(token) };
        resources.remove(token);
        Err(error)
    }

    fn next_signal(&self, signals: Token) -> io::Result<Signal> {
        match self.resources.borrow().get(signals) {
            Resource::Signals(pipes) => pipes.next(),
            _ => panic!("token {signals:?} is not a signal subscription"),
        }
    }

    fn submit(&self, job: Job) -> io::Result<Token> {
        let work = match job {
            Job::Open { root, path } => Work::Open { root, path },
            Job::ReadAt { file, offset, length } => match self.resources.borrow().get(file) {
                Resource::File(file) => Work::ReadAt { file: Arc::clone(file), offset, length },
                _ => panic!("token {file:?} is not a file"),
            },
        };
        let token = self.resources.borrow_mut().insert(Resource::Job(None));
        if let Err(error) = self.jobs.submit(token, work) {
            self.resources.borrow_mut().remove(token);
            return Err(error);
        }
        Ok(token)
    }

    fn collect(&self, job: Token) -> io::Result<Outcome> {
        let mut resources = self.resources.borrow_mut();
        match resources.get(job) {
            Resource::Job(Some(_)) => {}
            Resource::Job(None) => return Err(io::ErrorKind::WouldBlock.into()),
            _ => panic!("token {job:?} is not a job"),
        }
        let Resource::Job(Some(result)) = resources.remove(job) else {
            unreachable!("just looked")
        };
        match result? {
            Finished::Bytes(bytes) => Ok(Outcome::Bytes(bytes)),
            Finished::Opened(file) => {
                let (is_folder, length, modified) = (file.is_folder, file.length, file.modified);
                let token = resources.insert(Resource::File(Arc::new(file)));
                Ok(Outcome::Opened(OpenedFile { token, is_folder, length, modified }))
            }
        }
    }
}
