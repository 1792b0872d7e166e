//! `Waits`: which task waits for what and since when, and which task holds what others wait for. The source of the task
//! dump and of the wait graph; it never wakes anybody.
//!
//! Sockets and timers are not listed here: the reactor and the timers know who waits for them. This is for what lives
//! between tasks: locks, channels, permits, joins.
//!
//! Invariant: a record lives as long as its ticket, so what is listed is what is.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::task::Waker;
use core::time::Duration;
use std::rc::Rc;

use slab::Slab;

use crate::instant::Instant;
use crate::shard::Core;
use crate::task::{TaskId, current, wakes};

/// Names a lock, a channel or another thing that tasks wait for: an ordinal of its shard, given at its first wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u64);

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resource {}", self.0)
    }
}

/// The name of a resource, before and after it has one. Part of each thing that tasks wait for.
#[derive(Debug, Default)]
pub(crate) struct Resource(Cell<Option<Name>>);

/// A name, and who gave it: a thing may be used by several shards of one thread, and each counts for itself.
#[derive(Clone, Copy, Debug)]
struct Name {
    shard: u64,
    id: ResourceId,
}

impl Resource {
    /// Its name, if somebody waited for it or held it before.
    pub(crate) fn known_id(&self) -> Option<ResourceId> {
        self.0.get().map(|name| name.id)
    }

    /// Its name in the shard of `waits`; `None` where another shard has named it before.
    fn id(&self, waits: &Waits) -> Option<ResourceId> {
        let shard = waits.shard;
        let name = self.0.get().unwrap_or_else(|| {
            let id = ResourceId(waits.resources_named.get());
            waits.resources_named.set(id.0 + 1);
            let name = Name { shard, id };
            self.0.set(Some(name));
            name
        });
        (name.shard == shard).then_some(name.id)
    }
}

/// What a task waits for, or holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Resource(ResourceId),
    /// The end of a task.
    Task(TaskId),
    /// Something that another shard of this thread has named or runs.
    Elsewhere,
    /// The end of all children of the scope that has this name.
    Children(ResourceId),
    /// A failure of any of them.
    Failure(ResourceId),
}

/// A task that waits for something, or holds it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) task: Option<TaskId>,
    pub(crate) target: Target,
    /// What is waited for or held, in words: "a message", "a lock".
    pub(crate) what: &'static str,
    pub(crate) since: Instant,
    /// Where in the program.
    pub(crate) origin: &'static Location<'static>,
    /// Of a wait: what is kept to end it is the task's own waker, not one of code in between. Of a hold: it cannot have
    /// been handed to another task. Only what is certain can prove a deadlock.
    pub(crate) is_certain: bool,
    /// Of a wait: the future that waits cannot go to another task.
    pub(crate) is_bound: bool,
    /// Of a wait: what was waited for is the future's since `since`, which has not taken it.
    pub(crate) is_granted: bool,
}

/// The longest time that a future stood in line until it was given what it waited for: a lock, permits, room in a channel, a
/// notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongestWait {
    /// What it waited for, in words: "a lock".
    pub what: &'static str,
    /// For how long.
    pub duration: Duration,
    /// The task that polled it last. `None` outside of tasks.
    pub task: Option<TaskId>,
    /// Where in the program it was asked for.
    pub origin: &'static Location<'static>,
    /// When it was given.
    pub until: Instant,
}

/// The records of a shard.
pub(crate) struct Waits {
    waiting: RefCell<Slab<Record>>,
    holding: RefCell<Slab<Record>>,
    /// One for each kind of thing, in the order in which they were first waited for.
    longest: RefCell<Vec<LongestWait>>,
    resources_named: Cell<u64>,
    /// Tells shards apart, and is never shown: it depends on what else the process does.
    shard: u64,
}

impl Default for Waits {
    fn default() -> Self {
        static SHARDS: AtomicU64 = AtomicU64::new(0);
        Self {
            waiting: RefCell::default(),
            holding: RefCell::default(),
            longest: RefCell::default(),
            resources_named: Cell::new(0),
            shard: SHARDS.fetch_add(1, Relaxed),
        }
    }
}

