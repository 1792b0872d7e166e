//! `Explored`: all orders of one seed with few delays.

use super::{Scenario, ScenarioFailure};
use crate::{Order, Orders};

/// What came of enumerating orders.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Orders that were run.
    pub run_count: u64,
    /// All that there are within the bound were run.
    pub is_exhausted: bool,
    /// The first that does not hold.
    pub failure: Option<ScenarioFailure>,
}

impl Scenario {
    /// Runs all orders of a seed with at most `delays_max` delays, see [`Orders`]; at most so many runs, up to the first that
    /// does not hold.
    #[must_use]
    pub fn explore(&self, seed: u64, delays_max: u64, runs_max: u64) -> Explored {
        // Orders are choices of a run in which they are drawn, and its tape is one of such a run.
        let drawn = Self { order: Some(Order::Random), ..*self };
        let mut run_count = 0;
        for source in Orders::new(seed, delays_max) {
            if run_count == runs_max {
                return Explored { run_count, is_exhausted: false, failure: None };
            }
            run_count += 1;
            if let Err(failure) = drawn.run_recorded(source).0 {
                return Explored { run_count, is_exhausted: false, failure: Some(failure) };
            }
        }
        Explored { run_count, is_exhausted: true, failure: None }
    }
}
