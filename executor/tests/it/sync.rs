//! What all of `sync` has in common: it stays on its thread, it is fair, and foreign code may come back into it.

use core::cell::{Cell, RefCell};
use core::error::Error;
use core::fmt::Debug;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use mainspring_executor::spawn;
use mainspring_executor::sync::{
    Barrier, Closed, Mutex, MutexGuard, Notified, Notify, OwnedMutexGuard, OwnedSemaphorePermit,
    RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit, TryAcquireError,
    TryLockError, broadcast, mpsc, oneshot, watch,
};
use mainspring_executor::time::yield_now;

use crate::drops::{Drops, on_drop};
use crate::ticking::{World, run};

/// Does not compile where one of the types is `Send` or `Sync`: then there are two ways to read the path.
macro_rules! assert_of_one_thread {
    ($($type:ty),+ $(,)?) => {{
        trait UnlessSend<A> {
            fn check() {}
        }
        impl<T: ?Sized> UnlessSend<()> for T {}
        impl<T: ?Sized + Send> UnlessSend<u8> for T {}
        trait UnlessSync<A> {
            fn check() {}
        }
        impl<T: ?Sized> UnlessSync<()> for T {}
        impl<T: ?Sized + Sync> UnlessSync<u8> for T {}
        $(
            <$type as UnlessSend<_>>::check();
            <$type as UnlessSync<_>>::check();
        )+
    }};
}

#[test]
fn nothing_of_it_crosses_threads() {
    // Also where the value could.
    assert_of_one_thread!(
        mpsc::Sender<u8>,
        mpsc::Receiver<u8>,
        mpsc::OwnedPermit<u8>,
        mpsc::Permit<'static, u8>,
        mpsc::Recv<'static, u8>,
        mpsc::Sending<'static, u8>,
        oneshot::Sender<u8>,
        oneshot::Receiver<u8>,
        watch::Sender<u8>,
        watch::Receiver<u8>,
        watch::Ref<u8>,
        broadcast::Sender<u8>,
        broadcast::Receiver<u8>,
        Mutex<u8>,
        MutexGuard<'static, u8>,
        OwnedMutexGuard<u8>,
        RwLock<u8>,
        RwLockReadGuard<'static, u8>,
        RwLockWriteGuard<'static, u8>,
        Semaphore,
        SemaphorePermit<'static>,
        OwnedSemaphorePermit,
        Notify,
        Notified<'static>,
        Barrier,
    );
}

#[test]
fn errors_say_what_is_the_matter_and_give_the_value_back() {
    // Whether or not it can be printed.
    struct Opaque(u8);
    let check = |error: &dyn Error, expected: &str| assert_eq!(error.to_string(), expected);
    check(&Closed, "closed");
    check(&TryLockError, "the lock is taken");
    check(&TryAcquireError::NoPermits, "no permits for now");
    check(&TryAcquireError::Closed, "closed");
    check(&mpsc::TryRecvError::Empty, "no message for now");
    check(&mpsc::TryRecvError::Disconnected, "nobody sends any more");
    check(&oneshot::TryRecvError::Empty, "no value for now");
    check(&oneshot::TryRecvError::Closed, "no value will be sent");
    check(&broadcast::RecvError::Lagged(3), "3 messages were missed");
    check(&broadcast::RecvError::Closed, "nobody sends any more");
    check(&broadcast::TryRecvError::Empty, "no message for now");
    check(&mpsc::SendError(Opaque(0)), "nobody receives any more");
    check(&mpsc::TrySendError::Full(Opaque(0)), "the channel is full");
    check(&mpsc::TrySendError::Closed(Opaque(0)), "nobody receives any more");

    let (sender, receiver) = mpsc::channel(1);
    assert!(sender.try_send(Opaque(1)).is_ok());
    let error = sender.try_send(Opaque(2)).unwrap_err();
    assert_eq!((format!("{error:?}"), error.into_inner().0), ("Full(..)".to_owned(), 2));
    drop(receiver);
    assert_eq!(sender.try_send(Opaque(3)).unwrap_err().into_inner().0, 3);
    let (sender, receiver) = oneshot::channel();
    drop(receiver);
    let error = sender.send(Opaque(4)).unwrap_err();
    assert_eq!((format!("{error:?}"), error.0.0), ("SendError(..)".to_owned(), 4));
    let (sender, receiver) = watch::channel(Opaque(5));
    drop(receiver);
    assert_eq!(sender.send(Opaque(6)).unwrap_err().0.0, 6);
    assert_eq!(sender.borrow().0, 5, "it stays");
    let (sender, receiver) = broadcast::channel(1);
    drop(receiver);
    assert_eq!(sender.send(7).unwrap_err().0, 7);
}

