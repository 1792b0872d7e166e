//! `Budget`: how much one poll of a task may get done before it has to let the others run.
//!
//! A task that finds its channel full of messages, or its socket full of bytes, could go on for ever within one poll.
//! So each operation that can be ready at once (a receive, a read, an acquired permit) spends from the budget of the
//! poll, and where that is used up the operation says Pending instead, after it woke its own task.
//!
//! It counts operations, never time: a replay spends the same.

use core::cell::Cell;
use core::task::{Context, Poll};

use crate::current;

/// Operations that one poll may get done.
pub(crate) const OPERATIONS_PER_POLL_MAX: u32 = 128;

/// What is left of it in the poll that runs now.
pub(crate) struct Budget {
    left: Cell<u32>,
    /// Polls that it ended.
    yields: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Cell::new(OPERATIONS_PER_POLL_MAX), yields: Cell::new(0) }
    }
}

impl Budget {
    /// A new poll begins.
    pub(crate) fn refill(&self) {
        self.left.set(OPERATIONS_PER_POLL_MAX);
    }

    /// How many polls it has ended.
    pub(crate) fn yields(&self) -> u64 {
        self.yields.get()
    }

    /// Ready while something is left. Pending, with the task woken: try again in the next poll.
    ///
    /// Asked before an operation is tried; one that then gets done is paid with [`Budget::spend`].
    pub(crate) fn poll_left(&self, cx: &Context<'_>) -> Poll<()> {
        if self.left.get() > 0 {
            return Poll::Ready(());
        }
        self.yields.set(self.yields.get() + 1);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Pays for one operation.
    pub(crate) fn spend(&self) {
        self.left.set(self.left.get().saturating_sub(1));
    }
}

/// [`Budget::poll_left`] of the current shard. Outside of one, and of its tasks, there is no budget.
#[inline]
pub(crate) fn poll_left(cx: &Context<'_>) -> Poll<()> {
    current::with(|core| match core {
        Some(core) if core.running().is_some() => core.budget.poll_left(cx),
        _ => Poll::Ready(()),
    })
}

/// [`Budget::spend`] of the current shard.
#[inline]
pub(crate) fn spend() {
    current::with(|core| {
        if let Some(core) = core {
            core.budget.spend();
        }
    });
}
