//! `Witness`: a driver between a shard and its machine. It checks that both keep the contract, and can make the machine
//! as unpleasant as the contract allows: edges for nothing, late, and in another order. On request it also does what
//! the contract forbids, and reports tokens that are closed.
//!
//! Its draws come from a counter of its own: the same calls give the same answers, so a simulated run stays
//! repeatable.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::driver::{
    Address, Detached, Driver, Ended, ExitStatus, Heartbeat, Instant, Job, Keepalive,
    ListenOptions, Observer, Outcome, Readiness, Ready, Received, Refused, Schedule, Signal,
    Spawned, Token, Transfer, Unpark,
};

/// One of so many edges is held back for a turn.
const LATE_ONE_IN: u64 = 4;

/// See the file.
pub(super) struct Witness {
    inner: Rc<dyn Driver>,
    unparker: Arc<dyn Unpark>,
    open: RefCell<BTreeMap<Token, What>>,
    last_now: Cell<Instant>,
    is_meddling: Cell<bool>,
    /// Edges held back, for the next wait.
    late: RefCell<Vec<Readiness>>,
    /// Tokens that were closed while [`Witness::report_closed`] asks for them.
    closed: RefCell<Option<Vec<Token>>>,
    drawn: Cell<u64>,
    /// Edges that were made up.
    pub(super) spurious_count: Cell<u64>,
    /// Reports of closed tokens that were made up.
    pub(super) stale_count: Cell<u64>,
}

/// What an open token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Listener,
    /// Not known to be connected: there the first edge is a promise, and none may be made up.
    Connecting,
    Stream,
    Datagrams,
    Signals,
    Job,
    File,
    Pipe,
    Process,
}

/// A socket on its way from one witness to another.
struct Passing {
    what: What,
    inner: Detached,
}

impl What {
    /// The edges that mean nothing by themselves.
    const fn spurious(self) -> Ready {
        match self {
            Self::Listener | Self::Signals | Self::Job | Self::Process => Ready::READABLE,
            Self::Stream | Self::Datagrams | Self::Pipe => Ready::READABLE,
            Self::Connecting | Self::File => Ready::NONE,
        }
    }
}

impl Witness {
    pub(super) fn new(inner: Rc<dyn Driver>) -> Self {
        Self {
            unparker: inner.unparker(),
            last_now: Cell::new(inner.now()),
            inner,
            open: RefCell::default(),
            is_meddling: Cell::new(false),
            late: RefCell::default(),
            closed: RefCell::default(),
            drawn: Cell::new(0),
            spurious_count: Cell::new(0),
            stale_count: Cell::new(0),
        }
    }

    /// From now on edges come late, out of order, and for nothing.
    pub(super) fn meddle(&self) {
        self.is_meddling.set(true);
    }

    /// From now on each token that is closed is reported once more afterwards, with every edge there is.
    pub(super) fn report_closed(&self) {
        self.closed.replace(Some(Vec::new()));
    }

    /// What is open, one line each. Between cases: what was leaked.
    pub(super) fn open(&self) -> Vec<String> {
        self.open.borrow().iter().map(|(token, what)| format!("{what:?} {token:?}")).collect()
    }

    /// A number below `bound`.
    fn draw(&self, bound: u64) -> u64 {
        // Knuth's constants for a linear congruential generator (MMIX); the high bits are the good ones.
        let next = self.drawn.get().wrapping_mul(6_364_136_223_846_793_005);
        self.drawn.set(next.wrapping_add(1_442_695_040_888_963_407));
        (self.drawn.get() >> 33) % bound
    }

    fn opened(&self, token: Token, what: What) -> Token {
        let before = self.open.borrow_mut().insert(token, what);
        assert_eq!(before, None, "the driver gave out {token:?} while it was open");
        token
    }

    fn spawned(&self, spawned: &Spawned) {
        self.opened(spawned.process, What::Process);
        for pipe in [spawned.stdin, spawned.stdout, spawned.stderr].into_iter().flatten() {
            self.opened(pipe, What::Pipe);
        }
    }

    fn check_open(&self, token: Token, allowed: &[What]) {
        let open = self.open.borrow();
        let what = open.get(&token);
        assert!(
            what.is_some_and(|what| allowed.contains(what)),
            "{token:?} is {what:?}, and used as one of {allowed:?}"
        );
    }

    fn forget(&self, token: Token) {
        let before = self.open.borrow_mut().remove(&token);
        assert!(before.is_some(), "{token:?} is closed while it is not open");
        if let Some(closed) = &mut *self.closed.borrow_mut() {
            closed.push(token);
        }
    }

    fn is_open(&self, token: Token) -> bool {
        self.open.borrow().contains_key(&token)
    }

