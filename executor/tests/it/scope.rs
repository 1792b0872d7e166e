//! Scopes: children end before their parent, in whatever way it ends.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::cell::RefCell;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt;
use mainspring_executor::scope::scope;
use mainspring_executor::time::{now, sleep, timeout, yield_now};
use mainspring_executor::{Instant, JoinError, JoinHandle, Scope, spawn};

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
        assert_eq!(error.to_string(), "the task panicked: first");
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
