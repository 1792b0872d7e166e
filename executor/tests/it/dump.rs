//! The task dump: who waits for what, since when, and who must not be named.

use core::future::{pending, poll_fn};
use core::net::Ipv4Addr;
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::{self, Either};
use futures::stream::{FuturesUnordered, StreamExt};
use mainspring_executor::driver::{Instant, ListenOptions};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::scope::scope;
use mainspring_executor::sync::{Mutex, RwLock, Semaphore};
use mainspring_executor::time::{now, sleep, sleep_until, timeout, yield_now};
use mainspring_executor::{Awaited, DumpedTask, JoinHandle, TaskDump, TaskId, TaskState};
use mainspring_executor::{Shard, Turn, dump, spawn, spawn_named};

use crate::ticking::{Ticking, World, run};
use crate::worlds;

/// The dump after all other tasks have come to wait.
async fn settled() -> TaskDump {
    for _ in 0..10 {
        yield_now().await;
    }
    dump()
}

fn find(dump: &TaskDump, id: TaskId) -> &DumpedTask {
    dump.task(id).expect("it has not ended")
}

/// What a task waits for, in words without places.
fn waits(dump: &TaskDump, id: TaskId) -> Vec<String> {
    let describe = |awaited: &Awaited| match awaited {
        Awaited::Source { kind, interest, .. } => format!("{interest} on a {kind}"),
        Awaited::Timer { deadline, .. } => format!("{deadline}"),
        Awaited::Resource { what, .. } | Awaited::Elsewhere { what, .. } => (*what).to_owned(),
        Awaited::Task(id) => id.to_string(),
        Awaited::Children(ids) => format!("children {ids:?}"),
        Awaited::Failure(ids) => format!("failure {ids:?}"),
    };
    find(dump, id).waits.iter().map(|wait| describe(&wait.on)).collect()
}

#[test]
fn a_dump_draws_the_tree_of_tasks() {
    let text = run(async {
        let (tell, told) = oneshot::channel();
        let middle = spawn_named("middle", async move {
            let child = spawn_named("child", sleep(Duration::from_secs(60)));
            drop(spawn(async { pending::<()>().await }));
            tell.send(child).expect("main waits for it");
        });
        let child = told.await.expect("it is sent");
        middle.await.expect("no panic");
        let joiner = spawn_named("joiner", child);
        sleep(Duration::from_millis(1500)).await;
        let dump = dump();
        assert_eq!(dump.at, Instant::START + Duration::from_millis(1500));
        let places: Vec<String> = dump.tasks.iter().map(|task| task.origin.to_string()).collect();
        let mut text = dump.to_string();
        for place in &places {
            assert!(place.starts_with("executor/tests/it/"), "{place}");
            text = text.replace(place, "HERE");
        }
        let timer = find(&dump, joiner.id());
        assert_eq!(timer.parent, Some(TaskId(0)));
        let wait = dump.tasks[1].waits[0].on.clone();
        let Awaited::Timer { origin, .. } = wait else { panic!("a sleep waits for a timer") };
        text.replace(&origin.to_string(), "THERE")
    });
    let expected = "\
4 tasks: 1 running, 0 ready, 3 waiting
task 0: running, 1.5 s old, 3 polls
    spawned at HERE
  task 4 'joiner': waiting, 1.5 s old, 1 poll
      spawned at HERE
      waits 1.5 s for the end of task 2 'child'
task 2 'child': waiting, 1.5 s old, 1 poll
    spawned at HERE by task 1, which has ended
    waits 1.5 s for a timer due in 58.5 s, made at THERE
task 3: waiting, 1.5 s old, 1 poll
    spawned at HERE by task 1, which has ended
    nothing can wake it: nobody has a waker of it
";
    assert_eq!(text, expected);
}

#[test]
fn a_state_says_since_when() {
    run(async {
        let early = spawn(async {
            sleep(Duration::from_secs(1)).await;
            pending::<()>().await;
        });
        let waker: Rc<Cell<Option<Waker>>> = Rc::default();
        let late = spawn({
            let waker = Rc::clone(&waker);
            poll_fn(move |cx| {
                waker.set(Some(cx.waker().clone()));
                Poll::<()>::Pending
            })
        });
        sleep(Duration::from_secs(3)).await;
        let start = Instant::START;
        let states = |dump: &TaskDump| -> Vec<TaskState> {
            dump.tasks.iter().map(|task| task.state).collect()
        };
        let waiting = TaskState::Waiting;
        assert_eq!(states(&dump()), [TaskState::Running, waiting, waiting]);
        waker.take().expect("it was polled").wake();
        let since = start + Duration::from_secs(3);
        assert_eq!(states(&dump()), [TaskState::Running, waiting, TaskState::Ready { since }]);
        early.abort();
        let ready = TaskState::Ready { since };
        assert_eq!(states(&dump()), [TaskState::Running, ready, ready]);
        drop((early, late));
    });
}

