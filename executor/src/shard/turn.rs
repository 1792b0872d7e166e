//! `Core`: what the parts of a shard share, and one turn of its loop.
//!
//! ```text
//!            ┌──────────────────────── turn ────────────────────────┐
//!   Driver::wait ─► deliver edges ─► fire timers ─► take what other threads sent ─► run a batch ─┐
//!        ▲                                                                                       │
//!        └──────────── nothing ready: until the next deadline; else: just look ◄─────────────────┘
//! ```
//!
//! Invariant: how much a turn does is decided by counts, never by elapsed time, or a replay would differ.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::panic::Location;
use core::task::Waker;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use super::Turn;
use super::frame::Frame;
use super::registry::Registry;
use super::sections::Sections;
use crate::budget::Budget;
use crate::check::Checks;
use crate::context::{self, Bound};
use crate::current;
use crate::driver::{Driver, Readiness, Ready, Token};
use crate::heartbeat::Heartbeat;
use crate::instant::Instant;
use crate::ledger::{Ledger, ResourceRecord, TaskRecord};
use crate::metrics::{CancelReason, Metrics};
use crate::names::Names;
use crate::net::BufferPool;
use crate::offload::Offload;
use crate::reactor::{Asker, Kind, Reactor, Source};
use crate::run_queue::RunQueue;
use crate::scope::{Alarms, Children};
use crate::task::{
    self, Birth, Ended, Extras, Injected, JoinHandle, Ran, RemoteOwner, TaskId, TaskMemory, TaskRef,
};
use crate::timers::Timers;
use crate::waits::Waits;

/// At most so many polls between two looks at the driver: new edges and due timers wait no longer than this, however
/// busy the tasks are, whichever of them go next. The price of a look is one system call for as many polls. Who is woken
/// then is polled after those that were ready before, each of them once; with a [`Schedule`](crate::driver::Schedule)
/// that has no bound but its own.
pub(crate) const POLLS_PER_TURN_MAX: usize = 64;

/// In one turn of so many each poll is timed by itself, for the histogram of poll times. A clock costs as much as a
/// small poll, so not all are; which ones is a matter of count, and the same in a replay.
const TURNS_PER_SAMPLE: u64 = 16;

/// A shutdown drops tasks, whose destructors may spawn tasks, and so on. Beyond so many rounds it is a loop.
const SHUTDOWN_ROUNDS_MAX: usize = 100;

/// What the parts of a shard share.
pub(crate) struct Core {
    pub(crate) driver: Rc<dyn Driver>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) remote: RemoteOwner,
    pub(crate) task_memory: TaskMemory,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) waits: Waits,
    pub(crate) budget: Budget,
    pub(crate) checks: Checks,
    pub(crate) offload: Offload,
    pub(crate) names: Names,
    pub(crate) registry: RefCell<Registry>,
    pub(crate) reactor: RefCell<Reactor>,
    pub(crate) alarms: Alarms,
    pub(crate) sections: Sections,
    queue: RefCell<RunQueue>,
    /// Also knows which task is polled.
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) frame: Frame,
    now: Cell<Instant>,
    scratch: RefCell<Scratch>,
}

/// Lists that each turn fills anew; kept for their memory.
#[derive(Default)]
struct Scratch {
    events: Vec<Readiness>,
    woken: Vec<Waker>,
}

/// What a task is spawned with, besides its future.
pub(crate) struct Spawn {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) scope: Option<Rc<Children>>,
    /// What becomes of the deadline that it has from its maker.
    pub(crate) bound: Bound,
    /// It is not one of the children of its scope, but a section.
    pub(crate) is_section: bool,
    pub(crate) origin: &'static Location<'static>,
}

impl Spawn {
    /// A task without a name and a scope.
    pub(crate) fn at(origin: &'static Location<'static>) -> Self {
        Self { name: None, scope: None, bound: Bound::Inherited, is_section: false, origin }
    }
}

