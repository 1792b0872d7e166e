//! Each future of `sync` may be dropped wherever it is suspended: nothing is lost, nobody waits for ever.
//!
//! One scene, at least, for each async method. See [`suspensions`](crate::suspensions).

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::rc::Rc;

use futures::StreamExt;
use futures::channel::oneshot as signal;
use mainspring_executor::sync::{
    Barrier, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch,
};
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{join, select, try_join};

use crate::drops::Drops;
use crate::suspensions::{Scene, drop_at_each};

/// Lets the others run for as long as they have anything to do: this clock moves only when nobody has.
async fn all_rest() {
    sleep(Duration::from_millis(1)).await;
}

/// A value that two parties may have, one after the other.
fn shared<T>(value: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(value))
}

/// The victim has `thing` until it ends or is dropped; then an heir has it.
fn inheritance<T: 'static>(
    thing: &Rc<RefCell<T>>,
    victim: impl AsyncFnOnce(&mut T) + 'static,
    heir: impl AsyncFnOnce(&mut T) + 'static,
) -> Scene {
    let (victim_is_there, victim_is_gone) = signal::channel::<()>();
    let (victims, heirs) = (thing.clone(), thing.clone());
    #[expect(clippy::await_holding_refcell_ref, reason = "the heir waits")]
    let victim = async move {
        let _is_there = victim_is_there;
        victim(&mut victims.borrow_mut()).await;
    };
    #[expect(clippy::await_holding_refcell_ref, reason = "the victim is gone")]
    let heir = async move {
        assert!(victim_is_gone.await.is_err());
        heir(&mut heirs.borrow_mut()).await;
    };
    Scene::new(victim).with(heir)
}

type Log<T> = Rc<RefCell<Vec<T>>>;

/// Asserts the state of something as its `Debug` tells it: the only way to see from outside who waits in it.
#[track_caller]
fn check_state(thing: &impl core::fmt::Debug, expected: &str) {
    assert_eq!(format!("{thing:?}"), expected);
}

// Permits and locks: each user takes them some times, and holds them over a suspension.

#[test]
fn semaphore() {
    async fn use_it(semaphore: Rc<Semaphore>, count: usize, owned: bool) {
        for _ in 0..2 {
            if owned {
                let _permits = semaphore.clone().acquire_many_owned(count).await.unwrap();
                yield_now().await;
            } else {
                let _permits = semaphore.acquire_many(count).await.unwrap();
                yield_now().await;
            }
        }
    }
    for wanted in [[1, 1, 1], [1, 2, 2], [2, 1, 1], [2, 2, 1], [1, 1, 2]] {
        for owned in [false, true] {
            let suspensions = drop_at_each(|| {
                let semaphore = Rc::new(Semaphore::new(2));
                let [victim, one, other] =
                    wanted.map(|count| use_it(semaphore.clone(), count, owned));
                let scene = Scene::new(victim).with(one).with(other);
                (scene, move |_| check_state(&semaphore, "Semaphore(2 free, 0 waiting)"))
            });
            assert!(suspensions > 2, "{wanted:?}: it waits for permits, too");
        }
    }
}

#[test]
fn semaphore_that_is_closed() {
    drop_at_each(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let waits = |semaphore: Rc<Semaphore>| async move {
            assert!(semaphore.acquire().await.is_err());
        };
        let closer = semaphore.clone();
        let scene =
            Scene::new(waits(semaphore.clone())).with(waits(semaphore.clone())).with(async move {
                all_rest().await;
                closer.add_permits(1);
                closer.close();
            });
        (scene, move |_| check_state(&semaphore, "Semaphore(1 free, 0 waiting, closed)"))
    });
}

