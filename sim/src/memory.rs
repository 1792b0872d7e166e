//! `Memory`: how many bytes of each host were alive at the ends of a scenario's phases, and whose grow and grow.

use core::fmt;

use crate::host::Host;

/// Fewer notes than this show nothing.
const NOTES_MIN: usize = 4;

/// A host that has more and more memory. See [`World::memory_growth`](crate::World::memory_growth).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryGrowth {
    /// Its name.
    pub host: String,
    /// Its live bytes, at each note since it was there.
    pub bytes: Vec<usize>,
    /// By so many bytes it grew in the phase in which it grew least.
    pub least: usize,
}

impl fmt::Display for MemoryGrowth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, bytes, least } = self;
        write!(f, "{host}: at least {least} bytes more after each phase: {bytes:?}")
    }
}

/// The notes, each with the hosts that there were, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Vec<usize>>);

impl Memory {
    pub(crate) fn note(&mut self, hosts: &[Host]) {
        self.0.push(hosts.iter().map(Host::bytes_live).collect());
    }

    pub(crate) fn growth(&self, hosts: &[Host]) -> Vec<MemoryGrowth> {
        let count = self.0.len();
        assert!(
            count >= NOTES_MIN,
            "memory was noted {count} times, and growth shows in {NOTES_MIN}"
        );
        let names = hosts.iter().map(|host| host.name().to_owned());
        names.enumerate().filter_map(|(index, host)| self.growth_of(index, host)).collect()
    }

    fn growth_of(&self, index: usize, host: String) -> Option<MemoryGrowth> {
        let bytes: Vec<usize> = self.0.iter().filter_map(|note| note.get(index).copied()).collect();
        let steps =
            bytes.windows(2).map(|pair| pair[1].checked_sub(pair[0]).filter(|more| *more > 0));
        let steps: Option<Vec<usize>> = steps.collect();
        let least = steps?.into_iter().min()?;
        (bytes.len() >= NOTES_MIN).then_some(MemoryGrowth { host, bytes, least })
    }
}
