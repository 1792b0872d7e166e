//! The scenarios over fixed seeds: every seed twice, with equal traces. A failure prints the line that replays it.

use mainspring_tests::scenario::Sweep;
use mainspring_tests::scenarios::{ALL, find};

/// Sweeps seeds from 0, and fails with the first reports if one does not hold.
fn check(name: &str, seed_count: u64) -> Sweep {
    let scenario = find(name).expect("the scenario exists");
    let sweep = scenario.sweep(0..seed_count);
    let reports: Vec<String> = sweep.failures.iter().take(3).map(ToString::to_string).collect();
    assert!(sweep.failures.is_empty(), "{}", reports.join("\n\n"));
    assert_eq!(sweep.seed_count, seed_count);
    println!("{name}: {} seeds, {} requests", sweep.seed_count, sweep.request_count);
    sweep
}

/// Runs one seed of a scenario with a planted bug, and gives the report.
fn report(name: &str) -> String {
    let scenario = find(name).expect("the scenario exists");
    assert!(scenario.is_planted);
    let failure = scenario.run_twice(7).expect_err("the planted bug is found");
    let report = failure.to_string();
    let replay = format!("-- replay --scenario {name} --seed 7");
    assert!(report.lines().last().expect("it says something").contains(&replay), "{report}");
    report
}

/// Every response right, equal traces, nothing left: 100 clients with 10 requests each.
#[test]
fn crowd_holds_over_500_seeds() {
    let sweep = check("crowd", 500);
    assert_eq!(sweep.request_count, 500 * 1_000);
}

/// The same over links that lose one to five of a hundred packets: loss makes requests late, and loses none.
#[test]
fn lossy_holds_over_200_seeds() {
    let sweep = check("lossy", 200);
    assert_eq!(sweep.request_count, 200 * 1_000);
}

/// Different seeds are different runs: else a sweep would prove nothing.
#[test]
fn seeds_differ() {
    let crowd = find("crowd").expect("the scenario exists");
    let hashes = (0..20).map(|seed| crowd.run(seed, false).expect("it holds").trace_hash);
    let distinct: std::collections::BTreeSet<u64> = hashes.collect();
    assert_eq!(distinct.len(), 20);
}

/// Recording the trace does not change the run.
#[test]
fn recording_changes_nothing() {
    for scenario in ALL.iter().filter(|scenario| !scenario.is_planted) {
        let silent = scenario.run(3, false).expect("it holds");
        let recorded = scenario.run(3, true).expect("it holds");
        assert_eq!(silent.trace_hash, recorded.trace_hash, "{}", scenario.name);
        assert!(!recorded.trace.is_empty(), "{}", scenario.name);
    }
}

/// R23: the sum in sequence, the maximum together, exactly.
#[test]
fn dependencies_hold() {
    check("dependencies", 100);
}

/// Whatever the handler was doing when its client hung up, it is dropped, and nothing is left.
#[test]
fn hangup_holds_at_each_instant() {
    let sweep = check("hangup", 20);
    assert!(sweep.request_count > 1_000, "each instant of each request, twice");
}

/// R6: a stalled dependency leaves everybody else's latency as it was, to the nanosecond.
#[test]
fn stalled_holds() {
    check("stalled", 10);
}

/// The suite finds a leak, and names where the task was spawned and the socket opened.
#[test]
fn a_planted_leak_is_found() {
    let report = report("planted-leak");
    assert!(report.contains("leak: still alive after the end"), "{report}");
    assert!(report.contains("spawned at tests/src/scenarios/planted.rs"), "{report}");
    assert!(report.contains("listener, opened at tests/src/scenarios/planted.rs"), "{report}");
}

/// The suite finds a lost wake-up: nothing will ever happen again, and somebody waits.
#[test]
fn a_planted_lost_wake_is_found() {
    let report = report("planted-lost-wake");
    assert!(report.contains("deadlock"), "{report}");
    let lost = "spawned at tests/src/scenarios/planted.rs:85:16\n          nothing can wake it";
    assert!(report.contains(lost), "{report}");
}

/// The suite finds answers in the wrong order.
#[test]
fn a_planted_wrong_order_is_found() {
    let report = report("planted-wrong-order");
    assert!(report.contains("answers come in the order of their requests"), "{report}");
}
