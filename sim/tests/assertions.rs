//! What programs say of themselves in a room: who is heard, what fails a run, and where something goes wrong on purpose.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use mainspring_executor::driver::{Instant, Signal};
use mainspring_executor::time::sleep;
use mainspring_executor::{always, buggify, eventually, never, reachable, sometimes, spawn};
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{
    Failure, FailureKind, Fault, Host, Passes, Tape, World, WorldConfig, minimise,
};

const SECOND: Duration = Duration::from_secs(1);

fn after(seconds: u64) -> Instant {
    Instant::START + SECOND * u32::try_from(seconds).expect("few seconds")
}

/// How a program fails its run.
fn failure<F: Future<Output = ()> + 'static>(program: impl FnOnce(Host) -> F) -> Failure {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("host");
    host.run(program(host.clone()));
    world.run().expect_err("a promise is broken")
}

#[test]
fn a_broken_promise_fails_the_run_and_says_where() {
    let line = Rc::new(Cell::new(0));
    let here = Rc::clone(&line);
    let failure = failure(async move |_| {
        sleep(SECOND).await;
        spawn(async move {
            here.set(line!() + 1);
            always!(1 > 2, "one is more than two");
            sleep(SECOND).await;
        })
        .await
        .expect("it goes on");
    });
    assert_eq!((failure.kind, failure.at), (FailureKind::Promise, after(1)));
    let line = line.get();
    let place =
        format!("host: always!(\"one is more than two\") at sim/tests/assertions.rs:{line}:");
    assert!(failure.details.starts_with(&place), "{failure}");
    assert!(failure.details.trim_end().ends_with("in task 1, at 1.000000000 s"), "{failure}");
}

/// What follows from it is not what is told.
#[test]
fn a_broken_promise_goes_before_a_panic() {
    let failure = failure(async |_| {
        never!("first");
        never!("second");
        panic!("third");
    });
    assert_eq!(failure.kind, FailureKind::Promise);
    assert!(failure.details.contains("never!(\"first\")"), "{failure}");
}

#[test]
fn what_does_not_come_in_time_fails_the_run() {
    let failure = failure(async |_| {
        let comes = eventually!(5 * SECOND, false, "it comes").await;
        assert!(!comes, "said as well");
    });
    assert_eq!((failure.kind, failure.at), (FailureKind::Promise, after(5)));
}

/// Says what it must not when it is dropped.
struct LastWords;

impl Drop for LastWords {
    fn drop(&mut self) {
        never!("last words");
    }
}

/// What destructors say after the end of a program, no real machine would run.
#[test]
fn the_dead_are_not_heard() {
    let endings: [fn(&Host); 3] =
        [|host| host.signal(Signal::Terminate), Host::crash, Host::restart];
    for end in endings {
        let world = World::new(1, WorldConfig::calm());
        let host = world.host("host");
        host.run(async {
            let _words = LastWords;
            sleep(9 * SECOND).await;
        });
        world.at(after(1), move |_| end(&host));
        world.run().expect("the dead break no promise");
        assert_eq!(world.coverage().named("last words"), Passes::default());
    }
}

#[test]
fn the_living_are_heard_to_their_last_word() {
    let failure = failure(async |_| drop(LastWords));
    assert_eq!(failure.kind, FailureKind::Promise);
}

/// Nor does it count what is left when the scenario is done with its world.
#[test]
fn the_end_of_a_world_is_no_part_of_the_run() {
    const LEFT: Scenario = Scenario::new("left", "a task is left at the end", |setup| {
        let world = setup.world(WorldConfig::calm());
        let host = world.host("host");
        drop(host.spawn(async {
            let _words = LastWords;
            core::future::pending::<()>().await;
        }));
        host.run(async { reachable!("the end") });
        let report = world.run().map_err(|failure| failure.to_string())?;
        Ok(Run { trace_hash: report.trace_hash, ..Run::default() })
    });
    let run = LEFT.run(1, false).expect("it holds");
    assert_eq!(run.coverage.named("the end"), Passes { passed: 1, held: 1 });
    assert_eq!(run.coverage.named("last words"), Passes::default());
}