    /// Changes what a wait gave, within the contract. `late` was held back before and is part of it by now.
    fn disturb(&self, events: &mut Vec<Readiness>, first: usize) {
        // Held back: only what is new, and never twice.
        let mut kept = Vec::new();
        for event in events.drain(first..) {
            match self.draw(LATE_ONE_IN) {
                0 => self.late.borrow_mut().push(event),
                _ => kept.push(event),
            }
        }
        for (token, what) in &*self.open.borrow() {
            let ready = match what {
                // Both ways: a stream that is not writable says so when it is asked.
                What::Stream | What::Datagrams | What::Pipe if self.draw(2) == 0 => {
                    Ready::READABLE | Ready::WRITABLE
                }
                what => what.spurious(),
            };
            if !ready.is_empty() && self.draw(2) == 0 {
                kept.push(Readiness { token: *token, ready });
                self.spurious_count.set(self.spurious_count.get() + 1);
            }
        }
        while !kept.is_empty() {
            let place = self.draw(kept.len() as u64);
            events.push(kept.swap_remove(usize::try_from(place).expect("a place in a list")));
        }
        if !self.late.borrow().is_empty() {
            // The shard must come back for them.
            self.unparker.unpark();
        }
    }

    /// Adds reports of closed tokens, which the contract forbids.
    fn report_stale(&self, events: &mut Vec<Readiness>) {
        let Some(closed) = &mut *self.closed.borrow_mut() else { return };
        let ready = Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED | Ready::BROKEN;
        for token in closed.drain(..) {
            events.push(Readiness { token, ready });
            self.stale_count.set(self.stale_count.get() + 1);
        }
    }
}

impl Driver for Witness {
    fn now(&self) -> Instant {
        let now = self.inner.now();
        assert!(now >= self.last_now.get(), "time never goes back");
        self.last_now.set(now);
        now
    }

