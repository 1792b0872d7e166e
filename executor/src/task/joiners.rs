//! `Joiners`: who awaits the end of which task. Most tasks are awaited by nobody, so this is not in the tasks.
//!
//! Invariant: an entry is there while its task has not ended and its `JoinHandle` has been polled and not been dropped; the
//! task's own state says that there is one.

use core::cell::RefCell;
use core::task::Waker;
use std::collections::BTreeMap;

use super::TaskId;
use crate::waits::Ticket;

/// Who is to be woken when a task ends.
pub(super) struct Joiner {
    waker: Waker,
    /// Says who waits.
    wait: Option<Ticket>,
}

impl Joiner {
    pub(super) fn new(waker: &Waker, wait: Option<Ticket>) -> Self {
        Self { waker: waker.clone(), wait }
    }

    /// The task has ended.
    pub(super) fn wake(self) {
        drop(self.wait);
        self.waker.wake();
    }
}

/// The joiners of the tasks of a shard, by task. Used by the shard's own thread alone, until nobody else is left; by then
/// it is empty.
#[derive(Default)]
pub(super) struct Joiners(RefCell<BTreeMap<TaskId, Joiner>>);

impl Joiners {
    /// Whether a poll with this waker would change nothing.
    pub(super) fn has(&self, task: TaskId, waker: &Waker) -> bool {
        let joiners = self.0.borrow();
        joiners.get(&task).is_some_and(|joiner| {
            joiner.waker.will_wake(waker)
                && joiner.wait.as_ref().is_some_and(|wait| wait.still_holds(waker))
        })
    }

    /// Gives back who was there before, to be dropped where no borrow is held.
    pub(super) fn replace(&self, task: TaskId, joiner: Joiner) -> Option<Joiner> {
        self.0.borrow_mut().insert(task, joiner)
    }

    /// Takes out the joiner of a task that has one.
    pub(super) fn take(&self, task: TaskId) -> Joiner {
        let joiner = self.0.borrow_mut().remove(&task);
        joiner.expect("a task that says so has a joiner")
    }
}
