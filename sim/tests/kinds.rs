//! A thousand failures of three bugs are three kinds.

use core::ops::ControlFlow;
use std::sync::Mutex;

use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Scenario, Setup, Sweep, conclude};

/// Three bugs, one of which ends nearly half of the runs.
fn play(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::calm());
    let drawn = world.choose(10);
    world.host("host").run(async move {
        let limit = drawn + 1000;
        assert!(drawn != 1, "the first of them, at {limit}");
        assert!(drawn != 2, "the second of them");
    });
    let run = conclude(&world, 1)?;
    if drawn > 5 { Err(format!("the third: {drawn} of 10")) } else { Ok(run) }
}

const THREE: Scenario = Scenario::new("three", "three bugs", play);

#[test]
fn a_thousand_failures_of_three_bugs_are_three_kinds() {
    let sweep = THREE.sweep(0..2000);
    assert!(sweep.failure_count > 1000, "{}", sweep.failure_count);
    assert_eq!(sweep.failures.len(), 1000, "so many are kept");
    assert!(sweep.failures.is_sorted_by_key(|failure| failure.seed));
    let kinds = sweep.kinds.by_count();
    let texts: Vec<&str> = kinds.iter().map(|(signature, _)| *signature).collect();
    assert_eq!(kinds.len(), 3, "{texts:?}");
    assert!(texts[0].starts_with("the third"), "{texts:?}");
    assert_eq!(kinds.iter().map(|(_, kind)| kind.count).sum::<u64>(), sweep.failure_count);
    for (signature, kind) in kinds {
        let first = (0..2000).find(|seed| {
            THREE.run(*seed, false).is_err_and(|failure| failure.signature() == signature)
        });
        assert_eq!(Some(kind.first.seed), first, "{signature}");
    }
}

#[test]
fn a_sweep_is_told_of_its_seeds_and_may_be_ended() {
    let told = Mutex::new(Vec::new());
    let run = Mutex::new(0);
    let watch = |seeds: core::ops::Range<u64>, block: Sweep| {
        assert_eq!(block.seed_count, seeds.end - seeds.start);
        *run.lock().unwrap() += block.seed_count;
        told.lock().unwrap().push(seeds);
        ControlFlow::Continue(())
    };
    THREE.sweep_with(vec![0..20, 40..50], &watch);
    assert_eq!(*run.lock().unwrap(), 30);
    let mut seeds: Vec<u64> = told.lock().unwrap().drain(..).flatten().collect();
    seeds.sort_unstable();
    assert_eq!(seeds, (0..20).chain(40..50).collect::<Vec<_>>());

    let all = vec![0..500_000, 500_000..1_000_000];
    let run = Mutex::new(0);
    THREE.sweep_with(all, &|_, block| {
        *run.lock().unwrap() += block.seed_count;
        ControlFlow::Break(())
    });
    // One block for each thread.
    let threads = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    assert!(*run.lock().unwrap() <= 8 * threads as u64);
}