#[test]
fn mutex() {
    async fn use_it(mutex: Rc<Mutex<u32>>, owned: bool) {
        for _ in 0..2 {
            if owned {
                let mut guard = mutex.clone().lock_owned().await;
                *guard += 1;
                yield_now().await;
                *guard -= 1;
            } else {
                let mut guard = mutex.lock().await;
                let before = *guard;
                *guard += 1;
                yield_now().await;
                *guard = before;
            }
        }
    }
    for owned in [false, true] {
        let suspensions = drop_at_each(|| {
            let mutex = Rc::new(Mutex::new(0));
            let user = || use_it(mutex.clone(), owned);
            let scene = Scene::new(user()).with(user()).with(user());
            (scene, move |_| check_state(&mutex, "Mutex(free, 0 waiting)"))
        });
        assert!(suspensions > 2, "it waits for the lock, too");
    }
}

#[test]
fn rwlock() {
    async fn read(lock: Rc<RwLock<u32>>, owned: bool) {
        for _ in 0..2 {
            if owned {
                let guard = lock.clone().read_owned().await;
                yield_now().await;
                assert_eq!(*guard, 0);
            } else {
                let guard = lock.read().await;
                yield_now().await;
                assert_eq!(*guard, 0);
            }
        }
    }
    /// Leaves a trace only while it writes, and takes it away however it ends.
    async fn write(lock: Rc<RwLock<u32>>, owned: bool) {
        struct Trace<G: core::ops::DerefMut<Target = u32>>(G);
        impl<G: core::ops::DerefMut<Target = u32>> Drop for Trace<G> {
            fn drop(&mut self) {
                *self.0 = 0;
            }
        }
        for _ in 0..2 {
            if owned {
                let mut guard = Trace(lock.clone().write_owned().await);
                *guard.0 += 1;
                yield_now().await;
                assert_eq!(*guard.0, 1);
            } else {
                let mut guard = Trace(lock.write().await);
                *guard.0 += 1;
                yield_now().await;
                assert_eq!(*guard.0, 1);
            }
        }
    }
    for owned in [false, true] {
        for victim_writes in [false, true] {
            drop_at_each(|| {
                let lock = Rc::new(RwLock::new(0));
                let scene = match victim_writes {
                    true => Scene::new(write(lock.clone(), owned)),
                    false => Scene::new(read(lock.clone(), owned)),
                };
                let scene = scene
                    .with(read(lock.clone(), owned))
                    .with(write(lock.clone(), owned))
                    .with(read(lock.clone(), owned));
                (scene, move |_| check_state(&lock, "RwLock(0 reading, 0 waiting)"))
            });
        }
    }
}

// Channels: what is received is what was sent, whoever receives it.

/// How the victim takes messages out of a channel.
#[derive(Clone, Copy, PartialEq)]
enum Taking {
    Recv,
    Stream,
    Poll,
    Selected,
    Joined,
}

async fn take(receiver: &mut mpsc::Receiver<u32>, taking: Taking) -> Option<u32> {
    match taking {
        Taking::Recv => receiver.recv().await,
        Taking::Stream => receiver.next().await,
        Taking::Poll => core::future::poll_fn(|cx| receiver.poll_recv(cx)).await,
        Taking::Selected => select! {
            message = receiver.recv() => message,
            () = core::future::pending() => None,
        },
        Taking::Joined => join!(receiver.recv()).0,
    }
}

/// Receives to the end.
fn receive_all(log: Log<u32>) -> impl AsyncFnOnce(&mut mpsc::Receiver<u32>) + 'static {
    async move |receiver| {
        while let Some(message) = receiver.recv().await {
            log.borrow_mut().push(message);
        }
    }
}

