//! `Sweep`: many seeds of one scenario, each twice.

use core::ops::Range;
use std::sync::Mutex;

use super::{Run, Scenario, ScenarioFailure, SweepCoverage};

/// So many seeds are run once before the first of them is run again.
const BETWEEN: u64 = 8;

/// What became of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Seeds that were run, each of them twice.
    pub seed_count: u64,
    /// Requests that were answered, in the first run of each seed.
    pub request_count: u64,
    /// Turns and network events, in the first run of each seed.
    pub event_count: u64,
    /// By seed.
    pub failures: Vec<ScenarioFailure>,
    /// All hashes together, whatever the order of the seeds: equal for equal sweeps.
    pub hash: u64,
    /// What the runs have reached.
    pub coverage: SweepCoverage,
    /// What none has, and should: see [`SweepCoverage::findings`].
    pub findings: Vec<String>,
}

impl Sweep {
    fn add(&mut self, result: Result<Run, ScenarioFailure>) {
        self.seed_count += 1;
        match result {
            Ok(run) => {
                self.request_count += run.request_count;
                self.event_count += run.event_count;
                self.hash = self.hash.wrapping_add(run.trace_hash);
                self.coverage.add(&run.coverage);
            }
            Err(failure) => self.failures.push(failure),
        }
    }

    fn merge(&mut self, other: Self) {
        self.seed_count += other.seed_count;
        self.request_count += other.request_count;
        self.event_count += other.event_count;
        self.hash = self.hash.wrapping_add(other.hash);
        self.failures.extend(other.failures);
        self.coverage.merge(other.coverage);
    }
}

/// Takes the next seeds of those that are left; none where none is.
fn take_block(left: &mut Range<u64>) -> Range<u64> {
    let from = left.start;
    left.start = from.saturating_add(BETWEEN).min(left.end).max(from);
    from..left.start
}

impl Scenario {
    /// Runs each seed of a range twice, on all cores; between the two runs of a seed its thread runs others, so that what a
    /// run leaves behind in a process shows. A failure that only one of them has says so.
    ///
    /// # Panics
    /// When a worker does outside of a run.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "each run is on one thread; they share nothing")]
    pub fn sweep(&self, seeds: Range<u64>) -> Sweep {
        let left = Mutex::new(seeds);
        let total = Mutex::new(Sweep::default());
        let workers = std::thread::available_parallelism().map_or(1, core::num::NonZeroUsize::get);
        std::thread::scope(|threads| {
            for _ in 0..workers {
                threads.spawn(|| {
                    let mut part = Sweep::default();
                    loop {
                        let seeds = take_block(&mut left.lock().expect("no worker panics with it"));
                        if seeds.is_empty() {
                            break;
                        }
                        let firsts: Vec<_> =
                            seeds.clone().map(|seed| self.run_first(seed)).collect();
                        for (seed, first) in seeds.zip(firsts) {
                            part.add(self.run_again(seed, first));
                        }
                    }
                    total.lock().expect("no worker panics with it").merge(part);
                });
            }
        });
        let mut total = total.into_inner().expect("no worker panics with it");
        total.failures.sort_by_key(|failure| failure.seed);
        total.findings = total.coverage.findings(self.expected);
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mut seeds: Range<u64>, expected: &[Range<u64>]) {
        for block in expected {
            assert_eq!(take_block(&mut seeds), *block);
        }
        assert!(take_block(&mut seeds).is_empty(), "all are taken");
        assert!(take_block(&mut seeds).is_empty(), "and stay so");
    }

    #[test]
    fn each_seed_is_in_one_block() {
        check(0..0, &[]);
        #[expect(clippy::reversed_empty_ranges, reason = "a range may be empty so, too")]
        check(3..0, &[]);
        check(5..21, &[5..13, 13..21]);
        check(5..22, &[5..13, 13..21, 21..22]);
        let last = u64::MAX;
        check(last - 9..last, &[last - 9..last - 1, last - 1..last]);
    }
}
