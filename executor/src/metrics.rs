//! The counters of a shard: always on, written by one thread, read by any.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::sync::Arc;

use crate::heartbeat::Heartbeat;

/// A counter or gauge that one thread writes and any may read.
///
/// A plain load and store instead of an atomic add: a tenth of the cost, and enough with one writer. A second writer
/// would lose counts, nothing worse.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Takes from it.
    pub fn sub(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(count), Relaxed);
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many buckets a [`Histogram`] has.
const BUCKETS: usize = 32;

/// Durations by size, in buckets that double: bucket `n` counts those below 2ⁿ microseconds that the one before does
/// not; the last takes what is beyond. One thread writes, any may read.
///
/// Twice the bound is the worst error, and recording is a count of leading zeros and three stores.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    /// In nanoseconds.
    sum: Counter,
    last: Counter,
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.last.set(nanos);
        self.sum.add(nanos);
        self.buckets[bucket(nanos)].add(1);
    }

    /// Counts so many durations of nothing.
    pub(crate) fn record_zeros(&self, count: u64) {
        self.buckets[0].add(count);
    }

    fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: core::array::from_fn(|bucket| self.buckets[bucket].load()),
            sum: Duration::from_nanos(self.sum.load()),
            last: Duration::from_nanos(self.last.load()),
        }
    }
}

/// The bucket of a duration.
fn bucket(nanos: u64) -> usize {
    let micros = nanos / 1000;
    let bits = u64::BITS - micros.leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// How many durations fell into each bucket; see [`HistogramSnapshot::bound`].
    pub buckets: [u64; BUCKETS],
    /// All durations together.
    pub sum: Duration,
    /// The latest.
    pub last: Duration,
}

impl HistogramSnapshot {
    /// The upper bound of a bucket, which it does not include; `None` for the last, which has none.
    #[must_use]
    pub fn bound(bucket: usize) -> Option<Duration> {
        (bucket < BUCKETS - 1).then(|| Duration::from_micros(1 << bucket))
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many durations were below `bound`, which is one of the bounds.
    #[must_use]
    pub fn below(&self, bound: Duration) -> u64 {
        let is_below = |bucket: &usize| Self::bound(*bucket).is_some_and(|upper| upper <= bound);
        (0..BUCKETS).filter(is_below).map(|bucket| self.buckets[bucket]).sum()
    }

    fn merge(&mut self, other: &Self) {
        for (bucket, count) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += count;
        }
        self.sum += other.sum;
        self.last = self.last.max(other.last);
    }
}

/// Why a task ended before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CancelReason {
    /// [`JoinHandle::abort`](crate::JoinHandle::abort).
    Aborted,
    /// Its scope was dropped or cancelled.
    Scope,
    /// Another task of its scope failed.
    Sibling,
    /// The deadline of its scope passed.
    Deadline,
    /// Its shard ended.
    Shutdown,
}

impl CancelReason {
    /// All of them, in the order of [`MetricsSnapshot::cancelled`].
    pub const ALL: [Self; 5] =
        [Self::Aborted, Self::Scope, Self::Sibling, Self::Deadline, Self::Shutdown];

    /// In a word, as metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Scope => "scope",
            Self::Sibling => "sibling",
            Self::Deadline => "deadline",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The live counters of one shard. May be kept and read from any thread, also after the shard has ended.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) turns: Counter,
    pub(crate) polls: Counter,
    pub(crate) tasks_spawned: Counter,
    pub(crate) tasks_live: Counter,
    pub(crate) panics_unjoined: Counter,
    pub(crate) errors_unheard: Counter,
    pub(crate) promises_broken: Counter,
    pub(crate) shields_live: Counter,
    pub(crate) shields_left: Counter,
    pub(crate) shields_cut: Counter,
    pub(crate) cancelled: [Counter; CancelReason::ALL.len()],
    pub(crate) budget_yields: Counter,
    pub(crate) sources_live: Counter,
    pub(crate) timers_armed: Counter,
    pub(crate) ready_depth: Counter,
    pub(crate) tasks_ready: Counter,
    pub(crate) loop_lag: Histogram,
    pub(crate) schedule_delay: Histogram,
    pub(crate) poll_time: Histogram,
    /// Has a count of its own, for others than the shard report.
    pub(crate) heartbeat: Arc<Heartbeat>,
}

impl Metrics {
    /// All counters, read one after the other.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            turns: self.turns.load(),
            polls: self.polls.load(),
            tasks_spawned: self.tasks_spawned.load(),
            tasks_live: self.tasks_live.load(),
            panics_unjoined: self.panics_unjoined.load(),
            errors_unheard: self.errors_unheard.load(),
            promises_broken: self.promises_broken.load(),
            shields_live: self.shields_live.load(),
            shields_left: self.shields_left.load(),
            shields_cut: self.shields_cut.load(),
            cancelled: core::array::from_fn(|reason| self.cancelled[reason].load()),
            budget_yields: self.budget_yields.load(),
            sources_live: self.sources_live.load(),
            timers_armed: self.timers_armed.load(),
            ready_depth: self.ready_depth.load(),
            tasks_ready: self.tasks_ready.load(),
            tasks_running: u64::from(self.heartbeat.pulse().is_some()),
            stalls: self.heartbeat.stalls(),
            loop_lag: self.loop_lag.snapshot(),
            schedule_delay: self.schedule_delay.snapshot(),
            poll_time: self.poll_time.snapshot(),
        }
    }
}

