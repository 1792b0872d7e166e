//! One task at a time: how it starts, waits, ends, and who learns of it.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

use mainspring_executor::driver::{ReadyTasks, Schedule};
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{JoinError, JoinHandle, Scope, TaskId, Turn, dump, spawn, spawn_named};

use crate::drops::{Counted, Drops, on_drop};
use crate::ticking::{World, run};

/// What tasks did, in order.
type Log<T> = Rc<RefCell<Vec<T>>>;

/// The error that a task gave in words.
async fn error_of<T>(handle: JoinHandle<T>) -> String {
    handle.await.err().expect("the task has no output").to_string()
}

/// What a panic said that came through `body`.
fn panic_of(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).expect_err("this panics");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().expect("words").to_string(),
    }
}

/// Polls `future` once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_task_gives_its_output_to_who_joins_it() {
    // Before and after it has ended.
    run(async {
        let early = spawn(async { 1 });
        assert!(!early.is_finished());
        assert_eq!(early.await.unwrap(), 1);
        let late = spawn(async { 2 });
        yield_now().await;
        assert!(late.is_finished());
        assert_eq!(late.await.unwrap(), 2);
    });
}

#[test]
fn tasks_run_first_in_first_out() {
    // Each that yields goes behind all that were ready before.
    let log = Log::default();
    let seen = Rc::clone(&log);
    run(async move {
        let spawn_one = |name: usize| {
            let log = Rc::clone(&log);
            spawn(async move {
                for step in 0..3 {
                    log.borrow_mut().push((step, name));
                    yield_now().await;
                }
            })
        };
        let tasks: Vec<_> = (0..4).map(spawn_one).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let expected: Vec<_> = (0..3).flat_map(|step| (0..4).map(move |name| (step, name))).collect();
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn a_schedule_chooses_among_the_ready() {
    // Last in, first out; and it is shown the ids of what it chooses from.
    struct Last;
    impl Schedule for Last {
        fn choose(&mut self, ready: &ReadyTasks<'_>) -> Option<usize> {
            assert!((1..ready.len()).all(|place| ready.id(place - 1) < ready.id(place)));
            Some(ready.len() - 1)
        }
    }
    let world = World::with_schedule(Last);
    let log = Log::default();
    for name in 0..4 {
        let log = Rc::clone(&log);
        drop(world.shard.spawn(async move { log.borrow_mut().push(name) }));
    }
    world.run(async {});
    world.run(async { sleep(Duration::from_secs(1)).await });
    assert_eq!(*log.borrow(), [3, 2, 1, 0]);
    world.end();
}

#[test]
fn a_schedule_may_end_a_turn() {
    // One poll a turn, with a look at the driver in between.
    struct Single(bool);
    impl Schedule for Single {
        fn choose(&mut self, _ready: &ReadyTasks<'_>) -> Option<usize> {
            self.0 = !self.0;
            self.0.then_some(0)
        }
    }
    let world = World::with_schedule(Single(false));
    let log = Log::default();
    for name in 0..4 {
        let log = Rc::clone(&log);
        drop(world.shard.spawn(async move { log.borrow_mut().push(name) }));
    }
    let turns = |world: &World| world.shard.metrics().snapshot().turns;
    for ran in 0..=4 {
        assert_eq!((log.borrow().len(), turns(&world)), (ran, ran as u64));
        assert_eq!(world.shard.next_wake().is_some(), ran < 4, "what is ready is to be polled");
        world.shard.turn(Turn::Poll).unwrap();
    }
    world.end();
}

#[test]
fn ids_are_ordinals_and_the_ledger_knows_the_parent() {
    // The same program gives the same ids, whatever has ended meanwhile.
    let world = World::new();
    for first in [0, 3] {
        let handle = world.shard.spawn(async { spawn(pending::<()>()).id() });
        assert_eq!(handle.id(), TaskId(first));
        let (child, line) = world.run(async { (handle.await.unwrap(), line!()) });
        assert_eq!(child, TaskId(first + 2));
        let ledger = world.shard.ledger();
        let record = ledger.tasks.iter().find(|task| task.id == child).unwrap();
        assert_eq!(record.parent, Some(TaskId(first)));
        assert!(record.origin.file().ends_with("tests/it/tasks.rs"));
        assert!(record.origin.line() < line);
        assert!(!record.is_ready);
    }
    world.end();
}

#[test]
fn a_panic_is_told_to_the_joiner_and_only_to_it() {
    // The task after it runs on.
    let world = World::new();
    world.run(async {
        let bad: JoinHandle<()> = spawn(async { panic!("on purpose") });
        let good = spawn(async { 7 });
        let error = bad.await.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.to_string(), "the task panicked: on purpose");
        assert_eq!(good.await.unwrap(), 7);
    });
    assert_eq!(world.metrics().panics_unjoined, 0);
    world.end();
}

#[test]
fn a_panic_that_nobody_joins_is_counted() {
    // Whether the handle goes before the panic, after it inside of the shard, or after it outside.
    let world = World::new();
    let outside: JoinHandle<()> = world.shard.spawn(async { panic!("on purpose: outside") });
    world.run(async {
        drop(spawn(async { panic!("on purpose: no handle") }));
        let late: JoinHandle<()> = spawn(async { panic!("on purpose: handle dropped late") });
        yield_now().await;
        drop(late);
    });
    assert!(outside.is_finished());
    assert_eq!(world.metrics().panics_unjoined, 2);
    drop(outside);
    assert_eq!(world.metrics().panics_unjoined, 3);
    world.end();
}

#[test]
fn a_panic_is_counted_by_the_shard_that_it_happened_in() {
    // Though the handle is dropped while another one runs on the same thread.
    let [here, there] = [World::new(), World::new()];
    let handle = there.shard.spawn(async { panic!("on purpose") });
    there.run(async {});
    here.run(async move { drop::<JoinHandle<()>>(handle) });
    assert_eq!((here.metrics().panics_unjoined, there.metrics().panics_unjoined), (0, 1));
    here.end();
    there.end();
}

#[test]
fn a_panic_of_the_main_task_comes_through_run() {
    // And leaves a shard that still works.
    let world = World::new();
    assert_eq!(panic_of(|| world.run(async { panic!("on purpose") })), "on purpose");
    assert_eq!(world.run(async { 1 }), 1);
    world.end();
}

#[test]
fn abort_drops_the_future_at_its_next_turn() {
    // Before the first poll, while it waits, twice, and from outside of the shard.
    let world = World::new();
    let drops = Drops::default();
    let polled = Rc::new(Cell::new(0));
    let never_ends = {
        let (drops, polled) = (drops.clone(), Rc::clone(&polled));
        move || {
            let (value, polled) = (drops.value(), Rc::clone(&polled));
            async move {
                let _value = value;
                polled.set(polled.get() + 1);
                pending::<()>().await;
            }
        }
    };
    let outside = never_ends();
    world.run({
        let (drops, polled) = (drops.clone(), Rc::clone(&polled));
        async move {
            let before = spawn(never_ends());
            before.abort();
            assert_eq!(drops.count(), 0, "not at once");
            assert_eq!(error_of(before).await, "the task was cancelled");
            assert_eq!((polled.get(), drops.count()), (0, 1));

            let waits = spawn(never_ends());
            yield_now().await;
            waits.abort();
            waits.abort();
            assert_eq!(error_of(waits).await, "the task was cancelled");
            assert_eq!((polled.get(), drops.count()), (1, 2));
        }
    });
    let outside = world.shard.spawn(outside);
    world.run(async {});
    outside.abort();
    assert_eq!(world.run(error_of(outside)), "the task was cancelled");
    assert_eq!((polled.get(), drops.count()), (2, 3));
    world.end();
}

#[test]
fn abort_of_a_task_that_ended_changes_nothing() {
    // Its output is kept.
    run(async {
        let task = spawn(async { 5 });
        yield_now().await;
        task.abort();
        yield_now().await;
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn a_task_that_aborts_itself_ends_after_that_poll() {
    // With its output if it gave one, else cancelled.
    for gives_output in [true, false] {
        run(async move {
            let own: Rc<RefCell<Option<JoinHandle<u8>>>> = Rc::default();
            let handle = Rc::clone(&own);
            let polls = Rc::new(Cell::new(0));
            let counted = Rc::clone(&polls);
            *own.borrow_mut() = Some(spawn(poll_fn(move |_| {
                counted.set(counted.get() + 1);
                handle.borrow().as_ref().unwrap().abort();
                if gives_output { Poll::Ready(5) } else { Poll::Pending }
            })));
            yield_now().await;
            yield_now().await;
            let handle = own.take().unwrap();
            assert!(handle.is_finished());
            assert_eq!(handle.await.ok(), gives_output.then_some(5));
            assert_eq!(polls.get(), 1);
        });
    }
}

/// One way for a task to end, and how many of its future and output must be dropped by then.
fn check_ending(name: &str, act: impl FnOnce(&World, Drops, Drops)) {
    let world = World::new();
    let (futures, outputs) = (Drops::default(), Drops::default());
    act(&world, futures.clone(), outputs.clone());
    world.end();
    assert_eq!(futures.count(), 1, "{name}: the future");
    assert!(outputs.count() <= 1, "{name}: the output");
}

/// A future that gives `output` after one wait, and holds `value`.
async fn waits_once(value: Counted, output: Drops) -> Counted {
    yield_now().await;
    drop(value);
    output.value()
}

#[test]
fn future_and_output_are_dropped_exactly_once_in_every_ending() {
    // `end` adds: and the memory of the task is freed.
    check_ending("joined", |world, future, output| {
        let task = world.shard.spawn(waits_once(future.value(), output.clone()));
        let value = world.run(async { task.await.unwrap() });
        assert_eq!((future.count(), output.count()), (1, 0));
        drop(value);
        assert_eq!(output.count(), 1);
    });
    check_ending("handle dropped before the end", |world, future, output| {
        drop(world.shard.spawn(waits_once(future.value(), output.clone())));
        world.run(sleep_a_second());
        assert_eq!((future.count(), output.count()), (1, 1));
    });
    check_ending("handle dropped after the end", |world, future, output| {
        let task = world.shard.spawn(waits_once(future.value(), output.clone()));
        world.run(sleep_a_second());
        assert_eq!((future.count(), output.count()), (1, 0));
        drop(task);
        assert_eq!(output.count(), 1);
    });
    check_ending("panics", |world, future, _| {
        let value = future.value();
        let task = world.shard.spawn(async move {
            let _value = value;
            panic!("on purpose")
        });
        let ended: Result<(), _> = world.run(task);
        assert!(ended.unwrap_err().is_panic());
    });
    check_ending("aborted", |world, future, output| {
        let task = world.shard.spawn(waits_once(future.value(), output.clone()));
        task.abort();
        assert!(world.run(task).is_err());
        assert_eq!(output.count(), 0);
    });
    check_ending("cancelled by its scope in the queue", |world, future, output| {
        let scope = world.shard.enter(Scope::new);
        let task = scope.spawn(waits_once(future.value(), output.clone()));
        scope.cancel();
        assert_eq!(future.count(), 1, "at once");
        assert!(task.is_finished());
        world.run(sleep_a_second());
    });
    check_ending("shut down while it waits", |world, future, _| {
        let value = future.value();
        let task = world.shard.spawn(async move {
            let _value = value;
            pending::<()>().await;
        });
        world.run(sleep_a_second());
        world.shard.shutdown();
        assert_eq!(future.count(), 1);
        assert!(matches!(world.run(task), Err(JoinError::Cancelled)));
    });
    check_ending("the shard is dropped before the first poll", |world, future, output| {
        drop(world.shard.spawn(waits_once(future.value(), output)));
    });
    check_ending("the handle outlives the shard", |_, future, output| {
        let other = World::new();
        let task = other.shard.spawn(waits_once(future.value(), output.clone()));
        other.run(sleep_a_second());
        assert_eq!(other.end_with_leftovers(), (0, 1), "the handle keeps the task's memory");
        assert_eq!(output.count(), 0);
        drop(task);
        assert_eq!(output.count(), 1);
    });
}

async fn sleep_a_second() {
    sleep(Duration::from_secs(1)).await;
}

/// A future that is ready at once with `output`, and panics with `words` when it is dropped.
fn panics_when_dropped<T>(
    words: &'static str,
    output: impl FnOnce() -> T,
) -> impl Future<Output = T> {
    let bomb = on_drop(move || panic!("{words}"));
    let mut output = Some(output);
    poll_fn(move |_| {
        let _keep = &bomb;
        Poll::Ready((output.take().expect("it is ready once"))())
    })
}

#[test]
fn a_panic_of_a_destructor_ends_the_task_not_the_shard() {
    // Of the future, of the output, of both; and where the poll had panicked before, that one is told.
    let world = World::new();
    world.run(async {
        let future = spawn(panics_when_dropped("future", || 1));
        assert_eq!(error_of(future).await, "the task panicked: future");

        let cancelled = spawn(async {
            let _bomb = on_drop(|| panic!("cancelled"));
            pending::<()>().await;
        });
        yield_now().await;
        cancelled.abort();
        assert_eq!(error_of(cancelled).await, "the task panicked: cancelled");

        let twice = spawn(panics_when_dropped::<()>("second", || panic!("first")));
        assert_eq!(error_of(twice).await, "the task panicked: first");
    });
    assert_eq!(world.metrics().panics_unjoined, 0);
    world.run(async {
        let both = spawn(panics_when_dropped("future", || on_drop(|| panic!("output"))));
        assert_eq!(error_of(both).await, "the task panicked: future");

        // Nobody joins: the output is dropped by the shard, then by the handle.
        drop(spawn(async { on_drop(|| panic!("by the shard")) }));
        let late = spawn(async { on_drop(|| panic!("by the handle")) });
        yield_now().await;
        drop(late);
    });
    assert_eq!(world.metrics().panics_unjoined, 2);
    world.end();
}

#[test]
fn a_wake_during_the_poll_is_not_lost_and_counts_once() {
    // Three wakes inside of one poll make one more poll.
    let world = World::new();
    let polls = world.run(async {
        let mut polls = 0;
        poll_fn(move |cx| {
            polls += 1;
            for _ in 0..3 {
                let twin = cx.waker().clone();
                cx.waker().wake_by_ref();
                twin.wake();
            }
            if polls == 2 { Poll::Ready(polls) } else { Poll::Pending }
        })
        .await
    });
    assert_eq!(polls, 2);
    assert_eq!(world.metrics().polls, 2);
    world.end();
}

#[test]
fn a_waker_may_outlive_the_task_and_the_shard() {
    // It does nothing then but to have the shard look, and frees the memory of the task when it goes.
    let world = World::new();
    let waker = world.run(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
    let polls = world.metrics().polls;
    waker.wake_by_ref();
    world.shard.turn(Turn::Poll).unwrap();
    assert!(world.shard.next_wake().is_none(), "an ended task is not scheduled");
    assert_eq!(world.metrics().polls, polls);
    let twin = waker.clone();
    assert_eq!(world.end_with_leftovers(), (0, 1));
    waker.wake();
    twin.wake_by_ref();
}

#[test]
fn the_last_to_poll_a_handle_is_woken() {
    // A handle that was polled in one task, then in another.
    run(async {
        let slow = spawn(async {
            sleep(Duration::from_secs(1)).await;
            9
        });
        let shared = Rc::new(RefCell::new(slow));
        let other = Rc::clone(&shared);
        let first = spawn(poll_fn(move |cx| {
            assert!(Pin::new(&mut *other.borrow_mut()).poll(cx).is_pending());
            Poll::Ready(())
        }));
        first.await.unwrap();
        let second = spawn(poll_fn(move |cx| Pin::new(&mut *shared.borrow_mut()).poll(cx)));
        assert_eq!(second.await.unwrap().unwrap(), 9);
    });
}

#[test]
fn a_task_may_drop_its_own_handle() {
    // While it runs: the output is nobody's, and dropped.
    let drops = Drops::default();
    let output = drops.value();
    run(async move {
        let own: Rc<RefCell<Option<JoinHandle<Counted>>>> = Rc::default();
        let handle = Rc::clone(&own);
        *own.borrow_mut() = Some(spawn(async move {
            drop(handle.take());
            yield_now().await;
            output
        }));
        for _ in 0..3 {
            yield_now().await;
        }
    });
    assert_eq!(drops.count(), 1);
}

#[test]
#[should_panic(expected = "JoinHandle polled after it gave its output")]
fn a_handle_gives_its_output_once() {
    // Polling it again is a mistake that is told.
    run(async {
        let mut task = spawn(async {});
        (&mut task).await.unwrap();
        let _ = poll_once(Pin::new(&mut task));
    });
}

#[test]
fn a_destructor_may_spawn() {
    // When its task is aborted, when it panics, and in a shutdown, which ends the new task, too.
    let drops = Drops::default();
    let world = World::new();
    let spawner = |drops: &Drops| {
        let value = drops.value();
        on_drop(move || {
            drop(spawn(async move {
                let _value = value;
                yield_now().await;
            }));
        })
    };
    let [aborted, panics, shut_down] = [spawner(&drops), spawner(&drops), spawner(&drops)];
    world.run(async move {
        let aborted = spawn(async move {
            let _spawner = aborted;
            pending::<()>().await;
        });
        yield_now().await;
        aborted.abort();
        assert!(aborted.await.is_err());
        let panics = spawn(async move {
            let _spawner = panics;
            panic!("on purpose")
        });
        let ended: Result<(), _> = panics.await;
        assert!(ended.unwrap_err().is_panic());
        sleep(Duration::from_secs(1)).await;
        drop(spawn(async move {
            let _spawner = shut_down;
            pending::<()>().await;
        }));
    });
    assert_eq!(drops.count(), 2);
    world.end();
    assert_eq!(drops.count(), 3);
}

#[test]
fn destructors_that_spawn_without_end_are_told() {
    // A shutdown has a bound.
    fn again(stop: &Rc<Cell<bool>>) -> impl Future<Output = ()> + use<> {
        let stop = Rc::clone(stop);
        let next = on_drop(move || {
            if !stop.get() {
                drop(spawn(again(&stop)));
            }
        });
        async move {
            let _next = next;
            pending::<()>().await;
        }
    }
    let world = World::new();
    let stop = Rc::default();
    drop(world.shard.spawn(again(&stop)));
    let message = panic_of(|| world.shard.shutdown());
    assert!(message.contains("without end"), "{message}");
    stop.set(true);
    world.end();
}

#[test]
fn a_shard_neither_runs_nor_ends_inside_of_its_own_task() {
    // It says so, and goes on; another shard may run there, and the task is back in its own afterwards.
    let world = World::new();
    let shard = world.shard.clone();
    world.run(async move {
        let run = panic_of(|| drop(shard.run(async {})));
        assert!(run.contains("from inside one of its tasks"), "{run}");
        let end = panic_of(|| shard.shutdown());
        assert!(end.contains("from inside one of its tasks"), "{end}");
        drop(shard);
        let other = World::new();
        assert_eq!(other.run(async { spawn(async { 3 }).await.unwrap() }), 3);
        other.end();
        assert_eq!(spawn(async {}).id(), TaskId(2), "counted here, not there");
    });
    world.end();
}

#[test]
fn shutdown_ends_everything_in_the_order_of_spawning() {
    // Whatever order the tasks ran in; the shard may be used again.
    let world = World::new();
    let log = Log::default();
    let drops = Drops::default();
    for name in 0..5 {
        let (log, value) = (Rc::clone(&log), drops.value());
        drop(world.shard.spawn(async move {
            let _value = value;
            let _log = on_drop(move || log.borrow_mut().push(name));
            sleep(Duration::from_secs(10 - name)).await;
        }));
    }
    world.run(async { sleep(Duration::from_secs(1)).await });
    world.shard.shutdown();
    assert_eq!(*log.borrow(), [0, 1, 2, 3, 4]);
    assert_eq!(drops.count(), 5);
    assert!(world.shard.ledger().is_empty(), "{}", world.shard.ledger());
    assert_eq!(world.run(async { spawn(async { 1 }).await.unwrap() }), 1);
    world.end();
}

#[test]
fn a_task_that_is_always_ready_delays_another_by_at_most_64_polls() {
    // From when a timer is due; another ready task waits for no more than one poll.
    let world = World::new();
    let driver = Rc::clone(&world.driver);
    let (due_at, fired_at) = world.run(async move {
        let polls = Rc::new(Cell::new(0_u32));
        let (counted, due_at) = (Rc::clone(&polls), 10);
        let busy = spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                if counted.get() == due_at {
                    driver.advance(Duration::from_secs(1));
                }
                yield_now().await;
            }
        });
        sleep(Duration::from_secs(1)).await;
        let fired_at = polls.get();
        yield_now().await;
        assert_eq!(polls.get(), fired_at + 1);
        busy.abort();
        (due_at, fired_at)
    });
    assert!(fired_at > due_at, "time passed while the busy task ran");
    assert!(fired_at - due_at <= 64, "due after {due_at} polls, fired after {fired_at}");
    world.end();
}

/// Wants an address of its own, and says whether it has it.
#[repr(align(128))]
struct Aligned;

impl Future for Aligned {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<bool> {
        Poll::Ready(core::ptr::from_ref(&*self).addr().is_multiple_of(align_of::<Self>()))
    }
}

/// A name is in front of the task, so the task is somewhere else in its memory.
#[test]
fn a_future_is_where_it_wants_to_be_with_a_name_or_without() {
    run(async {
        let scope = Scope::new();
        for _ in 0..4 {
            assert!(spawn(Aligned).await.unwrap());
            assert!(spawn_named("a name", Aligned).await.unwrap());
            assert!(scope.spawn(Aligned).await.unwrap());
        }
    });
}

#[test]
fn a_name_outlives_neither_its_task_nor_who_asks_for_it() {
    run(async {
        let named = spawn_named(String::from("made of letters"), pending::<()>());
        let name = |id| {
            let tasks = dump().tasks;
            tasks.into_iter().find(|task| task.id == id).and_then(|task| task.name)
        };
        assert_eq!(name(named.id()).as_deref(), Some("made of letters"));
        let id = named.id();
        named.abort();
        assert!(named.await.is_err());
        assert_eq!(name(id), None);
    });
}

/// Counts its wakes.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// As where the handle is in a set of futures, and then taken out of it, in one task.
#[test]
fn the_waker_that_a_handle_was_polled_with_last_is_woken_once() {
    run(async {
        let mut task = pin!(spawn(yield_now()));
        let bells: [Arc<Bell>; 2] = Default::default();
        for bell in [&bells[0], &bells[1], &bells[1]] {
            let waker = Waker::from(Arc::clone(bell));
            assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        while !task.is_finished() {
            yield_now().await;
        }
        assert_eq!(bells.map(|bell| bell.0.load(Relaxed)), [0, 1]);
        task.await.unwrap();
    });
}

/// Joiners are listed apart from their tasks: many at once, given up in another order, some of them by their own end.
#[test]
fn each_of_many_joiners_is_woken_by_its_own_task() {
    run(async {
        let ended = Log::default();
        let mut joiners = Vec::new();
        for number in 0..100_u64 {
            let task = spawn(async move {
                sleep(Duration::from_millis(100 - number)).await;
                number
            });
            let ended = Rc::clone(&ended);
            joiners.push(spawn(async move {
                let number = task.await.unwrap();
                ended.borrow_mut().push(number);
            }));
        }
        yield_now().await;
        for given_up in joiners.iter().skip(1).step_by(3) {
            given_up.abort();
        }
        for joiner in joiners {
            let _ = joiner.await;
        }
        let expected: Vec<u64> = (0..100).rev().filter(|number| number % 3 != 1).collect();
        assert_eq!(*ended.borrow(), expected);
    });
}