    fn wall_clock(&self) -> Duration {
        self.inner.wall_clock()
    }

    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }

    fn choose(&self, count: usize) -> usize {
        let index = self.inner.choose(count);
        assert!(index < count, "{index} is none of {count} alternatives");
        index
    }

    fn schedule(&self) -> Option<Box<dyn Schedule>> {
        self.inner.schedule()
    }

    fn wait(&self, events: &mut Vec<Readiness>, until: Option<Instant>) -> io::Result<()> {
        let first = events.len();
        let late = core::mem::take(&mut *self.late.borrow_mut());
        let until = if late.is_empty() { until } else { Some(Instant::START) };
        let waited = self.inner.wait(events, until);
        if let Err(error) = &waited {
            panic!("a wait fails only where the machine is broken for good: {error}");
        }
        for event in &events[first..] {
            assert!(self.is_open(event.token), "{event:?} is reported, but its token is closed");
            assert!(!event.ready.is_empty(), "{event:?} reports nothing");
        }
        if self.is_meddling.get() {
            self.disturb(events, first);
        }
        events.extend(late.into_iter().filter(|event| self.is_open(event.token)));
        self.report_stale(events);
        waited
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.inner.unparker()
    }

    fn watch(&self, heartbeat: Arc<Heartbeat>) {
        self.inner.watch(heartbeat);
    }

    fn observer(&self) -> Option<Rc<dyn Observer>> {
        self.inner.observer()
    }

    fn listen(&self, address: &Address, options: ListenOptions) -> io::Result<Token> {
        Ok(self.opened(self.inner.listen(address, options)?, What::Listener))
    }

    fn accept(&self, listener: Token) -> io::Result<(Token, Address)> {
        self.check_open(listener, &[What::Listener]);
        let (token, peer) = self.inner.accept(listener)?;
        Ok((self.opened(token, What::Stream), peer))
    }

    fn connect(&self, address: &Address) -> io::Result<Token> {
        Ok(self.opened(self.inner.connect(address)?, What::Connecting))
    }

    fn connect_outcome(&self, socket: Token) -> io::Result<()> {
        self.check_open(socket, &[What::Connecting]);
        self.inner.connect_outcome(socket)?;
        self.open.borrow_mut().insert(socket, What::Stream);
        Ok(())
    }

    fn stream_pair(&self) -> io::Result<(Token, Token)> {
        let (one, other) = self.inner.stream_pair()?;
        Ok((self.opened(one, What::Stream), self.opened(other, What::Stream)))
    }

    fn read(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Transfer> {
        self.check_open(socket, &[What::Stream, What::Pipe]);
        assert!(!buffer.is_empty(), "a read of nothing would look like a FIN");
        let transfer = self.inner.read(socket, buffer)?;
        assert!(transfer.count <= buffer.len(), "{transfer:?} of {} bytes", buffer.len());
        assert!(transfer.count > 0 || !transfer.exhausted, "a FIN stays: it is never exhausted");
        Ok(transfer)
    }

    fn write(&self, socket: Token, buffers: &[IoSlice<'_>]) -> io::Result<Transfer> {
        self.check_open(socket, &[What::Stream, What::Pipe]);
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        assert!(wanted > 0, "a write of nothing says nothing");
        let transfer = self.inner.write(socket, buffers)?;
        assert!((1..=wanted).contains(&transfer.count), "{transfer:?} of {wanted} bytes");
        Ok(transfer)
    }

    fn shutdown_write(&self, socket: Token) -> io::Result<()> {
        self.check_open(socket, &[What::Stream, What::Pipe]);
        self.inner.shutdown_write(socket)
    }

    fn set_nodelay(&self, socket: Token, is_on: bool) -> io::Result<()> {
        self.check_open(socket, &[What::Stream]);
        self.inner.set_nodelay(socket, is_on)
    }

    fn set_keepalive(&self, socket: Token, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.check_open(socket, &[What::Stream]);
        self.inner.set_keepalive(socket, keepalive)
    }

    fn local_addr(&self, socket: Token) -> io::Result<Address> {
        self.check_open(socket, &[What::Stream, What::Listener, What::Datagrams]);
        self.inner.local_addr(socket)
    }

    fn bind_datagram(&self, address: SocketAddr) -> io::Result<Token> {
        Ok(self.opened(self.inner.bind_datagram(address)?, What::Datagrams))
    }

    fn connect_datagram(&self, socket: Token, peer: SocketAddr) -> io::Result<()> {
        self.check_open(socket, &[What::Datagrams]);
        self.inner.connect_datagram(socket, peer)
    }

    fn receive_from(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Received> {
        self.check_open(socket, &[What::Datagrams]);
        let received = self.inner.receive_from(socket, buffer)?;
        assert!(received.count <= buffer.len(), "{received:?} of {} bytes", buffer.len());
        let is_full = received.count == buffer.len();
        assert!(is_full || !received.is_truncated, "{received:?}, with room for more");
        Ok(received)
    }

    fn send_to(&self, socket: Token, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        self.check_open(socket, &[What::Datagrams]);
        self.inner.send_to(socket, datagram, to)
    }

    fn close(&self, token: Token) {
        self.forget(token);
        self.inner.close(token);
    }

    fn abort(&self, socket: Token) {
        self.check_open(socket, &[What::Stream]);
        self.forget(socket);
        self.inner.abort(socket);
    }

    fn detach(&self, socket: Token) -> io::Result<Detached> {
        let what = self.open.borrow().get(&socket).copied();
        self.check_open(socket, &[What::Stream, What::Listener, What::Datagrams]);
        self.forget(socket);
        let inner = self.inner.detach(socket)?;
        Ok(Detached::new(Passing { what: what.expect("it is open"), inner }))
    }

    fn adopt(&self, socket: Detached) -> io::Result<Token> {
        let Passing { what, inner } = socket.downcast().expect("it comes from another witness");
        Ok(self.opened(self.inner.adopt(inner)?, what))
    }

    fn subscribe_signals(&self, signals: &[Signal]) -> io::Result<Token> {
        assert!(!signals.is_empty(), "a subscription is to something");
        Ok(self.opened(self.inner.subscribe_signals(signals)?, What::Signals))
    }

    fn next_signal(&self, signals: Token) -> io::Result<Signal> {
        self.check_open(signals, &[What::Signals]);
        self.inner.next_signal(signals)
    }

    fn submit(&self, job: Job) -> Result<Token, Refused> {
        if let Some(file) = job.file() {
            self.check_open(file, &[What::File]);
        }
        Ok(self.opened(self.inner.submit(job)?, What::Job))
    }

    fn collect(&self, job: Token) -> io::Result<Ended> {
        self.check_open(job, &[What::Job]);
        let collected = self.inner.collect(job);
        match &collected {
            Ok(ended) => {
                self.forget(job);
                match &ended.outcome {
                    Ok(Outcome::Opened(file)) => drop(self.opened(file.token, What::File)),
                    Ok(Outcome::Spawned(spawned)) => self.spawned(spawned),
                    _ => {}
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "a collect is no job"),
        }
        collected
    }

    fn process_exit(&self, process: Token) -> io::Result<ExitStatus> {
        self.check_open(process, &[What::Process]);
        self.inner.process_exit(process)
    }

    fn signal_process(&self, process: Token, signal: Option<Signal>) -> io::Result<()> {
        self.check_open(process, &[What::Process]);
        self.inner.signal_process(process, signal)
    }
}
