//! `Room`: the state of all machines and of the network between them; what the drivers of the hosts share.
//!
//! It runs no program: it notes what the programs ask for, and lets events happen. Who runs when is the world's affair.
//!
//! Invariant: nothing here looks at all hosts, all connections or all links for the sake of one event.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use mainspring_executor::driver::{Instant, Readiness, Ready, Signal, Token};
use mainspring_executor::token_table::TokenTable;
use slab::Slab;

use crate::choice::{Choices, Label, Span};
use crate::config::WorldConfig;
use crate::event::{ConnectionId, Event, Events, HostId};
use crate::files::{Files, Node};
use crate::jobs::JobState;
use crate::net::{Connection, Listener, Side};
use crate::ports::Ports;
use crate::trace::{Kind, Trace};

/// The date at which each world starts: 2026-01-01T00:00:00Z, since 1970.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// The network of the room is 10.0.0.0/8; the n-th host, from 1, has the n-th address.
const NETWORK: u32 = u32::from_be_bytes([10, 0, 0, 0]);

/// A call that would block is followed by an edge for nothing once in so many times, where that may be; less than each
/// time, or it would go on for ever.
const SPURIOUS_ONE_IN: u64 = 16;

/// How late such an edge comes.
const SPURIOUS_DELAY: Duration = Duration::from_millis(1);

/// What `EMFILE` is on Linux: `io::ErrorKind` has no name for it.
const EMFILE: i32 = 24;

/// All machines, and the network.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) config: WorldConfig,
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    pub(crate) choices: Choices,
    pub(crate) trace: Trace,
    pub(crate) events: Events,
    pub(crate) connections: Slab<Connection>,
    pub(crate) link_span: Span,
    pub(crate) loopback_span: Span,
    /// Latencies of directed links that differ from `link_span`.
    pub(crate) links: BTreeMap<(HostId, HostId), Span>,
    /// Hosts that a signal killed and whose programs are still to be dropped.
    pub(crate) dying: Vec<HostId>,
    machines: Vec<Machine>,
    /// Each is taken once: hosts with one name would draw the same.
    names: BTreeSet<Rc<str>>,
    /// Hosts with something to do now, each once.
    runnable: VecDeque<HostId>,
    /// When each idle host has something to do by itself.
    alarms: BTreeSet<(Instant, HostId)>,
}

/// A host, without its program.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: Rc<str>,
    pub(crate) ip: Ipv4Addr,
    pub(crate) table: TokenTable<Place>,
    /// Tokens with edges that the program was not yet told of, each once; some may be closed by now.
    edges: Vec<Token>,
    is_queued: bool,
    alarm: Option<Instant>,
    /// Listeners by port, in the order in which they were made.
    pub(crate) listeners: BTreeMap<u16, Vec<Token>>,
    pub(crate) ports: Ports,
    pub(crate) files: Files,
    pub(crate) jobs_running: usize,
    /// Tokens of jobs in the table: they are not descriptors.
    pub(crate) jobs_open: usize,
    subscribers: Vec<Token>,
    /// The program has subscribed to signals once. From then on none kills it, subscribed or not.
    handles_signals: bool,
    /// Killed by a signal.
    pub(crate) is_dead: bool,
}

/// A place in the table of a host.
#[derive(Debug)]
pub(crate) struct Place {
    /// Edges that the program was not yet told of.
    pending: Ready,
    pub(crate) resource: Resource,
}

impl Place {
    pub(crate) const fn new(resource: Resource) -> Self {
        Self { pending: Ready::NONE, resource }
    }
}

/// What a token names.
#[derive(Debug)]
pub(crate) enum Resource {
    Socket(ConnectionId, Side),
    Listener(Box<Listener>),
    /// Signals that are pending; of each kind at most one, as in POSIX.
    Signals(Vec<Signal>),
    Job(JobState),
    File(Node),
}

impl Resource {
    /// What it is, in a word or two.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Socket(..) => "connection",
            Self::Listener(_) => "listener",
            Self::Signals(_) => "signal subscription",
            Self::Job(_) => "job",
            Self::File(_) => "file",
        }
    }
}

