//! The scenarios over fixed seeds: every seed twice, with equal traces. A failure prints the line that replays it.

use mainspring_sim::harness::Sweep;
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

/// Whatever goes wrong meanwhile: in the end every request is answered, and nothing is left.
#[test]
fn mixed_holds_over_5000_seeds() {
    let sweep = check("mixed", 5_000);
    assert!(sweep.request_count > 20_000, "{}", sweep.request_count);
    let mixed = find("mixed").expect("the scenario exists");
    assert_eq!(sweep.coverage.missed(mixed.expected), [""; 0]);
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
    let lost = "spawned at tests/src/scenarios/planted.rs:92:16\n          nothing can wake it";
    assert!(report.contains(lost), "{report}");
}

/// The suite finds answers in the wrong order.
#[test]
fn a_planted_wrong_order_is_found() {
    let report = report("planted-wrong-order");
    assert!(report.contains("answers come in the order of their requests"), "{report}");
}

/// Whatever goes wrong in a run of a scenario is on its tape, also where the run has thousands of worlds.
#[test]
fn the_tape_of_a_run_is_the_run() {
    for scenario in ALL {
        let (first, recording) = scenario.run_recorded(3);
        let (again, _) = scenario.run_recorded(recording.tape());
        match (first, again) {
            (Ok(first), Ok(again)) => assert_eq!(first, again, "{}", scenario.name),
            (Err(first), Err(again)) => {
                assert_eq!(first.message, again.message, "{}", scenario.name);
            }
            (first, again) => panic!("{}: {first:?}, then {again:?}", scenario.name),
        }
    }
}

/// Of all that went wrong in a run only what its failure needs is left: one datagram is late, by as much as the last one is
/// sent later and a nanosecond.
#[test]
fn a_failure_is_made_as_small_as_it_can_be() {
    let scenario = find("planted-overtaken").expect("the scenario exists");
    for seed in (0..100).filter(|seed| scenario.run(*seed, false).is_err()).take(5) {
        let story = scenario.minimise(seed, 1000).expect("it fails again");
        assert!(story.before_count > 10 && story.is_minimal, "{story}");
        let [late] = &*story.chosen else { panic!("one thing goes wrong: {story}") };
        assert_eq!(&*late.stream, "sensor/latency", "{story}");
        assert_eq!(late.value, (19 - late.position) * 5_000_000 + 1, "{story}");
        let text = story.to_string();
        let replay = format!("--scenario planted-overtaken --tape '{}' --trace", story.tape);
        assert!(text.ends_with(&replay), "{text}");
        let failure = scenario.run(story.tape, false).expect_err("it fails, as it did");
        assert!(failure.message.contains("the latest reading is known"), "{failure}");
        assert!(failure.to_string().ends_with(&replay), "{failure}");
    }
}

/// What fails on a calm day needs nothing to go wrong.
#[test]
fn a_failure_that_needs_nothing_has_an_empty_tape() {
    let scenario = find("planted-wrong-order").expect("the scenario exists");
    let story = scenario.minimise(7, 1000).expect("it fails again");
    assert!(story.tape.is_empty() && story.chosen.is_empty(), "{story}");
    let holds = find("dependencies").expect("the scenario exists");
    let error = holds.minimise(7, 1000).expect_err("nothing to make smaller");
    assert_eq!(error, "dependencies holds");
}

/// All orders of the tasks that depend on each other, up to two delays.
#[test]
fn dependencies_hold_in_all_orders_with_two_delays() {
    let scenario = find("dependencies").expect("the scenario exists");
    let explored = scenario.explore(0, 2, 3_000);
    assert!(explored.failure.is_none(), "{:?}", explored.failure);
    println!("{} orders, all: {}", explored.run_count, explored.is_exhausted);
    assert!(explored.is_exhausted || explored.run_count == 3_000);
}
