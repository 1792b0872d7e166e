//! A binary without the guard: what goes past the driver makes two runs differ, and the harness says so, and where.
#![expect(clippy::disallowed_types, reason = "to go past the driver is the point")]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;

use mainspring_executor::time::sleep;
use mainspring_sim::bypass::is_guarded;
use mainspring_sim::harness::{Run, Scenario, ScenarioFailure, Setup, conclude};
use mainspring_sim::{World, WorldConfig, spend};

const MAP: Scenario = Scenario::new("map", "goes through a hash map of std, in its order", map);
const SPENDS: Scenario =
    Scenario::new("spends", "takes as long as a hash map's order says", spends);
const ONCE: Scenario = Scenario::new("once", "its first run in a process fails", once);
const PANICS: Scenario = Scenario::new("panics", "fails in each run", panics);
const SAME: Scenario = Scenario::new("same", "fails with one message after two ways", same);

fn map(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::calm());
    world.host("host").run(async {
        let map: HashMap<u64, ()> = (1..=20).map(|key| (key, ())).collect();
        for key in map.into_keys() {
            sleep(Duration::from_secs(key)).await;
        }
    });
    conclude(&world, 1)
}

fn spends(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::calm());
    world.host("host").run(async {
        let map: HashMap<u64, ()> = (1..=20).map(|key| (key, ())).collect();
        let order = map.into_keys().fold(0, |order, key| (order * 21 + key) % 1_000_000_007);
        spend(Duration::from_nanos(order));
    });
    conclude(&world, 1)
}

/// Sleeps for as many seconds as there were runs.
fn counted(setup: &Setup, runs: &'static AtomicU64) -> (World, u64) {
    let world = setup.world(WorldConfig::calm());
    let count = runs.fetch_add(1, Ordering::Relaxed);
    world.host("host").run(async move { sleep(Duration::from_secs(count)).await });
    (world, count)
}

fn once(setup: &Setup) -> Result<Run, String> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let (world, count) = counted(setup, &RUNS);
    world.host("judge").run(async move { assert!(count > 0, "the first") });
    conclude(&world, 1)
}

fn panics(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::calm());
    world.host("judge").run(async move { panic!("each time") });
    conclude(&world, 1)
}

fn same(setup: &Setup) -> Result<Run, String> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    conclude(&counted(setup, &RUNS).0, 1)?;
    Err("always".to_owned())
}

fn failure(scenario: &Scenario) -> ScenarioFailure {
    let mut failures = scenario.sweep(3..4).failures;
    assert_eq!(failures.len(), 1);
    failures.remove(0)
}

const NOT_BACK: &str = "the failure does not come back: something outside of the driver got in";

#[test]
fn without_the_guard_a_hash_maps_order_makes_runs_differ() {
    assert!(!is_guarded());
    let failure = failure(&MAP);
    let lines: Vec<&str> = failure.message.lines().collect();
    assert!(lines[0].starts_with("two runs differ: the runs part at event "), "{failure}");
}

#[test]
fn what_differs_is_told_with_the_task_that_did_it() {
    let failure = failure(&SPENDS);
    let lines: Vec<&str> = failure.message.lines().collect();
    assert!(lines[0].starts_with("two runs differ: the runs part at event 2;"), "{failure}");
    assert!(lines[4].contains(" host spends nanoseconds "), "{failure}");
    for run in ["first", "second"] {
        let task = format!("in the {run} that was task 0, spawned at sim/tests/unguarded.rs:");
        assert!(lines.iter().any(|line| line.starts_with(&task)), "{failure}");
    }
}

#[test]
fn a_failure_that_does_not_come_back_says_so() {
    let failure = failure(&ONCE);
    assert!(failure.message.starts_with("a foreground task panicked"), "{failure}");
    assert!(failure.message.contains(NOT_BACK), "{failure}");
}

#[test]
fn a_failure_that_comes_back_with_another_trace_says_so() {
    let failure = failure(&SAME);
    let expected = format!("always\n{NOT_BACK}\nthe runs part at event ");
    assert!(failure.message.starts_with(&expected), "{failure}");
}

#[test]
fn a_failure_that_comes_back_is_as_it_was() {
    let failure = failure(&PANICS);
    assert!(failure.message.ends_with("each time\n"), "{failure}");
}
