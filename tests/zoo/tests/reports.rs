//! What is said of failures: the page of the docs, and which choice decides a bug where that is known by construction.
#![expect(clippy::disallowed_methods, reason = "a file of the docs, outside of any run")]

use std::fs;
use std::path::Path;

use mainspring_zoo::{find, reports};

#[test]
fn the_page_is_as_the_simulator_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REPORTS.md");
    let page = fs::read_to_string(path).expect("it is there");
    let made = reports();
    let differs = page.lines().zip(made.lines()).position(|(old, new)| old != new);
    assert!(
        page == made,
        "docs/REPORTS.md is out of date from line {} on: `cargo run --release -p mainspring-zoo --bin zoo-reports` prints it",
        differs.map_or(page.lines().count().min(made.lines().count()), |line| line) + 1
    );
}

/// What decides a failure of a specimen: whose choice, and of what.
#[track_caller]
fn check(name: &str, owner: &str, words: &str) {
    let bug = &find(name).expect("it is in the zoo").bug;
    let seed = (0..10_000).find(|seed| bug.run(*seed, false).is_err()).expect("it is found");
    let explained = bug.explain(seed, 10_000, 200).expect("it comes back");
    let decisive = explained.decisive().unwrap_or_else(|| panic!("one did it: {explained}"));
    let chosen = &explained.points[decisive].chosen;
    assert_eq!(chosen.owner(), owner, "{explained}");
    assert!(chosen.words().starts_with(words), "{explained}");
}

/// Of two that wait and one that opens, who goes when.
#[test]
fn an_order_decides_a_lost_wake() {
    check("lost-wake", "service", "of 2");
}

/// A request that times out between its question and the answer, and nothing else, leaves a connection with an answer in it.
#[test]
fn a_late_answer_decides_a_dirty_lease() {
    check("dirty-lease", "client-0", "the answer takes 60 ms at the highest: 399 ");
}

/// The last of as many timeouts as there are permits.
#[test]
fn the_last_timeout_decides_leaked_permits() {
    check("leaked-permit", "client-0", "its work takes a second at the highest: 29 ");
}

/// One lookup that fails is kept for ever.
#[test]
fn one_failed_lookup_decides_a_cached_failure() {
    check("cached-failure", "client", "a name cannot be looked up");
}

/// An acknowledgement that gets lost has the payment sent again.
#[test]
fn a_lost_acknowledgement_decides_a_duplicate() {
    check("duplicate-datagram", "bank", "a datagram gets lost");
}

/// The last part of a record that a crash takes.
#[test]
fn a_crash_decides_a_torn_record() {
    check("torn-record", "meter", "a crash takes of a change that was not synced");
}

/// An answer later than the service waits leaves its task behind.
#[test]
fn a_late_answer_decides_a_zombie() {
    check("zombie-task", "client-5", "the answer takes 20 ms more at the highest: 399 ");
}
