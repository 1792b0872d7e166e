//! `items`: a list whose tree may be gone down more than once.

use core::fmt::Debug;
use core::ops::RangeInclusive;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// A list of so many items. Shrinks to fewer of them, from the first on, and then to smaller ones. Unlike a list of
/// `proptest::collection` it shrinks anew when other parts of a plan have become smaller; see [`together`](crate::together()).
///
/// # Panics
/// When the range is empty.
pub fn items<S: Strategy>(item: S, count: RangeInclusive<usize>) -> Items<S> {
    assert!(!count.is_empty(), "a list has some number of items: {count:?} has none");
    Items { item, count }
}

/// The strategy of [`items`].
#[derive(Clone, Debug)]
pub struct Items<S> {
    item: S,
    count: RangeInclusive<usize>,
}

/// The tree of [`Items`].
#[derive(Clone, Debug)]
pub struct ItemsTree<T> {
    items: Vec<(T, IsThere)>,
    count_min: usize,
    next: Step,
    /// What `complicate` takes back.
    last: Option<Step>,
}

type IsThere = bool;

#[derive(Clone, Copy, Debug)]
enum Step {
    Drop(usize),
    Shrink(usize),
}

impl<S: Strategy> Strategy for Items<S> {
    type Tree = ItemsTree<S::Tree>;
    type Value = Vec<S::Value>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let count = self.count.new_tree(runner)?.current();
        let items = (0..count).map(|_| self.item.new_tree(runner).map(|item| (item, true)));
        let items = items.collect::<Result<_, _>>()?;
        Ok(ItemsTree { items, count_min: *self.count.start(), next: Step::Drop(0), last: None })
    }
}

impl<T: ValueTree> ValueTree for ItemsTree<T> {
    type Value = Vec<T::Value>;

    fn current(&self) -> Vec<T::Value> {
        let there = self.items.iter().filter(|(_, is_there)| *is_there);
        there.map(|(item, _)| item.current()).collect()
    }

    fn simplify(&mut self) -> bool {
        self.last = None;
        loop {
            let step = self.next;
            let is_done = match step {
                Step::Drop(place) => self.drop_item(place),
                Step::Shrink(place) => self.shrink_item(place),
            };
            match is_done {
                Some(true) => {
                    self.last = Some(step);
                    return true;
                }
                Some(false) => {}
                None => return false,
            }
        }
    }

    fn complicate(&mut self) -> bool {
        match self.last {
            None => false,
            Some(Step::Drop(place)) => {
                self.items[place].1 = true;
                self.last = None;
                true
            }
            Some(Step::Shrink(place)) => self.items[place].0.complicate(),
        }
    }
}

impl<T: ValueTree> ItemsTree<T> {
    /// Whether it has become smaller; the next step is another one in any case. `None`: the pass is over.
    fn drop_item(&mut self, place: usize) -> Option<bool> {
        let there_count = self.items.iter().filter(|(_, is_there)| *is_there).count();
        let Some((_, is_there)) = self.items.get_mut(place) else {
            self.next = Step::Shrink(0);
            return Some(false);
        };
        self.next = Step::Drop(place + 1);
        let drops = *is_there && there_count > self.count_min;
        *is_there &= !drops;
        Some(drops)
    }

    /// The same.
    fn shrink_item(&mut self, place: usize) -> Option<bool> {
        let Some((item, is_there)) = self.items.get_mut(place) else {
            self.next = Step::Drop(0);
            return None;
        };
        if *is_there && item.simplify() {
            return Some(true);
        }
        self.next = Step::Shrink(place + 1);
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number;

    fn pass<T: ValueTree>(tree: &mut T, fails: impl Fn(T::Value) -> bool) {
        let mut goes_on = tree.simplify();
        while goes_on {
            goes_on = if fails(tree.current()) { tree.simplify() } else { tree.complicate() };
        }
    }

    #[test]
    fn what_is_left_is_what_is_needed() {
        let mut runner = TestRunner::deterministic();
        for _ in 0..100 {
            let mut tree = items(number(0..=99), 8..=20).new_tree(&mut runner).unwrap();
            let (all, count_min) = (tree.current(), 8);
            assert!((8..=20).contains(&all.len()));
            let big = all.iter().filter(|number| **number >= 70).count();
            pass(&mut tree, |list: Vec<u64>| {
                list.iter().filter(|number| **number >= 70).count() == big
            });
            let left = tree.current();
            assert_eq!(left.iter().filter(|number| **number == 70).count(), big, "{left:?}");
            assert!(left.iter().all(|number| [0, 70].contains(number)), "{left:?}");
            assert_eq!(left.len(), big.max(count_min));
            // The pass is over, and the next one begins anew.
            pass(&mut tree, |_| true);
            assert_eq!(tree.current(), [0; 8]);
        }
    }
}
