//! Shielded sections: they finish, or run out of their time.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use futures::FutureExt;
use mainspring_executor::scope::{scope, try_scope};
use mainspring_executor::shield::{shield, shield_named};
use mainspring_executor::time::{Elapsed, now, sleep, timeout, yield_now};
use mainspring_executor::{CancelReason, Instant, Scope, ScopeError, deadline, spawn, task_local};

use crate::drops::{Drops, on_drop};
use crate::ticking::{World, run};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Shields live, left and cut.
fn counts(world: &World) -> (u64, u64, u64) {
    let metrics = world.metrics();
    (metrics.shields_live, metrics.shields_left, metrics.shields_cut)
}

#[test]
fn awaiting_a_section_gives_its_output_or_that_it_was_cut() {
    for (wait, bound, expected, at) in [
        (0, 5, Ok(7), 0),
        (2, 5, Ok(7), 2),
        (5, 5, Ok(7), 5),
        (6, 5, Err(Elapsed), 5),
        (2, u64::MAX, Ok(7), 2),
    ] {
        let world = World::new();
        world.run(async move {
            let drops = Drops::default();
            let value = drops.value();
            let section = shield(seconds(bound), async move {
                let _value = value;
                sleep(seconds(wait)).await;
                7
            });
            assert_eq!(section.await, expected);
            assert_eq!((drops.live(), now()), (0, Instant::START + seconds(at)));
        });
        assert_eq!(counts(&world), (0, 0, u64::from(expected.is_err())));
        world.end();
    }
}

#[test]
fn a_section_is_begun_by_the_call_and_not_by_the_wait() {
    let world = World::new();
    world.run(async {
        let finished = Rc::new(Cell::new(false));
        let tells = Rc::clone(&finished);
        let section = shield_named("a rollback", seconds(5), async move {
            sleep(seconds(2)).await;
            tells.set(true);
        });
        assert_eq!(mainspring_executor::metrics().snapshot().shields_live, 1);
        drop(section);
        sleep(seconds(3)).await;
        assert!(finished.get());
    });
    assert_eq!(counts(&world), (0, 1, 0));
    world.end();
}

#[test]
fn dropping_it_after_the_end_leaves_nothing() {
    let world = World::new();
    world.run(async {
        let section = shield(seconds(5), async { 7 });
        yield_now().await;
        drop(section);
    });
    assert_eq!(counts(&world), (0, 0, 0));
    world.end();
}

#[test]
fn a_panic_of_a_section_goes_to_who_awaits_it_else_to_the_scope_else_to_the_log() {
    let world = World::new();
    world.run(async {
        let panics = || shield(seconds(5), async { panic!("in a section") });
        let awaited = AssertUnwindSafe(async { panics().await }).catch_unwind().await;
        assert_eq!(awaited.unwrap_err().downcast_ref::<&str>(), Some(&"in a section"));

        let scope = Scope::new();
        drop(scope.spawn(async move { drop(panics()) }));
        let told = scope.join().await.unwrap_err();
        assert_eq!(told.to_string(), "a task of the scope panicked: in a section");
        drop(scope.spawn(async move {
            let kept = panics();
            yield_now().await;
            yield_now().await;
            drop(kept);
        }));
        assert!(matches!(scope.join().await, Err(ScopeError::Panicked(_))), "dropped after it");
        assert_eq!(mainspring_executor::metrics().snapshot().panics_unjoined, 0);

        drop(panics());
    });
    assert_eq!(world.metrics().panics_unjoined, 1);
    world.end();
}

