//! `PollCounter`: counts the polls of the tasks of one shard. It knows tasks by their numbers and sites only.

use core::panic::Location;
use std::collections::BTreeMap;

use mainspring_executor::driver::TaskId;

use crate::poll_counts::PollCounts;

/// Counts what one life of a shard polls. Who was polled last when a task first shows up has spawned it, as far as this goes.
#[derive(Debug)]
pub(crate) struct PollCounter {
    shard: String,
    tasks: BTreeMap<TaskId, Task>,
    last: Option<TaskId>,
}

#[derive(Debug)]
struct Task {
    site: &'static Location<'static>,
    spawned_by: Option<TaskId>,
    polls: u64,
}

impl PollCounter {
    pub(crate) fn new(shard: &str) -> Self {
        Self { shard: shard.to_owned(), tasks: BTreeMap::new(), last: None }
    }

    /// Of these ready tasks that one is polled.
    pub(crate) fn count(
        &mut self,
        ready: impl Iterator<Item = (TaskId, &'static Location<'static>)>,
        picked: TaskId,
    ) {
        for (task, site) in ready {
            let spawned_by = self.last;
            self.tasks.entry(task).or_insert(Task { site, spawned_by, polls: 0 });
        }
        self.tasks.get_mut(&picked).expect("it is one of the ready tasks").polls += 1;
        self.last = Some(picked);
    }

    /// Adds what was counted so far.
    pub(crate) fn add_to(&self, counts: &mut PollCounts) {
        let mut spawned: BTreeMap<TaskId, u64> = BTreeMap::new();
        // Who spawns is older than what it spawns, and has the lower number.
        for (id, task) in self.tasks.iter().rev() {
            let polls = task.polls + spawned.remove(id).unwrap_or(0);
            if let Some(spawned_by) = task.spawned_by {
                *spawned.entry(spawned_by).or_default() += polls;
            }
            counts.add(&self.shard, task.site, polls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spawns_is_charged_with_what_it_spawned() {
        let [first, second, third] = [(); 3].map(|()| TaskId(0)).map(|_| Location::caller());
        assert_eq!((first, second), (second, third), "one place is enough");
        let (parent, child) = (Location::caller(), first);
        let mut counter = PollCounter::new("server");
        let ready = |tasks: &[(u64, &'static Location<'static>)]| {
            tasks.iter().map(|(id, site)| (TaskId(*id), *site)).collect::<Vec<_>>()
        };
        counter.count(ready(&[(1, parent)]).into_iter(), TaskId(1));
        counter.count(ready(&[(2, child), (1, parent)]).into_iter(), TaskId(2));
        counter.count(ready(&[(1, parent), (2, child)]).into_iter(), TaskId(1));
        counter.count(ready(&[(2, child), (3, child)]).into_iter(), TaskId(2));
        counter.count(ready(&[(3, child)]).into_iter(), TaskId(3));
        let mut counts = PollCounts::default();
        counter.add_to(&mut counts);
        assert_eq!(counts.expected("server", parent), 5, "two of its own and three of others");
        assert_eq!(counts.expected("server", child), 2, "two and one, rounded up");
        assert_eq!(counts.expected("client", parent), 1, "nothing is known of it");
    }
}