/// Which of the two lists a ticket is in.
#[derive(Clone, Copy)]
enum List {
    Waiting,
    Holding,
}

impl Waits {
    fn list(&self, list: List) -> &RefCell<Slab<Record>> {
        match list {
            List::Waiting => &self.waiting,
            List::Holding => &self.holding,
        }
    }

    /// Who waits, in no order that means anything.
    pub(crate) fn waiting(&self) -> Vec<Record> {
        let waiting = self.waiting.borrow();
        let ungranted = waiting.iter().filter(|(_, record)| !record.is_granted);
        ungranted.map(|(_, record)| record.clone()).collect()
    }

    /// The longest wait in line for each kind of thing.
    pub(crate) fn longest(&self) -> Vec<LongestWait> {
        self.longest.borrow().clone()
    }

    fn note_served(&self, wait: LongestWait) {
        let mut longest = self.longest.borrow_mut();
        match longest.iter_mut().find(|longest| longest.what == wait.what) {
            Some(longest) if longest.duration >= wait.duration => {}
            Some(longest) => *longest = wait,
            None => longest.push(wait),
        }
    }

    /// Who holds, or was given and has not taken, likewise.
    pub(crate) fn holding(&self) -> Vec<Record> {
        let (waiting, holding) = (self.waiting.borrow(), self.holding.borrow());
        let granted = waiting.iter().filter(|(_, record)| record.is_granted);
        granted.chain(holding.iter()).map(|(_, record)| record.clone()).collect()
    }
}

/// Takes its record out of the list when it is dropped.
pub(crate) struct Ticket {
    core: Rc<Core>,
    list: List,
    key: usize,
}

impl Ticket {
    /// Notes that the current task waits for `resource` from now on. `None` outside of a shard.
    pub(crate) fn wait(
        what: &'static str,
        resource: &Resource,
        origin: &'static Location<'static>,
    ) -> Option<Self> {
        let core = current::try_core()?;
        let target = resource.id(&core.waits).map_or(Target::Elsewhere, Target::Resource);
        Some(Self::new(core, List::Waiting, what, target, origin, None))
    }

    /// As [`Ticket::wait`], where `waker` is kept to end the wait.
    #[inline]
    pub(crate) fn wait_by(
        what: &'static str,
        resource: &Resource,
        origin: &'static Location<'static>,
        waker: &Waker,
    ) -> Option<Self> {
        let core = current::try_core()?;
        let target = resource.id(&core.waits).map_or(Target::Elsewhere, Target::Resource);
        Some(Self::new(core, List::Waiting, what, target, origin, Some(waker)))
    }

    /// Notes that the current task waits for the end of a task from now on, and is woken by `waker`. `target` is that
    /// task, where it is of the current shard. `None` outside of a shard.
    pub(crate) fn join(
        target: Option<TaskId>,
        origin: &'static Location<'static>,
        waker: &Waker,
    ) -> Option<Self> {
        let core = current::try_core()?;
        let target = target.map_or(Target::Elsewhere, Target::Task);
        let what = match target {
            Target::Task(_) => "the end of a task",
            _ => "the end of a task of another shard",
        };
        Some(Self::new(core, List::Waiting, what, target, origin, Some(waker)))
    }

    /// Notes that the current task waits for the end of all children of the scope of `resource`. `None` outside of a
    /// shard.
    pub(crate) fn children(
        resource: &Resource,
        origin: &'static Location<'static>,
    ) -> Option<Self> {
        let core = current::try_core()?;
        let target = resource.id(&core.waits).map_or(Target::Elsewhere, Target::Children);
        let what = "the end of all children of a scope";
        Some(Self::new(core, List::Waiting, what, target, origin, None))
    }

    /// Notes that the current task runs the body of the scope of `resource`, which ends when a child fails. `None` outside
    /// of a shard.
    pub(crate) fn failure(resource: &Resource, origin: &'static Location<'static>) -> Option<Self> {
        let core = current::try_core()?;
        let target = resource.id(&core.waits).map_or(Target::Elsewhere, Target::Failure);
        let what = "a failure in a scope";
        Some(Self::new(core, List::Waiting, what, target, origin, None))
    }

