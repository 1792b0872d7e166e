//! The ready tasks, in the order in which they became ready. A [`Schedule`] may pick another than the first.

use core::panic::Location;
use std::borrow::Cow;
use std::collections::VecDeque;

use crate::driver::Schedule;
use crate::instant::Instant;
use crate::task::{TaskId, TaskRef};

/// Ready tasks. Each is here at most once: the task's own state word sees to that.
pub(crate) struct RunQueue {
    /// Each with the moment since when it is ready.
    tasks: VecDeque<(TaskRef, Instant)>,
    schedule: Option<Box<dyn Schedule>>,
}

impl RunQueue {
    pub(crate) fn new(schedule: Option<Box<dyn Schedule>>) -> Self {
        Self { tasks: VecDeque::new(), schedule }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, task: TaskRef, now: Instant) {
        self.tasks.push_back((task, now));
    }

    /// The task to run next, and since when it is ready.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<(TaskRef, Instant)> {
        if self.schedule.is_none() { self.tasks.pop_front() } else { self.choose() }
    }

    /// The task that the schedule picks. Apart, so that [`RunQueue::pop`] is small enough to become a part of the loop.
    fn choose(&mut self) -> Option<(TaskRef, Instant)> {
        let schedule = self.schedule.as_mut()?;
        if self.tasks.is_empty() {
            return None;
        }
        let position = schedule.choose(&ReadyTasks(&self.tasks))?;
        assert!(position < self.tasks.len(), "a schedule chooses one of the ready tasks");
        // `remove`, not `swap_remove`: the others keep their order, so that 0 stays first-in first-out.
        self.tasks.remove(position)
    }

    /// The tasks, and since when each is ready.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(TaskRef, Instant)> {
        self.tasks.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// The ready tasks as a [`Schedule`] sees them, longest ready first.
pub struct ReadyTasks<'a>(&'a VecDeque<(TaskRef, Instant)>);

impl ReadyTasks<'_> {
    /// How many there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a schedule is never asked about no tasks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The id of the one at `position`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn id(&self, position: usize) -> TaskId {
        self.0[position].0.id()
    }

    /// Where the one at `position` was spawned.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn origin(&self, position: usize) -> &'static Location<'static> {
        self.0[position].0.origin()
    }

    /// What the one at `position` is called, where it was spawned with a name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn name(&self, position: usize) -> Option<Cow<'static, str>> {
        self.0[position].0.name()
    }

    /// Since when the one at `position` is ready: the time of the turn in which it became so.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn since(&self, position: usize) -> Instant {
        self.0[position].1
    }
}