// Fairness.

/// Something that is ready each time.
type Ready = Box<dyn Fn() -> LocalBoxFuture<'static, ()>>;

fn ready<F: Future<Output = ()> + 'static>(make: impl Fn() -> F + 'static) -> Ready {
    Box::new(move || Box::pin(make()))
}

/// For each thing that can be ready at once, a future that is.
fn all_that_is_ready() -> Vec<(&'static str, Ready)> {
    let semaphore = Rc::new(Semaphore::new(1));
    let mutex = Rc::new(Mutex::new(0));
    let lock = Rc::new(RwLock::new(0));
    let other_lock = lock.clone();
    let (sender, receiver) = mpsc::channel(1);
    let (reserves, unused) = mpsc::channel::<u8>(1);
    let receiver = Rc::new(RefCell::new(receiver));
    let (closed_sender, _) = mpsc::channel::<u8>(1);
    let (looks, watched) = watch::channel(0);
    let watched = RefCell::new(watched);
    let watched = Rc::new(watched);
    let waits_for = watched.clone();
    let (unwatched, _) = watch::channel(0);
    let (announces, hears) = broadcast::channel(1);
    let hears = Rc::new(RefCell::new(hears));
    let notify = Rc::new(Notify::new());
    let barrier = Rc::new(Barrier::new(1));
    let take = move |receiver: &Rc<RefCell<mpsc::Receiver<u8>>>| {
        assert_eq!(receiver.borrow_mut().try_recv(), Ok(1));
    };
    vec![
        (
            "acquire",
            ready(move || {
                let semaphore = semaphore.clone();
                async move { drop(semaphore.acquire().await.expect("it is open")) }
            }),
        ),
        (
            "lock",
            ready(move || {
                let mutex = mutex.clone();
                async move { *mutex.lock().await += 1 }
            }),
        ),
        (
            "read",
            ready(move || {
                let lock = lock.clone();
                async move { drop(lock.read().await) }
            }),
        ),
        (
            "write",
            ready(move || {
                let lock = other_lock.clone();
                async move { *lock.write().await += 1 }
            }),
        ),
        (
            "send",
            ready(move || {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                async move {
                    sender.send(1).await.expect("it is open");
                    take(&receiver);
                }
            }),
        ),
        (
            "reserve",
            ready(move || {
                let sender = reserves.clone();
                assert!(unused.is_empty());
                async move { drop(sender.reserve().await.expect("it is open")) }
            }),
        ),
        (
            "recv",
            ready(move || {
                let (sender, mut receiver) = mpsc::channel(1);
                sender.try_send(1).expect("it is open");
                async move { assert_eq!(receiver.recv().await, Some(1)) }
            }),
        ),
        (
            "recv of nothing",
            ready(move || {
                let (_, mut receiver) = mpsc::channel::<u8>(1);
                async move { assert_eq!(receiver.recv().await, None) }
            }),
        ),
        (
            "mpsc closed",
            ready(move || {
                let sender = closed_sender.clone();
                async move { sender.closed().await }
            }),
        ),
        (
            "oneshot",
            ready(|| {
                let (sender, receiver) = oneshot::channel();
                sender.send(1).expect("it is open");
                async move { assert_eq!(receiver.await, Ok(1)) }
            }),
        ),
        (
            "oneshot closed",
            ready(|| {
                let (mut sender, _) = oneshot::channel::<u8>();
                async move { sender.closed().await }
            }),
        ),
        (
            "changed",
            ready(move || {
                looks.send(1).expect("it is open");
                let mut receiver = watched.borrow().clone();
                async move { receiver.changed().await.expect("it is open") }
            }),
        ),
        (
            "wait_for",
            ready(move || {
                let mut receiver = waits_for.borrow().clone();
                async move { drop(receiver.wait_for(|_| true).await.expect("it is open")) }
            }),
        ),
        (
            "watch closed",
            ready(move || {
                let sender = unwatched.clone();
                async move { sender.closed().await }
            }),
        ),
        (
            "broadcast",
            ready(move || {
                announces.send(1).expect("it is open");
                let hears = hears.clone();
                #[expect(clippy::await_holding_refcell_ref, reason = "nobody else uses it")]
                async move {
                    assert_eq!(hears.borrow_mut().recv().await, Ok(1));
                }
            }),
        ),
        (
            "notified",
            ready(move || {
                notify.notify_one();
                let notify = notify.clone();
                async move { notify.notified().await }
            }),
        ),
        (
            "barrier",
            ready(move || {
                let barrier = barrier.clone();
                async move { assert!(barrier.wait().await.is_leader()) }
            }),
        ),
    ]
}

