//! Each bug of the zoo is found, and made small; its twin without is silent. `zoo-table` does the same with more seeds.

use std::collections::BTreeSet;

use mainspring_sim::Tape;
use mainspring_zoo::{Silence, all, find, observe, watch};

/// Enough for each of them; the table has how many it takes.
const SEEDS: u64 = 2_000;

/// A failure is found, fails in the same way when it is run from its tape, and is made small.
#[test]
fn each_bug_is_found_and_made_small() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for specimen in all() {
        let row = observe(specimen, None, SEEDS, 1, 2_000);
        println!("{row}");
        if let Err(why) = row.story() {
            missed.push(format!("{}: {why}", specimen.bug.name));
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// What a bug needs is on its tape: a run in which nothing goes wrong holds.
#[test]
fn no_bug_shows_where_nothing_goes_wrong() {
    for specimen in all() {
        let calm = specimen.bug.run(Tape::new(1), false);
        assert!(calm.is_ok(), "{}: {calm:?}", specimen.bug.name);
    }
}

/// The example of the document.
#[test]
fn the_failure_that_the_document_makes_small_is_there() {
    let document = include_str!("../../../docs/ZOO.md");
    let words: Vec<&str> = document.split_whitespace().collect();
    let after = |flag: &str| words[words.iter().position(|word| *word == flag).expect(flag) + 1];
    let specimen = find(after("--scenario")).expect("the document names a specimen");
    let seed: u64 = after("--seed").parse().expect("a seed");
    assert!(specimen.bug.run(seed, false).is_err(), "{} holds with {seed}", specimen.bug.name);
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
