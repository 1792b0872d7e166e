//! `Room`: the state of all machines and of the network between them; what the drivers of the shards share.
//!
//! It runs no program: it notes what the programs ask for, and lets events happen. Who runs when is the world's affair.
//! `tokens` is what a program holds open, `net` what moves between programs, `turns` who has something to do.
//!
//! Invariant: nothing here looks at all hosts, all connections or all links for the sake of one event, but for a crash, a clock
//! that is made to drift, and the question whether an end that asks for its peer may learn anything, where nothing else is to come.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::driver::{Instant, Token};
use mainspring_executor::token_table::TokenTable;
use slab::Slab;

use crate::busy::Busy;
use crate::bypass::Bypasses;
use crate::calls::Calls;
use crate::choice::{Choices, Span};
use crate::clock::Clock;
use crate::config::WorldConfig;
use crate::coverage::{Coverage, Fault};
use crate::detached::{Abandoned, Loose};
use crate::directory::Directory;
use crate::event::{ConnectionId, Event, Events, HostId, ShardId};
use crate::files::Files;
use crate::jobs::{DueCall, DueSpawn, Jobs};
use crate::net::{
    Budget, Connection, Letter, Link, Listener, Mailbox, MailboxId, Names, Side, Tap,
};
use crate::observer::{Broken, FaultPoints};
use crate::order::Order;
use crate::poll_cost::PollCost;
use crate::poll_counter::PollCounter;
use crate::power::{Condition, Debris, LifeNumber};
use crate::process::{Process, ProcessId};
use crate::program::Programs;
use crate::ready_waits::ReadyWaits;
use crate::signals::HeldSignals;
use crate::source::Source;
use crate::spend::Spent;
use crate::swarm;
use crate::tokens::{Handle, Place, Resource};
use crate::trace::{Kind, Trace};
use crate::turns::{Turns, Wants};

/// The network of the room is 10.0.0.0/8; the n-th host, from 1, has the n-th address.
const NETWORK: u32 = u32::from_be_bytes([10, 0, 0, 0]);

/// And fd00::/64 (RFC 4193), with the same numbers.
const NETWORK_V6: u128 = 0xfd00 << 112;

/// All machines, and the network.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) config: WorldConfig,
    /// The time of who acts: the room's, and in a turn that of its shard.
    pub(crate) now: Instant,
    /// The time that the room has come to.
    pub(crate) reached: Instant,
    pub(crate) choices: Choices,
    pub(crate) trace: Trace,
    /// Keeps the packets, where somebody wants them.
    pub(crate) tap: Option<Box<Tap>>,
    pub(crate) coverage: Coverage,
    /// One for each life of a shard, where polls are counted.
    pub(crate) poll_counters: Vec<Rc<RefCell<PollCounter>>>,
    pub(crate) fault_points: FaultPoints,
    /// The first since the world last looked.
    pub(crate) broken: Option<Broken>,
    pub(crate) events: Events,
    pub(crate) connections: Slab<Connection>,
    /// Ends that ask for their peer when nothing comes, by when they look next.
    pub(crate) asking: BTreeSet<(Instant, ConnectionId, Side)>,
    pub(crate) listeners: Slab<Listener>,
    pub(crate) mailboxes: BTreeMap<MailboxId, Mailbox>,
    /// UDP sockets made so far.
    pub(crate) mailbox_count: u64,
    pub(crate) letters: Slab<Letter>,
    /// Datagrams and ICMP messages sent so far.
    pub(crate) letter_count: u64,
    /// Sockets between two shards.
    pub(crate) loose: Slab<Loose>,
    pub(crate) abandoned: Arc<Abandoned>,
    pub(crate) link_span: Span,
    pub(crate) loopback_span: Span,
    pub(crate) poll_span: Span,
    /// Some host has, or had, a bound of memory for sockets: else nobody counts.
    pub(crate) counts_socket_memory: bool,
    /// Directed links that are not as all others.
    pub(crate) links: BTreeMap<(HostId, HostId), Link>,
    pub(crate) directory: Directory,
    /// Lives of shards that have ended, and whose tasks are still to be dropped.
    pub(crate) dying: VecDeque<(ShardId, LifeNumber)>,
    /// What crashes left.
    pub(crate) debris: Vec<Debris>,
    pub(crate) programs: Programs,
    /// Of one machine, where somebody counts them.
    pub(crate) calls: Option<Calls>,
    /// Calls that went past the drivers.
    pub(crate) bypasses: Bypasses,
    /// All that were ever started.
    pub(crate) processes: Vec<Process>,
    /// Who is polled, where an instant does not seem to end.
    pub(crate) busy: Option<Busy>,
    machines: Vec<Machine>,
    shards: Vec<ShardState>,
    /// Each is taken once: hosts with one name would draw the same.
    names: BTreeSet<Rc<str>>,
    pub(crate) turns: Turns,
}

