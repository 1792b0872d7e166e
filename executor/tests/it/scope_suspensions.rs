//! Every async method of scopes, tokens, deadlines and shields is dropped at each of its suspension points. What must hold
//! wherever that is: no child is left, nor a timer or another trace in the shard; no failure was lost; a section that had
//! begun has ended.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join};
use mainspring_executor::scope::{scope, try_scope};
use mainspring_executor::shield::shield;
use mainspring_executor::time::{Elapsed, now, sleep, yield_now};
use mainspring_executor::{CancelToken, Scope, ScopeError, deadline, task_local};

use crate::drops::Drops;
use crate::suspensions::Order;
use crate::ticking::World;

/// What a case leaves marks in.
#[derive(Clone, Default)]
struct Rig {
    /// Values in children and bodies: none may outlive the future.
    children: Drops,
    /// Values in sections: none may outlive the run.
    sections: Drops,
    begun: Rc<Cell<u64>>,
    finished: Rc<Cell<u64>>,
    /// Failures that happened, and those that somebody was told of.
    failed: Rc<Cell<u64>>,
    told: Rc<Cell<u64>>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Rig {
    /// A child that takes a while, with a stop on the way.
    fn works(&self, wait: u64) -> impl Future<Output = ()> + 'static {
        let value = self.children.value();
        async move {
            let _value = value;
            yield_now().await;
            sleep(seconds(wait)).await;
        }
    }

    /// A child that does not end by itself.
    fn stays(&self) -> impl Future<Output = ()> + 'static {
        let value = self.children.value();
        async move {
            let _value = value;
            pending::<()>().await;
        }
    }

    /// A child that works, then fails.
    fn fails(&self, wait: u64) -> impl Future<Output = Result<(), Failed>> + 'static {
        let (work, failed) = (self.works(wait), Rc::clone(&self.failed));
        async move {
            work.await;
            count(&failed);
            Err(Failed)
        }
    }

    /// A child that works, then panics. Not by `panic!`: that would fill the log of the test.
    fn panics(&self, wait: u64) -> impl Future<Output = ()> + 'static {
        let work = self.fails(wait);
        async move { resume_unwind(Box::new(work.await)) }
    }

    /// A child that awaits a section, which must finish.
    fn shields(&self, wait: u64) -> impl Future<Output = ()> + 'static {
        let rig = self.clone();
        let value = rig.children.value();
        async move {
            let _value = value;
            count(&rig.begun);
            let (in_section, finished) = (rig.sections.value(), Rc::clone(&rig.finished));
            let section = async move {
                let _value = in_section;
                sleep(seconds(wait)).await;
                count(&finished);
            };
            shield(seconds(100), section).await.expect("it has the time");
        }
    }

    /// What came out: a failure was told, if it is one.
    fn tell<T, E>(&self, outcome: &Result<T, E>) {
        if outcome.is_err() {
            count(&self.told);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Failed;

impl From<Elapsed> for Failed {
    fn from(_: Elapsed) -> Self {
        Self
    }
}

/// When a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// It ends by itself.
    Never,
    /// As soon as it is suspended for this time, from 1.
    WhenSuspended(usize),
    /// Instead of the first poll after that.
    WhenWoken(usize),
}

/// A future that is dropped at some point.
struct Victim {
    future: Option<LocalBoxFuture<'static, ()>>,
    cut: Cut,
    suspensions: Rc<Cell<usize>>,
}

impl Future for Victim {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let suspended = this.suspensions.get();
        if suspended == 0 || this.cut != Cut::WhenWoken(suspended) {
            let future = this.future.as_mut().expect("polled until it is ready");
            if future.as_mut().poll(cx).is_pending() {
                this.suspensions.set(suspended + 1);
                if this.cut != Cut::WhenSuspended(suspended + 1) {
                    return Poll::Pending;
                }
            }
        }
        this.future = None;
        Poll::Ready(())
    }
}

