//! `Shared`: the half of a task's state that any thread may touch: how many wakers there are, and whether the task is
//! on its way to its shard.
//!
//! The references of the task's own thread are counted in [`owned`](super::owned) and stand here as one. So a task that
//! no waker ever left costs this word nothing but its last look.

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// The task is in the inject queue of its shard: a wake from elsewhere that finds it set has nothing to do. Set by who
/// wakes, cleared by the shard before it looks at what was changed.
const INJECTED: u32 = 1 << 0;

/// The rest counts references: one for each waker, one for the inject queue, one for all of the owner's together.
const REFERENCE: u32 = 1 << 1;

/// Beyond this many references someone leaks wakers in a loop; abort before the count runs over.
const REFERENCE_MAX: u32 = u32::MAX / 2;

/// The shared half of the state.
pub(super) struct Shared(AtomicU32);

impl Shared {
    /// A new task: the owner's reference.
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(REFERENCE))
    }

    /// A wake from another thread. True: the caller puts the task into the inject queue, with the reference that this
    /// adds.
    ///
    /// Where it gives false another wake was first, and the shard has not yet cleared the bit. It will do so in an
    /// operation that comes after this one, so it sees what the caller changed before.
    pub(super) fn inject(&self) -> bool {
        let before = self.0.fetch_or(INJECTED, AcqRel);
        if before & INJECTED != 0 {
            return false;
        }
        self.add_reference();
        true
    }

    /// The shard took the task from the inject queue, and is about to look at it.
    pub(super) fn arrive(&self) {
        let before = self.0.fetch_and(!INJECTED, AcqRel);
        assert!(before & INJECTED != 0, "a task in the inject queue is marked so");
    }

    /// Whether the task is on its way.
    pub(super) fn is_injected(&self) -> bool {
        self.0.load(Relaxed) & INJECTED != 0
    }

    /// How many references there are beside that of the owner, who asks. A task that is not on its way is woken through
    /// one of them or not at all: a new one is only ever made from one that is there.
    pub(super) fn wakers(&self) -> u32 {
        self.0.load(Acquire) / REFERENCE - 1
    }

    /// One more reference. Relaxed, as in `Arc`: who clones has one already, and it came with its own ordering.
    pub(super) fn add_reference(&self) {
        let before = self.0.fetch_add(REFERENCE, Relaxed);
        if before > REFERENCE_MAX {
            std::process::abort();
        }
    }

    /// One reference less. True: it was the last, the caller frees the task.
    pub(super) fn drop_reference(&self) -> bool {
        // With one left it is the caller's own: nobody is there who could add another, so a look is enough.
        if self.0.load(Acquire) == REFERENCE {
            return true;
        }
        let before = self.0.fetch_sub(REFERENCE, AcqRel);
        assert!(before >= REFERENCE, "references are counted");
        before < 2 * REFERENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_injected_once_until_it_arrives() {
        let state = Shared::new();
        assert!(state.inject());
        assert!(!state.inject());
        state.arrive();
        assert!(state.inject());
    }

    #[test]
    fn the_last_reference_is_told() {
        let state = Shared::new();
        state.add_reference();
        assert!(state.inject());
        assert!(!state.drop_reference());
        assert!(!state.drop_reference());
        assert!(state.drop_reference());
    }
}
