//! Locks in the hands of futures that their own tasks do not poll: each is named as what it is, and the same program that drops
//! its future instead goes on.

use core::pin::pin;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::{Mutex, Notify, RwLock, Semaphore, mpsc};
use mainspring_executor::time::{sleep, sleep_until, timeout, yield_now};
use mainspring_executor::{driver::Instant, select, spawn_named};
use mainspring_sim::{Failure, FailureKind, World, WorldConfig};

fn second(count: u64) -> Instant {
    Instant::START + Duration::from_secs(count)
}

/// Runs one program to its end.
fn run(program: impl Future<Output = ()> + 'static) -> Result<World, Failure> {
    let world = World::new(1, WorldConfig::calm());
    world.host("server").run(program);
    world.run().map(|_| world)
}

/// Asserts that the report of a deadlock has these parts, in this order.
#[track_caller]
fn check(program: impl Future<Output = ()> + 'static, parts: &[&str]) {
    let failure = run(program).expect_err("it waits for ever");
    assert_eq!(failure.kind, FailureKind::Deadlock);
    let text = failure.to_string();
    let mut rest = text.as_str();
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("{part} is missing, or too early:\n{text}") };
        rest = &rest[at + part.len()..];
    }
}

/// Somebody else has the lock until 5 s.
fn hold(lock: &Rc<Mutex<()>>) {
    let lock = Rc::clone(lock);
    drop(spawn_named("holder", async move {
        let _guard = lock.lock().await;
        sleep_until(second(5)).await;
    }));
}

/// What a handler does under a lock.
async fn work(lock: &Mutex<()>) {
    let _guard = lock.lock().await;
    sleep(Duration::from_secs(1)).await;
}

/// The case of RFD 609: a future loses a `select!` by reference and keeps its place in line, and the branch that won waits for
/// the same lock.
async fn classic() {
    let lock = Rc::default();
    hold(&lock);
    yield_now().await;
    let mut first = pin!(work(&lock));
    select! {
        () = first.as_mut() => {}
        () = sleep(Duration::from_secs(1)) => work(&lock).await,
    }
}

#[test]
fn a_lock_that_was_given_to_a_future_that_is_not_polled_is_told_with_both_places() {
    check(
        classic(),
        &[
            "task 0: waiting, 5.0 s old, ",
            " waits 4.0 s for a lock, at sim/tests/futurelock.rs:",
            " given 0 s ago to a future of task 0 that the task no longer polls: asked for at sim/tests/futurelock.rs:",
            " was given a lock 0 s ago, asked for at sim/tests/futurelock.rs:",
            "deadlock: a task waits for itself\n",
            "task 0 waits 4.0 s for a lock, at sim/tests/futurelock.rs:",
            "futurelock: a future of task 0 that the task no longer polls was given a lock 0 s ago, asked for at sim/tests/futurelock.rs:",
            "; waited for by task 0\n",
        ],
    );
}

#[test]
fn a_future_that_is_dropped_instead_is_no_futurelock() {
    let world = run(async {
        let lock = Rc::default();
        hold(&lock);
        yield_now().await;
        select! {
            () = work(&lock) => {}
            () = sleep(Duration::from_secs(1)) => work(&lock).await,
        }
    });
    let world = world.expect("it ends well");
    assert_eq!(world.now(), second(6));
    assert!(world.leaks().is_empty(), "{:?}", world.leaks());
}

/// The branch that won waits for another task, and that one for the lock.
#[test]
fn a_futurelock_through_another_task_is_a_ring() {
    check(
        async {
            let lock = Rc::default();
            hold(&lock);
            yield_now().await;
            let mut first = pin!(work(&lock));
            let other = Rc::clone(&lock);
            let helper = async move { work(&other).await };
            select! {
                () = first.as_mut() => {}
                () = sleep(Duration::from_secs(1)) => {
                    spawn_named("helper", helper).await.expect("no panic");
                }
            }
        },
        &[
            "deadlock: 2 tasks wait for each other\n",
            "task 0 waits 4.0 s for the end of task 2 'helper'\n",
            "task 2 'helper' waits 4.0 s for a lock, at ",
            "given 0 s ago to a future of task 0 that the task no longer polls: asked for at ",
            " was given a lock 0 s ago",
            "; waited for by task 2 'helper'\n",
        ],
    );
}

/// The future had its lock before it was put aside: its guard lies in it.
#[test]
fn a_guard_inside_a_future_that_is_not_polled_is_told_as_the_tasks_own() {
    check(
        async {
            let lock = Mutex::new(());
            let mut first = pin!(async {
                let _guard = lock.lock().await;
                sleep(Duration::from_secs(2)).await;
            });
            select! {
                () = first.as_mut() => {}
                () = sleep(Duration::from_secs(1)) => drop(lock.lock().await),
            }
        },
        &[
            "deadlock: a task waits for itself\n",
            "task 0 waits 1.0 s for a lock, at ",
            "taken by task 0 2.0 s ago, at sim/tests/futurelock.rs:",
            ": it keeps it in a variable, or in a future that it does not poll\n",
        ],
    );
}