impl Room {
    pub(crate) fn new(seed: u64, config: WorldConfig) -> Self {
        Self {
            seed,
            now: Instant::START,
            choices: Choices::new(seed),
            trace: Trace::new(seed, config.record),
            events: Events::default(),
            connections: Slab::new(),
            link_span: Span::from(&config.latency),
            loopback_span: Span::from(&config.loopback_latency),
            links: BTreeMap::new(),
            dying: Vec::new(),
            machines: Vec::new(),
            names: BTreeSet::new(),
            runnable: VecDeque::new(),
            alarms: BTreeSet::new(),
            config,
        }
    }

    pub(crate) fn add_machine(&mut self, name: &str) -> HostId {
        assert!(self.names.insert(name.into()), "a host is named {name} already");
        let host = HostId::new(self.machines.len());
        self.choices.fork(name);
        self.machines.push(Machine {
            name: name.into(),
            ip: Ipv4Addr::from_bits(NETWORK + host.ordinal() + 1),
            table: TokenTable::default(),
            edges: Vec::new(),
            is_queued: false,
            alarm: None,
            listeners: BTreeMap::new(),
            ports: Ports::default(),
            files: Files::default(),
            jobs_running: 0,
            jobs_open: 0,
            subscribers: Vec::new(),
            handles_signals: false,
            is_dead: false,
        });
        host
    }

    pub(crate) fn machine(&self, host: HostId) -> &Machine {
        &self.machines[host.index()]
    }

    pub(crate) fn machine_mut(&mut self, host: HostId) -> &mut Machine {
        &mut self.machines[host.index()]
    }

    /// The host that has an address.
    pub(crate) fn host_at(&self, ip: Ipv4Addr) -> Option<HostId> {
        let ordinal = ip.to_bits().checked_sub(NETWORK + 1)?;
        let index = usize::try_from(ordinal).ok()?;
        (index < self.machines.len()).then(|| HostId::new(index))
    }

    pub(crate) fn wall_clock(&self) -> Duration {
        EPOCH + (self.now - Instant::START)
    }

    /// Notes something that a host did or that happened to it.
    #[inline]
    pub(crate) fn note(&mut self, host: HostId, kind: Kind, subject: u64, number: u64) {
        self.trace.note(self.now, Some(host), kind, subject, number);
    }

    /// The text of the last `count` lines of the trace.
    pub(crate) fn trace_lines(&self, count: usize) -> Vec<String> {
        let names: Vec<_> = self.machines.iter().map(|machine| Rc::clone(&machine.name)).collect();
        self.trace.last_lines(&names, count)
    }
}

/// Who has something to do, and when.
impl Room {
    /// A host has, or may have, something to do now.
    pub(crate) fn wake(&mut self, host: HostId) {
        let machine = self.machine_mut(host);
        if !machine.is_queued && !machine.is_dead {
            machine.is_queued = true;
            self.runnable.push_back(host);
        }
    }

    /// Takes the host that goes next, if one has something to do.
    pub(crate) fn next_host(&mut self) -> Option<HostId> {
        if self.runnable.is_empty() {
            return None;
        }
        let index = match self.config.shuffled {
            true => self.choices.index(None, Label::Host, self.runnable.len()),
            false => 0,
        };
        let host = self.runnable.swap_remove_front(index).expect("an index below the length");
        self.machine_mut(host).is_queued = false;
        self.note(host, Kind::Turn, 0, 0);
        Some(host)
    }

    /// A host has taken its turn, and next wants one at `next_wake`.
    pub(crate) fn turn_ended(&mut self, host: HostId, next_wake: Option<Instant>) {
        let now = self.now;
        let machine = self.machine_mut(host);
        if next_wake.is_some_and(|at| at <= now) || !machine.edges.is_empty() {
            self.wake(host);
            return;
        }
        self.set_alarm(host, next_wake);
    }

    fn set_alarm(&mut self, host: HostId, alarm: Option<Instant>) {
        let before = core::mem::replace(&mut self.machine_mut(host).alarm, alarm);
        if before == alarm {
            return;
        }
        if let Some(at) = before {
            self.alarms.remove(&(at, host));
        }
        if let Some(at) = alarm {
            self.alarms.insert((at, host));
        }
    }

