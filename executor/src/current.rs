//! The shard of this thread, for the constructors that take it from the air: `spawn`, `sleep`, `TcpListener::bind`.
//!
//! Several shards may take turns on one thread, as a simulator's hosts do. What is made within a turn remembers its
//! shard, so steady work never comes here.

use core::cell::RefCell;
use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use crate::instant::Instant;
use crate::metrics::Metrics;
use crate::remote::Remote;
use crate::shard::Core;
use crate::task::{TaskRef, panic_message};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Makes `core` the current shard until the guard is dropped; the one before comes back then.
pub(crate) fn enter(core: &Rc<Core>) -> Entered {
    Entered { before: CURRENT.replace(Some(Rc::clone(core))) }
}

/// See [`enter`].
pub(crate) struct Entered {
    before: Option<Rc<Core>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.before.take());
        // Dropped here, not inside `replace`: the last reference to a shard runs destructors that may come back.
        drop(left);
    }
}

/// The current shard.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub(crate) fn core() -> Rc<Core> {
    try_core()
        .expect("this needs a running shard: call it inside Shard::run, Shard::enter or a task")
}

/// The current shard, if there is one.
pub(crate) fn try_core() -> Option<Rc<Core>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The present moment of the current shard; `None` outside of one.
pub(crate) fn now() -> Option<Instant> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(|core| core.now())).ok().flatten()
}

/// Puts a woken task into the queue of its shard: directly when that is the current one, else through its `Remote`.
pub(crate) fn enqueue(task: TaskRef, remote: &Arc<Remote>) {
    let left = CURRENT.try_with(|current| match &*current.borrow() {
        Some(core) if Arc::ptr_eq(&core.remote, remote) => {
            core.queue.borrow_mut().push(task);
            None
        }
        _ => Some(task),
    });
    // On a thread that is ending, `try_with` failed and dropped the task's reference: the shard of that thread is
    // gone, too, for its tasks were dropped before its thread-locals.
    if let Ok(Some(task)) = left {
        remote.push(task);
    }
}

/// Tells of a panic that nobody joins, in the log and in the count.
pub(crate) fn report_panic(metrics: &Metrics, task: &TaskRef, payload: &(dyn Any + Send)) {
    metrics.panics_unjoined.add(1);
    tracing::error!(
        task = task.id().0,
        spawned_at = %task.origin(),
        "a task that nobody joins panicked: {}",
        panic_message(payload)
    );
}
