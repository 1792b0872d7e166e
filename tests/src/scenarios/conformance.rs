//! The conformance cases, on rough hosts that one seed decides: what the executor offers, over as many seeds as one likes.

use crate::conformance::simulate_all;
use crate::scenario::Scenario;

/// See the file.
pub(super) const CONFORMANCE: Scenario = Scenario {
    name: "conformance",
    about: "the conformance cases on a rough machine (of the long ones, one a seed), with edges as they come and disturbed",
    is_planted: false,
    body: |setup| simulate_all(setup),
};
