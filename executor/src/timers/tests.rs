//! Timers against the plainest model there is, and the bounds that the top of `mod.rs` promises.

use std::sync::Arc;
use std::task::Wake;

use proptest::prelude::*;

use super::*;

/// A deadline or a moment, in terms of what is so when its turn comes.
#[derive(Clone, Copy, Debug)]
enum When {
    Exactly(u64),
    /// So many nanoseconds after the moment that firing has come to.
    After(u64),
    /// On the first moment of a slot of that level, or so many nanoseconds beside it.
    Boundary(u32, i64),
    /// With the armed timer of that index, counted round, or so many nanoseconds beside it.
    With(usize, i64),
    /// With the earliest armed timer, or so many nanoseconds beside it.
    WithNext(i64),
}

#[derive(Clone, Debug)]
enum Op {
    Set(When),
    Remove(usize),
    Reset(usize, When),
    FireOne(When),
    FireAll(When),
}

/// What the timers should be: a list, in the order of setting, that is searched for the smallest.
#[derive(Default)]
struct Model {
    armed: Vec<Armed>,
    /// The latest moment that firing came to.
    reached: u64,
    /// Deadlines that were given up and that firing has not come to: one wake-up for nothing is allowed at each.
    given_up: Vec<u64>,
    timers_set: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Armed {
    deadline: u64,
    key: u32,
    /// Its ordinal.
    task: TaskId,
}

impl Model {
    fn moment(&self, when: When) -> u64 {
        match when {
            When::Exactly(nanos) => nanos,
            When::After(nanos) => self.reached.saturating_add(nanos),
            When::Boundary(level, beside) => {
                let width = 1_u64 << (6 * level);
                let next = (self.reached / width).saturating_add(1).saturating_mul(width);
                next.saturating_add_signed(beside)
            }
            When::With(index, beside) => match self.armed.len() {
                0 => self.reached,
                count => self.armed[index % count].deadline.saturating_add_signed(beside),
            },
            When::WithNext(beside) => match self.first() {
                None => self.reached,
                Some(first) => self.armed[first].deadline.saturating_add_signed(beside),
            },
        }
    }

    fn first(&self) -> Option<usize> {
        // `min_by_key` gives the first of equals: the order of setting.
        (0..self.armed.len()).min_by_key(|index| self.armed[*index].deadline)
    }

    fn next_deadline(&self) -> Option<u64> {
        self.first().map(|first| self.armed[first].deadline)
    }

    fn give_up(&mut self, index: usize) -> Armed {
        let armed = self.armed.remove(index);
        self.given_up.push(armed.deadline);
        armed
    }

    fn reach(&mut self, moment: u64) {
        self.reached = self.reached.max(moment);
        self.given_up.retain(|deadline| *deadline > self.reached);
    }
}

/// Timers, and the model that they are held against.
#[derive(Default)]
struct Pair {
    timers: Timers,
    model: Model,
}

impl Pair {
    fn set(&mut self, deadline: u64) {
        let task = TaskId(self.model.timers_set);
        self.model.timers_set += 1;
        let key = self.timers.set(Instant::from_nanos(deadline), waiter(task));
        self.model.armed.push(Armed { deadline: deadline.max(self.model.reached), key, task });
    }

    fn remove(&mut self, index: usize) {
        let armed = self.model.give_up(index);
        assert!(!self.timers.has_fired(armed.key));
        assert!(self.timers.remove(armed.key).is_some());
    }

    fn reset(&mut self, index: usize, deadline: u64) {
        let mut armed = self.model.give_up(index);
        self.timers.reset(armed.key, Instant::from_nanos(deadline));
        armed.deadline = deadline.max(self.model.reached);
        self.model.armed.push(armed);
    }

