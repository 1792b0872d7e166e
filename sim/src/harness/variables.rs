//! The variables of the environment by which a test that checks is told what to run.

/// How many seeds: a number goes before what the test says.
pub(super) const SEEDS: &str = "MAINSPRING_SEEDS";

/// A seed, a tape, or the name of a file with a tape, that is run alone, with all that happens.
pub(super) const REPLAY: &str = "MAINSPRING_REPLAY";

/// What a variable says, if it says anything.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
