//! What the shard is told of waits and locks: who, for what, where. From inside, for the records are not public.

use core::pin::pin;
use core::task::Poll;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt, poll};

use super::*;
use crate::os::OsDriver;
use crate::time::yield_now;
use crate::waits::Record;
use crate::{Shard, current, spawn};

fn run(body: impl Future<Output = ()> + 'static) {
    let driver = OsDriver::new().expect("the system has a poller");
    Shard::new(Rc::new(driver)).run(body).expect("the driver works");
}

fn waiting() -> Vec<Record> {
    current::core().waits.waiting()
}

fn holding() -> Vec<Record> {
    current::core().waits.holding()
}

/// Something that waits for ever, and what it is said to wait for.
type Case = (&'static str, LocalBoxFuture<'static, ()>);

fn case<T: 'static>(what: &'static str, future: impl Future<Output = T> + 'static) -> Case {
    (what, Box::pin(future.map(drop)))
}

/// One for each future there is. What they wait for is kept by `keep`.
fn all_that_waits(keep: &mut Vec<Box<dyn core::any::Any>>) -> Vec<Case> {
    let mut cases = Vec::new();
    let semaphore = Rc::new(Semaphore::new(0));
    let twin = Rc::clone(&semaphore);
    cases.push(case("permits", async move { twin.acquire().await.is_ok() }));
    cases.push(case("permits", Rc::clone(&semaphore).acquire_owned()));
    cases.push(case("permits", semaphore.acquire_many_owned(2)));

    let mutex = Rc::new(Mutex::new(()));
    keep.push(Box::new(Rc::clone(&mutex).try_lock_owned()));
    let twin = Rc::clone(&mutex);
    cases.push(case("a lock", async move { drop(twin.lock().await) }));
    cases.push(case("a lock", mutex.lock_owned()));
    let lock = Rc::new(RwLock::new(()));
    keep.push(Box::new(Rc::clone(&lock).try_write_owned()));
    let twin = Rc::clone(&lock);
    cases.push(case("a read lock", async move { drop(twin.read().await) }));
    cases.push(case("a read lock", Rc::clone(&lock).read_owned()));
    let twin = Rc::clone(&lock);
    cases.push(case("a write lock", async move { drop(twin.write().await) }));
    cases.push(case("a write lock", lock.write_owned()));

    let (sender, receiver) = mpsc::channel(1);
    assert_eq!(sender.try_send(1), Ok(()));
    for twin in [sender.clone(), sender.clone(), sender] {
        match cases.len() % 3 {
            0 => cases.push(case("room in a channel", async move { twin.send(2).await.is_ok() })),
            1 => cases.push(case("room in a channel", twin.reserve_owned())),
            _ => cases.push(case("the end of a receiver", async move { twin.closed().await })),
        }
    }
    keep.push(Box::new(receiver));
    let (sender, mut receiver) = mpsc::channel::<u8>(1);
    keep.push(Box::new(sender));
    cases.push(case("a message", async move { receiver.recv().await }));
    let (sender, mut receiver) = mpsc::channel::<u8>(1);
    keep.push(Box::new(sender));
    cases.push(case("a message", async move { receiver.next().await }));

    let (mut sender, receiver) = oneshot::channel::<u8>();
    keep.push(Box::new(receiver));
    cases.push(case("the end of a receiver", async move { sender.closed().await }));
    let (sender, receiver) = oneshot::channel::<u8>();
    keep.push(Box::new(sender));
    cases.push(case("a value", receiver));

    let (sender, mut receiver) = watch::channel(0);
    let mut twin = receiver.clone();
    keep.push(Box::new(receiver.clone()));
    keep.push(Box::new(sender.clone()));
    cases.push(case("a change", async move { receiver.changed().await }));
    cases.push(case("a change", async move { twin.wait_for(|_| false).await.is_ok() }));
    cases.push(case("the end of the receivers", async move { sender.closed().await }));
    let (sender, mut receiver) = broadcast::channel::<u8>(1);
    keep.push(Box::new(sender));
    cases.push(case("a message", async move { receiver.recv().await }));

    let notify = Notify::new();
    cases.push(case("a notification", async move { notify.notified().await }));
    let barrier = Barrier::new(2);
    cases.push(case("a barrier", async move { barrier.wait().await }));
    cases
}

#[test]
fn each_wait_is_on_record_for_as_long_as_it_lasts() {
    run(async {
        let mut keep = Vec::new();
        for (what, future) in all_that_waits(&mut keep) {
            let waits = spawn(future);
            yield_now().await;
            let records = waiting();
            let [record] = &records[..] else { panic!("{what}: {records:?}") };
            assert_eq!((record.what, record.task), (what, Some(waits.id())));
            assert!(record.origin.file().ends_with("sync/tests.rs"), "{what}: {}", record.origin);
            waits.abort();
            drop(waits.await);
            assert_eq!(waiting().len(), 0, "{what}");
        }
    });
}