/// Runs a case, cut at some point. Gives how often it was suspended.
#[track_caller]
fn run_cut(name: &str, order: Order, cut: Cut, case: Case) -> usize {
    let name = format!("{name}, {order:?}, {cut:?}");
    let (rig, world) = (Rig::default(), World::with_schedule(order));
    let suspensions = Rc::new(Cell::new(0));
    let victim =
        Victim { future: Some(case(rig.clone())), cut, suspensions: Rc::clone(&suspensions) };
    let children = rig.children.clone();
    let live = world.run(async move {
        let ended = AssertUnwindSafe(victim).catch_unwind().await;
        assert!(ended.is_ok(), "no case panics");
        children.live()
    });
    assert_eq!(live, 0, "{name}: children are left");
    assert!(world.shard.ledger().is_empty(), "{name}: left\n{}", world.shard.ledger());
    assert_eq!(rig.sections.live(), 0, "{name}: a section is left");
    assert_eq!(rig.finished.get(), rig.begun.get(), "{name}: a section did not finish");
    let metrics = world.metrics();
    let heard = rig.told.get() + metrics.errors_unheard + metrics.panics_unjoined;
    assert_eq!(heard, rig.failed.get(), "{name}: a failure was lost");
    assert_eq!((metrics.shields_live, metrics.shields_cut), (0, 0), "{name}");
    world.end();
    suspensions.get()
}

type Case = fn(Rig) -> LocalBoxFuture<'static, ()>;

/// Runs a case to its end, which in the usual order takes it `expected` suspensions, then cut at each of them; and all of
/// that in other orders.
#[track_caller]
fn check(name: &str, expected: usize, case: Case) {
    let suspensions = run_cut(name, Order::FirstReady, Cut::Never, case);
    assert_eq!(suspensions, expected, "{name}");
    for order in [Order::FirstReady, Order::LastReady].into_iter().chain((0..10).map(Order::Random))
    {
        for point in 1..=run_cut(name, order, Cut::Never, case) {
            run_cut(name, order, Cut::WhenSuspended(point), case);
            run_cut(name, order, Cut::WhenWoken(point), case);
        }
    }
}

#[test]
fn joins_may_be_dropped_anywhere() {
    check("join", 1, |rig| {
        async move {
            let scope = Scope::new();
            drop(scope.spawn(rig.works(2)));
            drop(scope.spawn(rig.shields(5)));
            rig.tell(&scope.join().await);
        }
        .boxed_local()
    });
    check("join, with a panic", 3, |rig| {
        async move {
            let scope = Scope::new();
            drop(scope.spawn(rig.panics(1)));
            drop(scope.spawn(rig.panics(2)));
            drop(scope.spawn(rig.works(3)));
            rig.tell(&scope.join().await);
            drop(scope.spawn(rig.panics(1)));
            drop(scope.spawn(rig.works(3)));
            sleep(seconds(2)).await;
            rig.tell(&scope.join().await);
        }
        .boxed_local()
    });
    check("join, with an error", 2, |rig| {
        async move {
            let scope = Scope::<Failed>::default();
            drop(scope.spawn(rig.stays()));
            drop(scope.spawn_try(rig.fails(1)));
            drop(scope.spawn(rig.shields(2)));
            rig.tell(&scope.join().await);
        }
        .boxed_local()
    });
    check("join, twice at a time", 2, |rig| {
        async move {
            let scope = Scope::<Failed>::default();
            drop(scope.spawn_try(rig.fails(1)));
            let (one, other) = join(scope.join(), scope.join()).await;
            rig.tell(&one);
            rig.tell(&other);
            assert!(one.is_err() && other.is_ok(), "the first to ask is told");
            let (told, ()) = join(scope.join(), sleep(seconds(1))).await;
            rig.tell(&told);
        }
        .boxed_local()
    });
}

#[test]
fn drains_may_be_dropped_anywhere() {
    check("drain", 2, |rig| {
        async move {
            let scope = Scope::new();
            for wait in [1, 2] {
                let (token, work) = (scope.token(), rig.works(wait));
                drop(scope.spawn(async move {
                    token.cancelled().await;
                    work.await;
                }));
            }
            sleep(seconds(1)).await;
            rig.tell(&scope.drain().await);
        }
        .boxed_local()
    });
    check("drain_for", 3, |rig| {
        async move {
            let scope = Scope::new();
            let token = scope.token();
            drop(scope.spawn(rig.stays()));
            drop(scope.spawn(async move { token.cancelled().await }));
            drop(scope.spawn(rig.shields(7)));
            drop(scope.spawn(rig.panics(1)));
            sleep(seconds(2)).await;
            assert_eq!(
                scope.drain_for(seconds(3)).await,
                2,
                "who stays, and who awaits the section"
            );
            let outcome = scope.join().await;
            rig.tell(&outcome);
            assert!(matches!(outcome, Err(ScopeError::Panicked(_))));
        }
        .boxed_local()
    });
}

