//! Wakers: a [`TaskRef`] as `core::task` wants it.

use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use core::task::{RawWaker, RawWakerVTable, Waker};

use super::TaskRef;
use super::raw::Header;
use crate::current;

/// One table for all tasks, so that `Waker::will_wake` is two comparisons.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that borrows the shard's own reference: polling a task counts nothing unless the future keeps the waker.
pub(super) struct BorrowedWaker(ManuallyDrop<Waker>);

impl Deref for BorrowedWaker {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.0
    }
}

/// A waker for `task` that must not outlive it: it holds no reference of its own.
pub(super) fn borrowed(task: &TaskRef) -> BorrowedWaker {
    let raw = RawWaker::new(task.0.as_ptr().cast_const().cast(), &VTABLE);
    // SAFETY: the table keeps the contract of `RawWaker`; the missing reference is made up for by never dropping it.
    BorrowedWaker(ManuallyDrop::new(unsafe { Waker::from_raw(raw) }))
}

/// The reference that the waker behind `data` stands for.
///
/// # Safety
/// `data` comes from a waker of this table. The result is that waker's own reference: leave it undropped unless the
/// waker ends here.
unsafe fn task_of(data: *const ()) -> ManuallyDrop<TaskRef> {
    // SAFETY: this table is only ever paired with a pointer to a header, which is not null.
    let header = unsafe { NonNull::new_unchecked(data.cast_mut().cast::<Header>()) };
    ManuallyDrop::new(TaskRef(header))
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: called through the table.
    let task = unsafe { task_of(data) };
    core::mem::forget(TaskRef::clone(&task));
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: called through the table; the waker ends here, and with it its reference.
    let task = ManuallyDrop::into_inner(unsafe { task_of(data) });
    wake_task(&task);
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: called through the table.
    let task = unsafe { task_of(data) };
    wake_task(&task);
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: called through the table; the waker ends here, and with it its reference.
    drop(ManuallyDrop::into_inner(unsafe { task_of(data) }));
}

fn wake_task(task: &TaskRef) {
    if task.header().state.wake() {
        // `wake` counted the reference that the queue will hold.
        current::enqueue(TaskRef(task.0), &task.header().remote);
    }
}

/// Asks `task` to end, and sees to it that the shard meets it soon. Owner thread only.
pub(super) fn abort_task(task: &TaskRef) {
    if task.header().state.abort() {
        // As above.
        current::enqueue(TaskRef(task.0), &task.header().remote);
    }
}