#[test]
fn mpsc_recv() {
    const COUNT: u32 = 6;
    let ways = [Taking::Recv, Taking::Stream, Taking::Poll, Taking::Selected, Taking::Joined];
    for taking in ways {
        for capacity in [1, 2, 10] {
            drop_at_each(|| {
                let (sender, receiver) = mpsc::channel(capacity);
                let (receiver, log) = (shared(receiver), Log::default());
                let (victims, heirs) = (log.clone(), log.clone());
                let victim = async move |receiver: &mut mpsc::Receiver<_>| {
                    // The last ones are for the heir.
                    while victims.borrow().len() < COUNT as usize - 1 {
                        let message = take(receiver, taking).await;
                        victims.borrow_mut().extend(message);
                    }
                };
                let scene = inheritance(&receiver, victim, receive_all(heirs));
                let source = async move {
                    for message in 0..COUNT {
                        sender.send(message).await.unwrap();
                        if message % 2 == 0 {
                            yield_now().await;
                        }
                    }
                };
                let check = move |_| {
                    assert!(log.borrow().iter().copied().eq(0..COUNT), "{log:?}");
                    check_state(&*receiver.borrow(), &format!("Receiver(0 of {capacity}, closed)"));
                };
                (scene.with(source), check)
            });
        }
    }
}

/// How a message gets into a channel.
#[derive(Clone, Copy)]
enum Putting {
    Send,
    Reserve,
    ReserveOwned,
    Selected,
}

/// Sends, and says that it did without a suspension in between.
async fn put<T>(sender: &mpsc::Sender<T>, message: T, putting: Putting, sent: &Cell<u32>) {
    match putting {
        Putting::Send => sender.send(message).await.expect("it is open"),
        Putting::Reserve => {
            let permit = sender.reserve().await.expect("it is open");
            yield_now().await;
            permit.send(message);
        }
        Putting::ReserveOwned => {
            let permit = sender.clone().reserve_owned().await.expect("it is open");
            yield_now().await;
            drop(permit.send(message));
        }
        Putting::Selected => select! {
            sent = sender.send(message) => sent.expect("it is open"),
            () = core::future::pending() => {}
        },
    }
    sent.set(sent.get() + 1);
}

#[test]
fn mpsc_send_and_reserve() {
    const COUNT: u32 = 3;
    for putting in [Putting::Send, Putting::Reserve, Putting::ReserveOwned, Putting::Selected] {
        for capacity in [1, 2] {
            drop_at_each(|| {
                let (sender, mut receiver) = mpsc::channel(capacity);
                let (drops, sent) = (Drops::default(), Rc::new(Cell::new(0)));
                let mut gone = Vec::new();
                let mut user = |putting| {
                    let (sender, drops, sent) = (sender.clone(), drops.clone(), sent.clone());
                    let (is_there, is_gone) = signal::channel::<()>();
                    gone.push(is_gone);
                    async move {
                        let _is_there = is_there;
                        for number in 0..COUNT {
                            put(&sender, (number, drops.value()), putting, &sent).await;
                        }
                    }
                };
                let scene = Scene::new(user(putting))
                    .with(user(Putting::Send))
                    .with(user(Putting::Reserve));
                let received = Rc::new(Cell::new(0));
                let counts = received.clone();
                let last = shared(None);
                let kept = last.clone();
                let sink = async move {
                    let mut all_gone = futures::future::join_all(gone);
                    loop {
                        select! {
                            biased;
                            message = receiver.recv() => drop(message.unwrap()),
                            _ = &mut all_gone => break,
                        }
                        counts.set(counts.get() + 1);
                        yield_now().await;
                    }
                    *kept.borrow_mut() = Some(receiver);
                };
                let check = move |ended: bool| {
                    assert_eq!(received.get(), sent.get());
                    assert!((2 * COUNT..=3 * COUNT).contains(&sent.get()), "{sent:?}");
                    assert!(!ended || sent.get() == 3 * COUNT);
                    let permits: Vec<_> = (0..capacity).map(|_| sender.try_reserve()).collect();
                    assert!(permits.iter().all(Result::is_ok), "{permits:?}");
                    assert_eq!(sender.try_reserve().unwrap_err(), mpsc::TrySendError::Full(()));
                    drop(permits);
                    check_state(&sender, &format!("Sender(0 of {capacity}, 0 waiting)"));
                };
                (scene.with(sink), move |ended: bool| {
                    check(ended);
                    drop(last);
                })
            });
        }
    }
}

