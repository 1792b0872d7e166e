//! Bugs between tasks: wakes, locks, permits, channels, cancellation.

mod abandoned_load;
mod barrier_reuse;
mod borrowed_across_await;
mod buffered_permit;
mod cancelled_read;
mod closed_in_use;
mod completion_order;
mod dead_workers;
mod dirty_lease;
mod double_release;
mod futurelock;
mod ignored_lag;
mod last_waker;
mod leaked_permit;
mod lock_order;
mod lost_message;
mod lost_update;
mod lost_wake;
mod missed_shutdown;
mod recursive_read;
mod reentrant_drop;
mod reused_slot;
mod stampede;
mod swallowed_wake;
mod unbounded_queue;
mod zombie_task;

use crate::Specimen;

/// Those of this kind.
pub(crate) const ALL: &[&Specimen] = &[
    &lost_wake::LOST_WAKE,
    &last_waker::LAST_WAKER,
    &swallowed_wake::SWALLOWED_WAKE,
    &missed_shutdown::MISSED_SHUTDOWN,
    &barrier_reuse::BARRIER_REUSE,
    &lock_order::LOCK_ORDER,
    &recursive_read::RECURSIVE_READ,
    &futurelock::FUTURELOCK,
    &buffered_permit::BUFFERED_PERMIT,
    &abandoned_load::ABANDONED_LOAD,
    &leaked_permit::LEAKED_PERMIT,
    &double_release::DOUBLE_RELEASE,
    &dirty_lease::DIRTY_LEASE,
    &zombie_task::ZOMBIE_TASK,
    &reused_slot::REUSED_SLOT,
    &closed_in_use::CLOSED_IN_USE,
    &cancelled_read::CANCELLED_READ,
    &lost_message::LOST_MESSAGE,
    &lost_update::LOST_UPDATE,
    &stampede::STAMPEDE,
    &unbounded_queue::UNBOUNDED_QUEUE,
    &completion_order::COMPLETION_ORDER,
    &ignored_lag::IGNORED_LAG,
    &dead_workers::DEAD_WORKERS,
    &borrowed_across_await::BORROWED_ACROSS_AWAIT,
    &reentrant_drop::REENTRANT_DROP,
];
