//! The wait graph: tasks that wait for each other in a ring, and tasks that nothing can wake. Read from a [`TaskDump`].
//!
//! A task waits for any of its waits: each that can end makes it live. A wait for a task can end if that task is live, one
//! for the children of a scope if all of them are, one for a failure in a scope if one of its children is, one for a lock
//! if one of those who hold it is. Whoever is not live by that is stuck, and the stuck ones that wait for stuck ones form
//! the rings.
//!
//! # No false alarm
//! [`TaskDump::deadlocks`] and [`TaskDump::stuck`] tell only what is proven. A task counts as live where
//! - it waits for a timer, a socket, a file, a job, a signal, or something of another shard;
//! - it waits for something that nobody is known to hold: a message may come from anywhere;
//! - it waits in line behind a live task that wants more or less of the same, and may give up: a writer, before a reader;
//! - what it waits for was taken outside of tasks, or by a task that may have handed it on: a guard or permit that borrows
//!   nothing may be anywhere by now;
//! - a waker of it is kept by code that the shard does not know.
//!
//! What is left cannot go on unless somebody ends one of the tasks from outside: by abort, by its scope, by a shutdown. So
//! what is told in production is true, but not all that is true is told. A simulator that sees that nothing is to come any
//! more knows better, and asks for [`TaskDump::deadlocks_if_nothing_comes`].

use core::fmt;
use std::collections::{BTreeMap, VecDeque};

use crate::dump::{Awaited, Hold, TaskDump, TaskState, Wait};
use crate::task::TaskId;
use crate::waits::ResourceId;

/// Tasks that wait for each other: each for the next, and the last for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// From the task with the smallest id on.
    pub links: Vec<Link>,
}

/// One task of a [`Cycle`], and why it waits for the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who waits.
    pub task: TaskId,
    /// For what.
    pub wait: Wait,
    /// What the next task holds of that, where it is something that can be held.
    pub hold: Option<Hold>,
    /// Whom it waits for.
    pub next: TaskId,
    /// All that in words, with names, ages and places: a line, and a second one for what is held.
    pub text: String,
}

/// What is assumed of everything that is not a task of this shard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// It may do anything.
    Open,
    /// It will do nothing any more.
    Over,
}