#[test]
fn mpsc_closed() {
    for dropped in [false, true] {
        drop_at_each(|| {
            let (sender, receiver) = mpsc::channel::<u8>(1);
            let waits = |sender: mpsc::Sender<u8>| async move { sender.closed().await };
            let scene = Scene::new(waits(sender.clone())).with(waits(sender.clone()));
            let kept = shared(Some(receiver));
            let closes = kept.clone();
            let scene = scene.with(async move {
                all_rest().await;
                if dropped {
                    *closes.borrow_mut() = None;
                } else {
                    closes.borrow_mut().as_mut().unwrap().close();
                }
            });
            (scene, move |_| {
                assert!(sender.is_closed());
                drop(kept);
            })
        });
    }
}

#[test]
fn mpsc_send_into_a_channel_that_is_closed() {
    // Also with a slot that was given and not taken: the receiver does not wait for it.
    drop_at_each(|| {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(0).unwrap();
        let kept = sender.clone();
        let sends = |number, sender: mpsc::Sender<u32>| async move {
            let sent = sender.send(number).await;
            assert!(sent.is_ok_and(|()| number == 1) || sender.is_closed());
        };
        let scene = Scene::new(sends(1, sender.clone())).with(sends(2, sender)).with(async move {
            all_rest().await;
            assert_eq!(receiver.recv().await, Some(0));
            receiver.close();
            assert_eq!(receiver.recv().await, None);
        });
        (scene, move |_| drop(kept))
    });
}

#[test]
fn oneshot_receiver() {
    drop_at_each(|| {
        let (sender, receiver) = oneshot::channel();
        let (receiver, log) = (shared(receiver), Log::default());
        let (victims, heirs) = (log.clone(), log.clone());
        let victim = async move |receiver: &mut oneshot::Receiver<_>| {
            let value = receiver.await.unwrap();
            victims.borrow_mut().push(value);
        };
        let heir = async move |receiver: &mut oneshot::Receiver<_>| {
            let value = receiver.await;
            heirs.borrow_mut().extend(value);
        };
        let scene = inheritance(&receiver, victim, heir);
        let source = async move {
            all_rest().await;
            sender.send(7).unwrap();
        };
        let check = move |_| {
            assert_eq!(*log.borrow(), [7]);
            check_state(&*receiver.borrow(), "Receiver(closed)");
        };
        (scene.with(source), check)
    });
}

#[test]
fn oneshot_closed() {
    drop_at_each(|| {
        let (sender, receiver) = oneshot::channel::<u8>();
        let sender = shared(sender);
        let victims = sender.clone();
        #[expect(clippy::await_holding_refcell_ref, reason = "nobody else uses it")]
        let victim = async move { victims.borrow_mut().closed().await };
        let scene = Scene::new(victim).with(async move {
            all_rest().await;
            drop(receiver);
        });
        (scene, move |_| check_state(&*sender.borrow(), "Sender(closed)"))
    });
}

#[test]
fn watch_changed_and_wait_for() {
    async fn watch_it(mut receiver: watch::Receiver<u32>, waits_for: bool, log: Log<u32>) {
        if waits_for {
            let seen = *receiver.wait_for(|value| value % 4 == 3).await.unwrap();
            log.borrow_mut().push(seen);
        }
        while receiver.changed().await.is_ok() {
            log.borrow_mut().push(*receiver.borrow());
        }
    }
    for waits_for in [false, true] {
        drop_at_each(|| {
            let (sender, receiver) = watch::channel(0);
            let (log, victims_log) = (Log::default(), Log::default());
            let kept = receiver.clone();
            let scene = Scene::new(watch_it(receiver.clone(), waits_for, victims_log.clone()))
                .with(watch_it(receiver.clone(), false, log.clone()))
                .with(watch_it(receiver, true, log.clone()));
            let scene = scene.with(async move {
                for value in 1..=7 {
                    sender.send(value).unwrap();
                    if value % 2 == 1 {
                        all_rest().await;
                    }
                }
            });
            (scene, move |ended| {
                assert_eq!(log.borrow().iter().filter(|value| **value == 7).count(), 2, "{log:?}");
                assert!(victims_log.borrow().is_sorted());
                assert!(!ended || victims_log.borrow().last() == Some(&7));
                check_state(&kept, "Receiver(changed)");
            })
        });
    }
}

