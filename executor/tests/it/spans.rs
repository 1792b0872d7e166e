//! Tracing spans follow tasks. Used twice: here with a subscriber that is set for a while, and by a test binary of its own
//! with one that is set for good.

use core::time::Duration;
use std::future::pending;

use mainspring_executor::scope::scope;
use mainspring_executor::shield::shield;
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{Scope, Shard, handle, spawn, task_local};
use tracing::{Instrument, info, info_span};

use crate::recorder::{Recorder, TARGET};

task_local!(
    static NAME: u32;
);

/// Notes an event.
fn note() {
    info!(target: TARGET, "noted");
}

/// Notes an event when it is dropped.
struct Notes;

impl Drop for Notes {
    fn drop(&mut self) {
        note();
    }
}

/// Each case leaves events, of which the expected spans are given.
pub(crate) fn check_spans(shard: &Shard, recorder: &Recorder) {
    let check =
        |name: &str, body: futures::future::LocalBoxFuture<'static, ()>, expected: &[&[&str]]| {
            shard.run(body).expect("the driver does not fail");
            let events = recorder.take();
            assert_eq!(events, expected, "{name}");
            assert_eq!(recorder.left(), (0, 0), "{name}: spans are left");
        };
    let request = || info_span!(target: TARGET, "request");
    let inner = || info_span!(target: TARGET, "inner");
    let waits_and_notes = || async {
        note();
        sleep(Duration::from_millis(1)).await;
        note();
    };
    use futures::FutureExt;

    check(
        "no span",
        async move { spawn(waits_and_notes()).await.expect("no panic") }.boxed_local(),
        &[&[], &[]],
    );
    let around: &[&str] = &["request"];
    for (name, by) in [("spawn", 0), ("scope", 1), ("remote", 2), ("shield", 3), ("grandchild", 4)]
    {
        let body = async move {
            let scope = Scope::new();
            let task = request().in_scope(|| match by {
                0 => spawn(waits_and_notes()).map(drop).boxed_local(),
                1 => scope.spawn(waits_and_notes()).map(drop).boxed_local(),
                2 => handle().spawn(waits_and_notes).map(drop).boxed_local(),
                3 => shield(Duration::MAX, waits_and_notes()).map(drop).boxed_local(),
                _ => spawn(async move { spawn(waits_and_notes()).await }).map(drop).boxed_local(),
            });
            task.await;
        };
        check(name, body.boxed_local(), &[around, around]);
    }
    check(
        "not in between, nor afterwards",
        async move {
            let task = request().in_scope(|| spawn(waits_and_notes()));
            yield_now().await;
            note();
            task.await.expect("no panic");
            note();
            spawn(async { note() }).await.expect("no panic");
        }
        .boxed_local(),
        &[around, &[], around, &[], &[]],
    );
    check(
        "a span of its own",
        async move {
            let task = request().in_scope(|| spawn(waits_and_notes().instrument(inner())));
            task.await.expect("no panic");
        }
        .boxed_local(),
        &[&["request", "inner"], &["request", "inner"]],
    );
    check(
        "additions to the context leave the span alone",
        async move {
            let body = NAME.scope(7, waits_and_notes()).instrument(inner());
            request().in_scope(|| spawn(body)).await.expect("no panic");
        }
        .boxed_local(),
        &[&["request", "inner"], &["request", "inner"]],
    );
    check(
        "destructors",
        async move {
            scope(async |scope| {
                let staying = async {
                    let _notes = Notes;
                    pending::<()>().await;
                };
                drop(request().in_scope(|| scope.spawn(staying)));
                yield_now().await;
                inner().in_scope(|| scope.cancel());
            })
            .await;
        }
        .boxed_local(),
        &[&["inner", "request"]],
    );
    check(
        "a panic",
        async move {
            let panics = request().in_scope(|| {
                spawn(async {
                    let _notes = Notes;
                    std::panic::resume_unwind(Box::new("on purpose"));
                })
            });
            let ended: Result<(), _> = panics.await;
            assert!(ended.is_err());
            note();
        }
        .boxed_local(),
        &[around, &[]],
    );
}
