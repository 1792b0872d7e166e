//! `OsDriver`: the contract of `Driver`, kept by the operating system.

use core::cell::{Cell, OnceCell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use super::OsDriverBuilder;
use super::datagrams::DatagramSocket;
use super::fair_choices::FairChoices;
use super::jobs::{Finished, Work};
use super::pipes::Pipe;
use super::poller::Poller;
use super::pool::{Done, Pool, Port, discard};
use super::process::{Orphans, Process, Started, wait_for_end};
use super::resource::{JobState, Listener, Loose, Resource, Stream};
use super::signals::SignalPipe;
use super::sockets;
use super::unix::{self, BoundPath};
use super::watchdog::{Watchdog, Watched};
use crate::driver::{
    Address, Call, Detached, Driver, Ended, ExitStatus, Heartbeat, Instant, Job, Keepalive, Lane,
    ListenOptions, OpenedFile, Outcome, Readiness, Ready, Received, Refused, Schedule, Signal,
    Spawned, Token, Transfer, Unpark,
};
use crate::token_table::TokenTable;

/// The operating system as a [`Driver`]: one for each shard.
///
/// On Linux it is epoll by itself: one system call a wait, and the peer's FIN is an edge of its own. Elsewhere, and
/// with [`OsDriver::portable`], it is the `polling` crate.
pub struct OsDriver {
    started: std::time::Instant,
    resources: RefCell<TokenTable<Resource>>,
    orphans: Orphans,
    /// Behind the resources: it is dropped after the descriptors that it watches.
    poller: Poller,
    jobs: Port,
    /// What the jobs finished; kept for its memory.
    done: RefCell<Vec<Done>>,
    fair: FairChoices,
    /// Who looks at the shard, and what one poll may take.
    watchdog: Option<(Arc<Watchdog>, Duration)>,
    watched: OnceCell<Arc<Watched>>,
}

impl OsDriver {
    /// A driver on the best poller of this system.
    ///
    /// # Errors
    /// When the system gives no poller: out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A driver with choices.
    pub fn builder() -> OsDriverBuilder {
        OsDriverBuilder::default()
    }

    /// A driver on the `polling` crate, for systems without epoll; also for tests of it on those with.
    ///
    /// Without edges for the peer's FIN: a handler learns that its client left when it reads or writes.
    ///
    /// # Errors
    /// As [`OsDriver::new`].
    pub fn portable() -> io::Result<Self> {
        Self::builder().portable().build()
    }

    pub(super) fn on(poller: Poller, pool: Pool) -> Self {
        Self {
            started: std::time::Instant::now(),
            jobs: Port::new(pool, poller.unparker()),
            poller,
            resources: RefCell::default(),
            orphans: Orphans::default(),
            done: RefCell::default(),
            fair: FairChoices::default(),
            watchdog: None,
            watched: OnceCell::new(),
        }
    }

    /// Has the shard of this driver watched: a poll that takes longer than `budget` is logged, with its task, where that
    /// was spawned and, on Linux with glibc, the stack, and again each time it has taken twice as long; it counts in
    /// [`MetricsSnapshot::stalls`](crate::MetricsSnapshot::stalls). 100 ms is a budget that tells of trouble only.
    ///
    /// One thread of the process watches all its shards. It sleeps while all of them wait. The stack is taken by SIGURG:
    /// what blocks in the poll and is not restarted after signals (`poll`, a read with a time-out) returns `EINTR`.
    ///
    /// # Errors
    /// When the system gives no thread, or no handler for the signal.
    ///
    /// # Panics
    /// When `budget` is zero.
    pub fn watchdog(mut self, budget: Duration) -> io::Result<Self> {
        self.watch_polls(budget)?;
        Ok(self)
    }

    /// See [`OsDriver::watchdog`].
    pub(super) fn watch_polls(&mut self, budget: Duration) -> io::Result<()> {
        assert!(!budget.is_zero(), "each poll takes some time");
        self.watchdog = Some((Watchdog::of_process()?, budget));
        Ok(())
    }

    /// Waits for edges, and lets the watchdog know.
    fn poll(&self, events: &mut Vec<Readiness>, timeout: Option<Duration>) -> io::Result<()> {
        let Some(watched) = self.watched.get() else {
            return self.poller.wait(events, timeout);
        };
        if timeout == Some(Duration::ZERO) {
            watched.is_run();
            return self.poller.wait(events, timeout);
        }
        watched.fall_asleep();
        let waited = self.poller.wait(events, timeout);
        watched.wake_up();
        waited
    }

    /// Makes the resource of `fd` and has its edges reported.
    fn register<Fd: AsFd>(&self, fd: Fd, make: impl FnOnce(Fd) -> Resource) -> io::Result<Token> {
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

    fn register_listener(&self, fd: OwnedFd, path: Option<BoundPath>) -> io::Result<Token> {
        self.register(fd, |fd| Resource::Listener(Listener { path, fd }))
    }

    fn register_stream(&self, fd: OwnedFd, is_tcp: bool) -> io::Result<Token> {
        let short_reads_drain = Cell::new(is_tcp && self.poller.announces_fin());
        self.register(fd, |fd| Resource::Stream(Stream { fd, is_tcp, short_reads_drain }))
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

    /// Runs `operation` on the datagram socket of `token`.
    fn with_datagrams<T>(
        &self,
        token: Token,
        operation: impl FnOnce(&DatagramSocket) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.resources.borrow().get(token) {
            Resource::Datagrams(socket) => operation(socket),
            _ => panic!("token {token:?} is not a datagram socket"),
        }
    }

    /// Notes which streams will have no further edge, and stores what the jobs finished.
    fn after_wait(&self, events: &mut Vec<Readiness>, first: usize) {
        self.keep_open(events, first);
        self.orphans.clear(&self.poller);
        self.deliver_jobs(events);
    }

    /// Drops edges of what was closed. A child that is being started has copies of all descriptors until it runs its program;
    /// as long the kernel reports those that are closed here.
    fn keep_open(&self, events: &mut Vec<Readiness>, first: usize) {
        let resources = self.resources.borrow();
        let mut kept = first;
        for at in first..events.len() {
            let event = events[at];
            let Some(resource) = resources.try_get(event.token) else { continue };
            if let Resource::Stream(stream) = resource
                && event.ready.intersects(Ready::READ_CLOSED | Ready::BROKEN)
            {
                stream.short_reads_drain.set(false);
            }
            events[kept] = event;
            kept += 1;
        }
        events.truncate(kept);
    }

    fn deliver_jobs(&self, events: &mut Vec<Readiness>) {
        let mut done = self.done.take();
        self.jobs.take_done(&mut done);
        for done in done.drain(..) {
            let token = done.token;
            let mut resources = self.resources.borrow_mut();
            if let Some(Resource::Job(JobState::Pending { .. })) = resources.try_get(token) {
                *resources.get_mut(token) = Resource::Job(JobState::Ended(done));
                events.push(Readiness { token, ready: Ready::READABLE });
                continue;
            }
            if let Some(Resource::Process(_)) = resources.try_get(token) {
                // A thread has waited for its end.
                events.push(Readiness { token, ready: Ready::READABLE });
            }
            drop(resources);
            // Its token was closed meanwhile. With nothing borrowed: what it gave may be anything.
            self.throw_away(done);
        }
        // Put back for its memory.
        self.done.replace(done);
    }

    /// Drops what a job gave, when nobody waits for it.
    fn throw_away(&self, done: Done) {
        match done.result {
            Ok(Finished::Spawned(started)) => {
                self.orphans.take(started.process, &self.poller, false);
            }
            result => discard(result),
        }
    }
}

/// Children.
impl OsDriver {
    pub(super) fn open_process(&self, started: Started) -> io::Result<Spawned> {
        let Started { process, pipes } = started;
        let id = process.id();
        let process = self.register_process(process)?;
        let mut tokens = [None; 3];
        for (number, pipe) in pipes.into_iter().enumerate() {
            let Some(pipe) = pipe else { continue };
            match self.register(pipe, |pipe| Resource::Pipe(Pipe::new(pipe))) {
                Ok(token) => tokens[number] = Some(token),
                Err(error) => {
                    tokens.into_iter().flatten().for_each(|token| self.close(token));
                    self.close(process);
                    return Err(error);
                }
            }
        }
        let [stdin, stdout, stderr] = tokens;
        Ok(Spawned { process, id, stdin, stdout, stderr })
    }

    /// Has the end of a child reported: by the poller, or by a thread that waits for it.
    fn register_process(&self, process: Process) -> io::Result<Token> {
        let (pid, has_ended, mut watched) = (process.pid(), process.has_ended(), None);
        let token = self.resources.borrow_mut().insert_with(|token| {
            watched = process.pidfd().map(|pidfd| self.poller.add(pidfd, token));
            Resource::Process(process)
        });
        let watched = watched.unwrap_or_else(|| {
            let call = Call::new(move || {
                if !has_ended {
                    wait_for_end(pid);
                }
                Box::new(())
            });
            let job = Job::Call { lane: Lane::Blocking, call };
            let submitted = self.jobs.submit(token, Work { job, file: None });
            submitted.map(drop).map_err(|(_, error)| error)
        });
        watched.map(|()| token).inspect_err(|_| {
            // Nothing is borrowed while it is killed.
            let removed = self.resources.borrow_mut().remove(token);
            if let Resource::Process(process) = removed {
                self.orphans.take(process, &self.poller, false);
            }
        })
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

    fn choose(&self, count: usize) -> usize {
        self.fair.choose(count)
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
        self.poll(events, timeout)?;
        self.after_wait(events, first);
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.poller.unparker()
    }

    fn watch(&self, heartbeat: Arc<Heartbeat>) {
        if let Some((watchdog, budget)) = &self.watchdog {
            let watched = Arc::clone(watchdog).watch(heartbeat, *budget);
            let is_first = self.watched.set(watched).is_ok();
            assert!(is_first, "a driver has one shard");
        }
    }

    fn listen(&self, address: &Address, options: ListenOptions) -> io::Result<Token> {
        match address {
            Address::Ip(ip) => self.register_listener(sockets::listen(*ip, options)?, None),
            Address::Unix(path) => {
                let (fd, path) = unix::listen(path, options)?;
                self.register_listener(fd, Some(path))
            }
            Address::Unnamed => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn accept(&self, listener: Token) -> io::Result<(Token, Address)> {
        let (fd, peer) = match self.resources.borrow().get(listener) {
            Resource::Listener(listener) => sockets::accept(listener.fd.as_fd())?,
            _ => panic!("token {listener:?} is not a listener"),
        };
        Ok((self.register_stream(fd, peer.ip().is_some())?, peer))
    }

    fn connect(&self, address: &Address) -> io::Result<Token> {
        match address {
            Address::Ip(ip) => self.register_stream(sockets::connect(*ip)?, true),
            Address::Unix(path) => self.register_stream(unix::connect(path)?, false),
            Address::Unnamed => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn stream_pair(&self) -> io::Result<(Token, Token)> {
        let (one, other) = sockets::pair()?;
        let one = self.register_stream(one, false)?;
        let other = self.register_stream(other, false);
        other.map(|other| (one, other)).inspect_err(|_| self.close(one))
    }

    fn connect_outcome(&self, socket: Token) -> io::Result<()> {
        self.with_stream(socket, |stream| sockets::connect_outcome(stream.fd.as_fd()))
    }

    fn read(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Transfer> {
        assert!(!buffer.is_empty(), "a read of nothing would look like a FIN");
        match self.resources.borrow().get(socket) {
            Resource::Stream(stream) => stream.read(buffer),
            Resource::Pipe(pipe) => pipe.read(buffer),
            _ => panic!("token {socket:?} is neither a stream nor a pipe"),
        }
    }

    fn write(&self, socket: Token, buffers: &[IoSlice<'_>]) -> io::Result<Transfer> {
        let buffers = sockets::for_one_call(buffers);
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        assert!(wanted > 0, "a write of nothing says nothing");
        match self.resources.borrow().get(socket) {
            Resource::Stream(stream) => stream.write(buffers, wanted),
            Resource::Pipe(pipe) => pipe.write(buffers),
            _ => panic!("token {socket:?} is neither a stream nor a pipe"),
        }
    }

    fn shutdown_write(&self, socket: Token) -> io::Result<()> {
        if let Resource::Pipe(pipe) = self.resources.borrow_mut().get_mut(socket) {
            if let Some(fd) = pipe.take() {
                self.poller.remove(fd.as_fd());
            }
            return Ok(());
        }
        self.with_stream(socket, |stream| sockets::shutdown_write(stream.fd.as_fd()))
    }

    fn set_nodelay(&self, socket: Token, is_on: bool) -> io::Result<()> {
        self.with_stream(socket, |stream| sockets::set_nodelay(stream.fd.as_fd(), is_on))
    }

    fn set_keepalive(&self, socket: Token, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.with_stream(socket, |stream| sockets::set_keepalive(stream.fd.as_fd(), keepalive))
    }

    fn local_addr(&self, socket: Token) -> io::Result<Address> {
        match self.resources.borrow().get(socket) {
            Resource::Listener(Listener { fd, .. }) | Resource::Stream(Stream { fd, .. }) => {
                sockets::local_addr(fd.as_fd())
            }
            Resource::Datagrams(socket) => sockets::local_addr(socket.as_fd()),
            _ => panic!("token {socket:?} is not a socket"),
        }
    }

    fn bind_datagram(&self, address: SocketAddr) -> io::Result<Token> {
        self.register(DatagramSocket::bind(address)?, Resource::Datagrams)
    }

    fn connect_datagram(&self, socket: Token, peer: SocketAddr) -> io::Result<()> {
        self.with_datagrams(socket, |socket| socket.connect(peer))
    }

    fn receive_from(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Received> {
        self.with_datagrams(socket, |socket| socket.receive(buffer))
    }

    fn send_to(&self, socket: Token, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        self.with_datagrams(socket, |socket| socket.send(datagram, to))
    }

    fn close(&self, token: Token) {
        let resource = self.resources.borrow_mut().remove(token);
        match &resource {
            Resource::Pipe(pipe) => pipe.fd().into_iter().for_each(|fd| self.poller.remove(fd)),
            Resource::Listener(Listener { fd, .. }) | Resource::Stream(Stream { fd, .. }) => {
                self.poller.remove(fd.as_fd());
            }
            Resource::Datagrams(socket) => self.poller.remove(socket.as_fd()),
            Resource::Signals(pipe) => self.poller.remove(pipe.as_fd()),
            Resource::Job(JobState::Pending { lane, ticket }) => {
                drop(self.jobs.take_back(*lane, *ticket));
            }
            Resource::Job(JobState::Ended(_)) | Resource::File(_) | Resource::Process(_) => {}
        }
        match resource {
            Resource::Process(process) => self.orphans.take(process, &self.poller, true),
            Resource::Job(JobState::Ended(done)) => self.throw_away(done),
            // Dropping the resource closes its descriptors.
            resource => drop(resource),
        }
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

    fn detach(&self, socket: Token) -> io::Result<Detached> {
        let loose = match self.resources.borrow_mut().remove(socket) {
            Resource::Listener(listener) => Loose::Listener(listener),
            Resource::Stream(stream) => Loose::Stream(stream),
            Resource::Datagrams(socket) => Loose::Datagrams(socket),
            _ => panic!("token {socket:?} is not a socket"),
        };
        self.poller.forget(loose.as_fd())?;
        Ok(Detached::new(loose))
    }

    fn adopt(&self, socket: Detached) -> io::Result<Token> {
        let loose = socket.downcast().expect("it comes from a driver of this operating system");
        match loose {
            Loose::Listener(Listener { path, fd }) => self.register_listener(fd, path),
            Loose::Stream(Stream { fd, is_tcp, .. }) => self.register_stream(fd, is_tcp),
            Loose::Datagrams(socket) => self.register(socket, Resource::Datagrams),
        }
    }

    fn subscribe_signals(&self, signals: &[Signal]) -> io::Result<Token> {
        self.register(SignalPipe::subscribe(signals)?, Resource::Signals)
    }

    fn next_signal(&self, signals: Token) -> io::Result<Signal> {
        match self.resources.borrow().get(signals) {
            Resource::Signals(pipe) => pipe.next(),
            _ => panic!("token {signals:?} is not a signal subscription"),
        }
    }

    fn submit(&self, job: Job) -> Result<Token, Refused> {
        let mut resources = self.resources.borrow_mut();
        let file = job.file().map(|token| match resources.get(token) {
            Resource::File(file) => Arc::clone(file),
            _ => panic!("token {token:?} is not a file"),
        });
        let lane = job.lane();
        let token = resources.insert(Resource::Job(JobState::Pending { lane, ticket: 0 }));
        match self.jobs.submit(token, Work { job, file }) {
            Ok(ticket) => {
                *resources.get_mut(token) = Resource::Job(JobState::Pending { lane, ticket });
                Ok(token)
            }
            Err((work, error)) => {
                resources.remove(token);
                Err(Refused { job: work.job, error })
            }
        }
    }

    fn collect(&self, job: Token) -> io::Result<Ended> {
        let mut resources = self.resources.borrow_mut();
        match resources.get(job) {
            Resource::Job(JobState::Ended(_)) => {}
            Resource::Job(JobState::Pending { .. }) => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            _ => panic!("token {job:?} is not a job"),
        }
        let Resource::Job(JobState::Ended(done)) = resources.remove(job) else {
            unreachable!("just looked")
        };
        drop(resources);
        let outcome = done.result.and_then(|finished| match finished {
            Finished::Plain(outcome) => Ok(outcome),
            Finished::Opened(file) => {
                let metadata = file.metadata;
                let token = self.resources.borrow_mut().insert(Resource::File(Arc::new(file)));
                Ok(Outcome::Opened(OpenedFile { token, metadata }))
            }
            Finished::Spawned(started) => self.open_process(started).map(Outcome::Spawned),
        });
        Ok(Ended { outcome, waited: done.waited, ran: done.ran })
    }

    fn process_exit(&self, process: Token) -> io::Result<ExitStatus> {
        self.resources.borrow_mut().get_mut(process).child(process).exit()
    }

    fn signal_process(&self, process: Token, signal: Option<Signal>) -> io::Result<()> {
        self.resources.borrow_mut().get_mut(process).child(process).signal(signal)
    }
}