#[test]
fn who_is_always_ready_lets_the_others_run() {
    // 128 operations, then it is the others' turn.
    const COUNT: usize = 1000;
    for (name, make) in all_that_is_ready() {
        let world = World::new();
        let turns = Rc::new(Cell::new(0));
        let counts = turns.clone();
        world.run(async move {
            let other = spawn(async move {
                loop {
                    yield_now().await;
                    counts.set(counts.get() + 1);
                }
            });
            for _ in 0..COUNT {
                make().await;
            }
            other.abort();
        });
        // The first turn of the other one is not counted.
        let expected = COUNT / 128 - 1;
        assert!((expected..=expected + 1).contains(&turns.get()), "{name}: {} turns", turns.get());
        assert!(world.metrics().budget_yields >= expected as u64, "{name}");
        world.end();
    }
}

#[test]
fn outside_of_tasks_there_is_no_budget() {
    // Neither outside of a shard nor in one, between its turns, when a task has just used up its own.
    for (name, make) in all_that_is_ready() {
        let check = || (0..300).for_each(|_| assert_eq!(make().now_or_never(), Some(()), "{name}"));
        check();
        let world = World::new();
        world.shard.enter(check);
        let (sender, mut receiver) = mpsc::channel(200);
        (0..200).for_each(|number| sender.try_send(number).unwrap());
        drop(world.shard.spawn(async move { while receiver.recv().await.is_some() {} }));
        world.shard.turn(mainspring_executor::Turn::Poll).unwrap();
        world.shard.enter(check);
        world.end();
    }
}

// Foreign code: wakers, and destructors of values and of wakers. It may come back, for nothing is borrowed.

thread_local! {
    /// What wakers of [`Meddler`] do when they are woken and when the last of them is dropped.
    static MEDDLE: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
    static MEDDLED: Cell<usize> = const { Cell::new(0) };
}

/// A waker that does something foreign.
struct Meddler {
    when_woken: bool,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        if self.when_woken {
            meddle();
        }
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        if !self.when_woken {
            meddle();
        }
    }
}

fn meddle() {
    // Not while it meddles already: its own wakers would make it go round for ever.
    let meddle = MEDDLE.with_borrow_mut(Option::take);
    if let Some(meddle) = meddle {
        meddle();
        MEDDLED.set(MEDDLED.get() + 1);
        MEDDLE.set(Some(meddle));
    }
}

/// Waits with a waker that meddles, then makes what it waits for happen, or drops it.
struct Meddling<'a> {
    when_woken: bool,
    meddle: Rc<dyn Fn()>,
    happen: &'a dyn Fn(),
}

impl Meddling<'_> {
    fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::new(Meddler { when_woken: self.when_woken }));
        future.poll(&mut Context::from_waker(&waker))
    }

    /// Plays it once with the future polled to its end, once with it dropped after its wake, and once before.
    fn play(&self, make: impl Fn() -> LocalBoxFuture<'static, ()>) {
        let before = MEDDLED.get();
        MEDDLE.set(Some(self.meddle.clone()));
        // What meddles may make it happen at any of these points.
        let mut future = make().fuse();
        let _ = self.poll(Pin::new(&mut future));
        let _ = self.poll(Pin::new(&mut future));
        (self.happen)();
        let _ = self.poll(Pin::new(&mut future));
        drop(future);
        let mut future = make();
        let _ = self.poll(future.as_mut());
        (self.happen)();
        drop(future);
        let mut future = make();
        let _ = self.poll(future.as_mut());
        drop(future);
        MEDDLE.set(None);
        assert!(MEDDLED.get() > before, "it did meddle");
    }
}

