//! `Ports`: the ephemeral ports of a host, handed out in turn.

use std::collections::BTreeSet;

/// The first of the ports that IANA sets aside for this (RFC 6335 §6).
const FIRST: u16 = 49_152;

/// Which ephemeral ports are taken, and which comes next.
#[derive(Debug)]
pub(crate) struct Ports {
    taken: BTreeSet<u16>,
    next: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { taken: BTreeSet::new(), next: FIRST }
    }
}

impl Ports {
    /// Takes the next free port, in a circle: one that was given back rests as long as it can.
    pub(crate) fn take(&mut self) -> Option<u16> {
        for _ in FIRST..=u16::MAX {
            let port = self.next;
            self.next = self.next.checked_add(1).unwrap_or(FIRST);
            if self.taken.insert(port) {
                return Some(port);
            }
        }
        None
    }

    /// Takes a certain port, that a program names. False: it is taken. Ports that are not ephemeral are always free
    /// here: their listeners know each other.
    pub(crate) fn take_named(&mut self, port: u16) -> bool {
        port < FIRST || self.taken.insert(port)
    }

    /// Gives all ports back. The next to be taken is the same: a kernel that starts begins at a place of its own.
    pub(crate) fn give_all_back(&mut self) {
        self.taken.clear();
    }

    /// Gives a port back, of whatever kind.
    pub(crate) fn give_back(&mut self, port: u16) {
        self.taken.remove(&port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_go_round() {
        let mut ports = Ports::default();
        assert_eq!(ports.take(), Some(FIRST));
        ports.give_back(FIRST);
        for port in FIRST + 1..=u16::MAX {
            assert_eq!(ports.take(), Some(port));
        }
        assert_eq!(ports.take(), Some(FIRST));
        assert_eq!(ports.take(), None);
        ports.give_back(50_000);
        assert!(!ports.take_named(50_001));
        assert_eq!(ports.take(), Some(50_000));
    }
}
