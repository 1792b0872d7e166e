//! `Owned`: the half of a task's state that only its own thread touches. It knows bits, not futures.
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
//! No atomics: a task that is spawned, polled, woken and joined on its own thread costs plain loads and stores. What
//! other threads may do is in [`shared`](super::shared).

use core::cell::Cell;

use crate::metrics::CancelReason;

/// The task is in the run queue, or will be put there when the poll that runs now is over. Set by whoever wakes,
/// cleared when the poll starts. A wake that finds it set has nothing to do: the poll that is still to come will see
/// what the waker changed.
const SCHEDULED: u32 = 1 << 0;

/// The shard is polling or dropping the future. A wake that finds it set leaves SCHEDULED behind, and the shard puts
/// the task back into the queue afterwards.
const RUNNING: u32 = 1 << 1;

/// The future is gone; its output (or the reason why there is none) is stored, unless TAKEN. Set once, never cleared.
const COMPLETE: u32 = 1 << 2;

/// Someone asked for the task to end. Never cleared; the shard drops the future instead of polling it the next time it
/// meets the task.
const ABORTED: u32 = 1 << 3;

/// A `JoinHandle` exists, so the output is kept for it. Cleared when the handle is dropped.
const JOINABLE: u32 = 1 << 4;

/// The output was moved out or dropped: the storage is empty. Only ever set together with, or after, COMPLETE.
const TAKEN: u32 = 1 << 5;

/// The task has extras in front of its header. Set at birth, never cleared: it also says how to free the task.
const EXTRAS: u32 = 1 << 6;

/// A context is among the extras, to be in force while the task is polled. Set at birth, never cleared.
const CONTEXT: u32 = 1 << 7;

/// The `JoinHandle` has an entry among the shard's joiners. Cleared by whoever takes the entry out: the handle when it is
/// dropped, or the shard when the task has ended.
const AWAITED: u32 = 1 << 8;

/// Three bits for why the task is to end, where someone said so: the ordinal of the `CancelReason`, and one. Set once.
const REASON: u32 = 1 << 9;
const REASON_MASK: u32 = 0b111 * REASON;

const _: () =
    assert!(CancelReason::ALL.len() < 8, "each reason, and none, has a number of three bits");

/// The rest of the word counts the references of the task's own thread: one for the registry until COMPLETE, one for
/// the place in the run queue, one for the `JoinHandle`, one for the scope.
const REFERENCE: u32 = 1 << 12;

/// The owner's half of the state.
pub(super) struct Owned(Cell<u32>);

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

impl Owned {
    /// A new task: in the queue, in the registry, joinable.
    #[inline]
    pub(super) fn new(has_extras: bool, has_context: bool) -> Self {
        assert!(has_extras || !has_context, "a context is one of the extras");
        let extras = if has_extras { EXTRAS } else { 0 };
        let context = if has_context { CONTEXT } else { 0 };
        Self(Cell::new(SCHEDULED | JOINABLE | extras | context | (3 * REFERENCE)))
    }

    fn has(&self, bits: u32) -> bool {
        self.0.get() & bits != 0
    }

    fn set(&self, bits: u32) {
        self.0.set(self.0.get() | bits);
    }

    fn clear(&self, bits: u32) {
        self.0.set(self.0.get() & !bits);
    }

    /// A wake. True: the caller puts the task into the queue, with the reference that this adds.
    pub(super) fn wake(&self) -> bool {
        if self.has(SCHEDULED | COMPLETE) {
            return false;
        }
        let enqueue = !self.has(RUNNING);
        self.set(SCHEDULED);
        if enqueue {
            self.add_reference();
        }
        enqueue
    }

    /// A request to end, told when the shard meets the task: wake it as well.
    pub(super) fn abort(&self) {
        self.set(ABORTED);
    }

    /// The shard took the task from the queue.
    pub(super) fn start(&self) -> Start {
        assert!(self.has(SCHEDULED), "a task in the queue is scheduled");
        assert!(!self.has(RUNNING), "a task is polled by one poll at a time");
        if self.has(COMPLETE) {
            return Start::Nothing;
        }
        self.0.set(self.0.get() ^ (SCHEDULED | RUNNING));
        if self.has(ABORTED) { Start::Cancel } else { Start::Poll }
    }

    /// The scope cancels the task where it stands. True: its future may be dropped now, RUNNING is set. False: it is
    /// complete, or it runs (a task that ends its own scope) and will be cancelled when its poll is over.
    pub(super) fn start_cancel(&self) -> bool {
        if self.has(COMPLETE) {
            return false;
        }
        if self.has(RUNNING) {
            self.set(ABORTED | SCHEDULED);
            return false;
        }
        self.set(RUNNING | ABORTED);
        true
    }

    /// The poll gave Pending.
    pub(super) fn stop(&self) -> Stop {
        assert!(self.has(RUNNING), "only a poll that runs can stop");
        self.clear(RUNNING);
        if self.has(SCHEDULED) { Stop::Requeue } else { Stop::Idle }
    }

    /// The output is stored. True: nobody will take it, the shard drops it (TAKEN is set).
    pub(super) fn complete(&self) -> bool {
        assert!(self.has(RUNNING), "only a poll that runs can complete");
        assert!(!self.has(COMPLETE), "a task completes once");
        let unwanted = !self.has(JOINABLE);
        self.0.set(self.0.get() ^ (RUNNING | COMPLETE) | if unwanted { TAKEN } else { 0 });
        unwanted
    }

    /// Whether there is output to take; if so it is the caller's from now on.
    pub(super) fn take_output(&self) -> bool {
        if !self.has(COMPLETE) {
            return false;
        }
        assert!(!self.has(TAKEN), "JoinHandle polled after it gave its output");
        self.set(TAKEN);
        true
    }

