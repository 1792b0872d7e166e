//! What a task knows without being told: task-locals and tracing spans follow it, and stay where they belong.
#![expect(clippy::async_yields_async, reason = "the handle is what is looked at")]

use core::pin::pin;
use core::time::Duration;
use std::cell::RefCell;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, poll};
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{Scope, handle, spawn, spawn_named, task_local};

use crate::drops::on_drop;
use crate::recorder::Recorder;
use crate::spans::check_spans;
use crate::ticking::{World, run};

task_local! {
    static NUMBER: u32;
    /// Another one, of the same type.
    static OTHER: u32;
    static WORDS: String;
}

#[test]
fn values_follow_all_ways_of_spawning() {
    // And grandchildren, and tasks that outlive the scope.
    run(async {
        let spawned = NUMBER.scope(7, async {
            let scope = Scope::new();
            let by = [
                spawn(async { NUMBER.get() }).await,
                spawn_named("named", async { NUMBER.get() }).await,
                scope.spawn(async { NUMBER.get() }).await,
                spawn(async { spawn(async { NUMBER.get() }).await.unwrap() }).await,
                handle().spawn(|| async { NUMBER.get() }).await,
            ];
            assert!(by.iter().all(|number| *number.as_ref().unwrap() == 7));
            spawn(async {
                sleep(Duration::from_secs(1)).await;
                NUMBER.get()
            })
        });
        let outlives = spawned.await;
        assert_eq!(NUMBER.try_get(), None);
        assert_eq!(outlives.await.unwrap(), 7);
        assert_eq!(spawn(async { NUMBER.try_get() }).await.unwrap(), None);
    });
}

#[test]
fn values_nest_and_shadow_by_key() {
    run(async {
        let body = async {
            let shadowed = NUMBER.scope(2, async {
                let seen =
                    (NUMBER.get(), OTHER.get(), spawn(async { NUMBER.get() }).await.unwrap());
                let words = WORDS
                    .scope("deep".to_owned(), async { WORDS.with(|words| words.unwrap().len()) });
                (seen, words.await)
            });
            let inside = shadowed.await;
            (inside, NUMBER.get(), WORDS.try_get())
        };
        let seen = NUMBER.scope(1, OTHER.scope(10, body)).await;
        assert_eq!(seen, (((2, 10, 2), 4), 1, None));
    });
}

#[test]
fn values_are_there_at_each_poll_and_nowhere_in_between() {
    // Two futures of one task, polled in turns.
    run(async {
        let body = |expected: u32| {
            NUMBER.scope(expected, async move {
                for _ in 0..3 {
                    assert_eq!(NUMBER.get(), expected);
                    yield_now().await;
                }
            })
        };
        let (mut one, mut two) = (pin!(body(1)), pin!(body(2)));
        for _ in 0..3 {
            assert!(poll!(one.as_mut()).is_pending());
            assert_eq!(NUMBER.try_get(), None);
            assert!(poll!(two.as_mut()).is_pending());
        }
        assert!(poll!(one).is_ready() && poll!(two).is_ready());
    });
}

#[test]
fn what_is_around_is_restored_after_a_panic() {
    // In the task, and for the next task of the shard.
    let world = World::new();
    world.run(async {
        let body = async {
            let panics = NUMBER.scope(2, async { panic!("on purpose") });
            let caught: Result<(), _> = AssertUnwindSafe(panics).catch_unwind().await;
            assert!(caught.is_err());
            NUMBER.get()
        };
        assert_eq!(NUMBER.scope(1, body).await, 1);
        let task = NUMBER.scope(3, async { spawn(async { panic!("on purpose") }) }).await;
        let ended: Result<(), _> = task.await;
        assert!(ended.is_err());
        assert_eq!(NUMBER.try_get(), None);
        assert_eq!(spawn(async { NUMBER.try_get() }).await.unwrap(), None);
    });
    world.end();
}

#[test]
fn values_are_there_when_the_future_is_dropped() {
    // Half way, at its end, and in a task that is aborted, by another one with values of its own.
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let tells = || {
            let seen = Rc::clone(&seen);
            on_drop(move || seen.borrow_mut().push(NUMBER.try_get()))
        };
        let staying = |value| async move {
            let _value = value;
            pending::<()>().await;
        };
        {
            let mut half_way = pin!(NUMBER.scope(1, staying(tells())));
            assert!(poll!(half_way.as_mut()).is_pending());
        }
        NUMBER.scope(2, async { drop(tells()) }).await;
        let aborted = NUMBER.scope(3, async { spawn(staying(tells())) }).await;
        yield_now().await;
        let aborts = async {
            aborted.abort();
            assert!(aborted.await.is_err());
        };
        NUMBER.scope(4, aborts).await;
        let seen = seen.take();
        assert_eq!(seen, [Some(1), Some(2), Some(3)]);
    });
}

#[test]
fn a_task_with_values_may_be_ended_while_it_is_ready() {
    // It is still in the queue then.
    run(async {
        let scope = Scope::new();
        NUMBER.scope(1, async { drop(scope.spawn(pending::<()>())) }).await;
        scope.cancel();
        yield_now().await;
    });
}

#[test]
fn a_value_is_dropped_with_the_last_that_sees_it() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    task_local!(
        static COUNTED: Counted;
    );
    run(async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = || dropped.load(Ordering::Relaxed);
        let value = Counted(Arc::clone(&dropped));
        let task = COUNTED.scope(value, async { spawn(sleep(Duration::from_secs(1))) }).await;
        yield_now().await;
        assert_eq!(count(), 0);
        task.await.unwrap();
        yield_now().await;
        assert_eq!(count(), 1);
    });
}

#[test]
#[should_panic = "the task-local NUMBER is not set here"]
fn a_value_that_is_not_set_is_named() {
    run(async { NUMBER.get() });
}

#[test]
fn spans_follow_tasks_under_a_subscriber_that_is_set_for_a_while() {
    // Before and after there is none, and nothing is inherited.
    let world = World::new();
    let before = world.shard.spawn(async { tracing::Span::current().is_none() });
    let recorder = Recorder::default();
    tracing::subscriber::with_default(recorder.clone(), || check_spans(&world.shard, &recorder));
    let after = world.run(async { tracing::Span::current().is_none() });
    assert!(after && world.run(before).unwrap());
    world.end();
}
