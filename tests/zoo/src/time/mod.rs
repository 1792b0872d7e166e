//! Bugs of time: deadlines, timers, intervals, limits, clocks, and tasks that hold up others.

mod blocking_handler;
mod charged_twice;
mod clock_jump;
mod dropped_edit;
mod overflowing_backoff;
mod queued_probe;
mod renewed_deadline;
mod stale_expiry;
mod starved_acquire;
mod tick_burst;
mod window_edge;

use crate::Specimen;

/// Those of this kind.
pub(crate) const ALL: &[&Specimen] = &[
    &stale_expiry::STALE_EXPIRY,
    &renewed_deadline::RENEWED_DEADLINE,
    &overflowing_backoff::OVERFLOWING_BACKOFF,
    &charged_twice::CHARGED_TWICE,
    &tick_burst::TICK_BURST,
    &dropped_edit::DROPPED_EDIT,
    &window_edge::WINDOW_EDGE,
    &clock_jump::CLOCK_JUMP,
    &blocking_handler::BLOCKING_HANDLER,
    &starved_acquire::STARVED_ACQUIRE,
    &queued_probe::QUEUED_PROBE,
];
