//! `World`: runs the hosts of a room, and moves the clock when none has anything left to do.
//!
//! ```text
//!        ┌─► a host has something to do ── choose one ── one turn of its shard ─┐
//!        ├──────────────────────────────────────────────────────────────────────┘
//!        └─► none has: move the clock to the next event or timer, let all of that instant happen
//!                      nothing to come: the run is over, or it is a deadlock
//! ```

use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::driver::{Driver, Instant};
use mainspring_executor::{JoinError, Shard, Turn};

use crate::choice::Span;
use crate::config::WorldConfig;
use crate::driver::{SimDriver, Unparked};
use crate::event::{Event, HostId};
use crate::failure::{Failure, FailureKind, Report};
use crate::host::{Foreground, Host};
use crate::room::{Room, Step};

/// So many events before a failure are told with it, where they are recorded.
const LAST_EVENTS: usize = 100;

/// A step of a scenario.
type Hook = Box<dyn FnOnce(&World)>;

/// A machine room on one thread: hosts, the network between them, one clock, one seed.
///
/// Dropping it drops the tasks of all hosts.
pub struct World {
    room: Rc<RefCell<Room>>,
    hosts: RefCell<Vec<Host>>,
    foreground: Rc<RefCell<Foreground>>,
    unparked: Arc<Unparked>,
    hooks: RefCell<Vec<Option<Hook>>>,
    event_count: core::cell::Cell<u64>,
}

impl World {
    /// An empty room. All that is not fixed by `config` and the scenario is decided by `seed`.
    ///
    /// # Panics
    /// When a range of `config` ends before it starts.
    #[must_use]
    pub fn new(seed: u64, config: WorldConfig) -> Self {
        Self {
            room: Rc::new(RefCell::new(Room::new(seed, config))),
            hosts: RefCell::default(),
            foreground: Rc::default(),
            unparked: Arc::default(),
            hooks: RefCell::default(),
            event_count: core::cell::Cell::new(0),
        }
    }

    /// Adds a host. The n-th has the address 10.0.0.n. Its name goes into its draws: a host with the same name makes
    /// the same choices in a room with more or fewer others.
    ///
    /// # Panics
    /// When another host has that name.
    pub fn host(&self, name: &str) -> Host {
        self.host_with(name, |driver| driver)
    }

    /// Adds a host whose program sees its machine through another driver: one that records, checks or meddles, and
    /// passes on to the one that `wrap` is given.
    ///
    /// # Panics
    /// As [`World::host`].
    pub fn host_with(
        &self,
        name: &str,
        wrap: impl FnOnce(Rc<dyn Driver>) -> Rc<dyn Driver>,
    ) -> Host {
        let id = self.room.borrow_mut().add_machine(name);
        let driver = Rc::new(SimDriver::new(&self.room, id, &self.unparked));
        let shard = Shard::new(wrap(Rc::clone(&driver) as Rc<_>));
        let host = Host::new(id, driver, shard, &self.room, &self.foreground);
        self.hosts.borrow_mut().push(host.clone());
        host
    }

    /// Gives the packets from one host to another a latency of their own, from now on. One direction only.
    ///
    /// # Panics
    /// When the range ends before it starts.
    pub fn set_latency(&self, from: &Host, to: &Host, latency: RangeInclusive<Duration>) {
        self.room.borrow_mut().links.insert((from.id, to.id), Span::from(&latency));
    }

    /// Runs `hook` at a virtual instant, before the hosts do anything then; at once where that has passed. One that
    /// lies behind the end of the run is not run.
    ///
    /// # Panics
    /// At 2³² hooks.
    pub fn at(&self, instant: Instant, hook: impl FnOnce(&Self) + 'static) {
        let mut hooks = self.hooks.borrow_mut();
        let number = u32::try_from(hooks.len()).expect("fewer than 2^32 hooks");
        hooks.push(Some(Box::new(hook)));
        let room = &mut *self.room.borrow_mut();
        room.events.push(instant.max(room.now), Event::Hook(number));
    }

    /// Runs all hosts until the foreground tasks have ended, and then on until no packet is under way, no job runs and
    /// no host has anything to do. Timers that are still armed then do not hold it up.
    ///
    /// May be called again, after more tasks were started.
    ///
    /// # Errors
    /// A panic of a foreground task, a deadlock, or a bound of [`WorldConfig`] that was reached.
    pub fn run(&self) -> Result<Report, Failure> {
        self.wake_all();
        loop {
            self.bury()?;
            for host in self.unparked.take() {
                self.room.borrow_mut().wake(host);
            }
            let next = self.room.borrow_mut().next_host();
            match next {
                Some(host) => self.turn(host)?,
                None if self.is_over() => return Ok(self.report()),
                None => self.advance()?,
            }
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.room.borrow().now
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.room.borrow().seed
    }

    /// The hash of everything that has happened: equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.room.borrow().trace.hash()
    }

