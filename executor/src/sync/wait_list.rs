//! `WaitList`: who waits for a thing, and what each of them was given. The one building block under all of `sync`; it
//! does not know what it is that they wait for.
//!
//! ```text
//!    join                 give                         poll_given
//!   ──────► waiting ─────────────► given, and woken ─────────────► gone, with what it was given
//!              │                          │
//!              │ leave                    │ leave
//!              ▼                          ▼
//!            gone                       gone: `leave` gives back what it was given, for the next
//! ```
//!
//! Order: first come, first served. Who comes is the future that is polled and finds nothing, so the order is that of
//! first polls, not that in which the futures were made.
//!
//! Invariants: what was given is either taken by its future or given back to the owner of the list, so nothing is lost
//! when a future is dropped between its wake and its poll. What is given to all is given before the first of them is woken.
//! No waker is cloned, woken or dropped while the list is borrowed: waking and dropping may run foreign code, and that may
//! come back here. (To clone one is trusted to do nothing but count.)
//!
//! Bound: one place for each future that waits. Places are used again, so there is no allocation once the list has been
//! as long as it gets.

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::panic::Location;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use slab::Slab;

use crate::waits::{Resource, Ticket};

/// A list of waiters that each want a `W` and are given a `G`.
pub(super) struct WaitList<W, G> {
    line: RefCell<Line<W, G>>,
    /// How many wait. Outside of the rest, because most often it is all that is asked.
    waiting: Cell<usize>,
    /// Everything in `sync` is of one thread, also what is made of cells alone.
    _one_thread: PhantomData<Rc<()>>,
}

/// The places, and two chains through them.
struct Line<W, G> {
    places: Slab<Place<W, G>>,
    /// Those that wait.
    waiting: Chain,
    /// Those that were given something together with others, and are to be woken.
    waking: Chain,
}

/// First and last place of a chain.
#[derive(Clone, Copy, Default)]
struct Chain {
    first: Option<usize>,
    last: Option<usize>,
}

/// A place is waiting while it has a waker and was given nothing; waking while it has both, and is in the chain of those;
/// given when it has no waker any more, and is in no chain.
struct Place<W, G> {
    waker: Option<Waker>,
    given: Option<G>,
    wants: W,
    before: Option<usize>,
    after: Option<usize>,
    /// Says who waits, and then who was given something and has not taken it.
    ticket: Option<Ticket>,
}

/// A place in a list, held by the future that waits there. It must [`leave`](WaitList::leave) when it is dropped.
pub(super) struct Waiter {
    key: usize,
}

/// What is left of a place that was given up.
#[must_use = "what is not taken belongs to the next in line"]
pub(super) struct Left<G> {
    /// What it was given.
    pub(super) given: Option<G>,
    /// To be dropped last, for that may run foreign code.
    pub(super) waker: Option<Waker>,
    /// Lies here so that it is dropped while the list is not borrowed.
    _ticket: Option<Ticket>,
}

/// How a wait is told to others.
#[derive(Clone, Copy)]
pub(super) struct Reason<'a> {
    /// What is waited for, in words.
    pub(super) what: &'static str,
    pub(super) resource: &'a Resource,
    /// Where in the program.
    pub(super) origin: &'static Location<'static>,
    /// Whether the future that waits stays in its task, for it borrows, and is the only one to give back what it is given.
    pub(super) is_bound: bool,
}

impl Reason<'_> {
    /// `waker` is kept to end the wait.
    pub(super) fn wait(self, waker: &Waker) -> Option<Ticket> {
        let ticket = Ticket::wait_by(self.what, self.resource, self.origin, waker)?;
        Some(if self.is_bound { ticket.bound() } else { ticket })
    }
}

impl<W, G> Default for WaitList<W, G> {
    fn default() -> Self {
        let line =
            Line { places: Slab::new(), waiting: Chain::default(), waking: Chain::default() };
        Self { line: RefCell::new(line), waiting: Cell::new(0), _one_thread: PhantomData }
    }
}

