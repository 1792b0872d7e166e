//! `Bell`: wakes all who wait, so that they look again. For what stays true once it is: a message to see, an end.
//!
//! Nothing is handed over, so there is nothing to pass on when a future is dropped. Order and bound are those of
//! [`WaitList`].

use core::fmt;
use core::panic::Location;
use core::task::{Context, Poll, ready};

use super::wait_list::{Reason, WaitList, Waiter};
use crate::budget;
use crate::waits::Resource;

/// See the file.
#[derive(Default)]
pub(super) struct Bell(WaitList<(), ()>);

impl Bell {
    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.len()
    }

    /// Wakes all who wait at this moment, in the order in which they came.
    pub(super) fn ring(&self) {
        self.0.give_all(());
    }

    /// A wait for `what`, which this bell is rung for. It begins with the first poll.
    #[track_caller]
    pub(super) fn wait<'a>(&'a self, what: &'static str, resource: &'a Resource) -> BellWait<'a> {
        let reason = Reason { what, resource, origin: Location::caller(), is_bound: false };
        BellWait { line: &self.0, reason, waiter: None }
    }
}

/// A wait for what a bell is rung for: the part that all such futures have in common. It leaves the line when it is dropped.
pub(super) struct BellWait<'a> {
    line: &'a WaitList<(), ()>,
    reason: Reason<'a>,
    waiter: Option<Waiter>,
}

impl BellWait<'_> {
    /// Waits, within the budget of the poll, until `look` finds something.
    pub(super) fn poll_until<T>(
        &mut self,
        cx: &Context<'_>,
        look: impl FnOnce() -> Option<T>,
    ) -> Poll<T> {
        ready!(budget::poll_left(cx));
        let Some(found) = look() else {
            self.wait_for_ring(cx);
            return Poll::Pending;
        };
        self.stop();
        budget::spend();
        Poll::Ready(found)
    }

    /// Waits for the next ring.
    fn wait_for_ring(&mut self, cx: &Context<'_>) {
        let Self { line, reason, waiter } = self;
        if waiter.is_some() && line.poll_given(waiter, cx, *reason).is_pending() {
            return;
        }
        *waiter = Some(line.join((), cx, *reason));
    }

    fn stop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            drop(self.line.leave(waiter));
        }
    }
}

impl Drop for BellWait<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where in the program it is.
impl fmt::Debug for BellWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}", self.reason.origin)
    }
}
