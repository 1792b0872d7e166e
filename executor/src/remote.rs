//! `Remote`: what other threads may touch of a shard: a queue of woken tasks, and the handle that ends its wait.
//!
//! Invariant: a task pushed here is run, or dropped when the shard is; it is never left while the shard sleeps.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};

use crate::driver::Unpark;
use crate::metrics::Metrics;
use crate::task::TaskRef;

/// The shard as seen from any thread.
pub(crate) struct Remote {
    /// Counted by the shard's own thread, read by any.
    pub(crate) metrics: Arc<Metrics>,
    woken: Mutex<Woken>,
    /// Whether `woken` holds something: lets the shard look without the lock.
    pending: AtomicBool,
    /// Whether the shard waits, or is about to. Only then is a wake worth a system call.
    sleeping: AtomicBool,
    unpark: Arc<dyn Unpark>,
}

struct Woken {
    tasks: Vec<TaskRef>,
    /// The shard is gone: nothing is accepted any more.
    closed: bool,
}

impl Remote {
    pub(crate) fn new(unpark: Arc<dyn Unpark>, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            woken: Mutex::new(Woken { tasks: Vec::new(), closed: false }),
            pending: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            unpark,
        }
    }

    /// Hands over a task that was woken here, with the reference for the queue.
    ///
    /// `pending` is set before `sleeping` is read, and the shard sets `sleeping` before it reads `pending`: whichever
    /// comes first in the one order of these accesses, one side sees the other.
    pub(crate) fn push(&self, task: TaskRef) {
        let refused = {
            let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
            if woken.closed {
                Some(task)
            } else {
                woken.tasks.push(task);
                None
            }
        };
        if refused.is_some() {
            // Dropped here, outside the lock: it may be the last reference.
            return;
        }
        self.pending.store(true, SeqCst);
        if self.sleeping.swap(false, SeqCst) {
            self.unpark.unpark();
        }
    }

    /// Whether tasks wait here.
    fn is_pending(&self) -> bool {
        self.pending.load(SeqCst)
    }

    /// Says that the shard is about to wait. False: something came in, it must not.
    pub(crate) fn start_sleep(&self) -> bool {
        self.sleeping.store(true, SeqCst);
        if self.is_pending() {
            self.end_sleep();
            return false;
        }
        true
    }

    /// Says that the shard is awake.
    pub(crate) fn end_sleep(&self) {
        self.sleeping.store(false, SeqCst);
    }

    /// Takes what was woken, in the order of the wakes.
    pub(crate) fn take(&self) -> Vec<TaskRef> {
        if !self.pending.swap(false, SeqCst) {
            return Vec::new();
        }
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::take(&mut woken.tasks)
    }

    /// The shard ends: takes what is left, and accepts nothing more.
    pub(crate) fn close(&self) -> Vec<TaskRef> {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.closed = true;
        core::mem::take(&mut woken.tasks)
    }
}
