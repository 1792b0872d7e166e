//! `Shard`: one executor, one reactor and one set of timers on one thread, on top of one driver.
//!
//! ```text
//!            ┌──────────────────────── turn ────────────────────────┐
//!   Driver::wait ─► deliver edges ─► fire timers ─► take foreign wakes ─► run a batch ─┐
//!        ▲                                                                             │
//!        └──────────── nothing ready: until the next deadline; else: just look ◄───────┘
//! ```
//!
//! Invariant: how much a turn does is decided by counts, never by elapsed time, or a replay would differ.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::panic::Location;
use core::task::Waker;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

use crate::current;
use crate::driver::{Driver, Readiness, Ready, Token};
use crate::instant::Instant;
use crate::ledger::{Ledger, ResourceRecord, TaskRecord, TimerRecord};
use crate::metrics::Metrics;
use crate::net::BufferPool;
use crate::reactor::{Kind, Reactor, Source};
use crate::remote::Remote;
use crate::run_queue::RunQueue;
use crate::scope::Children;
use crate::task::{self, Ended, JoinError, JoinHandle, Ran, TaskId, TaskRef};
use crate::timers::Timers;

/// At most so many polls between two looks at the driver: new edges and due timers wait no longer than this, however
/// busy the tasks are. The price of a look is one system call for as many polls.
const POLLS_PER_TURN_MAX: usize = 64;

/// A shutdown drops tasks, whose destructors may spawn tasks, and so on. Beyond so many rounds it is a loop.
const SHUTDOWN_ROUNDS_MAX: usize = 100;

/// Whether a turn may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Looks at what there is, and does not wait.
    Poll,
    /// Waits if nothing is ready.
    Wait,
}

/// An executor with its reactor and timers. Clones are handles to the same one; the last one dropped ends all tasks.
#[derive(Clone)]
pub struct Shard {
    owner: Rc<Owner>,
}

/// Ends the tasks when the last handle goes. Tasks themselves hold `Core`, so its own drop would never come.
struct Owner {
    core: Rc<Core>,
}

/// What the parts of a shard share.
pub(crate) struct Core {
    pub(crate) driver: Rc<dyn Driver>,
    pub(crate) queue: RefCell<RunQueue>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) remote: Arc<Remote>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) buffers: BufferPool,
    reactor: RefCell<Reactor>,
    tasks: RefCell<Slab<Entry>>,
    tasks_spawned: Cell<u64>,
    running: Cell<Option<TaskId>>,
    now: Cell<Instant>,
    scratch: RefCell<Scratch>,
}

/// The registry's record of a live task.
struct Entry {
    task: TaskRef,
    parent: Option<TaskId>,
    scope: Option<Rc<Children>>,
}

/// Lists that each turn fills anew; kept for their memory.
#[derive(Default)]
struct Scratch {
    events: Vec<Readiness>,
    woken: Vec<Waker>,
}

impl Shard {
    /// An executor on top of `driver`.
    #[must_use]
    pub fn new(driver: Rc<dyn Driver>) -> Self {
        let metrics = Arc::default();
        let core = Core {
            queue: RefCell::new(RunQueue::new(driver.schedule())),
            timers: RefCell::default(),
            remote: Arc::new(Remote::new(driver.unparker(), Arc::clone(&metrics))),
            metrics,
            buffers: BufferPool::default(),
            reactor: RefCell::default(),
            tasks: RefCell::default(),
            tasks_spawned: Cell::new(0),
            running: Cell::new(None),
            now: Cell::new(driver.now()),
            scratch: RefCell::default(),
            driver,
        };
        Self { owner: Rc::new(Owner { core: Rc::new(core) }) }
    }

    fn core(&self) -> &Rc<Core> {
        &self.owner.core
    }

