//! `Barrier`: so many tasks wait until all of them are there.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::wait_list::{Reason, WaitList, Waiter};
use crate::budget;
use crate::waits::Resource;

/// Holds tasks back until a number of them has come; then all go on, and it begins anew.
///
/// ```
/// # use std::{cell::Cell, rc::Rc};
/// # use mainspring_executor::{Shard, os::OsDriver, scope::scope, sync::Barrier};
/// # let shard = Shard::new(Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let barrier = Rc::new(Barrier::new(3));
/// let leaders = Rc::new(Cell::new(0));
/// scope(async |scope| {
///     for _ in 0..3 {
///         let (barrier, leaders) = (barrier.clone(), leaders.clone());
///         scope.spawn(async move {
///             if barrier.wait().await.is_leader() {
///                 leaders.set(leaders.get() + 1);
///             }
///         });
///     }
/// })
/// .await;
/// assert_eq!(leaders.get(), 1);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Barrier {
    count: usize,
    /// Those of this round that are there.
    line: WaitList<(), ()>,
    resource: Resource,
}

impl Barrier {
    /// A barrier for `count` tasks. 0 is the same as 1: nobody waits.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { count: count.max(1), line: WaitList::default(), resource: Resource::default() }
    }

    /// Waits until the last is there, who is the leader and goes on at once. The others are woken in the order in which
    /// they came. Cancel-safe: who is dropped before the last has come was never there.
    #[track_caller]
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { barrier: self, waiter: None, origin: Location::caller() }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Barrier({} of {})", self.line.len(), self.count)
    }
}

/// See [`Barrier::wait`].
#[must_use = "a future does nothing unless it is polled"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    waiter: Option<Waiter>,
    origin: &'static Location<'static>,
}

impl Future for BarrierWait<'_> {
    type Output = BarrierWaitResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(budget::poll_left(cx));
        let barrier = self.barrier;
        let reason = Reason {
            what: "a barrier",
            resource: &barrier.resource,
            origin: self.origin,
            is_bound: false,
        };
        let is_leader = if self.waiter.is_some() {
            ready!(barrier.line.poll_given(&mut self.waiter, cx, reason));
            false
        } else {
            if barrier.line.len() + 1 < barrier.count {
                self.waiter = Some(barrier.line.join((), cx, reason));
                return Poll::Pending;
            }
            barrier.line.give_all(());
            true
        };
        budget::spend();
        Poll::Ready(BarrierWaitResult { is_leader })
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        // Who waits counts as there; so when it leaves, it was not.
        drop(self.barrier.line.leave(waiter));
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BarrierWait(at {})", self.origin)
    }
}

/// What [`Barrier::wait`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Whether this was the last to come: one of each round.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}
