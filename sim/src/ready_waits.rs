//! `ReadyWaits`: how long the tasks of a shard were ready before they were picked, of which it keeps the longest.

use core::panic::Location;
use core::time::Duration;
use std::collections::VecDeque;

use mainspring_executor::driver::TaskId;

/// What the picks of a shard have shown, in this life and those before.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadyWaits {
    /// By time, and by polls.
    pub(crate) longest: Option<Pick>,
    pub(crate) most_passed_over: Option<Pick>,
}

/// A ready task that was picked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    pub(crate) task: TaskId,
    pub(crate) origin: &'static Location<'static>,
    pub(crate) polls: u64,
    pub(crate) time: Duration,
}

impl ReadyWaits {
    #[inline]
    pub(crate) fn note(&mut self, pick: Pick) {
        if self.longest.is_none_or(|longest| pick.time > longest.time) {
            self.longest = Some(pick);
        }
        if self.most_passed_over.is_none_or(|most| pick.polls > most.polls) {
            self.most_passed_over = Some(pick);
        }
    }
}

/// When each task in a run queue came, counted in picks. It follows the queue: tasks come at its end, and one goes with each pick.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    picks: u64,
    queue: VecDeque<u64>,
}

impl Arrivals {
    /// So many are ready. Gives how many of them it has met before.
    pub(crate) fn meet(&mut self, ready: usize) -> usize {
        let known = self.queue.len();
        assert!(known <= ready, "tasks leave the queue by being picked");
        self.queue.resize(ready, self.picks);
        known
    }

    /// The task at `position` of so many that are ready is picked. Says how many were since it came.
    pub(crate) fn pick(&mut self, ready: usize, position: usize) -> u64 {
        self.meet(ready);
        let came = self.queue.remove(position).expect("it was picked from the queue");
        let polls = self.picks - came;
        self.picks += 1;
        polls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_count_the_picks_of_others() {
        let mut arrivals = Arrivals::default();
        // a, b, c: c goes; d comes; b, a, d go.
        assert_eq!(arrivals.pick(3, 2), 0);
        assert_eq!(arrivals.pick(3, 1), 1);
        assert_eq!(arrivals.pick(2, 0), 2);
        assert_eq!(arrivals.pick(1, 0), 2, "it came when one had gone");
    }
}
