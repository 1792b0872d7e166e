//! `try_scope`: one fails, all end.

use core::fmt;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt;
use mainspring_executor::scope::try_scope;
use mainspring_executor::time::{Elapsed, now, sleep, timeout, yield_now};
use mainspring_executor::{
    CancelReason, Instant, JoinError, JoinHandle, Scope, ScopeError, deadline, spawn,
};

use crate::drops::{Drops, on_drop};
use crate::ticking::{World, run};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What went wrong, in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wrong(&'static str);

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl From<Elapsed> for Wrong {
    fn from(_: Elapsed) -> Self {
        Self("elapsed")
    }
}

/// How a `try_scope` came out, in words.
async fn outcome(body: impl Future<Output = Result<u32, Wrong>>) -> String {
    match AssertUnwindSafe(body).catch_unwind().await {
        Ok(outcome) => format!("{outcome:?}"),
        Err(payload) => format!("panic: {}", payload.downcast::<String>().expect("words")),
    }
}

/// A child that ends in some way after a while.
async fn after(wait: u64, end: &'static str) -> Result<u32, Wrong> {
    sleep(seconds(wait)).await;
    match end {
        "ok" => Ok(1),
        "panic" => panic!("panic at {wait}"),
        wrong => Err(Wrong(wrong)),
    }
}

#[test]
fn the_first_failure_is_what_comes_out() {
    // Of children (tried, plain) and the body, each with when and how it ends; the outcome, and when.
    type End = (u64, &'static str);
    let check =
        |tried: &[End], plain: &[End], body: End, expected: &str, at: u64, lost: [u64; 2]| {
            let world = World::new();
            let name = format!("{tried:?} {plain:?} {body:?}");
            let (tried, plain, expected) = (tried.to_vec(), plain.to_vec(), expected.to_owned());
            let told = name.clone();
            world.run(async move {
                let drops = Drops::default();
                let counted = drops.clone();
                let scope = try_scope(async |scope: &Scope<Wrong>| {
                    for (wait, end) in tried {
                        let value = counted.value();
                        drop(scope.spawn_try(async move {
                            let _value = value;
                            after(wait, end).await
                        }));
                    }
                    for (wait, end) in plain {
                        let value = counted.value();
                        drop(scope.spawn(async move {
                            let _value = value;
                            let _unheard = after(wait, end).await;
                        }));
                    }
                    let _value = counted.value();
                    after(body.0, body.1).await
                });
                assert_eq!(outcome(scope).await, expected, "{told}");
                assert_eq!((now(), drops.live()), (Instant::START + seconds(at), 0), "{told}");
            });
            let metrics = world.metrics();
            assert_eq!([metrics.errors_unheard, metrics.panics_unjoined], lost, "{name}");
            world.end();
        };
    let none = [0, 0];
    check(&[], &[], (0, "ok"), "Ok(1)", 0, none);
    check(&[(1, "ok")], &[(2, "ok")], (0, "ok"), "Ok(1)", 2, none);
    check(&[(1, "ok")], &[(2, "ok")], (5, "ok"), "Ok(1)", 5, none);
    check(&[(1, "a"), (9, "ok")], &[(9, "ok")], (9, "ok"), "Err(a)", 1, none);
    check(&[(1, "a"), (9, "ok")], &[(9, "ok")], (0, "ok"), "Err(a)", 1, none);
    check(&[(2, "a"), (1, "b")], &[], (9, "ok"), "Err(b)", 1, none);
    check(&[(2, "ok")], &[(9, "ok")], (1, "body"), "Err(body)", 1, none);
    check(&[(1, "panic"), (9, "ok")], &[], (9, "ok"), "panic: panic at 1", 1, none);
    check(&[(2, "a")], &[(1, "panic")], (9, "ok"), "panic: panic at 1", 1, none);
    check(&[(9, "ok")], &[(9, "ok")], (1, "panic"), "panic: panic at 1", 1, none);
    check(&[], &[(1, "an error that is nobody's")], (2, "ok"), "Ok(1)", 2, none);
    // At one moment: the first to run is first, and has ended the others.
    check(&[(1, "a"), (1, "b"), (1, "panic")], &[], (1, "body"), "Err(body)", 1, none);
    check(&[(1, "a"), (1, "panic")], &[(1, "panic")], (9, "ok"), "Err(a)", 1, none);
}

#[test]
fn the_one_that_failed_ends_first_then_its_siblings_then_the_body() {
    // The siblings in the order of spawning, whether they waited or never ran; the body does not go on in between.
    run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tells = |name: &'static str| {
            let log = Rc::clone(&order);
            on_drop(move || log.borrow_mut().push(name))
        };
        let ended = try_scope(async |scope: &Scope<Wrong>| {
            let _body = tells("body");
            let staying = |name| {
                let value = tells(name);
                async move {
                    let _value = value;
                    pending::<()>().await;
                }
            };
            drop(scope.spawn(staying("first")));
            let value = tells("fails");
            drop(scope.spawn_try(async move {
                let _value = value;
                sleep(seconds(1)).await;
                Err::<(), _>(Wrong("on purpose"))
            }));
            drop(scope.spawn(staying("second")));
            sleep(seconds(1)).await;
            // Ready at the same moment, and before the one that fails: it runs, and spawns one that never does.
            drop(scope.spawn(staying("third")));
            pending::<()>().await;
            Ok(())
        });
        assert_eq!(ended.await, Err(Wrong("on purpose")));
        assert_eq!(*order.borrow(), ["fails", "first", "second", "third", "body"]);
    });
}

