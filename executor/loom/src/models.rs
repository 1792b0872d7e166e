//! The models. A lost wake shows as a deadlock, a use after free as a race on the cell that stands for the memory.

use std::sync::Arc as StdArc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::Relaxed;
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::biased::Biased;
use crate::driver::Unpark;
use crate::inject::Inject;
use crate::shared::Shared;

/// Steps at which the checker may switch threads against their will. Three find all known bugs of this kind (CHESS,
/// Musuvathi and Qadeer, PLDI 2007); each more takes ten times as long.
const PREEMPTIONS_MAX: usize = 3;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// A driver's wait: returns after an unpark.
struct Waiting(Notify);

impl Unpark for Waiting {
    fn unpark(&self) {
        self.0.notify();
    }
}

/// What a shard does about its inject queue, until `enough` says so.
fn run_shard<T>(
    inject: &Inject<T>,
    waiting: &Waiting,
    mut item: impl FnMut(T),
    enough: impl Fn() -> bool,
) {
    loop {
        for next in inject.take() {
            item(next);
        }
        if enough() {
            return;
        }
        if inject.start_sleep() {
            waiting.0.wait();
        }
        inject.end_sleep();
    }
}

/// Two threads push while the shard goes to sleep: it gets both.
pub fn a_push_meets_a_shard_that_goes_to_sleep() {
    check(|| {
        let waiting = StdArc::new(Waiting(Notify::new()));
        let inject = Arc::new(Inject::new(StdArc::<Waiting>::clone(&waiting)));
        let pushers: Vec<_> = (0..2)
            .map(|item| {
                let inject = Arc::clone(&inject);
                thread::spawn(move || inject.push(item).expect("nobody closes it"))
            })
            .collect();
        let seen = core::cell::RefCell::new(Vec::new());
        let item = |item| seen.borrow_mut().push(item);
        run_shard(&inject, &waiting, item, || seen.borrow().len() == 2);
        seen.borrow_mut().sort_unstable();
        assert_eq!(*seen.borrow(), [0, 1]);
        for pusher in pushers {
            pusher.join().expect("no panic");
        }
    });
}

/// A push meets the end of the shard: the item comes out on one side.
pub fn a_push_meets_a_close() {
    check(|| {
        let waiting = StdArc::new(Waiting(Notify::new()));
        let inject = Arc::new(Inject::new(waiting));
        let pusher = {
            let inject = Arc::clone(&inject);
            thread::spawn(move || inject.push(()).is_err())
        };
        let taken = inject.take().len() + inject.close().len();
        let refused = pusher.join().expect("no panic");
        assert_eq!(taken + usize::from(refused), 1);
    });
}

/// Two threads each change something and wake the task: the shard, which looks after each arrival, sees both.
pub fn what_was_changed_before_a_wake_is_seen_after_it() {
    check(|| {
        let waiting = StdArc::new(Waiting(Notify::new()));
        let inject = Arc::new(Inject::new(StdArc::<Waiting>::clone(&waiting)));
        let task = Arc::new(Shared::new());
        let changed = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let wakers: Vec<_> = (0..2)
            .map(|index: usize| {
                let (inject, task, changed) =
                    (Arc::clone(&inject), Arc::clone(&task), Arc::clone(&changed));
                thread::spawn(move || {
                    changed[index].store(true, Relaxed);
                    if task.inject() {
                        inject.push(()).expect("nobody closes it");
                    }
                })
            })
            .collect();
        let seen = core::cell::Cell::new(0);
        let arrive = |()| {
            task.arrive();
            seen.set(changed.iter().filter(|changed| changed.load(Relaxed)).count());
            assert!(!task.drop_reference(), "the owner's is left");
        };
        run_shard(&inject, &waiting, arrive, || seen.get() == 2);
        for waker in wakers {
            waker.join().expect("no panic");
        }
    });
}

/// The owner and two wakers end on three threads: one of them frees, when nobody looks any more.
pub fn the_last_reference_to_a_task_frees_it() {
    check(|| {
        let task = Arc::new((Shared::new(), UnsafeCell::new(false)));
        task.0.add_reference();
        task.0.add_reference();
        let end = |task: &(Shared, UnsafeCell<bool>)| {
            task.1.with(|_| ());
            if task.0.drop_reference() {
                task.1.with_mut(|_| ());
                return 1;
            }
            0
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let task = Arc::clone(&task);
                thread::spawn(move || end(&task))
            })
            .collect();
        let mut freed = end(&task);
        for other in others {
            freed += other.join().expect("no panic");
        }
        assert_eq!(freed, 1);
    });
}

/// A waker is cloned elsewhere while the owner ends.
pub fn a_clone_meets_the_end_of_the_owner() {
    check(|| {
        let task = Arc::new((Shared::new(), UnsafeCell::new(false)));
        task.0.add_reference();
        let end = |task: &(Shared, UnsafeCell<bool>)| {
            task.1.with(|_| ());
            if task.0.drop_reference() {
                task.1.with_mut(|_| ());
                return 1;
            }
            0
        };
        let other = {
            let task = Arc::clone(&task);
            thread::spawn(move || {
                task.0.add_reference();
                end(&task) + end(&task)
            })
        };
        let freed = end(&task) + other.join().expect("no panic");
        assert_eq!(freed, 1);
    });
}

/// The owner of a biased count lends three, takes one back and settles, while two end elsewhere.
pub fn a_biased_count_gets_to_zero_once() {
    check(|| {
        let count = Arc::new((Biased::new(), UnsafeCell::new(false)));
        let free = |count: &(Biased, UnsafeCell<bool>), last: bool| {
            if last {
                count.1.with_mut(|_| ());
            }
            usize::from(last)
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    count.1.with(|_| ());
                    free(&count, count.0.release())
                })
            })
            .collect();
        // Three were lent, and one came back to the owner.
        count.1.with(|_| ());
        let mut freed = free(&count, count.0.settle(2));
        for other in others {
            freed += other.join().expect("no panic");
        }
        assert_eq!(freed, 1);
    });
}
