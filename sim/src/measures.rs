//! What a `World` can tell of a run beyond how it ended: who waited, what took how long, who has more and more memory.

use mainspring_executor::TaskId;

use crate::event::ShardId;
use crate::fairness::Fairness;
use crate::latencies::Latencies;
use crate::memory::MemoryGrowth;
use crate::world::World;

impl World {
    /// An empty list of how long requests took, by the clock of this room.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        Latencies::new(&self.room)
    }

    /// Notes how many bytes of each host are alive, at the end of a phase of the scenario. See [`World::memory_growth`].
    ///
    /// # Panics
    /// As [`Host::bytes_live`](crate::Host::bytes_live).
    pub fn note_memory(&self) {
        self.memory.borrow_mut().note(&self.hosts.borrow());
    }

    /// The hosts that had more bytes alive at each [`World::note_memory`] than at the one before. Where each phase does the same
    /// that is a leak: what grows to its size, as lists and caches do, stops. The first phase, up to the first note, is to warm up.
    ///
    /// # Panics
    /// With fewer than four notes: two phases that grow are a coincidence.
    #[must_use]
    pub fn memory_growth(&self) -> Vec<MemoryGrowth> {
        self.memory.borrow().growth(&self.hosts.borrow())
    }

    /// The longest that ready tasks waited for their turn, and that anybody stood in line, so far. What is known of a line is of
    /// the present lives of programs only.
    #[must_use]
    pub fn fairness(&self) -> Fairness {
        let mut fairness = Fairness::default();
        for host in &*self.hosts.borrow() {
            let waits = self.room.borrow().shard(host.shard_id).ready_waits.clone();
            fairness.add(host, &waits);
        }
        fairness
    }

    /// Who was polled most, where an instant did not end.
    pub(crate) fn busiest(&self) -> String {
        let room = self.room.borrow();
        let Some(busy) = &room.busy else { return String::new() };
        let name = |shard: ShardId, task: TaskId| {
            let host = self.host_of(shard);
            let dump = host.seat.shard().dump();
            let name = dump.task(task).and_then(|task| task.name.as_deref());
            let name = name.map(|name| format!(" '{name}'")).unwrap_or_default();
            format!("{task}{name} of {}", host.name())
        };
        let half = room.config.events_per_instant_max / 2;
        format!("after the first {half} events of this instant:\n{}", busy.lines(name))
    }
}