    /// When something happens next, be it an event or a timer of a host.
    pub(crate) fn next_instant(&self) -> Option<Instant> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        match (self.events.next_instant(), alarm) {
            (Some(event), Some(alarm)) => Some(event.min(alarm)),
            (event, alarm) => event.or(alarm),
        }
    }

    /// Moves the clock.
    pub(crate) fn advance_to(&mut self, instant: Instant) {
        assert!(instant >= self.now, "time never goes back");
        self.now = instant;
    }

    /// Wakes the hosts whose timers are due.
    pub(crate) fn ring_alarms(&mut self) {
        while let Some((at, host)) = self.alarms.first().copied()
            && at <= self.now
        {
            self.set_alarm(host, None);
            self.wake(host);
        }
    }

    /// Lets the first event that is due happen; a hook it only names, for that is run by the world.
    pub(crate) fn step(&mut self) -> Step {
        match self.events.pop_due(self.now) {
            None => return Step::Idle,
            Some(Event::Hook(hook)) => {
                self.trace.note(self.now, None, Kind::Hook, u64::from(hook), 0);
                return Step::Hook(hook);
            }
            Some(Event::Job(host, token)) => self.job_ended(host, token),
            Some(Event::Spurious(host, token, ready)) => self.spurious(host, token, ready),
            Some(packet) => self.handle_packet(packet),
        }
        Step::Happened
    }
}

/// What [`Room::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is due.
    Idle,
    /// An event happened.
    Happened,
    /// This hook is to be run.
    Hook(u32),
}

/// Tokens and edges.
impl Room {
    /// # Errors
    /// When the host has as many descriptors as it may.
    pub(crate) fn check_token_limit(&self, host: HostId) -> io::Result<()> {
        let machine = self.machine(host);
        match machine.table.len() - machine.jobs_open < self.config.tokens_max {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(EMFILE)),
        }
    }

    pub(crate) fn open_token(&mut self, host: HostId, resource: Resource) -> io::Result<Token> {
        self.check_token_limit(host)?;
        Ok(self.machine_mut(host).table.insert(Place::new(resource)))
    }

    /// Owes the program of a host an edge. Edges of one token that were not yet told are told as one.
    pub(crate) fn raise(&mut self, host: HostId, token: Token, ready: Ready) {
        let machine = self.machine_mut(host);
        let place = machine.table.get_mut(token);
        let is_first = place.pending.is_empty();
        place.pending |= ready;
        if is_first {
            machine.edges.push(token);
            self.wake(host);
        }
    }

    /// Tells a host of its edges.
    pub(crate) fn take_edges(&mut self, host: HostId, events: &mut Vec<Readiness>) {
        let mut edges = core::mem::take(&mut self.machine_mut(host).edges);
        for token in edges.drain(..) {
            let machine = self.machine_mut(host);
            if machine.table.try_get(token).is_none() {
                continue;
            }
            let ready = core::mem::take(&mut machine.table.get_mut(token).pending);
            self.note(host, Kind::Edge, token.to_bits(), u64::from(ready.bits()));
            events.push(Readiness { token, ready });
        }
        // Put back for its memory.
        self.machine_mut(host).edges = edges;
    }

    pub(crate) fn close(&mut self, host: HostId, token: Token, is_abort: bool) {
        let kind = if is_abort { Kind::Abort } else { Kind::Close };
        self.note(host, kind, token.to_bits(), 0);
        let place = self.machine_mut(host).table.remove(token);
        match place.resource {
            Resource::Socket(id, side) => self.close_socket(id, side, is_abort),
            Resource::Listener(listener) => self.close_listener(host, token, &listener),
            Resource::Signals(_) => {
                self.machine_mut(host).subscribers.retain(|other| *other != token);
            }
            Resource::Job(_) => self.machine_mut(host).jobs_open -= 1,
            Resource::File(_) => {}
        }
    }

    /// Sometimes makes an edge for nothing, after a call that would block.
    pub(crate) fn perhaps_spurious(&mut self, host: HostId, token: Token, ready: Ready) {
        let owner = Some(host);
        if !self.config.spurious || !self.choices.chance(owner, Label::Spurious, SPURIOUS_ONE_IN) {
            return;
        }
        let span = Span::from(&(Duration::ZERO..=SPURIOUS_DELAY));
        let delay = self.choices.duration(host, Label::Spurious, span);
        self.events.push(self.now + delay, Event::Spurious(host, token, ready));
    }

    fn spurious(&mut self, host: HostId, token: Token, ready: Ready) {
        self.note(host, Kind::Spurious, token.to_bits(), u64::from(ready.bits()));
        let Some(place) = self.machine(host).table.try_get(token) else { return };
        // The first edge of a socket that connects is a promise: there the contract forbids one for nothing.
        let is_connecting = match place.resource {
            Resource::Socket(id, side) => self.is_connecting(id, side),
            _ => false,
        };
        if !is_connecting {
            self.raise(host, token, ready);
        }
    }
}