#[test]
fn siblings_are_counted_as_such() {
    let world = World::new();
    world.run(async {
        let ended = try_scope(async |scope: &Scope<Wrong>| {
            for _ in 0..3 {
                drop(scope.spawn(pending::<()>()));
            }
            after(1, "body").await
        });
        assert_eq!(ended.await, Err(Wrong("body")));
    });
    let cancelled = world.metrics().cancelled;
    assert_eq!(cancelled[CancelReason::Sibling as usize], 3);
    assert_eq!(cancelled.iter().sum::<u64>(), 3);
    world.end();
}

#[test]
fn a_handle_of_a_child_that_failed_gives_nothing() {
    // Whoever holds it: the failure is the scope's.
    run(async {
        for end in ["ok", "wrong", "panic"] {
            let kept: Rc<RefCell<Option<JoinHandle<Option<u32>>>>> = Rc::default();
            let ended = outcome(try_scope(async |scope: &Scope<Wrong>| {
                *kept.borrow_mut() = Some(scope.spawn_try(after(1, end)));
                sleep(seconds(2)).await;
                Ok(0)
            }))
            .await;
            let joined = kept.take().unwrap().await.unwrap();
            assert_eq!((joined.is_some(), ended == "Ok(0)"), (end == "ok", end == "ok"), "{end}");
        }
    });
}

#[test]
fn a_handle_of_a_sibling_says_that_it_was_cancelled() {
    run(async {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let ended = try_scope(async |scope: &Scope<Wrong>| {
            kept.borrow_mut().push(scope.spawn(pending::<()>()));
            drop(scope.spawn_try(after(1, "wrong")));
            pending().await
        });
        let ended: Result<(), Wrong> = ended.await;
        assert_eq!(ended, Err(Wrong("wrong")));
        let sibling = kept.borrow_mut().pop().unwrap();
        assert!(matches!(sibling.await, Err(JoinError::Cancelled)));
    });
}

#[test]
fn a_panic_with_a_handle_is_the_handles_until_that_is_dropped() {
    // Then it is the failure of the scope, at once: the rest of the body is not run.
    let world = World::new();
    world.run(async {
        let drops = Drops::default();
        let passed = Rc::new(Cell::new(0));
        let body = try_scope(async |scope: &Scope<Wrong>| {
            let plain = scope.spawn(after(1, "panic"));
            drop(scope.spawn({
                let value = drops.value();
                async move {
                    let _value = value;
                    pending::<()>().await;
                }
            }));
            sleep(seconds(2)).await;
            assert_eq!(drops.live(), 1, "it could still be joined");
            drop(plain);
            assert_eq!(drops.live(), 0);
            let late = scope.spawn(async { unreachable!("nobody is let in any more") });
            passed.set(1);
            let ended: Result<(), JoinError> = late.await;
            drop(ended);
            passed.set(2);
            Ok(1)
        });
        assert_eq!(outcome(body).await, "panic: panic at 1");
        assert_eq!((passed.get(), now()), (1, Instant::START + seconds(2)));
    });
    assert_eq!(world.metrics().panics_unjoined, 0);
    world.end();
}

#[test]
fn later_failures_are_counted() {
    // A body that fails in the poll in which a child's failure became known; destructors that panic.
    let world = World::new();
    world.run(async {
        let body = try_scope(async |scope: &Scope<Wrong>| {
            let panicked = scope.spawn(after(0, "panic"));
            for _ in 0..2 {
                let panics = on_drop(|| panic!("in a destructor"));
                drop(scope.spawn(async move {
                    let _panics = panics;
                    pending::<()>().await;
                }));
            }
            sleep(seconds(1)).await;
            drop(panicked);
            Err(Wrong("body"))
        });
        assert_eq!(outcome(body).await, "panic: panic at 0");
    });
    let metrics = world.metrics();
    assert_eq!((metrics.errors_unheard, metrics.panics_unjoined), (1, 2));
    world.end();
}

