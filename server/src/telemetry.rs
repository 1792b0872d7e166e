//! `Telemetry`: the numbers of a process, gathered from its shards.
//!
//! Each shard counts by itself, without locks; whoever asks adds them up.

use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use mainspring_executor::{Counter, Metrics, MetricsSnapshot};

/// The counters of all shards of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    shards: Arc<Mutex<Vec<ShardCounters>>>,
}

#[derive(Debug)]
struct ShardCounters {
    stats: Arc<Stats>,
    executor: Arc<Metrics>,
}

/// What the servers of one shard count.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections_accepted: Counter,
    pub(crate) connections_handed_over: Counter,
    pub(crate) connections_open: Counter,
    pub(crate) requests: Counter,
    /// By the first digit of the status, from 1 to 5.
    pub(crate) responses: [Counter; 5],
    pub(crate) rejections: Counter,
    pub(crate) handler_panics: Counter,
    pub(crate) handlers_cancelled: Counter,
    pub(crate) handlers_detached: Counter,
    pub(crate) handlers_timed_out: Counter,
    pub(crate) upgrades: Counter,
    pub(crate) connections_refused: Counter,
}

impl Stats {
    pub(crate) fn count_response(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        // `StatusCode` allows up to 999; what is beyond the classes is nobody's.
        if let Some(counter) = class.checked_sub(1).and_then(|class| self.responses.get(class)) {
            counter.add(1);
        }
    }

    fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            connections_accepted: self.connections_accepted.load(),
            connections_handed_over: self.connections_handed_over.load(),
            connections_open: self.connections_open.load(),
            requests: self.requests.load(),
            responses: core::array::from_fn(|class| self.responses[class].load()),
            rejections: self.rejections.load(),
            handler_panics: self.handler_panics.load(),
            handlers_cancelled: self.handlers_cancelled.load(),
            handlers_detached: self.handlers_detached.load(),
            handlers_timed_out: self.handlers_timed_out.load(),
            upgrades: self.upgrades.load(),
            connections_refused: self.connections_refused.load(),
        }
    }
}

/// The counters of the servers at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Connections accepted so far.
    pub connections_accepted: u64,
    /// Those of them that another shard serves.
    pub connections_handed_over: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Requests whose head was good.
    pub requests: u64,
    /// Responses begun, by the first digit of the status, from 1 to 5.
    pub responses: [u64; 5],
    /// Requests refused for what the client did wrong, or for being too slow.
    pub rejections: u64,
    /// Handlers that panicked, and bodies of their responses that did.
    pub handler_panics: u64,
    /// Handlers dropped because the client went away.
    pub handlers_cancelled: u64,
    /// Handlers that went on without their connection when the client went away.
    pub handlers_detached: u64,
    /// Handlers dropped because they took too long.
    pub handlers_timed_out: u64,
    /// Connections that went over to another protocol.
    pub upgrades: u64,
    /// Connections closed at once because their peer had too many already.
    pub connections_refused: u64,
}

impl StatsSnapshot {
    fn merge(&mut self, other: &Self) {
        self.connections_accepted += other.connections_accepted;
        self.connections_handed_over += other.connections_handed_over;
        self.connections_open += other.connections_open;
        self.requests += other.requests;
        for (sum, count) in self.responses.iter_mut().zip(other.responses) {
            *sum += count;
        }
        self.rejections += other.rejections;
        self.handler_panics += other.handler_panics;
        self.handlers_cancelled += other.handlers_cancelled;
        self.handlers_detached += other.handlers_detached;
        self.handlers_timed_out += other.handlers_timed_out;
        self.upgrades += other.upgrades;
        self.connections_refused += other.connections_refused;
    }
}

impl Telemetry {
    /// No shards yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the current shard; gives its counters.
    pub(crate) fn add_shard(&self) -> Arc<Stats> {
        let stats = Arc::<Stats>::default();
        let executor = mainspring_executor::metrics();
        let counters = ShardCounters { stats: Arc::clone(&stats), executor };
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(counters);
        stats
    }

    /// The sums over all shards, and how many there are.
    #[must_use]
    pub fn snapshot(&self) -> (StatsSnapshot, MetricsSnapshot, usize) {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stats = StatsSnapshot::default();
        let mut executor = MetricsSnapshot::default();
        for shard in shards.iter() {
            stats.merge(&shard.stats.snapshot());
            executor.merge(&shard.executor.snapshot());
        }
        (stats, executor, shards.len())
    }
}
