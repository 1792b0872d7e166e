//! `Ports`: the ephemeral ports of a machine, handed out in turn. It knows no addresses: what takes a port is its users' affair.
//!
//! Invariant: to find a free port costs O(log n), whatever is taken, for each run of taken ports that is in the way; and ports
//! that are taken in turn are one run.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

/// Which ephemeral ports are taken, and which comes next.
#[derive(Debug)]
pub(crate) struct Ports {
    range: RangeInclusive<u16>,
    taken: Runs,
    next: u16,
}

impl Ports {
    /// The ports of `range`, which is not empty.
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        let next = *range.start();
        Self { range, taken: Runs::default(), next }
    }

    /// Takes the next free port that is not in `others`, in a circle: one that was given back rests as long as it can.
    pub(crate) fn take(&mut self, others: &Runs) -> Option<u16> {
        let port = self.pass_next(others)?;
        self.taken.insert(port);
        Some(port)
    }

    /// The port that [`Ports::take`] would take, which stays free: for users that share it with others of their kind.
    pub(crate) fn pass_next(&mut self, others: &Runs) -> Option<u16> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let port = self.free_from(self.next, others).or_else(|| self.free_from(first, others))?;
        self.next = if port == last { first } else { port + 1 };
        Some(port)
    }

    /// The first free port from `port` on.
    fn free_from(&self, mut port: u16, others: &Runs) -> Option<u16> {
        loop {
            let free = others.free_from(self.taken.free_from(port)?)?;
            if free > *self.range.end() {
                return None;
            }
            if free == port {
                return Some(port);
            }
            port = free;
        }
    }

    /// Takes a certain port, that a program names. False: it is taken, here or in `others`. Ports that are not ephemeral are
    /// always free here: their listeners know each other.
    pub(crate) fn take_named(&mut self, port: u16, others: &Runs) -> bool {
        !self.range.contains(&port) || !others.contains(port) && self.taken.insert(port)
    }

    /// Gives all ports back. The next to be taken is the same: a kernel that starts begins at a place of its own.
    pub(crate) fn give_all_back(&mut self) {
        self.taken = Runs::default();
    }

    /// Gives a port back, of whatever kind.
    pub(crate) fn give_back(&mut self, port: u16) {
        self.taken.remove(port);
    }
}

/// A set of ports, kept as runs of ports that follow each other: the first of each, and its last. No two touch.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: BTreeMap<u16, u16>,
}

impl Runs {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        self.run_of(port).is_some()
    }

    /// The run that a port is in.
    fn run_of(&self, port: u16) -> Option<(u16, u16)> {
        let (first, last) = self.runs.range(..=port).next_back()?;
        (*last >= port).then_some((*first, *last))
    }

    /// The first port from `port` on that is not in here.
    fn free_from(&self, port: u16) -> Option<u16> {
        self.run_of(port).map_or(Some(port), |(_, last)| last.checked_add(1))
    }

    /// False: it is in here already.
    pub(crate) fn insert(&mut self, port: u16) -> bool {
        if self.contains(port) {
            return false;
        }
        let behind = port.checked_add(1).and_then(|next| self.runs.remove(&next));
        let before = port.checked_sub(1).and_then(|before| self.run_of(before));
        let first = before.map_or(port, |(first, _)| first);
        self.runs.insert(first, behind.unwrap_or(port));
        true
    }

    /// Does nothing where it is not in here.
    pub(crate) fn remove(&mut self, port: u16) {
        let Some((first, last)) = self.run_of(port) else { return };
        self.runs.remove(&first);
        if first < port {
            self.runs.insert(first, port - 1);
        }
        if port < last {
            self.runs.insert(port + 1, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_go_round() {
        let none = Runs::default();
        let mut ports = Ports::new(100..=200);
        assert_eq!(ports.take(&none), Some(100));
        ports.give_back(100);
        for port in 101..=200 {
            assert_eq!(ports.take(&none), Some(port));
        }
        assert_eq!(ports.take(&none), Some(100));
        assert_eq!(ports.take(&none), None);
        ports.give_back(150);
        assert!(!ports.take_named(151, &none));
        assert!(ports.take_named(99, &none) && ports.take_named(99, &none), "not ephemeral");
        assert_eq!(ports.take(&none), Some(150));
    }

    #[test]
    fn all_ports_there_are_may_be_ephemeral() {
        let none = Runs::default();
        let mut ports = Ports::new(1..=u16::MAX);
        for port in 1..=u16::MAX {
            assert_eq!(ports.take(&none), Some(port));
        }
        assert_eq!(ports.take(&none), None);
        assert_eq!(ports.taken.runs.len(), 1, "they are one run");
    }

    #[test]
    fn others_are_passed_over() {
        let mut ports = Ports::new(100..=105);
        let mut others = Runs::default();
        assert!(ports.take_named(101, &others));
        assert!(others.insert(100) && others.insert(102) && others.insert(105));
        assert!(!ports.take_named(102, &others));
        assert_eq!(ports.pass_next(&others), Some(103));
        assert_eq!(ports.pass_next(&others), Some(104));
        assert_eq!(ports.pass_next(&others), Some(103), "those that are passed stay free");
        assert_eq!(ports.take(&others), Some(104));
        assert_eq!(ports.take(&others), Some(103));
        assert_eq!(ports.take(&others), None);
    }

    proptest! {
        #[test]
        fn runs_are_a_set(moves in proptest::collection::vec((any::<bool>(), 0..40_u16), 0..300)) {
            let mut runs = Runs::default();
            let mut set = BTreeSet::new();
            for (is_insert, port) in moves {
                // Both ends of what a port may be.
                let port = if port < 20 { port } else { u16::MAX - (port - 20) };
                if is_insert {
                    prop_assert_eq!(runs.insert(port), set.insert(port));
                } else {
                    runs.remove(port);
                    set.remove(&port);
                }
                for port in (0..25).chain(u16::MAX - 25..=u16::MAX) {
                    prop_assert_eq!(runs.contains(port), set.contains(&port));
                    let free = (port..=u16::MAX).find(|port| !set.contains(port));
                    prop_assert_eq!(runs.free_from(port), free);
                }
                let gaps = set.iter().filter(|port| !set.contains(&port.wrapping_sub(1)) || **port == 0);
                prop_assert_eq!(runs.runs.len(), gaps.count(), "no two runs touch");
            }
        }
    }
}
