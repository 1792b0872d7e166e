//! `CancelToken`: a flag that tasks of one shard can wait for.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use slab::Slab;

/// Set once, seen by all clones. Waking goes in the order in which the waiters came.
#[derive(Clone, Default)]
pub struct CancelToken {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_cancelled: Cell<bool>,
    waiters: RefCell<Slab<Waiter>>,
    waiters_seen: Cell<u64>,
}

#[derive(Clone)]
struct Waiter {
    /// Its ordinal: places are used again, so they do not tell who came first.
    ordinal: u64,
    waker: Waker,
}

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and wakes who waits. Again is the same as once.
    pub fn cancel(&self) {
        self.shared.is_cancelled.set(true);
        // A waiter removes itself when it is polled or dropped; here it is only woken.
        let mut waiters: Vec<Waiter> =
            self.shared.waiters.borrow().iter().map(|(_, waiter)| waiter.clone()).collect();
        waiters.sort_by_key(|waiter| waiter.ordinal);
        for waiter in waiters {
            waiter.waker.wake();
        }
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.is_cancelled.get()
    }

    /// Waits for the flag. Cancel-safe: nothing but a place among the waiters is lost.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { token: self.clone(), place: None }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelToken({})", if self.is_cancelled() { "cancelled" } else { "active" })
    }
}

/// See [`CancelToken::cancelled`]. May be polled again after it is ready.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Cancelled {
    token: CancelToken,
    place: Option<usize>,
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.token.is_cancelled() {
            return Poll::Ready(());
        }
        let mut waiters = self.token.shared.waiters.borrow_mut();
        let before = match self.place {
            Some(place) if waiters[place].waker.will_wake(cx.waker()) => None,
            Some(place) => Some(core::mem::replace(&mut waiters[place].waker, cx.waker().clone())),
            None => {
                let seen = &self.token.shared.waiters_seen;
                let ordinal = seen.replace(seen.get() + 1);
                let place = waiters.insert(Waiter { ordinal, waker: cx.waker().clone() });
                drop(waiters);
                self.place = Some(place);
                return Poll::Pending;
            }
        };
        drop(waiters);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waiter = self.token.shared.waiters.borrow_mut().remove(place);
            drop(waiter);
        }
    }
}