/// Each of two machines comes by two fault points, so many times; gives which fired, as `machine/point/time`.
fn fired(
    source: impl Into<mainspring_sim::Source>,
    config: WorldConfig,
    times: u32,
) -> BTreeSet<String> {
    let world = World::new(source, config);
    let fired = Rc::new(RefCell::new(BTreeSet::new()));
    for name in ["one", "two"] {
        let tell = Rc::clone(&fired);
        world.host(name).run(async move {
            for time in 0..times {
                if buggify!("first") {
                    tell.borrow_mut().insert(format!("{name}/first/{time}"));
                }
                if buggify!("second", permille = 500) {
                    tell.borrow_mut().insert(format!("{name}/second/{time}"));
                }
            }
        });
    }
    world.run().expect("it ends well");
    let count = fired.borrow().len() as u64;
    assert_eq!(world.coverage().fault(Fault::FaultPoint), count);
    let held = |name: &str| world.coverage().named(name).held;
    assert_eq!(held("first") + held("second"), count);
    fired.take()
}

fn buggy() -> WorldConfig {
    WorldConfig { buggify: true, ..WorldConfig::calm() }
}

#[test]
fn fault_points_are_quiet_unless_asked_for() {
    for config in [WorldConfig::calm(), WorldConfig::rough(), WorldConfig::swarm()] {
        assert!(fired(1, config, 50).is_empty());
    }
    assert!(fired(Tape::new(1), buggy(), 50).is_empty(), "0 is harmless");
}

#[test]
fn a_fault_point_is_on_or_off_for_a_whole_run() {
    const TIMES: u32 = 40;
    let count = |fired: &BTreeSet<String>, point: &str| {
        fired.iter().filter(|name| name.starts_with(point)).count()
    };
    for (point, share) in [("one/first/", 10), ("two/first/", 10), ("one/second/", 20)] {
        let runs: Vec<_> =
            (0..400).map(|seed| count(&fired(seed, buggy(), TIMES), point)).collect();
        let on: Vec<_> = runs.into_iter().filter(|count| *count > 0).collect();
        assert!((70..130).contains(&on.len()), "{point} is on in {} of 400 runs", on.len());
        let mean = on.iter().sum::<usize>() / on.len();
        assert!(mean.abs_diff(share) <= 1, "{point} fires {mean} of {TIMES} times");
    }
}

#[test]
fn machines_differ_and_seeds_repeat() {
    let runs: Vec<_> = (0..50).map(|seed| fired(seed, buggy(), 20)).collect();
    let of = |run: &BTreeSet<String>, name: &str| run.iter().any(|point| point.starts_with(name));
    assert!(runs.iter().any(|run| of(run, "one/first") && !of(run, "two/first")));
    for (seed, run) in (0..).zip(&runs) {
        assert_eq!(&fired(seed, buggy(), 20), run);
    }
}

/// In a swarm some runs have no fault points at all.
#[test]
fn a_swarm_has_fault_points_in_half_of_its_runs() {
    let config = WorldConfig { buggify: true, ..WorldConfig::swarm() };
    let is_on = |seed: &u64| World::new(*seed, config.clone()).config().buggify;
    let on = (0..200).filter(is_on).count();
    assert!((70..130).contains(&on), "{on} of 200");
}

/// Fault points are choices: the least of a failure that needs one of them is that it is on, and fires once.
#[test]
fn a_fault_point_is_on_the_tape() {
    let fails = |source: mainspring_sim::Source| {
        let mut source = source;
        let recording = source.record();
        let fired = fired(source, buggy(), 30);
        (fired.iter().any(|name| name == "two/second/7"), recording.tape())
    };
    let (_, tape) = (0..500)
        .map(|seed: u64| fails(seed.into()))
        .find(|(is_failed, _)| *is_failed)
        .expect("some seed does it");
    let small = minimise(&tape, 10_000, |tape| {
        let (is_failed, tape) = fails(tape.clone().into());
        is_failed.then_some(tape)
    });
    assert_eq!(small.tape.len(), 2, "{}", small.tape);
}

/// How often a fault point fires of a hundred times each, before its world says that the trouble is over and after.
fn before_and_after(seed: u64) -> (usize, usize) {
    let world = Rc::new(World::new(seed, buggy()));
    let (room, counts) = (Rc::clone(&world), Rc::new(Cell::new((0, 0))));
    let tell = Rc::clone(&counts);
    world.host("host").run(async move {
        let count = || (0..100).filter(|_| buggify!("trouble", permille = 1000)).count();
        let before = count();
        room.end_buggify();
        tell.set((before, count()));
    });
    world.run().expect("it ends well");
    counts.get()
}