    /// Everything that has happened, one line each: virtual time, host, what. Empty without [`WorldConfig::record`].
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.room.borrow().trace_lines(usize::MAX)
    }

    /// Each virtual instant at which something happened, in order. Empty without [`WorldConfig::record`].
    #[must_use]
    pub fn instants(&self) -> Vec<Instant> {
        self.room.borrow().trace.instants().to_vec()
    }

    /// Everything that is left: what the ledger of each host still lists, and what its kernel still holds open.
    #[must_use]
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for host in &*self.hosts.borrow() {
            let ledger = host.shard.ledger().to_string();
            leaks.extend(ledger.lines().map(|line| format!("{}: {line}", host.name())));
        }
        leaks.extend(self.room.borrow().leaks());
        leaks
    }

    fn shard_host(&self, id: HostId) -> Host {
        self.hosts.borrow()[id.index()].clone()
    }

    /// Before a run: what was spawned outside of it has announced nothing.
    fn wake_all(&self) -> bool {
        let hosts = self.hosts.borrow();
        let room = &mut *self.room.borrow_mut();
        let mut any = false;
        for host in &*hosts {
            if host.shard.next_wake() == Some(Instant::START) {
                room.wake(host.id);
                any = true;
            }
        }
        any
    }

    /// Ends the programs of the hosts that a signal killed.
    fn bury(&self) -> Result<(), Failure> {
        loop {
            let next = self.room.borrow_mut().dying.pop();
            let Some(id) = next else { return Ok(()) };
            self.shard_host(id).shard.shutdown();
            self.harvest()?;
        }
    }

    /// Gives a host its turn.
    fn turn(&self, id: HostId) -> Result<(), Failure> {
        self.count_event()?;
        let shard = self.hosts.borrow()[id.index()].shard.clone();
        if let Err(error) = shard.turn(Turn::Poll) {
            return Err(self.failure(FailureKind::Shard, format!("{error}\n")));
        }
        self.room.borrow_mut().turn_ended(id, shard.next_wake());
        self.harvest()
    }

    /// Looks at the foreground tasks that have ended.
    fn harvest(&self) -> Result<(), Failure> {
        loop {
            let ended = self.foreground.borrow_mut().take_ended();
            let Some(task) = ended else { return Ok(()) };
            let kind = match task.result {
                Ok(()) => continue,
                Err(JoinError::Cancelled) if self.room.borrow().machine(task.host).is_dead => {
                    continue;
                }
                Err(JoinError::Cancelled) => FailureKind::Cancelled,
                Err(JoinError::Panicked(_)) => FailureKind::Panic,
            };
            let error = task.result.err().map(|error| error.to_string()).unwrap_or_default();
            let host = self.shard_host(task.host);
            let details = format!("{}: spawned at {}: {error}\n", host.name(), task.origin);
            return Err(self.failure(kind, details));
        }
    }

    /// Whether everything that a run waits for is there.
    fn is_over(&self) -> bool {
        self.foreground.borrow().len() == 0 && self.room.borrow().events.is_quiet()
    }

    /// Moves the clock to the next instant at which something happens, and lets it happen.
    fn advance(&self) -> Result<(), Failure> {
        let next = self.room.borrow().next_instant();
        let Some(instant) = next else {
            // A wake that nobody announced is a bug of whoever woke, but not a deadlock.
            return if self.wake_all() { Ok(()) } else { Err(self.stuck(FailureKind::Deadlock)) };
        };
        let latest = Instant::START + self.room.borrow().config.virtual_time_max;
        if instant > latest {
            return Err(self.stuck(FailureKind::TimeLimit));
        }
        self.room.borrow_mut().advance_to(instant);
        loop {
            // Bound first: a hook must find nothing borrowed.
            let step = self.room.borrow_mut().step();
            match step {
                Step::Idle => break,
                Step::Happened => {}
                Step::Hook(number) => self.run_hook(number),
            }
            self.count_event()?;
        }
        self.room.borrow_mut().ring_alarms();
        Ok(())
    }

    fn run_hook(&self, number: u32) {
        let hook = self.hooks.borrow_mut()[number as usize].take();
        hook.expect("a hook has one event")(self);
    }

    fn count_event(&self) -> Result<(), Failure> {
        let count = self.event_count.get() + 1;
        self.event_count.set(count);
        if count > self.room.borrow().config.event_count_max {
            return Err(self.stuck(FailureKind::EventLimit));
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let room = self.room.borrow();
        let hosts = self.hosts.borrow();
        let killed = hosts.iter().filter(|host| room.machine(host.id).is_dead);
        Report {
            at: room.now,
            seed: room.seed,
            event_count: self.event_count.get(),
            trace_hash: room.trace.hash(),
            killed: killed.map(|host| host.name().to_owned()).collect(),
        }
    }

    /// A failure that is explained by what is alive.
    fn stuck(&self, kind: FailureKind) -> Failure {
        let mut details = String::from("alive:\n");
        for host in &*self.hosts.borrow() {
            for line in host.shard.ledger().to_string().lines() {
                details.push_str(&format!("  {}: {line}\n", host.name()));
            }
        }
        self.failure(kind, details)
    }

    fn failure(&self, kind: FailureKind, mut details: String) -> Failure {
        let room = self.room.borrow();
        let last = room.trace_lines(LAST_EVENTS);
        if !last.is_empty() {
            details.push_str("what happened last:\n");
            details.extend(last.iter().map(|line| format!("  {line}\n")));
        }
        Failure {
            kind,
            at: room.now,
            seed: room.seed,
            event_count: self.event_count.get(),
            trace_hash: room.trace.hash(),
            details,
        }
    }
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let room = self.room.borrow();
        write!(f, "World(seed {}, {} hosts, at {})", room.seed, room.host_count(), room.now)
    }
}

impl Drop for World {
    /// Tasks may hold hosts, and hosts hold tasks: someone has to end that.
    fn drop(&mut self) {
        for host in &*self.hosts.borrow() {
            host.shard.shutdown();
        }
    }
}
