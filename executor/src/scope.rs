//! `Scope`: tasks whose lives are nested in that of their maker.
//!
//! Invariant: when a scope is gone, all its tasks are. Waiting for them is the gentle way ([`Scope::join`]); dropping the
//! scope drops their futures on the spot, in the order in which they were spawned.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{Future, poll_fn};
use core::panic::Location;
use core::task::{Poll, Waker};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::rc::Rc;

use crate::current;
use crate::shard::Core;
use crate::task::{JoinError, JoinHandle, TaskId, TaskRef};

/// A place for child tasks that ends after they do.
///
/// A child may be any `'static` future; it need not be `Send`. A panic of a child whose handle was dropped surfaces in
/// [`Scope::join`]. One exception to the invariant has to be: a child that drops the scope it runs in ends when that
/// very poll is over.
pub struct Scope {
    core: Rc<Core>,
    children: Rc<Children>,
}

/// The live tasks of a scope. The shard tells it of each end.
#[derive(Default)]
pub(crate) struct Children {
    tasks: RefCell<BTreeMap<TaskId, TaskRef>>,
    /// Who waits in `join`.
    waiter: Cell<Option<Waker>>,
    first_panic: Cell<Option<Box<dyn Any + Send>>>,
    /// The scope is gone: nobody will ask for `first_panic`. A child that dropped it may still run.
    closed: Cell<bool>,
}

impl Children {
    pub(crate) fn add(&self, task: TaskRef) {
        self.tasks.borrow_mut().insert(task.id(), task);
    }

    /// Gives the panic back if `join` will not tell of it: only the first is kept for that, as the cause.
    pub(crate) fn child_ended(
        &self,
        id: TaskId,
        panic: Option<Box<dyn Any + Send>>,
    ) -> Option<Box<dyn Any + Send>> {
        let removed = self.tasks.borrow_mut().remove(&id);
        assert!(removed.is_some(), "a child ends once");
        let first = self.first_panic.take();
        let (kept, unheard) =
            if first.is_some() || self.closed.get() { (first, panic) } else { (panic, None) };
        self.first_panic.set(kept);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
        unheard
    }
}

impl Scope {
    /// An empty scope in the current shard.
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self { core: current::core(), children: Rc::default() }
    }

    /// Spawns a child.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.core.spawn(future, Some(Rc::clone(&self.children)), Location::caller())
    }

    /// How many children are alive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.tasks.borrow().len()
    }

    /// Whether no child is alive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until no child is alive. One waiter at a time. Cancel-safe.
    ///
    /// # Errors
    /// The first panic of a child whose handle was dropped, told once; others are logged and counted.
    pub async fn join(&self) -> Result<(), JoinError> {
        poll_fn(|cx| {
            if self.is_empty() {
                return Poll::Ready(());
            }
            self.children.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        match self.children.first_panic.take() {
            Some(payload) => Err(JoinError::Panicked(payload)),
            None => Ok(()),
        }
    }

    /// Ends all children now: their futures are dropped before this returns, but for one that is being polled.
    pub fn cancel(&self) {
        let children: Vec<TaskRef> = self.children.tasks.borrow().values().cloned().collect();
        for child in &children {
            self.core.cancel(child);
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.children.closed.set(true);
        self.cancel();
        if let Some(payload) = self.children.first_panic.take() {
            tracing::error!(
                "a child of a scope that was dropped had panicked: {}",
                crate::task::panic_message(&*payload)
            );
            self.core.metrics.panics_unjoined.add(1);
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({} children)", self.len())
    }
}

/// Runs `body` with a scope, then waits for the children; gives what `body` gave.
///
/// Dropping this future drops body and children.
///
/// # Panics
/// With the panic of a child that nobody joined; outside of a shard.
///
/// ```
/// # use mainspring_executor::{Shard, os::OsDriver, scope::scope, time::sleep};
/// # use core::time::Duration;
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let sum = scope(async |scope| {
///     let a = scope.spawn(async { 1 });
///     let b = scope.spawn(async { sleep(Duration::from_millis(1)).await; 2 });
///     a.await.expect("no panic") + b.await.expect("no panic")
/// })
/// .await;
/// assert_eq!(sum, 3);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn scope<T>(body: impl AsyncFnOnce(&Scope) -> T) -> T {
    let scope = Scope::new();
    let output = body(&scope).await;
    if let Err(JoinError::Panicked(payload)) = scope.join().await {
        resume_unwind(payload);
    }
    output
}
