//! The conformance cases, on rough hosts that one seed decides: what the executor offers, over as many seeds as one likes.

use mainspring_sim::harness::Scenario;

use crate::conformance::simulate_all;

/// See the file.
pub(super) const CONFORMANCE: Scenario = Scenario::new(
    "conformance",
    "the conformance cases on a rough machine (of the long ones, one a seed), with edges as they come and disturbed",
    simulate_all,
);
