//! `Biased`: a count of references of which one thread keeps its own share to itself.
//!
//! The owner counts what it lends and takes back on its own thread in a plain number. Other threads count what they
//! give back down an atomic, which starts so high that it never gets to zero while the owner is there. When the owner
//! ends it settles the difference, and from then on the atomic alone is the count.
//!
//! (Biased reference counting: Choi, Shull, Torrellas, PACT 2018. Ours needs no queue back to the owner, for the owner
//! does not want to know of zero before it ends.)

use crate::atomic::AtomicUsize;
use crate::atomic::Ordering::{AcqRel, Relaxed};

/// The share of the owner: more than there can be references.
const OWNER: usize = usize::MAX / 2 + 1;

/// The part of the count that threads share.
pub(super) struct Biased(AtomicUsize);

impl Biased {
    /// A count with its owner.
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(OWNER))
    }

    /// One more reference, from any thread that has one already.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// A reference ends on any thread. True: it was the last, and the owner has settled.
    pub(super) fn release(&self) -> bool {
        let before = self.0.fetch_sub(1, AcqRel);
        assert!(before > 0, "references are counted");
        before == 1
    }

    /// The owner ends, with so many references lent that did not come back to it. True: none is left anywhere.
    pub(super) fn settle(&self, lent: usize) -> bool {
        let share = OWNER - lent;
        let before = self.0.fetch_sub(share, AcqRel);
        assert!(before >= share, "no more references come back than were lent");
        before == share
    }
}