    /// Notes that the current task holds (a part of) `resource` from now on. `None` outside of a shard.
    pub(crate) fn hold(
        what: &'static str,
        resource: &Resource,
        origin: &'static Location<'static>,
    ) -> Option<Self> {
        let core = current::try_core()?;
        let target = resource.id(&core.waits).map_or(Target::Elsewhere, Target::Resource);
        Some(Self::new(core, List::Holding, what, target, origin, None))
    }

    fn new(
        core: Rc<Core>,
        list: List,
        what: &'static str,
        target: Target,
        origin: &'static Location<'static>,
        waker: Option<&Waker>,
    ) -> Self {
        let (task, since) = (core.running(), core.now());
        let is_certain = task.zip(waker).is_some_and(|(task, waker)| wakes(waker, &core, task));
        let record = Record {
            task,
            target,
            what,
            since,
            origin,
            is_certain,
            is_bound: false,
            is_granted: false,
        };
        let key = core.waits.list(list).borrow_mut().insert(record);
        Self { core, list, key }
    }

    /// Notes whether `waker`, which is kept to end the wait, is the task's own.
    pub(crate) fn woken_by(self, waker: &Waker) -> Self {
        let running = self.core.running();
        self.set_certain(running.is_some_and(|task| wakes(waker, &self.core, task)));
        self
    }

    /// Notes that what is held cannot be handed to another task: it borrows from the one that it is in.
    pub(crate) fn borrowed(self) -> Self {
        self.set_certain(true);
        self
    }

    /// Notes that the future that waits cannot go to another task: it borrows from the one that it is in.
    pub(crate) fn bound(self) -> Self {
        self.change(|record| record.is_bound = true);
        self
    }

    fn set_certain(&self, is_certain: bool) {
        self.change(|record| record.is_certain = is_certain);
    }

    /// Notes that what is waited for was given to the future that waits, which is to take it. Until then it is held.
    pub(crate) fn grant(&self) {
        let until = self.core.now();
        self.change(|record| {
            let Record { task, what, origin, since, .. } = *record;
            let duration = until - since;
            // Most are served in the turn in which they ask.
            if !duration.is_zero() {
                self.core.waits.note_served(LongestWait { what, duration, task, origin, until });
            }
            (record.is_granted, record.since) = (true, until);
        });
    }

