//! Random programs of tasks that share locks, permits, channels and notifications, in a random order, with tasks aborted at
//! random: whoever is left comes to its end, and what was shared is whole.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::{Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, watch};
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{select, spawn};
use proptest::prelude::*;

use crate::suspensions::Order;
use crate::ticking::World;

const PERMITS: usize = 3;
const CAPACITY: usize = 2;

/// What all tasks share.
struct Shared {
    mutex: Mutex<()>,
    lock: RwLock<()>,
    semaphore: Semaphore,
    notify: Notify,
    users: Users,
}

/// Who is inside, at a time.
#[derive(Default)]
struct Users {
    of_mutex: Rc<Cell<usize>>,
    readers: Rc<Cell<usize>>,
    writers: Rc<Cell<usize>>,
    of_permits: Rc<Cell<usize>>,
}

/// Counts itself for as long as it lives.
struct Inside(Rc<Cell<usize>>, usize);

impl Inside {
    fn new(count: &Rc<Cell<usize>>, by: usize) -> Self {
        count.set(count.get() + by);
        Self(count.clone(), by)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

/// One thing that a task does. Each gives back what it took before it ends, so no two can wait for each other.
#[derive(Clone, Copy, Debug)]
enum Step {
    Yield,
    Sleep,
    Lock,
    Read,
    Write,
    Acquire(usize),
    /// Whichever of lock and permits is first.
    LockOrAcquire,
    Send,
    Reserve,
    Notify,
    Announce,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Yield),
        Just(Step::Sleep),
        Just(Step::Lock),
        Just(Step::Read),
        Just(Step::Write),
        (1..=PERMITS).prop_map(Step::Acquire),
        Just(Step::LockOrAcquire),
        Just(Step::Send),
        Just(Step::Reserve),
        Just(Step::Notify),
        Just(Step::Announce),
    ]
}

/// What a task has of its own.
struct Worker {
    shared: Rc<Shared>,
    sender: mpsc::Sender<()>,
    announces: broadcast::Sender<()>,
    sets: watch::Sender<u32>,
    sent: Rc<Cell<usize>>,
}

impl Worker {
    async fn run(self, steps: Vec<Step>) {
        for step in steps {
            self.step(step).await;
        }
    }

    async fn step(&self, step: Step) {
        let Shared { mutex, lock, semaphore, notify, users } = &*self.shared;
        match step {
            Step::Yield => yield_now().await,
            Step::Sleep => sleep(Duration::from_millis(1)).await,
            Step::Lock => {
                let _guard = mutex.lock().await;
                let _inside = Inside::new(&users.of_mutex, 1);
                yield_now().await;
                assert_eq!(users.of_mutex.get(), 1);
            }
            Step::Read => {
                let _guard = lock.read().await;
                let _inside = Inside::new(&users.readers, 1);
                yield_now().await;
                assert_eq!(users.writers.get(), 0);
            }
            Step::Write => {
                let _guard = lock.write().await;
                let _inside = Inside::new(&users.writers, 1);
                yield_now().await;
                assert_eq!((users.writers.get(), users.readers.get()), (1, 0));
            }
            Step::Acquire(count) => {
                let _permits = semaphore.acquire_many(count).await.expect("it is open");
                let _inside = Inside::new(&users.of_permits, count);
                yield_now().await;
                assert!(users.of_permits.get() <= PERMITS);
            }
            Step::LockOrAcquire => select! {
                _guard = mutex.lock() => {
                    let _inside = Inside::new(&users.of_mutex, 1);
                    yield_now().await;
                    assert_eq!(users.of_mutex.get(), 1);
                }
                _permits = semaphore.acquire_many(2) => {
                    let _inside = Inside::new(&users.of_permits, 2);
                    yield_now().await;
                    assert!(users.of_permits.get() <= PERMITS);
                }
            },
            Step::Send => {
                self.sender.send(()).await.expect("it is open");
                self.sent.set(self.sent.get() + 1);
            }
            Step::Reserve => {
                let permit = self.sender.reserve().await.expect("it is open");
                yield_now().await;
                permit.send(());
                self.sent.set(self.sent.get() + 1);
            }
            Step::Notify => notify.notify_one(),
            Step::Announce => {
                self.announces.send(()).expect("it is open");
                self.sets.send_modify(|count| *count += 1);
            }
        }
    }
}

/// Runs the programs; those in `aborted` are ended after so many milliseconds.
fn play(programs: Vec<Vec<Step>>, aborted: Vec<(usize, u64)>, order: Order) {
    let world = World::with_schedule(order);
    let shared = Rc::new(Shared {
        mutex: Mutex::new(()),
        lock: RwLock::new(()),
        semaphore: Semaphore::new(PERMITS),
        notify: Notify::new(),
        users: Users::default(),
    });
    let kept = shared.clone();
    let received = world.run(async move {
        let (sender, mut receiver) = mpsc::channel(CAPACITY);
        let (announces, mut hears) = broadcast::channel(CAPACITY);
        let (sets, mut sees) = watch::channel(0);
        let sent = Rc::new(Cell::new(0));
        let tasks: Vec<_> = programs
            .into_iter()
            .map(|steps| {
                let worker = Worker {
                    shared: shared.clone(),
                    sender: sender.clone(),
                    announces: announces.clone(),
                    sets: sets.clone(),
                    sent: sent.clone(),
                };
                spawn(worker.run(steps))
            })
            .collect();
        drop((sender, announces, sets));
        let drain = spawn(async move {
            let mut count = 0;
            while receiver.recv().await.is_some() {
                count += 1;
            }
            count
        });
        let hear = spawn(async move {
            let mut count = 0;
            loop {
                match hears.recv().await {
                    Ok(()) => count += 1,
                    Err(broadcast::RecvError::Lagged(missed)) => count += missed,
                    Err(broadcast::RecvError::Closed) => return count,
                }
            }
        });
        let see = spawn(async move {
            while sees.changed().await.is_ok() {}
            u64::from(*sees.borrow())
        });
        let mut now = 0;
        for (task, at) in aborted {
            sleep(Duration::from_millis(at - now)).await;
            now = at;
            if let Some(task) = tasks.get(task) {
                task.abort();
            }
        }
        for task in tasks {
            assert!(task.await.is_ok_or_cancelled());
        }
        assert_eq!(hear.await.expect("no panic"), see.await.expect("no panic"));
        (drain.await.expect("no panic"), sent.get())
    });
    assert_eq!(received.0, received.1, "received is what was sent");
    assert_eq!(format!("{:?}", kept.mutex), "Mutex(free, 0 waiting)");
    assert_eq!(format!("{:?}", kept.lock), "RwLock(0 reading, 0 waiting)");
    assert_eq!(format!("{:?}", kept.semaphore), "Semaphore(3 free, 0 waiting)");
    world.end();
}

trait IsOkOrCancelled {
    /// Not a panic.
    fn is_ok_or_cancelled(&self) -> bool;
}

impl<T> IsOkOrCancelled for Result<T, mainspring_executor::JoinError> {
    fn is_ok_or_cancelled(&self) -> bool {
        self.as_ref().err().is_none_or(|error| !error.is_panic())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn all_who_are_left_come_to_their_end(
        programs in proptest::collection::vec(proptest::collection::vec(step(), 0..12), 1..8),
        mut aborted in proptest::collection::vec((0..8usize, 0..4u64), 0..6),
        seed in any::<u64>(),
    ) {
        aborted.sort_by_key(|(_, at)| *at);
        play(programs, aborted, Order::Random(seed));
    }
}
