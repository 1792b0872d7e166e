//! `Frame`: on whose behalf the code runs that runs right now: which task's, and in which scope.
//!
//! ```text
//!   a poll of the shard         ─► the task that is polled         (the heartbeat knows which)
//!     └ a task is dropped in it ─► that task: its destructors run as it did, not as a part of who ends it
//!         └ a body in it        ─► the scope of that body, further in than the scope of the task
//! ```
//!
//! Invariant: each level puts back what it found, also when a panic goes through it.

use core::cell::Cell;
use std::rc::Rc;

use super::turn::Core;
use crate::context;
use crate::metrics::CancelReason;
use crate::scope::Children;
use crate::task::{TaskId, TaskRef};

/// See the file.
#[derive(Default)]
pub(super) struct Frame {
    /// The slot of the task that is polled, while one is.
    slot: Cell<u32>,
    /// The task that is dropped where it stands, and its slot.
    dropped: Cell<Option<(TaskId, u32)>>,
    /// The scope whose body is polled or dropped, further in than the task.
    inside: Cell<Option<Rc<Children>>>,
}

impl Frame {
    /// A poll begins.
    #[inline]
    pub(super) fn start(&self, slot: u32) {
        self.slot.set(slot);
    }
}

impl Core {
    /// The task that is being polled or dropped.
    pub(crate) fn running(&self) -> Option<TaskId> {
        match self.frame.dropped.get() {
            Some((task, _)) => Some(task),
            None => self.heartbeat.running(),
        }
    }

    /// The innermost scope around what is being polled or dropped, of those that are not gone.
    pub(crate) fn scope_around(&self) -> Option<Rc<Children>> {
        let inside = self.frame.inside.take();
        self.frame.inside.set(inside.clone());
        let around = inside.or_else(|| {
            let polled = || self.heartbeat.running().map(|task| (task, self.frame.slot.get()));
            let (task, slot) = self.frame.dropped.get().or_else(polled)?;
            self.registry.borrow().task_at(task, slot).scope()
        });
        around.as_ref().and_then(Children::open)
    }

    /// Calls `body` as a part of what runs in `scope`.
    pub(crate) fn inside<R>(&self, scope: &Rc<Children>, body: impl FnOnce() -> R) -> R {
        let _restore = replace(&self.frame.inside, Some(Rc::clone(scope)));
        body()
    }

    /// Drops the future of a task where it stands; one that is polled right now ends after its poll.
    pub(crate) fn cancel(&self, task: &TaskRef, reason: CancelReason) {
        if task.is_complete() {
            return;
        }
        task.set_cancel_reason(reason);
        let ended = {
            let _task = replace(&self.frame.dropped, Some((task.id(), task.slot())));
            let _scope = replace(&self.frame.inside, None);
            context::enter(task.context(), || task.cancel_now())
        };
        if let Some(ended) = ended {
            self.forget(task, ended);
        }
    }

    /// Has a task end at its next turn, for a reason.
    pub(crate) fn abort(&self, task: &TaskRef, reason: CancelReason) {
        if task.is_complete() {
            return;
        }
        task.set_cancel_reason(reason);
        task.abort();
    }
}

/// Puts a value into a cell, until the result is dropped.
fn replace<T>(cell: &Cell<Option<T>>, value: Option<T>) -> Restore<'_, T> {
    Restore { before: cell.replace(value), cell }
}

struct Restore<'a, T> {
    cell: &'a Cell<Option<T>>,
    before: Option<T>,
}

impl<T> Drop for Restore<'_, T> {
    fn drop(&mut self) {
        self.cell.set(self.before.take());
    }
}