    /// Notes that what was given is nothing that others could wait for.
    pub(crate) fn revoke(&self) {
        self.change(|record| record.is_granted = false);
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.core.waits.list(self.list).borrow_mut()[self.key]);
    }

    /// Whether this is what a wait that begins now, to be ended by `waker`, would note.
    pub(crate) fn still_holds(&self, waker: &Waker) -> bool {
        let running = self.core.running();
        let is_certain = running.is_some_and(|task| wakes(waker, &self.core, task));
        let list = self.core.waits.list(self.list).borrow();
        (list[self.key].task, list[self.key].is_certain) == (running, is_certain)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.core.waits.list(self.list).borrow_mut().remove(self.key);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;
    use core::task::Poll;

    use super::*;
    use crate::dump::TaskDump;
    use crate::os::OsDriver;
    use crate::shard::{Shard, dump, spawn_named};
    use crate::time::yield_now;

    /// The smallest lock: whoever does not get it waits in a list.
    #[derive(Default)]
    struct Lock {
        resource: Resource,
        is_taken: Cell<bool>,
        waiters: RefCell<Vec<Waker>>,
    }

    struct Guard {
        lock: Rc<Lock>,
        _held: Option<Ticket>,
    }

    impl Lock {
        /// `is_borrowed`: as if the guard could not leave the task.
        #[track_caller]
        fn lock(self: &Rc<Self>, is_borrowed: bool) -> impl Future<Output = Guard> + use<> {
            let (lock, origin) = (Rc::clone(self), Location::caller());
            let mut wait: Option<Ticket> = None;
            poll_fn(move |cx| {
                if lock.is_taken.replace(true) {
                    lock.waiters.borrow_mut().push(cx.waker().clone());
                    let ticket = Ticket::wait("a lock", &lock.resource, origin);
                    drop(wait.take());
                    wait = ticket.map(|ticket| ticket.woken_by(cx.waker()));
                    return Poll::Pending;
                }
                drop(wait.take());
                let held = Ticket::hold("a lock", &lock.resource, origin);
                let held = if is_borrowed { held.map(Ticket::borrowed) } else { held };
                Poll::Ready(Guard { lock: Rc::clone(&lock), _held: held })
            })
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            self.lock.is_taken.set(false);
            let waiters = self.lock.waiters.take();
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// Two tasks take two locks in opposite order.
    fn crossed(is_borrowed: bool) -> TaskDump {
        let shard = Shard::new(Rc::new(OsDriver::new().expect("the system has a poller")));
        let dumped = shard.run(async move {
            let (a, b): (Rc<Lock>, Rc<Lock>) = Default::default();
            for (name, first, second) in [("ab", &a, &b), ("ba", &b, &a)] {
                let (first, second) = (Rc::clone(first), Rc::clone(second));
                drop(spawn_named(name, async move {
                    let _first = first.lock(is_borrowed).await;
                    yield_now().await;
                    let _second = second.lock(is_borrowed).await;
                }));
            }
            for _ in 0..4 {
                yield_now().await;
            }
            dump()
        });
        dumped.expect("the driver works")
    }

    #[test]
    fn crossed_locks_are_told_with_who_took_them_and_where() {
        let dump = crossed(true);
        let cycles = dump.deadlocks();
        assert_eq!(cycles.len(), 1, "{dump}");
        let text = cycles[0].to_string();
        let lines: Vec<&str> = text.lines().collect();
        let expected = [
            ("deadlock: 2 tasks wait for each other", ""),
            ("  task 1 'ab' waits ", " for a lock, at executor/src/waits.rs:"),
            ("    taken by task 2 'ba' ", " ago, at executor/src/waits.rs:"),
            ("  task 2 'ba' waits ", " for a lock, at executor/src/waits.rs:"),
            ("    taken by task 1 'ab' ", " ago, at executor/src/waits.rs:"),
        ];
        assert_eq!(lines.len(), expected.len(), "{text}");
        for (line, (start, middle)) in lines.into_iter().zip(expected) {
            assert!(line.starts_with(start) && line.contains(middle), "{line}\n is not {start}");
        }
        let links = &cycles[0].links;
        let hold = |at: usize| links[at].hold.as_ref().expect("a lock is held");
        let asked = |at: usize| links[at].text.lines().next().expect("a line").to_owned();
        assert_ne!(hold(0).resource, hold(1).resource);
        // Each lock is asked for further down than it was taken.
        for at in [0, 1] {
            assert!(!asked(at).ends_with(&hold(at).origin.to_string()), "{text}");
        }
        assert!(dump.to_string().ends_with(&text), "{dump}");
    }

    /// A guard that could be in other hands by now proves nothing, however it looks.
    #[test]
    fn crossed_locks_whose_guards_may_move_are_told_only_when_all_is_over() {
        let dump = crossed(false);
        assert_eq!(dump.deadlocks(), []);
        assert_eq!(dump.stuck(), []);
        assert_eq!(dump.deadlocks_if_nothing_comes().len(), 1, "{dump}");
    }

    /// Names are given by shard: that of another one means nothing here.
    #[test]
    fn a_lock_of_another_shard_is_not_mistaken_for_one_of_this() {
        let shards = [(); 2]
            .map(|()| Shard::new(Rc::new(OsDriver::new().expect("the system has a poller"))));
        let lock: Rc<Lock> = Rc::default();
        let [first, second] = &shards;
        let theirs = Rc::clone(&lock);
        let guard = first.run(async move { theirs.lock(true).await }).expect("the driver works");
        assert_eq!(first.dump().holds.len(), 1);
        let dump = second.run(async move {
            let own: Rc<Lock> = Rc::default();
            let _own = own.lock(true).await;
            drop(spawn_named("waits", async move { drop(lock.lock(true).await) }));
            yield_now().await;
            dump()
        });
        let dump = dump.expect("the driver works");
        assert_eq!(dump.holds.len(), 1);
        let wait = &dump.tasks[1].waits[0].on;
        assert!(matches!(wait, crate::dump::Awaited::Elsewhere { .. }), "{dump}");
        drop(guard);
    }
}
