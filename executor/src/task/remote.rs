//! `Remote`: what other threads may touch of a shard, and what keeps it in memory.
//!
//! Every task refers to the remote of its shard, for a waker may outlive the shard. To count these references with
//! atomics would cost each spawn two of them, so the count is [`biased`](super::biased).

use core::cell::Cell;
use core::ops::Deref;
use core::panic::Location;
use core::ptr::{self, NonNull};
use std::sync::Arc;

use super::biased::Biased;
use super::current;
use super::inject::Inject;
use super::joiners::Joiners;
use super::kind::{KindRef, Kinds};
use super::raw::VTable;
use super::waker::TaskWaker;
use crate::driver::Unpark;
use crate::metrics::Metrics;

/// The shard as seen from any thread, and what its tasks share on their own.
pub(crate) struct Remote {
    references: Biased,
    /// Counted by the shard's own thread, read by any.
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) inject: Inject<Injected>,
    /// Owner thread only.
    kinds: Kinds,
    /// Owner thread only: handles and tasks come to it, never a waker.
    pub(super) joiners: Joiners,
}

/// What comes in from other threads.
pub(crate) enum Injected {
    /// A task to wake.
    Wake(TaskWaker),
    /// Something to do on the shard's own thread.
    Run(Box<dyn FnOnce() + Send>),
}

/// The remote in the hands of its shard.
pub(crate) struct RemoteOwner {
    remote: NonNull<Remote>,
    /// References lent and not taken back on this thread.
    lent: Cell<usize>,
}

/// A reference to a remote, from any thread.
pub(crate) struct RemoteRef(NonNull<Remote>);

// SAFETY: all that a reference leads to is `Sync`: atomics, a lock, counters, and an `Unpark`; but for `kinds` and
// `joiners`, which only code of the owner thread names. Who drops the last reference has both to itself, and finds no
// joiner: each is gone before its task is.
unsafe impl Send for RemoteRef {}
// SAFETY: as above.
unsafe impl Sync for RemoteRef {}

impl RemoteOwner {
    pub(crate) fn new(unpark: Arc<dyn Unpark>, metrics: Arc<Metrics>) -> Self {
        let inject = Inject::new(unpark);
        let (references, kinds, joiners) = (Biased::new(), Kinds::default(), Joiners::default());
        let remote = Box::new(Remote { references, metrics, inject, kinds, joiners });
        Self { remote: NonNull::from(Box::leak(remote)), lent: Cell::new(0) }
    }

    /// A reference for a task of `vtable` that is spawned at `origin`.
    #[inline]
    pub(super) fn lend(
        &self,
        vtable: &'static VTable,
        origin: &'static Location<'static>,
    ) -> KindRef {
        self.lent.set(self.lent.get() + 1);
        KindRef::counted(self.kinds.find(vtable, origin, self.remote))
    }

    /// A reference for a handle: counted by the atomic.
    pub(crate) fn handle(&self) -> RemoteRef {
        let lent = RemoteRef(self.remote);
        let handle = lent.clone();
        // Not counted, so not given back.
        core::mem::forget(lent);
        handle
    }

    /// Takes back what [`RemoteOwner::lend`] gave: what dropping it here would do, without looking for this first.
    #[inline]
    pub(super) fn end(&self, kind: KindRef) {
        if self.take_back() { core::mem::forget(kind) } else { drop(kind) }
    }

    /// Whether `remote` is that of this shard.
    #[inline]
    pub(super) fn is(&self, remote: &Remote) -> bool {
        ptr::eq(self.remote.as_ptr(), remote)
    }

    /// A reference comes back to who lent it. False: nothing is lent, for it is the clone of a handle's.
    #[inline]
    fn take_back(&self) -> bool {
        let left = self.lent.get().checked_sub(1);
        if let Some(left) = left {
            self.lent.set(left);
        }
        left.is_some()
    }
}

impl Deref for RemoteOwner {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        // SAFETY: the owner's share keeps it alive.
        unsafe { self.remote.as_ref() }
    }
}

impl Drop for RemoteOwner {
    fn drop(&mut self) {
        if self.references.settle(self.lent.get()) {
            // SAFETY: no reference is left.
            drop(unsafe { Box::from_raw(self.remote.as_ptr()) });
        }
    }
}

impl Deref for RemoteRef {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        // SAFETY: counted, so it is alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for RemoteRef {
    /// For handles; counted by the atomic, wherever it is called.
    fn clone(&self) -> Self {
        self.references.add();
        Self(self.0)
    }
}

impl Drop for RemoteRef {
    fn drop(&mut self) {
        // SAFETY: counted, and this is its end.
        unsafe { give_back(self.0) };
    }
}

/// A reference to a remote ends.
///
/// # Safety
/// It was counted, and is not used any more.
pub(super) unsafe fn give_back(remote: NonNull<Remote>) {
    // SAFETY: the reference keeps it alive until the end of this.
    let its = unsafe { remote.as_ref() };
    let was_lent_here = current::with(|core| {
        let owner = core.map(|core| &core.remote).filter(|owner| owner.is(its));
        owner.is_some_and(RemoteOwner::take_back)
    });
    if !was_lent_here && its.references.release() {
        // SAFETY: that was the last reference.
        drop(unsafe { Box::from_raw(remote.as_ptr()) });
    }
}
