//! The threads of the operating system behind jobs: shared, bounded, started late and ended early.

#![expect(clippy::disallowed_methods, reason = "a test has a thread of its own")]

use core::cell::RefCell;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::rc::Rc;
use std::sync::{Arc, Barrier, mpsc};

use futures::poll;
use mainspring_executor::Shard;
use mainspring_executor::driver::{Call, Driver, Exhausted, Job, Lane};
use mainspring_executor::offload::{self, OffloadError};
use mainspring_executor::os::{OsDriver, Pool, PoolOptions, available_cores, run_shards};

use crate::worlds::{TIME_MAX, on_both};

fn number(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("not zero")
}

fn pool(compute_threads_max: usize, waiting_max: usize) -> Pool {
    Pool::new(PoolOptions {
        compute_threads_max: number(compute_threads_max),
        waiting_max: number(waiting_max),
        ..PoolOptions::default()
    })
}

fn shard(pool: &Pool) -> Shard {
    Shard::new(Rc::new(OsDriver::builder().pool(pool).build().expect("a poller")))
}

/// A closure that ends when it is told to, or when nobody is left who could.
fn held() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    (sender, move || receiver.recv().unwrap_or_default())
}

/// A closure that has `farewell` sent when its thread ends.
fn says_farewell(farewell: mpsc::Sender<()>) -> impl FnOnce() + Send + 'static {
    struct AtEnd(mpsc::Sender<()>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            self.0.send(()).expect("the test waits for it");
        }
    }
    thread_local! {
        static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }
    || drop(AT_END.replace(Some(AtEnd(farewell))))
}

#[test]
fn closures_run_elsewhere() {
    // On another thread than the shard's; and so many at one time as the lane has threads.
    on_both(|| async {
        let here = std::thread::current().id();
        let there = offload::blocking(|| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        let threads = available_cores().get();
        let barrier = Arc::new(Barrier::new(threads));
        let all: Vec<_> = (0..threads).map(|_| Arc::clone(&barrier)).collect();
        let all = all.into_iter().map(|barrier| offload::compute(move || barrier.wait()));
        let met = futures::future::join_all(all).await;
        assert_eq!(met.iter().filter(|met| met.as_ref().unwrap().is_leader()).count(), 1);
    });
}

#[test]
fn a_lane_has_no_more_threads_than_it_may() {
    // However many jobs come, at most so many run at one time.
    let shard = shard(&pool(3, 100));
    shard
        .run(async {
            let running = Arc::new(AtomicUsize::new(0));
            let most = Arc::new(AtomicUsize::new(0));
            let job = |_| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                offload::compute(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                })
            };
            let all = futures::future::join_all((0..100).map(job)).await;
            assert!(all.iter().all(Result::is_ok));
            assert!(most.load(Ordering::SeqCst) <= 3);
        })
        .unwrap();
}

#[test]
fn a_shard_that_fills_its_queue_leaves_others_theirs() {
    // One pool, two shards on two threads: each has its own bound.
    let pool = pool(1, 4);
    let (release, hold) = held();
    let one = shard(&pool);
    let (filled, other) = (Arc::new(Barrier::new(2)), pool.clone());
    let twin = Arc::clone(&filled);
    let thread = std::thread::spawn(move || {
        twin.wait();
        let shard = shard(&other);
        shard.run(async move { offload::compute(|| 7).await.expect("there is room") }).unwrap()
    });
    one.run(async move {
        let mut begun = vec![offload::compute(hold)];
        assert!(poll!(&mut begun[0]).is_pending());
        let refused = loop {
            let mut next = offload::compute(|| ());
            match poll!(&mut next) {
                core::task::Poll::Pending => begun.push(next),
                core::task::Poll::Ready(refused) => break refused.unwrap_err(),
            }
        };
        assert!(matches!(refused, OffloadError::Full));
        assert!(Exhausted::is(&refused.into()));
        filled.wait();
        drop(release);
        for output in futures::future::join_all(begun).await {
            output.unwrap();
        }
    })
    .unwrap();
    assert_eq!(thread.join().unwrap(), 7);
}

#[test]
fn a_driver_takes_its_jobs_along() {
    // What waits is dropped with it, what runs ends and is dropped then, and the pool works on for others.
    let pool = pool(1, 100);
    let (release, hold) = held();
    let counted = Arc::new(());
    let gone = OsDriver::builder().pool(&pool).build().expect("a poller");
    let submit =
        |call| gone.submit(Job::Call { lane: Lane::Compute, call }).expect("there is room");
    let (begun, begins) = mpsc::channel();
    let given = Arc::clone(&counted);
    submit(Call::new(move || {
        begun.send(()).expect("the test waits for it");
        hold();
        Box::new(given)
    }));
    begins.recv().expect("a thread begins it");
    for _ in 0..10 {
        let held = Arc::clone(&counted);
        submit(Call::new(move || Box::new(held)));
    }
    assert_eq!(Arc::strong_count(&counted), 12);
    drop(gone);
    assert_eq!(Arc::strong_count(&counted), 2, "only the one that runs is left");
    release.send(()).expect("it runs");
    // The lane has one thread: when it comes to this, it is done with what was before.
    shard(&pool).run(async { offload::compute(|| ()).await.unwrap() }).unwrap();
    assert_eq!(Arc::strong_count(&counted), 1, "nobody waits for what it gave");
}

#[test]
fn threads_end() {
    // When they were idle for a while, and when the pool goes.
    for idle_timeout in [Duration::from_millis(1), Duration::from_secs(1_000_000)] {
        let pool = Pool::new(PoolOptions { idle_timeout, ..PoolOptions::default() });
        let kept = (idle_timeout < TIME_MAX).then(|| pool.clone());
        let (farewell, ended) = mpsc::channel();
        let shard = shard(&pool);
        shard.run(async { offload::blocking(says_farewell(farewell)).await.unwrap() }).unwrap();
        if kept.is_none() {
            drop((shard, pool));
            assert_eq!(ended.recv_timeout(TIME_MAX), Ok(()), "the pool is gone");
            continue;
        }
        assert_eq!(ended.recv_timeout(TIME_MAX), Ok(()), "it had nothing to do");
        // Another one starts when there is.
        shard.run(async { offload::blocking(|| ()).await.unwrap() }).unwrap();
    }
}

#[test]
fn shards_that_are_started_together_share_threads() {
    // One more of them than cores: with threads of their own, each would compute on another.
    let cores = available_cores();
    let threads = run_shards(cores.saturating_add(1), |_| async {
        offload::compute(|| std::thread::current().id()).await.unwrap()
    });
    let threads: Vec<_> = threads.into_iter().map(Result::unwrap).collect();
    let distinct = (0..threads.len()).filter(|place| !threads[..*place].contains(&threads[*place]));
    assert!(distinct.count() <= cores.get());
}

#[test]
fn metrics_can_be_read_from_elsewhere() {
    // From another thread, while the shard goes on.
    let metrics = shard(&pool(1, 1)).run(async {
        let metrics = offload::metrics();
        offload::compute(|| ()).await.unwrap();
        metrics
    });
    let metrics = metrics.unwrap();
    let snapshot = std::thread::spawn(move || metrics.snapshot()).join().unwrap();
    assert_eq!(snapshot.lane(Lane::Compute).ended, 1);
    assert_eq!(snapshot.lane(Lane::Blocking).ended, 0);
}
