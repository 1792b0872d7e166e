//! `Orders`: all orders of a run that differ from the first-in first-out one in few places, one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use crate::source::Source;

/// Enumerates orders: which shard goes next, which of its ready tasks, which branch of a `select!` first. All else is
/// drawn from the seed, the same in each run. The run in which nobody is passed over comes first. A delay is one that is passed
/// over once, and bounds the search (Emmi, Qadeer, Rakamarić: *Delay-bounded scheduling*, POPL 2011).
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use mainspring_sim::{Orders, World, WorldConfig};
///
/// let mut firsts = Vec::new();
/// for source in Orders::new(0, 2) {
///     let world = World::new(source, WorldConfig::calm());
///     let host = world.host("host");
///     let first = Rc::new(Cell::new(None));
///     for task in 0..3 {
///         let first = Rc::clone(&first);
///         host.run(async move { first.set(first.get().or(Some(task))) });
///     }
///     world.run().expect("nothing can go wrong");
///     firsts.push(first.get());
/// }
/// assert_eq!(firsts, [0, 0, 1, 1, 2].map(Some));
/// ```
///
/// A room that is first-in first-out has them as well. Each source is good for one run, which has to be over before the next one is asked for.
#[derive(Debug)]
pub struct Orders {
    seed: u64,
    path: Arc<Mutex<Path>>,
    has_begun: bool,
}

impl Orders {
    /// All orders with at most so many delays.
    #[must_use]
    pub fn new(seed: u64, delays_max: u64) -> Self {
        let path = Path { steps: Vec::new(), next: 0, delays_max };
        Self { seed, path: Arc::new(Mutex::new(path)), has_begun: false }
    }
}

impl Iterator for Orders {
    type Item = Source;

    fn next(&mut self) -> Option<Source> {
        let mut path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_begun && !path.advance() {
            return None;
        }
        drop(path);
        self.has_begun = true;
        Some(Source::orders(self.seed, &self.path))
    }
}

/// The choices of the last run, in their order: a way through the tree of all runs.
#[derive(Debug)]
pub(crate) struct Path {
    steps: Vec<Step>,
    next: usize,
    delays_max: u64,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    value: u64,
    bound: u64,
}

impl Path {
    /// The next answer: as the path has it, and beyond its end 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let index = self.next;
        self.next += 1;
        if index == self.steps.len() {
            self.steps.push(Step { value: 0, bound });
        }
        // A run that is not the same again has other bounds.
        self.steps[index].value.min(bound - 1)
    }

    /// Goes on to the next run: the last step that can be another becomes that. False when there is none.
    fn advance(&mut self) -> bool {
        self.steps.truncate(self.next);
        self.next = 0;
        let mut delays: u64 = self.steps.iter().map(|step| step.value).sum();
        while let Some(step) = self.steps.last_mut() {
            if delays < self.delays_max && step.value + 1 < step.bound {
                step.value += 1;
                return true;
            }
            delays -= step.value;
            self.steps.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three choices among three: all paths with so many delays.
    fn paths(delays_max: u64) -> Vec<[u64; 3]> {
        let mut paths = Vec::new();
        let mut path = Path { steps: Vec::new(), next: 0, delays_max };
        loop {
            paths.push([0; 3].map(|_| path.below(3)));
            if !path.advance() {
                return paths;
            }
        }
    }

    #[test]
    fn each_path_comes_once() {
        assert_eq!(paths(0), [[0; 3]]);
        assert_eq!(paths(1).len(), 1 + 3);
        assert_eq!(paths(2).len(), 1 + 3 + 3 + 3);
        for delays_max in 0..7 {
            let mut all = paths(delays_max);
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
            assert!(all.iter().all(|path| path.iter().sum::<u64>() <= delays_max));
        }
        assert_eq!(paths(6).len(), 27);
    }

    #[test]
    fn what_comes_behind_a_change_is_found_anew() {
        let mut path = Path { steps: Vec::new(), next: 0, delays_max: 2 };
        assert_eq!((path.below(2), path.below(2)), (0, 0));
        assert!(path.advance());
        assert_eq!((path.below(2), path.below(2)), (0, 1));
        assert!(path.advance());
        assert_eq!(path.below(2), 1, "a shorter run");
        assert!(!path.advance(), "that was the last one");
    }
}
