//! `Recording`: the choices of a run, as they were made.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainspring_executor::driver::Instant;
use mainspring_sim_allocator::Entered;

use crate::tape::Tape;

/// Keeps the choices of all worlds that are made from one [`Source`](crate::Source), also of a run that panics. Clones
/// are handles to the same one.
#[derive(Clone, Debug)]
pub struct Recording {
    seed: u64,
    made: Arc<Mutex<Made>>,
}

#[derive(Debug, Default)]
struct Made {
    count: u64,
    event_count: u64,
    virtual_end: Instant,
    host_count: usize,
    chosen: Vec<Chosen>,
    /// One of which somebody wants to know, also if it is the harmless one.
    wanted: Option<u64>,
    found: Option<Chosen>,
}

/// A choice whose answer was not the harmless one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The virtual time.
    pub at: Instant,
    /// Whose, and what about: `server/task`.
    pub stream: Arc<str>,
    /// How many choices of the run came before, of all streams.
    pub number: u64,
    /// How many choices of the stream came before.
    pub position: u64,
    /// The answer; above 0, but for one that [explains](crate::harness::Explained) a failure by being harmless.
    pub value: u64,
    /// What it is below.
    pub bound: u64,
    /// What a scenario calls it: see [`World::choose_named`](crate::World::choose_named).
    pub name: Option<&'static str>,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, stream, position, value, bound, .. } = self;
        write!(f, "{at} {stream}, choice {position}: {value} of 0..{bound}")
    }
}

impl Recording {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, made: Arc::default() }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answer, and keeps it unless it is the harmless one.
    /// It is given its number.
    pub(crate) fn add(&self, value: u64, chosen: impl FnOnce(u64) -> Chosen) {
        let mut made = self.made();
        let number = made.count;
        made.count += 1;
        let is_wanted = made.wanted == Some(number);
        if value > 0 || is_wanted {
            let _bookkeeping = Entered::nobody();
            let chosen = chosen(number);
            made.found = made.found.take().or_else(|| is_wanted.then(|| chosen.clone()));
            if value > 0 {
                made.chosen.push(chosen);
            }
        }
    }

    /// Keeps the choice with that number as well, whatever its answer.
    pub(crate) fn want(&self, number: u64) {
        self.made().wanted = Some(number);
    }

    /// The choice that was wanted, once it was made.
    pub(crate) fn found(&self) -> Option<Chosen> {
        self.made().found.clone()
    }

    /// Adds the events and hosts of a world that ends, at that instant.
    pub(crate) fn add_world(&self, event_count: u64, end: Instant, host_count: usize) {
        let mut made = self.made();
        made.host_count += host_count;
        made.event_count += event_count;
        made.virtual_end = made.virtual_end.max(end);
    }

    /// Turns and network events of all worlds that were dropped.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.made().event_count
    }

    /// The latest virtual time in any of the worlds that were dropped.
    #[must_use]
    pub fn virtual_end(&self) -> Instant {
        self.made().virtual_end
    }

    /// The hosts of all worlds that were dropped.
    #[must_use]
    pub fn host_count(&self) -> usize {
        self.made().host_count
    }

    /// How many choices were made, with those whose answer was 0.
    #[must_use]
    pub fn choice_count(&self) -> u64 {
        self.made().count
    }

    /// Those whose answer was not 0, in the order in which they were made.
    #[must_use]
    pub fn chosen(&self) -> Vec<Chosen> {
        self.made().chosen.clone()
    }

    /// The tape that makes the same choices again.
    #[must_use]
    pub fn tape(&self) -> Tape {
        let mut tape = Tape::new(self.seed);
        for chosen in &self.made().chosen {
            tape.set(&chosen.stream, chosen.position, chosen.value);
        }
        tape
    }
}