/// A waker that another thread called is on its way: the task no longer waits.
#[test]
fn a_task_woken_by_another_thread_is_ready() {
    let world = World::new();
    let waker: Rc<Cell<Option<Waker>>> = Rc::default();
    world.run({
        let waker = Rc::clone(&waker);
        async move {
            drop(spawn(poll_fn(move |cx| {
                waker.set(Some(cx.waker().clone()));
                Poll::<()>::Pending
            })));
            yield_now().await;
        }
    });
    let task = TaskId(1);
    assert_eq!(find(&world.shard.dump(), task).state, TaskState::Waiting);
    assert_eq!(find(&world.shard.dump(), task).other_wakers, 1);
    // Outside of a turn this thread is no more at home than another one.
    waker.take().expect("it was polled").wake();
    let woken = world.shard.dump();
    assert!(matches!(find(&woken, task).state, TaskState::Ready { .. }), "{woken}");
    world.shard.shutdown();
    world.end();
}

#[test]
fn a_select_waits_for_several_things_at_once() {
    run(async {
        let other = spawn(pending::<()>());
        let other_id = other.id();
        let task = spawn(async move {
            let first = sleep_until(Instant::START + Duration::from_secs(7));
            let second = timeout(Duration::from_secs(9), pending::<()>());
            future::select_all([first.left_future(), second.map_drop().right_future()]).await;
            drop(other);
        });
        let joining = spawn(async move {
            let both = future::select(task, sleep(Duration::from_secs(8))).await;
            drop(both);
        });
        let dump = settled().await;
        assert_eq!(waits(&dump, TaskId(2)), ["7.000000000", "9.000000000"]);
        assert_eq!(waits(&dump, joining.id()), ["8.000000000", "task 2"]);
        assert!(waits(&dump, other_id).is_empty());
        for task in &dump.tasks {
            assert_eq!(task.other_wakers, 0, "all wakers are accounted for: {dump}");
            assert!(task.waits.iter().all(|wait| wait.is_direct), "{dump}");
        }
    });
}

/// Two futures of different kinds in one list.
trait Kinds: Future<Output: Sized> + Sized {
    fn left_future<F>(self) -> Either<Self, F> {
        Either::Left(self)
    }

    fn right_future<F>(self) -> Either<F, Self> {
        Either::Right(self)
    }

    fn map_drop(self) -> core::pin::Pin<Box<dyn Future<Output = ()>>>
    where
        Self: 'static,
    {
        Box::pin(async move { drop(self.await) })
    }
}

impl<F: Future> Kinds for F {}

#[test]
fn a_wait_counts_from_the_first_poll_that_found_nothing() {
    run(async {
        let task = spawn(async {
            let mut sleep = pin!(sleep(Duration::from_secs(100)));
            loop {
                // Polls the long sleep once a second, all the while.
                let tick = mainspring_executor::time::sleep(Duration::from_secs(1));
                if let Either::Left(_) = future::select(sleep.as_mut(), pin!(tick)).await {
                    break;
                }
            }
        });
        sleep(Duration::from_millis(2500)).await;
        let dump = dump();
        let since: Vec<Instant> =
            find(&dump, task.id()).waits.iter().map(|wait| wait.since).collect();
        assert_eq!(since, [Instant::START, Instant::START + Duration::from_secs(2)]);
    });
}

