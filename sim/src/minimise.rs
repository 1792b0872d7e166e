//! `minimise`: makes the tape of a failing run smaller, as long as the run fails in the same way. It knows tapes, and
//! nothing of rooms.
//!
//! Delta debugging (Zeller, Hildebrandt: *Simplifying and isolating failure-inducing input*, TSE 2002) over the choices
//! that are not 0: groups of them become 0, by label, by stream, by halves of all, down to single ones; then those that are
//! left become lower, and come earlier.

use crate::tape::Tape;

/// A smaller tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimised {
    /// It fails as the first one did.
    pub tape: Tape,
    /// How many runs that took.
    pub attempt_count: u64,
    /// No group of choices and no single one can be dropped, and no answer be halved towards one that does not fail; else the
    /// attempts ran out.
    pub is_minimal: bool,
}

/// A choice that is not 0: stream, position, value.
type Choice = (String, u64, u64);

/// Looks for the smallest tape that fails as `tape` does, in at most `attempts_max` runs.
///
/// `replay` runs a tape. Where that fails in the same way, it gives the tape of the choices that were really made
/// ([`Recording::tape`](crate::Recording::tape)), else `None`. A run that fails in another way is another bug.
///
/// ```
/// use mainspring_sim::{Tape, minimise};
///
/// let mut tape = Tape::new(7);
/// for position in 0..100 {
///     tape.set("server/task", position, 3);
///     tape.set("client/latency", position, 1_000_000);
/// }
/// // It fails where the 42nd packet of the client is late by a millisecond half, and a task comes before another then.
/// let fails = |tape: &Tape| tape.get("client/latency", 41) >= 500_000 && tape.get("server/task", 60) > 0;
/// let small = minimise(&tape, 1000, |tape| fails(tape).then(|| tape.clone()));
/// assert!(small.is_minimal);
/// assert_eq!(
///     small.tape.iter().collect::<Vec<_>>(),
///     [("client/latency", 41, 500_000), ("server/task", 60, 1)],
/// );
/// ```
pub fn minimise(
    tape: &Tape,
    attempts_max: u64,
    replay: impl FnMut(&Tape) -> Option<Tape>,
) -> Minimised {
    let mut search = Search { best: tape.clone(), attempt_count: 0, attempts_max, replay };
    loop {
        let before = search.best.clone();
        search.try_choices(Vec::new());
        search.drop_groups(label);
        search.drop_groups(|choice| &choice.0);
        search.drop_parts();
        search.lower();
        search.move_forward();
        let is_minimal = search.best == before && !search.is_over();
        if is_minimal || search.is_over() {
            let Search { best, attempt_count, .. } = search;
            return Minimised { tape: best, attempt_count, is_minimal };
        }
    }
}

/// What a stream is about, whosoever it is.
fn label(choice: &Choice) -> &str {
    choice.0.rsplit_once('/').map_or(&choice.0, |(_, label)| label)
}

struct Search<F> {
    best: Tape,
    attempt_count: u64,
    attempts_max: u64,
    replay: F,
}

impl<F: FnMut(&Tape) -> Option<Tape>> Search<F> {
    fn is_over(&self) -> bool {
        self.attempt_count >= self.attempts_max
    }

    fn choices(&self) -> Vec<Choice> {
        let choices = self.best.iter();
        choices.map(|(stream, position, value)| (stream.to_owned(), position, value)).collect()
    }

    /// Runs other choices; true where they fail as well, and are fewer, lower or earlier: then they are the best.
    fn try_choices(&mut self, choices: impl IntoIterator<Item = Choice>) -> bool {
        let mut tape = Tape::new(self.best.seed());
        for (stream, position, value) in choices {
            tape.set(&stream, position, value);
        }
        if self.is_over() || size(&tape) >= size(&self.best) {
            return false;
        }
        self.attempt_count += 1;
        let Some(made) = (self.replay)(&tape) else { return false };
        // Choices that were not made, or had fewer answers, are not on it.
        self.best = if size(&made) < size(&tape) { made } else { tape };
        true
    }

    /// Tries without all choices of one group, for each group.
    fn drop_groups(&mut self, group: impl Fn(&Choice) -> &str) {
        let mut groups: Vec<_> = self.choices().iter().map(|one| group(one).to_owned()).collect();
        groups.sort_unstable();
        groups.dedup();
        for dropped in groups {
            let choices = self.choices();
            let is_kept = |choice: &Choice| group(choice) != dropped;
            if choices.iter().any(|choice| !is_kept(choice)) {
                self.try_choices(choices.into_iter().filter(is_kept));
            }
        }
    }

    /// Tries without each half of the choices, each quarter, and so on to each one. From behind: what comes late is often
    /// what came of it.
    fn drop_parts(&mut self) {
        let mut length = self.best.len().div_ceil(2);
        while length > 0 {
            let mut end = self.best.len();
            while end > 0 && !self.is_over() {
                let start = end.saturating_sub(length);
                let choices = self.choices();
                let (before, behind) = (&choices[..start], &choices[end..]);
                self.try_choices(before.iter().chain(behind).cloned());
                // Fewer may be left than were taken out.
                end = start.min(self.best.len());
            }
            length = if length == 1 { 0 } else { length.div_ceil(2) };
        }
    }

