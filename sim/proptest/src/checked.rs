//! `Checked`: what the runs of a property that holds did.

use mainspring_sim::harness::{Run, SweepCoverage};

/// Of the first run of each seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Seeds that were run, each of them twice.
    pub seed_count: u64,
    /// Requests that were answered.
    pub request_count: u64,
    /// Turns and network events.
    pub event_count: u64,
    /// All hashes together: equal for equal plans in equal rooms.
    pub hash: u64,
    /// What the runs have reached: which faults, which sites of the programs.
    pub coverage: SweepCoverage,
}

impl Checked {
    pub(crate) fn add(&mut self, run: &Run) {
        self.seed_count += 1;
        self.request_count += run.request_count;
        self.event_count += run.event_count;
        self.hash = self.hash.wrapping_add(run.trace_hash);
        self.coverage.add(&run.coverage);
    }
}
