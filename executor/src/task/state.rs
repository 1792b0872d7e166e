//! The state word of a task, and every change it may go through. It knows bits, not futures.
//!
//! ```text
//!             wake                 start                  poll: Ready
//!   IDLE ───────────► SCHEDULED ───────────► RUNNING ───────────────────► COMPLETE
//!    ▲                    ▲                   │   │                          ▲
//!    │   poll: Pending    │   woken meanwhile │   │ aborted: future dropped  │
//!    └────────────────────┼───────────────────┘   └──────────────────────────┤
//!                         └── RUNNING|SCHEDULED                              │
//!   IDLE or SCHEDULED ── cancelled by its scope: future dropped ─────────────┘
//! ```
//!
//! The word is shared with foreign threads, which may only wake, clone and drop references; everything else happens
//! on the shard's own thread.

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// The task is in the run queue, or will be put there when the poll that runs now is over. Set by whoever wakes,
/// cleared by the shard when it starts the poll. A wake that finds it set has nothing to do: the poll that is still
/// to come will see what the waker changed.
const SCHEDULED: usize = 1 << 0;

/// The shard is polling or dropping the future. Set and cleared by the shard alone. A wake that finds it set leaves
/// SCHEDULED behind, and the shard puts the task back into the queue afterwards.
const RUNNING: usize = 1 << 1;

/// The future is gone; its output (or the reason why there is none) is stored, unless TAKEN. Set once by the shard,
/// never cleared.
const COMPLETE: usize = 1 << 2;

/// Someone asked for the task to end. Set by the owner thread, never cleared; the shard drops the future instead of
/// polling it the next time it meets the task.
const ABORTED: usize = 1 << 3;

/// A `JoinHandle` exists, so the output is kept for it. Cleared when the handle is dropped.
const JOINABLE: usize = 1 << 4;

/// The output was moved out or dropped: the storage is empty. Only ever set together with, or after, COMPLETE.
const TAKEN: usize = 1 << 5;

/// The rest of the word counts references: one for the registry until COMPLETE, one for the place in the run queue,
/// one for the `JoinHandle`, one for each waker.
const REFERENCE: usize = 1 << 6;

/// Beyond this many references someone leaks wakers in a loop; abort before the count runs over.
const REFERENCE_MAX: usize = usize::MAX / 2;

/// The state word.
pub(super) struct State(AtomicUsize);

/// What the shard shall do with a task it took from the queue.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Poll it; RUNNING is set.
    Poll,
    /// Drop its future, it was aborted; RUNNING is set.
    Cancel,
    /// Nothing, it ended while it waited in the queue.
    Nothing,
}

/// What became of a task while it was polled.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Wait for a wake.
    Idle,
    /// It was woken or aborted meanwhile: back into the queue; SCHEDULED is set.
    Requeue,
}

