//! Scopes: children end before their parent, in whatever way it ends.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::join_all;
use mainspring_executor::scope::scope;
use mainspring_executor::time::{Elapsed, now, sleep, sleep_until, timeout, yield_now};
use mainspring_executor::{
    CancelReason, CancelToken, Instant, JoinError, JoinHandle, Scope, ScopeError, spawn, task_local,
};

use crate::drops::{Drops, on_drop};
use crate::ticking::{World, run};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A child that ends by itself after a while.
async fn ends_after(wait: Duration, drops: Drops) {
    let _value = drops.value();
    sleep(wait).await;
}

/// A child that does not.
async fn never_ends(drops: Drops) {
    let _value = drops.value();
    pending::<()>().await;
}

#[test]
fn join_waits_for_all_children() {
    // The slowest decides; none is left.
    run(async {
        let drops = Drops::default();
        let scope = Scope::new();
        for wait in [3, 1, 2] {
            drop(scope.spawn(ends_after(seconds(wait), drops.clone())));
        }
        assert_eq!(scope.len(), 3);
        scope.join().await.unwrap();
        assert_eq!((drops.count(), scope.len()), (3, 0));
        assert_eq!(now(), Instant::START + seconds(3));
    });
}

#[test]
fn cancel_ends_children_before_it_returns() {
    // Those that wait, and those that never ran, in the order of spawning.
    run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let scope = Scope::new();
        let child = |name: usize| {
            let log = Rc::clone(&order);
            let value = on_drop(move || log.borrow_mut().push(name));
            async move {
                let _value = value;
                pending::<()>().await;
            }
        };
        let waits = scope.spawn(child(0));
        yield_now().await;
        let never_ran = scope.spawn(child(1));
        scope.cancel();
        assert_eq!(*order.borrow(), [0, 1]);
        assert!(scope.is_empty());
        for handle in [waits, never_ran] {
            assert!(matches!(handle.await, Err(JoinError::Cancelled)));
        }
        scope.join().await.unwrap();
    });
}

#[test]
fn dropping_the_parent_half_way_ends_the_children() {
    // Nested: children of children, too; before the drop returns.
    let drops = Drops::default();
    let counted = drops.clone();
    run(async move {
        let inner_drops = counted.clone();
        let body = scope(async move |outer| {
            let inner_drops = inner_drops.clone();
            drop(outer.spawn(never_ends(inner_drops.clone())));
            outer
                .spawn(async move {
                    scope(async move |inner| {
                        drop(inner.spawn(never_ends(inner_drops.clone())));
                        never_ends(inner_drops).await;
                    })
                    .await;
                })
                .await
                .unwrap();
        });
        assert!(timeout(seconds(1), body).await.is_err());
        assert_eq!(counted.count(), 3);
    });
}

#[test]
fn aborting_the_parent_task_ends_the_children() {
    // A scope lives in the future that made it.
    let drops = Drops::default();
    let counted = drops.clone();
    run(async move {
        let inner_drops = counted.clone();
        let parent = spawn(async move {
            scope(async move |scope| drop(scope.spawn(never_ends(inner_drops)))).await;
        });
        sleep(seconds(1)).await;
        assert_eq!(counted.count(), 0, "the parent waits for its child");
        parent.abort();
        assert!(parent.await.is_err());
        assert_eq!(counted.count(), 1);
    });
}

#[test]
fn scope_gives_what_its_body_gave_after_the_children_ended() {
    // The body may borrow from its surroundings.
    run(async {
        let factor = 20;
        let drops = Drops::default();
        let output = scope(async |scope| {
            let one = scope.spawn(async { 1 });
            drop(scope.spawn(ends_after(seconds(5), drops.clone())));
            (one.await.unwrap() + 1) * factor
        })
        .await;
        assert_eq!((output, drops.count()), (40, 1));
        assert_eq!(now(), Instant::START + seconds(5));
    });
}

