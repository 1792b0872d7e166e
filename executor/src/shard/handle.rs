//! `ShardHandle`: a shard as other threads see it: a place to which work is sent.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{AbortHandle, Abortable};

use crate::context::{self, Bound};
use crate::current;
use crate::metrics::Metrics;
use crate::shard::{Core, Spawn};
use crate::task::{Injected, JoinError, RemoteRef};
use crate::waits::{Resource, Ticket};

/// A handle to a shard that any thread may hold. It does not keep the shard alive.
#[derive(Clone)]
pub struct ShardHandle {
    remote: RemoteRef,
}

/// What was to be done by a shard that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardGone;

impl fmt::Display for ShardGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shard has ended")
    }
}

impl core::error::Error for ShardGone {}

impl ShardHandle {
    pub(super) fn new(core: &Core) -> Self {
        Self { remote: core.remote.handle() }
    }

    /// Has the shard call `body` on its own thread, in its next turn. Calls from one thread keep their order.
    ///
    /// Not the place for long work, nor for a panic: it would end the loop of that shard. Nothing bounds how many closures
    /// wait for a shard that is busy; who sends many uses a [`channel`](super::channel), which does.
    ///
    /// # Errors
    /// When the shard has ended; `body` is dropped then. A shard that ends later drops it, too.
    pub fn run(&self, body: impl FnOnce() + Send + 'static) -> Result<(), ShardGone> {
        let refused = self.remote.inject.push(Injected::Run(Box::new(body)));
        refused.map_err(|_| ShardGone)
    }

    /// Spawns a task on the shard. What is sent is `make`, which makes the future there, so that the future need not be
    /// `Send`; its output comes back.
    ///
    /// The task belongs to no scope. It has the context (deadline, span, task-locals) of the caller.
    #[track_caller]
    pub fn spawn<Make, F>(&self, make: Make) -> RemoteJoinHandle<F::Output>
    where
        Make: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send,
    {
        let origin = Location::caller();
        let (sender, output) = oneshot::channel();
        let (abort, registration) = AbortHandle::new_pair();
        let context = context::inherit(Bound::Inherited);
        // The clocks of two shards have nothing in common, so what is sent is how much is left. Who has a deadline but no
        // clock, a job, cannot tell.
        let left = context::deadline()
            .map(|deadline| current::now().map_or(Duration::MAX, |now| deadline - now));
        let sent = self.run(move || {
            // Made inside the task: a panic of `make` is the task's, not the shard's.
            let future = AssertUnwindSafe(async move { make().await }).catch_unwind();
            let task = async move {
                // Where it is aborted or dropped, the sender goes, and that tells the handle.
                let Ok(ended) = Abortable::new(future, registration).await else { return };
                let unheard = sender.send(ended.map_err(JoinError::Panicked));
                if let Err(Err(JoinError::Panicked(payload))) = unheard {
                    resume_unwind(payload);
                }
            };
            let core = current::core();
            let bound = left.map_or(Bound::Inherited, |left| Bound::Instead(core.now() + left));
            let spawn = Spawn { bound, ..Spawn::at(origin) };
            context::enter(context, || drop(core.spawn(task, spawn)));
        });
        // A shard that is gone drops the closure, and with it the sender.
        let _ = sent;
        RemoteJoinHandle { output, abort, origin, resource: Resource::default(), wait: None }
    }

    /// The live counters of the shard.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.remote.metrics)
    }

    /// How many tasks live in the shard: what to compare when work is handed to the least loaded.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.remote.metrics.tasks_live.load()
    }
}

impl fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardHandle({} tasks)", self.load())
    }
}

/// Awaits the output of a task of another shard, from any thread. Dropping it lets the task run on; a panic is then
/// logged and counted there.
///
/// Cancel-safe.
#[must_use = "a task whose handle is dropped runs on unheard"]
pub struct RemoteJoinHandle<T> {
    output: oneshot::Receiver<Result<T, JoinError>>,
    abort: AbortHandle,
    origin: &'static Location<'static>,
    resource: Resource,
    /// Says who waits here, while somebody does.
    wait: Option<Ticket>,
}

impl<T> RemoteJoinHandle<T> {
    /// Asks the task to end: its future is dropped in its next poll, and this handle gives [`JoinError::Cancelled`]. A
    /// task that has ended keeps its output.
    pub fn abort(&self) {
        self.abort.abort();
    }
}

impl<T> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Errors
    /// [`JoinError::Cancelled`] also where the shard ended before the task did, or before it began.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match Pin::new(&mut this.output).poll(cx) {
            Poll::Ready(output) => {
                this.wait = None;
                Poll::Ready(output.unwrap_or(Err(JoinError::Cancelled)))
            }
            Poll::Pending => {
                if this.wait.is_none() {
                    let what = "the end of a task of another shard";
                    this.wait = Ticket::wait(what, &this.resource, this.origin);
                }
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteJoinHandle(spawned at {})", self.origin)
    }
}
