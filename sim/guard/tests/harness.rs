//! What the guard makes of scenarios: two runs of one seed are equal, though their programs go past the driver; a strict one
//! fails.
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "to go past the driver is the point"
)]

use core::time::Duration;
use std::cell::Cell;
use std::collections::HashMap;
use std::time::Instant;

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim_guard as _;
use rand::RngExt;

const MAP: Scenario = Scenario::new("map", "goes through a hash map of std, in its order", map);
const DICE: Scenario =
    Scenario::new("dice", "waits for as long as a thread's generator says", dice);
const LEFT: Scenario = Scenario::new("left", "counts its runs in thread-local state", left);

fn map(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    world.host("host").run(async {
        let map: HashMap<u64, ()> = (1..=20).map(|key| (key, ())).collect();
        for key in map.into_keys() {
            sleep(Duration::from_secs(key)).await;
        }
    });
    conclude(&world, 1)
}

fn dice(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    world.host("host").run(async {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(100) {
            sleep(Duration::from_millis(rand::rng().random_range(1..10_000))).await;
        }
    });
    conclude(&world, 1)
}

fn left(setup: &Setup) -> Result<Run, String> {
    thread_local!(static COUNT: Cell<u64> = const { Cell::new(1) });
    let world = setup.world(WorldConfig::rough());
    let seconds = COUNT.replace(COUNT.get() + 1);
    world.host("host").run(async move { sleep(Duration::from_secs(seconds)).await });
    conclude(&world, 1)
}

fn check_holds(scenario: &Scenario) {
    let sweep = scenario.sweep(0..40);
    assert!(sweep.failures.is_empty(), "{}", sweep.failures[0]);
}

/// All seeds hold, and make a difference.
fn check(scenario: &Scenario) {
    check_holds(scenario);
    let runs = [0, 1].map(|seed| scenario.run(seed, true).expect("it holds"));
    assert_ne!(runs[0].trace, runs[1].trace);
    assert_eq!(scenario.run(0, true).expect("it holds"), runs[0]);
}

#[test]
fn with_the_guard_a_hash_maps_order_is_the_seeds() {
    check(&MAP);
}

#[test]
fn with_the_guard_a_threads_generator_is_the_seeds() {
    check(&DICE);
}

#[test]
fn with_the_guard_no_run_finds_what_another_left_in_its_thread() {
    check_holds(&LEFT);
}

#[test]
fn what_goes_past_the_driver_is_in_the_trace() {
    let run = MAP.run(0, true).expect("it holds");
    let asks = "0.000000000 host asks libc for bytes of entropy: 16";
    assert!(run.trace.iter().any(|line| line == asks), "{:?}", run.trace);
}

#[test]
fn a_strict_scenario_fails_where_the_driver_was_gone_past() {
    let sweep = MAP.strict().sweep(0..4);
    assert_eq!(sweep.failures.len(), 4);
    for failure in &sweep.failures {
        let text = failure.to_string();
        assert!(text.contains("something went past the driver"), "{text}");
        assert!(text.contains("sim/guard/tests/harness.rs:"), "{text}");
        assert!(text.ends_with("--trace --strict"), "{text}");
        assert!(!text.contains("does not come back"), "{text}");
    }
    assert!(LEFT.strict().sweep(0..4).failures.is_empty());
}