/// Both kinds of meddling, with `meddle` touching everything that borrows inside.
fn check_meddling(
    make: impl Fn() -> LocalBoxFuture<'static, ()>,
    happen: impl Fn(),
    meddle: impl Fn() + 'static,
) {
    let meddle: Rc<dyn Fn()> = Rc::new(meddle);
    for when_woken in [true, false] {
        Meddling { when_woken, meddle: meddle.clone(), happen: &happen }.play(&make);
    }
}

fn touch(thing: &impl Debug) {
    assert!(!format!("{thing:?}").is_empty());
}

#[test]
fn wakers_may_come_back_into_what_wakes_them() {
    let semaphore = Rc::new(Semaphore::new(0));
    let (waits, meddles) = (semaphore.clone(), semaphore.clone());
    check_meddling(
        move || {
            let semaphore = waits.clone();
            Box::pin(async move { semaphore.acquire().await.unwrap().forget() })
        },
        || semaphore.add_permits(1),
        move || {
            touch(&meddles);
            drop(meddles.try_acquire());
            assert!(meddles.acquire_many(9).now_or_never().is_none());
            meddles.add_permits(0);
        },
    );

    let mutex = Rc::new(Mutex::new(0));
    let guard = Rc::new(RefCell::new(mutex.clone().try_lock_owned().ok()));
    let (waits, meddles) = (mutex.clone(), mutex.clone());
    check_meddling(
        move || {
            let mutex = waits.clone();
            Box::pin(async move { *mutex.lock().await += 1 })
        },
        || {
            drop(guard.take());
            *guard.borrow_mut() = mutex.clone().try_lock_owned().ok();
        },
        move || {
            touch(&meddles);
            drop(meddles.try_lock());
            drop(meddles.lock().now_or_never());
        },
    );
}

#[test]
fn wakers_may_come_back_into_channels() {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Rc::new(RefCell::new(receiver));
    let (waits, happens, meddles) = (receiver.clone(), sender.clone(), sender.clone());
    #[expect(clippy::await_holding_refcell_ref, reason = "who meddles does not receive")]
    check_meddling(
        move || {
            let receiver = waits.clone();
            Box::pin(async move { receiver.borrow_mut().recv().map(|_| ()).await })
        },
        move || _ = happens.try_send(1),
        move || {
            touch(&meddles);
            drop(meddles.try_reserve());
            let _ = meddles.closed().now_or_never();
            _ = meddles.send(1).now_or_never();
        },
    );
    while receiver.borrow_mut().try_recv().is_ok() {}
    sender.try_send(0).unwrap();
    let (waits, meddles) = (sender.clone(), receiver.clone());
    check_meddling(
        move || {
            let sender = waits.clone();
            Box::pin(async move { sender.send(2).await.unwrap() })
        },
        move || {
            let received = receiver.borrow_mut().try_recv();
            assert!(received.is_ok());
            _ = sender.try_send(0);
        },
        move || {
            // Where `happen` has it borrowed there is nothing to do.
            if let Ok(receiver) = meddles.try_borrow() {
                touch(&*receiver);
            }
        },
    );
}

