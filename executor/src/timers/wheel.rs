//! `Wheel`: the keys of armed timers, sorted by deadline as far as need be. It does not know what a timer is.
//!
//! A deadline is a number of eleven digits to base 64, and the wheel has a level for each digit. A key lies at the level
//! of the highest digit in which its deadline differs from `reached`, the moment that time has come to, and there in
//! the slot of that digit. So a slot of level 0 is one nanosecond wide, one of level 4 is 17 ms, one of level 10 centuries.
//!
//! ```text
//!   reached    3 17 40 22     level 3: a slot for each first digit after  3            ··· later ···
//!   deadline   3 17 51  9     level 2: a slot for each second digit after 17
//!                   ▲         level 1: a slot for each third digit after 40           ◄─ in slot 51
//!                differs      level 0: a slot for each fourth digit from 22 on        ··· sooner ···
//! ```
//!
//! All of a level is due before all of the next one, and within a level slots are due in their order. When time enters
//! a slot, the slot is opened: its keys have one more digit in common with `reached` and move to lower levels, in
//! their order. Each list keeps the order in which timers were set, and by level 0 all of a list have one deadline: nothing
//! is ever sorted.
//!
//! This is the hierarchical timing wheel of Varghese and Lauck ("Hashed and Hierarchical Timing Wheels", 1987), with the
//! level chosen as in the radix heap of Ahuja, Mehlhorn, Orlin and Tarjan ("Faster Algorithms for the Shortest Path
//! Problem", 1990), which lets time jump as far as it likes.
//!
//! Invariant: no deadline lies before `reached`, and each key is where `reached` and its deadline say.

use super::list::{Keys, List, Lists, Spot};
use crate::instant::Instant;

/// The bits of a digit.
const DIGIT_BITS: u32 = 6;

/// The slots of a level: one for each value of a digit.
const SLOT_COUNT: usize = 1 << DIGIT_BITS;

/// The levels: one for each digit of an `Instant`.
const LEVEL_COUNT: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;

/// See the top of this file.
#[derive(Default)]
pub(super) struct Wheel {
    /// Made when they are first used: a shard with few timers has few.
    levels: [Option<Box<Level>>; LEVEL_COUNT],
    /// A bit for each level that has keys.
    occupied: u16,
    /// The keys of all slots.
    lists: Lists,
    /// The moment that time has come to.
    reached: Instant,
}

struct Level {
    /// A bit for each slot that has keys.
    occupied: u64,
    slots: [Slot; SLOT_COUNT],
}

#[derive(Clone, Copy)]
struct Slot {
    /// Nothing in the list is due before this. It means nothing while the list is empty.
    earliest: Instant,
    list: List,
}

/// Which slot of which level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    level: usize,
    slot: usize,
}

impl Wheel {
    pub(super) fn reached(&self) -> Instant {
        self.reached
    }

    /// Adds a key, behind the others of its slot.
    pub(super) fn push(&mut self, deadline: Instant, key: u32) -> Spot {
        assert!(deadline >= self.reached, "time has not passed what is armed");
        let place = Place::of(deadline, self.reached);
        let level = self.levels[place.level].get_or_insert_with(Box::default);
        let slot = &mut level.slots[place.slot];
        if slot.list.is_empty() {
            slot.earliest = deadline;
            level.occupied |= 1 << place.slot;
            self.occupied |= 1 << place.level;
        } else {
            slot.earliest = slot.earliest.min(deadline);
        }
        self.lists.push(&mut slot.list, key)
    }

    /// Takes out the key of that deadline at that spot.
    pub(super) fn remove(&mut self, deadline: Instant, spot: Spot) -> u32 {
        let place = Place::of(deadline, self.reached);
        let level = self.levels[place.level].as_mut().expect("what was pushed has a level");
        let list = &mut level.slots[place.slot].list;
        let key = self.lists.remove(list, spot);
        if list.is_empty() {
            self.vacate(place);
        }
        key
    }

    /// The slot that is due next, and its earliest deadline. That is the first slot of the first level: slots that time
    /// has passed are empty.
    pub(super) fn first(&self) -> Option<(Place, Instant)> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize;
        let slots = self.levels[level].as_ref().expect("an occupied level exists");
        let slot = slots.occupied.trailing_zeros() as usize;
        Some((Place { level, slot }, slots.slots[slot].earliest))
    }

    /// The key that was pushed first of those in an occupied slot.
    pub(super) fn first_key(&self, place: Place) -> u32 {
        let level = self.levels[place.level].as_ref().expect("an occupied level exists");
        let list = &level.slots[place.slot].list;
        self.lists.keys(list).next().expect("an occupied slot has keys")
    }

    /// Whether `moment`, which is not after any deadline, lies in the first slot.
    pub(super) fn is_entered(&self, first: Place, moment: Instant) -> bool {
        moment > self.reached && first == Place::of(moment, self.reached)
    }

    /// Lets time come to `moment`, which lies in the first slot. Gives what the slot held, to be pushed again.
    pub(super) fn enter(&mut self, first: Place, moment: Instant) -> List {
        assert_eq!(first, Place::of(moment, self.reached), "time enters the slot that is opened");
        let level = self.levels[first.level].as_mut().expect("an occupied level exists");
        let opened = core::mem::replace(&mut level.slots[first.slot].list, List::EMPTY);
        self.vacate(first);
        self.reached = moment;
        opened
    }

    /// Takes the next keys of an opened slot.
    pub(super) fn take_keys(&mut self, opened: &mut List) -> Option<Keys> {
        self.lists.take_keys(opened)
    }

    /// Lets time come to `moment`, which is not after any deadline and in no occupied slot above level 0.
    pub(super) fn reach(&mut self, moment: Instant) {
        self.reached = self.reached.max(moment);
    }

    /// All keys: those of one deadline in the order in which they were pushed.
    pub(super) fn keys(&self) -> impl Iterator<Item = u32> {
        let slots = self.levels.iter().flatten().flat_map(|level| &level.slots);
        slots.flat_map(|slot| self.lists.keys(&slot.list))
    }

    /// Notes that a slot is empty.
    fn vacate(&mut self, place: Place) {
        let level = self.levels[place.level].as_mut().expect("an occupied level exists");
        level.occupied &= !(1 << place.slot);
        if level.occupied == 0 {
            self.occupied &= !(1 << place.level);
        }
    }
}

impl Place {
    /// Where a deadline belongs when time has come to `reached`.
    fn of(deadline: Instant, reached: Instant) -> Self {
        // Where no bit differs, it is as if the lowest did.
        let differing = (deadline.as_nanos() ^ reached.as_nanos()) | 1;
        let level = differing.ilog2() / DIGIT_BITS;
        let digit = (deadline.as_nanos() >> (level * DIGIT_BITS)) % (1 << DIGIT_BITS);
        let slot = usize::try_from(digit).expect("a digit is below 64");
        Self { level: level as usize, slot }
    }

    /// Whether all that is here has the same deadline.
    pub(super) fn is_exact(self) -> bool {
        self.level == 0
    }

    /// Whether this is at a higher level than where a deadline belongs when time has come to `reached`.
    pub(super) fn is_above(self, deadline: Instant, reached: Instant) -> bool {
        self.level > Self::of(deadline, reached).level
    }
}

impl Default for Level {
    fn default() -> Self {
        let slot = Slot { earliest: Instant::START, list: List::EMPTY };
        Self { occupied: 0, slots: [slot; SLOT_COUNT] }
    }
}
