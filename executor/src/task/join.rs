//! `JoinHandle`: the one place that learns how a task ended.

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::{Rc, Weak};

use super::joiners::Joiner;
use super::raw::Header;
use super::{TaskId, TaskRef, current};
use crate::scope::Children;
use crate::waits::Ticket;

/// Why a task has no output.
pub enum JoinError {
    /// It was aborted, or its scope or shard ended before it did.
    Cancelled,
    /// It panicked; this is what it panicked with.
    Panicked(Box<dyn Any + Send>),
}

impl JoinError {
    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }
}

/// What a panic said, if it said it in words; else that it did not. `payload` is what it was caught with.
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(message) = payload.downcast_ref::<&str>() {
        message
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else {
        "a panic without words"
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Panicked(payload) => {
                write!(f, "the task panicked: {}", panic_message(&**payload))
            }
        }
    }
}

impl core::error::Error for JoinError {}

/// Awaits the output of a task. Stays on the task's thread.
///
/// Dropping it lets the task run on, under its scope or shard; a panic, one that it had not yet told included, is then
/// told to the scope, or logged and counted by the shard, never lost.
///
/// Cancel-safe: dropping an `&mut JoinHandle` future half way loses nothing.
///
/// # Panics
/// When polled again after it gave the output.
pub struct JoinHandle<T> {
    task: TaskRef,
    /// The scope, if it is a child of one: for a panic that this has and does not tell.
    scope: Weak<Children>,
    /// `*const` keeps the handle on its thread: the output is not `Send`, and joiners and output have no lock.
    output: PhantomData<*const T>,
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// `task` was made with a future whose output is `T`.
    pub(super) fn new(task: TaskRef) -> Self {
        Self { task, scope: Weak::new(), output: PhantomData }
    }

    /// The task is a child of `scope`.
    pub(crate) fn in_scope(mut self, scope: &Rc<Children>) -> Self {
        self.scope = Rc::downgrade(scope);
        self
    }

    pub(crate) fn task(&self) -> &TaskRef {
        &self.task
    }

    /// The task's ordinal.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Whether the task has ended, one way or the other.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.header().owned.is_complete()
    }

    /// Sees to it that `waker` is woken when the task ends. False where it has ended by now.
    fn wait(&self, waker: &Waker) -> bool {
        let header = self.task.header();
        let joiners = &header.remote().joiners;
        if joiners.has(header.id, waker) {
            return true;
        }
        let is_ours =
            current::with(|core| core.is_some_and(|core| core.remote.is(header.remote())));
        let wait = Ticket::join(is_ours.then_some(header.id), header.kind.origin, waker);
        let joiner = Joiner::new(waker, wait);
        // Cloning the waker ran foreign code, which may have ended the task. From here to the entry none does, so that flag
        // and entry come together.
        if header.owned.is_complete() {
            return false;
        }
        header.owned.set_awaited();
        let before = joiners.replace(header.id, joiner);
        // Dropped with nothing borrowed, for the same reason.
        drop(before);
        true
    }

    /// Asks the task to end: at its next turn its future is dropped instead of polled, and this handle gives
    /// [`JoinError::Cancelled`]. A task that has ended keeps its output.
    pub fn abort(&self) {
        self.task.abort();
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.task.header().owned.take_output() {
            if self.wait(cx.waker()) {
                return Poll::Pending;
            }
            assert!(self.task.header().owned.take_output(), "it has ended");
        }
        let mut output = MaybeUninit::<Result<T, JoinError>>::uninit();
        // SAFETY: owner thread; `take_output` set TAKEN just now; `new` promises that `T` is the task's output.
        unsafe { Header::take_output(self.task.0, output.as_mut_ptr().cast()) };
        // SAFETY: just written.
        Poll::Ready(unsafe { output.assume_init() })
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        let header = self.task.header();
        if header.owned.take_awaited() {
            self.task.drop_joiner();
        }
        if header.owned.drop_handle() {
            // SAFETY: owner thread; `drop_handle` set TAKEN just now.
            unsafe { self.task.drop_unjoined(&self.scope) };
        }
    }
}

impl TaskRef {
    /// Takes the entry of a handle that gives up waiting out of the joiners.
    #[cold]
    fn drop_joiner(&self) {
        drop(self.remote().joiners.take(self.id()));
    }

    /// Drops the output of a task that has ended, and tells of a panic that the handle has not told.
    ///
    /// # Safety
    /// This is the owner thread, and the caller set TAKEN just now.
    #[cold]
    unsafe fn drop_unjoined(&self, scope: &Weak<Children>) {
        // SAFETY: by the caller.
        let panic = unsafe { Header::drop_output(self.0) };
        let Some(payload) = panic else { return };
        let unheard = match scope.upgrade() {
            Some(scope) => scope.panic_unjoined(payload),
            None => Some(payload),
        };
        if let Some(payload) = unheard {
            current::report_panic(self, &*payload);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle({}, spawned at {})", self.task.id(), self.task.origin())
    }
}
