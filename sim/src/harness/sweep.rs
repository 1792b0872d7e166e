//! `Sweep`: many seeds of one scenario, each twice.

use core::ops::{ControlFlow, Range};
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use super::{Kinds, Run, Scenario, ScenarioFailure, Setup, SweepCoverage};
use crate::quiet;

/// So many seeds are run once before the first of them is run again.
const BETWEEN: u64 = 8;

/// So many failures are kept of a sweep: who has more of them looks at their kinds.
const FAILURES_MAX: usize = 1000;

/// What became of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Seeds that were run, each of them twice.
    pub seed_count: u64,
    /// Requests that were answered, in the first run of each seed.
    pub request_count: u64,
    /// Turns and network events, in the first run of each seed.
    pub event_count: u64,
    /// Seeds that failed.
    pub failure_count: u64,
    /// The failures of the least seeds, 1,000 at most, by seed.
    pub failures: Vec<ScenarioFailure>,
    /// All failures, by what makes them what they are.
    pub kinds: Kinds,
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
            Err(failure) => self.add_failure(failure),
        }
    }

    pub(super) fn add_failure(&mut self, failure: ScenarioFailure) {
        self.failure_count += 1;
        self.kinds.add(&failure);
        self.failures.push(failure);
    }

    /// That of other seeds of the scenario counts as well.
    pub(super) fn merge(&mut self, other: Self) {
        self.seed_count += other.seed_count;
        self.request_count += other.request_count;
        self.event_count += other.event_count;
        self.hash = self.hash.wrapping_add(other.hash);
        self.failure_count += other.failure_count;
        self.kinds.merge(other.kinds);
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failure| failure.seed);
        self.failures.truncate(FAILURES_MAX);
        self.coverage.merge(other.coverage);
    }
}

/// Takes the next seeds of those that are left; none where none is.
fn take_block(left: &mut Vec<Range<u64>>) -> Range<u64> {
    while let Some(first) = left.first_mut() {
        let from = first.start;
        first.start = from.saturating_add(BETWEEN).min(first.end).max(from);
        let block = from..first.start;
        if first.is_empty() {
            left.remove(0);
        }
        if !block.is_empty() {
            return block;
        }
    }
    0..0
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Scenario<F> {
    /// Runs each seed of a range twice, on all cores; between the two runs of a seed its thread runs others, so that what a
    /// run leaves behind in a process shows. A failure that only one of them has says so.
    ///
    /// # Panics
    /// When a worker does outside of a run.
    #[must_use]
    pub fn sweep(&self, seeds: Range<u64>) -> Sweep {
        let total = Mutex::new(Sweep::default());
        self.sweep_with(vec![seeds], &|_, block| {
            total.lock().expect("no worker panics with it").merge(block);
            ControlFlow::Continue(())
        });
        let mut total = total.into_inner().expect("no worker panics with it");
        total.findings = total.coverage.findings(self.expected);
        total
    }

    /// [`Scenario::sweep`] over several ranges, in which `watch` is told of each few seeds that are done and what became of them, by the
    /// thread that ran them, and ends the sweep by `Break`: then no more are begun. A block has no [findings](Sweep::findings).
    ///
    /// # Panics
    /// When a worker does outside of a run, or `watch`.
    #[expect(clippy::disallowed_methods, reason = "each run is on one thread; they share nothing")]
    pub fn sweep_with(
        &self,
        seeds: Vec<Range<u64>>,
        watch: &(dyn Fn(Range<u64>, Sweep) -> ControlFlow<()> + Sync),
    ) {
        let (left, is_over) = (Mutex::new(seeds), AtomicBool::new(false));
        let workers = std::thread::available_parallelism().map_or(1, core::num::NonZeroUsize::get);
        let work = || {
            while !is_over.load(Ordering::Relaxed) {
                let seeds = take_block(&mut left.lock().expect("no worker panics with it"));
                if seeds.is_empty() {
                    break;
                }
                if watch(seeds.clone(), self.sweep_block(seeds)).is_break() {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        };
        let is_quiet = quiet::is_quiet();
        std::thread::scope(|threads| {
            for _ in 0..workers {
                threads.spawn(|| quiet::with(is_quiet, work));
            }
        });
    }

    fn sweep_block(&self, seeds: Range<u64>) -> Sweep {
        let firsts: Vec<_> = seeds.clone().map(|seed| self.run_first(seed)).collect();
        let mut block = Sweep::default();
        for (seed, first) in seeds.zip(firsts) {
            block.add(self.run_again(seed, first));
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seeds: Range<u64>, expected: &[Range<u64>]) {
        check_all(vec![seeds], expected);
    }

    #[track_caller]
    fn check_all(mut seeds: Vec<Range<u64>>, expected: &[Range<u64>]) {
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
        check_all(vec![], &[]);
        check_all(vec![0..0, 3..5, 7..7, 8..17], &[3..5, 8..16, 16..17]);
    }
}
