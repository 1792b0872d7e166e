//! What a shard counts of its jobs.
//!
//! A shard sees when a job is submitted and when it learns of its end; the driver tells with the end how long it waited
//! for a thread and how long that was at it. Nobody samples a queue: how many jobs wait on average is the growth of
//! `wait_sum` in a second, and how many threads work is that of `run_sum` (Little's law).

use core::time::Duration;
use std::sync::Arc;

use crate::driver::Lane;
use crate::metrics::Counter;

/// The live counters of one shard's jobs, by lane. Clones are handles to the same ones.
#[derive(Clone, Debug, Default)]
pub struct OffloadMetrics {
    lanes: Arc<[LaneMetrics; Lane::ALL.len()]>,
}

impl OffloadMetrics {
    pub(super) fn lane(&self, lane: Lane) -> &LaneMetrics {
        &self.lanes[lane as usize]
    }

    /// All counters, read one after the other.
    #[must_use]
    pub fn snapshot(&self) -> OffloadSnapshot {
        OffloadSnapshot { lanes: Lane::ALL.map(|lane| self.lane(lane).snapshot()) }
    }
}

/// The counters of one lane.
#[derive(Debug, Default)]
pub(super) struct LaneMetrics {
    submitted: Counter,
    refused: Counter,
    cancelled: Counter,
    ended: Counter,
    under_way: Counter,
    wait_sum: Counter,
    wait_max: Counter,
    run_sum: Counter,
}

impl LaneMetrics {
    pub(super) fn began(&self) {
        self.submitted.add(1);
        self.under_way.add(1);
    }

    pub(super) fn refused(&self) {
        self.refused.add(1);
    }

    pub(super) fn cancelled(&self) {
        self.cancelled.add(1);
        self.under_way.sub(1);
    }

    pub(super) fn ended(&self, waited: Duration, ran: Duration) {
        self.ended.add(1);
        self.under_way.sub(1);
        let waited = nanos(waited);
        self.wait_sum.add(waited);
        self.wait_max.set(self.wait_max.load().max(waited));
        self.run_sum.add(nanos(ran));
    }

    pub(super) fn under_way(&self) -> u64 {
        self.under_way.load()
    }

    fn snapshot(&self) -> LaneSnapshot {
        LaneSnapshot {
            submitted: self.submitted.load(),
            refused: self.refused.load(),
            cancelled: self.cancelled.load(),
            ended: self.ended.load(),
            under_way: self.under_way.load(),
            wait_sum: Duration::from_nanos(self.wait_sum.load()),
            wait_max: Duration::from_nanos(self.wait_max.load()),
            run_sum: Duration::from_nanos(self.run_sum.load()),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The counters of one or more shards' jobs at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadSnapshot {
    /// By lane, in the order of [`Lane::ALL`].
    pub lanes: [LaneSnapshot; Lane::ALL.len()],
}

impl OffloadSnapshot {
    /// Those of one lane.
    #[must_use]
    pub const fn lane(&self, lane: Lane) -> &LaneSnapshot {
        &self.lanes[lane as usize]
    }

    /// Adds the counters of another shard; of `wait_max` the larger remains.
    pub fn merge(&mut self, other: &Self) {
        for (lane, other) in self.lanes.iter_mut().zip(&other.lanes) {
            lane.merge(other);
        }
    }
}

/// The counters of one lane at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneSnapshot {
    /// Jobs that the driver took.
    pub submitted: u64,
    /// Jobs whose callers were refused, for the queue was full and they or the line not patient enough.
    pub refused: u64,
    /// Jobs whose callers went away before the end.
    pub cancelled: u64,
    /// Jobs whose outcome arrived.
    pub ended: u64,
    /// Jobs that wait for a thread, run, or have an outcome that was not yet taken: depth and running together.
    pub under_way: u64,
    /// Sum of what the jobs that ended had waited for a thread.
    pub wait_sum: Duration,
    /// The most that any of them had.
    pub wait_max: Duration,
    /// Sum of what threads were at them.
    pub run_sum: Duration,
}

impl LaneSnapshot {
    fn merge(&mut self, other: &Self) {
        self.submitted += other.submitted;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.ended += other.ended;
        self.under_way += other.under_way;
        self.wait_sum += other.wait_sum;
        self.wait_max = self.wait_max.max(other.wait_max);
        self.run_sum += other.run_sum;
    }
}
