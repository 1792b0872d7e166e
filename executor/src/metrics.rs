//! The counters of a shard: always on, written by one thread, read by any.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

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

/// Upper bounds of the buckets of loop lag; a last bucket takes what is beyond.
pub const LAG_BOUNDS: [Duration; 8] = [
    Duration::from_micros(50),
    Duration::from_micros(200),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// The live counters of one shard. May be kept and read from any thread, also after the shard has ended.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) turns: Counter,
    pub(crate) polls: Counter,
    pub(crate) tasks_spawned: Counter,
    pub(crate) tasks_live: Counter,
    pub(crate) panics_unjoined: Counter,
    pub(crate) sources_live: Counter,
    pub(crate) timers_armed: Counter,
    pub(crate) ready_depth: Counter,
    pub(crate) lag_last: Counter,
    pub(crate) lag_sum: Counter,
    pub(crate) lag_buckets: [Counter; LAG_BOUNDS.len() + 1],
}

impl Metrics {
    /// Notes for how long a turn kept its thread away from new events.
    pub(crate) fn record_lag(&self, lag: Duration) {
        let nanos = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
        self.lag_last.set(nanos);
        self.lag_sum.add(nanos);
        let bucket = LAG_BOUNDS.iter().position(|bound| lag <= *bound).unwrap_or(LAG_BOUNDS.len());
        self.lag_buckets[bucket].add(1);
    }

    /// All counters, read one after the other.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            turns: self.turns.load(),
            polls: self.polls.load(),
            tasks_spawned: self.tasks_spawned.load(),
            tasks_live: self.tasks_live.load(),
            panics_unjoined: self.panics_unjoined.load(),
            sources_live: self.sources_live.load(),
            timers_armed: self.timers_armed.load(),
            ready_depth: self.ready_depth.load(),
            lag_last: Duration::from_nanos(self.lag_last.load()),
            lag_sum: Duration::from_nanos(self.lag_sum.load()),
            lag_buckets: core::array::from_fn(|bucket| self.lag_buckets[bucket].load()),
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
    /// Open sockets, files, jobs and signal subscriptions.
    pub sources_live: u64,
    /// Timers armed.
    pub timers_armed: u64,
    /// Tasks that were ready when the last turn began to run them.
    pub ready_depth: u64,
    /// Loop lag of the last turn: for how long it kept the thread away from new events.
    pub lag_last: Duration,
    /// Sum of the lag of all turns.
    pub lag_sum: Duration,
    /// How many turns had a lag up to each of [`LAG_BOUNDS`] (and above the bound before); the last is beyond all.
    pub lag_buckets: [u64; LAG_BOUNDS.len() + 1],
}

impl MetricsSnapshot {
    /// Adds the counters of another shard; `lag_last` becomes the larger of the two.
    pub fn merge(&mut self, other: &Self) {
        self.turns += other.turns;
        self.polls += other.polls;
        self.tasks_spawned += other.tasks_spawned;
        self.tasks_live += other.tasks_live;
        self.panics_unjoined += other.panics_unjoined;
        self.sources_live += other.sources_live;
        self.timers_armed += other.timers_armed;
        self.ready_depth += other.ready_depth;
        self.lag_last = self.lag_last.max(other.lag_last);
        self.lag_sum += other.lag_sum;
        for (bucket, count) in self.lag_buckets.iter_mut().zip(other.lag_buckets) {
            *bucket += count;
        }
    }
}
