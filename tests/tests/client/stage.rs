//! Where cases run: the same program on each machine, and nothing may be left after it.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::Shard;
use mainspring_executor::driver::Driver;
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::timeout;
use mainspring_sim::{Order, World, WorldConfig};

const CALM_SEEDS: u64 = 2;
const ROUGH_SEEDS: u64 = 12;

/// A case on the operating system that takes longer hangs.
const OS_DURATION_MAX: Duration = Duration::from_secs(20);

/// Runs a program on every machine. Its panics are what makes it fail.
pub(crate) fn check<F>(program: impl Fn() -> F)
where
    F: Future<Output = ()> + 'static,
{
    simulate(&program);
    run_on_os(Rc::new(OsDriver::new().expect("a driver")), program());
    let portable = OsDriver::builder().portable().build();
    run_on_os(Rc::new(portable.expect("a driver")), program());
}

/// Runs a program in the simulator only: it takes long, or looks at exact time.
pub(crate) fn simulate<F>(program: impl Fn() -> F)
where
    F: Future<Output = ()> + 'static,
{
    for seed in 0..CALM_SEEDS {
        simulate_twice(seed, WorldConfig::calm(), &program);
    }
    for seed in 0..ROUGH_SEEDS {
        simulate_twice(seed, WorldConfig::rough(), &program);
    }
}

fn simulate_twice<F>(seed: u64, config: WorldConfig, program: &impl Fn() -> F)
where
    F: Future<Output = ()> + 'static,
{
    let run = || {
        let name = if config.order == Order::Fifo { "calm" } else { "rough" };
        let world = World::new(seed, config.clone());
        world.host("host").run(program());
        if let Err(failure) = world.run() {
            panic!("{name} room, seed {seed}: {failure}");
        }
        let leaks = world.leaks();
        assert!(leaks.is_empty(), "{name} room, seed {seed}: left:\n{}", leaks.join("\n"));
        world.trace_hash()
    };
    assert_eq!(run(), run(), "seed {seed}: two runs differ");
}

fn run_on_os(driver: Rc<dyn Driver>, program: impl Future<Output = ()> + 'static) {
    let shard = Shard::new(driver);
    let observed = shard.clone();
    let ended = shard.run(async move {
        let ended = timeout(OS_DURATION_MAX, program).await;
        ended.map_err(|_| format!("hangs; alive:\n{}", observed.ledger()))
    });
    ended.expect("the driver works").unwrap_or_else(|text| panic!("{text}"));
    assert!(shard.ledger().is_empty(), "left behind:\n{}", shard.ledger());
}
