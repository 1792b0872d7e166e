//! `TaskDump`: every task of a shard, what it waits for and since when, and who holds that. Plain data, and a text.
//!
//! It is made from what the shard knows anyway: its registry, the waiters of its reactor and timers, the records of locks,
//! channels and joins. No task is polled for it, so it changes nothing and can be had at any time.
//!
//! # What can be known, and what not
//! - A wait is listed while something known keeps a waker for it. A future that was polled once and then put aside, as a
//!   `select` in a loop does with `&mut future`, still waits in that sense.
//! - A task that waits for something that is not this crate's (a channel of another crate, a thread of its own) is seen
//!   only by the wakers that are kept of it. The dump says how many are kept by code that it does not know.
//! - A wait belongs to the task that polled it, whatever is in between.

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::driver::Token;
use crate::instant::Instant;
use crate::task::TaskId;
use crate::waits::ResourceId;

/// All tasks of a shard at one moment. `Display` draws them as a tree, each below the one that spawned it, with the proven
/// [`deadlocks`](TaskDump::deadlocks) at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDump {
    /// When it was made.
    pub at: Instant,
    /// The tasks that have not ended, by id.
    pub tasks: Vec<DumpedTask>,
    /// What is held, by resource and then in the order in which it was taken.
    pub holds: Vec<Hold>,
}

/// A task that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedTask {
    /// Its ordinal.
    pub id: TaskId,
    /// The task that spawned it, which may have ended; `None` from outside of tasks.
    pub parent: Option<TaskId>,
    /// What [`spawn_named`](crate::spawn_named) called it.
    pub name: Option<Cow<'static, str>>,
    /// Where it was spawned.
    pub origin: &'static Location<'static>,
    /// When it was spawned.
    pub since: Instant,
    /// How often it was polled.
    pub polls: u32,
    /// What it does.
    pub state: TaskState,
    /// What it waits for: whatever comes first wakes it. In the order in which it began to; what began in one turn in the
    /// order sockets, timers, others. Empty where nothing is known.
    pub waits: Vec<Wait>,
    /// Wakers of it that exist and belong to none of `waits`: those of code that the shard does not know, and those that
    /// such code keeps in between.
    pub other_wakers: u32,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It is being polled.
    Running,
    /// It is in the queue to be polled.
    Ready {
        /// Since when.
        since: Instant,
    },
    /// It waits to be woken.
    Waiting,
}

/// Something that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What.
    pub on: Awaited,
    /// Since when: the first poll that found it not ready.
    pub since: Instant,
    /// Whether what is kept for it is the task's own waker. Else it is that of other code, such as a `FuturesUnordered`,
    /// which has something else of the task's.
    pub is_direct: bool,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// An edge of a socket, file, job or signal subscription.
    Source {
        /// What it is, in a word or two: "stream".
        kind: &'static str,
        /// What is to become possible: "something to read".
        interest: &'static str,
        /// By which the driver knows it.
        token: Token,
        /// Where it was opened.
        origin: &'static Location<'static>,
    },
    /// A moment.
    Timer {
        /// Which.
        deadline: Instant,
        /// Where the timer was made.
        origin: &'static Location<'static>,
    },
    /// A lock, a channel, a permit. Who holds it is in [`TaskDump::holds`].
    Resource {
        /// Its name.
        id: ResourceId,
        /// What is to come, in words: "a lock".
        what: &'static str,
        /// Where it was asked for.
        origin: &'static Location<'static>,
    },
    /// The end of a task.
    Task(TaskId),
    /// The end of all of these, which are the children of one scope.
    Children(Vec<TaskId>),
    /// A failure of any of these, which are the children of the scope whose body the task runs.
    Failure(Vec<TaskId>),
    /// Something of another shard of the same thread.
    Elsewhere {
        /// What is to come, in words.
        what: &'static str,
        /// Where it was asked for, or made.
        origin: &'static Location<'static>,
    },
}

/// Something that is held while others may wait for it, or was given to a future that has not taken it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What.
    pub resource: ResourceId,
    /// In words: "a lock".
    pub what: &'static str,
    /// The task that took it; it may have ended since, and have handed on what it took. Of what was not taken, the task that
    /// polled the future last. `None` outside of tasks.
    pub task: Option<TaskId>,
    /// When it was taken, or given.
    pub since: Instant,
    /// Where it was taken, or asked for.
    pub origin: &'static Location<'static>,
    /// Whether it can only be in the hands of the task that took it, for it borrows from there. (The guard of a lock that
    /// was leaked could be elsewhere all the same; that chance is taken.)
    pub is_borrowed: bool,
    /// Whether it was taken. Else a future that waited was given it, and was not polled since: it is nobody else's, and it
    /// does nobody any good. Where its task waits for other things meanwhile that is half of a [`Futurelock`].
    ///
    /// [`Futurelock`]: crate::Futurelock
    pub is_taken: bool,
}