#[test]
fn each_lock_is_on_record_for_as_long_as_it_is_held() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(5));
        let mutex = Rc::new(Mutex::new(()));
        let lock = Rc::new(RwLock::new(()));
        let check = |what: &str| {
            let records = holding();
            let [record] = &records[..] else { panic!("{what}: {records:?}") };
            assert_eq!((record.what, record.task), (what, current::core().running()));
            assert!(record.origin.file().ends_with("sync/tests.rs"), "{what}: {}", record.origin);
        };
        let permit = semaphore.acquire().await;
        check("permits");
        drop(permit);
        let permit = Rc::clone(&semaphore).try_acquire_many_owned(2);
        check("permits");
        drop(permit);
        semaphore.acquire().await.expect("it is open").forget();
        let guard = mutex.lock().await;
        check("a lock");
        drop(guard);
        let guard = mutex.try_lock();
        check("a lock");
        drop(guard);
        let guard = Rc::clone(&lock).read_owned().await;
        check("a read lock");
        drop(guard);
        let guard = lock.try_read();
        check("a read lock");
        drop(guard);
        let guard = lock.write().await;
        check("a write lock");
        drop(guard);
        let guard = lock.try_write();
        check("a write lock");
        drop(guard);
        assert_eq!(holding().len(), 0);
    });
}

#[test]
fn who_waits_and_who_holds_name_the_same_thing() {
    // And another thing has another name. The record says the very line.
    run(async {
        let (mutex, other) = (Rc::new(Mutex::new(())), Mutex::new(()));
        let _other = other.lock().await;
        let (_guard, held_at) = (mutex.lock().await, line!());
        let twin = Rc::clone(&mutex);
        let waits = spawn(async move { drop(twin.lock().await) });
        yield_now().await;
        let (waiting, holding) = (waiting(), holding());
        let held: Vec<_> =
            holding.iter().filter(|record| record.target == waiting[0].target).collect();
        assert_eq!((waiting.len(), holding.len(), held.len()), (1, 2, 1));
        assert_eq!(held[0].origin.line(), held_at);
        waits.abort();
    });
}

#[test]
fn a_wait_that_moves_to_another_task_is_that_tasks() {
    // Told by its other waker.
    run(async {
        let (_sender, mut receiver) = mpsc::channel::<u8>(1);
        let semaphore = Rc::new(Semaphore::new(0));
        let mut acquires = Box::pin(Rc::clone(&semaphore).acquire_owned());
        assert!(poll!(acquires.as_mut()).is_pending());
        {
            let mut receives = pin!(receiver.recv());
            assert!(poll!(receives.as_mut()).is_pending());
            assert_eq!(waiting().len(), 2);
        }
        assert_eq!(waiting().len(), 1, "the receive is over");
        let here = current::core().running();
        assert!(waiting().iter().all(|record| record.task == here));
        let moved = spawn(async move {
            core::future::poll_fn(|cx| {
                assert!(receiver.poll_recv(cx).is_pending());
                acquires.poll_unpin(cx).map(drop)
            })
            .await;
        });
        yield_now().await;
        let tasks: Vec<_> = waiting().iter().map(|record| record.task).collect();
        assert_eq!(tasks, [Some(moved.id()); 2]);
        semaphore.add_permits(1);
        moved.await.expect("no panic");
        assert_eq!(waiting().len(), 0);
    });
}

#[test]
fn a_wait_that_is_over_is_off_the_record() {
    // Before its future is dropped.
    run(async {
        let (sender, mut receiver) = watch::channel(0);
        let mut changed = pin!(receiver.changed());
        assert!(poll!(changed.as_mut()).is_pending());
        assert_eq!(sender.send(1), Ok(()));
        assert!(poll!(changed.as_mut()).is_ready());
        let (sender, mut receiver) = mpsc::channel(1);
        let mut received = pin!(receiver.recv());
        assert!(poll!(received.as_mut()).is_pending());
        assert_eq!(sender.try_send(1), Ok(()));
        assert!(poll!(received.as_mut()).is_ready());
        let (sender, receiver) = oneshot::channel();
        let mut received = pin!(receiver);
        assert!(poll!(received.as_mut()).is_pending());
        assert_eq!(sender.send(1), Ok(()));
        assert!(poll!(received.as_mut()).is_ready());
        let (mut sender, receiver) = oneshot::channel::<u8>();
        let mut closed = pin!(sender.closed());
        assert!(poll!(closed.as_mut()).is_pending());
        drop(receiver);
        assert!(poll!(closed.as_mut()).is_ready());
        assert_eq!(waiting().len(), 0);
    });
}

#[test]
fn an_enabled_notified_does_not_wait() {
    run(async {
        let notify = Notify::new();
        let mut notified = pin!(notify.notified());
        assert!(!notified.as_mut().enable());
        assert_eq!(waiting().len(), 0);
        assert_eq!(poll!(notified.as_mut()), Poll::Pending);
        assert_eq!(waiting().len(), 1);
        notify.notify_one();
        assert_eq!(poll!(notified), Poll::Ready(()));
        assert_eq!(waiting().len(), 0);
    });
}