    /// Runs `future` to its end on this thread, and all other tasks of the shard meanwhile. Tasks that are left
    /// stay, for another `run`.
    ///
    /// # Errors
    /// Where the driver fails for good.
    ///
    /// # Panics
    /// When `future` does, with its panic; when called inside a task.
    #[track_caller]
    pub fn run<F: Future + 'static>(&self, future: F) -> io::Result<F::Output> {
        let mut main = self.spawn(future);
        while !main.is_finished() {
            self.turn(Turn::Wait)?;
        }
        let mut cx = core::task::Context::from_waker(Waker::noop());
        match core::pin::Pin::new(&mut main).poll(&mut cx) {
            core::task::Poll::Ready(Ok(output)) => Ok(output),
            core::task::Poll::Ready(Err(JoinError::Panicked(payload))) => resume_unwind(payload),
            core::task::Poll::Ready(Err(JoinError::Cancelled)) | core::task::Poll::Pending => {
                unreachable!("nobody else holds the handle that could abort the main task")
            }
        }
    }

    /// Spawns a task of no scope: it lives until it ends or the shard does.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.core().spawn(future, None, Location::caller())
    }

    /// Makes this the current shard while `body` runs, for constructors such as `TcpListener::bind`.
    pub fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        let _entered = current::enter(self.core());
        body()
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// Where the driver fails for good.
    ///
    /// # Panics
    /// When called inside a task.
    pub fn turn(&self, mode: Turn) -> io::Result<()> {
        let _entered = current::enter(self.core());
        self.core().turn(mode)
    }

    /// When this shard has something to do by itself: [`Instant::START`] if at once, else at its next deadline.
    /// Later or `None`: before that only an edge or a wake from elsewhere brings it on, and from here to the next turn
    /// such a wake calls [`Unpark::unpark`](crate::driver::Unpark::unpark).
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        if !self.core().queue.borrow().is_empty() || !self.core().remote.start_sleep() {
            return Some(Instant::START);
        }
        self.core().timers.borrow().next_deadline()
    }

    /// Everything that is alive in this shard.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.core().ledger()
    }

    /// The live counters of this shard.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.core().metrics)
    }

    /// Ends all tasks: their futures are dropped, by id. The shard can be used again. Also happens when the last
    /// handle is dropped.
    ///
    /// # Panics
    /// When called inside a task; when destructors keep spawning tasks without end.
    pub fn shutdown(&self) {
        let is_running = self.core().running.get().is_some();
        assert!(!is_running, "a shard is not ended from inside one of its tasks");
        self.core().shutdown();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.shutdown();
        // From here on nobody takes what foreign threads wake.
        drop(self.core.remote.close());
    }
}

