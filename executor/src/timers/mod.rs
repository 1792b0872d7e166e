//! The deadlines of a shard: which waker is due when. It does not know what time it is, only how far firing has come.
//!
//! Invariant: timers fire in the order of their deadlines, and those of one deadline in the order in which they were
//! set. A deadline that firing has passed when it is set counts as the moment that firing has come to.
//!
//! # What it costs
//! - Setting, resetting and removing take constant time: they touch the timer, its slot and its part of a list.
//! - Firing takes constant time a timer, spread unevenly: each timer moves down through the wheel, at most ten times in
//!   its life however far time jumps, and the turn that enters a slot moves all that is in it. That each move leads down
//!   is asserted at each move.
//! - [`Timers::next_deadline`] reads what each slot remembers as its earliest deadline. That is exact while timers are only
//!   set and fired. Where the earliest of a slot was removed or reset it is too early, never too late, until firing comes
//!   to that moment and opens the slot: each removed timer brings at most one wake-up for nothing.

mod list;
#[cfg(test)]
mod tests;
mod wheel;

use core::panic::Location;
use core::task::Waker;

use slab::Slab;

use crate::instant::Instant;
use crate::ledger::TimerRecord;
use crate::task::TaskId;

use list::Spot;
use wheel::{Place, Wheel};

/// Armed timers, and fired ones that nobody has removed yet.
#[derive(Default)]
pub(crate) struct Timers {
    timers: Slab<Timer>,
    /// The keys of those that are armed.
    wheel: Wheel,
    armed_count: usize,
}

const _: () = assert!(size_of::<Timers>() <= 256, "a shard without timers is small");

/// Who waits for a timer.
pub(crate) struct Waiter {
    pub(crate) waker: Waker,
    pub(crate) task: Option<TaskId>,
    pub(crate) since: Instant,
    /// Where in the program.
    pub(crate) origin: &'static Location<'static>,
}

struct Timer {
    /// `None` once it has fired.
    waiter: Option<Waiter>,
    deadline: Instant,
    /// Where the wheel has it while it is armed.
    spot: Spot,
}

const _: () = assert!(size_of::<Timer>() <= 64, "a timer is as large as a cache line");

impl Timers {
    /// Arms a timer; gives the key for the other calls.
    ///
    /// # Panics
    /// At 2³² - 1 timers.
    pub(crate) fn set(&mut self, deadline: Instant, waiter: Waiter) -> u32 {
        let deadline = deadline.max(self.wheel.reached());
        let key = u32::try_from(self.timers.vacant_key()).expect("fewer than 2^32 timers");
        let spot = self.wheel.push(deadline, key);
        self.timers.insert(Timer { waiter: Some(waiter), deadline, spot });
        self.armed_count += 1;
        key
    }

    /// Moves the deadline of an armed timer, as if it was removed and set again.
    ///
    /// # Panics
    /// When it has fired.
    pub(crate) fn reset(&mut self, key: u32, deadline: Instant) {
        assert!(!self.has_fired(key), "a timer that has fired is set anew");
        self.unlink(key);
        let deadline = deadline.max(self.wheel.reached());
        let spot = self.wheel.push(deadline, key);
        let timer = &mut self.timers[key as usize];
        (timer.deadline, timer.spot) = (deadline, spot);
    }

    /// Forgets a timer. Gives the waker of one that has not fired, to be dropped where no borrow is held.
    pub(crate) fn remove(&mut self, key: u32) -> Option<Waker> {
        if !self.has_fired(key) {
            self.unlink(key);
            self.armed_count -= 1;
        }
        self.timers.remove(key as usize).waiter.map(|waiter| waiter.waker)
    }

    /// Whether the timer has fired.
    pub(crate) fn has_fired(&self, key: u32) -> bool {
        self.timers[key as usize].waiter.is_none()
    }

    /// Whether firing would wake the task that `waker` wakes.
    pub(crate) fn will_wake(&self, key: u32, waker: &Waker) -> bool {
        let waiter = self.timers[key as usize].waiter.as_ref();
        waiter.is_some_and(|waiter| waiter.waker.will_wake(waker))
    }

    /// Lets somebody else wait for an armed timer. Gives the waker from before, to be dropped where no borrow is held.
    ///
    /// # Panics
    /// When it has fired.
    pub(crate) fn set_waiter(&mut self, key: u32, waiter: Waiter) -> Waker {
        let before = self.timers[key as usize].waiter.replace(waiter);
        before.expect("a timer that has fired is set anew").waker
    }

    /// The earliest deadline. May be too early for a while after a removal, never too late: see the top of this file.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.first().map(|(_, earliest)| earliest)
    }

    /// Fires one timer that is due at `now`, if there is one: gives its deadline and whom to wake.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<(Instant, Waker)> {
        while let Some((place, earliest)) = self.wheel.first() {
            if earliest > now {
                if self.wheel.is_entered(place, now) {
                    self.open(place, now);
                }
                break;
            }
            if place.is_exact() {
                return Some(self.fire_first(place));
            }
            self.open(place, earliest);
        }
        self.wheel.reach(now);
        None
    }

    /// Fires the timer that was set first of those in a slot.
    fn fire_first(&mut self, place: Place) -> (Instant, Waker) {
        let key = self.wheel.first_key(place);
        self.unlink(key);
        self.armed_count -= 1;
        let timer = &mut self.timers[key as usize];
        self.wheel.reach(timer.deadline);
        let waiter = timer.waiter.take().expect("only armed timers are in the wheel");
        (timer.deadline, waiter.waker)
    }

    /// Lets time come to `moment`, which lies in the slot of the timers that are due next. They move to lower levels.
    fn open(&mut self, place: Place, moment: Instant) {
        let mut opened = self.wheel.enter(place, moment);
        while let Some(keys) = self.wheel.take_keys(&mut opened) {
            for key in keys {
                let timer = &mut self.timers[key as usize];
                let is_lower = place.is_above(timer.deadline, self.wheel.reached());
                assert!(is_lower, "opening a slot brings its timers down");
                timer.spot = self.wheel.push(timer.deadline, key);
            }
        }
    }

    fn unlink(&mut self, key: u32) {
        let timer = &self.timers[key as usize];
        let unlinked = self.wheel.remove(timer.deadline, timer.spot);
        assert_eq!(unlinked, key, "a timer knows where the wheel has it");
    }

    /// The deadlines of all armed timers and who waits for them, in an order that is the same in each run.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = (Instant, &Waiter)> {
        let timers = self.wheel.keys().map(|key| &self.timers[key as usize]);
        timers.filter_map(|timer| Some((timer.deadline, timer.waiter.as_ref()?)))
    }

    /// All armed timers, in firing order.
    pub(crate) fn armed(&self) -> Vec<TimerRecord> {
        let timers = self.wheel.keys().map(|key| &self.timers[key as usize]);
        let mut armed: Vec<TimerRecord> = timers.filter_map(Timer::record).collect();
        // Stable: timers of one deadline are in one slot, in their order.
        armed.sort_by_key(|timer| timer.deadline);
        armed
    }

    /// How many timers are armed.
    pub(crate) fn armed_count(&self) -> usize {
        self.armed_count
    }
}

impl Timer {
    fn record(&self) -> Option<TimerRecord> {
        let &Waiter { task, since, origin, .. } = self.waiter.as_ref()?;
        Some(TimerRecord { deadline: self.deadline, task, since, origin })
    }
}