#[test]
fn wakers_may_come_back_into_what_wakes_all() {
    let (sender, receiver) = watch::channel(0);
    let (meddles, waits) = (receiver.clone(), receiver.clone());
    check_meddling(
        move || {
            let mut receiver = waits.clone();
            Box::pin(async move { receiver.changed().await.unwrap() })
        },
        || sender.send(1).unwrap(),
        move || {
            touch(&meddles);
            let _look = meddles.borrow();
            let _ = meddles.clone().changed().now_or_never();
        },
    );

    let (sender, receiver) = broadcast::channel(2);
    let (waits, meddles) = (receiver.resubscribe(), sender.clone());
    check_meddling(
        move || {
            let mut receiver = waits.resubscribe();
            Box::pin(async move { receiver.recv().map(|_| ()).await })
        },
        || assert!(sender.send(1).is_ok()),
        move || {
            touch(&meddles);
            _ = meddles.send(2);
            let _ = meddles.subscribe().recv().now_or_never();
        },
    );

    let notify = Rc::new(Notify::new());
    let (waits, meddles) = (notify.clone(), notify.clone());
    let all = Cell::new(false);
    check_meddling(
        move || {
            let notify = waits.clone();
            Box::pin(async move { notify.notified().await })
        },
        || match all.replace(!all.get()) {
            true => notify.notify_waiters(),
            false => notify.notify_one(),
        },
        move || {
            touch(&meddles);
            let _ = meddles.notified().now_or_never();
            meddles.notify_waiters();
        },
    );

    let barrier = Rc::new(Barrier::new(2));
    let (waits, meddles) = (barrier.clone(), barrier.clone());
    check_meddling(
        move || {
            let barrier = waits.clone();
            Box::pin(async move {
                let _ = barrier.wait().await;
            })
        },
        || {
            let _ = barrier.wait().now_or_never();
        },
        move || {
            touch(&meddles);
            let _ = meddles.wait().now_or_never();
        },
    );
}

#[test]
fn a_waker_that_is_woken_again_and_again_does_not_go_round() {
    // Who comes while all are woken waits for the next time.
    let notify = Rc::new(Notify::new());
    let waits: Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>> = Rc::default();
    let (keeps, comes) = (waits.clone(), notify.clone());
    let join = move || {
        let notify = comes.clone();
        let mut future: LocalBoxFuture<'static, ()> =
            Box::pin(async move { notify.notified().await });
        let waker = Waker::from(Arc::new(Meddler { when_woken: true }));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        keeps.borrow_mut().push(future);
    };
    join();
    MEDDLE.set(Some(Rc::new(join)));
    notify.notify_waiters();
    notify.notify_waiters();
    MEDDLE.set(None);
    assert_eq!(waits.borrow().len(), 3, "one more each time");
    waits.borrow_mut().clear();
}

#[test]
fn a_round_of_a_barrier_ends_for_all_at_once() {
    // Those who come, or leave, while it is told to the others are of the next round.
    let barrier = Rc::new(Barrier::new(3));
    let futures: Rc<RefCell<Vec<LocalBoxFuture<'static, bool>>>> = Rc::default();
    let wait = {
        let (barrier, futures) = (barrier.clone(), futures.clone());
        move || {
            let barrier = barrier.clone();
            let mut future: LocalBoxFuture<'static, bool> =
                Box::pin(async move { barrier.wait().await.is_leader() });
            let waker = Waker::from(Arc::new(Meddler { when_woken: true }));
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            futures.borrow_mut().push(future);
            polled
        }
    };
    assert!(wait().is_pending() && wait().is_pending());
    let (comes, leaves) = (wait.clone(), futures.clone());
    MEDDLE.set(Some(Rc::new(move || {
        // The second of the round has not been woken yet.
        drop(leaves.borrow_mut().remove(1));
        assert!(comes().is_pending() && comes().is_pending());
    })));
    assert_eq!(wait(), Poll::Ready(true));
    MEDDLE.set(None);
    assert_eq!(format!("{barrier:?}"), "Barrier(2 of 3)");
    let first = futures.borrow_mut().remove(0);
    assert_eq!(first.now_or_never(), Some(false));
    futures.borrow_mut().clear();
    assert_eq!(format!("{barrier:?}"), "Barrier(0 of 3)");
}