    /// Whether one was due.
    fn fire_one(&mut self, now: u64) -> bool {
        let expected = self.model.first().filter(|first| self.model.armed[*first].deadline <= now);
        let fired = self.timers.fire(Instant::from_nanos(now));
        let Some(index) = expected else {
            assert!(fired.is_none(), "nothing was due at {now}");
            self.model.reach(now);
            return false;
        };
        let expected = self.model.armed.remove(index);
        let (deadline, _) = fired.expect("a timer was due");
        assert_eq!(deadline.as_nanos(), expected.deadline);
        assert!(self.timers.has_fired(expected.key), "{expected:?} was due first");
        assert!(self.timers.remove(expected.key).is_none(), "its waker was given away");
        self.model.reach(expected.deadline);
        true
    }

    fn apply(&mut self, op: &Op) {
        let count = self.model.armed.len();
        match *op {
            Op::Set(when) => self.set(self.model.moment(when)),
            Op::Remove(_) | Op::Reset(..) if count == 0 => {}
            Op::Remove(index) => self.remove(index % count),
            Op::Reset(index, when) => self.reset(index % count, self.model.moment(when)),
            Op::FireOne(when) => {
                self.fire_one(self.model.moment(when));
            }
            Op::FireAll(when) => {
                let now = self.model.moment(when);
                while self.fire_one(now) {}
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.timers.armed_count(), self.model.armed.len());
        let expected = self.model.next_deadline();
        let answer = self.timers.next_deadline().map(Instant::as_nanos);
        let is_early =
            answer < expected && answer.is_some_and(|at| self.model.given_up.contains(&at));
        assert!(answer == expected || is_early, "{answer:?} instead of {expected:?}");

        let mut in_order = self.model.armed.clone();
        in_order.sort_by_key(|armed| armed.deadline);
        let record = |timer: TimerRecord| (timer.deadline.as_nanos(), timer.task);
        let listed: Vec<_> = self.timers.armed().into_iter().map(record).collect();
        let expected: Vec<_> =
            in_order.iter().map(|armed| (armed.deadline, Some(armed.task))).collect();
        assert_eq!(listed, expected);
    }
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

fn waiter(task: TaskId) -> Waiter {
    Waiter {
        waker: Waker::noop().clone(),
        task: Some(task),
        since: Instant::START,
        origin: Location::caller(),
    }
}

/// Numbers of all magnitudes alike.
fn magnitudes() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..u64::BITS).prop_map(|(number, shift)| number >> shift)
}

fn beside() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(0), Just(-1), Just(1)]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        2 => (0..50_u64).prop_map(When::Exactly),
        2 => prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), magnitudes()].prop_map(When::Exactly),
        3 => (0..50_u64).prop_map(When::After),
        4 => magnitudes().prop_map(When::After),
        4 => (0..11_u32, beside()).prop_map(|(level, beside)| When::Boundary(level, beside)),
        6 => (any::<usize>(), beside()).prop_map(|(index, beside)| When::With(index, beside)),
    ]
}

fn moment() -> impl Strategy<Value = When> {
    prop_oneof![2 => when(), 3 => beside().prop_map(When::WithNext)]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => when().prop_map(Op::Set),
        2 => any::<usize>().prop_map(Op::Remove),
        2 => (any::<usize>(), when()).prop_map(|(index, when)| Op::Reset(index, when)),
        2 => moment().prop_map(Op::FireOne),
        2 => moment().prop_map(Op::FireAll),
    ];
    proptest::collection::vec(op, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Deadlines and jumps of all lengths, ties, removals and resets, now and in between.
    #[test]
    fn fires_as_a_sorted_list_would(ops in ops()) {
        let mut pair = Pair::default();
        for op in &ops {
            pair.apply(op);
            pair.check();
        }
        while pair.fire_one(u64::MAX) {
            pair.check();
        }
        assert_eq!(pair.timers.next_deadline(), None);
    }
}

/// The first moment of each level, as seen from the start, and the moments beside it.
fn boundaries() -> Vec<u64> {
    let around = |level: u32| {
        let first = 1_u64 << (6 * level);
        [first - 1, first, first + 1, 2 * first - 1, 2 * first, first.saturating_mul(63)]
    };
    (0..11).flat_map(around).chain([u64::MAX - 1, u64::MAX]).collect()
}

