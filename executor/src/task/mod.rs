//! Tasks: a future that the shard runs, and the references to it.
//!
//! [`TaskRef`] is a counted reference on the task's own thread; a waker is one that may cross threads. What a reference
//! may do on which thread is written at `raw`; the life of a task is drawn at `owned`.

#![expect(unsafe_code, reason = "raw tasks: the invariants are stated at `raw` and at each use")]

mod biased;
pub(crate) mod current;
mod extras;
mod inject;
mod join;
mod joiners;
mod kind;
mod memory;
mod owned;
mod raw;
mod remote;
mod shared;
mod site;
mod waker;

use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use crate::context;
use crate::instant::Instant;
use crate::metrics::CancelReason;
use crate::scope::Children;

pub(crate) use extras::Extras;
use extras::Kept;
pub use join::{JoinError, JoinHandle, panic_message};
pub(crate) use memory::TaskMemory;
use owned::{Start, Stop};
pub(crate) use raw::Birth;
use raw::Header;
use remote::Remote;
pub(crate) use remote::{Injected, RemoteOwner, RemoteRef};
pub(crate) use site::Site;
pub(crate) use waker::wakes;

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
    /// Its future was dropped before it was ready.
    pub(crate) was_cancelled: bool,
    /// The panic that nobody holds a handle for.
    pub(crate) unjoined_panic: Option<Box<dyn Any + Send>>,
}

/// A counted reference to a task, on the task's own thread. (A pointer is not `Send`, so this is not.)
pub(crate) struct TaskRef(NonNull<Header>);

/// Makes a task; it is scheduled. Gives the references for the registry and for the queue, and the handle.
#[inline]
pub(crate) fn new<F: Future + 'static>(
    future: F,
    birth: Birth,
    remote: &RemoteOwner,
    memory: &TaskMemory,
) -> (TaskRef, TaskRef, JoinHandle<F::Output>) {
    let task = raw::allocate(future, birth, remote, memory);
    // The three references that `Owned::new` counts.
    (TaskRef(task), TaskRef(task), JoinHandle::new(TaskRef(task)))
}

impl TaskRef {
    /// Takes charge of a reference that was counted already. Owner thread only.
    fn counted(task: NonNull<Header>) -> Self {
        Self(task)
    }

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
        self.header().kind.origin
    }

    /// The task that spawned it; `None` for one from outside of tasks.
    pub(crate) fn parent(&self) -> Option<TaskId> {
        self.header().parent()
    }

    pub(crate) fn spawned_at(&self) -> Instant {
        self.header().spawned_at
    }

    fn extras(&self) -> Option<&Kept> {
        // SAFETY: owner thread, and the reference keeps the task alive.
        unsafe { Header::extras(self.0) }
    }

    pub(crate) fn name(&self) -> Option<Cow<'static, str>> {
        self.extras()?.borrow().name.clone()
    }

    pub(crate) fn scope(&self) -> Option<Rc<Children>> {
        self.extras()?.borrow().scope.clone()
    }

    /// Gives back the one before.
    ///
    /// # Panics
    /// For a task that was spawned without extras.
    pub(crate) fn replace_scope(&self, scope: Option<Rc<Children>>) -> Option<Rc<Children>> {
        let extras = self.extras().expect("a task that changes its scope has extras");
        core::mem::replace(&mut extras.borrow_mut().scope, scope)
    }

    pub(crate) fn context(&self) -> Option<Arc<context::Context>> {
        self.extras()?.borrow().context.clone()
    }

    /// The task leaves the registry. What it gives is to be dropped where no borrow is held.
    #[inline]
    pub(crate) fn take_extras(&self) -> Extras {
        self.extras().map(RefCell::take).unwrap_or_default()
    }

    pub(crate) fn polls(&self) -> u32 {
        self.header().polls.get()
    }

    pub(crate) fn remote(&self) -> &Remote {
        self.header().remote()
    }

    pub(crate) fn is_scheduled(&self) -> bool {
        self.header().owned.is_scheduled()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.header().owned.is_running()
    }

    /// Whether another thread has woken it, and its shard has yet to hear of that.
    pub(crate) fn is_injected(&self) -> bool {
        self.header().shared.is_injected()
    }

    /// How many wakers for it there are, wherever they are kept.
    pub(crate) fn wakers(&self) -> u32 {
        self.header().shared.wakers()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.header().owned.is_complete()
    }

    pub(crate) fn has_extras(&self) -> bool {
        self.header().owned.has_extras()
    }

    pub(crate) fn has_context(&self) -> bool {
        self.header().owned.has_context()
    }

    /// Why the task is to end; what was said first stays.
    pub(crate) fn set_cancel_reason(&self, reason: CancelReason) {
        self.header().owned.set_reason(reason);
    }

    /// Why the task was to end, if someone said so.
    pub(crate) fn cancel_reason(&self) -> Option<CancelReason> {
        self.header().owned.reason()
    }

    /// Asks the task to end, and sees to it that its shard meets it soon.
    pub(crate) fn abort(&self) {
        self.header().owned.abort();
        waker::borrowed(self).wake_by_ref();
    }

    /// Runs a task that the shard took from its queue.
    #[inline(always)]
    pub(crate) fn run(self) -> Ran {
        match self.header().owned.start() {
            Start::Nothing => Ran::Waits,
            Start::Cancel => {
                // SAFETY: the shard calls this on its own thread, and `start` set RUNNING.
                unsafe { Header::cancel(self.0) };
                self.ended(true)
            }
            Start::Poll => {
                let polls = &self.header().polls;
                polls.set(polls.get().saturating_add(1));
                let waker = waker::borrowed(&self);
                let mut cx = Context::from_waker(&waker);
                // SAFETY: as above.
                let poll = unsafe { Header::poll(self.0, &mut cx) };
                match poll {
                    Poll::Ready(()) => self.ended(false),
                    Poll::Pending => match self.header().owned.stop() {
                        Stop::Idle => Ran::Waits,
                        Stop::Requeue => Ran::Again(self),
                    },
                }
            }
        }
    }

    /// Drops the future where the task stands, without waiting for its turn. `None` where it has ended, or where it
    /// runs right now: then it ends after that poll.
    pub(crate) fn cancel_now(&self) -> Option<Ended> {
        if !self.header().owned.start_cancel() {
            return None;
        }
        // SAFETY: the shard and its scopes call this on the owner thread, and `start_cancel` set RUNNING.
        unsafe { Header::cancel(self.0) };
        Some(self.finish(true))
    }

    #[inline(always)]
    fn ended(self, was_cancelled: bool) -> Ran {
        let ended = self.finish(was_cancelled);
        Ran::Ended(self, ended)
    }

    /// The output is stored: say so, and wake who waits for it.
    #[inline(always)]
    fn finish(&self, was_cancelled: bool) -> Ended {
        let unwanted = self.header().owned.complete();
        // SAFETY: owner thread, and `complete` set TAKEN where it said so.
        let unjoined_panic = unwanted.then(|| unsafe { Header::drop_output(self.0) }).flatten();
        if self.header().owned.take_awaited() {
            let joiner = self.remote().joiners.take(self.id());
            joiner.wake();
        }
        Ended { was_cancelled, unjoined_panic }
    }
}

impl PartialEq for TaskRef {
    /// Whether it is the very same task.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.header().owned.add_reference();
        Self(self.0)
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        let header = self.header();
        if header.owned.drop_reference() && header.shared.drop_reference() {
            // SAFETY: that was the last reference of this thread, and no waker is left.
            unsafe { Header::free(self.0) };
        }
    }
}
