//! `Futurelock`: what others wait for is in the hands of a future that its own task does not poll. Read from a [`TaskDump`].
//!
//! A task takes a place in line by polling a future, and puts that future aside: it lies in a `select!` by reference, in a
//! stream's buffer, in a variable. When its turn comes it is given the lock, and the task is woken; but as it does not poll that
//! future, nobody has the lock, and nobody else gets it. Where the task waits for the same lock meanwhile, all is over.
//! The name is of Oxide's RFD 609, which tells of such a case.
//!
//! What is told is a fact, and need be no bug: the task may come back to its future. That it has not for long, or that nothing
//! else is to come, is what makes it one.

use core::fmt;

use crate::dump::{Awaited, Brief, Hold, TaskDump, TaskState};
use crate::task::TaskId;

/// See the file. A lock, a permit, a place in a channel or a notification that was given to a future which its task has not polled
/// since, though it was woken, while others wait for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Futurelock {
    /// What the future was given, when, and where it had asked for it.
    pub hold: Hold,
    /// The task that polled the future last, and waits for something else.
    pub task: TaskId,
    /// The tasks that wait for what it was given, by id. The task itself may be one.
    pub waiters: Vec<TaskId>,
    /// All that in a line.
    text: String,
}

impl TaskDump {
    /// What was given to futures that their tasks do not poll, while others wait for it.
    #[must_use]
    pub fn futurelocks(&self) -> Vec<Futurelock> {
        self.holds.iter().filter_map(|hold| self.futurelock(hold)).collect()
    }

    fn futurelock(&self, hold: &Hold) -> Option<Futurelock> {
        let task = hold.task.filter(|_| !hold.is_taken)?;
        // Else it is about to be polled, for what it was given woke it.
        let is_aside = self.task(task)?.state == TaskState::Waiting;
        let waits =
            |on: &Awaited| matches!(on, Awaited::Resource { id, .. } if *id == hold.resource);
        let waiters =
            self.tasks.iter().filter(|task| task.waits.iter().any(|wait| waits(&wait.on)));
        let waiters: Vec<TaskId> = waiters.map(|task| task.id).collect();
        if !is_aside || waiters.is_empty() {
            return None;
        }
        let (what, age) = (hold.what, Brief(self.at - hold.since));
        let names: Vec<String> =
            waiters.iter().take(WAITERS_MAX).map(|id| self.name_of(*id)).collect();
        let more = match waiters.len().saturating_sub(WAITERS_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (owner, origin) = (self.name_of(task), hold.origin);
        let text = format!(
            "futurelock: a future of {owner} that the task no longer polls was given {what} {age} ago, asked for at {origin}; \
             waited for by {}{more}",
            names.join(", "),
        );
        Some(Futurelock { hold: hold.clone(), task, waiters, text })
    }
}

/// Waiters that are named in a line.
const WAITERS_MAX: usize = 4;

impl fmt::Display for Futurelock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
