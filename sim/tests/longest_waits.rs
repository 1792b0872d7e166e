//! How long those waited who could have gone on: told with who and where, for scenarios to assert.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::{Mutex, Semaphore, mpsc};
use mainspring_executor::time::{sleep, sleep_until, yield_now};
use mainspring_executor::{driver::Instant, spawn_named};
use mainspring_sim::{Order, World, WorldConfig, spend};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn at(count: u64) -> Instant {
    Instant::START + millis(count)
}

#[test]
fn a_task_behind_a_long_poll_waited_as_long_as_that_took() {
    let world = World::new(1, WorldConfig::calm());
    let quick = world.host("quick");
    quick.run(async { sleep(millis(1)).await });
    let host = world.host("busy");
    host.run(async {
        sleep(millis(10)).await;
        drop(spawn_named("heavy", async {
            spend(millis(300));
            spend(millis(40));
        }));
        drop(spawn_named("light", async {}));
        sleep(millis(1)).await;
    });
    world.run().expect("it ends well");
    let fairness = world.fairness();
    let longest = fairness.longest_ready.expect("tasks were polled");
    assert_eq!(
        (&*longest.host, longest.task.0, longest.time),
        ("busy", 2, millis(340)),
        "{longest}"
    );
    assert!(longest.origin.file().ends_with("longest_waits.rs"), "{longest}");
    assert_eq!(longest.polls, Some(1));
    assert!(
        longest.to_string().starts_with("busy: task 2, spawned at sim/tests/longest_waits.rs:"),
        "{longest}"
    );
    assert_eq!(fairness.line_waits, []);
}

#[test]
fn polls_that_went_before_are_counted() {
    let most = |order| {
        let world = World::new(1, WorldConfig { order, ..WorldConfig::calm() });
        let host = world.host("crowd");
        for _ in 0..10 {
            host.run(async {
                for _ in 0..100 {
                    yield_now().await;
                }
            });
        }
        world.run().expect("it ends well");
        world.fairness().most_passed_over.expect("tasks were polled").polls
    };
    assert_eq!(most(Order::Fifo), Some(9), "each of the others once");
    assert!(most(Order::Random) > Some(20));
    // Who is first in line and was passed over 64 times goes.
    assert!(most(Order::Pct { depth: 1, polls: 100 }) >= Some(64));
}

#[test]
fn a_task_that_is_ready_still_counts() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("paused");
    let pauses = host.clone();
    host.run(async move {
        drop(spawn_named("waits", async {}));
        for _ in 0..62 {
            drop(spawn_named("more", async {}));
        }
        drop(spawn_named("last", async { sleep(millis(1)).await }));
        pauses.pause();
    });
    world.at(at(250), |world| {
        let longest = world.fairness().longest_ready.expect("one is ready");
        assert_eq!((longest.time, longest.polls), (millis(250), None), "{longest}");
        assert!(
            longest.to_string().ends_with(" was ready for 250ms, and is so still"),
            "{longest}"
        );
    });
    world.at(at(500), move |_| host.resume());
    world.host("other").run(async { sleep(millis(600)).await });
    world.run().expect("it ends well");
    let longest = world.fairness().longest_ready.expect("tasks were polled");
    assert_eq!((&*longest.host, longest.time), ("paused", millis(500)), "{longest}");
}

#[test]
fn who_stood_in_line_longest_is_told_for_each_kind() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    host.run(async {
        let (lock, permits) = (Rc::new(Mutex::new(())), Rc::new(Semaphore::new(1)));
        let (sender, mut receiver) = mpsc::channel(1);
        for (name, holds) in [("first", 30), ("second", 50), ("third", 1)] {
            let (lock, permits) = (Rc::clone(&lock), Rc::clone(&permits));
            drop(spawn_named(name, async move {
                let _guard = lock.lock().await;
                sleep(millis(holds)).await;
                let _permit = permits.acquire().await.expect("nobody closes it");
                sleep(millis(100)).await;
            }));
        }
        drop(spawn_named("sender", async move {
            for number in 0..3 {
                sender.send(number).await.expect("somebody receives");
            }
        }));
        sleep_until(at(70)).await;
        while receiver.recv().await.is_some() {}
        sleep_until(at(500)).await;
    });
    world.run().expect("it ends well");
    let fairness = world.fairness();
    // The third waits for both: each holds the lock until it has had its permit for 100 ms.
    let lock = fairness.longest_in_line("a lock").expect("two waited");
    assert_eq!(
        (lock.task.map(|task| task.0), lock.time, lock.is_over),
        (Some(3), millis(280), true)
    );
    assert_eq!(fairness.longest_in_line("permits"), None, "the lock is in front of them");
    let room = fairness.longest_in_line("room in a channel").expect("the sender waited");
    assert_eq!((room.task.map(|task| task.0), room.time), (Some(4), millis(70)));
    assert!(
        room.to_string().starts_with(
            "server: task 4 waited 70ms for room in a channel, at sim/tests/longest_waits.rs:"
        ),
        "{room}"
    );
}

#[test]
fn who_is_still_in_line_counts_where_somebody_holds_it() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    host.run(async {
        let lock = Rc::new(Mutex::new(()));
        let (owner, needy) = (Rc::clone(&lock), Rc::clone(&lock));
        drop(spawn_named("owner", async move {
            let _guard = owner.lock().await;
            sleep(millis(100_000)).await;
        }));
        drop(spawn_named("needy", async move { drop(needy.lock().await) }));
        let (sender, mut receiver) = mpsc::channel::<()>(1);
        // It lives on, and says nothing.
        drop(spawn_named("sender", async move { sender.closed().await }));
        drop(spawn_named("receiver", async move { while receiver.recv().await.is_some() {} }));
        sleep(millis(5000)).await;
    });
    world.run().expect("it ends well");
    let fairness = world.fairness();
    let lock = fairness.longest_in_line("a lock").expect("one waits");
    assert_eq!(
        (lock.task.map(|task| task.0), lock.time, lock.is_over),
        (Some(2), millis(5000), false)
    );
    assert_eq!(fairness.line_waits.len(), 1, "a message may be long in coming: {fairness:?}");
}
