//! `Permits`: a number that is taken from and given back to, and the line of those who want more than is left. What
//! semaphores, locks and bounded channels are made of.
//!
//! Order: first come, first served, whatever each wants. Nobody overtakes, so a large request is served once enough has
//! come back; until then the small ones behind it wait, too.
//!
//! Invariant: what is free, out, and given to waiters that have not taken it yet adds up to what was put in.

use core::cell::Cell;
use core::fmt;
use core::panic::Location;
use core::task::{Context, Poll, ready};
use std::rc::Rc;

use super::wait_list::{Left, Reason, WaitList, Waiter};
use super::{Closed, TryAcquireError};
use crate::budget;
use crate::waits::{Resource, Ticket};

/// See the file.
pub(super) struct Permits {
    free: Cell<usize>,
    is_closed: Cell<bool>,
    /// Each wants so many.
    line: WaitList<usize, Grant>,
}

/// What a waiter is given.
#[derive(Clone, Copy)]
enum Grant {
    /// So many as it wants; they are no longer free.
    Permits(usize),
    /// None, for good.
    Closed,
}

impl Permits {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Cell::new(count), is_closed: Cell::new(false), line: WaitList::default() }
    }

    pub(super) fn free(&self) -> usize {
        self.free.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// How many wait in line.
    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Takes `wanted`, unless that would mean to wait or to overtake.
    #[inline]
    pub(super) fn try_take(&self, wanted: usize) -> Result<(), TryAcquireError> {
        if self.is_closed.get() {
            return Err(TryAcquireError::Closed);
        }
        let left = self.free.get().checked_sub(wanted);
        match left {
            // A request for none is in nobody's way.
            Some(left) if wanted == 0 || self.line.is_empty() => {
                self.free.set(left);
                Ok(())
            }
            _ => Err(TryAcquireError::NoPermits),
        }
    }

    /// Gives back, or adds. Wakes those for whom it is enough.
    ///
    /// # Panics
    /// When there would be more than `usize::MAX`.
    #[inline]
    pub(super) fn put(&self, count: usize) {
        let free = self.free.get().checked_add(count);
        self.free.set(free.expect("fewer than 2^64 permits"));
        if !self.line.is_empty() {
            self.serve();
        }
    }

    /// Takes up to `count` of what is free, for good.
    pub(super) fn forget(&self, count: usize) -> usize {
        let forgotten = count.min(self.free.get());
        self.free.set(self.free.get() - forgotten);
        forgotten
    }

    /// From now on nothing can be taken. Those who wait, or were given something and have not taken it, learn it in
    /// their order.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        let mut taken_back = 0;
        self.line.change_given(|grant| {
            if let Grant::Permits(count) = core::mem::replace(grant, Grant::Closed) {
                taken_back += count;
            }
        });
        self.free.set(self.free.get() + taken_back);
        self.line.give_all(Grant::Closed);
    }

    /// Gives to the first in line as long as there is enough for it.
    fn serve(&self) {
        // The line is asked anew each time, for waking may run foreign code that takes or gives back.
        while let Some(wanted) = self.line.first() {
            let Some(left) = self.free.get().checked_sub(wanted) else { break };
            self.free.set(left);
            self.line.give(Grant::Permits(wanted));
        }
    }
}

/// What has permits: a semaphore, a lock, a channel; or a reference to one, which a future or guard then holds.
pub trait Source: Unpin {
    /// Whether permits come back from those who took them, and from nowhere else.
    #[doc(hidden)]
    const IS_LOCK: bool;

    /// Whether what holds it stays in the task that it was made in, for it borrows. (A guard of a lock that was leaked need
    /// not. The graph of waits takes that chance: nobody leaks a lock to pass its guards around.)
    #[doc(hidden)]
    const IS_BORROWED: bool = false;

    #[doc(hidden)]
    fn parts(&self) -> Parts<'_>;
}

/// Notes that the current task holds permits of `source`.
pub(super) fn hold<S: Source>(
    source: &S,
    what: &'static str,
    origin: &'static Location<'static>,
) -> Option<Ticket> {
    let held = Ticket::hold(what, source.parts().resource, origin);
    if S::IS_LOCK && S::IS_BORROWED { held.map(Ticket::borrowed) } else { held }
}

/// What a [`Source`] is made of.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub(super) permits: &'a Permits,
    pub(super) resource: &'a Resource,
}

impl<S: Source> Source for &S {
    const IS_LOCK: bool = S::IS_LOCK;
    const IS_BORROWED: bool = true;

    #[inline]
    fn parts(&self) -> Parts<'_> {
        (**self).parts()
    }
}

impl<S: Source> Source for Rc<S> {
    const IS_LOCK: bool = S::IS_LOCK;

    #[inline]
    fn parts(&self) -> Parts<'_> {
        (**self).parts()
    }
}

/// A request for some permits of `source`, before it is served. Dropping it loses nothing: it leaves the line, or gives
/// back what it was given.
pub(super) struct Request<S: Source> {
    /// `None` once it was served.
    source: Option<S>,
    wanted: usize,
    waiter: Option<Waiter>,
    what: &'static str,
    origin: &'static Location<'static>,
}

impl<S: Source> Request<S> {
    pub(super) fn new(
        source: S,
        wanted: usize,
        what: &'static str,
        origin: &'static Location<'static>,
    ) -> Self {
        Self { source: Some(source), wanted, waiter: None, what, origin }
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Notes that the current task holds what it asked for.
    pub(super) fn hold(&self, source: &S) -> Option<Ticket> {
        hold(source, self.what, self.origin)
    }

    /// The source, once the permits are the caller's to put back.
    ///
    /// # Panics
    /// When polled after it was ready.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<S, Closed>> {
        ready!(budget::poll_left(cx));
        let source = self.source.as_ref().expect("a future is not polled after it was ready");
        let Parts { permits, resource } = source.parts();
        let is_bound = S::IS_LOCK && S::IS_BORROWED;
        let reason = Reason { what: self.what, resource, origin: self.origin, is_bound };
        let taken = if self.waiter.is_some() {
            match ready!(permits.line.poll_given(&mut self.waiter, cx, reason)) {
                Grant::Permits(_) => Ok(()),
                Grant::Closed => Err(Closed),
            }
        } else {
            match permits.try_take(self.wanted) {
                Ok(()) => Ok(()),
                Err(TryAcquireError::Closed) => Err(Closed),
                Err(TryAcquireError::NoPermits) => {
                    self.waiter = Some(permits.line.join(self.wanted, cx, reason));
                    return Poll::Pending;
                }
            }
        };
        budget::spend();
        let source = self.source.take().expect("as above");
        Poll::Ready(taken.map(|()| source))
    }
}

impl<S: Source> fmt::Debug for Request<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_waiting = if self.waiter.is_some() { ", waiting" } else { "" };
        write!(f, "{} at {}{is_waiting}", self.what, self.origin)
    }
}

impl<S: Source> Drop for Request<S> {
    fn drop(&mut self) {
        let Some(source) = &self.source else { return };
        let Some(waiter) = self.waiter.take() else { return };
        let permits = source.parts().permits;
        let Left { given, waker, .. } = permits.line.leave(waiter);
        match given {
            Some(Grant::Permits(count)) => permits.put(count),
            Some(Grant::Closed) => {}
            // It may have been the first in line, and what is free enough for the second.
            None => permits.serve(),
        }
        drop(waker);
    }
}
