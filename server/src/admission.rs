//! `Admission`: at most so many connections at once. Who comes when the house is full waits in the kernel's backlog.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

/// The places for connections of one shard.
pub(crate) struct Admission {
    free: Cell<usize>,
    waiters: RefCell<VecDeque<Waker>>,
}

/// A place, given back when dropped.
pub(crate) struct Permit {
    admission: Rc<Admission>,
}

impl Admission {
    pub(crate) fn new(connections_max: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(connections_max), waiters: RefCell::default() })
    }

    /// Waits for a place. Cancel-safe: a waiter that is gone is woken in vain, and the next one is woken with it.
    pub(crate) async fn enter(self: &Rc<Self>) -> Permit {
        poll_fn(|cx| {
            if self.free.get() > 0 {
                self.free.set(self.free.get() - 1);
                return Poll::Ready(());
            }
            let mut waiters = self.waiters.borrow_mut();
            // Once for each who waits, however often it is polled.
            if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
                waiters.push_back(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
        Permit { admission: Rc::clone(self) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.free.set(self.admission.free.get() + 1);
        // All of them: there are as many as listeners, and one that is gone must not swallow the wake of another.
        let waiters = self.admission.waiters.take();
        for waiter in waiters {
            waiter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::task::Context;

    use super::*;

    /// However often a full house is asked, the memory for who waits does not grow.
    #[test]
    fn a_waiter_waits_once() {
        let admission = Admission::new(1);
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(permit) = pin!(admission.enter()).poll(cx) else {
            panic!("there is a place");
        };
        let mut waiter = pin!(admission.enter());
        for _ in 0..10 {
            assert!(waiter.as_mut().poll(cx).is_pending());
        }
        assert_eq!(admission.waiters.borrow().len(), 1);
        drop(permit);
        assert!(waiter.as_mut().poll(cx).is_ready());
    }
}