#[test]
fn watch_closed() {
    drop_at_each(|| {
        let (sender, receiver) = watch::channel(0);
        let waits = |sender: watch::Sender<u8>| async move { sender.closed().await };
        let scene = Scene::new(waits(sender.clone())).with(waits(sender.clone()));
        let scene = scene.with(async move {
            all_rest().await;
            drop(receiver);
        });
        (scene, move |_| check_state(&sender, "Sender(0 receivers, 0 waiting)"))
    });
}

#[test]
fn broadcast_recv() {
    const COUNT: u32 = 6;
    drop_at_each(|| {
        let (sender, receiver) = broadcast::channel(COUNT as usize);
        let (log, others_log) = (Log::default(), Log::default());
        let (mut other, receiver) = (receiver.resubscribe(), shared(receiver));
        let victims = log.clone();
        let victim = async move |receiver: &mut broadcast::Receiver<_>| {
            while victims.borrow().len() < COUNT as usize - 1 {
                let message = receiver.recv().await;
                victims.borrow_mut().extend(message);
            }
        };
        let hear_all = |log: Log<u32>| {
            async move |receiver: &mut broadcast::Receiver<_>| {
                while let Ok(message) = receiver.recv().await {
                    log.borrow_mut().push(message);
                }
            }
        };
        let scene = inheritance(&receiver, victim, hear_all(log.clone()));
        let hear = hear_all(others_log.clone());
        let other = async move { hear(&mut other).await };
        let source = async move {
            for message in 0..COUNT {
                sender.send(message).unwrap();
                if message % 2 == 0 {
                    all_rest().await;
                }
            }
        };
        let check = move |_| {
            assert!(log.borrow().iter().copied().eq(0..COUNT), "{log:?}");
            assert!(others_log.borrow().iter().copied().eq(0..COUNT), "{others_log:?}");
            check_state(&*receiver.borrow(), "Receiver(0 to come)");
        };
        (scene.with(other).with(source), check)
    });
}

// Notifications and barriers.

/// Things that are announced one by one.
#[derive(Default)]
struct Work {
    notify: Notify,
    left: Cell<u32>,
    is_over: Cell<bool>,
}

impl Work {
    /// Takes `count` of them.
    async fn take(&self, count: u32) {
        for _ in 0..count {
            loop {
                let notified = self.notify.notified();
                if self.left.get() > 0 {
                    self.left.set(self.left.get() - 1);
                    break;
                }
                if self.is_over.get() {
                    return;
                }
                notified.await;
            }
        }
    }

    /// Announces `count`, each when the one before was taken. Then lets all go.
    async fn make(&self, count: u32) {
        for _ in 0..count {
            self.left.set(1);
            self.notify.notify_one();
            all_rest().await;
            assert_eq!(self.left.get(), 0, "a notification was lost");
        }
        self.is_over.set(true);
        self.notify.notify_waiters();
    }
}

#[test]
fn notified() {
    drop_at_each(|| {
        let work = Rc::new(Work::default());
        let takes = |count| {
            let work = work.clone();
            async move { work.take(count).await }
        };
        let makes = work.clone();
        let scene = Scene::new(takes(2)).with(takes(10)).with(takes(10));
        let scene = scene.with(async move { makes.make(6).await });
        (scene, move |_| check_state(&work.notify, "Notify(0 waiting)"))
    });
}

