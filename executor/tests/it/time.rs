//! Sleeping, timeouts and yielding, on a clock that jumps.

use core::pin::{Pin, pin};
use core::time::Duration;
use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use futures::future::{join, join_all};
use futures::poll;
use mainspring_executor::time::{Elapsed, now, sleep, sleep_until, timeout, wall_clock, yield_now};
use mainspring_executor::{Instant, spawn};

use crate::drops::Drops;
use crate::ticking::{World, run};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn at(milliseconds: u64) -> Instant {
    Instant::START + millis(milliseconds)
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines_and_ties_in_that_of_setting() {
    // Not in that of spawning, of ids, or of anything else.
    let order = run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let sleeper = |(name, deadline): (&'static str, u64)| {
            let order = Rc::clone(&order);
            spawn(async move {
                sleep_until(at(deadline)).await;
                order.borrow_mut().push((name, now()));
            })
        };
        let sleepers = [("c", 30), ("a", 10), ("d", 30), ("b", 10), ("e", 30)].map(sleeper);
        join_all(sleepers).await;
        order.take()
    });
    let expected = [("a", 10), ("b", 10), ("c", 30), ("d", 30), ("e", 30)];
    assert_eq!(order, expected.map(|(name, deadline)| (name, at(deadline))));
}

#[test]
fn a_deadline_that_has_passed_is_ready_at_once() {
    // Also zero, and again after it was ready.
    run(async {
        sleep(millis(5)).await;
        let mut past = pin!(sleep_until(at(5)));
        assert!(poll!(past.as_mut()).is_ready());
        assert!(poll!(past.as_mut()).is_ready());
        assert!(poll!(pin!(sleep(Duration::ZERO))).is_ready());
    });
}

#[test]
fn a_sleep_that_is_dropped_leaves_no_timer() {
    // The clock never stops at its deadline.
    let world = World::new();
    let shard = world.shard.clone();
    let line = world.run(async move {
        let (mut dropped, line) = (Box::pin(sleep(millis(1))), line!());
        assert!(poll!(dropped.as_mut()).is_pending());
        let timers = shard.ledger().timers;
        assert_eq!(timers.len(), 1);
        assert_eq!(timers[0].deadline, at(1));
        assert!(timers[0].origin.file().ends_with("tests/it/time.rs"));
        assert_eq!(timers[0].origin.line(), line);
        drop(dropped);
        assert!(shard.ledger().timers.is_empty());
        line
    });
    assert!(line > 0);
    assert!(world.shard.next_wake().is_none());
    world.end();
}

#[test]
fn a_timeout_gives_the_output_or_drops_the_future() {
    // Ready exactly at the deadline is in time.
    run(async {
        let drops = Drops::default();
        let value = drops.value();
        let late = async move {
            let _value = value;
            sleep(millis(20)).await;
        };
        assert_eq!(timeout(millis(10), late).await, Err(Elapsed));
        assert_eq!((drops.count(), now()), (1, at(10)));
        assert_eq!(timeout(millis(10), async { 1 }).await, Ok(1));
        assert_eq!(timeout(millis(10), sleep(millis(10))).await, Ok(()));
        assert_eq!(now(), at(20));
        assert_eq!(timeout(Duration::ZERO, pending::<()>()).await, Err(Elapsed));
    });
}

#[test]
fn a_deadline_moved_later_is_kept() {
    // Again and again, by who polls and between polls; it costs one timer.
    let world = World::new();
    let shard = world.shard.clone();
    world.run(async move {
        let mut idle = pin!(sleep(millis(10)));
        for step in 1..=5 {
            assert!(timeout(millis(8), idle.as_mut()).await.is_err());
            idle.as_mut().reset(at(8 * step + 10));
            assert!(poll!(idle.as_mut()).is_pending());
            assert_eq!(shard.ledger().timers.len(), 1);
        }
        idle.await;
        assert_eq!(now(), at(50));
    });
    world.end();
}

#[test]
fn a_deadline_moved_earlier_is_kept() {
    // Also one that was never set, and one moved later after it had fired.
    run(async {
        let mut idle = pin!(sleep_until(Instant::FAR_FUTURE));
        assert!(poll!(idle.as_mut()).is_pending());
        idle.as_mut().reset(at(100));
        assert!(poll!(idle.as_mut()).is_pending());
        idle.as_mut().reset(at(10));
        assert_eq!(idle.deadline(), at(10));
        idle.as_mut().await;
        assert_eq!(now(), at(10));

        idle.as_mut().reset(at(20));
        assert!(poll!(idle.as_mut()).is_pending());
        sleep_until(at(30)).await;
        idle.as_mut().reset(at(50));
        assert!(poll!(idle.as_mut()).is_pending());
        idle.as_mut().reset(at(40));
        idle.await;
        assert_eq!(now(), at(40));
    });
}

#[test]
fn a_sleep_may_move_to_another_task() {
    // The last to poll it is woken.
    run(async {
        let mut moved = Box::pin(sleep(millis(10)));
        assert!(poll!(moved.as_mut()).is_pending());
        let woken = spawn(async move {
            moved.await;
            now()
        });
        assert_eq!(woken.await.unwrap(), at(10));
    });
}

#[test]
fn the_far_future_never_comes() {
    // It sets no timer, and nothing runs over.
    run(async {
        let never = timeout(Duration::MAX, sleep_until(Instant::FAR_FUTURE));
        assert!(timeout(millis(1), never).await.is_err());
        let centuries = Duration::from_secs(500 * 365 * 24 * 3600);
        sleep(centuries).await;
        assert_eq!(now(), at(1) + centuries);
    });
}

#[test]
fn yielding_lets_each_ready_task_run_once() {
    // Not more, and not the same task twice.
    run(async {
        let count = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&count);
        let other = spawn(async move {
            loop {
                *counted.borrow_mut() += 1;
                yield_now().await;
            }
        });
        for expected in 1..=100 {
            yield_now().await;
            assert_eq!(*count.borrow(), expected);
        }
        other.abort();
    });
}

#[test]
fn all_who_ask_in_one_turn_see_one_moment() {
    // Though the driver's clock goes on; the date does not stand still.
    let world = World::new();
    let driver = Rc::clone(&world.driver);
    world.run(async move {
        driver.advance(millis(3));
        let ask = async { now() };
        assert_eq!(join(ask, async { now() }).await, (at(0), at(0)));
        assert_eq!(wall_clock(), Some(millis(3)));
        sleep(millis(1)).await;
        assert_eq!(now(), at(3), "the timer was overdue when the shard looked");
    });
    assert_eq!(wall_clock(), None, "there is no shard here");
    world.end();
}

#[test]
fn a_timer_that_is_reset_by_its_owner_wakes_only_then() {
    // A `Sleep` is `Unpin`: it can be a field that a state machine polls by hand.
    run(async {
        let mut timer = sleep(millis(1));
        Pin::new(&mut timer).await;
        timer.reset(at(2));
        (&mut timer).await;
        assert_eq!(now(), at(2));
    });
}