#[test]
fn values_may_come_back_when_they_are_dropped() {
    // Into the channel that drops them.
    type Value = Box<dyn core::any::Any>;
    let drops = Drops::default();
    let counted = |act: Box<dyn FnOnce()>| -> Value {
        let value = drops.value();
        Box::new(on_drop(move || {
            act();
            drop(value);
        }))
    };

    let (sender, receiver) = mpsc::channel::<Value>(2);
    for _ in 0..2 {
        let twin = sender.clone();
        let act = move || {
            touch(&twin);
            assert!(twin.try_send(Box::new(0)).is_err());
        };
        assert!(sender.try_send(counted(Box::new(act))).is_ok());
    }
    drop(receiver);
    assert_eq!(drops.count(), 2);

    let (sender, mut receiver) = broadcast::channel::<Rc<Value>>(1);
    for _ in 0..3 {
        let twin = sender.clone();
        let act = move || {
            touch(&twin);
            drop(twin.subscribe());
        };
        assert!(sender.send(Rc::new(counted(Box::new(act)))).is_ok());
    }
    assert_eq!(drops.count(), 4, "two were pushed out");
    let error = receiver.try_recv().err();
    assert_eq!(error, Some(broadcast::TryRecvError::Lagged(2)));
    drop(receiver);
    assert_eq!(drops.count(), 5);

    let (sender, receiver) = watch::channel::<Value>(Box::new(0));
    for _ in 0..2 {
        let (twin, sees) = (sender.clone(), receiver.clone());
        let act = move || {
            touch(&twin);
            drop(sees.borrow());
        };
        assert!(sender.send(counted(Box::new(act))).is_ok());
    }
    assert_eq!(drops.count(), 6);
    sender.set(Box::new(0));
    assert_eq!(drops.count(), 7);

    let (sender, receiver) = oneshot::channel::<Value>();
    assert!(sender.send(counted(Box::new(|| {}))).is_ok());
    drop(receiver);
    assert_eq!(drops.count(), 8);
}

#[test]
fn a_clone_may_come_back_into_its_channel() {
    // The user's `Clone` runs with nothing borrowed: it may send, and push itself out.
    struct Chatty(broadcast::Sender<Chatty>, u8);
    impl Clone for Chatty {
        fn clone(&self) -> Self {
            touch(&self.0);
            if self.1 == 0 {
                assert!(self.0.send(Self(self.0.clone(), 1)).is_ok());
            }
            Self(self.0.clone(), self.1)
        }
    }
    let (sender, mut receiver) = broadcast::channel(1);
    let mut other = sender.subscribe();
    assert!(sender.send(Chatty(sender.clone(), 0)).is_ok());
    assert_eq!(receiver.try_recv().ok().unwrap().1, 0);
    assert_eq!(other.try_recv().err(), Some(broadcast::TryRecvError::Lagged(1)));
    assert_eq!(other.try_recv().ok().unwrap().1, 1);
    assert_eq!(receiver.try_recv().ok().unwrap().1, 1);
    // The channel is in its own messages only while they are kept.
    assert!(sender.is_empty());
}

#[test]
fn the_memory_of_a_task_does_not_outlive_its_wait() {
    // Where the channel does: what keeps a waker for the next wait lets go of it with the receiver.
    let (sender, receiver) = mpsc::channel::<u8>(1);
    let (reply, answer) = oneshot::channel::<u8>();
    let world = World::new();
    drop(world.shard.spawn(async move {
        let mut receiver = receiver;
        let mut answer = answer;
        mainspring_executor::join!(receiver.recv(), &mut answer)
    }));
    world.run(async { yield_now().await });
    world.end();
    assert!(sender.is_closed() && reply.is_closed());
}

