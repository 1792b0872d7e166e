//! `Priorities`: the tasks of a shard in the order of PCT. It knows tasks by their numbers only.

use std::collections::BTreeMap;

use mainspring_executor::driver::TaskId;
use rand::Rng;
use rand_pcg::Pcg64Mcg;

use crate::choice::splitmix64;

/// Who is first in line and was passed over so often goes: as many polls as a machine makes before it looks again at what
/// else there is.
const PASSED_OVER_MAX: u32 = 64;

/// See [`Order::Pct`](crate::Order::Pct).
#[derive(Debug)]
pub(crate) struct Priorities {
    /// Whatever a task's number is made into a priority with: nothing has to be kept for tasks that have ended.
    key: u64,
    /// At which polls one falls, and how low: each to a place of its own, below all who have not fallen.
    changes: BTreeMap<u64, u32>,
    /// Who fell, and how low.
    fallen: Vec<(TaskId, u32)>,
    poll_count: u64,
    /// Who is first in line, and how often others went since.
    first: Option<(TaskId, u32)>,
}

impl Priorities {
    pub(crate) fn new(mut generator: Pcg64Mcg, depth: u32, polls: u32) -> Self {
        let polls = u64::from(polls);
        let changes = (1..depth).map(|place| (generator.next_u64() % polls, place)).collect();
        let key = generator.next_u64();
        Self { key, changes, fallen: Vec::new(), poll_count: 0, first: None }
    }

    /// The position of the one that goes, among those that are ready, longest ready first.
    pub(crate) fn pick(
        &mut self,
        mut ready: impl ExactSizeIterator<Item = TaskId> + Clone,
    ) -> usize {
        let poll = self.poll_count;
        self.poll_count += 1;
        let mut highest = self.highest(ready.clone());
        if let Some(place) = self.changes.remove(&poll) {
            self.fallen.retain(|(task, _)| *task != highest.1);
            self.fallen.push((highest.1, place));
            highest = self.highest(ready.clone());
        }
        let first = ready.next().expect(ONE);
        let passed_over = match self.first {
            Some((task, count)) if task == first => count,
            _ => 0,
        };
        if highest.0 == 0 || passed_over >= PASSED_OVER_MAX {
            self.first = None;
            return 0;
        }
        self.first = Some((first, passed_over + 1));
        highest.0
    }

    fn highest(&self, ready: impl Iterator<Item = TaskId>) -> (usize, TaskId) {
        ready.enumerate().max_by_key(|(_, task)| self.priority(*task)).expect(ONE)
    }

    fn priority(&self, task: TaskId) -> (bool, u64, TaskId) {
        let fallen = self.fallen.iter().find(|(fallen, _)| *fallen == task);
        match fallen {
            Some((_, place)) => (false, (*place).into(), task),
            None => (true, splitmix64(self.key ^ task.0), task),
        }
    }
}

/// Why there is a highest.
const ONE: &str = "a schedule is never asked about no tasks";

#[cfg(test)]
mod tests {
    use super::*;

    fn priorities(seed: u128, depth: u32, polls: u32) -> Priorities {
        Priorities::new(Pcg64Mcg::new(seed), depth, polls)
    }

    fn pick(priorities: &mut Priorities, ready: &[u64]) -> u64 {
        ready[priorities.pick(ready.iter().map(|number| TaskId(*number)))]
    }

    #[test]
    fn the_highest_goes_wherever_it_stands() {
        let mut priorities = priorities(7, 1, 1000);
        let highest = pick(&mut priorities, &[1, 2, 3]);
        let others: Vec<_> = [1, 2, 3].into_iter().filter(|task| *task != highest).collect();
        for place in 0..3 {
            let mut order = others.clone();
            order.insert(place, highest);
            assert_eq!(pick(&mut priorities, &order), highest);
        }
        assert_eq!(pick(&mut priorities, &[others[0]]), others[0], "who is alone goes");
    }

    /// As in the paper: the place to which one falls is drawn with the poll at which that happens, so of two that fell
    /// either may be the lower one.
    #[test]
    fn one_falls_at_each_change_to_a_place_of_its_own() {
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut priorities = priorities(seed, 3, 20);
            let picks: Vec<_> = (0..20).map(|_| pick(&mut priorities, &[1, 2, 3])).collect();
            let mut changes = picks.clone();
            changes.dedup();
            assert!(changes.len() <= 3, "it changes at two polls: {picks:?}");
            if let [(first, place), (second, other)] = priorities.fallen[..] {
                assert_ne!(first, second);
                orders.insert(place < other);
            }
        }
        assert_eq!(orders.len(), 2, "either is the lower one");
    }

    /// Two that wake each other, and one that is lower than both: it goes, though they never rest.
    #[test]
    fn nobody_is_passed_over_for_ever() {
        for seed in 0..50 {
            let mut priorities = priorities(seed, 1, 1);
            let mut ready = vec![1, 2, 3];
            let mut last_turns = [0; 4];
            for turn in 0..2_000 {
                let task = pick(&mut priorities, &ready);
                ready.retain(|other| *other != task);
                ready.push(task);
                last_turns[usize::try_from(task).unwrap()] = turn;
            }
            assert!(last_turns[1..].iter().all(|turn| *turn > 1_700), "{last_turns:?}");
        }
    }
}