impl Core {
    pub(crate) fn new(driver: Rc<dyn Driver>) -> Self {
        let metrics: Arc<Metrics> = Arc::default();
        let heartbeat = Arc::clone(&metrics.heartbeat);
        driver.watch(Arc::clone(&heartbeat));
        Self {
            queue: RefCell::new(RunQueue::new(driver.schedule())),
            timers: RefCell::default(),
            remote: RemoteOwner::new(driver.unparker(), Arc::clone(&metrics)),
            task_memory: TaskMemory::default(),
            metrics,
            buffers: BufferPool::of_thread(),
            waits: Waits::default(),
            budget: Budget::default(),
            checks: Checks::new(driver.observer()),
            offload: Offload::default(),
            names: Names::default(),
            reactor: RefCell::default(),
            registry: RefCell::default(),
            alarms: Alarms::default(),
            sections: Sections::default(),
            heartbeat,
            frame: Frame::default(),
            now: Cell::new(driver.now()),
            scratch: RefCell::default(),
            driver,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Who asks, when something is asked now.
    pub(crate) fn asker(&self) -> Asker {
        Asker { task: self.running(), since: self.now() }
    }

    /// Puts a task that became ready into the queue.
    #[inline]
    pub(crate) fn enqueue(&self, task: TaskRef) {
        self.queue.borrow_mut().push(task, self.now.get());
    }

    /// Makes a task and puts it into the queue.
    pub(crate) fn spawn<F: Future + 'static>(
        &self,
        future: F,
        spawn: Spawn,
    ) -> JoinHandle<F::Output> {
        let Spawn { name, scope, bound, is_section, origin } = spawn;
        let next_id = || self.registry.borrow().next_id();
        let context = context::of_task(bound, next_id, name.as_deref(), origin);
        let mut registry = self.registry.borrow_mut();
        let (id, slot) = registry.next();
        let birth = Birth {
            id,
            slot,
            parent: self.running(),
            spawned_at: self.now.get(),
            origin,
            extras: Extras { name, scope: scope.clone(), is_section, context },
        };
        let (registered, queued, handle) =
            task::new(future, birth, &self.remote, &self.task_memory);
        if is_section {
            self.begin_section(&registered, scope.as_deref());
        } else if let Some(scope) = &scope {
            scope.add(registered.clone());
        }
        registry.add(registered);
        self.metrics.tasks_spawned.set(registry.spawned());
        self.metrics.tasks_live.set(registry.len() as u64);
        drop(registry);
        tracing::trace!(target: "mainspring::task", task = id.0, %origin, "spawned");
        self.enqueue(queued);
        handle
    }

    /// One turn of the loop. See the picture above.
    pub(crate) fn turn(self: &Rc<Self>, mode: Turn) -> io::Result<()> {
        assert!(self.running().is_none(), "a shard is not run from inside one of its tasks");
        current::enter(self, || {
            let mut scratch = self.scratch.take();
            let waited = self.wait(mode, &mut scratch.events);
            self.now.set(self.driver.now());
            if waited.is_ok() {
                self.deliver(&mut scratch);
                self.fire_timers();
                self.take_injected();
            }
            scratch.events.clear();
            self.scratch.replace(scratch);
            waited?;
            self.run_batch();
            self.record_turn();
            Ok(())
        })
    }

    /// When this shard has something to do by itself. See [`Shard::next_wake`](super::Shard::next_wake).
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        if !self.queue.borrow().is_empty() || !self.remote.inject.start_sleep() {
            return Some(Instant::START);
        }
        self.timers.borrow().next_deadline()
    }

    fn wait(&self, mode: Turn, events: &mut Vec<Readiness>) -> io::Result<()> {
        let inject = &self.remote.inject;
        let may_sleep =
            mode == Turn::Wait && self.queue.borrow().is_empty() && inject.start_sleep();
        if !may_sleep {
            inject.end_sleep();
            return self.driver.wait(events, Some(Instant::START));
        }
        let until = self.timers.borrow().next_deadline();
        let waited = self.driver.wait(events, until);
        inject.end_sleep();
        waited
    }

