//! A task in memory: one allocation that holds its header, then its future or, later, its output.
//!
//! This is the unsafe core. It rests on two rules, kept by the callers named at each `SAFETY`:
//!
//! 1. **Owner thread.** Future and output are touched only on the thread of the shard that spawned the task. The
//!    shard and `JoinHandle` are `!Send`; foreign threads hold wakers, which reach only the header's atomic parts.
//! 2. **State decides.** Not COMPLETE: the storage holds the future. COMPLETE and not TAKEN: the output. Both set:
//!    nothing. Whoever sets RUNNING has the storage to itself until it clears it.

use core::any::Any;
use core::cell::UnsafeCell;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::state::State;
use super::{JoinError, TaskId};
use crate::remote::Remote;

/// What is known of a task without knowing the type of its future. At most 64 bytes.
pub(super) struct Header {
    pub(super) state: State,
    vtable: &'static VTable,
    /// How to reach the shard from anywhere.
    pub(super) remote: Arc<Remote>,
    pub(super) id: TaskId,
    /// Where `spawn` was called.
    pub(super) origin: &'static Location<'static>,
    /// The task's place in the shard's registry.
    pub(super) slot: u32,
    /// Who awaits the `JoinHandle`. Owner thread only.
    joiner: UnsafeCell<Option<Waker>>,
}

const _: () = assert!(size_of::<Header>() <= 64, "the header of a task stays within a cache line");

/// What has to know the type of the future.
struct VTable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<()>,
    cancel: unsafe fn(NonNull<Header>),
    take_output: unsafe fn(NonNull<Header>, *mut ()),
    drop_output: unsafe fn(NonNull<Header>) -> Option<Box<dyn Any + Send>>,
    free: unsafe fn(NonNull<Header>),
}

/// The allocation. `repr(C)` puts the header first, so that a pointer to one is a pointer to the other.
#[repr(C)]
struct Cell<F: Future> {
    header: Header,
    storage: UnsafeCell<Storage<F>>,
}

/// A union, not an enum: the state word already says which it is, and a discriminant would cost 8 bytes. `repr(C)` puts
/// both at its start, so that a pointer to the storage is a pointer to either.
#[repr(C)]
union Storage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, JoinError>>,
}

/// Allocates a task. The caller owns the three references of [`State::new`].
pub(super) fn allocate<F: Future + 'static>(
    future: F,
    id: TaskId,
    slot: u32,
    remote: Arc<Remote>,
    origin: &'static Location<'static>,
) -> NonNull<Header> {
    let header = Header {
        state: State::new(),
        vtable: const { &vtable::<F>() },
        remote,
        id,
        origin,
        slot,
        joiner: UnsafeCell::new(None),
    };
    let storage = UnsafeCell::new(Storage { future: ManuallyDrop::new(future) });
    NonNull::from(Box::leak(Box::new(Cell { header, storage }))).cast()
}

const fn vtable<F: Future + 'static>() -> VTable {
    VTable {
        poll: poll::<F>,
        cancel: cancel::<F>,
        take_output: take_output::<F>,
        drop_output: drop_output::<F>,
        free: free::<F>,
    }
}

impl Header {
    /// Polls the future; on Ready, or if it panics, the output is stored and the future dropped.
    ///
    /// # Safety
    /// `task` is alive, this is its owner thread, and the caller set RUNNING.
    pub(super) unsafe fn poll(task: NonNull<Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: alive, by the caller.
        let vtable = unsafe { task.as_ref() }.vtable;
        // SAFETY: the caller's promise is the one this needs; the vtable belongs to this very task.
        unsafe { (vtable.poll)(task, cx) }
    }

    /// Drops the future and stores [`JoinError::Cancelled`].
    ///
    /// # Safety
    /// As for [`Header::poll`].
    pub(super) unsafe fn cancel(task: NonNull<Self>) {
        // SAFETY: alive, by the caller.
        let vtable = unsafe { task.as_ref() }.vtable;
        // SAFETY: as above.
        unsafe { (vtable.cancel)(task) }
    }

    /// Moves the output to `target`.
    ///
    /// # Safety
    /// `task` is alive, this is its owner thread, the caller set TAKEN just now, and `target` points to a
    /// `MaybeUninit<Result<F::Output, JoinError>>` of the task's own `F`.
    pub(super) unsafe fn take_output(task: NonNull<Self>, target: *mut ()) {
        // SAFETY: alive, by the caller.
        let vtable = unsafe { task.as_ref() }.vtable;
        // SAFETY: as above.
        unsafe { (vtable.take_output)(task, target) }
    }

    /// Drops the output. Gives the payload back if it was a panic, so that somebody reports it.
    ///
    /// # Safety
    /// `task` is alive, this is its owner thread, and the caller set TAKEN just now.
    pub(super) unsafe fn drop_output(task: NonNull<Self>) -> Option<Box<dyn Any + Send>> {
        // SAFETY: alive, by the caller.
        let vtable = unsafe { task.as_ref() }.vtable;
        // SAFETY: as above.
        unsafe { (vtable.drop_output)(task) }
    }

    /// Frees the allocation; any thread may.
    ///
    /// # Safety
    /// The caller dropped the last reference. Nothing is stored by then: the registry's reference goes after
    /// COMPLETE, and the handle's after TAKEN.
    pub(super) unsafe fn free(task: NonNull<Self>) {
        // SAFETY: alive until the call below.
        let vtable = unsafe { task.as_ref() }.vtable;
        // SAFETY: as above.
        unsafe { (vtable.free)(task) }
    }

