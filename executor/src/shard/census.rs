//! How a [`TaskDump`] is made: from the registry, the run queue, and all who know who waits for them.

use std::collections::BTreeMap;

use super::registry::Registry;
use super::turn::Core;
use crate::dump::{Awaited, DumpedTask, Hold, TaskDump, TaskState, Wait};
use crate::instant::Instant;
use crate::task::{TaskId, TaskRef, wakes};
use crate::waits::{Record, ResourceId, Target};

/// What each task waits for.
type WaitsByTask = BTreeMap<TaskId, Vec<Wait>>;

impl Core {
    /// See [`Shard::dump`](super::Shard::dump).
    pub(crate) fn dump(&self) -> TaskDump {
        let at = self.driver.now();
        let tasks = self.dump_tasks(|_| true);
        let mut holds: Vec<Hold> = self.waits.holding().iter().filter_map(hold).collect();
        holds.sort_by_key(|hold| (hold.resource, hold.since, hold.task));
        TaskDump { at, tasks, holds }
    }

    /// See [`Shard::dump_tasks`](super::Shard::dump_tasks).
    pub(crate) fn dump_tasks(&self, is_asked: impl Fn(TaskId) -> bool) -> Vec<DumpedTask> {
        let registry = self.registry.borrow();
        let asked: Vec<&TaskRef> =
            registry.by_id().into_iter().filter(|task| is_asked(task.id())).collect();
        if asked.is_empty() {
            return Vec::new();
        }
        let mut waits = WaitsByTask::new();
        self.add_source_waits(&mut waits);
        self.add_timer_waits(&mut waits);
        self.add_recorded_waits(&children_by_scope(&registry), &mut waits);
        let ready = self.ready_since();
        let tasks = asked.into_iter().map(|task| {
            let id = task.id();
            let state = state_of(task, ready.get(&id).copied(), self.now());
            describe(task, state, waits.remove(&id).unwrap_or_default())
        });
        tasks.collect()
    }

    fn add_source_waits(&self, waits: &mut WaitsByTask) {
        for source in self.reactor.borrow().iter() {
            let (kind, origin) = (source.kind.name(), source.origin);
            source.for_each_waiter(|interest, waiter| {
                let interest = interest.of(source.kind);
                let Some(task) = waiter.asker.task else { return };
                let on = Awaited::Source { kind, interest, token: source.token, origin };
                let is_direct = wakes(&waiter.waker, self, task);
                add(waits, task, Wait { on, since: waiter.asker.since, is_direct });
            });
        }
    }

    fn add_timer_waits(&self, waits: &mut WaitsByTask) {
        for (deadline, waiter) in self.timers.borrow().waiters() {
            let Some(task) = waiter.task else { continue };
            let on = Awaited::Timer { deadline, origin: waiter.origin };
            let is_direct = wakes(&waiter.waker, self, task);
            add(waits, task, Wait { on, since: waiter.since, is_direct });
        }
    }

    fn add_recorded_waits(
        &self,
        children: &BTreeMap<ResourceId, Vec<TaskId>>,
        waits: &mut WaitsByTask,
    ) {
        for record in self.waits.waiting() {
            let Record { task, target, what, since, origin, is_certain, .. } = record;
            let Some(task) = task else { continue };
            let on = match target {
                Target::Resource(id) => Awaited::Resource { id, what, origin },
                Target::Task(task) => Awaited::Task(task),
                Target::Children(scope) => {
                    Awaited::Children(children.get(&scope).cloned().unwrap_or_default())
                }
                Target::Failure(scope) => {
                    Awaited::Failure(children.get(&scope).cloned().unwrap_or_default())
                }
                Target::Elsewhere => Awaited::Elsewhere { what, origin },
            };
            add(waits, task, Wait { on, since, is_direct: is_certain });
        }
    }
}

/// Keeps the waits of a task in the order in which they began.
fn add(waits: &mut WaitsByTask, task: TaskId, wait: Wait) {
    let waits = waits.entry(task).or_default();
    let place = waits.partition_point(|before| before.since <= wait.since);
    waits.insert(place, wait);
}

/// The live children of each scope that somebody waits for.
fn children_by_scope(registry: &Registry) -> BTreeMap<ResourceId, Vec<TaskId>> {
    let mut children: BTreeMap<ResourceId, Vec<TaskId>> = BTreeMap::new();
    for task in registry.by_id() {
        let scope = task.scope().and_then(|scope| scope.awaited_as());
        if let Some(scope) = scope {
            children.entry(scope).or_default().push(task.id());
        }
    }
    children
}

fn state_of(task: &TaskRef, ready_since: Option<Instant>, now: Instant) -> TaskState {
    if task.is_running() {
        TaskState::Running
    } else if let Some(since) = ready_since {
        TaskState::Ready { since }
    } else if task.is_scheduled() || task.is_injected() {
        // Woken by another thread, and not yet in the queue.
        TaskState::Ready { since: now }
    } else {
        TaskState::Waiting
    }
}

fn describe(task: &TaskRef, state: TaskState, waits: Vec<Wait>) -> DumpedTask {
    let direct = waits.iter().filter(|wait| wait.is_direct).count();
    let direct = u32::try_from(direct).expect("a task has fewer than 2^32 wakers");
    DumpedTask {
        id: task.id(),
        parent: task.parent(),
        name: task.name(),
        origin: task.origin(),
        since: task.spawned_at(),
        polls: task.polls(),
        state,
        waits,
        other_wakers: task.wakers().saturating_sub(direct),
    }
}

fn hold(record: &Record) -> Option<Hold> {
    let Target::Resource(resource) = record.target else { return None };
    let &Record { task, what, since, origin, is_certain, is_bound, is_granted, .. } = record;
    let is_borrowed = if is_granted { is_bound } else { is_certain };
    Some(Hold { resource, what, task, since, origin, is_borrowed, is_taken: !is_granted })
}