#[test]
fn scopes_wait_for_sections_that_were_started_inside() {
    // Whoever awaited them is gone; in whatever way the scope waits.
    #[derive(Clone, Copy, Debug)]
    enum Waits {
        Join,
        Drain,
        DrainFor,
        Scope,
        TryScope,
        /// The section is one of the body, which is dropped by a failure.
        Body,
        /// By a destructor of a child that is dropped by the failure.
        Destructor,
    }
    use Waits::*;
    for waits in [Join, Drain, DrainFor, Scope, TryScope, Body, Destructor] {
        let world = World::new();
        let finished = Rc::new(Cell::new(false));
        let seen = Rc::clone(&finished);
        world.run(async move {
            let tells = Rc::clone(&finished);
            let section = move || {
                let tells = Rc::clone(&tells);
                shield(seconds(9), async move {
                    sleep(seconds(5)).await;
                    tells.set(true);
                })
            };
            let awaits = {
                let section = section.clone();
                async move { section().await.unwrap() }
            };
            let children = mainspring_executor::Scope::new();
            match waits {
                Join => {
                    drop(children.spawn(awaits));
                    yield_now().await;
                    children.cancel();
                    assert!(children.is_empty());
                    children.join().await.unwrap();
                }
                Drain => {
                    children.spawn(awaits).abort();
                    let token = children.token();
                    drop(children.spawn(token.run_until_cancelled(async move {
                        section().await.unwrap();
                    })));
                    yield_now().await;
                    children.drain().await.unwrap();
                }
                DrainFor => {
                    drop(children.spawn(awaits));
                    yield_now().await;
                    assert_eq!(children.drain_for(seconds(1)).await, 1);
                }
                Scope => {
                    scope(async |children| {
                        let child = children.spawn(awaits);
                        yield_now().await;
                        child.abort();
                    })
                    .await;
                }
                TryScope => {
                    let failed = try_scope(async |children: &mainspring_executor::Scope<u8>| {
                        drop(children.spawn(awaits));
                        yield_now().await;
                        Err::<(), _>(7)
                    });
                    assert_eq!(failed.await, Err(7));
                }
                Body => {
                    let failed = try_scope(async |children: &mainspring_executor::Scope<u8>| {
                        drop(children.spawn_try(async { Err::<(), _>(7) }));
                        awaits.await;
                        Ok(())
                    });
                    assert_eq!(failed.await, Err(7));
                }
                Destructor => {
                    let failed = try_scope(async |children: &mainspring_executor::Scope<u8>| {
                        let rolls_back = on_drop(move || drop(section()));
                        drop(children.spawn(async move {
                            let _rolls_back = rolls_back;
                            pending::<()>().await;
                        }));
                        Err::<(), _>(7)
                    });
                    assert_eq!(failed.await, Err(7));
                }
            }
            assert_eq!((finished.get(), now()), (true, Instant::START + seconds(5)), "{waits:?}");
        });
        assert!(seen.get());
        assert_eq!(counts(&world), (0, 1, 0), "{waits:?}");
        world.end();
    }
}

#[test]
fn a_drop_does_not_wait_and_the_scope_around_does() {
    // Over a scope in the middle that is gone as well, and over one that was made by the body.
    run(async {
        let outer = Scope::new();
        let finished = Rc::new(Cell::new(false));
        let tells = Rc::clone(&finished);
        drop(outer.spawn(async move {
            scope(async |middle| {
                drop(middle.spawn(async move {
                    let inner = Scope::new();
                    drop(inner.spawn(async move {
                        let section = shield(seconds(9), async move {
                            sleep(seconds(5)).await;
                            tells.set(true);
                        });
                        section.await.unwrap();
                    }));
                    pending::<()>().await;
                }));
                pending::<()>().await;
            })
            .await;
        }));
        sleep(seconds(1)).await;
        outer.cancel();
        assert!(outer.is_empty() && !finished.get());
        outer.join().await.unwrap();
        assert_eq!((finished.get(), now()), (true, Instant::START + seconds(5)));

        // The scope in the middle has ended before the inner one, which was made in it.
        drop(outer.spawn(async {
            let inner = scope(async |_| Scope::new()).await;
            drop(inner.spawn(async { shield(seconds(9), sleep(seconds(5))).await.unwrap() }));
            yield_now().await;
        }));
        outer.join().await.unwrap();
        assert_eq!(now(), Instant::START + seconds(10));
    });
}

#[test]
fn the_run_waits_for_the_sections_that_live_at_its_end() {
    // And no longer: not for other tasks, nor for sections that begin meanwhile. Also when the main task panics.
    for panics in [false, true] {
        let world = World::new();
        let finished = Rc::new(Cell::new(0));
        let tells = Rc::clone(&finished);
        let main = async move {
            spawn(async {
                loop {
                    sleep(seconds(1)).await;
                    drop(shield(seconds(7), pending::<()>()));
                }
            });
            for wait in [2, 3, u64::MAX] {
                let tells = Rc::clone(&tells);
                drop(shield(seconds(4), async move {
                    sleep(seconds(wait)).await;
                    tells.set(tells.get() + 1);
                }));
            }
            assert!(!panics, "on purpose");
        };
        let ran = catch_unwind(AssertUnwindSafe(|| world.run(main)));
        assert_eq!(ran.is_err(), panics);
        assert_eq!(finished.get(), 2);
        assert_eq!(world.shard.enter(now), Instant::START + seconds(4));
        let (live, left, cut) = counts(&world);
        assert!(live >= 3 && left >= 6, "{live} {left}");
        assert_eq!(cut, 1);
        world.shard.shutdown();
        assert_eq!(counts(&world), (0, left, live + 1), "those that were left are cut");
        assert_eq!(world.metrics().cancelled[CancelReason::Shutdown as usize], live + 1);
        world.end();
    }
}