    /// Replaces who is to be woken at the end; gives back who was.
    ///
    /// # Safety
    /// This is the owner thread.
    pub(super) unsafe fn replace_joiner(&self, joiner: Option<Waker>) -> Option<Waker> {
        // SAFETY: only the owner thread comes here, and no reference to the slot outlives this line.
        unsafe { self.joiner.get().replace(joiner) }
    }
}

/// # Safety
/// As for [`Header::poll`].
unsafe fn poll<F: Future>(task: NonNull<Header>, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: `task` was made by `allocate::<F>`, and its vtable led here.
    let storage = unsafe { task.cast::<Cell<F>>().as_ref() }.storage.get();
    // SAFETY: not COMPLETE and RUNNING: it is the future, and ours alone.
    let future = unsafe { &mut *storage.cast::<F>() };
    // SAFETY: the future lives in the allocation, which does not move, until it is dropped in place.
    let future = unsafe { Pin::new_unchecked(future) };
    // A panic ends the task, not the shard: nobody sees the future again, so nobody sees it half changed.
    let output = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(Poll::Pending) => return Poll::Pending,
        Ok(Poll::Ready(output)) => Ok(output),
        Err(payload) => Err(JoinError::Panicked(payload)),
    };
    // SAFETY: as above; the future is not touched after this.
    unsafe { replace_future::<F>(storage, output) };
    Poll::Ready(())
}

/// # Safety
/// As for [`Header::cancel`].
unsafe fn cancel<F: Future>(task: NonNull<Header>) {
    // SAFETY: `task` was made by `allocate::<F>`, and its vtable led here.
    let storage = unsafe { task.cast::<Cell<F>>().as_ref() }.storage.get();
    // SAFETY: not COMPLETE and RUNNING: it is the future, and ours alone.
    unsafe { replace_future::<F>(storage, Err(JoinError::Cancelled)) };
}

/// Drops the future and stores `output` in its place; a panic while dropping becomes the output, unless the poll had
/// panicked before: the first panic is the cause.
///
/// # Safety
/// The storage holds the future, and is the caller's alone.
unsafe fn replace_future<F: Future>(
    storage: *mut Storage<F>,
    output: Result<F::Output, JoinError>,
) {
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: by the caller it is the future; it is dropped once, in place, as pinning asks.
        unsafe { storage.cast::<F>().drop_in_place() };
    }));
    let output = match (dropped, output) {
        (Ok(()), output) | (Err(_), output @ Err(JoinError::Panicked(_))) => output,
        (Err(payload), unwanted) => {
            // The output's own destructor is user code, too.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(unwanted)));
            Err(JoinError::Panicked(payload))
        }
    };
    // SAFETY: the storage is empty now, and ours; a plain write drops nothing.
    unsafe { storage.write(Storage { output: ManuallyDrop::new(output) }) };
}

/// # Safety
/// As for [`Header::take_output`].
unsafe fn take_output<F: Future>(task: NonNull<Header>, target: *mut ()) {
    // SAFETY: `task` was made by `allocate::<F>`, and its vtable led here.
    let storage = unsafe { task.cast::<Cell<F>>().as_ref() }.storage.get();
    // SAFETY: COMPLETE, and the caller set TAKEN: it is the output, and the caller's alone.
    let output = unsafe { storage.cast::<Result<F::Output, JoinError>>().read() };
    // SAFETY: the caller promises the type behind `target`.
    unsafe { target.cast::<Result<F::Output, JoinError>>().write(output) };
}

/// # Safety
/// As for [`Header::drop_output`].
unsafe fn drop_output<F: Future>(task: NonNull<Header>) -> Option<Box<dyn Any + Send>> {
    // SAFETY: `task` was made by `allocate::<F>`, and its vtable led here.
    let storage = unsafe { task.cast::<Cell<F>>().as_ref() }.storage.get();
    // SAFETY: COMPLETE, and the caller set TAKEN: it is the output, and the caller's alone.
    let output = unsafe { storage.cast::<Result<F::Output, JoinError>>().read() };
    // The output's own destructor is user code, too.
    match catch_unwind(AssertUnwindSafe(|| match output {
        Err(JoinError::Panicked(payload)) => Some(payload),
        Err(JoinError::Cancelled) | Ok(_) => None,
    })) {
        Ok(payload) => payload,
        Err(payload) => Some(payload),
    }
}

/// # Safety
/// As for [`Header::free`].
unsafe fn free<F: Future>(task: NonNull<Header>) {
    // SAFETY: `task` was made by `allocate::<F>`, and its vtable led here.
    let cell = unsafe { Box::from_raw(task.cast::<Cell<F>>().as_ptr()) };
    assert!(cell.header.state.is_empty(), "a task is freed when nothing is stored in it");
    // A union drops nothing by itself; the header drops its own fields.
    drop(cell);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target of the design: one allocation of at most 128 bytes for a future of 64.
    #[test]
    fn a_task_with_a_future_of_64_bytes_takes_128() {
        struct Sixty4([u64; 8]);
        impl Future for Sixty4 {
            type Output = u64;
            fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
                Poll::Ready(self.0[0])
            }
        }
        assert!(size_of::<Cell<Sixty4>>() <= 128, "{}", size_of::<Cell<Sixty4>>());
    }
}
