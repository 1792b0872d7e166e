//! `World`: runs the shards of a room, and moves the clock when none has anything left to do.
//!
//! ```text
//!        ┌─► a shard has something to do ── choose one ── one turn of it ─┐
//!        ├────────────────────────────────────────────────────────────────┘
//!        └─► none has: move the clock to the next event or timer, let all of that instant happen
//!                      nothing to come: the run is over, or it is a deadlock
//! ```

mod account;
mod verdict;

use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::driver::{Driver, Instant};
use mainspring_executor::{JoinError, Turn};

use crate::busy::{Busy, Instants};
use crate::bypass::Here;
use crate::calls::{Call, Calls, Error};
use crate::choice::{Label, Span};
use crate::config::WorldConfig;
use crate::coverage::Fault;
use crate::driver::Unparked;
use crate::event::{Event, ShardId};
use crate::failure::{Failure, FailureKind, Report};
use crate::host::{Foreground, Host};
use crate::jobs::{DueCall, DueSpawn};
use crate::memory::Memory;
use crate::net::{Line, Link};
use crate::order::Order;
use crate::power::LifeNumber;
use crate::process::{Ending, Starting};
use crate::program::{Program, SimProcess};
use crate::recording::Recording;
use crate::room::{Room, Step};
use crate::seat::{Seat, Seats, Wrap};
use crate::seen::Seen;
use crate::source::Source;
use crate::spend::during_turn;
use crate::trace::Kind;
use crate::victim::Victims;

/// A step of a scenario.
type Hook = Box<dyn FnOnce(&World)>;

/// A machine room on one thread: hosts, the network between them, one clock, one seed.
///
/// Dropping it drops the tasks of all hosts.
pub struct World {
    pub(crate) room: Rc<RefCell<Room>>,
    /// One for each shard.
    pub(crate) hosts: RefCell<Vec<Host>>,
    foreground: Rc<RefCell<Foreground>>,
    unparked: Arc<Unparked>,
    victims: Victims,
    hooks: RefCell<Vec<Option<Hook>>>,
    event_count: core::cell::Cell<u64>,
    recording: Option<Recording>,
    here: Rc<Here>,
    /// Who wants to know in the end what happened.
    seen: Option<Rc<RefCell<Seen>>>,
    /// Also what it looked like.
    is_viewed: bool,
    instants: RefCell<Instants>,
    pub(crate) memory: RefCell<Memory>,
}

impl World {
    /// An empty room. All that is not fixed by `config` and the scenario is decided by `source`: a seed, as a rule.
    ///
    /// # Panics
    /// When a range of `config` ends before it starts, the ephemeral ports begin with 0, a host would have no thread for some
    /// jobs, or [`Order::Pct`] is of depth
    /// 0 or for no polls.
    ///
    /// [`Order::Pct`]: crate::Order::Pct
    #[must_use]
    pub fn new(source: impl Into<Source>, config: WorldConfig) -> Self {
        Self::of(&source.into(), config, None)
    }

    /// A room in which `order` goes before that of `config`, and before what a swarm draws.
    pub(crate) fn of(source: &Source, config: WorldConfig, order: Option<Order>) -> Self {
        let room = Rc::new(RefCell::new(Room::new(source, config, order)));
        Self {
            recording: source.recording().cloned(),
            here: Here::within(&room),
            seen: None,
            is_viewed: false,
            room,
            hosts: RefCell::default(),
            foreground: Rc::default(),
            unparked: Arc::default(),
            victims: Victims::default(),
            hooks: RefCell::default(),
            event_count: core::cell::Cell::new(0),
            instants: RefCell::default(),
            memory: RefCell::default(),
        }
    }

    /// Its victims are those of other worlds as well.
    pub(crate) fn with_victims(mut self, victims: &Victims) -> Self {
        self.victims = victims.clone();
        self
    }

    /// Tells in its end what happened.
    pub(crate) fn seen_by(mut self, seen: &Rc<RefCell<Seen>>, is_viewed: bool) -> Self {
        self.seen = Some(Rc::clone(seen));
        self.is_viewed = is_viewed;
        self
    }

    /// Adds a host. The n-th has the addresses 10.0.0.n and fd00::n. Its name goes into its draws: a host with the same name makes
    /// the same choices in a room with more or fewer others.
    ///
    /// # Panics
    /// When another host has that name, or it is empty, or has a `/` or `:` in it: those are of the names of shards and choices.
    pub fn host(&self, name: &str) -> Host {
        self.host_with(name, |driver| driver)
    }

