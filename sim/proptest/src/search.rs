//! `Search`: makes a plan small, as long as some run with it fails in the same way. It knows the tree of a plan, and of runs only
//! whether they fail.
//!
//! A smaller plan shifts what is drawn, and so may hide a failure that it still has. Each plan is therefore tried with the
//! choices that showed the failure last, then with all choices at 0, and then with those of a few other seeds. Where a failure needs
//! no chance at all the second shows it, and from then on nothing shifts any more. A tape that was made small shifts as little.

use std::collections::BTreeMap;

use mainspring_sim::{Source, Tape};
use proptest::strategy::ValueTree;

/// So many other seeds are tried with each plan.
const OTHERS: u64 = 3;

/// So often the tree is gone down: two parts that only fit together may creep towards less by a step each time.
const PASSES_MAX: u32 = 10;

/// What decides the choices of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choices {
    /// They are drawn.
    Seed(u64),
    /// They are on a tape, or 0.
    Tape(Tape),
}

impl From<Choices> for Source {
    fn from(choices: Choices) -> Self {
        match choices {
            Choices::Seed(seed) => seed.into(),
            Choices::Tape(tape) => tape.into(),
        }
    }
}

/// See the file.
pub(crate) struct Search<P, F> {
    plan: P,
    choices: Choices,
    seed: u64,
    attempt_count: u64,
    attempts_max: u64,
    fails: F,
    is_minimal: bool,
    /// Plans by their text, and whether they fail: a tree that goes back to one shows it again.
    tried: BTreeMap<String, bool>,
}

impl<P: core::fmt::Debug, F: FnMut(&P, &Choices) -> bool> Search<P, F> {
    /// From a plan that fails with a seed, in at most so many runs. `fails` runs a plan, and tells whether it fails so.
    pub(crate) fn new(plan: P, seed: u64, attempts_max: u64, fails: F) -> Self {
        let tried = BTreeMap::from([(format!("{plan:?}"), true)]);
        let choices = Choices::Seed(seed);
        let (attempt_count, is_minimal) = (0, false);
        let mut search =
            Self { plan, choices, seed, attempt_count, attempts_max, fails, is_minimal, tried };
        search.try_without_choices();
        search
    }

    /// The smallest plan so far.
    pub(crate) fn plan(&self) -> &P {
        &self.plan
    }

    /// With which it fails.
    pub(crate) fn choices(&self) -> Choices {
        self.choices.clone()
    }

    /// Runs so far.
    pub(crate) fn attempt_count(&self) -> u64 {
        self.attempt_count
    }

    /// Whether the tree has nothing smaller; else the attempts ran out, or the passes.
    pub(crate) fn is_minimal(&self) -> bool {
        self.is_minimal
    }

    pub(crate) fn into_plan(self) -> P {
        self.plan
    }

    /// Goes down the tree, whose value is the plan, again and again, until that shows nothing new. Whether the plan has become
    /// smaller.
    pub(crate) fn run(&mut self, tree: &mut impl ValueTree<Value = P>) -> bool {
        let first = format!("{:?}", self.plan);
        self.is_minimal = false;
        for _ in 0..PASSES_MAX {
            let before = format!("{:?}", self.plan);
            self.go_down(tree);
            self.is_minimal = !self.is_over() && format!("{:?}", self.plan) == before;
            if self.is_minimal || self.is_over() {
                break;
            }
        }
        format!("{:?}", self.plan) != first
    }

    /// Goes down once more with another tape that the plan fails with.
    pub(crate) fn run_with(&mut self, tape: Tape, tree: &mut impl ValueTree<Value = P>) -> bool {
        self.choices = Choices::Tape(tape);
        self.tried = BTreeMap::from([(format!("{:?}", self.plan), true)]);
        self.run(tree)
    }

    /// Once. A tree whose last step was taken back shows what it had before, which is known to fail, and goes on from there.
    fn go_down(&mut self, tree: &mut impl ValueTree<Value = P>) {
        let mut goes_on = tree.simplify();
        while goes_on && !self.is_over() {
            let fails = self.try_plan(tree.current());
            goes_on = if fails { tree.simplify() } else { tree.complicate() };
        }
    }

