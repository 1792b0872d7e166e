//! Runs in which everybody is busy and the clock stands still, and busy ones that are none.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::{Mutex, Notify};
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{spawn, spawn_named};
use mainspring_sim::{Failure, FailureKind, Host, Order, Report, World, WorldConfig, spend};

fn run(config: WorldConfig, program: impl FnOnce(Host)) -> Result<Report, Failure> {
    let world = World::new(1, config);
    program(world.host("server"));
    world.run()
}

/// A task that looks again and again for what another is to do, which waits for a timer.
fn spins(host: &Host) {
    host.run(async {
        let lock = Rc::new(Mutex::new(()));
        let guard = Rc::clone(&lock).lock_owned().await;
        drop(spawn_named("owner", async move {
            sleep(Duration::from_secs(1)).await;
            drop(guard);
        }));
        drop(spawn_named("bystander", async { sleep(Duration::from_secs(60)).await }));
        let spinner = spawn_named("spinner", async move {
            while lock.try_lock().is_err() {
                yield_now().await;
            }
        });
        spinner.await.expect("no panic");
    });
}

#[test]
fn a_spin_at_one_instant_is_a_livelock() {
    for order in [Order::Fifo, Order::Random, Order::Pct { depth: 2, polls: 100 }] {
        let config = WorldConfig { order, events_per_instant_max: 2000, ..WorldConfig::calm() };
        let failure = run(config, |host| spins(&host));
        let failure = failure.expect_err("the clock stands still");
        assert_eq!(failure.kind, FailureKind::Livelock, "{failure}");
        assert_eq!(failure.at, mainspring_executor::driver::Instant::START);
        let text = failure.to_string();
        let told = "after the first 1000 events of this instant:\n";
        let rest = &text[text.find(told).expect("it is told") + told.len()..];
        let first = rest.lines().next().expect("a line");
        assert!(
            first.contains(
                " polls of task 3 'spinner' of server, spawned at sim/tests/livelock.rs:"
            ),
            "{text}"
        );
        let polls: u64 =
            first.split(' ').next().and_then(|word| word.parse().ok()).expect("a count");
        assert!(polls >= 900 * 60, "up to 64 a turn: {first}");
        assert!(text.contains("task 1 'owner': waiting"), "{text}");
    }
}

/// Two tasks that wake each other for ever.
#[test]
fn tasks_that_wake_each_other_are_both_told() {
    let failure = run(WorldConfig::calm(), |host| {
        host.run(async {
            let (ping, pong) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
            for (name, own, other) in [("ping", &ping, &pong), ("pong", &pong, &ping)] {
                let (own, other) = (Rc::clone(own), Rc::clone(other));
                drop(spawn_named(name, async move {
                    loop {
                        other.notify_one();
                        own.notified().await;
                    }
                }));
            }
            sleep(Duration::from_secs(1)).await;
        });
    });
    let failure = failure.expect_err("the clock stands still");
    assert_eq!(failure.kind, FailureKind::Livelock, "{failure}");
    let text = failure.to_string();
    assert!(
        [" polls of task 1 'ping'", " polls of task 2 'pong'"]
            .iter()
            .all(|part| text.contains(part)),
        "{text}"
    );
}

/// Much may be done at one instant, and a task that takes its time gets on.
#[test]
fn what_ends_or_takes_time_is_no_livelock() {
    let report = run(WorldConfig::rough(), |host| {
        host.run(async {
            let tasks: Vec<_> = (0..10_000)
                .map(|_| {
                    spawn(async {
                        for _ in 0..20 {
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        });
    });
    let report = report.expect("it ends well");
    assert!((3000..7000).contains(&report.busiest_instant), "200,000 polls: {report:?}");
    let report = run(WorldConfig { events_per_instant_max: 10, ..WorldConfig::calm() }, |host| {
        host.run(async {
            for _ in 0..10_000 {
                spend(Duration::from_nanos(1));
                yield_now().await;
            }
        });
    });
    assert!(report.expect("it ends well").busiest_instant <= 10);
}

#[test]
fn the_bound_is_of_one_instant_and_exact() {
    let turns = |max| {
        run(WorldConfig { events_per_instant_max: max, ..WorldConfig::calm() }, |host| {
            host.run(async {
                for _ in 0..5 {
                    // Eleven turns at each of five instants.
                    for _ in 0..64 * 10 {
                        yield_now().await;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            });
        })
    };
    let busiest = turns(1000).expect("it ends well").busiest_instant;
    assert_eq!(turns(busiest).expect("it ends well").busiest_instant, busiest);
    assert_eq!(turns(busiest - 1).expect_err("one too many").kind, FailureKind::Livelock);
}