impl Core {
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Makes a task and puts it into the queue.
    pub(crate) fn spawn<F: Future + 'static>(
        &self,
        future: F,
        scope: Option<Rc<Children>>,
        origin: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        let id = TaskId(self.tasks_spawned.get());
        self.tasks_spawned.set(id.0 + 1);
        let mut tasks = self.tasks.borrow_mut();
        let place = tasks.vacant_entry();
        let slot = u32::try_from(place.key()).expect("fewer than 2^32 tasks are alive");
        let (registered, queued, handle) =
            task::new(future, id, slot, Arc::clone(&self.remote), origin);
        if let Some(scope) = &scope {
            scope.add(registered.clone());
        }
        place.insert(Entry { task: registered, parent: self.running.get(), scope });
        self.metrics.tasks_spawned.set(id.0 + 1);
        self.metrics.tasks_live.set(tasks.len() as u64);
        drop(tasks);
        self.queue.borrow_mut().push(queued);
        handle
    }

    fn turn(&self, mode: Turn) -> io::Result<()> {
        assert!(self.running.get().is_none(), "a shard is not run from inside one of its tasks");
        let mut scratch = self.scratch.take();
        let waited = self.wait(mode, &mut scratch.events);
        self.now.set(self.driver.now());
        if waited.is_ok() {
            self.deliver(&mut scratch);
            self.fire_timers();
            let mut queue = self.queue.borrow_mut();
            for task in self.remote.take() {
                queue.push(task);
            }
        }
        scratch.events.clear();
        self.scratch.replace(scratch);
        waited?;
        self.run_batch();
        self.record_turn();
        Ok(())
    }

    fn wait(&self, mode: Turn, events: &mut Vec<Readiness>) -> io::Result<()> {
        let may_sleep =
            mode == Turn::Wait && self.queue.borrow().is_empty() && self.remote.start_sleep();
        if !may_sleep {
            self.remote.end_sleep();
            return self.driver.wait(events, Some(Instant::START));
        }
        let until = self.timers.borrow().next_deadline();
        let waited = self.driver.wait(events, until);
        self.remote.end_sleep();
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

    /// Runs tasks that are ready, at most [`POLLS_PER_TURN_MAX`] polls.
    fn run_batch(&self) {
        self.metrics.ready_depth.set(self.queue.borrow().len() as u64);
        for _ in 0..POLLS_PER_TURN_MAX {
            // Bound first: the queue must not be borrowed while a task runs.
            let next = self.queue.borrow_mut().pop();
            let Some(task) = next else { break };
            self.metrics.polls.add(1);
            let before = self.running.replace(Some(task.id()));
            let ran = task.run();
            self.running.set(before);
            match ran {
                Ran::Waits => {}
                Ran::Again(task) => self.queue.borrow_mut().push(task),
                Ran::Ended(task, ended) => self.forget(&task, ended),
            }
        }
    }

    fn record_turn(&self) {
        self.metrics.turns.add(1);
        self.metrics.record_lag(self.driver.now() - self.now.get());
        self.metrics.timers_armed.set(self.timers.borrow().armed_count() as u64);
        self.metrics.sources_live.set(self.reactor.borrow().len() as u64);
    }

    /// Takes a task that has ended out of the registry, and tells its scope.
    fn forget(&self, task: &TaskRef, ended: Ended) {
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.remove(task.slot() as usize);
        assert_eq!(entry.task.id(), task.id(), "the registry knows each task by its slot");
        self.metrics.tasks_live.set(tasks.len() as u64);
        drop(tasks);
        let unheard = match entry.scope {
            Some(scope) => scope.child_ended(task.id(), ended.unjoined_panic),
            None => ended.unjoined_panic,
        };
        if let Some(payload) = unheard {
            current::report_panic(task, &*payload);
        }
    }

    /// Drops the future of a task where it stands; one that runs right now ends after its poll.
    pub(crate) fn cancel(&self, task: &TaskRef) {
        if let Some(ended) = task.cancel_now() {
            self.forget(task, ended);
        }
    }

    fn shutdown(self: &Rc<Self>) {
        let _entered = current::enter(self);
        for round in 0.. {
            assert!(round < SHUTDOWN_ROUNDS_MAX, "destructors of tasks spawn tasks without end");
            let mut left: Vec<TaskRef> =
                self.tasks.borrow().iter().map(|(_, entry)| entry.task.clone()).collect();
            if left.is_empty() {
                break;
            }
            left.sort_by_key(TaskRef::id);
            for task in &left {
                self.cancel(task);
            }
        }
        // References only: what they refer to has ended.
        while let Some(task) = { self.queue.borrow_mut().pop() } {
            drop(task);
        }
        drop(self.remote.take());
    }

    fn ledger(&self) -> Ledger {
        let mut tasks: Vec<TaskRecord> = self
            .tasks
            .borrow()
            .iter()
            .map(|(_, entry)| TaskRecord {
                id: entry.task.id(),
                parent: entry.parent,
                origin: entry.task.origin(),
                is_ready: entry.task.is_scheduled() || entry.task.is_running(),
            })
            .collect();
        tasks.sort_by_key(|task| task.id);
        let record = |source: &Rc<Source>| ResourceRecord {
            kind: source.kind.to_string(),
            owner: source.owner,
            origin: source.origin,
        };
        let timers = self.timers.borrow();
        Ledger {
            tasks,
            resources: self.reactor.borrow().iter().map(record).collect(),
            timers: timers
                .armed()
                .map(|(deadline, origin)| TimerRecord { deadline, origin })
                .collect(),
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
        self.reactor.borrow_mut().add(token, kind, ready, origin, self.running.get())
    }

    /// Forgets a token, before it is closed or after it was spent.
    pub(crate) fn remove_source(&self, token: Token) {
        self.reactor.borrow_mut().remove(token);
    }
}

/// Spawns a task on the current shard, of no scope: it lives until it ends or the shard does. Prefer
/// [`Scope::spawn`](crate::Scope::spawn), which ties it to its maker.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    current::core().spawn(future, None, Location::caller())
}

/// Sixty-four random bits from the current shard's driver: unpredictable on the operating system, a matter of the seed
/// in the simulator.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn random() -> u64 {
    current::core().driver.entropy()
}

/// The live counters of the current shard.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn metrics() -> Arc<Metrics> {
    Arc::clone(&current::core().metrics)
}
