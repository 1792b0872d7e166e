//! The ready tasks, in the order in which they became ready. A [`Schedule`] may pick another than the first.

use std::collections::VecDeque;

use crate::driver::Schedule;
use crate::task::{TaskId, TaskRef};

/// Ready tasks. Each is here at most once: the task's own state word sees to that.
pub(crate) struct RunQueue {
    tasks: VecDeque<TaskRef>,
    schedule: Option<Box<dyn Schedule>>,
}

impl RunQueue {
    pub(crate) fn new(schedule: Option<Box<dyn Schedule>>) -> Self {
        Self { tasks: VecDeque::new(), schedule }
    }

    pub(crate) fn push(&mut self, task: TaskRef) {
        self.tasks.push_back(task);
    }

    /// The task to run next.
    pub(crate) fn pop(&mut self) -> Option<TaskRef> {
        let Some(schedule) = &mut self.schedule else {
            return self.tasks.pop_front();
        };
        if self.tasks.is_empty() {
            return None;
        }
        let position = schedule.choose(&ReadyTasks(&self.tasks));
        assert!(position < self.tasks.len(), "a schedule chooses one of the ready tasks");
        // `remove`, not `swap_remove`: the others keep their order, so that 0 stays first-in first-out.
        self.tasks.remove(position)
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// The ready tasks as a [`Schedule`] sees them, longest ready first.
pub struct ReadyTasks<'a>(&'a VecDeque<TaskRef>);

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
        self.0[position].id()
    }
}
