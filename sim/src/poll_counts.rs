//! `PollCounts`: how often the tasks of each spawn site were polled. Whoever counts fills it, and whoever estimates asks it.

use core::panic::Location;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often the tasks that are spawned at a place are polled, in the mean, with all tasks that they spawn: what
/// [`Order::Urw`](crate::Order::Urw) takes for the polls to come. Each shard has counts of its own, by its name.
///
/// Taken from a run that counts ([`WorldConfig::counts_polls`](crate::WorldConfig::counts_polls)) by
/// [`World::poll_counts`](crate::World::poll_counts). An empty one expects one poll of everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollCounts(Arc<BTreeMap<String, Sites>>);

type Sites = BTreeMap<&'static Location<'static>, Count>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    tasks: u64,
    polls: u64,
}

impl PollCounts {
    /// A task of this shard has ended, or the run has: so often it was polled, with all that it spawned.
    pub(crate) fn add(&mut self, shard: &str, site: &'static Location<'static>, polls: u64) {
        let shards = Arc::make_mut(&mut self.0);
        let count = shards.entry(shard.to_owned()).or_default().entry(site).or_default();
        count.tasks += 1;
        count.polls += polls;
    }

    /// Those of another world of the run count as well.
    pub(crate) fn merge(&mut self, other: &Self) {
        let shards = Arc::make_mut(&mut self.0);
        for (shard, sites) in &*other.0 {
            let into = shards.entry(shard.clone()).or_default();
            for (site, count) in sites {
                let sum = into.entry(site).or_default();
                sum.tasks += count.tasks;
                sum.polls += count.polls;
            }
        }
    }

    /// What is expected of a task that was spawned there: at least 1.
    #[must_use]
    pub fn expected(&self, shard: &str, site: &Location<'static>) -> u64 {
        let count = self.0.get(shard).and_then(|sites| sites.get(site));
        count.map_or(1, |count| count.polls.div_ceil(count.tasks).max(1))
    }
}
