//! Wakers on foreign threads: no wake is lost, whatever the shard does at that moment.
#![expect(clippy::disallowed_methods, reason = "wakes come from threads of the test")]

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use mainspring_executor::os::OsDriver;
use mainspring_executor::time::{timeout, yield_now};
use mainspring_executor::{Shard, spawn};

use crate::worlds::{TIME_MAX, on_both, rounds};

/// A count that one task waits for and foreign threads raise.
#[derive(Default)]
struct Gate {
    count: AtomicUsize,
    waiter: Mutex<Option<Waker>>,
}

impl Gate {
    fn raise(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let waiter = self.waiter.lock().expect("no panic inside").take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Waits until the count is at least `count`.
    async fn reaches(&self, count: usize) {
        poll_fn(|cx| {
            *self.waiter.lock().expect("no panic inside") = Some(cx.waker().clone());
            if self.count.load(Ordering::SeqCst) < count { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// A thread that ends before the test does.
struct Helper(Option<thread::JoinHandle<()>>);

impl Helper {
    fn start(act: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(thread::Builder::new().spawn(act).expect("a thread is to be had")))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let ended = self.0.take().expect("dropped once").join();
        assert!(ended.is_ok() || thread::panicking(), "the helper panicked");
    }
}

#[test]
fn no_wake_is_lost_between_running_and_sleeping() {
    // Ping-pong: the thread answers as soon as the shard asks, so that its wake meets the shard on its way to sleep. With
    // one task the shard always sleeps, with several it is sometimes awake.
    for tasks in [1, 3] {
        on_both(move || async move {
            let pairs: Vec<_> = (0..tasks).map(|_| spawn(ping_pong(rounds(3000)))).collect();
            for pair in pairs {
                pair.await.unwrap();
            }
        });
    }
}

async fn ping_pong(rounds: usize) {
    let gate = Arc::new(Gate::default());
    let (ask, asked) = mpsc::channel();
    let answers = Arc::clone(&gate);
    let helper = Helper::start(move || {
        while let Ok(()) = asked.recv() {
            answers.raise();
        }
    });
    // Behind the helper, so that it is dropped before it, also where this future is dropped half way.
    let ask = ask;
    for round in 1..=rounds {
        ask.send(()).expect("the helper listens");
        gate.reaches(round).await;
    }
    drop(ask);
    drop(helper);
}

#[test]
fn no_wake_is_lost_when_many_threads_wake_many_tasks_at_once() {
    // Threads wake, clone and drop wakers as fast as they can, while the shard runs and sleeps.
    on_both(|| async {
        let (threads, tasks, wakes) = (4, 8, rounds(2000));
        let gates: Vec<_> = (0..tasks).map(|_| Arc::new(Gate::default())).collect();
        let waiters = gates.iter().map(Arc::clone).map(|gate| {
            spawn(async move {
                for count in 1..=threads * wakes {
                    gate.reaches(count).await;
                }
            })
        });
        let waiters: Vec<_> = waiters.collect();
        let helper = |first: usize| {
            let gates = gates.clone();
            Helper::start(move || {
                for turn in 0..wakes {
                    for place in 0..tasks {
                        let gate = &gates[(first + turn + place) % tasks];
                        let twin = gate.waiter.lock().expect("no panic inside").clone();
                        gate.raise();
                        if let Some(twin) = twin {
                            let third = twin.clone();
                            twin.wake_by_ref();
                            drop(twin);
                            third.wake();
                        }
                    }
                }
            })
        };
        let helpers: Vec<_> = (0..threads).map(helper).collect();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        drop(helpers);
    });
}

#[test]
fn a_waker_that_outlives_the_shard_is_harmless() {
    // On a foreign thread, where its last reference frees the task.
    for _ in 0..rounds(50) {
        let driver = std::rc::Rc::new(OsDriver::new().unwrap());
        let shard = Shard::new(driver);
        let (keep, kept) = mpsc::channel::<Waker>();
        let (gone, wait) = mpsc::channel::<()>();
        let helper = Helper::start(move || {
            let wakers: Vec<_> = kept.iter().take(3).collect();
            // Until here the shard may be alive; it wakes in the middle of its end, and after it.
            for waker in &wakers {
                waker.wake_by_ref();
            }
            let _ = wait.recv();
            for waker in wakers {
                let twin = waker.clone();
                waker.wake();
                twin.wake();
            }
        });
        shard
            .run(async move {
                for _ in 0..3 {
                    let keep = keep.clone();
                    let mut sent = false;
                    drop(spawn(poll_fn(move |cx| {
                        if !sent {
                            keep.send(cx.waker().clone()).unwrap();
                            sent = true;
                        }
                        Poll::<()>::Pending
                    })));
                }
                yield_now().await;
            })
            .unwrap();
        drop(shard);
        drop(gone);
        drop(helper);
    }
}

/// Wakes when its thread ends.
struct LastWords(Waker, Arc<AtomicBool>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        self.0.wake_by_ref();
    }
}

thread_local! {
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

#[test]
fn a_wake_from_a_thread_that_is_ending_is_not_lost() {
    // Thread-locals are destroyed one after the other: the waker's thread may have lost those of the executor already.
    on_both(|| async {
        for executor_first in [true, false] {
            let spoken = Arc::new(AtomicBool::new(false));
            let said = Arc::clone(&spoken);
            let (send, receive) = mpsc::channel::<Waker>();
            let touched = Arc::new(Gate::default());
            let touch = Arc::clone(&touched);
            let helper = Helper::start(move || {
                let waker = receive.recv().expect("the task sends its waker");
                if executor_first {
                    touch.raise();
                }
                LAST_WORDS.set(Some(LastWords(waker, said)));
                if !executor_first {
                    touch.raise();
                }
            });
            // A wake of another task makes the thread use the executor's thread-locals.
            let other = spawn(async move { touched.reaches(1).await });
            yield_now().await;
            let mut send = Some(send);
            let waits = poll_fn(move |cx| {
                if spoken.load(Ordering::SeqCst) {
                    return Poll::Ready(());
                }
                if let Some(send) = send.take() {
                    send.send(cx.waker().clone()).unwrap();
                }
                Poll::Pending
            });
            spawn(waits).await.unwrap();
            other.await.unwrap();
            drop(helper);
        }
    });
}

#[test]
fn a_shard_that_was_shut_down_still_takes_foreign_wakes() {
    // `shutdown` ends the tasks, not the shard.
    let shard = Shard::new(std::rc::Rc::new(OsDriver::new().unwrap()));
    shard.run(async {}).unwrap();
    shard.shutdown();
    let answered = shard.run(async { timeout(TIME_MAX / 6, ping_pong(1)).await }).unwrap();
    assert!(answered.is_ok(), "the wake was lost");
}

#[test]
fn a_task_may_end_on_one_shard_and_wake_one_on_another_thread() {
    // Two shards, each with its driver, that wait for each other.
    let [here, there] = [Arc::new(Gate::default()), Arc::new(Gate::default())];
    let exchange = |own: Arc<Gate>, other: Arc<Gate>| {
        let shard = Shard::new(std::rc::Rc::new(OsDriver::new().unwrap()));
        let body = async move {
            for round in 1..=rounds(1000) {
                other.raise();
                own.reaches(round).await;
            }
        };
        shard.run(async { timeout(TIME_MAX, body).await.is_ok() }).unwrap()
    };
    thread::scope(|threads| {
        let second = threads.spawn(|| exchange(Arc::clone(&there), Arc::clone(&here)));
        assert!(exchange(Arc::clone(&here), Arc::clone(&there)), "a wake was lost");
        assert!(second.join().unwrap(), "a wake was lost");
    });
}