/// Its waker is that of code in between, which has the task's own: the wait is known, and so is that something else is not.
#[test]
fn a_wait_inside_a_combinator_belongs_to_its_task() {
    run(async {
        let mut joined: Vec<TaskId> = Vec::new();
        let mut handles = FuturesUnordered::new();
        for _ in 0..2 {
            let handle = spawn(pending::<()>());
            joined.push(handle.id());
            handles.push(handle);
        }
        let task = spawn(async move { while handles.next().await.is_some() {} });
        let dump = settled().await;
        let expected: Vec<String> = joined.iter().map(ToString::to_string).collect();
        assert_eq!(waits(&dump, task.id()), expected);
        let task = find(&dump, task.id());
        assert!(task.waits.iter().all(|wait| !wait.is_direct));
        assert_eq!(task.other_wakers, 1);
        assert_eq!(
            dump.stuck(),
            joined,
            "they wait for nothing; of the one behind them it is not known"
        );
    });
}

#[test]
fn a_handle_that_moves_to_another_task_takes_its_wait_along() {
    run(async {
        let target = spawn(pending::<()>());
        let target_id = target.id();
        let place: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::new(RefCell::new(Some(target)));
        let first = spawn({
            let place = Rc::clone(&place);
            async move {
                let mut handle = place.take().expect("it is there");
                let polled = poll_fn(|cx| Poll::Ready(core::pin::Pin::new(&mut handle).poll(cx)));
                assert!(polled.await.is_pending());
                place.replace(Some(handle));
                pending::<()>().await;
            }
        });
        let before = settled().await;
        assert_eq!(waits(&before, first.id()), [target_id.to_string()]);
        let handle = place.take().expect("it was put back");
        let second = spawn(handle);
        let after = settled().await;
        assert!(waits(&after, first.id()).is_empty(), "{after}");
        assert_eq!(waits(&after, second.id()), [target_id.to_string()]);
    });
}

#[test]
fn a_scope_waits_for_its_children() {
    run(async {
        let task = spawn(async {
            scope(async |scope| {
                drop(scope.spawn(sleep(Duration::from_secs(1))));
                drop(scope.spawn(sleep(Duration::from_secs(2))));
            })
            .await;
        });
        let dump = settled().await;
        let (one, two) = (TaskId(2), TaskId(3));
        assert_eq!(find(&dump, task.id()).waits[0].on, Awaited::Children(vec![one, two]));
        assert_eq!(find(&dump, task.id()).other_wakers, 0);
        assert_eq!(dump.stuck(), []);
        sleep(Duration::from_millis(1500)).await;
        let dump = mainspring_executor::dump();
        assert_eq!(find(&dump, task.id()).waits[0].on, Awaited::Children(vec![two]));
    });
}

#[test]
fn what_foreign_code_keeps_is_counted_and_not_named() {
    run(async {
        let (sender, receiver) = oneshot::channel::<()>();
        let foreign = spawn(receiver);
        let lost = spawn(pending::<()>());
        let behind = spawn(lost);
        let dump = settled().await;
        let text = dump.to_string();
        assert!(text.contains("nothing known: a waker is kept by other code"), "{text}");
        assert!(text.contains("nothing can wake it: nobody has a waker of it"), "{text}");
        assert_eq!(find(&dump, foreign.id()).other_wakers, 1);
        assert_eq!(dump.stuck(), [TaskId(2), behind.id()], "{text}");
        assert_eq!(dump.deadlocks(), [], "{text}");
        drop(sender);
    });
}

#[test]
fn tasks_that_join_each_other_are_a_deadlock() {
    run(async {
        let slots: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
        let join_from = |slots: &Rc<RefCell<Vec<JoinHandle<()>>>>| {
            let slots = Rc::clone(slots);
            async move {
                yield_now().await;
                let handle = slots.borrow_mut().remove(0);
                // It never ends; main aborts it.
                let _ = handle.await;
            }
        };
        let left = spawn_named("left", join_from(&slots));
        let right = spawn_named("right", join_from(&slots));
        let behind = spawn(pending::<()>());
        let (left_id, right_id) = (left.id(), right.id());
        // Left takes the first, which is right's.
        slots.borrow_mut().extend([right, left]);
        let dump = settled().await;
        let deadlocks = dump.deadlocks();
        let expected = "\
deadlock: 2 tasks wait for each other
  task 1 'left' waits 0 s for the end of task 2 'right'
  task 2 'right' waits 0 s for the end of task 1 'left'
";
        assert_eq!(deadlocks.len(), 1, "{dump}");
        assert_eq!(deadlocks[0].to_string(), expected);
        assert!(dump.to_string().ends_with(expected), "{dump}");
        assert_eq!(dump.stuck(), [left_id, right_id, behind.id()]);
    });
}

