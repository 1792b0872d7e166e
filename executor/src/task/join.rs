//! `JoinHandle`: the one place that learns how a task ended.

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::raw::Header;
use super::{TaskId, TaskRef, waker};
use crate::current;

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

/// What a panic said, if it said it in words.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
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
/// Dropping it lets the task run on, under its scope or shard; a panic is then told to the scope, or logged and
/// counted by the shard, never lost.
///
/// Cancel-safe: dropping an `&mut JoinHandle` future half way loses nothing.
///
/// # Panics
/// When polled again after it gave the output.
pub struct JoinHandle<T> {
    task: TaskRef,
    /// `*const` keeps the handle on its thread: the output is not `Send`, and joiner and output have no lock.
    output: PhantomData<*const T>,
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// `task` was made with a future whose output is `T`.
    pub(super) fn new(task: TaskRef) -> Self {
        Self { task, output: PhantomData }
    }

    /// The task's ordinal.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Whether the task has ended, one way or the other.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.header().state.is_complete()
    }

    /// Asks the task to end: at its next turn its future is dropped instead of polled, and this handle gives
    /// [`JoinError::Cancelled`]. A task that has ended keeps its output.
    pub fn abort(&self) {
        waker::abort_task(&self.task);
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let header = self.task.header();
        if !header.state.take_output() {
            // SAFETY: a handle never leaves its thread.
            drop(unsafe { header.replace_joiner(Some(cx.waker().clone())) });
            return Poll::Pending;
        }
        let mut output = MaybeUninit::<Result<T, JoinError>>::uninit();
        // SAFETY: owner thread; `take_output` set TAKEN just now; `new` promises that `T` is the task's output.
        unsafe { Header::take_output(self.task.0, output.as_mut_ptr().cast()) };
        // SAFETY: just written.
        Poll::Ready(unsafe { output.assume_init() })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let header = self.task.header();
        // SAFETY: a handle never leaves its thread.
        drop(unsafe { header.replace_joiner(None) });
        if header.state.drop_handle() {
            // SAFETY: owner thread; `drop_handle` set TAKEN just now.
            let panic = unsafe { Header::drop_output(self.task.0) };
            if let Some(payload) = panic {
                current::report_panic(&self.task, &*payload);
            }
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle({}, spawned at {})", self.task.id(), self.task.origin())
    }
}
