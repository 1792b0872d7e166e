//! `WakerSlot`: the place of the one task that may wait for a thing, where a type admits only one: the receiver of an
//! mpsc channel, either end of a oneshot.
//!
//! It keeps the waker after it woke: a task that waits again, as a receiver does, then clones none. The price is that
//! the memory of a task that has ended stays until another one waits there, or the slot is cleared or dropped.
//!
//! Invariant: the waker is cloned, woken and dropped outside of the cell, for it may run foreign code that comes back.

use core::cell::Cell;
use core::task::{Context, Poll, Waker, ready};

use super::wait_list::Reason;
use crate::budget;
use crate::waits::Ticket;

/// See the file.
#[derive(Default)]
pub(super) struct WakerSlot {
    waker: Cell<Option<Waker>>,
    is_waiting: Cell<bool>,
}

impl WakerSlot {
    /// Waits, within the budget of the poll, until `look` finds something. What it looks at is woken for.
    #[inline]
    pub(super) fn poll_until<T>(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
        reason: Reason<'_>,
        look: impl FnOnce() -> Option<T>,
    ) -> Poll<T> {
        ready!(budget::poll_left(cx));
        let Some(found) = look() else {
            if self.wait(cx.waker()) {
                *ticket = reason.wait(cx.waker());
            }
            return Poll::Pending;
        };
        *ticket = None;
        budget::spend();
        Poll::Ready(found)
    }

    /// Waits: the next [`WakerSlot::wake`] wakes `waker`, and nobody else. False where it did so before.
    fn wait(&self, waker: &Waker) -> bool {
        match self.waker.take() {
            Some(kept) if kept.will_wake(waker) => {
                self.waker.set(Some(kept));
                !self.is_waiting.replace(true)
            }
            before => {
                self.waker.set(Some(waker.clone()));
                self.is_waiting.set(true);
                // Last: it may be the last reference to a task, whose end may be what is waited for.
                drop(before);
                true
            }
        }
    }

    /// Wakes who waits, once.
    #[inline]
    pub(super) fn wake(&self) {
        if !self.is_waiting.replace(false) {
            return;
        }
        let waker = self.waker.take().expect("who waits has left a waker");
        waker.wake_by_ref();
        if let Some(newer) = self.waker.replace(Some(waker)) {
            // Foreign code waits here by now.
            drop(self.waker.replace(Some(newer)));
        }
    }

    /// Nobody waits any more, and no task is kept.
    pub(super) fn clear(&self) {
        self.is_waiting.set(false);
        drop(self.waker.take());
    }

    /// Whether somebody waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.get()
    }
}