    fn deliver(&self, scratch: &mut Scratch) {
        let reactor = self.reactor.borrow();
        for event in &scratch.events {
            reactor.deliver(*event, &mut scratch.woken);
        }
        drop(reactor);
        // Foreign wakers run foreign code: nothing is borrowed here.
        for waker in scratch.woken.drain(..) {
            waker.wake();
        }
    }

    fn fire_timers(&self) {
        loop {
            let fired = self.timers.borrow_mut().fire(self.now.get());
            let Some((_, waker)) = fired else { break };
            waker.wake();
        }
    }

    fn take_injected(&self) {
        let mut panic = None;
        for injected in self.remote.inject.take() {
            match injected {
                Injected::Wake(task) => task.arrive(),
                // The wakes behind it must not be lost with it.
                Injected::Run(body) => {
                    let ran = catch_unwind(AssertUnwindSafe(body));
                    panic = panic.or(ran.err());
                }
            }
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Runs tasks that are ready, at most [`POLLS_PER_TURN_MAX`] polls.
    fn run_batch(&self) {
        let ready = self.queue.borrow().len() as u64;
        self.metrics.ready_depth.set(ready);
        self.metrics.tasks_ready.set(ready);
        let is_sampled = self.metrics.turns.load().is_multiple_of(TURNS_PER_SAMPLE);
        let mut started = if is_sampled { self.driver.now() } else { Instant::START };
        let now = self.now.get();
        // Counted here and told once: most tasks run in the turn in which they became ready.
        let (mut polls, mut undelayed) = (0, 0);
        while polls < POLLS_PER_TURN_MAX {
            // Bound first: the queue must not be borrowed while a task runs.
            let next = self.queue.borrow_mut().pop();
            let Some((task, ready_since)) = next else { break };
            polls += 1;
            if ready_since == now {
                undelayed += 1;
            } else {
                self.metrics.schedule_delay.record(now - ready_since);
            }
            self.run(task);
            if is_sampled {
                let ended = self.driver.now();
                self.metrics.poll_time.record(ended - started);
                started = ended;
            }
        }
        self.metrics.polls.add(polls as u64);
        self.metrics.schedule_delay.record_zeros(undelayed);
    }

    #[inline]
    fn run(&self, task: TaskRef) {
        self.heartbeat.start(task.id(), task.origin());
        self.frame.start(task.slot());
        self.budget.refill();
        let ran = if task.has_context() {
            context::enter(task.context(), || task.run())
        } else {
            task.run()
        };
        if self.heartbeat.stop() {
            self.tell_of_stall();
        }
        match ran {
            Ran::Waits => {}
            Ran::Again(task) => self.enqueue(task),
            Ran::Ended(task, ended) => self.forget(&task, ended),
        }
    }

    /// The poll that ended just now was reported as too long: says what became of it.
    #[cold]
    fn tell_of_stall(&self) {
        let Some((id, elapsed)) = self.heartbeat.take_stall() else { return };
        let registry = self.registry.borrow();
        let Some(task) = registry.by_id().into_iter().find(|task| task.id() == id) else {
            return;
        };
        let (origin, name) = (task.origin(), task.name());
        // A subscriber is foreign code: nothing is borrowed here.
        drop(registry);
        tracing::warn!(
            target: "mainspring::stall",
            task = id.0,
            name = name.as_deref(),
            %origin,
            ?elapsed,
            "the poll that held up its shard has ended"
        );
    }

    fn record_turn(&self) {
        self.metrics.turns.add(1);
        self.metrics.tasks_ready.set(self.queue.borrow().len() as u64);
        self.metrics.loop_lag.record(self.driver.now() - self.now.get());
        self.metrics.timers_armed.set(self.timers.borrow().armed_count() as u64);
        self.metrics.sources_live.set(self.reactor.borrow().len() as u64);
        self.metrics.budget_yields.set(self.budget.yields());
    }

    /// Takes a task that has ended out of the registry, and tells its scope.
    #[inline]
    pub(super) fn forget(&self, task: &TaskRef, ended: Ended) {
        let mut registry = self.registry.borrow_mut();
        registry.remove(task);
        self.metrics.tasks_live.set(registry.len() as u64);
        drop(registry);
        if ended.was_cancelled {
            let reason = task.cancel_reason().unwrap_or(CancelReason::Aborted);
            self.metrics.cancelled[reason as usize].add(1);
            tracing::trace!(target: "mainspring::task", task = task.id().0, ?reason, "cancelled");
        } else {
            tracing::trace!(target: "mainspring::task", task = task.id().0, "ended");
        }
        let unheard =
            if task.has_extras() { self.forget_extras(task, ended) } else { ended.unjoined_panic };
        if let Some(payload) = unheard {
            current::report_panic(task, &*payload);
        }
    }

    /// Gives the panic back if no scope will tell of it. Apart, because [`Core::forget`] is in the way of every task.
    #[inline(never)]
    fn forget_extras(&self, task: &TaskRef, ended: Ended) -> Option<Box<dyn Any + Send>> {
        let Extras { name: _, scope, is_section, context } = task.take_extras();
        // It may be the last to know some value of somebody else's.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(context))) {
            current::report_panic(task, &*payload);
        }
        if is_section {
            self.end_section(task, ended.was_cancelled);
        }
        match scope {
            Some(scope) => scope.task_ended(task.id(), ended.unjoined_panic),
            None => ended.unjoined_panic,
        }
    }

    /// See [`Shard::shutdown`](super::Shard::shutdown).
    pub(crate) fn shutdown(self: &Rc<Self>) {
        current::enter(self, || {
            for round in 0.. {
                assert!(
                    round < SHUTDOWN_ROUNDS_MAX,
                    "destructors of tasks spawn tasks without end"
                );
                let is_left = |task: &&TaskRef| !task.is_complete();
                let left: Vec<TaskRef> =
                    self.registry.borrow().by_id().into_iter().filter(is_left).cloned().collect();
                // With what closures hold that were sent and not run, which may spawn as it is dropped.
                let sent = self.remote.inject.take();
                if left.is_empty() && sent.is_empty() {
                    break;
                }
                for task in &left {
                    self.cancel(task, CancelReason::Shutdown);
                }
                drop(sent);
            }
            // References only: what they refer to has ended.
            while let Some(task) = { self.queue.borrow_mut().pop() } {
                drop(task);
            }
        });
    }

    /// Since when each task in the queue is ready.
    pub(super) fn ready_since(&self) -> BTreeMap<TaskId, Instant> {
        self.queue.borrow().iter().map(|(task, since)| (task.id(), *since)).collect()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let registry = self.registry.borrow();
        let record = |task: &TaskRef| TaskRecord {
            id: task.id(),
            parent: task.parent(),
            origin: task.origin(),
            is_ready: task.is_scheduled() || task.is_running(),
        };
        let tasks = registry.by_id().into_iter().map(record).collect();
        let record = |source: &Rc<Source>| ResourceRecord {
            kind: source.kind.to_string(),
            owner: source.owner,
            origin: source.origin,
        };
        Ledger {
            tasks,
            resources: self.reactor.borrow().iter().map(record).collect(),
            timers: self.timers.borrow().armed(),
        }
    }

    /// Takes charge of a token that the driver just gave out.
    pub(crate) fn add_source(
        &self,
        token: Token,
        kind: Kind,
        ready: Ready,
        origin: &'static Location<'static>,
    ) -> Rc<Source> {
        self.reactor.borrow_mut().add(token, kind, ready, origin, self.running())
    }

    /// Forgets a token, before it is closed or after it was spent.
    pub(crate) fn remove_source(&self, token: Token) {
        self.reactor.borrow_mut().remove(token);
    }
}
