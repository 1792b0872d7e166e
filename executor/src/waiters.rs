//! `Waiters`: the tasks that wait for one thing, which happens for all of them at once: a token that is cancelled, a
//! scope that is empty. It does not know what the thing is.
//!
//! Order: they are woken in the order in which they came.
//!
//! Invariant: no waker is cloned, woken or dropped while the list is borrowed, for each of these may run foreign code.

use core::cell::{Cell, RefCell};
use core::task::{Context, Waker};

use slab::Slab;

use crate::waits::Ticket;

/// See the file.
#[derive(Default)]
pub(crate) struct Waiters {
    waiters: RefCell<Slab<Waiter>>,
    /// How many have come so far.
    arrivals: Cell<u64>,
    /// How often all were taken. A place from before is no place any more.
    rounds: Cell<u64>,
}

struct Waiter {
    /// Its ordinal: places are used again, so they do not tell who came first.
    ordinal: u64,
    waker: Waker,
}

/// A place among the waiters, held by the future that waits. It must [`leave`](Waiters::leave) when it is dropped.
pub(crate) struct Place {
    key: usize,
    round: u64,
    /// Dropped with the place.
    ticket: Option<Ticket>,
}

impl Waiters {
    /// Waits: whoever polls now is woken when the thing happens. `note` tells the shard that it waits.
    pub(crate) fn wait(
        &self,
        place: &mut Option<Place>,
        cx: &Context<'_>,
        note: impl FnOnce() -> Option<Ticket>,
    ) {
        let round = self.rounds.get();
        let known = place.as_ref().filter(|place| self.is_current(place)).map(|place| place.key);
        let Some(key) = known else {
            let waker = cx.waker().clone();
            if self.rounds.get() != round {
                // The clone is foreign code, and made it happen: look again.
                return waker.wake();
            }
            let ordinal = self.arrivals.replace(self.arrivals.get() + 1);
            let key = self.waiters.borrow_mut().insert(Waiter { ordinal, waker });
            *place = Some(Place { key, round: self.rounds.get(), ticket: note() });
            return;
        };
        if self.waiters.borrow()[key].waker.will_wake(cx.waker()) {
            return;
        }
        let waker = cx.waker().clone();
        if self.rounds.get() != round {
            return waker.wake();
        }
        let before = core::mem::replace(&mut self.waiters.borrow_mut()[key].waker, waker);
        drop(before);
        if let Some(place) = place {
            // Another task may wait from now on.
            place.ticket = note();
        }
    }

    /// Gives up a place, if there is one.
    pub(crate) fn leave(&self, place: &mut Option<Place>) {
        let Some(place) = place.take() else { return };
        if self.is_current(&place) {
            let waiter = self.waiters.borrow_mut().remove(place.key);
            drop(waiter);
        }
    }

    /// Takes all, in their order: to be woken by the caller, with nothing borrowed.
    pub(crate) fn take(&self) -> impl Iterator<Item = Waker> + use<> {
        self.rounds.set(self.rounds.get() + 1);
        let waiters = self.waiters.take();
        let mut waiters: Vec<Waiter> = waiters.into_iter().map(|(_, waiter)| waiter).collect();
        waiters.sort_unstable_by_key(|waiter| waiter.ordinal);
        waiters.into_iter().map(|waiter| waiter.waker)
    }

    fn is_current(&self, place: &Place) -> bool {
        place.round == self.rounds.get()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Counted>, Waker) {
        let counted = Arc::<Counted>::default();
        (Arc::clone(&counted), counted.into())
    }

    #[test]
    fn who_came_first_is_woken_first_wherever_its_place_is() {
        let waiters = Waiters::default();
        let wakers: Vec<_> = (0..3).map(|_| waker().1).collect();
        let mut places = [None, None, None];
        waiters.wait(&mut places[0], &Context::from_waker(&wakers[0]), || None);
        waiters.wait(&mut places[1], &Context::from_waker(&wakers[1]), || None);
        waiters.leave(&mut places[0]);
        waiters.wait(&mut places[2], &Context::from_waker(&wakers[2]), || None);
        let taken: Vec<Waker> = waiters.take().collect();
        assert_eq!(taken.len(), 2);
        assert!(taken[0].will_wake(&wakers[1]) && taken[1].will_wake(&wakers[2]));
    }

    #[test]
    fn a_place_from_before_is_not_that_of_another() {
        let waiters = Waiters::default();
        let (old, new) = (waker(), waker());
        let (mut left, mut place) = (None, None);
        waiters.wait(&mut left, &Context::from_waker(&old.1), || None);
        waiters.take().for_each(Waker::wake);
        waiters.wait(&mut place, &Context::from_waker(&new.1), || None);
        waiters.leave(&mut left);
        waiters.take().for_each(Waker::wake);
        let woken = [old.0.0.load(Ordering::Relaxed), new.0.0.load(Ordering::Relaxed)];
        assert_eq!(woken, [1, 1]);
    }

    #[test]
    fn the_latest_waker_counts_and_no_other_is_kept() {
        let waiters = Waiters::default();
        let (first, second) = (waker(), waker());
        let mut place = None;
        waiters.wait(&mut place, &Context::from_waker(&first.1), || None);
        waiters.wait(&mut place, &Context::from_waker(&second.1), || None);
        waiters.wait(&mut place, &Context::from_waker(&second.1), || None);
        assert_eq!((Arc::strong_count(&first.0), Arc::strong_count(&second.0)), (2, 3));
        waiters.leave(&mut place);
        assert_eq!(Arc::strong_count(&second.0), 2);
        assert_eq!(waiters.take().count(), 0);
    }
}