/// A host, without its program: what all of its shards share.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: Rc<str>,
    pub(crate) ip: Ipv4Addr,
    pub(crate) ip_v6: Ipv6Addr,
    /// At least one. The first stands for the machine itself: it draws, and things are noted, in its name.
    pub(crate) shards: Vec<ShardId>,
    /// What sockets can be found by.
    pub(crate) sockets: Names,
    /// Memory for what is in their buffers.
    pub(crate) budget: Budget,
    pub(crate) files: Files,
    /// Sockets of it that are between two shards.
    pub(crate) loose_count: usize,
    pub(crate) jobs: Jobs,
    pub(crate) held_signals: HeldSignals,
    pub(crate) clock: Clock,
    /// What its polls take; `None`: as in all of the room.
    pub(crate) poll_cost: Option<PollCost>,
    pub(crate) condition: Condition,
    /// One of its tasks has asked for a crash, when its turn ends.
    pub(crate) is_crashing: bool,
}

/// A shard, as the kernel of its machine sees it: what its driver has open, and what is to be told to it.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) host: HostId,
    /// `None`: it is of the program that the machine was made for.
    pub(crate) process: Option<ProcessId>,
    pub(crate) name: Rc<str>,
    pub(crate) table: TokenTable<Place>,
    /// Tokens with edges that the program was not yet told of, each once; some may be closed by now.
    pub(crate) edges: Vec<Token>,
    /// Tokens of jobs in the table: they are not descriptors.
    pub(crate) jobs_open: usize,
    pub(crate) subscribers: Vec<Token>,
    /// What its polls take.
    pub(crate) spent: Spent,
    pub(crate) ready_waits: ReadyWaits,
    /// It had a turn, in this life.
    pub(crate) has_run: bool,
    pub(crate) life: LifeNumber,
    /// Lives before this one have no kernel any more.
    pub(crate) cut: LifeNumber,
    pub(crate) wants: Wants,
}

impl Room {
    /// An empty one; `order` goes before what is drawn of `config`.
    pub(crate) fn new(source: &Source, config: WorldConfig, order: Option<Order>) -> Self {
        let threads =
            [config.blocking_threads_max, config.compute_threads_max, config.name_threads_max];
        assert!(!threads.contains(&0), "a host has a thread for each kind of job");
        let ports = &config.ephemeral_ports;
        assert!(
            *ports.start() > 0 && !ports.is_empty(),
            "WorldConfig::ephemeral_ports is {ports:?}: at least one port is expected, and not 0"
        );
        let mut choices = Choices::new(source);
        let seed = choices.seed();
        let mut config = if config.swarm { swarm::draw(config, &mut choices) } else { config };
        config.order = order.unwrap_or(config.order);
        if source.enumerates_orders() && config.order == Order::Fifo {
            // The first of all orders is that one; the others are asked for.
            config.order = Order::Random;
        }
        if let Order::Pct { depth, polls } = config.order {
            assert!(depth > 0 && polls > 0, "PCT has a depth and a number of polls");
        }
        Self {
            now: Instant::START,
            reached: Instant::START,
            choices,
            trace: Trace::new(seed, config.record, config.timeline),
            tap: config.captures_packets.then(Box::default),
            coverage: Coverage::default(),
            poll_counters: Vec::new(),
            fault_points: FaultPoints::new(),
            broken: None,
            events: Events::default(),
            connections: Slab::new(),
            asking: BTreeSet::new(),
            listeners: Slab::new(),
            mailboxes: BTreeMap::new(),
            mailbox_count: 0,
            letters: Slab::new(),
            letter_count: 0,
            loose: Slab::new(),
            abandoned: Arc::default(),
            link_span: Span::from(&config.latency),
            loopback_span: Span::from(&config.loopback_latency),
            poll_span: Span::from(&config.poll_cost),
            counts_socket_memory: config.socket_memory_bytes.is_some(),
            links: BTreeMap::new(),
            directory: Directory::default(),
            dying: VecDeque::new(),
            debris: Vec::new(),
            programs: Programs::default(),
            calls: None,
            bypasses: Bypasses::default(),
            processes: Vec::new(),
            busy: None,
            machines: Vec::new(),
            shards: Vec::new(),
            names: BTreeSet::new(),
            turns: Turns::default(),
            config,
        }
    }

