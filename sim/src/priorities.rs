//! `Priorities`: the tasks of a shard in the order of PCT. It knows tasks by their numbers only.

use std::collections::{BTreeSet, VecDeque};

use mainspring_executor::driver::TaskId;
use rand::Rng;
use rand_pcg::Pcg64Mcg;

use crate::choice::splitmix64;

/// One that goes so often in a row while others are ready falls behind: as often as a machine polls before it looks again at
/// what else there is.
const IN_A_ROW_MAX: u32 = 64;

/// So many that fell behind are remembered; the first of them rises again.
const FALLEN_MAX: usize = 64;

/// See [`Order::Pct`](crate::Order::Pct).
#[derive(Debug)]
pub(crate) struct Priorities {
    /// Whatever a task's number is made into a priority with: nothing has to be kept for tasks that have ended.
    key: u64,
    /// At which polls one falls behind.
    changes: BTreeSet<u64>,
    /// Who fell behind, the latest last.
    fallen: VecDeque<TaskId>,
    poll_count: u64,
    last: Option<TaskId>,
    in_a_row: u32,
}

impl Priorities {
    pub(crate) fn new(mut generator: Pcg64Mcg, depth: u32, polls: u64) -> Self {
        assert!(depth > 0 && polls > 0, "PCT has a depth and a number of polls");
        let changes = (1..depth).map(|_| generator.next_u64() % polls).collect();
        let key = generator.next_u64();
        let fallen = VecDeque::new();
        Self { key, changes, fallen, poll_count: 0, last: None, in_a_row: 0 }
    }

    /// The position of the one that goes.
    pub(crate) fn pick(&mut self, ready: impl ExactSizeIterator<Item = TaskId> + Clone) -> usize {
        let poll = self.poll_count;
        self.poll_count += 1;
        let mut highest = self.highest(ready.clone());
        let is_one_of_many = ready.len() > 1;
        if self.changes.remove(&poll) || (is_one_of_many && self.goes_on_and_on(highest.1)) {
            self.fall(highest.1);
            highest = self.highest(ready);
        }
        self.in_a_row = if self.last == Some(highest.1) { self.in_a_row + 1 } else { 1 };
        self.last = Some(highest.1);
        highest.0
    }

    fn goes_on_and_on(&self, task: TaskId) -> bool {
        self.last == Some(task) && self.in_a_row >= IN_A_ROW_MAX
    }

    fn highest(&self, ready: impl Iterator<Item = TaskId>) -> (usize, TaskId) {
        let highest = ready.enumerate().max_by_key(|(_, task)| self.priority(*task));
        highest.expect("a schedule is never asked about no tasks")
    }

    /// Who has not fallen is above all who have; of these the latest is the lowest.
    fn priority(&self, task: TaskId) -> (bool, u64, TaskId) {
        let fallen = self.fallen.iter().rev().position(|fallen| *fallen == task);
        match fallen {
            Some(above) => (false, above as u64, task),
            None => (true, splitmix64(self.key ^ task.0), task),
        }
    }

    fn fall(&mut self, task: TaskId) {
        self.fallen.retain(|fallen| *fallen != task);
        self.fallen.push_back(task);
        if self.fallen.len() > FALLEN_MAX {
            self.fallen.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priorities(depth: u32, polls: u64) -> Priorities {
        Priorities::new(Pcg64Mcg::new(7), depth, polls)
    }

    fn tasks(numbers: &[u64]) -> impl ExactSizeIterator<Item = TaskId> + Clone {
        numbers.iter().map(|number| TaskId(*number))
    }

    #[test]
    fn the_highest_goes_wherever_it_stands() {
        let mut priorities = priorities(1, 1000);
        let highest = [1, 2, 3][priorities.pick(tasks(&[1, 2, 3]))];
        let others: Vec<_> = [1, 2, 3].into_iter().filter(|task| *task != highest).collect();
        for place in 0..3 {
            let mut order = others.clone();
            order.insert(place, highest);
            assert_eq!(priorities.pick(tasks(&order)), place);
        }
        assert_eq!(priorities.pick(tasks(&[others[0]])), 0, "who is alone goes");
    }

    #[test]
    fn one_falls_behind_at_each_change() {
        // All of the changes come at the first poll, and are one.
        let mut priorities = priorities(9, 1);
        let second = priorities.pick(tasks(&[1, 2, 3]));
        for _ in 0..IN_A_ROW_MAX - 1 {
            assert_eq!(priorities.pick(tasks(&[1, 2, 3])), second);
        }
        let third = priorities.pick(tasks(&[1, 2, 3]));
        assert_ne!(third, second, "it went 64 times");
        let first = (0..3).find(|place| ![second, third].contains(place)).unwrap();
        assert_eq!(priorities.fallen, [first, second].map(|place| TaskId([1, 2, 3][place])));
    }

    #[test]
    fn who_is_alone_may_go_on() {
        let mut priorities = priorities(1, 1);
        for _ in 0..1000 {
            assert_eq!(priorities.pick(tasks(&[5])), 0);
        }
        assert!(priorities.fallen.is_empty());
    }

    #[test]
    fn the_fallen_are_few() {
        let mut priorities = priorities(1, 1);
        for task in 0..200 {
            priorities.fall(TaskId(task));
            priorities.fall(TaskId(task));
        }
        assert_eq!(priorities.fallen.len(), FALLEN_MAX);
    }
}