#[test]
fn a_panic_of_a_child_surfaces_in_the_scope() {
    // Of `join` as an error, of `scope` as a panic; a joined one goes to the joiner instead.
    let world = World::new();
    world.run(async {
        let children = Scope::new();
        drop(children.spawn(async { panic!("first") }));
        let joined: JoinHandle<()> = children.spawn(async { panic!("joined") });
        let error = children.join().await.unwrap_err();
        assert_eq!(error.to_string(), "a task of the scope panicked: first");
        children.join().await.expect("told once");
        assert!(joined.await.unwrap_err().is_panic());

        let body = scope(async |scope| drop(scope.spawn(async { panic!("second") })));
        let payload = AssertUnwindSafe(body).catch_unwind().await.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"second"));
    });
    assert_eq!(world.metrics().panics_unjoined, 0);
    world.end();
}

#[test]
fn panics_that_no_join_tells_are_counted() {
    // Those after the first, and those of a scope that was dropped without a join.
    let world = World::new();
    world.run(async {
        let children = Scope::new();
        drop(children.spawn(async { panic!("first") }));
        drop(children.spawn(async { panic!("second") }));
        assert!(children.join().await.is_err());
    });
    assert_eq!(world.metrics().panics_unjoined, 1, "the second");
    world.run(async {
        let children = Scope::new();
        drop(children.spawn(async { panic!("never joined") }));
        yield_now().await;
    });
    assert_eq!(world.metrics().panics_unjoined, 2);
    world.end();
}

#[test]
fn a_child_that_drops_its_scope_ends_after_that_poll() {
    // Its siblings end at once. Whether it gives a value, waits, or panics: the panic is counted.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Then {
        Ready,
        Waits,
        Panics,
    }
    for then in [Then::Ready, Then::Waits, Then::Panics] {
        let world = World::new();
        let drops = Drops::default();
        let counted = drops.clone();
        world.run(async move {
            let slot: Rc<RefCell<Option<Scope>>> = Rc::default();
            let scope = Scope::new();
            let own = Rc::clone(&slot);
            let value = counted.value();
            let sibling = counted.clone();
            drop(scope.spawn(never_ends(counted.clone())));
            let mut polls = 0;
            drop(scope.spawn(poll_fn(move |_| {
                let _keep = &value;
                polls += 1;
                assert_eq!(polls, 1, "it is not polled again");
                drop(own.take());
                assert_eq!(sibling.count(), 1, "the sibling is gone");
                match then {
                    Then::Ready => Poll::Ready(()),
                    Then::Waits => Poll::Pending,
                    Then::Panics => panic!("on purpose"),
                }
            })));
            *slot.borrow_mut() = Some(scope);
            for _ in 0..3 {
                yield_now().await;
            }
            assert_eq!(counted.count(), 2);
        });
        let panics = u64::from(then == Then::Panics);
        assert_eq!(world.metrics().panics_unjoined, panics, "{then:?}");
        assert_eq!(drops.count(), 2);
        world.end();
    }
}

#[test]
fn a_child_may_spawn_siblings_and_join_sees_them() {
    // Through a scope that is shared.
    run(async {
        let drops = Drops::default();
        let scope = Rc::new(Scope::new());
        let (own, counted) = (Rc::downgrade(&scope), drops.clone());
        drop(scope.spawn(async move {
            sleep(seconds(1)).await;
            let scope = own.upgrade().unwrap();
            drop(scope.spawn(ends_after(seconds(1), counted)));
        }));
        scope.join().await.unwrap();
        assert_eq!(drops.count(), 1);
        assert_eq!(now(), Instant::START + seconds(2));
    });
}

#[test]
fn a_scope_may_outlive_its_shard() {
    // Its children do not.
    let world = World::new();
    let drops = Drops::default();
    let scope = world.shard.enter(Scope::new);
    drop(scope.spawn(never_ends(drops.clone())));
    world.run(async { yield_now().await });
    assert_eq!(world.end_with_leftovers(), (1, 1), "the scope holds the shard's memory");
    assert_eq!((drops.count(), scope.len()), (1, 0));
}

