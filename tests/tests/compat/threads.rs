//! `OnThread` and `HyperExecutor`: what is used on its own thread only, and what runs there.
#![expect(clippy::disallowed_methods, reason = "it goes to another thread to be refused there")]

use core::cell::Cell;
use core::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use futures::FutureExt;
use hyper::rt::Executor;
use mainspring_executor::compat::{
    FuturesIo, HyperExecutor, HyperIo, HyperSleep, HyperTimer, OnThread, TokioIo,
};
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::yield_now;
use mainspring_executor::{Scope, ScopeError};

use super::worlds::on_system;

/// Whether it panics on another thread.
fn panics_elsewhere<T: Send>(body: impl FnOnce() -> T + Send) -> bool {
    thread::scope(|threads| threads.spawn(body).join()).is_err()
}

#[test]
fn adapters_are_send_where_their_stream_is_bound() {
    fn check<T: Send>() {}
    fn check_both<T: Send + Sync>() {}
    check_both::<OnThread<Rc<()>>>();
    check_both::<HyperSleep>();
    check_both::<HyperTimer>();
    check::<FuturesIo<OnThread<TcpStream>>>();
    check::<TokioIo<OnThread<TcpStream>>>();
    check::<HyperIo<OnThread<TcpStream>>>();
}

#[test]
fn a_bound_value_is_used_on_its_thread_only() {
    let mut bound = OnThread::new(Rc::new(Cell::new(1)));
    assert!(bound.is_here());
    bound.inner().set(2);
    bound.inner_mut().set(3);
    assert_eq!(format!("{bound:?}"), "OnThread(Cell { value: 3 })");
    let shared = &bound;
    assert!(panics_elsewhere(|| shared.inner().get()));
    thread::scope(|threads| {
        let looked = threads.spawn(|| (shared.is_here(), format!("{shared:?}")));
        let looked = looked.join().expect("both are free");
        assert_eq!(looked, (false, "OnThread(elsewhere)".to_owned()));
    });
    let moved = &mut bound;
    assert!(panics_elsewhere(move || moved.inner_mut().set(4)));
    // There and back again.
    let bound = thread::scope(|threads| threads.spawn(|| bound).join()).expect("a move is free");
    assert_eq!(bound.into_inner().get(), 3);
}

#[test]
fn a_bound_value_with_a_destructor_is_left_behind_elsewhere() {
    let value = Rc::new(());
    let bound = OnThread::new(Rc::clone(&value));
    assert!(panics_elsewhere(move || drop(bound)));
    assert_eq!(Rc::strong_count(&value), 2, "it is not dropped there");
    let bound = OnThread::new(Rc::clone(&value));
    assert!(panics_elsewhere(move || drop(bound.into_inner())));
    let plain = OnThread::new(7);
    assert!(!panics_elsewhere(move || drop(plain)));
}

#[test]
fn a_bound_future_is_polled_on_its_thread_only() {
    let future = || OnThread::new(Box::pin(async { Rc::new(5) }));
    assert_eq!(future().now_or_never().as_deref(), Some(&5));
    let mut bound = future();
    let polled = &mut bound;
    assert!(panics_elsewhere(move || polled.now_or_never().is_some()));
    assert_eq!(bound.now_or_never().as_deref(), Some(&5));
}

#[test]
fn what_hyper_spawns_is_a_task_of_the_shard() {
    on_system(|| async {
        let flag = Rc::new(Cell::new(false));
        let set = Rc::clone(&flag);
        HyperExecutor::new().execute(async move { set.set(true) });
        assert!(!flag.get(), "it has a turn of its own");
        yield_now().await;
        assert!(flag.get());
    });
}

#[test]
fn what_hyper_spawns_ends_with_its_scope() {
    on_system(|| async {
        let scope = Rc::new(Scope::new());
        let executor = HyperExecutor::within(&scope);
        let held = Rc::new(());
        let child = (Rc::clone(&held), executor.clone());
        executor.execute(async move {
            pending::<()>().await;
            drop(child);
        });
        assert_eq!((scope.len(), Rc::strong_count(&held)), (1, 2));
        // The task holds a clone of the executor, which must not keep its scope.
        drop(scope);
        assert_eq!(Rc::strong_count(&held), 1);
        let late = Rc::clone(&held);
        executor.execute(async move { panic!("it never runs: {late:?}") });
        assert_eq!(Rc::strong_count(&held), 1, "it is dropped instead");
        yield_now().await;
    });
}

/// As a panic of a child does, where nobody holds a handle.
#[test]
fn a_panic_in_what_hyper_spawns_comes_to_the_scope() {
    on_system(|| async {
        let scope = Rc::new(Scope::new());
        HyperExecutor::within(&scope).execute(async { panic!("on purpose") });
        let ended = scope.join().await;
        assert!(matches!(ended, Err(ScopeError::Panicked(_))));
    });
}

/// Outside of a shard there is neither time nor place for a task.
#[test]
fn outside_of_a_shard_they_panic() {
    use hyper::rt::Timer;
    let outside: [fn(); 3] = [
        || assert_eq!(HyperTimer.now(), HyperTimer.now()),
        || drop(HyperTimer.sleep(core::time::Duration::ZERO)),
        || HyperExecutor::new().execute(async {}),
    ];
    for call in outside {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    }
}
