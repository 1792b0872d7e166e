//! Deadlines: the earlier one counts, however they nest and whatever is in between.
#![expect(clippy::async_yields_async, reason = "the handle is what is looked at")]

use core::time::Duration;
use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, ready};
use mainspring_executor::shield::shield;
use mainspring_executor::time::{Elapsed, now, sleep, yield_now};
use mainspring_executor::{Instant, Scope, deadline, spawn};

use crate::drops::{Drops, on_drop};
use crate::ticking::{World, run};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn at(count: u64) -> Instant {
    Instant::START + seconds(count)
}

/// What is between the outer deadline and the inner one.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    /// Another deadline.
    Within(u64),
    Spawn,
    /// A task that goes on alone: its parent has ended.
    SpawnThatStays,
    ScopeSpawn,
    /// A scope with a deadline.
    ScopeUntil(u64),
    /// A section with so much time.
    Shield(u64),
}

/// `inner` with `between` around it. Whether that is ended before it is not told here.
fn through(between: &[Between], inner: LocalBoxFuture<'static, ()>) -> LocalBoxFuture<'static, ()> {
    let Some((first, rest)) = between.split_first() else { return inner };
    let inner = through(rest, inner);
    let first = *first;
    async move {
        let _is_in_time = match first {
            Between::Nothing => inner.map(|()| true).await,
            Between::Within(secs) => deadline::within(seconds(secs), inner).await.is_ok(),
            Between::Spawn => spawn(inner).await.is_ok(),
            Between::SpawnThatStays => spawn(async { drop(spawn(inner)) }).await.is_ok(),
            Between::ScopeSpawn => Scope::new().spawn(inner).await.is_ok(),
            Between::ScopeUntil(secs) => Scope::with_deadline(at(secs)).spawn(inner).await.is_ok(),
            Between::Shield(secs) => shield(seconds(secs), inner).await.is_ok(),
        };
    }
    .boxed_local()
}

#[test]
fn the_earliest_counts() {
    // Outer deadline, what is between, own deadline; what is seen in there, and when the innermost future is dropped.
    use Between::*;
    let check =
        |outer: Option<u64>, between: &[Between], own: u64, seen: Option<u64>, ended: u64| {
            let name = format!("{outer:?} {between:?} {own}");
            let (seen_inside, ended_at) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
            let (sees, ends) = (Rc::clone(&seen_inside), Rc::clone(&ended_at));
            let inner = async move {
                sees.set(Some((deadline::current(), deadline::remaining())));
                let _ends = deadline::until(at(own), async move {
                    let _ends = on_drop(move || ends.set(Some(now())));
                    pending::<()>().await;
                })
                .await;
            };
            let inner = through(between, inner.boxed_local());
            run(async move {
                match outer {
                    Some(outer) => assert!(
                        deadline::until(at(outer), inner).await.is_ok() || now() == at(outer)
                    ),
                    None => inner.await,
                }
                sleep(seconds(100)).await;
            });
            assert_eq!(seen_inside.get(), Some((seen.map(at), seen.map(seconds))), "{name}");
            assert_eq!(ended_at.get(), Some(at(ended)), "{name}");
        };
    for free in [Nothing, Spawn, SpawnThatStays, ScopeSpawn] {
        check(None, &[free], 5, None, 5);
        check(Some(9), &[free], 5, Some(9), 5);
        check(Some(9), &[free, Within(7)], 8, Some(7), 7);
        check(Some(9), &[Within(7), free], 8, Some(7), 7);
        check(Some(9), &[Within(7), free, Spawn], 8, Some(7), 7);
    }
    check(Some(3), &[], 5, Some(3), 3);
    check(Some(9), &[Within(20)], 5, Some(9), 5);
    check(Some(9), &[Within(20), Within(30)], 40, Some(9), 9);
    check(None, &[ScopeUntil(9)], 5, Some(9), 5);
    check(Some(7), &[ScopeUntil(9)], 5, Some(7), 5);
    check(Some(9), &[ScopeUntil(7)], 8, Some(7), 7);
    check(None, &[ScopeUntil(3), SpawnThatStays], 8, Some(3), 3);
    check(Some(9), &[ScopeUntil(7), Spawn], 5, Some(7), 5);
    check(None, &[Shield(9)], 5, Some(9), 5);
    check(Some(20), &[Shield(9)], 5, Some(9), 5);
    check(Some(20), &[Within(7), Shield(9)], 5, Some(9), 5);
    check(Some(20), &[Shield(9), Within(7)], 8, Some(7), 7);
    check(Some(20), &[Shield(9), Spawn, Within(30)], 8, Some(9), 8);
}

#[test]
fn a_section_outlives_the_deadline_around_and_what_is_in_it_does() {
    run(async {
        let ended_at = Rc::new(Cell::new(None));
        let tells = Rc::clone(&ended_at);
        let section = async move {
            let inner = deadline::within(seconds(4), pending::<()>()).await;
            tells.set(Some((inner, now())));
        };
        let around = deadline::within(seconds(1), async { shield(seconds(9), section).await });
        assert_eq!(around.await, Err(Elapsed));
        assert_eq!(ended_at.get(), None);
        sleep(seconds(9)).await;
        assert_eq!(ended_at.get(), Some((Err(Elapsed), at(4))));
    });
}

#[test]
fn a_task_keeps_the_deadline_when_its_parent_was_ended_by_it() {
    // It is not ended itself, but what it does within some time is, at once: that is not even begun.
    run(async {
        let seen = Rc::new(Cell::new(None));
        let tells = Rc::clone(&seen);
        let polled = Rc::new(Cell::new(false));
        let begins = Rc::clone(&polled);
        let body = async move {
            spawn(async move {
                sleep(seconds(3)).await;
                let late = deadline::within(seconds(60), async move { begins.set(true) }).await;
                tells.set(Some((deadline::current(), deadline::remaining(), late)));
            });
            pending::<()>().await;
        };
        assert_eq!(deadline::within(seconds(2), body).await, Err(Elapsed));
        sleep(seconds(5)).await;
        assert_eq!(seen.get(), Some((Some(at(2)), Some(Duration::ZERO), Err(Elapsed))));
        assert!(!polled.get());
    });
}

#[test]
fn the_future_is_dropped_before_the_end_is_told() {
    // Also one that is ready; also one that was never begun.
    run(async {
        for (given, ends) in [(0, false), (1, false), (3, true)] {
            let drops = Drops::default();
            let value = drops.value();
            let mut until = pin!(deadline::within(seconds(given), async move {
                let _value = value;
                sleep(seconds(2)).await;
            }));
            assert_eq!(until.as_mut().await.is_ok(), ends);
            assert_eq!(drops.live(), 0);
        }
    });
}

#[test]
fn what_is_ready_in_time_is_not_thrown_away() {
    // The task was late, not the future.
    let world = World::new();
    let driver = Rc::clone(&world.driver);
    world.run(async move {
        let late = async {
            sleep(seconds(1)).await;
            7
        };
        spawn(async move {
            yield_now().await;
            driver.advance(seconds(5));
        });
        assert_eq!(deadline::within(seconds(2), late).await, Ok(7));
        assert_eq!(now(), at(5));
        assert_eq!(deadline::until(at(5), ready(7)).await, Err(Elapsed), "not begun");
        assert_eq!(deadline::within(Duration::MAX, ready(7)).await, Ok(7));
    });
    world.end();
}

#[test]
fn outside_there_is_none() {
    assert_eq!((deadline::current(), deadline::remaining()), (None, None));
    run(async {
        let around = deadline::within(seconds(1), async { deadline::current() });
        assert_eq!(around.await, Ok(Some(at(1))));
        assert_eq!((deadline::current(), deadline::remaining()), (None, None), "it was restored");
        let endless = deadline::within(Duration::MAX, async { deadline::current() });
        assert_eq!(endless.await, Ok(None), "one that never comes is none");
    });
}

#[test]
fn a_task_sent_to_another_shard_has_as_much_time_left() {
    // Whose clock shows something else.
    let (here, there) = (World::new(), World::new());
    there.driver.advance(seconds(1000));
    there.run(yield_now());
    let remote = there.shard.handle();
    let task = here.run(async move {
        sleep(seconds(1)).await;
        let sends = async { remote.spawn(|| async { deadline::current() }) };
        deadline::within(seconds(5), sends).await.unwrap()
    });
    let seen = there.run(task).unwrap();
    assert_eq!(seen, Some(at(1005)));
    here.end();
    there.end();
}
