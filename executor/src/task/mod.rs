//! Tasks: a future that the shard runs, and the references to it.
//!
//! [`TaskRef`] is a counted reference that may cross threads; a waker is one in other clothes. What a reference may do
//! on which thread is written at `raw`; the life of a task is drawn at `state`.

#![expect(unsafe_code, reason = "raw tasks: the invariants are stated at `raw` and at each use")]

mod join;
mod raw;
mod state;
mod waker;

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use std::any::Any;
use std::sync::Arc;

pub(crate) use join::panic_message;
pub use join::{JoinError, JoinHandle};
use raw::Header;
use state::{Start, Stop};

use crate::remote::Remote;

/// Names a task of one shard: an ordinal, so that the same program gives the same task the same id in every run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the shard shall do after it ran a task.
#[must_use]
pub(crate) enum Ran {
    /// Nothing: the task waits, or had ended before.
    Waits,
    /// Put it back into the queue.
    Again(TaskRef),
    /// It ended: take it out of the registry.
    Ended(TaskRef, Ended),
}

/// How a task ended, as far as the shard has to act on it.
#[must_use]
pub(crate) struct Ended {
    /// The panic that nobody holds a handle for.
    pub(crate) unjoined_panic: Option<Box<dyn Any + Send>>,
}

/// A counted reference to a task.
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: what a reference can do on a foreign thread is clone, drop, wake, and read `id` and `origin`: all of that
// touches only the atomic state word and fields that never change. Everything else is called by the shard and by
// `JoinHandle`, which are `!Send`.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

/// Makes a task; it is scheduled. Gives the references for the registry and for the queue, and the handle.
pub(crate) fn new<F: Future + 'static>(
    future: F,
    id: TaskId,
    slot: u32,
    remote: Arc<Remote>,
    origin: &'static Location<'static>,
) -> (TaskRef, TaskRef, JoinHandle<F::Output>) {
    let task = raw::allocate(future, id, slot, remote, origin);
    // The three references that `State::new` counts.
    (TaskRef(task), TaskRef(task), JoinHandle::new(TaskRef(task)))
}

impl TaskRef {
    fn header(&self) -> &Header {
        // SAFETY: a reference keeps its task alive.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.header().id
    }

    pub(crate) fn slot(&self) -> u32 {
        self.header().slot
    }

    pub(crate) fn origin(&self) -> &'static Location<'static> {
        self.header().origin
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.header().remote
    }

    pub(crate) fn is_scheduled(&self) -> bool {
        self.header().state.is_scheduled()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.header().state.is_running()
    }

    /// Runs a task that the shard took from its queue. Owner thread only.
    pub(crate) fn run(self) -> Ran {
        match self.header().state.start() {
            Start::Nothing => Ran::Waits,
            Start::Cancel => {
                // SAFETY: the shard calls this on its own thread, and `start` set RUNNING.
                unsafe { Header::cancel(self.0) };
                self.ended()
            }
            Start::Poll => {
                let waker = waker::borrowed(&self);
                let mut cx = Context::from_waker(&waker);
                // SAFETY: as above.
                let poll = unsafe { Header::poll(self.0, &mut cx) };
                match poll {
                    Poll::Ready(()) => self.ended(),
                    Poll::Pending => match self.header().state.stop() {
                        Stop::Idle => Ran::Waits,
                        Stop::Requeue => Ran::Again(self),
                    },
                }
            }
        }
    }

    /// Drops the future where the task stands, without waiting for its turn. `None` where it has ended, or where it
    /// runs right now: then it ends after that poll. Owner thread only.
    pub(crate) fn cancel_now(&self) -> Option<Ended> {
        if !self.header().state.start_cancel() {
            return None;
        }
        // SAFETY: the shard and its scopes call this on the owner thread, and `start_cancel` set RUNNING.
        unsafe { Header::cancel(self.0) };
        Some(self.finish())
    }

    fn ended(self) -> Ran {
        let ended = self.finish();
        Ran::Ended(self, ended)
    }

    /// The output is stored: say so, and wake who waits for it. Owner thread only.
    fn finish(&self) -> Ended {
        let unwanted = self.header().state.complete();
        // SAFETY: owner thread, and `complete` set TAKEN where it said so.
        let unjoined_panic = unwanted.then(|| unsafe { Header::drop_output(self.0) }).flatten();
        // SAFETY: owner thread.
        let joiner = unsafe { self.header().replace_joiner(None) };
        if let Some(joiner) = joiner {
            joiner.wake();
        }
        Ended { unjoined_panic }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.header().state.add_reference();
        Self(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        if self.header().state.drop_reference() {
            // SAFETY: that was the last reference.
            unsafe { Header::free(self.0) };
        }
    }
}