    /// Adds a machine with one shard, and gives that.
    pub(crate) fn add_machine(&mut self, name: &str) -> ShardId {
        assert!(
            !name.is_empty() && !name.contains(['/', ':']),
            "a host is named {name:?}: a name without / and : is expected, which is not empty; they are of shards and choices"
        );
        let host = HostId::new(self.machines.len());
        let number = host.index() + 1;
        self.machines.push(Machine {
            name: name.into(),
            ip: Ipv4Addr::from_bits(NETWORK + u32::try_from(number).expect("a host's number")),
            ip_v6: Ipv6Addr::from_bits(NETWORK_V6 + number as u128),
            shards: Vec::new(),
            sockets: Names::new(&self.config.ephemeral_ports),
            budget: Budget::new(self.config.socket_memory_bytes),
            files: Files::default(),
            loose_count: 0,
            jobs: Jobs::default(),
            held_signals: HeldSignals::default(),
            clock: Clock::new(),
            poll_cost: None,
            condition: Condition::Up,
            is_crashing: false,
        });
        self.add_named_shard(host, name.into())
    }

    /// Adds a shard to a machine. The second of `server` is `server/1`.
    pub(crate) fn add_shard(&mut self, host: HostId) -> ShardId {
        let machine = self.machine(host);
        let name = format!("{}/{}", machine.name, machine.shards.len());
        self.add_named_shard(host, name.into())
    }

    /// Adds the shard of a program that another one has started. That of the first child of `server` is `server/1000`.
    pub(crate) fn add_process_shard(
        &mut self,
        host: HostId,
        process: ProcessId,
        number: u32,
    ) -> ShardId {
        let name = format!("{}/{number}", self.machine(host).name);
        self.make_shard(host, name.into(), Some(process))
    }

    fn add_named_shard(&mut self, host: HostId, name: Rc<str>) -> ShardId {
        let shard = self.make_shard(host, name, None);
        self.machine_mut(host).shards.push(shard);
        shard
    }

    fn make_shard(&mut self, host: HostId, name: Rc<str>, process: Option<ProcessId>) -> ShardId {
        assert!(self.names.insert(Rc::clone(&name)), "a host is named {name} already");
        let shard = ShardId::new(self.shards.len());
        self.choices.fork(&name);
        self.shards.push(ShardState {
            host,
            process,
            name,
            table: TokenTable::default(),
            edges: Vec::new(),
            jobs_open: 0,
            subscribers: Vec::new(),
            spent: Spent::default(),
            ready_waits: ReadyWaits::default(),
            has_run: false,
            life: 0,
            cut: 0,
            wants: Wants::default(),
        });
        shard
    }

    pub(crate) fn machine(&self, host: HostId) -> &Machine {
        &self.machines[host.index()]
    }

    pub(crate) fn machine_mut(&mut self, host: HostId) -> &mut Machine {
        &mut self.machines[host.index()]
    }

    pub(crate) fn shard(&self, shard: ShardId) -> &ShardState {
        &self.shards[shard.index()]
    }

    pub(crate) fn shard_mut(&mut self, shard: ShardId) -> &mut ShardState {
        &mut self.shards[shard.index()]
    }

    /// The machine of a shard.
    pub(crate) fn host_of(&self, shard: ShardId) -> HostId {
        self.shard(shard).host
    }

    /// The shards of a machine that live, those of child processes as well.
    pub(crate) fn living_shards(&self, host: HostId) -> Vec<ShardId> {
        let all = (0..self.shards.len()).map(ShardId::new);
        all.filter(|shard| self.host_of(*shard) == host && !self.is_buried(*shard)).collect()
    }

    /// The shard that stands for a machine.
    pub(crate) fn first_shard(&self, host: HostId) -> ShardId {
        self.machine(host).shards[0]
    }