/// Signals.
impl Room {
    pub(crate) fn subscribe_signals(&mut self, host: HostId) -> io::Result<Token> {
        let token = self.open_token(host, Resource::Signals(Vec::new()))?;
        let machine = self.machine_mut(host);
        machine.subscribers.push(token);
        machine.handles_signals = true;
        self.note(host, Kind::SubscribeSignals, token.to_bits(), 0);
        Ok(token)
    }

    pub(crate) fn next_signal(&mut self, host: HostId, token: Token) -> io::Result<Signal> {
        let Resource::Signals(pending) = &mut self.machine_mut(host).table.get_mut(token).resource
        else {
            panic!("{token:?} is used as a signal subscription, but it is another thing")
        };
        let signal = if pending.is_empty() { None } else { Some(pending.remove(0)) };
        self.note(host, Kind::NextSignal, token.to_bits(), u64::from(signal.is_none()));
        signal.ok_or(ErrorKind::WouldBlock.into())
    }

    /// Sends a signal to the program of a host. One that never subscribed dies of it. One whose last subscription is
    /// gone ignores it: the handler stays in the process, as that of the `signal-hook` crate does.
    pub(crate) fn signal(&mut self, host: HostId, signal: Signal) {
        self.note(host, Kind::Signal, signal as u64, 0);
        if self.machine(host).is_dead {
            return;
        }
        let subscribers = self.machine(host).subscribers.clone();
        if !self.machine(host).handles_signals {
            self.note(host, Kind::Death, 0, 0);
            self.machine_mut(host).is_dead = true;
            self.set_alarm(host, None);
            self.dying.push(host);
        }
        for token in subscribers {
            let place = self.machine_mut(host).table.get_mut(token);
            let Resource::Signals(pending) = &mut place.resource else {
                unreachable!("a subscriber is a signal subscription")
            };
            if !pending.contains(&signal) {
                pending.push(signal);
            }
            self.raise(host, token, Ready::READABLE);
        }
    }
}

/// What is left.
impl Room {
    /// One line for each open token of each host.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for index in 0..self.machines.len() {
            let host = HostId::new(index);
            let places: Vec<_> = self.machine(host).table.iter().map(|(token, _)| token).collect();
            for token in places {
                let what = self.describe(host, token);
                leaks.push(format!("{}: kernel: {what} {token:?}", self.machine(host).name));
            }
        }
        leaks
    }

    fn describe(&self, host: HostId, token: Token) -> String {
        let resource = &self.machine(host).table.get(token).resource;
        let name = resource.name();
        match resource {
            Resource::Listener(listener) => format!("{name} at {}", listener.address),
            Resource::Socket(id, side) => {
                let (id, side) = (*id, *side);
                let local = self.socket_address(id, side);
                format!("{name} {local} to {}", self.socket_address(id, side.other()))
            }
            Resource::Signals(_) | Resource::Job(_) | Resource::File(_) => name.to_owned(),
        }
    }

    pub(crate) fn host_count(&self) -> usize {
        self.machines.len()
    }
}