impl State {
    /// A new task: in the queue, in the registry, joinable.
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(SCHEDULED | JOINABLE | (3 * REFERENCE)))
    }

    /// A wake. True: the caller puts the task into the queue, with the reference that this adds.
    pub(super) fn wake(&self) -> bool {
        self.request(0)
    }

    /// A request to end. True as for [`State::wake`].
    pub(super) fn abort(&self) -> bool {
        self.request(ABORTED)
    }

    fn request(&self, extra: usize) -> bool {
        let mut current = self.0.load(Acquire);
        loop {
            let nothing_to_do =
                current & COMPLETE != 0 || (current & SCHEDULED != 0 && current & extra == extra);
            if nothing_to_do {
                return false;
            }
            let enqueue = current & (SCHEDULED | RUNNING) == 0;
            let next = (current | SCHEDULED | extra) + if enqueue { REFERENCE } else { 0 };
            match self.0.compare_exchange_weak(current, next, AcqRel, Acquire) {
                Ok(_) => return enqueue,
                Err(actual) => current = actual,
            }
        }
    }

    /// The shard took the task from the queue.
    pub(super) fn start(&self) -> Start {
        let current = self.0.load(Acquire);
        assert!(current & SCHEDULED != 0, "a task in the queue is scheduled");
        assert!(current & RUNNING == 0, "a task is polled by one poll at a time");
        if current & COMPLETE != 0 {
            return Start::Nothing;
        }
        // One step clears SCHEDULED and sets RUNNING: a wake in between would be lost.
        let before = self.0.fetch_xor(SCHEDULED | RUNNING, AcqRel);
        if before & ABORTED != 0 { Start::Cancel } else { Start::Poll }
    }

    /// The scope cancels the task where it stands. True: its future may be dropped now, RUNNING is set. False: it is
    /// complete, or it runs (a task that ends its own scope) and will be cancelled when its poll is over.
    pub(super) fn start_cancel(&self) -> bool {
        let current = self.0.load(Acquire);
        if current & COMPLETE != 0 {
            return false;
        }
        let before = self.0.fetch_or(RUNNING | ABORTED, AcqRel);
        if before & RUNNING != 0 {
            self.0.fetch_or(SCHEDULED, AcqRel);
            return false;
        }
        true
    }

    /// The poll gave Pending.
    pub(super) fn stop(&self) -> Stop {
        let before = self.0.fetch_and(!RUNNING, AcqRel);
        assert!(before & RUNNING != 0, "only a poll that runs can stop");
        if before & SCHEDULED != 0 { Stop::Requeue } else { Stop::Idle }
    }

    /// The output is stored. True: nobody will take it, the shard drops it (TAKEN is set).
    pub(super) fn complete(&self) -> bool {
        let before = self.0.fetch_xor(RUNNING | COMPLETE, AcqRel);
        assert!(before & RUNNING != 0, "only a poll that runs can complete");
        assert!(before & COMPLETE == 0, "a task completes once");
        let unwanted = before & JOINABLE == 0;
        if unwanted {
            self.0.fetch_or(TAKEN, AcqRel);
        }
        unwanted
    }

    /// Whether there is output to take; if so it is the caller's from now on.
    pub(super) fn take_output(&self) -> bool {
        let current = self.0.load(Acquire);
        if current & COMPLETE == 0 {
            return false;
        }
        let before = self.0.fetch_or(TAKEN, AcqRel);
        assert!(before & TAKEN == 0, "JoinHandle polled after it gave its output");
        true
    }

    /// The handle is dropped. True: there is output which the caller must drop.
    pub(super) fn drop_handle(&self) -> bool {
        let before = self.0.fetch_and(!JOINABLE, AcqRel);
        if before & COMPLETE == 0 || before & TAKEN != 0 {
            return false;
        }
        self.0.fetch_or(TAKEN, AcqRel);
        true
    }

    /// Whether the future is gone.
    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Acquire) & COMPLETE != 0
    }

    /// Whether the storage holds neither future nor output.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Acquire) & (COMPLETE | TAKEN) == COMPLETE | TAKEN
    }

    /// Whether the task waits in the queue.
    pub(super) fn is_scheduled(&self) -> bool {
        self.0.load(Acquire) & SCHEDULED != 0
    }

    /// Whether the task is being polled.
    pub(super) fn is_running(&self) -> bool {
        self.0.load(Acquire) & RUNNING != 0
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
        let before = self.0.fetch_sub(REFERENCE, AcqRel);
        assert!(before >= REFERENCE, "references are counted");
        before < 2 * REFERENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_during_the_poll_requeues() {
        let state = State::new();
        assert_eq!(state.start(), Start::Poll);
        assert!(!state.wake(), "the shard requeues, not the waker");
        assert_eq!(state.stop(), Stop::Requeue);
        assert!(!state.wake(), "already scheduled");
    }

    #[test]
    fn a_wake_of_an_idle_task_enqueues_once() {
        let state = State::new();
        assert_eq!(state.start(), Start::Poll);
        assert_eq!(state.stop(), Stop::Idle);
        assert!(state.wake());
        assert!(!state.wake());
    }

    #[test]
    fn an_abort_reaches_a_scheduled_task_without_a_second_place_in_the_queue() {
        let state = State::new();
        assert!(!state.abort());
        assert_eq!(state.start(), Start::Cancel);
        assert!(!state.complete(), "a handle exists");
        assert!(state.take_output());
        assert!(state.is_empty());
    }

    #[test]
    fn a_task_cancelled_in_the_queue_is_skipped_there() {
        let state = State::new();
        assert!(state.start_cancel());
        assert!(!state.complete());
        assert_eq!(state.start(), Start::Nothing);
        assert!(!state.wake(), "complete");
    }

    #[test]
    fn output_without_a_handle_is_dropped_by_the_shard() {
        let state = State::new();
        assert!(!state.drop_handle());
        assert_eq!(state.start(), Start::Poll);
        assert!(state.complete());
        assert!(state.is_empty());
    }

    #[test]
    fn the_last_reference_is_told() {
        let state = State::new();
        state.add_reference();
        assert!(!state.drop_reference());
        assert!(!state.drop_reference());
        assert!(!state.drop_reference());
        assert!(state.drop_reference());
    }
}
