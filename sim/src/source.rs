//! `Source`: where the choices of a run come from.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::orders::Path;
use crate::recording::Recording;
use crate::script::Script;
use crate::tape::Tape;

/// Where the choices of a run come from: a seed, a tape, the bytes of a fuzzer, or a search that
/// [enumerates](crate::Orders) the orders.
///
/// A number is the seed: `World::new(7, config)`. A scenario that makes several worlds of one run makes them all from
/// clones of one source, and so has one tape for all of them. A source and its clones are good for one run: another one takes
/// another source of the same seed, tape or bytes; a [`Scenario`](crate::harness::Scenario) sees to that.
#[derive(Clone, Debug)]
pub struct Source {
    seed: u64,
    answers: Answers,
    recording: Option<Recording>,
    /// Worlds that were made from it.
    worlds: Arc<AtomicU32>,
}

/// What a script answers with. Shared with whoever started the run, which may be on a thread of its own.
#[derive(Clone, Debug)]
pub(crate) enum Answers {
    /// What is drawn from the seed.
    Seed,
    Tape(Arc<Tape>),
    Bytes(Arc<Mutex<Bytes>>),
    /// Orders as a path says; what is drawn for all else.
    Orders(Arc<Mutex<Path>>),
    /// What a tape says, and from some choice on what is drawn.
    Prefix(Arc<Prefix>),
}

impl Source {
    /// Choices from the bytes of a fuzzer: each takes as many as its bound needs, and when none is left all are 0. The
    /// entropy is that of seed 0.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Bytes { bytes: bytes.into(), taken: 0 };
        Self::new(0, Answers::Bytes(Arc::new(Mutex::new(bytes))))
    }

    pub(crate) fn orders(seed: u64, path: &Arc<Mutex<Path>>) -> Self {
        Self::new(seed, Answers::Orders(Arc::clone(path)))
    }

    /// The first `kept` choices of a tape, and then others than it has: those that are drawn from `seed`. The entropy is that of
    /// the tape.
    pub(crate) fn prefix(tape: &Arc<Tape>, kept: u64, seed: u64) -> Self {
        let prefix = Prefix { tape: Arc::clone(tape), kept, seed, made: AtomicU64::new(0) };
        Self::new(tape.seed(), Answers::Prefix(Arc::new(prefix)))
    }

    /// What choices are drawn from that are drawn.
    pub(crate) fn choice_seed(&self) -> u64 {
        match &self.answers {
            Answers::Prefix(prefix) => prefix.seed,
            _ => self.seed,
        }
    }

    fn new(seed: u64, answers: Answers) -> Self {
        Self { seed, answers, recording: None, worlds: Arc::default() }
    }

    /// The same for one more run, whose first world is the first again. What a fuzzer's bytes have given is gone.
    pub(crate) fn again(self) -> Self {
        Self { worlds: Arc::default(), ..self }
    }

    /// Keeps the choices of the worlds that are made from it, and from its clones, from now on.
    pub fn record(&mut self) -> Recording {
        self.recording.insert(Recording::new(self.seed)).clone()
    }

    /// Its tape, if it is one.
    #[must_use]
    pub fn tape(&self) -> Option<&Tape> {
        match &self.answers {
            Answers::Tape(tape) => Some(tape),
            _ => None,
        }
    }

    /// What decides all that is no choice.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// Whether choices are drawn, all of them or those behind a point.
    pub(crate) fn is_drawn(&self) -> bool {
        matches!(self.answers, Answers::Seed | Answers::Prefix(_))
    }

    pub(crate) fn enumerates_orders(&self) -> bool {
        matches!(self.answers, Answers::Orders(_))
    }

    /// The answers for the next world. `None`: all of them are drawn, and nobody wants to know.
    pub(crate) fn script(&self) -> Option<Script> {
        let world = self.worlds.fetch_add(1, Ordering::Relaxed);
        if matches!(self.answers, Answers::Seed) && self.recording.is_none() {
            return None;
        }
        Some(Script::new(self.answers.clone(), self.recording.clone(), world))
    }
}

impl From<u64> for Source {
    fn from(seed: u64) -> Self {
        Self::new(seed, Answers::Seed)
    }
}

impl From<Tape> for Source {
    fn from(tape: Tape) -> Self {
        Self::new(tape.seed(), Answers::Tape(Arc::new(tape)))
    }
}

/// The begin of a tape.
#[derive(Debug)]
pub(crate) struct Prefix {
    tape: Arc<Tape>,
    kept: u64,
    seed: u64,
    /// Choices of all worlds so far.
    made: AtomicU64,
}

impl Prefix {
    /// The tape, as long as it is asked.
    pub(crate) fn next(&self) -> Option<&Tape> {
        let is_kept = self.made.fetch_add(1, Ordering::Relaxed) < self.kept;
        is_kept.then_some(&*self.tape)
    }
}

/// Bytes that become answers.
#[derive(Debug)]
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    taken: usize,
}

impl Bytes {
    /// The next answer. A small number is a small answer, so that a fuzzer's small changes are small.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let mut number = 0;
        let mut room = 1_u128;
        while room < u128::from(bound) {
            let Some(byte) = self.bytes.get(self.taken) else { break };
            self.taken += 1;
            number |= u128::from(*byte) * room;
            room <<= 8;
        }
        u64::try_from(number % u128::from(bound)).expect("below a u64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_takes_the_bytes_it_needs() {
        let mut bytes = Bytes { bytes: vec![3, 9, 1, 2, 255], taken: 0 };
        assert_eq!(bytes.below(1), 0, "takes none");
        assert_eq!(bytes.below(256), 3);
        assert_eq!(bytes.below(4), 1);
        assert_eq!(bytes.below(1000), 1 + 2 * 256);
        assert_eq!(bytes.below(u64::MAX), 255, "the rest");
        assert_eq!(bytes.below(2), 0, "nothing is left");
    }
}
