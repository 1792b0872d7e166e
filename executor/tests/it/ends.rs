//! Ends that meet foreign code half way: destructors and wakers that come back while a scope or a shard ends.
#![expect(clippy::disallowed_methods, reason = "a wake comes from another thread")]

use core::cell::{Cell, RefCell};
use core::future::pending;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::os::OsDriver;
use mainspring_executor::scope::scope;
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{JoinHandle, Scope, Shard, metrics, spawn, task_local};

use crate::ticking::run;

fn shard() -> Shard {
    Shard::new(Rc::new(OsDriver::new().expect("the system has a poller")))
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The output of a child that nobody joins is dropped while the child is not yet forgotten. Here it ends the scope.
#[test]
fn an_output_that_ends_its_own_scope_ends_it_once() {
    run(async {
        let holder = Rc::new(RefCell::new(None::<Rc<Scope>>));
        let scope = Rc::new(Scope::new());
        let sibling = Rc::new(());
        let held = Rc::clone(&sibling);
        drop(scope.spawn(async move {
            let _held = held;
            pending::<()>().await;
        }));
        holder.replace(Some(Rc::clone(&scope)));
        let taken = Rc::clone(&holder);
        drop(scope.spawn(async move { taken.take() }));
        drop(scope);
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(Rc::strong_count(&sibling), 1);
        assert_eq!(metrics().snapshot().panics_unjoined, 0);
    });
}

/// The same, where what is dropped is the handle of a sibling that panicked.
#[test]
fn an_output_that_tells_of_a_siblings_panic_tells_it_once() {
    let counters = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&counters);
    let told = catch_unwind(AssertUnwindSafe(|| {
        run(async move {
            kept.replace(Some(metrics()));
            scope(async |scope| {
                let failed: JoinHandle<()> = scope.spawn(async { panic!("on purpose") });
                yield_now().await;
                drop(scope.spawn(async move { [failed] }));
                pending::<()>().await;
            })
            .await;
        });
    }));
    let payload = told.expect_err("the panic comes out of the scope");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
    let counters = counters.take().expect("it began");
    assert_eq!(counters.snapshot().panics_unjoined, 0);
}

/// Destructors of children find their shard, wherever the scope is dropped.
#[test]
fn a_scope_that_is_dropped_outside_has_its_shard_around_it() {
    let shard = shard();
    let spawned = Rc::new(Cell::new(false));
    let scope = shard.enter(Scope::new);
    let tell = Rc::clone(&spawned);
    let guard = OnDrop(move || {
        let tell = Rc::clone(&tell);
        drop(spawn(async move { tell.set(true) }));
    });
    drop(scope.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    }));
    shard.run(yield_now()).expect("the driver works");
    drop(scope);
    shard.run(yield_now()).expect("the driver works");
    assert!(spawned.get());
}

/// What was sent to a shard and never run may spawn as it is dropped: that ends with the shard, too.
#[test]
fn a_shard_ends_after_what_was_sent_to_it() {
    let shard = shard();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let guard = OnDrop(move || {
        let sender = sender.clone();
        drop(spawn(async move {
            let _sender = sender;
            sleep(Duration::from_secs(3600)).await;
        }));
    });
    shard.handle().run(move || drop(guard)).expect("it is there");
    drop(shard);
    assert_eq!(receiver.recv(), Err(std::sync::mpsc::RecvError), "the task is gone");
}

/// A closure that panics ends the run, but loses no wake that came with it.
#[test]
fn a_wake_behind_a_panic_arrives() {
    let shard = shard();
    let (wake, woken) = futures::channel::oneshot::channel();
    let seen = Rc::new(Cell::new(false));
    let tell = Rc::clone(&seen);
    let waiting = shard.enter(|| {
        spawn(async move {
            woken.await.expect("it is sent");
            tell.set(true);
        })
    });
    shard.run(yield_now()).expect("the driver works");
    shard.handle().run(|| panic!("on purpose")).expect("it is there");
    // From another thread, so that it comes the same way.
    let sent = std::thread::scope(|threads| threads.spawn(|| wake.send(())).join());
    sent.expect("no panic").expect("it waits");
    let ran = catch_unwind(AssertUnwindSafe(|| shard.run(yield_now())));
    assert!(ran.is_err());
    let ended = shard.run(async { waiting.await.is_ok() });
    assert!(ended.expect("the driver works") && seen.get());
}

struct PanicsAtItsEnd;

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

/// A value that panics as it is dropped takes down neither the shard nor the other tasks.
#[test]
fn a_context_that_panics_at_its_end_is_counted() {
    task_local! { static VALUE: Arc<PanicsAtItsEnd>; }
    run(async {
        VALUE.scope(Arc::new(PanicsAtItsEnd), async { drop(spawn(yield_now())) }).await;
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(metrics().snapshot().panics_unjoined, 1);
    });
}
