//! `docs/REPORTS.md`: what is said of ten failures of the zoo.

use mainspring_sim::harness::Explained;

use crate::{Specimen, find};

/// Of each kind of bug one.
const CHOSEN: [&str; 10] = [
    "lost-wake",
    "lock-order",
    "futurelock",
    "dirty-lease",
    "zombie-task",
    "leaked-permit",
    "clock-jump",
    "cached-failure",
    "duplicate-datagram",
    "torn-record",
];

/// Seeds that a search may take.
const SEEDS: u64 = 10_000;

/// Runs that making a failure small may take.
const ATTEMPTS: u64 = 10_000;

/// Runs for each choice of a failure that is explained.
const RUNS: u64 = 200;

const HEAD: &str = "\
# Ten reports

What the simulator says of ten bugs of [the zoo](ZOO.md), as `run` and `explain` print it. Below each service is what failed, what has to go
wrong for it once everything else was taken away, and how often the run fails so once these choices are made and all behind them are drawn
anew: where that rises most, the failure was decided. Made by
`cargo run --release -p mainspring-zoo --bin zoo-reports > docs/REPORTS.md`; a test looks whether it is as the simulator has it.
";

/// The page.
///
/// # Panics
/// When one of them is not found, or does not come back.
#[must_use]
pub fn reports() -> String {
    let mut page = HEAD.to_owned();
    for name in CHOSEN {
        let specimen = find(name).expect("it is in the zoo");
        page.push_str(&report(specimen));
    }
    page
}

fn report(specimen: &Specimen) -> String {
    let bug = &specimen.bug;
    let (name, about) = (bug.name, bug.about);
    let seed = (0..SEEDS).find(|seed| bug.run(*seed, false).is_err()).expect("it is found");
    let explained = bug.explain(seed, ATTEMPTS, RUNS).expect("it comes back from its tape");
    let Explained { story, .. } = &explained;
    let text = explained.to_string();
    // What is above and below is the story's.
    let from = text.find("how often").expect("there is a table");
    let to = text.rfind("replay:").expect("it ends with a command");
    format!("\n## `{name}`: {about}\n```text\n{story}\n\n{}\n```\n", text[from..to].trim_end())
}
