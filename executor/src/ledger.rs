//! The ledger: everything that is alive in a shard, and where it came from. What a leak report prints.

use core::fmt;
use core::panic::Location;

use crate::instant::Instant;
use crate::task::TaskId;

/// Everything alive in a shard at one moment.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Tasks that have not ended, by id.
    pub tasks: Vec<TaskRecord>,
    /// Sockets, files, jobs and subscriptions, by token.
    pub resources: Vec<ResourceRecord>,
    /// Armed timers, in firing order.
    pub timers: Vec<TimerRecord>,
}

/// A live task.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// Its ordinal.
    pub id: TaskId,
    /// The task that spawned it; `None` from outside of tasks.
    pub parent: Option<TaskId>,
    /// Where it was spawned.
    pub origin: &'static Location<'static>,
    /// Whether it is ready to run, or runs; else it waits.
    pub is_ready: bool,
}

/// An open socket, file, job or subscription.
#[derive(Clone, Debug)]
pub struct ResourceRecord {
    /// What it is, in a word or two.
    pub kind: String,
    /// The task that opened it; `None` outside of tasks.
    pub owner: Option<TaskId>,
    /// Where it was opened.
    pub origin: &'static Location<'static>,
}

/// An armed timer.
#[derive(Clone, Debug)]
pub struct TimerRecord {
    /// When it fires.
    pub deadline: Instant,
    /// The task that waits for it; `None` outside of tasks.
    pub task: Option<TaskId>,
    /// Since when it waits.
    pub since: Instant,
    /// Where it was made.
    pub origin: &'static Location<'static>,
}

impl Ledger {
    /// Whether nothing is alive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.resources.is_empty() && self.timers.is_empty()
    }
}

/// One line for each thing alive.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for task in &self.tasks {
            let state = if task.is_ready { "ready" } else { "waiting" };
            write!(f, "{}, {state}, spawned at {}", task.id, task.origin)?;
            match task.parent {
                Some(parent) => writeln!(f, " by {parent}")?,
                None => writeln!(f)?,
            }
        }
        for resource in &self.resources {
            write!(f, "{}, opened at {}", resource.kind, resource.origin)?;
            match resource.owner {
                Some(owner) => writeln!(f, " by {owner}")?,
                None => writeln!(f)?,
            }
        }
        for timer in &self.timers {
            write!(f, "timer for {}, made at {}", timer.deadline, timer.origin)?;
            match timer.task {
                Some(task) => writeln!(f, ", {task} waits since {}", timer.since)?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
