//! Handles to shards: work that comes from elsewhere.
#![expect(clippy::disallowed_methods, reason = "the other shard has a thread of its own")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use mainspring_executor::channel::{SendError, channel};
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::{timeout, yield_now};
use mainspring_executor::{JoinError, Peers, Shard, ShardGone, handle, task_local};

use crate::ticking::World;
use crate::worlds::TIME_MAX;

#[test]
fn a_task_is_made_and_run_on_the_thread_of_its_shard() {
    let (to_main, from_other) = mpsc::channel();
    let other = thread::Builder::new().spawn(move || {
        let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        to_main.send((shard.handle(), thread::current().id(), stop)).unwrap();
        // Ends when the sender is dropped; until then the shard sleeps, but for what is sent.
        shard.run(stopped).unwrap().unwrap_err();
    });
    let (remote, other_id, stop) = from_other.recv().unwrap();
    let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
    let ran_on = shard.run(async move {
        let mut ran_on = Vec::new();
        for _ in 0..100 {
            let task = remote.spawn(|| {
                let local = Rc::new(thread::current().id());
                async move {
                    yield_now().await;
                    *local
                }
            });
            ran_on.push(timeout(TIME_MAX, task).await.expect("no wake is lost").unwrap());
        }
        drop(stop);
        ran_on
    });
    assert!(ran_on.unwrap().iter().all(|id| *id == other_id));
    other.unwrap().join().unwrap();
}

thread_local!(static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) });

#[test]
fn what_is_sent_keeps_its_order() {
    let world = World::new();
    world.run(async {
        for number in 0..100 {
            handle().run(move || SEEN.with_borrow_mut(|seen| seen.push(number))).unwrap();
        }
        while SEEN.with_borrow(Vec::len) < 100 {
            yield_now().await;
        }
    });
    assert!(SEEN.take().into_iter().eq(0..100));
    world.end();
}

#[test]
fn a_panic_comes_back_and_is_counted_where_nobody_hears_it() {
    let world = World::new();
    world.run(async {
        let makes = handle().spawn(|| -> core::future::Ready<()> { panic!("while made") });
        assert!(makes.await.unwrap_err().is_panic());
        let polls = handle().spawn(|| async { panic!("while polled") });
        let ended: Result<(), JoinError> = polls.await;
        assert!(ended.unwrap_err().is_panic());
    });
    assert_eq!(world.metrics().panics_unjoined, 0);
    world.run(async {
        drop(handle().spawn(|| async { panic!("unheard") }));
        while mainspring_executor::metrics().snapshot().panics_unjoined == 0 {
            yield_now().await;
        }
    });
    assert_eq!(world.metrics().panics_unjoined, 1);
    world.end();
}

#[test]
fn an_aborted_task_and_one_whose_shard_is_gone_are_cancelled() {
    let world = World::new();
    world.run(async {
        let task = handle().spawn(core::future::pending::<()>);
        yield_now().await;
        task.abort();
        assert!(matches!(task.await, Err(JoinError::Cancelled)));
    });
    let gone = world.shard.handle();
    let never_begun = gone.spawn(|| async {});
    assert_eq!(world.end_with_leftovers(), (0, 1), "the handle is left");
    assert_eq!(gone.run(|| unreachable!("nobody is there to call it")), Err(ShardGone));
    let never_sent = gone.spawn(|| async {});
    let world = World::new();
    world.run(async move {
        assert!(matches!(never_begun.await, Err(JoinError::Cancelled)));
        assert!(matches!(never_sent.await, Err(JoinError::Cancelled)));
    });
    world.end();
}

task_local! {
    static REQUEST: u32;
}

#[test]
fn the_context_goes_along() {
    let world = World::new();
    let seen = world.run(
        REQUEST.scope(7, async { handle().spawn(|| async { REQUEST.try_get() }).await.unwrap() }),
    );
    assert_eq!(seen, Some(7));
    let seen = world.run(async { handle().spawn(|| async { REQUEST.try_get() }).await.unwrap() });
    assert_eq!(seen, None, "it does not stay behind");
    world.end();
}

#[test]
fn the_load_is_the_number_of_tasks_of_the_last_turn() {
    let world = World::new();
    world.run(async {
        let tasks: Vec<_> = (0..10).map(|_| mainspring_executor::spawn(yield_now())).collect();
        // Its own turn has to end first.
        for _ in 0..100 {
            yield_now().await;
        }
        let mine = handle().load();
        assert_eq!(mine, 1, "the others have ended");
        drop(tasks);
    });
    world.end();
}

#[test]
fn a_channel_holds_so_many_messages_and_no_more() {
    let world = World::new();
    world.run(async {
        let (mut sender, mut receiver) = channel(2);
        // One more than the capacity, for the one sender.
        for number in 0..3 {
            sender.try_send(number).unwrap();
        }
        assert_eq!(sender.try_send(3), Err(SendError::Full(3)));
        let sending = mainspring_executor::spawn(async move {
            sender.send(3).await.unwrap();
            sender
        });
        yield_now().await;
        assert!(!sending.is_finished(), "it waits for room");
        for number in 0..4 {
            assert_eq!(receiver.recv().await, Some(number));
        }
        let mut sender = sending.await.unwrap();
        let mut twin = sender.clone();
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.try_send(4), Err(SendError::Closed(4)));
        assert_eq!(twin.send(5).await, Err(SendError::Closed(5)));
    });
    world.end();
}

#[test]
fn a_channel_crosses_threads() {
    let (mut to_other, mut from_main) = channel(1);
    let (mut to_main, mut from_other) = channel(1);
    let other = thread::Builder::new().spawn(move || {
        let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
        shard.run(async move {
            while let Some(number) = from_main.recv().await {
                to_main.send(number + 1_u32).await.unwrap();
            }
        })
    });
    let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
    let exchanged = timeout_in(&shard, async move {
        for number in 0..1000 {
            to_other.send(number).await.unwrap();
            assert_eq!(from_other.recv().await, Some(number + 1));
        }
        drop(to_other);
        assert_eq!(from_other.recv().await, None);
    });
    assert!(exchanged, "a wake was lost");
    other.unwrap().join().unwrap().unwrap();
}

/// Whether `body` ended in time.
fn timeout_in(shard: &Shard, body: impl Future<Output = ()> + 'static) -> bool {
    shard.run(async move { timeout(TIME_MAX, body).await.is_ok() }).expect("the driver works")
}

#[test]
fn the_least_loaded_of_the_peers_has_to_be_so_by_a_lead() {
    let worlds = [World::new(), World::new(), World::new()];
    for (world, tasks) in worlds.iter().zip([5, 3, 3]) {
        world.run(async move {
            for _ in 0..tasks {
                mainspring_executor::spawn(core::future::pending::<()>());
            }
        });
        world.run(yield_now());
    }
    // The load is that of the last turn, in which the main task was one of them or had just ended.
    let handles: Vec<_> = worlds.iter().map(|world| world.shard.handle()).collect();
    let loads: Vec<u64> = handles.iter().map(mainspring_executor::ShardHandle::load).collect();
    assert_eq!(loads, [5, 3, 3]);
    let peers = |own| Peers::new(handles.clone(), own);
    assert_eq!(peers(0).less_loaded(2), Some(1), "the first of equals");
    assert_eq!(peers(0).less_loaded(3), None, "not by so much");
    assert_eq!(peers(1).less_loaded(0), None, "this one is the first of the least loaded");
    assert_eq!(peers(2).less_loaded(1), None);
    drop(handles);
}