#[test]
fn permits_writers_and_places_in_channels_are_told_alike() {
    check(
        async {
            let permits = Semaphore::new(1);
            let taken = permits.acquire().await;
            let mut first = pin!(permits.acquire());
            let _ = timeout(Duration::from_secs(1), first.as_mut()).await;
            drop(taken);
            drop(permits.acquire().await);
        },
        &[
            "deadlock: a task waits for itself\n",
            "futurelock: a future of task 0 that the task no longer polls was given permits 0 s ago",
        ],
    );
    check(
        async {
            let lock = RwLock::new(());
            let taken = lock.read().await;
            let mut first = pin!(lock.write());
            let _ = timeout(Duration::from_secs(1), first.as_mut()).await;
            drop(taken);
            drop(lock.read().await);
        },
        &[
            "deadlock: a task waits for itself\n",
            "futurelock: a future of task 0 that the task no longer polls was given a write lock 0 s ago",
        ],
    );
    check(
        async {
            let (sender, mut receiver) = mpsc::channel(1);
            sender.send(1).await.expect("there is room");
            let mut first = pin!(sender.send(2));
            let _ = timeout(Duration::from_secs(1), first.as_mut()).await;
            assert_eq!(receiver.recv().await, Some(1));
            let _ = sender.send(3).await;
        },
        &[
            "deadlock: a task waits for itself\n",
            "futurelock: a future of task 0 that the task no longer polls was given room in a channel 0 s ago",
        ],
    );
    check(
        async {
            let bell = Rc::new(Notify::new());
            let mut first = pin!(bell.notified());
            let _ = timeout(Duration::from_secs(1), first.as_mut()).await;
            let ringing = Rc::clone(&bell);
            drop(spawn_named("ringer", async move { ringing.notify_one() }));
            bell.notified().await;
        },
        &[
            "deadlock: a task waits for itself\n",
            "futurelock: a future of task 0 that the task no longer polls was given a notification 0 s ago",
        ],
    );
}

/// All other tasks go on, and those who need the lock never get it: that is found where the run ends.
#[test]
fn a_futurelock_of_a_task_that_lives_is_a_leak() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    let lock = Rc::default();
    let (owner, needy) = (Rc::clone(&lock), Rc::clone(&lock));
    drop(host.spawn(async move {
        hold(&owner);
        yield_now().await;
        let mut first = pin!(work(&owner));
        let _ = timeout(Duration::from_secs(1), first.as_mut()).await;
        // The bug: it is kept, and something else is awaited, again and again.
        loop {
            sleep(Duration::from_secs(7)).await;
        }
    }));
    host.run(async move {
        sleep_until(second(10)).await;
        drop(spawn_named("needy", async move { work(&needy).await }));
        sleep_until(second(65)).await;
    });
    world.run().expect("the foreground ends");
    let leaks = world.leaks();
    let told = leaks.iter().find(|line| line.contains(": futurelock: "));
    let told = told.unwrap_or_else(|| panic!("{leaks:?}"));
    let start = "server: futurelock: a future of task 0 that the task no longer polls was given a lock 60.0 s ago";
    assert!(told.starts_with(start), "{told}");
    assert!(told.ends_with("; waited for by task 3 'needy'"), "{told}");
}

/// Nobody waits for what it has, or it takes what it has in the end: that is how programs are.
#[test]
fn a_future_that_is_polled_again_is_no_futurelock() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    host.run(async {
        let lock = Rc::default();
        hold(&lock);
        yield_now().await;
        let mut first = pin!(work(&lock));
        while timeout(Duration::from_secs(1), first.as_mut()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    world.run().expect("it ends well");
    assert!(world.leaks().is_empty(), "{:?}", world.leaks());
}

#[test]
fn what_nobody_waits_for_is_no_futurelock() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    drop(host.spawn(async {
        let lock = Rc::default();
        hold(&lock);
        yield_now().await;
        let mut first = pin!(work(&lock));
        let _ = timeout(Duration::from_secs(1), first.as_mut()).await;
        sleep_until(second(100)).await;
    }));
    host.run(async { sleep_until(second(65)).await });
    world.run().expect("the foreground ends");
    let leaks = world.leaks();
    assert!(!leaks.is_empty(), "the task is left");
    assert!(!leaks.iter().any(|line| line.contains(": futurelock: ")), "{leaks:?}");
}