#[test]
fn a_dump_polls_nothing_and_wakes_nobody() {
    let world = World::new();
    world.run(async {
        drop(spawn(sleep(Duration::from_secs(1000))));
        let task = spawn(pending::<()>());
        let before = settled().await;
        let polls = mainspring_executor::metrics().snapshot().polls;
        for _ in 0..100 {
            assert_eq!(dump(), before);
        }
        drop(task);
        assert_eq!(mainspring_executor::metrics().snapshot().polls, polls);
    });
    let polls = world.metrics().polls;
    let _ = world.shard.dump();
    world.shard.turn(Turn::Poll).expect("it does not fail");
    assert_eq!(world.metrics().polls, polls, "nobody was woken");
}

/// In an idle world the dump is of now, not of the last turn.
#[test]
fn ages_go_on_while_the_shard_sleeps() {
    let world = World::new();
    world.run(async { drop(spawn(pending::<()>())) });
    world.driver.advance(Duration::from_secs(5));
    let dump = world.shard.dump();
    assert_eq!(dump.at - dump.tasks[0].since, Duration::from_secs(5));
    assert_eq!(dump.holds, []);
}

#[test]
fn waits_for_sockets_say_what_for() {
    worlds::on_both(|| async {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let acceptor = spawn(async move { listener.accept().await.expect("a connection").0 });
        let acceptor_id = acceptor.id();
        while !waits(&dump(), acceptor_id).contains(&"a connection on a listener".to_owned()) {
            yield_now().await;
        }
        let mut client = TcpStream::connect(address).await.expect("it listens");
        let mut server = acceptor.await.expect("no panic");
        let started = now();
        // Nobody writes to the one, and nobody reads from the other: more than the buffers of both ends hold.
        let reader = spawn(async move { drop(client.read(&mut [0; 9]).await) });
        let writer = spawn(async move { drop(server.write_all(&vec![0; 64 << 20]).await) });
        check_wait(reader.id(), "something to read on a stream", started).await;
        check_wait(writer.id(), "room to write on a stream", started).await;
        for task in [reader, writer] {
            task.abort();
            assert!(task.await.is_err(), "it was aborted");
        }
    });
}

/// Waits until the task waits, and checks for what and since when.
async fn check_wait(id: TaskId, expected: &str, started: Instant) {
    while find(&dump(), id).state != TaskState::Waiting {
        yield_now().await;
    }
    let dump = dump();
    assert_eq!(waits(&dump, id), [expected]);
    let task = find(&dump, id);
    let wait = &task.waits[0];
    assert!(wait.is_direct && task.other_wakers == 0, "{dump}");
    assert!(wait.since >= started && wait.since <= dump.at, "{dump}");
    let Awaited::Source { origin, .. } = wait.on else { panic!("it waits for a socket: {dump}") };
    assert!(origin.file().ends_with("dump.rs"), "{origin}");
}

/// Some tasks are dumped as they are among all; those that have ended are left out.
#[test]
fn some_tasks_are_dumped_as_all_are() {
    let shard = Shard::new(Rc::new(Ticking::default()));
    shard.enter(|| {
        drop(spawn(async {}));
        drop(spawn(async { pending::<()>().await }));
        drop(spawn(sleep(Duration::from_secs(1))));
    });
    shard.turn(Turn::Poll).expect("the driver works");
    let all = shard.dump().tasks;
    assert_eq!(all.iter().map(|task| task.id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(shard.dump_tasks(&[TaskId(2), TaskId(0), TaskId(7)]), all[1..]);
    assert_eq!(shard.dump_tasks(&[TaskId(0)]), []);
}

/// Two tasks take two locks in opposite order, while others live on. A guard that borrows its lock stays in its task, and
/// that proves it; permits may come from anywhere.
#[test]
fn crossed_locks_are_a_deadlock_where_the_guards_borrow() {
    let dump = run(async {
        let (a, b) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        for (name, first, second) in [("ab", &a, &b), ("ba", &b, &a)] {
            let (first, second) = (Rc::clone(first), Rc::clone(second));
            drop(spawn_named(name, async move {
                let _first = first.lock().await;
                yield_now().await;
                let _second = second.lock().await;
            }));
        }
        let (a, b) = (Rc::new(RwLock::new(())), Rc::new(Semaphore::new(1)));
        let (c, d) = (Rc::clone(&a), Rc::clone(&b));
        drop(spawn_named("lock first", async move {
            let _read = c.read().await;
            yield_now().await;
            let _permit = d.acquire().await;
        }));
        drop(spawn_named("permits first", async move {
            let _permit = b.acquire().await;
            yield_now().await;
            let _write = a.write().await;
        }));
        settled().await
    });
    let certain = dump.deadlocks();
    assert_eq!(certain.len(), 1, "{dump}");
    assert!(certain[0].to_string().contains("taken by task 2 'ba'"), "{dump}");
    assert_eq!(dump.deadlocks_if_nothing_comes().len(), 2, "{dump}");
}

/// Polls a future once, and keeps it.
async fn put_aside<F: Future>(mut future: core::pin::Pin<&mut F>) {
    let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending()));
    assert!(polled.await, "it is not to be had at once");
}