#[test]
fn the_trouble_can_be_over() {
    let seen: BTreeSet<_> = (0..50).map(before_and_after).collect();
    assert_eq!(seen, BTreeSet::from([(0, 0), (100, 0)]), "off, or on until it is over");
}

/// What a sweep says of a program that reaches one place in each run, one in some, and one in none.
mod sweeps {
    use super::*;

    fn run(setup: &Setup) -> Result<Run, String> {
        let world = setup.world(WorldConfig { buggify: true, ..WorldConfig::calm() });
        let host = world.host("host");
        let drawn = host.choose(8);
        host.run(async move {
            reachable!("always there");
            sometimes!(drawn == 3, "a three");
            sometimes!(drawn == 9, "a nine");
            if drawn == 5 {
                reachable!("a five");
            }
            if drawn == 10 {
                reachable!("a ten");
            }
            if buggify!("trouble") {
                sleep(SECOND).await;
            }
        });
        conclude(&world, 1)
    }

    const DICE: Scenario = Scenario::new("dice", "numbers below 8", run)
        .expects(&["a three", "a five", "a nine", "a ten", "trouble"]);

    #[test]
    fn a_sweep_tells_what_it_never_reached() {
        let sweep = DICE.sweep(0..200);
        assert!(sweep.failures.is_empty(), "{}", sweep.failures[0]);
        let [nine, ten] = &sweep.findings[..] else { panic!("{:?}", sweep.findings) };
        assert!(nine.starts_with("sometimes!(\"a nine\") at sim/tests/assertions.rs:"), "{nine}");
        assert!(nine.ends_with("was passed in 200 of 200 runs, and never held"), "{nine}");
        assert_eq!(ten, "\"a ten\" is expected, and none of 200 runs reached it");
        let held = |name: &str| {
            let (_, count) = sweep.coverage.sites().find(|(site, _)| site.name == name).unwrap();
            count.held.runs
        };
        assert_eq!(held("always there"), 200);
        assert!((10..45).contains(&held("a three")), "{}", held("a three"));
        assert!(held("trouble") > 0);
        assert_eq!(sweep.coverage.fault(Fault::FaultPoint).runs, held("trouble"));
    }

    #[test]
    fn a_short_sweep_says_what_it_did_not_reach() {
        let sweep = DICE.sweep(0..1);
        assert!(sweep.findings.len() > 2, "{:?}", sweep.findings);
    }

    /// On however many threads, in whatever order.
    #[test]
    fn coverage_is_the_same_in_each_sweep() {
        let (one, other) = (DICE.sweep(0..100), DICE.sweep(0..100));
        assert_eq!(one.coverage, other.coverage);
        assert_eq!(one.coverage.to_string(), other.coverage.to_string());
        assert_eq!(one.coverage.run_count(), 100);
    }

    thread_local!(static RUNS: Cell<u32> = const { Cell::new(0) });

    /// Its runs do the same in the same order, and each other one says something else of it.
    fn moody(setup: &Setup) -> Result<Run, String> {
        let world = setup.world(WorldConfig::calm());
        let run = RUNS.replace(RUNS.get() + 1);
        world.host("host").run(async move { sometimes!(run.is_multiple_of(2), "even") });
        conclude(&world, 0)
    }

    #[test]
    fn runs_that_pass_other_sites_differ() {
        let failure =
            Scenario::new("moody", "differs", moody).run_twice(1).expect_err("it differs");
        assert_eq!(failure.message, "two runs do the same, and pass other sites");
    }

    #[test]
    fn all_worlds_of_a_run_count() {
        fn twice(setup: &Setup) -> Result<Run, String> {
            for _ in 0..2 {
                let world = setup.world(WorldConfig::calm());
                world.host("host").run(async { reachable!("in a world") });
                conclude(&world, 0)?;
            }
            Ok(Run::default())
        }
        let run = Scenario::new("twice", "two worlds", twice).run(1, false).expect("it holds");
        assert_eq!(run.coverage.named("in a world"), Passes { passed: 2, held: 2 });
    }
}
