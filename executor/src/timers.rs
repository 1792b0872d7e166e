//! The deadlines of a shard: which waker is due when. It does not know what time it is.
//!
//! Invariant: timers fire in the order of their deadlines, and those of one deadline in the order in which they were
//! set.

use core::panic::Location;
use core::task::Waker;
use std::collections::BTreeMap;

use slab::Slab;

use crate::instant::Instant;

/// Armed timers.
#[derive(Default)]
pub(crate) struct Timers {
    entries: Slab<Timer>,
    /// Deadline, then order of setting; gives the key in `entries`.
    order: BTreeMap<(Instant, u64), usize>,
    sequence: u64,
}

struct Timer {
    waker: Waker,
    origin: &'static Location<'static>,
    /// Its key in `order`; `None` once it has fired.
    armed: Option<(Instant, u64)>,
}

impl Timers {
    /// Arms a timer; gives the key for the other calls.
    pub(crate) fn set(
        &mut self,
        deadline: Instant,
        waker: Waker,
        origin: &'static Location<'static>,
    ) -> usize {
        let place = (deadline, self.sequence);
        self.sequence += 1;
        let key = self.entries.insert(Timer { waker, origin, armed: Some(place) });
        self.order.insert(place, key);
        key
    }

    /// Forgets a timer, fired or not. Gives the waker back, to be dropped where no borrow is held.
    pub(crate) fn remove(&mut self, key: usize) -> Waker {
        let timer = self.entries.remove(key);
        if let Some(place) = timer.armed {
            self.order.remove(&place);
        }
        timer.waker
    }

    /// Whether the timer has fired.
    pub(crate) fn has_fired(&self, key: usize) -> bool {
        self.entries[key].armed.is_none()
    }

    /// Whether firing would wake the task that `waker` wakes.
    pub(crate) fn will_wake(&self, key: usize, waker: &Waker) -> bool {
        self.entries[key].waker.will_wake(waker)
    }

    /// Wakes another one when the timer fires. Gives the old waker back.
    pub(crate) fn set_waker(&mut self, key: usize, waker: Waker) -> Waker {
        core::mem::replace(&mut self.entries[key].waker, waker)
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.order.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Fires one timer that is due at `now`, if there is one: gives its deadline and whom to wake.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<(Instant, Waker)> {
        let first = self.order.first_entry()?;
        let (deadline, _) = *first.key();
        if deadline > now {
            return None;
        }
        let timer = &mut self.entries[first.remove()];
        timer.armed = None;
        Some((deadline, timer.waker.clone()))
    }

    /// Deadline and origin of each armed timer, in firing order.
    pub(crate) fn armed(&self) -> impl Iterator<Item = (Instant, &'static Location<'static>)> {
        self.order.iter().map(|((deadline, _), key)| (*deadline, self.entries[*key].origin))
    }

    /// How many timers are armed.
    pub(crate) fn armed_count(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Set(u64),
        Remove(usize),
        Fire(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            (0..50u64).prop_map(Op::Set),
            (0..20usize).prop_map(Op::Remove),
            (0..50u64).prop_map(Op::Fire),
        ];
        proptest::collection::vec(op, 0..60)
    }

    proptest! {
        /// Against the plainest model there is: a list, searched for the smallest.
        #[test]
        fn fires_as_a_sorted_list_would(ops in ops()) {
            let mut timers = Timers::default();
            let mut model: Vec<(u64, usize)> = Vec::new();
            for op in ops {
                match op {
                    Op::Set(at) => {
                        let key = timers.set(Instant::from_nanos(at), Waker::noop().clone(), Location::caller());
                        model.push((at, key));
                    }
                    Op::Remove(index) if index < model.len() => {
                        let (_, key) = model.remove(index);
                        prop_assert!(!timers.has_fired(key));
                        timers.remove(key);
                    }
                    Op::Remove(_) => {}
                    Op::Fire(now) => {
                        while let Some((deadline, _)) = timers.fire(Instant::from_nanos(now)) {
                            // `min_by_key` gives the first of equals: the order of setting.
                            let first = (0..model.len()).min_by_key(|i| model[*i].0).expect("the model has one, too");
                            let (at, key) = model.remove(first);
                            prop_assert_eq!(deadline, Instant::from_nanos(at));
                            prop_assert!(timers.has_fired(key));
                            timers.remove(key);
                        }
                        prop_assert!(model.iter().all(|(at, _)| *at > now));
                    }
                }
                prop_assert_eq!(timers.armed_count(), model.len());
                prop_assert_eq!(timers.next_deadline(), model.iter().map(|(at, _)| Instant::from_nanos(*at)).min());
            }
        }
    }
}