    /// The host that has an address.
    pub(crate) fn host_at(&self, ip: IpAddr) -> Option<HostId> {
        let number = match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits().checked_sub(NETWORK)?),
            IpAddr::V6(ip) => ip.to_bits().checked_sub(NETWORK_V6)?,
        };
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        (index < self.machines.len()).then(|| HostId::new(index))
    }

    /// The date, as a machine has it.
    pub(crate) fn wall_clock(&self, host: HostId) -> Duration {
        self.machine(host).clock.date(self.now)
    }

    /// What the clock of a shard's machine shows.
    pub(crate) fn clock(&self, shard: ShardId) -> Instant {
        self.machine(self.host_of(shard)).clock.shows(self.now)
    }

    /// Lets the clock of a machine go too fast, or too slow. What its shards wait for is at other instants then.
    pub(crate) fn set_drift(&mut self, host: HostId, millionths: i32) {
        let now = self.now;
        self.machine_mut(host).clock.set_drift(now, millionths);
        if millionths != 0 {
            self.coverage.add_fault(Fault::Drift);
        }
        for index in 0..self.shards.len() {
            let shard = ShardId::new(index);
            if self.host_of(shard) == host {
                self.wake(shard);
            }
        }
    }

    /// Notes something that a shard did or that happened to it, and counts what goes wrong by it.
    #[inline]
    pub(crate) fn note(&mut self, shard: ShardId, kind: Kind, subject: u64, number: u64) {
        if let Some(fault) = kind.fault() {
            self.coverage.add_fault(fault);
        }
        let poll = || self.shards[shard.index()].spent.poll();
        self.trace.note(self.now, Some(shard), kind, subject, number, poll);
    }

    /// Notes something that no program did, and counts what goes wrong by it.
    #[inline]
    pub(crate) fn note_of(
        &mut self,
        shard: Option<ShardId>,
        kind: Kind,
        subject: u64,
        number: u64,
    ) {
        if let Some(fault) = kind.fault() {
            self.coverage.add_fault(fault);
        }
        self.trace.note(self.now, shard, kind, subject, number, || None);
    }

    /// Notes something that happened to a machine.
    pub(crate) fn note_host(&mut self, host: HostId, kind: Kind, subject: u64, number: u64) {
        self.note(self.first_shard(host), kind, subject, number);
    }

    /// Remarks that something happened to the link from one machine to another.
    pub(crate) fn remark_link(&mut self, from: HostId, kind: Kind, to: HostId) {
        let shard = self.first_shard(from);
        let poll = self.shard(shard).spent.poll();
        self.trace.remark(self.now, Some(shard), kind, poll, to.index() as u64 + 1);
    }

    /// The text of the last `count` lines of the trace.
    pub(crate) fn trace_lines(&self, count: usize) -> Vec<String> {
        let names: Vec<_> = self.shards.iter().map(|shard| Rc::clone(&shard.name)).collect();
        self.trace.last_lines(&names, count)
    }

    pub(crate) fn host_count(&self) -> usize {
        self.machines.len()
    }

    /// One line for each open token of each shard, and each socket between two.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for index in 0..self.shards.len() {
            let shard = ShardId::new(index);
            for (token, place) in self.shard(shard).table.iter() {
                let what = self.describe(&place.resource);
                leaks.push(format!("{}: kernel: {what} {token:?}", self.shard(shard).name));
            }
        }
        for (_, Loose { host, socket }) in &self.loose {
            let Some(socket) = socket else { continue };
            let what = self.describe(&Resource::Socket(*socket));
            leaks.push(format!("{}: kernel: detached {what}", self.machine(*host).name));
        }
        leaks
    }
}

impl Room {
    /// Lets the first event that is due happen; a hook it only names, for that is run by the world.
    pub(crate) fn step(&mut self) -> Step {
        let due = self.events.pop_due(self.now).map(|(sequence, event)| {
            self.begin_event(sequence);
            event
        });
        match due {
            // Packets of an instant come before those who miss them.
            None if self.look() => {}
            None => return Step::Idle,
            Some(Event::Hook(hook)) => {
                self.note_of(None, Kind::Hook, u64::from(hook), 0);
                return Step::Hook(hook);
            }
            Some(Event::Job(shard, token)) => return self.job_due(Handle { shard, token }),
            Some(Event::Spurious(shard, token, ready)) => self.spurious(shard, token, ready),
            Some(packet) => self.handle_packet(packet),
        }
        Step::Happened
    }
}

/// What [`Room::step`] did.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing is due.
    Idle,
    /// An event happened.
    Happened,
    /// This hook is to be run.
    Hook(u32),
    /// This closure is to be run.
    Call(DueCall),
    /// This child is to be started.
    Spawn(DueSpawn),
}
