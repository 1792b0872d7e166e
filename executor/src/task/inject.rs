//! `Inject`: the way into a shard from any thread: a queue, and the handle that ends the shard's wait.
//!
//! Invariant: what is pushed is taken, or given back when the queue closes; it is never left while the shard sleeps.

use std::sync::Arc;

use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::atomic::{AtomicBool, Mutex, MutexGuard};
use crate::driver::Unpark;

/// A queue that any thread fills and one shard empties.
pub(crate) struct Inject<T> {
    queue: Mutex<Queue<T>>,
    /// Whether `queue` holds something: lets the shard look without the lock.
    pending: AtomicBool,
    /// Whether the shard waits, or is about to. Only then is a push worth a system call.
    sleeping: AtomicBool,
    unpark: Arc<dyn Unpark>,
}

struct Queue<T> {
    items: Vec<T>,
    /// The shard is gone: nothing is accepted any more.
    closed: bool,
}

impl<T> Inject<T> {
    pub(crate) fn new(unpark: Arc<dyn Unpark>) -> Self {
        Self {
            queue: Mutex::new(Queue { items: Vec::new(), closed: false }),
            pending: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            unpark,
        }
    }

    /// Hands over an item.
    ///
    /// `pending` is set before `sleeping` is swapped, and the shard swaps `sleeping` before it reads `pending`. Swaps have
    /// one order: if the shard's is first, this one finds it asleep; else the shard's acquires what this one released.
    ///
    /// # Errors
    /// The item, where the shard is gone. To be dropped with no lock held: it may be the last reference to a task.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(item);
        }
        queue.items.push(item);
        drop(queue);
        self.pending.store(true, Release);
        // Of several that push, one wakes.
        if self.sleeping.swap(false, AcqRel) {
            self.unpark.unpark();
        }
        Ok(())
    }

    /// Says that the shard is about to wait. False: something came in, it must not.
    pub(crate) fn start_sleep(&self) -> bool {
        self.sleeping.swap(true, AcqRel);
        if self.pending.load(Acquire) {
            self.end_sleep();
            return false;
        }
        true
    }

    /// Says that the shard is awake.
    pub(crate) fn end_sleep(&self) {
        // Nobody else sets it, so a look is enough where it is not set.
        if self.sleeping.load(Relaxed) {
            self.sleeping.swap(false, AcqRel);
        }
    }

    /// Takes what came in, in the order in which it came.
    pub(crate) fn take(&self) -> Vec<T> {
        // A look first: a plain load costs nothing, and nearly always there is nothing.
        if !self.pending.load(Relaxed) || !self.pending.swap(false, AcqRel) {
            return Vec::new();
        }
        core::mem::take(&mut self.lock().items)
    }

    /// The shard ends: takes what is left, and accepts nothing more.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut queue = self.lock();
        queue.closed = true;
        core::mem::take(&mut queue.items)
    }

    /// A panic while it is held would be ours, and leaves no half-done change behind: each is one push or take.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
