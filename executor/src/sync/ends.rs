//! `Ends`: how many ends of one kind a channel has: its senders, or its receivers.
//!
//! Invariant: each end is counted where it is made, and once more, backwards, where it is dropped.

use core::cell::Cell;

/// See the file.
#[derive(Default)]
pub(super) struct Ends(Cell<usize>);

impl Ends {
    pub(super) fn count(&self) -> usize {
        self.0.get()
    }

    /// Whether there is none.
    pub(super) fn are_gone(&self) -> bool {
        self.count() == 0
    }

    /// One more.
    pub(super) fn add(&self) {
        self.0.set(self.count() + 1);
    }

    /// One less. Says whether it was the last.
    pub(super) fn remove(&self) -> bool {
        let left = self.count().checked_sub(1);
        self.0.set(left.expect("an end that is dropped was counted"));
        self.are_gone()
    }
}