impl TaskDump {
    /// The task with this id, if it has not ended.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&DumpedTask> {
        self.position(id).map(|position| &self.tasks[position])
    }

    pub(crate) fn position(&self, id: TaskId) -> Option<usize> {
        self.tasks.binary_search_by_key(&id, |task| task.id).ok()
    }

    /// Who holds a resource.
    pub fn holders(&self, resource: ResourceId) -> impl Iterator<Item = &Hold> {
        let first = self.holds.partition_point(|hold| hold.resource < resource);
        self.holds[first..].iter().take_while(move |hold| hold.resource == resource)
    }
}

/// Levels of the tree beyond which the text is indented no further.
const LEVELS_MAX: usize = 12;

impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_running = |task: &&DumpedTask| task.state == TaskState::Running;
        let is_waiting = |task: &&DumpedTask| task.state == TaskState::Waiting;
        let running = self.tasks.iter().filter(is_running).count();
        let waiting = self.tasks.iter().filter(is_waiting).count();
        let ready = self.tasks.len() - running - waiting;
        let tasks = Count(self.tasks.len() as u64, "task");
        writeln!(f, "{tasks}: {running} running, {ready} ready, {waiting} waiting")?;
        for (level, task) in self.tree() {
            self.write_task(f, level.min(LEVELS_MAX), task)?;
        }
        self.deadlocks().iter().try_for_each(|cycle| write!(f, "{cycle}"))
    }
}

impl TaskDump {
    /// All tasks, each behind its parent, with its level; siblings by id. The list of what is left to visit is on the
    /// heap, for a chain of tasks may be longer than a stack is deep.
    fn tree(&self) -> Vec<(usize, &DumpedTask)> {
        let mut children: BTreeMap<Option<TaskId>, Vec<&DumpedTask>> = BTreeMap::new();
        for task in &self.tasks {
            let parent = task.parent.filter(|parent| self.position(*parent).is_some());
            children.entry(parent).or_default().push(task);
        }
        let mut left: Vec<(usize, &DumpedTask)> = Vec::new();
        let mut add = |left: &mut Vec<_>, level: usize, parent: Option<TaskId>| {
            let below = children.remove(&parent).unwrap_or_default();
            // Taken from the end, so the first goes there.
            left.extend(below.into_iter().rev().map(|task| (level, task)));
        };
        add(&mut left, 0, None);
        let mut tree = Vec::with_capacity(self.tasks.len());
        while let Some((level, task)) = left.pop() {
            tree.push((level, task));
            add(&mut left, level + 1, Some(task.id));
        }
        tree
    }

    fn write_task(
        &self,
        f: &mut fmt::Formatter<'_>,
        level: usize,
        task: &DumpedTask,
    ) -> fmt::Result {
        let indent = Indent(level);
        let age = Brief(self.at - task.since);
        let polls = Count(task.polls.into(), "poll");
        write!(f, "{indent}{}: ", Named(task))?;
        match task.state {
            TaskState::Running => f.write_str("running")?,
            TaskState::Ready { since } => write!(f, "ready for {}", Brief(self.at - since))?,
            TaskState::Waiting => f.write_str("waiting")?,
        }
        writeln!(f, ", {age} old, {polls}")?;
        write!(f, "{indent}    spawned at {}", task.origin)?;
        match task.parent.filter(|parent| self.position(*parent).is_none()) {
            Some(parent) => writeln!(f, " by {parent}, which has ended")?,
            None => writeln!(f)?,
        }
        let mut told = BTreeSet::new();
        for wait in &task.waits {
            writeln!(f, "{indent}    waits {}", self.explain(wait))?;
            if let Awaited::Resource { id, .. } = wait.on
                && told.insert(id)
            {
                for hold in self.holders(id) {
                    writeln!(f, "{indent}      {}", self.explain_hold(hold))?;
                }
            }
        }
        if task.state == TaskState::Waiting {
            self.write_unknown(f, indent, task)?;
        }
        for hold in self.holds.iter().filter(|hold| hold.task == Some(task.id)) {
            let (what, age, origin) = (hold.what, Brief(self.at - hold.since), hold.origin);
            match hold.is_taken {
                true => writeln!(f, "{indent}    took {what} {age} ago, at {origin}")?,
                false => {
                    writeln!(f, "{indent}    was given {what} {age} ago, asked for at {origin}")?;
                }
            }
        }
        Ok(())
    }