#[test]
fn any_number_may_join() {
    // Also in parts of one task that have wakers of their own, and where one of them left.
    run(async {
        let scope = Rc::new(Scope::new());
        drop(scope.spawn(sleep(seconds(2))));
        let waits = || {
            let scope = Rc::clone(&scope);
            async move { scope.join().await.unwrap() }
        };
        let (first, left, last) = (spawn(waits()), spawn(waits()), spawn(waits()));
        sleep(seconds(1)).await;
        left.abort();
        assert!(left.await.is_err());
        join_all([waits(), waits()]).await;
        assert_eq!(now(), Instant::START + seconds(2));
        first.await.unwrap();
        last.await.unwrap();
    });
}

#[test]
fn cancel_ends_what_destructors_spawn_meanwhile() {
    // Here, not elsewhere.
    let world = World::new();
    world.run(async {
        let drops = Drops::default();
        let children = Rc::new(Scope::new());
        let (own, counted) = (Rc::clone(&children), drops.clone());
        let elsewhere = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&elsewhere);
        let spawns = on_drop(move || {
            drop(own.spawn(never_ends(counted.clone())));
            *kept.borrow_mut() = Some(spawn(async { 7 }));
            own.cancel();
            assert!(!own.is_empty(), "the call that is under way goes on");
        });
        drop(children.spawn(async move {
            let _spawns = spawns;
            pending::<()>().await;
        }));
        drop(children.spawn(never_ends(drops.clone())));
        yield_now().await;
        children.cancel();
        assert!(children.is_empty());
        assert_eq!(drops.live(), 0);
        let elsewhere = elsewhere.take().unwrap();
        assert_eq!(elsewhere.await.unwrap(), 7);
    });
    assert_eq!(world.metrics().cancelled[CancelReason::Scope as usize], 3);
    world.end();
}