/// The counters of a shard at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Turns of the loop.
    pub turns: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Tasks spawned so far.
    pub tasks_spawned: u64,
    /// Tasks that have not ended.
    pub tasks_live: u64,
    /// Panics of tasks that nobody joined.
    pub panics_unjoined: u64,
    /// Errors in scopes that nobody was told of: another failure came first, or the scope was dropped.
    pub errors_unheard: u64,
    /// Times that an [`always!`](crate::always), [`never!`](crate::never) or [`eventually!`](crate::eventually) did not hold.
    pub promises_broken: u64,
    /// Shielded sections that have not ended.
    pub shields_live: u64,
    /// Shielded sections that went on after who awaited them was gone.
    pub shields_left: u64,
    /// Shielded sections that were dropped before their end: their time was over, or their shard was shut down.
    pub shields_cut: u64,
    /// Tasks that ended before their future was ready, by [`CancelReason`].
    pub cancelled: [u64; CancelReason::ALL.len()],
    /// Polls that ended because they had got enough done.
    pub budget_yields: u64,
    /// Open sockets, files, jobs and signal subscriptions.
    pub sources_live: u64,
    /// Timers armed.
    pub timers_armed: u64,
    /// Tasks that were ready when the last turn began to run them.
    pub ready_depth: u64,
    /// Tasks that are ready: as of the beginning or the end of the last batch of polls, whichever was later.
    pub tasks_ready: u64,
    /// Tasks that are being polled: of one shard, one or none.
    pub tasks_running: u64,
    /// Polls that were reported as longer than the budget of the machine; see
    /// [`Driver::watch`](crate::driver::Driver::watch).
    pub stalls: u64,
    /// For how long each turn kept its thread away from new events.
    pub loop_lag: HistogramSnapshot,
    /// For how long each task was ready before it was polled, to the turn.
    pub schedule_delay: HistogramSnapshot,
    /// How long polls took: those of one turn in sixteen.
    pub poll_time: HistogramSnapshot,
}

impl MetricsSnapshot {
    /// Tasks that wait to be woken: those alive that neither run nor are ready.
    #[must_use]
    pub fn tasks_waiting(&self) -> u64 {
        self.tasks_live.saturating_sub(self.tasks_ready).saturating_sub(self.tasks_running)
    }

    /// Adds the counters of another shard; the latest of a histogram becomes the larger of the two.
    pub fn merge(&mut self, other: &Self) {
        self.turns += other.turns;
        self.polls += other.polls;
        self.tasks_spawned += other.tasks_spawned;
        self.tasks_live += other.tasks_live;
        self.panics_unjoined += other.panics_unjoined;
        self.errors_unheard += other.errors_unheard;
        self.promises_broken += other.promises_broken;
        self.shields_live += other.shields_live;
        self.shields_left += other.shields_left;
        self.shields_cut += other.shields_cut;
        for (count, more) in self.cancelled.iter_mut().zip(other.cancelled) {
            *count += more;
        }
        self.budget_yields += other.budget_yields;
        self.sources_live += other.sources_live;
        self.timers_armed += other.timers_armed;
        self.ready_depth += other.ready_depth;
        self.tasks_ready += other.tasks_ready;
        self.tasks_running += other.tasks_running;
        self.stalls += other.stalls;
        self.loop_lag.merge(&other.loop_lag);
        self.schedule_delay.merge(&other.schedule_delay);
        self.poll_time.merge(&other.poll_time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for nanos in [0, 1, 999, 1000, 1001, 1999, 2000, 1_000_000, 3_600_000_000_000, u64::MAX] {
            let bucket = bucket(nanos);
            let duration = Duration::from_nanos(nanos);
            assert!(HistogramSnapshot::bound(bucket).is_none_or(|bound| duration < bound));
            let before = bucket.checked_sub(1).and_then(HistogramSnapshot::bound);
            assert!(before.is_none_or(|bound| duration >= bound));
        }
    }

    #[test]
    fn a_histogram_counts_and_sums() {
        let histogram = Histogram::default();
        for micros in [0, 3, 3, 900] {
            histogram.record(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 4);
        assert_eq!(snapshot.sum, Duration::from_micros(906));
        assert_eq!(snapshot.last, Duration::from_micros(900));
        assert_eq!(snapshot.below(Duration::from_micros(4)), 3);
    }
}