impl<W: Copy, G> WaitList<W, G> {
    /// How many wait. Who was given something no longer does.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.waiting.get()
    }

    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.get() == 0
    }

    /// What the first in line wants.
    pub(super) fn first(&self) -> Option<W> {
        let line = self.line.borrow();
        line.waiting.first.map(|key| line.places[key].wants)
    }

    /// Takes the last place in line.
    pub(super) fn join(&self, wants: W, cx: &Context<'_>, reason: Reason<'_>) -> Waiter {
        self.add(wants, cx.waker().clone(), reason.wait(cx.waker()))
    }

    /// Takes the last place in line for a future that is not awaited yet.
    pub(super) fn enlist(&self, wants: W, waker: Waker) -> Waiter {
        self.add(wants, waker, None)
    }

    fn add(&self, wants: W, waker: Waker, ticket: Option<Ticket>) -> Waiter {
        let key = self.line.borrow_mut().push(wants, waker, ticket);
        self.waiting.set(self.waiting.get() + 1);
        Waiter { key }
    }

    /// Whether the waiter was given something.
    pub(super) fn is_given(&self, waiter: &Waiter) -> bool {
        self.line.borrow().places[waiter.key].given.is_some()
    }

    /// What the waiter was given; its place is gone then, and so is `waiter`. Pending, to be woken, while that is nothing.
    pub(super) fn poll_given(
        &self,
        waiter: &mut Option<Waiter>,
        cx: &Context<'_>,
        reason: Reason<'_>,
    ) -> Poll<G> {
        if let Some(waiter) = waiter.take_if(|waiter| self.is_given(waiter)) {
            let Left { given, waker, .. } = self.leave(waiter);
            drop(waker);
            return Poll::Ready(given.expect("it was there a moment ago"));
        }
        let key = waiter.as_ref().expect("only who waits asks what it was given").key;
        if !self.line.borrow().will_wake(key, cx.waker()) {
            // Another task may wait from now on.
            let ticket = reason.wait(cx.waker());
            let before = self.line.borrow_mut().rewrite(key, cx.waker().clone(), ticket);
            drop(before);
        }
        Poll::Pending
    }

    /// Gives up a place.
    pub(super) fn leave(&self, waiter: Waiter) -> Left<G> {
        let left = self.line.borrow_mut().remove(waiter.key);
        if left.given.is_none() {
            self.waiting.set(self.waiting.get() - 1);
        }
        left
    }

    /// Gives to the first in line and wakes it. False where nobody waits.
    #[inline]
    pub(super) fn give(&self, what: G) -> bool {
        if self.is_empty() {
            return false;
        }
        let waker = self.line.borrow_mut().give_first(what);
        self.waiting.set(self.waiting.get() - 1);
        waker.wake();
        true
    }

    /// Gives to all who wait, and then wakes them, in their order.
    #[inline]
    pub(super) fn give_all(&self, what: G)
    where
        G: Clone,
    {
        if self.is_empty() {
            return;
        }
        self.line.borrow_mut().give_all(&what);
        self.waiting.set(0);
        // Asked anew each time, for waking may run foreign code that drops those who are still to be woken, or gives to
        // others.
        while let Some(waker) = { self.line.borrow_mut().next_to_wake() } {
            waker.wake();
        }
    }

    /// Changes what was given to those who have not taken it yet, into something that nobody is kept from by that.
    pub(super) fn change_given(&self, mut change: impl FnMut(&mut G)) {
        for (_, place) in &mut self.line.borrow_mut().places {
            if let Some(given) = &mut place.given {
                change(given);
                place.ticket.iter().for_each(Ticket::revoke);
            }
        }
    }
}

impl<W, G> Line<W, G> {
    fn push(&mut self, wants: W, waker: Waker, ticket: Option<Ticket>) -> usize {
        let before = self.waiting.last;
        let place = Place { waker: Some(waker), given: None, wants, before, after: None, ticket };
        let key = self.places.insert(place);
        match before {
            Some(before) => self.places[before].after = Some(key),
            None => self.waiting.first = Some(key),
        }
        self.waiting.last = Some(key);
        key
    }

    fn will_wake(&self, key: usize, waker: &Waker) -> bool {
        self.places[key].waker.as_ref().is_some_and(|known| known.will_wake(waker))
    }

    /// Another waker and another ticket for a place. What was there before is to be dropped while the list is not borrowed.
    fn rewrite(
        &mut self,
        key: usize,
        waker: Waker,
        ticket: Option<Ticket>,
    ) -> (Option<Waker>, Option<Ticket>) {
        let place = &mut self.places[key];
        (place.waker.replace(waker), core::mem::replace(&mut place.ticket, ticket))
    }

    fn give_first(&mut self, what: G) -> Waker {
        let key = self.waiting.first.expect("somebody waits");
        self.unlink(key);
        let place = &mut self.places[key];
        place.given = Some(what);
        place.ticket.iter().for_each(Ticket::grant);
        place.waker.take().expect("who waits has a waker")
    }

    /// Moves all who wait to the end of those who are to be woken.
    fn give_all(&mut self, what: &G)
    where
        G: Clone,
    {
        let Chain { first, last } = core::mem::take(&mut self.waiting);
        let mut next = first;
        while let Some(key) = next {
            let place = &mut self.places[key];
            place.given = Some(what.clone());
            next = place.after;
        }
        let first = first.expect("somebody waits");
        match self.waking.last {
            Some(before) => {
                self.places[before].after = Some(first);
                self.places[first].before = Some(before);
            }
            None => self.waking.first = Some(first),
        }
        self.waking.last = last;
    }

    fn next_to_wake(&mut self) -> Option<Waker> {
        let key = self.waking.first?;
        self.unlink(key);
        let waker = self.places[key].waker.take();
        Some(waker.expect("who is to be woken has a waker"))
    }

    fn remove(&mut self, key: usize) -> Left<G> {
        if self.places[key].waker.is_some() {
            self.unlink(key);
        }
        let Place { given, waker, ticket, .. } = self.places.remove(key);
        Left { given, waker, _ticket: ticket }
    }

    /// Takes a place out of its chain.
    fn unlink(&mut self, key: usize) {
        let Place { before, after, .. } = self.places[key];
        let chain = match self.places[key].given {
            None => &mut self.waiting,
            Some(_) => &mut self.waking,
        };
        match before {
            Some(before) => self.places[before].after = after,
            None => chain.first = after,
        }
        match after {
            Some(after) => self.places[after].before = before,
            None => chain.last = before,
        }
    }
}