#[test]
fn a_shutdown_tells_who_awaits_from_elsewhere() {
    let world = World::new();
    let section = world.shard.enter(|| shield(seconds(5), pending::<()>()));
    world.shard.shutdown();
    let ended = section.now_or_never();
    assert_eq!(ended, Some(Err(Elapsed)));
    assert_eq!(counts(&world), (0, 0, 1));
    world.end();
}

#[test]
fn a_section_has_its_bound_for_a_deadline_and_the_rest_of_the_context() {
    // Neither the deadline around nor that of the scope ends it, nor what is within it.
    task_local!(
        static NAME: u32;
    );
    let world = World::new();
    world.run(async {
        let finished = Rc::new(Cell::new(false));
        let tells = Rc::clone(&finished);
        let children = Scope::with_deadline(Instant::START + seconds(2));
        let child = async {
            drop(children.spawn(async move {
                let section = async move {
                    assert_eq!(deadline::current(), Some(Instant::START + seconds(8)));
                    assert_eq!(NAME.get(), 7);
                    let within = deadline::within(seconds(5), sleep(seconds(4))).await;
                    assert_eq!((within, now()), (Ok(()), Instant::START + seconds(4)));
                    let within = deadline::within(seconds(60), pending::<()>());
                    let _tells = on_drop(move || tells.set(true));
                    within.await
                };
                let _cut = shield(seconds(8), section).await;
            }));
        };
        let around = deadline::within(seconds(3), NAME.scope(7, child));
        around.await.unwrap();
        assert!(children.join().await.is_err(), "the deadline is told");
        assert_eq!((finished.get(), now()), (true, Instant::START + seconds(8)));
        let unbounded = shield(Duration::MAX, async { deadline::current() });
        assert_eq!(deadline::within(seconds(1), unbounded).await, Ok(Ok(None)));
    });
    world.end();
}

#[test]
fn a_section_may_have_scopes_and_sections_of_its_own() {
    // The inner one belongs to the scope around the outer one, which is cut.
    let world = World::new();
    world.run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let tell = |name: &'static str| {
            let log = Rc::clone(&log);
            on_drop(move || log.borrow_mut().push((name, now())))
        };
        let children = Scope::new();
        let (outer, child, inner) = (tell("outer"), tell("child"), tell("inner"));
        drop(children.spawn(async move {
            let section = shield(seconds(3), async move {
                let _outer = outer;
                scope(async |scope| {
                    drop(scope.spawn(async move {
                        let _child = child;
                        let section = shield(seconds(9), async move {
                            let _inner = inner;
                            sleep(seconds(5)).await;
                        });
                        section.await.unwrap();
                    }));
                })
                .await;
            });
            assert_eq!(section.await, Err(Elapsed));
        }));
        children.join().await.unwrap();
        let at = |secs| Instant::START + seconds(secs);
        assert_eq!(*log.borrow(), [("child", at(3)), ("outer", at(3)), ("inner", at(5))]);
    });
    assert_eq!(counts(&world), (0, 1, 1));
    world.end();
}

#[test]
fn a_timeout_around_a_section_ends_the_wait_alone() {
    let world = World::new();
    world.run(async {
        let finished = Rc::new(Cell::new(false));
        let tells = Rc::clone(&finished);
        let section = shield(seconds(5), async move {
            sleep(seconds(2)).await;
            tells.set(true);
        });
        assert_eq!(timeout(seconds(1), section).await, Err(Elapsed));
        assert!(!finished.get());
        sleep(seconds(1)).await;
        assert!(finished.get());
    });
    assert_eq!(counts(&world), (0, 1, 0));
    world.end();
}