#[test]
fn bodies_may_be_dropped_anywhere() {
    check("scope", 3, |rig| {
        async move {
            let output = scope(async |outer| {
                let (inner_rig, value) = (rig.clone(), rig.children.value());
                let inner = outer.spawn(async move {
                    let _value = value;
                    scope(async |inner| {
                        drop(inner.spawn(inner_rig.works(3)));
                        drop(inner.spawn(inner_rig.shields(4)));
                        sleep(seconds(1)).await;
                        20
                    })
                    .await
                });
                drop(outer.spawn(rig.works(5)));
                sleep(seconds(2)).await;
                inner.await.expect("no panic") + 1
            });
            assert_eq!(output.await, 21);
        }
        .boxed_local()
    });
    check("scope, with a panic", 2, |rig| {
        async move {
            let body = scope(async |scope| {
                drop(scope.spawn(rig.panics(1)));
                drop(scope.spawn(rig.shields(3)));
                rig.stays().await;
            });
            rig.tell(&AssertUnwindSafe(body).catch_unwind().await);
        }
        .boxed_local()
    });
    check("try_scope", 3, |rig| {
        async move {
            let outcome = try_scope(async |scope: &Scope<Failed>| {
                let work = rig.works(2);
                let one = scope.spawn_try(async move {
                    work.await;
                    Ok(1)
                });
                drop(scope.spawn(rig.works(5)));
                sleep(seconds(1)).await;
                Ok(one.await.expect("no panic").expect("no error") + 1)
            });
            assert_eq!(outcome.await, Ok(2));
        }
        .boxed_local()
    });
    check("try_scope, with errors", 2, |rig| {
        async move {
            let outcome = try_scope(async |scope: &Scope<Failed>| {
                drop(scope.spawn_try(rig.fails(2)));
                drop(scope.spawn_try(rig.fails(3)));
                drop(scope.spawn(rig.shields(4)));
                rig.stays().await;
                Ok(())
            })
            .await;
            rig.tell(&outcome);
            assert_eq!(outcome, Err(Failed));
        }
        .boxed_local()
    });
    check("try_scope, with an error of the body", 2, |rig| {
        async move {
            let outcome = try_scope(async |scope: &Scope<Failed>| {
                drop(scope.spawn(rig.stays()));
                drop(scope.spawn(rig.shields(4)));
                rig.fails(0).await?;
                Ok(())
            })
            .await;
            rig.tell(&outcome);
        }
        .boxed_local()
    });
    check("try_scope, with a deadline", 2, |rig| {
        async move {
            let outcome = try_scope(async |scope: &Scope<Failed>| {
                scope.set_deadline(now() + seconds(2));
                drop(scope.spawn(rig.shields(4)));
                rig.stays().await;
                Ok(())
            });
            assert_eq!(outcome.await, Err(Failed));
        }
        .boxed_local()
    });
}

task_local!(
    static NAME: u32;
);

#[test]
fn single_futures_may_be_dropped_anywhere() {
    check("cancelled", 1, |rig| {
        async move {
            let token = CancelToken::new().child();
            let (cancels, work) = (token.clone(), rig.works(1));
            let scope = Scope::new();
            drop(scope.spawn(async move {
                work.await;
                cancels.cancel();
            }));
            token.cancelled().await;
        }
        .boxed_local()
    });
    check("run_until_cancelled", 3, |rig| {
        async move {
            let token = CancelToken::new();
            let (cancels, scope) = (token.guard(), Scope::new());
            drop(scope.spawn(async move {
                sleep(seconds(2)).await;
                drop(cancels);
            }));
            let works = async {
                rig.works(1).await;
                rig.stays().await;
            };
            assert_eq!(token.run_until_cancelled(works).await, None);
        }
        .boxed_local()
    });
    check("until", 3, |rig| {
        async move {
            let works = async {
                deadline::within(seconds(9), rig.works(1)).await?;
                deadline::within(seconds(9), rig.stays()).await
            };
            assert_eq!(deadline::until(now() + seconds(2), works).await, Ok(Err(Elapsed)));
        }
        .boxed_local()
    });
    check("Within", 2, |rig| async move { NAME.scope(1, rig.works(1)).await }.boxed_local());
    check("Shielded", 1, |rig| rig.shields(1).boxed_local());
    check("Shielded, twice", 1, |rig| {
        async move {
            let outer = rig.clone();
            let nested = async move { outer.shields(2).await };
            count(&rig.begun);
            let finished = Rc::clone(&rig.finished);
            let section = async move {
                nested.await;
                count(&finished);
            };
            shield(seconds(10), section).await.expect("it has the time");
        }
        .boxed_local()
    });
}