#[test]
fn a_destructor_of_a_child_may_drop_the_scope() {
    // While its siblings are being ended: they are gone when that drop returns.
    run(async {
        let drops = Drops::default();
        let slot = Rc::new(RefCell::new(None));
        let scope = Scope::with_deadline(Instant::START + seconds(1));
        let (own, counted) = (Rc::clone(&slot), drops.clone());
        let drops_scope = on_drop(move || {
            drop(own.take());
            assert_eq!(counted.live(), 0, "the siblings are gone");
        });
        drop(scope.spawn(never_ends(drops.clone())));
        drop(scope.spawn(async move {
            let _drops_scope = drops_scope;
            pending::<()>().await;
        }));
        drop(scope.spawn(never_ends(drops.clone())));
        *slot.borrow_mut() = Some(scope);
        sleep(seconds(2)).await;
        assert!(slot.borrow().is_none());
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn destructors_that_spawn_without_end_are_found() {
    struct Again {
        scope: Rc<Scope>,
        is_enough: Rc<Cell<bool>>,
    }
    impl Drop for Again {
        fn drop(&mut self) {
            if !self.is_enough.get() {
                spawn_again(&self.scope, &self.is_enough);
            }
        }
    }
    fn spawn_again(scope: &Rc<Scope>, is_enough: &Rc<Cell<bool>>) {
        let again = Again { scope: Rc::clone(scope), is_enough: Rc::clone(is_enough) };
        drop(scope.spawn(async move {
            let _again = again;
        }));
    }
    run(async {
        let (scope, is_enough) = (Rc::new(Scope::new()), Rc::default());
        spawn_again(&scope, &is_enough);
        let cancels = AssertUnwindSafe(async { scope.cancel() }).catch_unwind().await;
        let payload = cancels.unwrap_err();
        let message = payload.downcast_ref::<&str>().unwrap();
        assert_eq!(*message, "destructors of children spawn children without end");
        is_enough.set(true);
        scope.cancel();
        assert!(scope.is_empty(), "it can be used again");
    });
}

#[test]
fn a_panic_in_a_destructor_of_a_child_is_told() {
    // The siblings end all the same.
    run(async {
        let drops = Drops::default();
        let scope = Scope::new();
        let panics = on_drop(|| panic!("in a destructor"));
        drop(scope.spawn(async move {
            let _panics = panics;
            pending::<()>().await;
        }));
        drop(scope.spawn(never_ends(drops.clone())));
        yield_now().await;
        scope.cancel();
        assert_eq!(drops.count(), 1);
        let error = scope.join().await.unwrap_err();
        assert_eq!(error.to_string(), "a task of the scope panicked: in a destructor");
    });
}

#[test]
fn a_panic_goes_to_the_handle_or_to_the_scope_never_to_neither() {
    // By what becomes of the handle, and when.
    #[derive(Clone, Copy, Debug)]
    enum Handle {
        DroppedBefore,
        DroppedAfter,
        Joined,
        JoinedLater,
        DroppedAfterTheScope,
    }
    for (handle, told_to_scope, unjoined) in [
        (Handle::DroppedBefore, true, 0),
        (Handle::DroppedAfter, true, 0),
        (Handle::Joined, false, 0),
        (Handle::JoinedLater, false, 0),
        (Handle::DroppedAfterTheScope, false, 1),
    ] {
        let world = World::new();
        world.run(async move {
            let scope = Scope::new();
            let mut child = Some(scope.spawn(async { panic!("on purpose") }));
            match handle {
                Handle::DroppedBefore => drop(child.take()),
                Handle::DroppedAfter => {
                    yield_now().await;
                    drop(child.take());
                }
                Handle::Joined => assert!(child.take().unwrap().await.unwrap_err().is_panic()),
                Handle::JoinedLater | Handle::DroppedAfterTheScope => {}
            }
            assert_eq!(scope.join().await.is_err(), told_to_scope, "{handle:?}");
            drop(scope);
            if let Handle::JoinedLater = handle {
                let ended: Result<(), JoinError> = child.take().unwrap().await;
                assert!(ended.unwrap_err().is_panic());
            }
            drop(child);
        });
        assert_eq!(world.metrics().panics_unjoined, unjoined, "{handle:?}");
        world.end();
    }
}

#[test]
fn a_scope_by_itself_goes_on_after_a_panic() {
    run(async {
        let scope = Scope::new();
        let sibling = scope.spawn(async {
            sleep(seconds(2)).await;
            7
        });
        drop(scope.spawn(async { panic!("on purpose") }));
        sleep(seconds(1)).await;
        drop(scope.spawn(sleep(seconds(5))));
        assert!(matches!(scope.join().await, Err(ScopeError::Panicked(_))));
        assert_eq!((sibling.await.unwrap(), now()), (7, Instant::START + seconds(6)));
    });
}

#[test]
fn a_panic_ends_the_siblings_and_the_body_of_scope() {
    // At once, and only where nobody joins it.
    let world = World::new();
    world.run(async {
        let drops = Drops::default();
        let body = scope(async |scope| {
            let sibling = drops.clone();
            drop(scope.spawn(never_ends(sibling)));
            drop(scope.spawn(async {
                sleep(seconds(1)).await;
                panic!("on purpose")
            }));
            never_ends(drops.clone()).await;
        });
        let payload = AssertUnwindSafe(body).catch_unwind().await.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
        assert_eq!((drops.live(), now()), (0, Instant::START + seconds(1)));

        let output = scope(async |scope| {
            let joined = scope.spawn(async { panic!("joined") });
            drop(scope.spawn(sleep(seconds(1))));
            let ended: Result<(), JoinError> = joined.await;
            ended.unwrap_err().is_panic()
        });
        assert!(output.await);
    });
    assert_eq!(world.metrics().cancelled[CancelReason::Sibling as usize], 1);
    assert_eq!(world.metrics().panics_unjoined, 0);
    world.end();
}

#[test]
fn a_token_of_a_scope_is_a_child_of_that_of_the_scope_around() {
    // However the tokens were asked for first; around is the scope of the task, or that of the body.
    for inner_first in [true, false] {
        run(async move {
            let tokens = Rc::new(RefCell::new(Vec::new()));
            scope(async |outer| {
                if !inner_first {
                    drop(outer.token());
                }
                let of_body = Scope::new();
                let kept = Rc::clone(&tokens);
                drop(outer.spawn(async move {
                    let of_child = Scope::new();
                    let deep = of_child.spawn(async move {
                        let deeper = Scope::new();
                        kept.borrow_mut().push(deeper.token());
                        deeper.token().cancelled().await;
                    });
                    deep.await.unwrap();
                }));
                tokens.borrow_mut().push(of_body.token());
                let elsewhere = spawn(async { Scope::new().token().guard().disarm() });
                elsewhere.await.unwrap();
                yield_now().await;
                assert_eq!(tokens.borrow().len(), 2);
                assert!(tokens.borrow().iter().all(|token| !token.is_cancelled()));
                outer.drain().await.unwrap();
                assert!(tokens.borrow().iter().all(CancelToken::is_cancelled));
                assert!(outer.token().is_cancelled() && of_body.token().is_cancelled());
            })
            .await;
        });
    }
}

#[test]
fn the_end_of_a_scope_cancels_its_token() {
    run(async {
        let outer = Scope::new();
        let token = outer.token();
        outer.cancel();
        assert!(!token.is_cancelled(), "cancel does not ask");
        let waits = spawn(async move { token.cancelled().await });
        yield_now().await;
        drop(outer);
        waits.await.unwrap();
    });
}

#[test]
fn drain_asks_and_waits() {
    run(async {
        let scope = Scope::new();
        let drops = Drops::default();
        for wait in [1, 2, 3] {
            let (token, work) = (scope.token(), ends_after(seconds(wait), drops.clone()));
            drop(scope.spawn(async move {
                token.cancelled().await;
                work.await;
            }));
        }
        sleep(seconds(10)).await;
        assert_eq!(scope.len(), 3);
        scope.drain().await.unwrap();
        assert_eq!((drops.live(), now()), (0, Instant::START + seconds(13)));
    });
}

#[test]
fn drain_for_cancels_what_has_not_ended_and_counts_it() {
    for (patience, cancelled, ended_at) in [(0, 3, 0), (1, 2, 1), (2, 1, 2), (9, 1, 9)] {
        run(async move {
            let scope = Scope::new();
            for wait in [Duration::from_millis(999), Duration::from_millis(1998), Duration::MAX] {
                let token = scope.token();
                drop(scope.spawn(async move {
                    token.cancelled().await;
                    sleep(wait).await;
                }));
            }
            yield_now().await;
            assert_eq!(scope.drain_for(seconds(patience)).await, cancelled);
            assert!(scope.is_empty());
            assert_eq!(now(), Instant::START + seconds(ended_at));
            scope.join().await.unwrap();
        });
    }
    run(async { assert_eq!(Scope::new().drain_for(seconds(1)).await, 0, "at once") });
}

#[test]
fn a_deadline_ends_the_children_and_is_told() {
    let world = World::new();
    world.run(async {
        let drops = Drops::default();
        let scope = Scope::with_deadline(Instant::START + seconds(2));
        assert_eq!(scope.deadline(), Some(Instant::START + seconds(2)));
        drop(scope.spawn(ends_after(seconds(1), drops.clone())));
        drop(scope.spawn(never_ends(drops.clone())));
        drop(scope.spawn(never_ends(drops.clone())));
        assert!(matches!(scope.join().await, Err(ScopeError::Failed(Elapsed))));
        assert_eq!((drops.live(), now()), (0, Instant::START + seconds(2)));
        scope.join().await.expect("told once");

        let late = scope.spawn(never_ends(drops.clone()));
        assert!(matches!(late.await, Err(JoinError::Cancelled)), "the deadline has passed");
        scope.join().await.expect("nothing was cut by it");
        scope.set_deadline(Instant::FAR_FUTURE);
        assert_eq!(scope.deadline(), None);
        assert_eq!(scope.spawn(async { 7 }).await.unwrap(), 7, "there is none any more");
    });
    assert_eq!(world.metrics().cancelled[CancelReason::Deadline as usize], 3);
    world.end();
}

#[test]
fn a_deadline_may_move() {
    // Earlier and later, before and after its timer was set; what counts is the last.
    for (moves, ends_at) in [
        (vec![(0, 5)], 5),
        (vec![(0, 5), (0, 9)], 9),
        (vec![(0, 9), (0, 5)], 5),
        (vec![(0, 5), (4, 9), (8, 12)], 12),
        (vec![(0, 9), (4, 5)], 5),
        (vec![(0, 9), (4, 3)], 4),
        (vec![(3, 0)], 3),
    ] {
        run(async move {
            let drops = Drops::default();
            let scope = Scope::new();
            drop(scope.spawn(never_ends(drops.clone())));
            for (when, deadline) in &moves {
                sleep_until(Instant::START + seconds(*when)).await;
                assert_eq!(drops.count(), 0, "{moves:?}");
                scope.set_deadline(Instant::START + seconds(*deadline));
            }
            assert!(matches!(scope.join().await, Err(ScopeError::Failed(Elapsed))), "{moves:?}");
            assert_eq!(now(), Instant::START + seconds(ends_at), "{moves:?}");
        });
    }
}

#[test]
fn a_deadline_comes_before_tasks_that_became_ready_at_that_moment() {
    // Their timers were set first, so they were woken first.
    run(async {
        let scope = Scope::new();
        let ran = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let ran = Rc::clone(&ran);
            drop(scope.spawn(async move {
                sleep(seconds(1)).await;
                ran.set(ran.get() + 1);
            }));
        }
        yield_now().await;
        scope.set_deadline(Instant::START + seconds(1));
        assert!(scope.join().await.is_err());
        assert_eq!(ran.get(), 0);
    });
}

#[test]
fn a_deadline_that_finds_nobody_says_nothing() {
    run(async {
        let scope = Scope::with_deadline(Instant::START + seconds(2));
        drop(scope.spawn(sleep(seconds(1))));
        sleep(seconds(3)).await;
        scope.join().await.unwrap();
    });
}

#[test]
fn the_body_of_scope_goes_on_after_the_deadline_of_its_children() {
    run(async {
        let outcome = scope(async |scope| {
            scope.set_deadline(Instant::START + seconds(1));
            let child = scope.spawn(pending::<()>());
            assert!(child.await.is_err());
            sleep(seconds(1)).await;
            scope.join().await
        });
        assert!(matches!(outcome.await, Err(ScopeError::Failed(Elapsed))));
        assert_eq!(now(), Instant::START + seconds(2));
    });
}

#[test]
fn a_scope_with_a_deadline_leaves_no_timer() {
    // Also where one that was made in it lives on.
    let world = World::new();
    let made_inside = world.run(async {
        drop(Scope::with_deadline(Instant::START + seconds(2)));
        scope(async |scope| {
            scope.set_deadline(Instant::START + seconds(2));
            Scope::new()
        })
        .await
    });
    assert!(world.shard.ledger().is_empty(), "{}", world.shard.ledger());
    drop(made_inside);
    world.end();
}

#[test]
fn children_end_in_their_own_context() {
    // The scope around a destructor is that of the child which ends, not that of who ends it.
    task_local!(
        static NAME: &'static str;
    );
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&seen);
        let children = Scope::new();
        let child = async {
            let tells = on_drop(move || log.borrow_mut().push(NAME.try_get()));
            drop(children.spawn(async move {
                let _tells = tells;
                pending::<()>().await;
            }));
        };
        NAME.scope("child", child).await;
        yield_now().await;
        NAME.scope("canceller", async { children.cancel() }).await;
        assert_eq!(*seen.borrow(), [Some("child")]);
        assert_eq!(NAME.try_get(), None);
    });
}