/// A lock that was given to a future which borrows it is proven to be kept by its task; permits may come from anywhere.
#[test]
fn a_futurelock_is_proven_where_the_future_borrows() {
    let dump = run(async {
        let (lock, permits) = (Rc::new(Mutex::new(())), Rc::new(Semaphore::new(1)));
        let guard = Rc::clone(&lock).lock_owned().await;
        let permit = Rc::clone(&permits).acquire_owned().await;
        drop(spawn_named("locks", async move {
            let mut first = pin!(lock.lock());
            put_aside(first.as_mut()).await;
            drop(lock.lock().await);
        }));
        drop(spawn_named("permits", async move {
            let mut first = pin!(permits.acquire());
            put_aside(first.as_mut()).await;
            drop(permits.acquire().await);
        }));
        let before = settled().await;
        assert!(before.holds.iter().all(|hold| hold.is_taken), "{before}");
        drop((guard, permit));
        // They were woken for it, and may take it.
        let woken = dump();
        assert_eq!(woken.holds.iter().filter(|hold| !hold.is_taken).count(), 2, "{woken}");
        assert_eq!((woken.futurelocks(), woken.deadlocks()), (vec![], vec![]), "{woken}");
        settled().await
    });
    let locks: Vec<TaskId> = dump.futurelocks().iter().map(|found| found.task).collect();
    assert_eq!(locks, [TaskId(1), TaskId(2)], "{dump}");
    assert_eq!(dump.deadlocks().len(), 1, "{dump}");
    assert_eq!(dump.deadlocks()[0].links[0].task, TaskId(1), "{dump}");
    assert_eq!(dump.deadlocks_if_nothing_comes().len(), 2, "{dump}");
}

/// What was given is not held any more when its future is dropped, or the semaphore is closed.
#[test]
fn what_was_given_and_not_taken_is_held_until_the_future_goes() {
    run(async {
        let permits = Semaphore::new(0);
        let mut first = Box::pin(permits.acquire());
        put_aside(first.as_mut()).await;
        permits.add_permits(1);
        let given = dump().holds;
        assert!(given.len() == 1 && !given[0].is_taken, "{given:?}");
        permits.close();
        assert_eq!(dump().holds, []);
        drop(first);
        assert_eq!(dump().holds, []);
        let lock = Mutex::new(());
        let guard = lock.lock().await;
        let mut first = Box::pin(lock.lock());
        put_aside(first.as_mut()).await;
        drop(guard);
        assert_eq!(dump().holds.len(), 1);
        drop(first);
        assert_eq!(dump().holds, []);
    });
}

/// A task that reads and wants to read again waits for the writer in between, who gives up after a while: that is none.
#[test]
fn a_writer_that_may_give_up_makes_no_deadlock() {
    run(async {
        let lock = Rc::new(RwLock::new(()));
        let (reading, writing) = (Rc::clone(&lock), Rc::clone(&lock));
        let reader = spawn(async move {
            let _read = reading.read().await;
            sleep(Duration::from_secs(1)).await;
            drop(reading.read().await);
        });
        let writer = spawn(async move {
            yield_now().await;
            timeout(Duration::from_secs(3), writing.write()).await.is_err()
        });
        sleep(Duration::from_secs(2)).await;
        let dump = dump();
        assert_eq!(waits(&dump, reader.id()), ["a read lock"]);
        assert_eq!((dump.stuck(), dump.deadlocks()), (vec![], vec![]), "{dump}");
        reader.await.expect("no panic");
        assert!(writer.await.expect("no panic"), "it gave up");
    });
}
