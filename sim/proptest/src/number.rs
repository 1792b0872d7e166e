//! `number`: a number whose tree may be gone down more than once.

use core::ops::RangeInclusive;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// A number of a range, each as likely. Shrinks to the lowest: at once if it can, else by halves. Unlike a range it shrinks anew
/// when other parts of a plan have become smaller; see [`together`](crate::together()).
///
/// # Panics
/// When the range is empty.
#[must_use]
pub fn number(range: RangeInclusive<u64>) -> Number {
    assert!(!range.is_empty(), "a number is one of a range: {range:?} has none");
    Number { range, is_drawn: true }
}

/// The highest number of a range, which shrinks as [`number`] does.
pub(crate) fn highest(range: RangeInclusive<u64>) -> Number {
    Number { is_drawn: false, ..number(range) }
}

/// The strategy of [`number`].
#[derive(Clone, Debug)]
pub struct Number {
    range: RangeInclusive<u64>,
    is_drawn: bool,
}

/// The tree of [`Number`].
#[derive(Clone, Debug)]
pub struct NumberTree {
    lowest: u64,
    /// The last that was taken.
    taken: u64,
    current: u64,
    /// None below is tried any more in this pass.
    from: u64,
}

impl Strategy for Number {
    type Tree = NumberTree;
    type Value = u64;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let lowest = *self.range.start();
        let value =
            if self.is_drawn { self.range.new_tree(runner)?.current() } else { *self.range.end() };
        Ok(NumberTree { lowest, taken: value, current: value, from: lowest })
    }
}

impl ValueTree for NumberTree {
    type Value = u64;

    fn current(&self) -> u64 {
        self.current
    }

    fn simplify(&mut self) -> bool {
        self.taken = self.current;
        if self.from >= self.taken {
            self.from = self.lowest;
            return false;
        }
        let is_first = self.from == self.lowest;
        self.current = if is_first { self.lowest } else { self.between() };
        true
    }

    fn complicate(&mut self) -> bool {
        if self.current == self.taken {
            return false;
        }
        self.from = self.current + 1;
        self.current = self.between();
        true
    }
}

impl NumberTree {
    /// The middle of what is left to try, which in the end is what was taken last.
    fn between(&self) -> u64 {
        self.from + (self.taken - self.from) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One pass down the tree.
    fn pass(tree: &mut NumberTree, fails: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut tried = Vec::new();
        let mut goes_on = tree.simplify();
        while goes_on {
            tried.push(tree.current());
            goes_on = if fails(tree.current()) { tree.simplify() } else { tree.complicate() };
        }
        tried
    }

    #[test]
    fn it_ends_at_the_least_that_is_taken_and_begins_anew() {
        let mut runner = TestRunner::deterministic();
        for least in [3, 4, 50, 99, 100] {
            let mut tree = highest(3..=100).new_tree(&mut runner).unwrap();
            let tried = pass(&mut tree, |number| number >= least);
            assert_eq!(tree.current(), least);
            assert_eq!(tried[0], 3, "the lowest first");
            assert!(tried.len() < 12, "by halves: {tried:?}");
            // What was needed before is not any more.
            pass(&mut tree, |_| true);
            assert_eq!(tree.current(), 3);
            assert!(pass(&mut tree, |_| true).is_empty());
        }
    }

    #[test]
    fn all_of_a_range_are_drawn() {
        let mut runner = TestRunner::deterministic();
        let mut draw = || number(1..=5).new_tree(&mut runner).unwrap().current();
        let drawn: Vec<_> = (0..600).map(|_| draw()).collect();
        let count = |number| drawn.iter().filter(|drawn| **drawn == number).count();
        assert!((1..=5).all(|number| count(number) > 60), "{drawn:?}");
        assert_eq!((1..=5).map(count).sum::<usize>(), 600);
    }
}
