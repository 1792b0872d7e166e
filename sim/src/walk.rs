//! `Walk`: the next task of a shard by a uniform random walk. It knows tasks by their numbers and sites only.

use core::panic::Location;
use std::collections::BTreeMap;

use mainspring_executor::driver::TaskId;
use rand_pcg::Pcg64Mcg;

use crate::choice::below;
use crate::poll_counts::PollCounts;

/// See [`Order::Urw`](crate::Order::Urw).
#[derive(Debug)]
pub(crate) struct Walk {
    shard: String,
    counts: PollCounts,
    generator: Pcg64Mcg,
    /// The polls that each task has yet to come, with those of tasks that it has yet to spawn; at least 1.
    left: BTreeMap<TaskId, u64>,
    /// Who went last: what shows up now was spawned by it.
    last: Option<TaskId>,
}

impl Walk {
    pub(crate) fn new(shard: &str, counts: PollCounts, generator: Pcg64Mcg) -> Self {
        Self { shard: shard.to_owned(), counts, generator, left: BTreeMap::new(), last: None }
    }

    /// The position of the one that goes, among those that are ready.
    pub(crate) fn pick(
        &mut self,
        ready: impl Iterator<Item = (TaskId, &'static Location<'static>)> + Clone,
    ) -> usize {
        for (task, site) in ready.clone() {
            self.meet(task, site);
        }
        let left = |task| self.left[&task];
        let total = ready.clone().map(|(task, _)| left(task)).sum();
        let mut drawn = below(&mut self.generator, total);
        let is_it = |(task, _)| match drawn.checked_sub(left(task)) {
            None => true,
            Some(rest) => {
                drawn = rest;
                false
            }
        };
        ready.clone().position(is_it).expect("what is drawn is below the total")
    }

    /// That one goes, which was picked here or by a tape.
    pub(crate) fn took(&mut self, task: TaskId) {
        self.take(task, 1);
        self.last = Some(task);
    }

    /// A task that shows up for the first time takes over what is expected of it from who spawned it.
    fn meet(&mut self, task: TaskId, site: &Location<'static>) {
        if self.left.contains_key(&task) {
            return;
        }
        let expected = self.counts.expected(&self.shard, site);
        self.left.insert(task, expected);
        if let Some(last) = self.last {
            self.take(last, expected);
        }
    }

    fn take(&mut self, task: TaskId, polls: u64) {
        let left = self.left.get_mut(&task).expect("it was met");
        *left = left.saturating_sub(polls).max(1);
    }
}