/// Who wants something else of what others wait for: a writer, where they are to read. Whoever is first in line keeps those
/// behind it waiting, and if it gives up, by a time-out say, they may be served though nobody let go.
struct Rivals(BTreeMap<ResourceId, BTreeMap<&'static str, Vec<usize>>>);

impl Rivals {
    fn new(dump: &TaskDump) -> Self {
        let mut lines: BTreeMap<_, BTreeMap<_, Vec<usize>>> = BTreeMap::new();
        for (position, task) in dump.tasks.iter().enumerate() {
            for wait in &task.waits {
                if let Awaited::Resource { id, what, .. } = wait.on {
                    lines.entry(id).or_default().entry(what).or_default().push(position);
                }
            }
        }
        Self(lines)
    }

    /// The positions of the tasks that want something else.
    fn of(&self, wait: &Wait) -> impl Iterator<Item = usize> {
        let line = match wait.on {
            Awaited::Resource { id, what, .. } => self.0.get(&id).map(|line| (what, line)),
            _ => None,
        };
        line.into_iter().flat_map(|(what, line)| {
            let others = line.iter().filter(move |(other, _)| **other != what);
            others.flat_map(|(_, positions)| positions.iter().copied())
        })
    }
}

impl TaskDump {
    /// Tasks that nothing will ever make run again, unless somebody ends one of them from outside. Each waits for itself or
    /// for others of these, or has lost its last waker. Proven: see the top of this file for what that takes.
    #[must_use]
    pub fn stuck(&self) -> Vec<TaskId> {
        let is_live = self.live(Outlook::Open);
        let stuck = self.tasks.iter().zip(is_live).filter(|(_, is_live)| !is_live);
        stuck.map(|(task, _)| task.id).collect()
    }

    /// The rings of tasks that wait for each other, and certainly for ever. One for each knot of them, which may have more.
    #[must_use]
    pub fn deadlocks(&self) -> Vec<Cycle> {
        self.cycles(Outlook::Open)
    }

    /// As [`TaskDump::deadlocks`], where it is known that no edge, no timer and no wake from elsewhere will come any more.
    /// Whoever took something counts as its holder, though it may have handed it on.
    #[must_use]
    pub fn deadlocks_if_nothing_comes(&self) -> Vec<Cycle> {
        self.cycles(Outlook::Over)
    }

    /// Which of the tasks are live, by position. Starts with those that are so by themselves; each that is found live is a
    /// reason to look again at those who wait for it.
    fn live(&self, outlook: Outlook) -> Vec<bool> {
        let rivals = Rivals::new(self);
        let mut waiters: Vec<Vec<usize>> = vec![Vec::new(); self.tasks.len()];
        for (position, task) in self.tasks.iter().enumerate() {
            let targets = |wait| self.targets(wait).into_iter().chain(rivals.of(wait));
            for target in task.waits.iter().flat_map(targets) {
                waiters[target].push(position);
            }
        }
        let mut is_live = vec![false; self.tasks.len()];
        let mut left: VecDeque<usize> = (0..self.tasks.len()).collect();
        while let Some(position) = left.pop_front() {
            if !is_live[position] && self.is_live(position, &is_live, &rivals, outlook) {
                is_live[position] = true;
                left.extend(&waiters[position]);
            }
        }
        is_live
    }

    /// Whether a task is live, given those that are known to be.
    fn is_live(
        &self,
        position: usize,
        is_live: &[bool],
        rivals: &Rivals,
        outlook: Outlook,
    ) -> bool {
        let task = &self.tasks[position];
        let is_open = outlook == Outlook::Open;
        if task.state != TaskState::Waiting || (is_open && task.other_wakers > 0) {
            return true;
        }
        let known = |id: TaskId| self.position(id).map(|position| is_live[position]);
        task.waits.iter().any(|wait| match &wait.on {
            Awaited::Source { .. } | Awaited::Timer { .. } | Awaited::Elsewhere { .. } => is_open,
            // A task that has ended has woken who waited.
            Awaited::Task(id) => known(*id).unwrap_or(true),
            Awaited::Children(ids) => ids.iter().all(|id| known(*id).unwrap_or(true)),
            // Without children it comes from who drops the handle of one, or from nobody.
            Awaited::Failure(ids) => {
                ids.iter().any(|id| known(*id).unwrap_or(true)) || (is_open && ids.is_empty())
            }
            Awaited::Resource { id, .. } => {
                let mut holders = self.holders(*id).peekable();
                let is_held = holders.peek().is_some();
                let can_let_go = |hold: &Hold| match hold.task.and_then(known) {
                    Some(is_live) => is_live || (is_open && !hold.is_borrowed),
                    None => is_open,
                };
                let may_give_up = || rivals.of(wait).any(|rival| is_live[rival]);
                holders.any(can_let_go) || (is_open && (!is_held || may_give_up()))
            }
        })
    }

    /// The positions of the tasks that a wait depends on.
    fn targets(&self, wait: &Wait) -> Vec<usize> {
        let position = |id: &TaskId| self.position(*id);
        match &wait.on {
            Awaited::Source { .. } | Awaited::Timer { .. } | Awaited::Elsewhere { .. } => {
                Vec::new()
            }
            Awaited::Task(id) => position(id).into_iter().collect(),
            Awaited::Children(ids) | Awaited::Failure(ids) => {
                ids.iter().filter_map(position).collect()
            }
            Awaited::Resource { id, .. } => {
                let holders = self.holders(*id).filter_map(|hold| hold.task);
                holders.filter_map(|task| self.position(task)).collect()
            }
        }
    }

    /// Each stuck task leads to the first stuck one that it waits for. Following that from any task ends in a ring or where
    /// somebody waits for nothing known.
    fn cycles(&self, outlook: Outlook) -> Vec<Cycle> {
        let is_live = self.live(outlook);
        let next: Vec<Option<(&Wait, usize)>> =
            (0..self.tasks.len()).map(|position| self.first_target(position, &is_live)).collect();
        // By which start a task was met first; a ring is closed where a walk meets itself.
        let mut met_from: Vec<Option<usize>> = vec![None; self.tasks.len()];
        let mut cycles = Vec::new();
        for start in 0..self.tasks.len() {
            let mut position = start;
            while met_from[position].is_none() {
                met_from[position] = Some(start);
                let Some((_, target)) = next[position] else { break };
                position = target;
            }
            let is_closed = met_from[position] == Some(start) && next[position].is_some();
            if is_closed {
                cycles.push(self.cycle(position, &next));
            }
        }
        cycles
    }

    fn first_target(&self, position: usize, is_live: &[bool]) -> Option<(&Wait, usize)> {
        if is_live[position] {
            return None;
        }
        self.tasks[position].waits.iter().find_map(|wait| {
            let target = self.targets(wait).into_iter().find(|target| !is_live[*target])?;
            Some((wait, target))
        })
    }

    /// The ring through `first`.
    fn cycle(&self, first: usize, next: &[Option<(&Wait, usize)>]) -> Cycle {
        let mut links = Vec::new();
        let mut position = first;
        loop {
            let (wait, target) = next[position].expect("a ring has no end");
            links.push(self.link(position, wait, target));
            position = target;
            if position == first {
                break;
            }
        }
        let smallest = (0..links.len()).min_by_key(|place| links[*place].task);
        links.rotate_left(smallest.expect("a ring has at least one task"));
        Cycle { links }
    }

    fn link(&self, position: usize, wait: &Wait, target: usize) -> Link {
        let (task, next) = (self.tasks[position].id, self.tasks[target].id);
        let hold = match wait.on {
            Awaited::Resource { id, .. } => {
                self.holders(id).find(|hold| hold.task == Some(next)).cloned()
            }
            _ => None,
        };
        let mut text = format!("{} waits {}\n", self.name_of(task), self.explain(wait));
        if let Some(hold) = &hold {
            let by_itself = if hold.is_taken && task == next { ITSELF } else { "" };
            text.push_str(&format!("  {}{by_itself}\n", self.explain_hold(hold)));
        }
        Link { task, wait: wait.clone(), hold, next, text }
    }
}

/// Where a lock is that a task waits for and holds.
const ITSELF: &str = ": it keeps it in a variable, or in a future that it does not poll";

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.links.len() {
            1 => writeln!(f, "deadlock: a task waits for itself")?,
            count => writeln!(f, "deadlock: {count} tasks wait for each other")?,
        }
        self.links
            .iter()
            .flat_map(|link| link.text.lines())
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use core::panic::Location;
    use core::str::FromStr;

    use super::*;
    use crate::driver::Token;
    use crate::dump::DumpedTask;
    use crate::instant::Instant;

    /// A dump from a few words: `0:t1` is task 0, which waits for task 1. What can be waited for: `t1` a task, `c1+2` the
    /// children 1 and 2, `f1+2` a failure of one of them, `r7` resource 7, `s` a socket, `m` a moment; `?` is a waker kept
    /// by unknown code, `!` a task that is ready, `w7` resource 7 for something else than the others. `7=1` is resource 7 in the
    /// hands of task 1, `7~1` perhaps handed on, `7=-` held outside of tasks.
    fn dump(text: &str) -> TaskDump {
        let mut dump = TaskDump { at: Instant::START, tasks: Vec::new(), holds: Vec::new() };
        for word in text.split_whitespace() {
            match word.split_once(':') {
                Some((id, waits)) => dump.tasks.push(task(number(id), waits)),
                None => dump.holds.push(hold(word)),
            }
        }
        dump.holds.sort_by_key(|hold| hold.resource);
        dump
    }

    fn number<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
        text.parse().expect("a number")
    }

    fn task(id: u64, waits: &str) -> DumpedTask {
        let is_ready = waits.contains('!');
        let since = Instant::START;
        let waits: Vec<&str> = waits.split(',').filter(|wait| !wait.is_empty()).collect();
        let other_wakers = waits.iter().filter(|wait| **wait == "?").count();
        let known = waits.iter().filter_map(|wait| awaited(wait));
        DumpedTask {
            id: TaskId(id),
            parent: None,
            name: None,
            origin: Location::caller(),
            since,
            polls: 1,
            state: if is_ready { TaskState::Ready { since } } else { TaskState::Waiting },
            waits: known.map(|on| Wait { on, since, is_direct: true }).collect(),
            other_wakers: u32::try_from(other_wakers).expect("few"),
        }
    }

    fn awaited(text: &str) -> Option<Awaited> {
        let origin = Location::caller();
        let (kind, rest) = text.split_at(1);
        Some(match kind {
            "t" => Awaited::Task(TaskId(number(rest))),
            "c" | "f" => {
                let ids = rest.split('+').filter(|id| !id.is_empty());
                let ids = ids.map(|id| TaskId(number(id))).collect();
                if kind == "c" { Awaited::Children(ids) } else { Awaited::Failure(ids) }
            }
            "r" => Awaited::Resource { id: ResourceId(number(rest)), what: "a lock", origin },
            "w" => Awaited::Resource { id: ResourceId(number(rest)), what: "all of it", origin },
            "s" => {
                let (kind, interest) = ("stream", "something to read");
                Awaited::Source { kind, interest, token: Token::from_bits(0), origin }
            }
            "m" => Awaited::Timer { deadline: Instant::FAR_FUTURE, origin },
            "!" | "?" => return None,
            other => panic!("{other} is nothing to wait for"),
        })
    }

    fn hold(word: &str) -> Hold {
        let place = word.find(['=', '~']).expect("a hold");
        let (resource, holder) = (&word[..place], &word[place + 1..]);
        Hold {
            resource: ResourceId(number(resource)),
            what: "a lock",
            task: (holder != "-").then(|| TaskId(number(holder))),
            since: Instant::START,
            origin: Location::caller(),
            is_borrowed: word.contains('='),
            is_taken: true,
        }
    }

    fn rings(cycles: &[Cycle]) -> String {
        let ring = |cycle: &Cycle| {
            let ids: Vec<String> = cycle.links.iter().map(|link| link.task.0.to_string()).collect();
            ids.join(">")
        };
        cycles.iter().map(ring).collect::<Vec<_>>().join(" ")
    }

    /// Who is stuck and which rings there are, for certain; and which rings there are if nothing comes.
    #[track_caller]
    fn check(text: &str, stuck: &[u64], certain: &str, if_nothing_comes: &str) {
        let dump = dump(text);
        let found: Vec<u64> = dump.stuck().iter().map(|id| id.0).collect();
        assert_eq!(found, stuck, "{text}");
        assert_eq!(rings(&dump.deadlocks()), certain, "{text}");
        assert_eq!(rings(&dump.deadlocks_if_nothing_comes()), if_nothing_comes, "{text}");
    }

    #[test]
    fn rings_are_found() {
        check("", &[], "", "");
        check("0:t1 1:t0", &[0, 1], "0>1", "0>1");
        check("0:t0", &[0], "0", "0");
        check("0:t1 1:t2 2:t1", &[0, 1, 2], "1>2", "1>2");
        check("0:t2 1:t0 2:t1 3:t4 4:t3", &[0, 1, 2, 3, 4], "0>2>1 3>4", "0>2>1 3>4");
        check("0:r7 7=0", &[0], "0", "0");
        check("0:r7 1:r8 8=0 7=1", &[0, 1], "0>1", "0>1");
        check("0:r7 1:t0 7=1", &[0, 1], "0>1", "0>1");
        check("0:c1+2 1:! 2:t0", &[0, 2], "0>2", "0>2");
    }

    #[test]
    fn a_wait_that_can_end_is_no_deadlock() {
        check("0:t1 1:!", &[], "", "");
        check("0:t1 1:t0,!", &[], "", "");
        check("0:t1 1:t0,m", &[], "", "0>1");
        check("0:t1 1:s,t0", &[], "", "0>1");
        check("0:t1 1:t0,?", &[], "", "0>1");
        // Any of several waits may end.
        check("0:t1,t2 1:t0 2:!", &[], "", "");
        check("0:t1,t2 1:t0 2:t0", &[0, 1, 2], "0>1", "0>1");
        // A message may come from anywhere.
        check("0:t1 1:t0,r7", &[], "", "0>1");
        // One of two permits may come back.
        check("0:r7 1:t0 2:! 7=1 7=2", &[], "", "");
        check("0:r7 1:t0 2:t1 7=1 7=2", &[0, 1, 2], "0>1", "0>1");
        // Of a scope, all have to end; one is enough to fail.
        check("0:c1+2 1:! 2:!", &[], "", "");
        check("0:f1+2 1:! 2:", &[2], "", "");
        check("0:f1+2,t2 1:t2 2:t0", &[0, 1, 2], "0>1>2", "0>1>2");
        check("0:f,t1 1:t0", &[], "", "0>1");
        check("0:c 1:t0", &[], "", "");
        // A task that has ended has woken who waited.
        check("0:t9", &[], "", "");
    }

    /// A semaphore's permits go from the task that takes them to the tasks that it spawns.
    #[test]
    fn what_may_have_been_handed_on_proves_nothing() {
        check("0:r7 7~0", &[], "", "0");
        check("0:r7 1:r8 8~0 7=1", &[], "", "0>1");
        check("0:r7 7=-", &[], "", "");
        check("0:r7 7=9", &[], "", "");
    }

    /// Task 0 reads and wants to read again, behind a writer. If that one gives up, it may.
    #[test]
    fn who_is_first_in_line_may_give_up() {
        check("0:r7 1:w7,m 7=0", &[], "", "0");
        check("0:r7 1:w7 2:t0 7=0", &[0, 1, 2], "0", "0");
        // Of one kind, those behind gain nothing by that.
        check("0:r7 1:r7,m 7=0", &[0], "0", "0");
    }

    #[test]
    fn a_task_without_a_waker_is_stuck_and_so_are_those_behind_it() {
        check("0:", &[0], "", "");
        check("0:?", &[], "", "");
        check("0: 1:t0 2:t1", &[0, 1, 2], "", "");
        check("0:s", &[], "", "");
    }

    /// Each task is looked at again only for those it waits for, however long the chain is.
    #[test]
    fn a_long_chain_is_no_trouble() {
        let mut text = String::from("0:!");
        for id in 1..20_000 {
            text.push_str(&format!(" {id}:t{}", id - 1));
        }
        check(&text, &[], "", "");
        let text = text.replacen("0:!", "0:t19999", 1);
        assert_eq!(dump(&text).deadlocks()[0].links.len(), 20_000);
    }
}