#[test]
fn a_lock_is_not_poisoned() {
    // A panic unlocks; the value is as it was left.
    run(async {
        let mutex = Rc::new(Mutex::new(1));
        let lock = Rc::new(RwLock::new(1));
        let (panics, also) = (mutex.clone(), lock.clone());
        let task = spawn(async move {
            let mut guard = panics.lock().await;
            let mut other = also.write().await;
            (*guard, *other) = (2, 2);
            panic!("on purpose");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!((*mutex.lock().await, *lock.read().await), (2, 2));
    });
}

#[test]
fn a_guard_that_is_leaked_locks_for_good() {
    let mut mutex = Mutex::new(1);
    core::mem::forget(mutex.try_lock().unwrap());
    assert_eq!(mutex.try_lock().unwrap_err(), TryLockError);
    assert_eq!(mutex.get_mut(), None);
    assert_eq!(mutex.into_inner(), None);
    let mut lock = RwLock::new(1);
    core::mem::forget(lock.try_read().unwrap());
    assert!(lock.try_write().is_err());
    assert_eq!(lock.get_mut(), None);
    assert_eq!(lock.into_inner(), None);
    let mut mutex = Mutex::new(1);
    *mutex.get_mut().unwrap() += 1;
    assert_eq!(mutex.into_inner(), Some(2));
    let mut lock = RwLock::new(1);
    *lock.get_mut().unwrap() += 1;
    assert_eq!(lock.into_inner(), Some(2));
}

#[test]
fn a_notified_that_is_over_stays_so_and_takes_no_more() {
    let notify = Notify::new();
    let mut notified = pin!(notify.notified());
    assert!(!notified.as_mut().enable());
    notify.notify_one();
    assert!(notified.as_mut().enable());
    notify.notify_one();
    assert!(notified.as_mut().enable());
    assert_eq!(notified.now_or_never(), Some(()));
    assert_eq!(notify.notified().now_or_never(), Some(()), "that one was kept");
    assert_eq!(notify.notified().now_or_never(), None);
}

#[test]
fn a_oneshot_gives_its_value_once() {
    let (sender, mut receiver) = oneshot::channel();
    assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Empty));
    assert_eq!((&mut receiver).now_or_never(), None);
    sender.send(1).unwrap();
    assert_eq!((&mut receiver).now_or_never(), Some(Ok(1)));
    assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Closed));
    assert_eq!(receiver.now_or_never(), Some(Err(Closed)));
    // What was sent before the close is still there.
    let (sender, mut receiver) = oneshot::channel();
    sender.send(1).unwrap();
    receiver.close();
    assert_eq!(receiver.try_recv(), Ok(1));
    let (sender, mut receiver) = oneshot::channel::<u8>();
    receiver.close();
    assert!(sender.is_closed());
    assert_eq!(receiver.now_or_never(), Some(Err(Closed)));
}

#[test]
fn messages_of_permits_still_come_after_a_close() {
    run(async {
        let (sender, mut receiver) = mpsc::channel(2);
        let permit = sender.clone().reserve_owned().await.unwrap();
        let other = sender.reserve().await.unwrap();
        receiver.close();
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty), "two may still come");
        let drain = spawn(async move { (receiver.recv().await, receiver.recv().await) });
        yield_now().await;
        drop(permit.send(1));
        yield_now().await;
        drop(other);
        assert_eq!(drain.await.unwrap(), (Some(1), None));
    });
}

#[test]
fn a_permit_outlives_its_receiver() {
    // What it sends is dropped; a sender comes back from it all the same.
    let drops = Drops::default();
    let (sender, receiver) = mpsc::channel(2);
    let permit = sender.try_reserve().unwrap();
    let owned = sender.clone().reserve_owned().now_or_never().unwrap().unwrap();
    let unused = sender.clone().reserve_owned();
    drop(receiver);
    permit.send(drops.value());
    let sender = owned.send(drops.value());
    assert_eq!((drops.count(), sender.is_closed(), sender.len()), (2, true, 0));
    assert_eq!(unused.now_or_never().unwrap().err(), Some(Closed));
    let (sender, _receiver) = mpsc::channel::<u8>(1);
    let sender = sender.reserve_owned().now_or_never().unwrap().unwrap().release();
    assert!(sender.try_send(1).is_ok());
}

#[test]
fn modifying_a_watched_value_copies_it_only_where_somebody_looks() {
    struct Counts(Rc<Cell<usize>>);
    impl Clone for Counts {
        fn clone(&self) -> Self {
            self.0.set(self.0.get() + 1);
            Self(self.0.clone())
        }
    }
    let copies = Rc::new(Cell::new(0));
    let (sender, receiver) = watch::channel(Counts(copies.clone()));
    sender.send_modify(|_| {});
    assert_eq!(copies.get(), 0);
    let look = receiver.borrow();
    sender.send_modify(|_| {});
    assert_eq!(copies.get(), 1);
    drop(look);
    // The value survives a panic, and no change is told.
    let version = receiver.has_changed();
    let modified = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        sender.send_modify(|_| panic!("on purpose"));
    }));
    assert!(modified.is_err());
    assert_eq!(receiver.has_changed(), version);
    drop(receiver.borrow());
}

#[test]
fn a_predicate_may_change_what_it_looks_at() {
    // And is asked again then.
    run(async {
        let (sender, mut receiver) = watch::channel(0);
        let found = receiver
            .wait_for(|value| {
                if *value < 3 {
                    sender.set(*value + 1);
                }
                *value == 3
            })
            .await;
        assert_eq!(found.as_deref().ok(), Some(&3));
    });
}