#[test]
fn barrier() {
    drop_at_each(|| {
        let barrier = Rc::new(Barrier::new(2));
        let has_passed = Rc::new(Cell::new(false));
        let (victim_is_there, victim_is_gone) = signal::channel::<()>();
        let arrives = barrier.clone();
        let victim = async move {
            let _is_there = victim_is_there;
            all_rest().await;
            arrives.wait().await;
        };
        let (arrives, passes) = (barrier.clone(), has_passed.clone());
        let partner = async move {
            all_rest().await;
            all_rest().await;
            arrives.wait().await;
            passes.set(true);
        };
        let stands_in = barrier.clone();
        let stand_in = async move {
            assert!(victim_is_gone.await.is_err());
            all_rest().await;
            all_rest().await;
            all_rest().await;
            if !has_passed.get() {
                stands_in.wait().await;
            }
        };
        let scene = Scene::new(victim).with(partner).with(stand_in);
        (scene, move |_| check_state(&barrier, "Barrier(0 of 2)"))
    });
}

// Several at a time: what the others had is not lost either.

#[test]
fn select_among_many() {
    // What one branch was given while another was first goes on to the next in line.
    drop_at_each(|| {
        let semaphore = Rc::new(Semaphore::new(1));
        let mutex = Rc::new(Mutex::new(()));
        let work = Rc::new(Work::default());
        let user = || {
            let (semaphore, mutex, work) = (semaphore.clone(), mutex.clone(), work.clone());
            async move {
                for _ in 0..3 {
                    select! {
                        permit = semaphore.acquire() => {
                            yield_now().await;
                            drop(permit);
                        }
                        guard = mutex.lock() => {
                            yield_now().await;
                            drop(guard);
                        }
                        () = work.notify.notified(), if work.is_over.get() => {}
                    }
                }
            }
        };
        let (makes, takes) = (work.clone(), work.clone());
        let scene = Scene::new(user()).with(user()).with(user());
        let scene = scene
            .with(async move { takes.take(10).await })
            .with(async move { makes.make(3).await });
        (scene, move |_| {
            check_state(&semaphore, "Semaphore(1 free, 0 waiting)");
            check_state(&mutex, "Mutex(free, 0 waiting)");
        })
    });
}

#[test]
fn join_and_try_join_of_many() {
    drop_at_each(|| {
        let semaphore = Rc::new(Semaphore::new(3));
        let mutex = Rc::new(Mutex::new(()));
        let user = || {
            let (semaphore, mutex) = (semaphore.clone(), mutex.clone());
            async move {
                let (permit, one, other) =
                    join!(semaphore.acquire(), semaphore.acquire_many(1), async {
                        drop(mutex.lock().await);
                        yield_now().await;
                        3
                    });
                assert_eq!((permit.unwrap().count(), one.unwrap().count(), other), (1, 1, 3));
                let refused = try_join!(semaphore.acquire_many(2), async {
                    yield_now().await;
                    let _guard = mutex.lock().await;
                    let semaphore = Semaphore::new(0);
                    semaphore.close();
                    semaphore.acquire().await.map(drop)
                });
                assert!(refused.is_err());
            }
        };
        let scene = Scene::new(user());
        (scene, move |_| {
            check_state(&semaphore, "Semaphore(3 free, 0 waiting)");
            check_state(&mutex, "Mutex(free, 0 waiting)");
        })
    });
}

#[test]
fn the_budget_of_a_poll() {
    // Suspended for no other reason than that it did much.
    const COUNT: u32 = 300;
    let suspensions = drop_at_each(|| {
        let (sender, receiver) = mpsc::channel(COUNT as usize);
        for message in 0..COUNT {
            sender.try_send(message).unwrap();
        }
        drop(sender);
        let (receiver, log) = (shared(receiver), Log::default());
        let (victim, heir) = (receive_all(log.clone()), receive_all(log.clone()));
        let check = move |_| assert!(log.borrow().iter().copied().eq(0..COUNT));
        (inheritance(&receiver, victim, heir), check)
    });
    assert_eq!(suspensions, 2, "300 messages are more than twice what one poll may do");
}