    fn is_over(&self) -> bool {
        self.attempt_count >= self.attempts_max
    }

    fn attempt(&mut self, plan: &P, choices: &Choices) -> bool {
        if self.is_over() {
            return false;
        }
        self.attempt_count += 1;
        (self.fails)(plan, choices)
    }

    fn without_choices(&self) -> Choices {
        Choices::Tape(Tape::new(self.seed))
    }

    fn try_without_choices(&mut self) {
        let none = self.without_choices();
        if self.is_over() {
            return;
        }
        self.attempt_count += 1;
        if (self.fails)(&self.plan, &none) {
            self.choices = none;
        }
    }

    /// Whether a plan fails, with any of the choices; then it is the smallest so far.
    fn try_plan(&mut self, plan: P) -> bool {
        let text = format!("{plan:?}");
        if let Some(fails) = self.tried.get(&text) {
            return *fails;
        }
        let choices = self.choices_to_try();
        let found = choices.into_iter().find(|choices| self.attempt(&plan, choices));
        self.tried.insert(text, found.is_some());
        let Some(choices) = found else { return false };
        self.plan = plan;
        self.choices = choices;
        true
    }

    /// Those of the last failure first.
    fn choices_to_try(&self) -> Vec<Choices> {
        let none = self.without_choices();
        if self.choices == none {
            return vec![none];
        }
        let seeds = (0..=OTHERS).map(|number| Choices::Seed(self.seed.wrapping_add(number)));
        let mut all = vec![self.choices.clone(), none];
        all.extend(seeds.filter(|choices| *choices != self.choices));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::num::u32::BinarySearch;

    use super::*;

    struct Done {
        plan: u32,
        choices: Choices,
        is_minimal: bool,
        run_count: u64,
    }

    /// Shrinks a number from 1000.
    fn shrink(attempts_max: u64, fails: impl Fn(u32, &Choices) -> bool) -> Done {
        let mut run_count = 0;
        let mut search = Search::new(1000, 7, attempts_max, |plan: &u32, choices: &Choices| {
            run_count += 1;
            fails(*plan, choices)
        });
        search.run(&mut BinarySearch::new(1000));
        let (plan, choices, is_minimal) = (search.plan, search.choices, search.is_minimal);
        assert_eq!(search.attempt_count, run_count);
        Done { plan, choices, is_minimal, run_count }
    }

    #[test]
    fn what_needs_no_chance_is_run_without_any() {
        let done = shrink(1000, |plan, _| plan >= 300);
        assert_eq!((done.plan, done.is_minimal), (300, true));
        assert_eq!(done.choices, Choices::Tape(Tape::new(7)));
        assert!(done.run_count < 15, "one run for each plan: {}", done.run_count);
    }

    #[test]
    fn a_smaller_plan_may_fail_with_another_seed_only() {
        let done = shrink(1000, |plan, choices| match choices {
            Choices::Seed(7) => plan >= 700,
            Choices::Seed(9) => plan >= 3,
            _ => false,
        });
        assert_eq!((done.plan, done.choices, done.is_minimal), (3, Choices::Seed(9), true));
    }

    #[test]
    fn a_smaller_plan_may_fail_without_any_choices_only() {
        let none = Choices::Tape(Tape::new(7));
        let done = shrink(1000, |plan, choices| match choices {
            Choices::Seed(7) => plan >= 700,
            Choices::Seed(_) => false,
            Choices::Tape(_) => (3..700).contains(&plan),
        });
        assert_eq!((done.plan, done.choices, done.is_minimal), (3, none, true));
    }

    #[test]
    fn it_stops_when_the_attempts_run_out() {
        let done = shrink(3, |plan, choices| plan >= 2 && *choices == Choices::Seed(7));
        assert_eq!((done.run_count, done.is_minimal), (3, false));
        assert!(done.plan < 1000, "what was found is kept");
        let done = shrink(0, |_, _| true);
        assert_eq!((done.run_count, done.plan, done.is_minimal), (0, 1000, false));
    }
}