    /// Adds a host whose program sees its machine through another driver: one that records, checks or meddles, and
    /// passes on to the one that `wrap` is given. It is asked once more after each [`Host::restart`].
    ///
    /// # Panics
    /// As [`World::host`].
    pub fn host_with(
        &self,
        name: &str,
        wrap: impl Fn(Rc<dyn Driver>) -> Rc<dyn Driver> + 'static,
    ) -> Host {
        let shard = self.room.borrow_mut().add_machine(name);
        self.start(shard, &Seats::default(), Box::new(wrap))
    }

    /// Adds a shard to the machine of `host`, as one more thread of the same program has it: its driver, tokens and
    /// tasks are its own; addresses, ports, paths and files are the machine's, and a signal is for all of its shards.
    /// Its name is that of the machine with a number: `server/1`.
    ///
    /// # Panics
    /// When another host has that name.
    pub fn add_shard(&self, host: &Host) -> Host {
        self.add_shard_with(host, |driver| driver)
    }

    /// [`World::add_shard`] with a driver in between, as [`World::host_with`] has it.
    ///
    /// # Panics
    /// As [`World::add_shard`].
    pub fn add_shard_with(
        &self,
        host: &Host,
        wrap: impl Fn(Rc<dyn Driver>) -> Rc<dyn Driver> + 'static,
    ) -> Host {
        let shard = self.room.borrow_mut().add_shard(host.id);
        self.start(shard, &host.seats, Box::new(wrap))
    }

    /// Begins the first life of a shard.
    fn start(&self, id: ShardId, seats: &Seats, wrap: Box<Wrap>) -> Host {
        let seat = Rc::new(Seat::new(id, &self.room, &self.unparked, wrap));
        seats.borrow_mut().push(Rc::clone(&seat));
        let host = Host::new(seat, Rc::clone(seats), &self.room, &self.foreground);
        self.hosts.borrow_mut().push(host.clone());
        host
    }

