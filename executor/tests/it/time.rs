//! Sleeping, timeouts, intervals and yielding, on a clock that jumps.

use core::pin::{Pin, pin};
use core::time::Duration;
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::rc::Rc;

use futures::future::{join, join_all};
use futures::poll;
use mainspring_executor::time::{
    Elapsed, MissedTick, Sleep, interval, interval_at, now, sleep, sleep_until, timeout,
    timeout_at, wall_clock, yield_now,
};
use mainspring_executor::{Instant, TaskId, spawn};

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
fn a_timeout_at_a_moment_ends_then() {
    // However long ago the moment was fixed; one that has passed still asks the future first.
    run(async {
        let deadline = at(10);
        sleep(millis(7)).await;
        assert_eq!(timeout_at(deadline, pending::<()>()).await, Err(Elapsed));
        assert_eq!(now(), at(10));
        assert_eq!(timeout_at(at(3), async { 1 }).await, Ok(1));
        assert_eq!(timeout_at(at(3), pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout_at(at(30), sleep(millis(20))).await, Ok(()));
        assert_eq!(timeout_at(Instant::FAR_FUTURE, sleep(millis(5))).await, Ok(()));
        assert_eq!(now(), at(35));
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
    // Also one that was never set, one moved later after it had fired, and one that fired while nobody looked.
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
        idle.as_mut().await;
        assert_eq!(now(), at(40));

        idle.as_mut().reset(at(50));
        assert!(poll!(idle.as_mut()).is_pending());
        sleep_until(at(60)).await;
        idle.as_mut().reset(at(45));
        assert!(poll!(idle.as_mut()).is_ready());
    });
}

#[test]
fn a_moved_deadline_reaches_a_task_that_waits() {
    // Earlier, later, and into the past; it is not polled in between.
    for (moves, expected) in
        [(&[30, 20][..], 20), (&[60], 60), (&[60, 30], 30), (&[2], 5), (&[5], 5)]
    {
        run(async move {
            let shared = Rc::new(RefCell::new(sleep(millis(50))));
            let waits = Rc::clone(&shared);
            let woken = spawn(async move {
                poll_fn(|cx| Pin::new(&mut *waits.borrow_mut()).poll(cx)).await;
                now()
            });
            sleep(millis(5)).await;
            for deadline in moves {
                shared.borrow_mut().reset(at(*deadline));
            }
            assert_eq!(woken.await.unwrap(), at(expected), "{moves:?}");
        });
    }
}

#[test]
fn a_sleep_may_move_to_another_task() {
    // The last to poll it is woken, and is who waits in the ledger.
    let world = World::new();
    let shard = world.shard.clone();
    world.run(async move {
        let waits = || {
            let timers = shard.ledger().timers;
            timers.iter().map(|timer| (timer.task, timer.since)).next()
        };
        sleep(millis(3)).await;
        let mut moved = Box::pin(sleep(millis(10)));
        assert_eq!(waits(), None);
        assert!(poll!(moved.as_mut()).is_pending());
        assert_eq!(waits(), Some((Some(TaskId(0)), at(3))));
        sleep(millis(2)).await;
        let woken = spawn(async move {
            moved.await;
            now()
        });
        yield_now().await;
        assert_eq!(waits(), Some((Some(TaskId(1)), at(5))));
        assert_eq!(woken.await.unwrap(), at(13));
        assert_eq!(waits(), None);
    });
    world.end();
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
fn timers_fire_on_time_after_others_were_dropped() {
    // A dropped one may cost a turn, but hundreds cost a few, and they move nothing.
    let world = World::new();
    world.run(async {
        for round in 0..50 {
            let started = now();
            let mut kept = sleep(millis(1_000 + round));
            let mut dropped: Vec<Sleep> = (1..1_000).map(|step| sleep(millis(step))).collect();
            for timer in dropped.iter_mut().chain([&mut kept]) {
                assert!(poll!(timer).is_pending());
            }
            drop(dropped);
            kept.await;
            assert_eq!(now(), started + millis(1_000 + round));
        }
    });
    let turns = world.metrics().turns;
    assert!((51..=51 + 50 * 5).contains(&turns), "{turns} turns for 50 timers");
    world.end();
}

/// The moments, in milliseconds, for which the ticks of `policy` were due and at which they were taken, where the work
/// between one tick and the next takes so long.
fn ticks(policy: MissedTick, work: &'static [u64]) -> Vec<(u64, u64)> {
    let as_millis = |moment: Instant| moment.as_nanos() / 1_000_000;
    run(async move {
        let mut ticks = Vec::new();
        let mut interval = interval(millis(10));
        interval.set_missed_tick(policy);
        assert_eq!(interval.missed_tick(), policy);
        for duration in work {
            let due = interval.tick().await;
            ticks.push((as_millis(due), as_millis(now())));
            sleep(millis(*duration)).await;
        }
        ticks
    })
}

#[test]
fn missed_ticks_are_made_up_for_put_off_or_left_out() {
    use MissedTick::{Burst, Delay, Skip};
    let check = |policy, work, expected: &[(u64, u64)]| {
        assert_eq!(ticks(policy, work), expected, "{policy:?} with work of {work:?}");
    };
    // In time: all are one.
    for policy in [Burst, Delay, Skip] {
        check(policy, &[0, 0, 0, 0], &[(0, 0), (10, 10), (20, 20), (30, 30)]);
        check(policy, &[9, 1, 10, 0], &[(0, 0), (10, 10), (20, 20), (30, 30)]);
    }
    // Late, by less than a period.
    check(Burst, &[13, 0, 0, 0], &[(0, 0), (10, 13), (20, 20), (30, 30)]);
    check(Delay, &[13, 0, 0, 0], &[(0, 0), (10, 13), (23, 23), (33, 33)]);
    check(Skip, &[13, 0, 0, 0], &[(0, 0), (10, 13), (20, 20), (30, 30)]);
    // By a period, exactly: the next one is due in the same moment.
    check(Burst, &[20, 0, 0, 0], &[(0, 0), (10, 20), (20, 20), (30, 30)]);
    check(Delay, &[20, 0, 0, 0], &[(0, 0), (10, 20), (30, 30), (40, 40)]);
    check(Skip, &[20, 0, 0, 0], &[(0, 0), (10, 20), (30, 30), (40, 40)]);
    // By more: the example of the docs.
    check(
        Burst,
        &[35, 0, 0, 0, 0, 0, 0],
        &[(0, 0), (10, 35), (20, 35), (30, 35), (40, 40), (50, 50), (60, 60)],
    );
    check(Delay, &[35, 0, 0, 0, 0], &[(0, 0), (10, 35), (45, 45), (55, 55), (65, 65)]);
    check(Skip, &[35, 0, 0, 0, 0], &[(0, 0), (10, 35), (40, 40), (50, 50), (60, 60)]);
    // Late again while late.
    check(Burst, &[35, 9, 3, 0, 0], &[(0, 0), (10, 35), (20, 44), (30, 47), (40, 47)]);
    check(Delay, &[35, 12, 0, 0], &[(0, 0), (10, 35), (45, 47), (57, 57)]);
    check(Skip, &[35, 12, 0, 0], &[(0, 0), (10, 35), (40, 47), (50, 50)]);
}

#[test]
fn an_interval_ticks_first_at_its_start() {
    // Also at one that lies ahead or has passed.
    run(async {
        sleep(millis(25)).await;
        assert_eq!((interval(millis(10)).tick().await, now()), (at(25), at(25)));
        let mut ahead = interval_at(at(40), millis(10));
        assert_eq!(ahead.period(), millis(10));
        assert_eq!((ahead.tick().await, now()), (at(40), at(40)));
        assert_eq!((ahead.tick().await, now()), (at(50), at(50)));
        let mut passed = interval_at(at(35), millis(10));
        for due in [35, 45, 55] {
            assert_eq!(passed.tick().await, at(due));
        }
        assert_eq!(now(), at(55));
    });
}

#[test]
fn a_tick_that_is_given_up_is_not_lost() {
    // However often it was polled before, and though its moment came meanwhile.
    run(async {
        let mut interval = interval_at(at(10), millis(10));
        for _ in 0..3 {
            assert!(timeout(millis(1), interval.tick()).await.is_err());
        }
        assert!(poll!(pin!(interval.tick())).is_pending());
        sleep(millis(12)).await;
        assert_eq!((interval.tick().await, now()), (at(10), at(15)));
        assert_eq!((interval.tick().await, now()), (at(20), at(20)));
    });
}

#[test]
fn an_interval_that_is_reset_starts_anew() {
    // One period from then, late or not.
    run(async {
        let mut interval = interval(millis(10));
        interval.tick().await;
        assert!(timeout(millis(4), interval.tick()).await.is_err());
        interval.reset();
        assert_eq!((interval.tick().await, now()), (at(14), at(14)));
        sleep(millis(100)).await;
        interval.reset();
        assert_eq!((interval.tick().await, now()), (at(124), at(124)));
    });
}

#[test]
fn an_interval_may_be_longer_than_all_time() {
    run(async {
        for policy in [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip] {
            let mut never = interval(Duration::MAX);
            never.set_missed_tick(policy);
            assert_eq!(never.tick().await, now());
            assert!(timeout(millis(1), never.tick()).await.is_err());
            let mut never = interval_at(Instant::FAR_FUTURE, Duration::from_nanos(1));
            assert!(timeout(millis(1), never.tick()).await.is_err());
        }
    });
}

#[test]
fn a_burst_of_ticks_lets_others_run() {
    // A million of them are due at once.
    run(async {
        let mut interval = interval(Duration::from_micros(1));
        sleep(Duration::from_secs(1)).await;
        let turns = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&turns);
        let other = spawn(async move {
            loop {
                *counted.borrow_mut() += 1;
                yield_now().await;
            }
        });
        for tick in 0..1_000_000 {
            let due = interval.tick().await;
            assert_eq!(due, Instant::START + Duration::from_micros(tick));
        }
        let turns = *turns.borrow();
        assert!(turns >= 1_000, "{turns} polls of the other task");
        other.abort();
    });
}

#[test]
#[should_panic(expected = "the period of an interval is longer than zero")]
fn an_interval_of_no_time_is_refused() {
    run(async { drop(interval(Duration::ZERO)) });
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
