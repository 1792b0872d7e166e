//! `TraceEvent`: one thing that happened.

use std::sync::Arc;

use mainspring_executor::driver::Instant;

use crate::coverage::Fault;

/// One thing that happened in a recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// The virtual time.
    pub at: Instant,
    /// Where it is drawn: whose it is, by its place in [`Timeline::lanes`](super::Timeline::lanes).
    pub lane: usize,
    /// The lane of the task that did it; `None` for what the room does by itself.
    pub task: Option<usize>,
    /// What it is called, as [`World::trace`](crate::World::trace) has it: `write`, `bytes arrive`.
    pub kind: &'static str,
    /// In words: `writes 120 bytes`.
    pub text: Arc<str>,
    /// What went wrong by it.
    pub fault: Option<Fault>,
    /// The event without which it would not have happened then: the write of what arrives, the arrival that woke who is polled.
    /// It comes earlier in the list. `None` where the scenario made it happen, or nothing is known.
    pub cause: Option<usize>,
}
