//! `Peers`: the shards that were started together, as each of them sees the others.

use super::ShardHandle;

/// The shards of one program. Each has a copy of its own.
#[derive(Clone, Debug)]
pub struct Peers {
    handles: Vec<ShardHandle>,
    own: usize,
}

impl Peers {
    /// The view of the shard at `own` among `handles`.
    ///
    /// # Panics
    /// Where there is no such shard.
    #[must_use]
    pub fn new(handles: Vec<ShardHandle>, own: usize) -> Self {
        assert!(own < handles.len(), "a shard is one of its peers");
        Self { handles, own }
    }

    /// The place of this shard among them.
    #[must_use]
    pub fn own(&self) -> usize {
        self.own
    }

    /// All of them, this one included, in the order in which they were started.
    #[must_use]
    pub fn handles(&self) -> &[ShardHandle] {
        &self.handles
    }

    /// The place of the shard with the fewest tasks, the first of equals, if it has fewer by `lead` at least than this
    /// one. What others do is seen with a delay of a turn, so a lead of one would send work to and fro.
    #[must_use]
    pub fn less_loaded(&self, lead: u64) -> Option<usize> {
        let loads = self.handles.iter().map(ShardHandle::load);
        let (place, load) = loads.enumerate().min_by_key(|(_, load)| *load)?;
        let own = self.handles[self.own].load();
        (place != self.own && load.saturating_add(lead) <= own).then_some(place)
    }
}
