//! Each bug of the zoo is found, and made small; its twin without is silent. `zoo-table` does the same with more seeds.

use std::collections::BTreeSet;

use mainspring_zoo::{Silence, all, observe, watch};

/// Enough for each of them; the table has how many it takes.
const SEEDS: u64 = 2_000;

/// A failure is found, fails in the same way when it is run from its tape, and is made small.
#[test]
fn each_bug_is_found_and_made_small() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for specimen in all() {
        let row = observe(specimen, SEEDS, 1, 2_000);
        println!("{row}");
        if let Err(why) = row.story() {
            missed.push(format!("{}: {why}", specimen.bug.name));
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The same service without the bug holds, in runs that are like those that show it.
#[test]
fn the_twins_without_are_silent() {
    for specimen in all() {
        assert_eq!(watch(specimen, 200), Silence::Kept, "{}", specimen.fixed.name);
    }
}

/// Each has a name of its own, and says what it is.
#[test]
fn specimens_are_told_apart() {
    let names: BTreeSet<&str> = all().iter().map(|specimen| specimen.bug.name).collect();
    assert_eq!(names.len(), all().len());
    for specimen in all() {
        assert!(specimen.bug.is_planted && !specimen.fixed.is_planted, "{}", specimen.bug.name);
        assert!(!specimen.bug.about.is_empty() && !specimen.search.is_empty());
    }
}
