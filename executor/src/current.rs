//! The shard of this thread, for the constructors that take it from the air: `spawn`, `sleep`, `TcpListener::bind`.
//!
//! Several shards may take turns on one thread, as a simulator's hosts do. What is made within a turn remembers its
//! shard, so steady work never comes here.

use core::cell::RefCell;
use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use crate::instant::Instant;
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
    let mut task = Some(task);
    // Fails on a thread that is ending. It has no shard any more; the task belongs to one that may live on.
    let _ = CURRENT.try_with(|current| {
        if let Some(core) = &*current.borrow()
            && Arc::ptr_eq(&core.remote, remote)
            && let Some(task) = task.take()
        {
            core.queue.borrow_mut().push(task);
        }
    });
    if let Some(task) = task {
        remote.push(task);
    }
}

/// Tells of a panic that nobody joins, in the log and in the count of the task's own shard. Owner thread only.
pub(crate) fn report_panic(task: &TaskRef, payload: &(dyn Any + Send)) {
    task.remote().metrics.panics_unjoined.add(1);
    tracing::error!(
        task = task.id().0,
        spawned_at = %task.origin(),
        "a task that nobody joins panicked: {}",
        panic_message(payload)
    );
}
