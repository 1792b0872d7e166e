//! Wakers: a reference to a task that may cross threads, as `core::task` wants it.

use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::task::{RawWaker, RawWakerVTable, Waker};

use super::raw::Header;
use super::remote::Injected;
use super::{TaskId, TaskRef, current};
use crate::shard::Core;

/// One table for all tasks, so that `Waker::will_wake` is two comparisons.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A counted reference that any thread may hold. All it can do away from home is wake, clone and drop.
pub(crate) struct TaskWaker(NonNull<Header>);

// SAFETY: away from the task's own thread it touches only the shared half of the state, and fields that never change.
unsafe impl Send for TaskWaker {}
// SAFETY: as above.
unsafe impl Sync for TaskWaker {}

impl TaskWaker {
    fn header(&self) -> &Header {
        // SAFETY: a reference keeps its task alive.
        unsafe { self.0.as_ref() }
    }

    /// Wakes the task: puts it into its shard's queue where that is the current shard, else into its inject queue.
    fn wake(&self) {
        let header = self.header();
        let is_at_home = current::with(|core| {
            let Some(core) = core.filter(|core| core.remote.is(header.remote())) else {
                return false;
            };
            // The current shard is that of the task, so this is the task's own thread: `owned` is ours to touch.
            if header.owned.wake() {
                // `wake` counted the reference that the queue will hold.
                core.enqueue(TaskRef::counted(self.0));
            }
            true
        });
        if !is_at_home && header.shared.inject() {
            // `inject` counted the reference that the queue will hold.
            let refused = header.remote().inject.push(Injected::Wake(Self(self.0)));
            drop(refused);
        }
    }

    /// The task has arrived in its own shard, which is the current one.
    pub(crate) fn arrive(self) {
        self.header().shared.arrive();
        self.wake();
    }
}

impl Clone for TaskWaker {
    fn clone(&self) -> Self {
        self.header().shared.add_reference();
        Self(self.0)
    }
}

impl Drop for TaskWaker {
    fn drop(&mut self) {
        if self.header().shared.drop_reference() {
            // SAFETY: that was the last reference.
            unsafe { Header::free(self.0) };
        }
    }
}

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

/// Whether `waker` wakes this task of this shard, with no code of others in between.
pub(crate) fn wakes(waker: &Waker, core: &Core, task: TaskId) -> bool {
    if !ptr::eq(waker.vtable(), &raw const VTABLE) {
        return false;
    }
    // SAFETY: it is a waker of this table.
    let woken = unsafe { task_of(waker.data()) };
    woken.header().id == task && core.remote.is(woken.header().remote())
}

/// The reference that the waker behind `data` stands for.
///
/// # Safety
/// `data` comes from a waker of this table. The result is that waker's own reference: leave it undropped unless the
/// waker ends here.
unsafe fn task_of(data: *const ()) -> ManuallyDrop<TaskWaker> {
    // SAFETY: this table is only ever paired with a pointer to a header, which is not null.
    let header = unsafe { NonNull::new_unchecked(data.cast_mut().cast::<Header>()) };
    ManuallyDrop::new(TaskWaker(header))
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: called through the table.
    let task = unsafe { task_of(data) };
    core::mem::forget(TaskWaker::clone(&task));
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: called through the table; the waker ends here, and with it its reference.
    let task = ManuallyDrop::into_inner(unsafe { task_of(data) });
    task.wake();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: called through the table.
    let task = unsafe { task_of(data) };
    task.wake();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: called through the table; the waker ends here, and with it its reference.
    drop(ManuallyDrop::into_inner(unsafe { task_of(data) }));
}