#[test]
fn each_boundary_between_slots_is_kept() {
    // Set from each, in both directions, twice each for the ties; not a nanosecond early.
    for start in boundaries() {
        let mut pair = Pair::default();
        assert!(!pair.fire_one(start));
        for deadline in boundaries().into_iter().chain(boundaries().into_iter().rev()) {
            pair.set(deadline);
        }
        pair.check();
        while let Some(next) = pair.model.next_deadline() {
            assert!(next <= start || !pair.fire_one(next - 1));
            assert!(pair.fire_one(next));
            pair.check();
        }
    }
}

/// Nine timers within each of a row of slots, of a level with 17 ms to each.
fn crowd(pair: &mut Pair) {
    const SLOT: u64 = 1 << 24;
    for slot in 1..=40 {
        for timer in 0..9 {
            pair.set(slot * SLOT + timer * 1_000_003);
        }
    }
}

#[test]
fn the_next_deadline_is_exact_while_nothing_is_removed() {
    // Also between the timers of one turn.
    let mut pair = Pair::default();
    crowd(&mut pair);
    while let Some(next) = pair.model.next_deadline() {
        assert_eq!(pair.timers.next_deadline(), Some(Instant::from_nanos(next)));
        assert!(pair.fire_one(next));
    }
}

#[test]
fn a_removed_timer_brings_at_most_one_wake_up_for_nothing() {
    // Who does nothing but what `next_deadline` says meets each timer on time all the same.
    for keep_each in [2, 3, 9, 10, 360] {
        let mut pair = Pair::default();
        crowd(&mut pair);
        let count = pair.model.armed.len();
        for index in (0..count).rev().filter(|index| index % keep_each != 0) {
            pair.remove(index);
        }
        let removed = count - pair.model.armed.len();
        let mut for_nothing = 0;
        while let Some(at) = pair.timers.next_deadline() {
            pair.check();
            for_nothing += usize::from(!pair.fire_one(at.as_nanos()));
        }
        assert!(pair.model.armed.is_empty());
        assert!(for_nothing <= removed, "{for_nothing} for {removed}");
        // A slot forgets all at once when it is opened.
        assert!(for_nothing <= 40, "{for_nothing} for 40 slots");
        assert!(for_nothing > 0 || keep_each != 10, "the first of most slots were removed");
    }
}

#[test]
fn removing_the_last_of_a_slot_brings_no_wake_up() {
    let mut pair = Pair::default();
    for deadline in [u64::MAX, 7_000_000_000, 5, 5] {
        pair.set(deadline);
    }
    for expected in [Some(5), Some(7_000_000_000), Some(u64::MAX), None] {
        pair.remove(pair.model.armed.len() - 1);
        assert_eq!(pair.timers.next_deadline().map(Instant::as_nanos), expected);
    }
}

#[test]
fn who_waits_may_change() {
    let mut timers = Timers::default();
    // One with an allocation of its own: what stands for nothing is not the same everywhere.
    let waker = Waker::from(Arc::new(Nobody));
    let key =
        timers.set(Instant::from_nanos(5), Waiter { waker: waker.clone(), ..waiter(TaskId(1)) });
    assert!(timers.will_wake(key, &waker));
    let since = Instant::from_nanos(3);
    let _waker =
        timers.set_waiter(key, Waiter { waker: waker.clone(), since, ..waiter(TaskId(2)) });
    let record = &timers.armed()[0];
    assert_eq!((record.task, record.since), (Some(TaskId(2)), since));
    assert!(timers.fire(Instant::from_nanos(5)).is_some());
    assert!(!timers.will_wake(key, &waker), "its waker was given away");
    assert!(timers.armed().is_empty());
}

#[test]
fn an_empty_list_of_timers_allocates_nothing() {
    let timers = Timers::default();
    assert_eq!(timers.timers.capacity(), 0);
    assert_eq!(timers.next_deadline(), None);
    assert_eq!(timers.armed_count(), 0);
}