    /// The handle is dropped. True: there is output which the caller must drop.
    pub(super) fn drop_handle(&self) -> bool {
        self.clear(JOINABLE);
        if !self.has(COMPLETE) || self.has(TAKEN) {
            return false;
        }
        self.set(TAKEN);
        true
    }

    /// Whether the future is gone.
    pub(super) fn is_complete(&self) -> bool {
        self.has(COMPLETE)
    }

    /// Whether the storage holds neither future nor output.
    pub(super) fn is_empty(&self) -> bool {
        self.0.get() & (COMPLETE | TAKEN) == COMPLETE | TAKEN
    }

    /// Whether the task waits in the queue.
    pub(super) fn is_scheduled(&self) -> bool {
        self.has(SCHEDULED)
    }

    /// Whether the task is being polled.
    pub(super) fn is_running(&self) -> bool {
        self.has(RUNNING)
    }

    /// Whether there are extras in front of the header.
    pub(super) fn has_extras(&self) -> bool {
        self.has(EXTRAS)
    }

    /// Whether a context is among them.
    pub(super) fn has_context(&self) -> bool {
        self.has(CONTEXT)
    }

    /// The handle has an entry among the joiners.
    pub(super) fn set_awaited(&self) {
        assert!(!self.has(COMPLETE), "nobody awaits a task that has ended");
        self.set(AWAITED);
    }

    /// Whether there is an entry among the joiners; if so it is the caller's to take out.
    pub(super) fn take_awaited(&self) -> bool {
        if !self.has(AWAITED) {
            return false;
        }
        self.clear(AWAITED);
        true
    }

    /// Why the task is to end; what was said first stays.
    pub(super) fn set_reason(&self, reason: CancelReason) {
        if self.0.get() & REASON_MASK == 0 {
            self.set((reason as u32 + 1) * REASON);
        }
    }

    /// Why the task was to end, if someone said so.
    pub(super) fn reason(&self) -> Option<CancelReason> {
        let number = (self.0.get() & REASON_MASK) / REASON;
        Some(CancelReason::ALL[number.checked_sub(1)? as usize])
    }

    /// One more reference.
    pub(super) fn add_reference(&self) {
        let next = self.0.get().checked_add(REFERENCE);
        self.0.set(next.expect("a task has fewer than 2^20 references of its own thread"));
    }

    /// One reference less. True: it was the last of this thread.
    pub(super) fn drop_reference(&self) -> bool {
        let current = self.0.get();
        assert!(current >= REFERENCE, "references are counted");
        self.0.set(current - REFERENCE);
        current < 2 * REFERENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> Owned {
        Owned::new(false, false)
    }

    #[test]
    fn a_wake_during_the_poll_requeues() {
        let state = new();
        assert_eq!(state.start(), Start::Poll);
        assert!(!state.wake(), "the shard requeues, not the waker");
        assert_eq!(state.stop(), Stop::Requeue);
        assert!(!state.wake(), "already scheduled");
    }

    #[test]
    fn a_wake_of_an_idle_task_enqueues_once() {
        let state = new();
        assert_eq!(state.start(), Start::Poll);
        assert_eq!(state.stop(), Stop::Idle);
        assert!(state.wake());
        assert!(!state.wake());
    }

    #[test]
    fn an_abort_reaches_a_scheduled_task_without_a_second_place_in_the_queue() {
        let state = new();
        state.abort();
        assert!(!state.wake());
        assert_eq!(state.start(), Start::Cancel);
        assert!(!state.complete(), "a handle exists");
        assert!(state.take_output());
        assert!(state.is_empty());
    }

    #[test]
    fn an_abort_of_a_task_that_has_ended_says_nothing() {
        let state = new();
        assert_eq!(state.start(), Start::Poll);
        assert!(!state.complete());
        state.abort();
        assert!(!state.wake());
        assert!(state.take_output(), "the output is still there");
    }

    #[test]
    fn a_task_cancelled_in_the_queue_is_skipped_there() {
        let state = new();
        assert!(state.start_cancel());
        assert!(!state.complete());
        assert_eq!(state.start(), Start::Nothing);
        assert!(!state.wake(), "complete");
    }

    #[test]
    fn a_task_that_cancels_itself_ends_after_its_poll() {
        let state = new();
        assert_eq!(state.start(), Start::Poll);
        assert!(!state.start_cancel());
        assert_eq!(state.stop(), Stop::Requeue);
        assert_eq!(state.start(), Start::Cancel);
    }

    #[test]
    fn output_without_a_handle_is_dropped_by_the_shard() {
        let state = new();
        assert!(!state.drop_handle());
        assert_eq!(state.start(), Start::Poll);
        assert!(state.complete());
        assert!(state.is_empty());
    }

    #[test]
    fn the_first_reason_stays() {
        for first in CancelReason::ALL {
            let state = new();
            assert_eq!(state.reason(), None);
            state.set_reason(first);
            for later in CancelReason::ALL {
                state.set_reason(later);
                assert_eq!(state.reason(), Some(first));
            }
            assert_eq!(state.start(), Start::Poll, "it says nothing else");
            assert_eq!(state.stop(), Stop::Idle);
        }
    }

    #[test]
    fn an_entry_among_the_joiners_is_taken_out_once() {
        let state = new();
        assert!(!state.take_awaited());
        state.set_awaited();
        assert!(state.take_awaited());
        assert!(!state.take_awaited());
    }

    #[test]
    fn the_last_reference_is_told() {
        let state = new();
        state.add_reference();
        assert!(!state.drop_reference());
        assert!(!state.drop_reference());
        assert!(!state.drop_reference());
        assert!(state.drop_reference());
    }
}