    /// Tries lower answers: 1, and then by halves what is between one that does not fail and one that does.
    fn lower(&mut self) {
        for (stream, position, value) in self.choices() {
            let mut lowest = 0;
            let mut highest = value;
            while lowest + 1 < highest && !self.is_over() {
                let middle = if lowest == 0 { 1 } else { lowest + (highest - lowest) / 2 };
                if self.best.get(&stream, position) != highest {
                    break;
                }
                if self.try_choices(replace(self.choices(), &stream, position, |choice| {
                    choice.2 = middle;
                })) {
                    highest = middle;
                } else {
                    lowest = middle;
                }
            }
        }
    }

    /// Tries each choice earlier in its stream, so that less has to happen before it.
    fn move_forward(&mut self) {
        for (stream, position, value) in self.choices() {
            let mut lowest = 0;
            let mut highest = position;
            while lowest < highest && !self.is_over() {
                let middle = lowest + (highest - lowest) / 2;
                if self.best.get(&stream, highest) != value {
                    break;
                }
                let is_free = self.best.get(&stream, middle) == 0;
                if is_free
                    && self.try_choices(replace(self.choices(), &stream, highest, |choice| {
                        choice.1 = middle;
                    }))
                {
                    highest = middle;
                } else {
                    lowest = middle + 1;
                }
            }
        }
    }
}

/// Other choices, with one of them changed.
fn replace(
    mut choices: Vec<Choice>,
    stream: &str,
    position: u64,
    change: impl FnOnce(&mut Choice),
) -> Vec<Choice> {
    let one = choices.iter_mut().find(|choice| choice.0 == stream && choice.1 == position);
    change(one.expect("it is on the tape"));
    choices
}

/// What is to become smaller: how many there are, then how high, then how late.
fn size(tape: &Tape) -> (usize, u128, u128) {
    let values = tape.iter().map(|(_, _, value)| u128::from(value)).sum();
    let positions = tape.iter().map(|(_, position, _)| u128::from(position)).sum();
    (tape.len(), values, positions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tape_of(choices: &[(u8, u64, u64)]) -> Tape {
        let mut tape = Tape::new(1);
        for (stream, position, value) in choices {
            tape.set(&format!("host-{stream}/label-{}", stream % 3), *position, *value);
        }
        tape
    }

    fn choices(count: usize) -> impl Strategy<Value = Vec<(u8, u64, u64)>> {
        prop::collection::vec((0_u8..6, 0_u64..40, 1_u64..1000), 1..count)
    }

    proptest! {
        /// Whatever set of choices a failure needs, with answers of at least so much: nothing else is left, and nothing higher.
        #[test]
        fn what_is_left_is_what_it_needs(noise in choices(200), needed in choices(6)) {
            let mut whole = tape_of(&noise);
            let needed = tape_of(&needed);
            for (stream, position, value) in needed.iter() {
                whole.set(stream, position, value + 100);
            }
            let mut run_count = 0;
            let small = minimise(&whole, 10_000, |tape| {
                run_count += 1;
                let fails = |(stream, position, value)| tape.get(stream, position) >= value;
                needed.iter().all(fails).then(|| tape.clone())
            });
            prop_assert_eq!(small.tape, needed);
            prop_assert!(small.is_minimal);
            prop_assert_eq!(small.attempt_count, run_count);
        }
    }

    #[test]
    fn what_may_come_earlier_does() {
        let mut tape = Tape::new(1);
        tape.set("a/task", 900, 5);
        let small = minimise(&tape, 1000, |tape| {
            let is_right = |(_, position, value)| position >= 3 && value >= 2;
            tape.iter().any(is_right).then(|| tape.clone())
        });
        assert_eq!(small.tape.iter().collect::<Vec<_>>(), [("a/task", 3, 2)]);
    }

    #[test]
    fn what_was_really_chosen_counts() {
        let whole = tape_of(&[(1, 1, 900), (2, 2, 900)]);
        // None at all, and then without the first: of three answers, the last.
        let small = minimise(&whole, 2, |tape| {
            let mut made = Tape::new(1);
            for (stream, position, value) in tape.iter() {
                made.set(stream, position, value.min(2));
            }
            (!made.is_empty()).then_some(made)
        });
        assert_eq!(small.tape.iter().collect::<Vec<_>>(), [("host-2/label-2", 2, 2)]);
    }

    #[test]
    fn it_stops_when_the_attempts_run_out() {
        let whole = tape_of(&[(1, 1, 900), (2, 2, 900), (3, 3, 900)]);
        let mut run_count = 0;
        let small = minimise(&whole, 7, |tape| {
            run_count += 1;
            (tape.len() == 3).then(|| tape.clone())
        });
        assert_eq!((run_count, small.attempt_count, small.is_minimal), (7, 7, false));
        assert_eq!(small.tape.len(), 3);
    }

    #[test]
    fn what_fails_without_any_is_empty() {
        let whole = tape_of(&[(1, 1, 900), (2, 2, 900)]);
        let small = minimise(&whole, 1000, |tape| Some(tape.clone()));
        assert!(small.tape.is_empty() && small.is_minimal);
        assert_eq!(small.attempt_count, 1);
    }
}
