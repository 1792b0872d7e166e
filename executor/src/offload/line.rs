//! `Line`: who waits for a place in a lane of the machine's queues, first come, first served.
//!
//! It does not know whether there is a place: whoever is first finds out by trying, when one of the shard's own jobs is
//! over.
//!
//! Invariant: the first in line is woken whenever a job of the shard is over, and whenever somebody else becomes the first;
//! he stays in line until he has a place or gives up. So a wake that reaches one who gives up is passed on.

use core::cell::{Cell, RefCell};
use core::task::Waker;
use std::collections::BTreeMap;

/// How many may be in line for a place in one lane of a shard; one more is refused. Each is a task that waits, so this is
/// about patience rather than memory: who is further behind waits for seconds.
pub const IN_LINE_MAX: usize = 4096;

/// The line of one lane.
#[derive(Default)]
pub(crate) struct Line {
    /// By place, which is the order in which they came. `None`: was woken, and has not asked since.
    waiting: RefCell<BTreeMap<u64, Option<Waker>>>,
    places: Cell<u64>,
}

impl Line {
    /// Whether one with this place, or none, may try: nobody is before him.
    pub(super) fn is_turn_of(&self, place: Option<u64>) -> bool {
        let first = self.waiting.borrow().first_key_value().map(|(first, _)| *first);
        first.is_none_or(|first| Some(first) == place)
    }

    /// Waits in line, at the end of it for one who has no place as yet. `None`: the line is full.
    pub(super) fn wait(&self, place: Option<u64>, waker: &Waker) -> Option<u64> {
        if place.is_some_and(|place| self.will_wake(place, waker)) {
            return place;
        }
        // Cloned and dropped with nothing borrowed: both may be foreign code.
        let waker = waker.clone();
        let mut waiting = self.waiting.borrow_mut();
        if place.is_none() && waiting.len() >= IN_LINE_MAX {
            return None;
        }
        let place = place.unwrap_or_else(|| self.places.replace(self.places.get() + 1));
        let before = waiting.insert(place, Some(waker));
        drop(waiting);
        drop(before);
        Some(place)
    }

    fn will_wake(&self, place: u64, waker: &Waker) -> bool {
        let waiting = self.waiting.borrow();
        let before = waiting.get(&place).and_then(Option::as_ref);
        before.is_some_and(|before| before.will_wake(waker))
    }

    /// Leaves the line, with a place in the queue or without. Whoever comes first then has his turn.
    pub(super) fn leave(&self, place: Option<u64>) {
        let Some(place) = place else { return };
        let was_first = self.is_turn_of(Some(place));
        let waker = self.waiting.borrow_mut().remove(&place);
        drop(waker);
        if was_first {
            self.next();
        }
    }

    /// There may be a place: wakes the first in line.
    pub(super) fn next(&self) {
        let first =
            self.waiting.borrow_mut().first_entry().and_then(|mut first| first.get_mut().take());
        if let Some(waker) = first {
            waker.wake();
        }
    }
}