#[test]
fn a_failure_that_nobody_waits_for_any_more_is_counted() {
    // The scope waits for a section after the failure, and is dropped meanwhile.
    for (end, lost) in [("wrong", (1, 0)), ("panic", (0, 1)), ("ok", (0, 0))] {
        let world = World::new();
        world.run(async move {
            let body = try_scope(async |scope: &Scope<Wrong>| {
                drop(scope.spawn(async {
                    let section =
                        mainspring_executor::shield::shield(seconds(9), sleep(seconds(5)));
                    section.await.unwrap();
                }));
                drop(scope.spawn_try(after(1, end)));
                Ok(())
            });
            assert!(timeout(seconds(3), body).await.is_err());
        });
        let metrics = world.metrics();
        assert_eq!((metrics.errors_unheard, metrics.panics_unjoined), lost, "{end}");
        world.end();
    }
}

#[test]
fn the_deadline_is_an_error_like_others() {
    // It ends a body that is alone, too; nothing after everything has ended.
    let check = |deadline: u64, child: u64, body: u64, expected: &'static str, at: u64| {
        let world = World::new();
        world.run(async move {
            let ended = try_scope(async |scope: &Scope<Wrong>| {
                scope.set_deadline(Instant::START + seconds(deadline));
                drop(scope.spawn_try(after(child, "ok")));
                after(body, "ok").await
            });
            assert_eq!(outcome(ended).await, expected);
            assert_eq!(now(), Instant::START + seconds(at));
        });
        assert!(world.shard.ledger().is_empty());
        world.end();
    };
    check(5, 9, 9, "Err(elapsed)", 5);
    check(5, 9, 1, "Err(elapsed)", 5);
    check(5, 1, 9, "Err(elapsed)", 5);
    check(5, 1, 2, "Ok(1)", 2);
    check(0, 1, 2, "Err(elapsed)", 0);
    // With an error of the standard library.
    run(async {
        let ended = try_scope(async |scope: &Scope<io::Error>| {
            scope.set_deadline(Instant::START + seconds(1));
            pending::<io::Result<()>>().await
        });
        assert_eq!(ended.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn children_know_the_deadline_of_their_scope() {
    // The earlier of that of the scope and that around; who was spawned before does not.
    run(async {
        let at = |secs| Instant::START + seconds(secs);
        for (around, own, expected) in [(9, 5, 5), (5, 9, 5)] {
            let seen = deadline::until(at(around), async move {
                let scope = Scope::new();
                let before = scope.spawn(async { deadline::current() });
                scope.set_deadline(at(own));
                let after = scope.spawn(async { spawn(async { deadline::current() }).await });
                let named = scope.spawn_named("named", async { deadline::current() });
                let seen = [before.await.unwrap(), after.await.unwrap().unwrap()];
                assert_eq!(named.await.unwrap(), seen[1]);
                seen
            });
            assert_eq!(seen.await, Ok([Some(at(around)), Some(at(expected))]));
        }
    });
}

#[test]
fn a_scope_of_ones_own_may_try_again_after_a_failure_was_told() {
    let world = World::new();
    world.run(async {
        let scope = Scope::<Wrong>::default();
        let sibling = scope.spawn(pending::<()>());
        drop(scope.spawn_try(after(1, "first")));
        sleep(seconds(2)).await;
        assert!(sibling.is_finished());
        let refused = scope.spawn_try(after(0, "never begun"));
        assert!(matches!(refused.await, Err(JoinError::Cancelled)));
        let told = scope.join().await.unwrap_err();
        assert!(matches!(told, ScopeError::Failed(Wrong("first"))), "{told:?}");
        assert_eq!(scope.spawn_try(after(0, "ok")).await.unwrap(), Some(1));
        scope.join().await.unwrap();
        drop(scope.spawn_try(after(0, "second")));
        yield_now().await;
        yield_now().await;
        assert!(scope.is_empty());
    });
    assert_eq!(world.metrics().errors_unheard, 1, "of a scope that was dropped");
    assert_eq!(world.metrics().cancelled[CancelReason::Sibling as usize], 2);
    world.end();
}

#[test]
fn scopes_nest_and_failures_climb() {
    // From the innermost to the outermost, which drops all that is beside them.
    run(async {
        let drops = Drops::default();
        let counted = drops.clone();
        let ended = try_scope(async |outer: &Scope<Wrong>| {
            let stays = |scope: &Scope<Wrong>, drops: &Drops| {
                let value = drops.value();
                drop(scope.spawn(async move {
                    let _value = value;
                    pending::<()>().await;
                }));
            };
            stays(outer, &counted);
            let deep = counted.clone();
            drop(outer.spawn_try(try_scope(async move |middle: &Scope<Wrong>| {
                stays(middle, &deep);
                let deeper = deep.clone();
                drop(middle.spawn_try(try_scope(async move |inner: &Scope<Wrong>| {
                    stays(inner, &deeper);
                    drop(inner.spawn_try(after(1, "deep down")));
                    pending::<Result<(), Wrong>>().await
                })));
                pending::<Result<(), Wrong>>().await
            })));
            pending::<Result<(), Wrong>>().await
        });
        assert_eq!(ended.await, Err(Wrong("deep down")));
        assert_eq!((drops.count(), drops.live()), (3, 0));
        assert_eq!(now(), Instant::START + seconds(1));
    });
}
