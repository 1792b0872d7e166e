//! `Specimen`: a service with a bug, and its twin without.

use mainspring_sim::harness::Scenario;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// With the bug.
    Buggy,
    /// Without.
    Fixed,
}

impl Twin {
    pub(crate) fn is_fixed(self) -> bool {
        self == Self::Fixed
    }
}

/// A small service with one bug, and its twin without.
#[derive(Clone, Copy, Debug)]
pub struct Specimen {
    /// The service with its bug, which some runs show.
    pub bug: Scenario,
    /// Its twin, which holds in every run.
    pub fixed: Scenario,
    /// What it takes to show the bug, in a few words: what the search has to draw.
    pub search: &'static str,
    /// Where such a bug was met: an issue of a real project, a paper; empty where it is common knowledge.
    pub source: &'static str,
}

/// What repeats a failure of a specimen.
pub(crate) const COMMAND: &str = "cargo run --release --bin zoo --";

/// A specimen by that name, which has that bug; `run` runs one of its twins.
macro_rules! specimen {
    ($name:literal, $about:literal, search: $search:literal, source: $source:literal, $run:path $(,)?) => {
        $crate::specimen::Specimen {
            bug: mainspring_sim::harness::Scenario {
                command: $crate::specimen::COMMAND,
                ..mainspring_sim::harness::Scenario::new($name, $about, |setup| {
                    $run(setup, $crate::specimen::Twin::Buggy)
                })
                .planted()
            },
            fixed: mainspring_sim::harness::Scenario {
                command: $crate::specimen::COMMAND,
                ..mainspring_sim::harness::Scenario::new(
                    concat!($name, "-fixed"),
                    concat!("the twin without: ", $about),
                    |setup| $run(setup, $crate::specimen::Twin::Fixed),
                )
            },
            search: $search,
            source: $source,
        }
    };
}
pub(crate) use specimen;