    /// What else may wake a task that waits.
    fn write_unknown(
        &self,
        f: &mut fmt::Formatter<'_>,
        indent: Indent,
        task: &DumpedTask,
    ) -> fmt::Result {
        match (task.waits.is_empty(), task.other_wakers) {
            (true, 0) => writeln!(f, "{indent}    nothing can wake it: nobody has a waker of it"),
            (true, 1) => writeln!(f, "{indent}    nothing known: a waker is kept by other code"),
            (true, count) => {
                writeln!(f, "{indent}    nothing known: {count} wakers are kept by other code")
            }
            (false, _) => Ok(()),
        }
    }

    /// For how long a wait has lasted, and for what.
    pub(crate) fn explain(&self, wait: &Wait) -> String {
        let age = Brief(self.at - wait.since);
        match &wait.on {
            Awaited::Source { kind, interest, origin, .. } => {
                format!("{age} for {interest}: {kind} opened at {origin}")
            }
            Awaited::Timer { deadline, origin } if *deadline > self.at => {
                format!("{age} for a timer due in {}, made at {origin}", Brief(*deadline - self.at))
            }
            Awaited::Timer { origin, .. } => format!("{age} for a timer due now, made at {origin}"),
            Awaited::Resource { what, origin, .. } => format!("{age} for {what}, at {origin}"),
            Awaited::Task(id) => format!("{age} for the end of {}", self.name_of(*id)),
            Awaited::Children(ids) => format!("{age} for the end of its scope: {}", Few(ids)),
            Awaited::Failure(ids) => format!("{age} for a failure in its scope: {}", Few(ids)),
            Awaited::Elsewhere { what, origin } => format!("{age} for {what}, at {origin}"),
        }
    }

    /// Who took what is held, and where.
    pub(crate) fn explain_hold(&self, hold: &Hold) -> String {
        let (age, origin) = (Brief(self.at - hold.since), hold.origin);
        match hold.task {
            Some(task) if !hold.is_taken => {
                let name = self.name_of(task);
                let state = self.task(task).map(|task| task.state);
                let rest = match state {
                    Some(TaskState::Waiting) => " that the task no longer polls",
                    _ => "",
                };
                format!("given {age} ago to a future of {name}{rest}: asked for at {origin}")
            }
            None if !hold.is_taken => {
                format!("given {age} ago to a future outside of tasks: asked for at {origin}")
            }
            Some(task) => format!("taken by {} {age} ago, at {origin}", self.name_of(task)),
            None => format!("taken outside of tasks {age} ago, at {origin}"),
        }
    }

    pub(crate) fn name_of(&self, id: TaskId) -> String {
        self.task(id)
            .map_or_else(|| format!("{id}, which has ended"), |task| Named(task).to_string())
    }
}

/// Children of a scope that are named in a line.
const CHILDREN_MAX: usize = 4;

/// Tasks in a line.
struct Few<'a>(&'a [TaskId]);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            self.0.iter().take(CHILDREN_MAX).map(ToString::to_string).collect();
        f.write_str(&names.join(", "))?;
        match self.0.len().saturating_sub(CHILDREN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A task as it is called in a text.
struct Named<'a>(&'a DumpedTask);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.name {
            Some(name) => write!(f, "{} '{name}'", self.0.id),
            None => write!(f, "{}", self.0.id),
        }
    }
}

/// So many of something.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// Two spaces a level.
#[derive(Clone, Copy)]
struct Indent(usize);

impl fmt::Display for Indent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.0).try_for_each(|_| f.write_str("  "))
    }
}

/// A duration for the eye: three digits or so, and a unit.
pub(crate) struct Brief(pub(crate) Duration);

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 if self.0.is_zero() => f.write_str("0 s"),
            0 if self.0 < Duration::from_millis(1) => write!(f, "{} µs", self.0.as_micros()),
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..100 => write!(f, "{}.{} s", seconds, self.0.subsec_millis() / 100),
            100..7200 => write!(f, "{} min", seconds / 60),
            7200..172_800 => write!(f, "{} h", seconds / 3600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_duration_has_a_unit_that_fits() {
        let check = |nanos: u64, text| {
            assert_eq!(Brief(Duration::from_nanos(nanos)).to_string(), text);
        };
        check(0, "0 s");
        check(999, "0 µs");
        check(25_000, "25 µs");
        check(999_999_999, "999 ms");
        check(1_000_000_000, "1.0 s");
        check(99_990_000_000, "99.9 s");
        check(100_000_000_000, "1 min");
        check(7_200_000_000_000, "2 h");
        check(172_800_000_000_000, "2 days");
    }
}