    /// The host of that name, if there is one; a child process is none.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Host> {
        let room = self.room.borrow();
        let is_it =
            |host: &&Host| host.name() == name && room.shard(host.shard_id).process.is_none();
        self.hosts.borrow().iter().find(is_it).cloned()
    }

    /// What makes futures of this run into victims, which [`Everywhere`](crate::Everywhere) drops.
    #[must_use]
    pub fn victims(&self) -> Victims {
        self.victims.clone()
    }

    /// Counts the calls of the programs of a host from now on, and lets one of them fail.
    pub(crate) fn count_calls(&self, host: &Host, fails: Option<(usize, Error)>) {
        self.room.borrow_mut().calls = Some(Calls::of(host.id, fails));
    }

    /// The calls that were counted.
    pub(crate) fn calls_made(&self) -> Vec<Call> {
        self.room.borrow().calls.as_ref().map(Calls::made).unwrap_or_default().to_vec()
    }

    /// Gives the packets from one host to another a latency of their own, from now on. One direction only.
    ///
    /// # Panics
    /// When the range ends before it starts.
    pub fn set_latency(&self, from: &Host, to: &Host, latency: RangeInclusive<Duration>) {
        self.link(from, to, |link| link.latency = Some(Span::from(&latency)));
    }

    /// The latency of the packets from one host to another, as it is now.
    #[must_use]
    pub fn latency(&self, from: &Host, to: &Host) -> RangeInclusive<Duration> {
        let room = self.room.borrow();
        let own = room.links.get(&(from.id, to.id)).and_then(|link| link.latency);
        own.map_or_else(|| room.config.latency.clone(), Span::range)
    }

    /// Gives one direction of a link a bandwidth, from now on: packets leave one after the other, with 40 bytes of headers
    /// each, and what finds more than `queue_bytes` in front of it is lost. A line that is free takes one packet of any size.
    ///
    /// # Panics
    /// When the bandwidth is 0.
    pub fn set_bandwidth(&self, from: &Host, to: &Host, bytes_per_second: u64, queue_bytes: u64) {
        self.link(from, to, |link| link.line = Some(Line::new(bytes_per_second, queue_bytes)));
    }

    /// Cuts one direction of a link: what leaves one host for the other from now on gets lost, until [`World::heal`]. What
    /// is under way arrives. The program is told nothing: its kernel sends again, and gives up after a quarter of an hour.
    pub fn cut(&self, from: &Host, to: &Host) {
        self.link(from, to, |link| link.is_cut = true);
        let room = &mut *self.room.borrow_mut();
        room.coverage.add_fault(Fault::Cut);
        room.remark_link(from.id, Kind::Cut, to.id);
    }

    /// Ends a [`World::cut`].
    pub fn heal(&self, from: &Host, to: &Host) {
        self.link(from, to, |link| link.is_cut = false);
        self.room.borrow_mut().remark_link(from.id, Kind::Heal, to.id);
    }

    fn link(&self, from: &Host, to: &Host, change: impl FnOnce(&mut Link)) {
        change(self.room.borrow_mut().links.entry((from.id, to.id)).or_default());
    }

    /// Lets no fault point fire from now on, whatever [`WorldConfig::buggify`] says: the trouble is over, and what programs
    /// promise [to come](mainspring_executor::eventually) is to come.
    pub fn end_buggify(&self) {
        self.room.borrow_mut().config.buggify = false;
    }

    /// Makes a name known to all hosts, with its addresses in the order in which a lookup gives them, in place of those
    /// that it had. Without any it is unknown from now on. Small letters and capitals are one.
    pub fn add_name(&self, name: &str, addresses: &[IpAddr]) {
        self.room.borrow_mut().directory.set(name, addresses);
    }

    /// Makes a program known to all hosts, at a full path, in place of one that was there. A host's program starts it as a
    /// [`process`](mainspring_executor::process), by this path, or by its name if it is in `/bin`, `/usr/bin` or
    /// `/usr/local/bin`.
    ///
    /// It runs as one of its own, on a shard of its own, on the machine of its parent: addresses, ports, files and threads
    /// are the machine's; tokens, tasks and signals are the program's. It ends when `program` does, with that exit code;
    /// a panic makes it 101, as it does with any program, and is not a failure of the run.
    pub fn add_program<F: Future<Output = i32> + 'static>(
        &self,
        path: impl Into<PathBuf>,
        program: impl Fn(SimProcess) -> F + 'static,
    ) {
        let program: Program = Rc::new(move |process| Box::pin(program(process)));
        self.room.borrow_mut().programs.add(path.into(), program);
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
        room.schedule(instant.max(room.now), Event::Hook(number));
    }

    /// Runs all hosts until the foreground tasks have ended, and then on until no packet is under way, no job runs and
    /// no host has anything to do. Timers that are still armed then do not hold it up, nor what they alone have begun, nor do steps ([`World::at`]) that are still to
    /// come: where a crash takes the last foreground task, and a step is to start it again, another one has to last until then.
    ///
    /// May be called again, after more tasks were started.
    ///
    /// # Errors
    /// A promise that a program breaks (`always!`), a panic of a foreground task, a deadlock, or a bound of [`WorldConfig`]
    /// that was reached; with [`WorldConfig::is_strict`], a call past the driver.
    pub fn run(&self) -> Result<Report, Failure> {
        let _here = self.here.enter();
        self.wake_all();
        loop {
            self.bury()?;
            self.room.borrow_mut().close_abandoned();
            self.wake_unparked();
            let next = self.room.borrow_mut().next_shard();
            match next {
                Some(shard) => self.turn(shard)?,
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
        self.room.borrow().choices.seed()
    }

    /// What the room is like; where it is a swarm's, what was drawn of it.
    #[must_use]
    pub fn config(&self) -> WorldConfig {
        self.room.borrow().config.clone()
    }

    /// A choice of the scenario: a number below `bound`, 0 being the simplest. Such choices are on the tape of a run, and
    /// are made simpler when that is minimised: how many clients there are, what goes wrong when.
    ///
    /// # Panics
    /// When `bound` is 0.
    #[must_use]
    pub fn choose(&self, bound: u64) -> u64 {
        self.room.borrow_mut().choices.choose(None, Label::Scenario, bound)
    }

    /// [`World::choose`] of something that has a name, by which a [story](crate::harness::Story) tells of it: `further clients`. The name
    /// decides nothing.
    ///
    /// # Panics
    /// When `bound` is 0.
    #[must_use]
    pub fn choose_named(&self, name: &'static str, bound: u64) -> u64 {
        self.room.borrow_mut().choices.choose_named(None, name, bound)
    }

    /// Everything that is left: what the ledger of each host still lists, what its kernel still holds open, and what was given to
    /// futures that their tasks do not poll, while others wait for it ([`Futurelock`](mainspring_executor::Futurelock)).
    #[must_use]
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for host in &*self.hosts.borrow() {
            let ledger = host.seat.shard().ledger().to_string();
            leaks.extend(ledger.lines().map(|line| format!("{}: {line}", host.name())));
            let futurelocks = host.seat.shard().dump().futurelocks();
            leaks.extend(futurelocks.iter().map(|lock| format!("{}: {lock}", host.name())));
        }
        leaks.extend(self.room.borrow().leaks());
        leaks
    }

    pub(crate) fn host_of(&self, id: ShardId) -> Host {
        self.hosts.borrow()[id.index()].clone()
    }

    /// Whether the program that a task was of was killed, or has exited, or went with its machine.
    fn is_dead(&self, shard: ShardId, life: LifeNumber) -> bool {
        let room = self.room.borrow();
        room.is_dead(shard) || life < room.shard(shard).life
    }

    /// Before a run: what was spawned outside of it has announced nothing.
    fn wake_all(&self) -> bool {
        let hosts = self.hosts.borrow();
        let room = &mut *self.room.borrow_mut();
        let mut any = false;
        for host in &*hosts {
            // What a program has to do that stands still is nothing to come.
            let is_still = room.is_still(host.shard_id);
            if !is_still && host.seat.shard().next_wake() == Some(Instant::START) {
                room.wake(host.shard_id);
                any = true;
            }
        }
        any
    }

    /// Drops the tasks of the programs that signals killed, of those that have exited, and of those whose machine crashed.
    fn bury(&self) -> Result<(), Failure> {
        loop {
            let debris = core::mem::take(&mut self.room.borrow_mut().debris);
            drop(debris);
            let next = self.room.borrow_mut().dying.pop_front();
            let Some((shard, life)) = next else { return Ok(()) };
            let seat = self.host_of(shard).seat;
            self.here.run(shard, || seat.bury(life));
            // What it forgot is dropped with nothing borrowed, as its own kernel closes it.
            let forgotten = self.room.borrow_mut().shard_buried(shard, life);
            drop(forgotten);
            self.check_programs()?;
        }
    }

    fn wake_unparked(&self) {
        for shard in self.unparked.take() {
            self.room.borrow_mut().wake(shard);
        }
    }

    /// Gives a shard its turn.
    fn turn(&self, id: ShardId) -> Result<(), Failure> {
        self.count_event()?;
        let seat = Rc::clone(&self.hosts.borrow()[id.index()].seat);
        let shard = seat.shard();
        let queued_count = self.room.borrow().queued_count();
        let charged = seat.charged();
        let turn = || during_turn(&self.room, id, || shard.turn(Turn::Poll));
        let turned = self.here.run(id, turn);
        drop(charged);
        self.note_rest(id, &shard, queued_count);
        self.room.borrow_mut().crash_if_asked(id);
        if turned.is_ok() {
            self.room.borrow_mut().turn_ended(id, shard.next_wake());
        }
        if self.room.borrow().is_ahead() {
            // Whom it woke on other shards it woke in its own time.
            self.wake_unparked();
        }
        let checked = self.check_programs();
        self.room.borrow_mut().leave_turn(id);
        checked?;
        if let Err(error) = turned {
            return Err(self.failure(FailureKind::Shard, format!("{error}\n")));
        }
        Ok(())
    }

    /// Looks at what programs did, after each piece of their code: the cause before what may come of it.
    fn check_programs(&self) -> Result<(), Failure> {
        self.check_bypasses()?;
        self.check_promises()?;
        self.harvest()
    }

    /// Looks at the foreground tasks that have ended.
    fn harvest(&self) -> Result<(), Failure> {
        loop {
            let Some(task) = self.foreground.borrow_mut().take_ended() else { return Ok(()) };
            let kind = match task.result {
                Ok(()) => continue,
                Err(JoinError::Cancelled) if self.is_dead(task.shard, task.life) => continue,
                Err(JoinError::Cancelled) => FailureKind::Cancelled,
                Err(JoinError::Panicked(_)) => FailureKind::Panic,
            };
            let error = task.result.err().map(|error| error.to_string()).unwrap_or_default();
            let host = self.host_of(task.shard);
            let details = format!("{}: spawned at {}: {error}\n", host.name(), task.origin);
            return Err(self.failure_of(kind, details, vec![(task.shard, Some(task.id))]));
        }
    }

    /// Whether everything that a run waits for is there.
    fn is_over(&self) -> bool {
        let room = self.room.borrow();
        self.foreground.borrow().len() == 0 && room.events.is_quiet() && !room.turns.is_any_late()
    }

    /// Moves the clock to the next instant at which something happens, and lets it happen.
    fn advance(&self) -> Result<(), Failure> {
        let next = self.room.borrow().next_instant();
        let Some(instant) = next else {
            // A wake that nobody announced is a bug of whoever woke, but not a deadlock.
            return if self.wake_all() { Ok(()) } else { Err(self.stuck(FailureKind::Deadlock)) };
        };
        self.check_time(instant)?;
        self.room.borrow_mut().advance_to(instant);
        self.happen()
    }

    fn check_time(&self, instant: Instant) -> Result<(), Failure> {
        let latest = Instant::START + self.room.borrow().config.virtual_time_max;
        if instant > latest { Err(self.stuck(FailureKind::TimeLimit)) } else { Ok(()) }
    }

    /// Lets happen what is due.
    fn happen(&self) -> Result<(), Failure> {
        self.check_time(self.now())?;
        loop {
            // Bound first: a hook must find nothing borrowed.
            let step = self.room.borrow_mut().step();
            match step {
                Step::Idle => break,
                Step::Happened => {}
                Step::Hook(number) => self.run_hook(number)?,
                Step::Call(due) => self.run_call(due)?,
                Step::Spawn(due) => self.start_process(due)?,
            }
            self.count_event()?;
        }
        self.room.borrow_mut().ring_alarms();
        Ok(())
    }

    fn run_hook(&self, number: u32) -> Result<(), Failure> {
        let hook = self.hooks.borrow_mut()[number as usize].take();
        hook.expect("a hook has one event")(self);
        self.check_programs()
    }

    /// Runs a closure that a program offloaded: outside of all shards, as on a thread of its own.
    fn run_call(&self, due: DueCall) -> Result<(), Failure> {
        let seat = self.host_of(due.shard()).seat;
        let charged = seat.charged();
        let ran = self.here.run(due.shard(), || due.run());
        drop(charged);
        if let Some((handle, over)) = ran {
            let left = self.room.borrow_mut().job_ended(handle, over);
            drop(left);
        }
        self.check_programs()
    }

    /// Starts a child: a shard of its own, with its program as the first task.
    fn start_process(&self, mut due: DueSpawn) -> Result<(), Failure> {
        let spawn = core::mem::take(&mut *due.spawn);
        let starting = self.room.borrow_mut().start_process(due.handle.shard, spawn);
        let started = starting.map(|starting| {
            let Starting { started, shard, program, setting, pipes } = starting;
            let host = self.start(shard, &Seats::default(), Box::new(|driver| driver));
            let ending = Ending::new(&self.room, started.process());
            let number = started.number();
            // Detached: nobody joins it, and its end is told by `ending`.
            drop(host.spawn(async move {
                let process = SimProcess::new(setting, number, pipes);
                let code = program(process.expect("a machine hands over what it just made")).await;
                ending.exits(code);
            }));
            started
        });
        let left = self.room.borrow_mut().job_ended(due.handle, due.over(started));
        drop(left);
        self.check_programs()
    }

    fn count_event(&self) -> Result<(), Failure> {
        let count = self.event_count.get() + 1;
        self.event_count.set(count);
        let (now, count_max, per_instant_max) = {
            let room = self.room.borrow();
            (room.now, room.config.event_count_max, room.config.events_per_instant_max)
        };
        if count > count_max {
            return Err(self.stuck(FailureKind::EventLimit));
        }
        let of_instant = self.instants.borrow_mut().count(now);
        if of_instant > per_instant_max {
            return Err(self.stuck(FailureKind::Livelock));
        }
        if of_instant == per_instant_max / 2 {
            // From here on it is worth to know who.
            self.room.borrow_mut().busy = Some(Busy::default());
        }
        Ok(())
    }
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let room = self.room.borrow();
        write!(
            f,
            "World(seed {}, {} hosts, at {})",
            room.choices.seed(),
            room.host_count(),
            room.now
        )
    }
}

impl Drop for World {
    /// Tasks may hold hosts, and hosts hold tasks: someone has to end that.
    fn drop(&mut self) {
        let _here = self.here.enter();
        if let Some(recording) = &self.recording {
            let host_count = self.room.borrow().host_count();
            recording.add_world(self.event_count.get(), self.now(), host_count);
        }
        // What destructors say from here on is no part of the run.
        let reached = core::mem::take(&mut self.room.borrow_mut().coverage);
        if let Some(seen) = self.seen.as_ref().filter(|_| self.is_viewed) {
            seen.borrow_mut().look(self.timeline());
        }
        let hosts = self.hosts.take();
        for host in &hosts {
            self.here.run(host.shard_id, || host.seat.bury_all());
        }
        let debris = core::mem::take(&mut self.room.borrow_mut().debris);
        drop(debris);
        if let Some(seen) = &self.seen {
            let counts = self.poll_counts();
            seen.borrow_mut().add(&self.room.borrow(), reached, &counts);
        }
    }
}
