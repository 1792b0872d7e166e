//! A task in memory: one allocation that holds its header, then its future or, later, its output. Where a task has a name, a
//! scope or a context these are in front of its header, in the same allocation.
//!
//! This is the unsafe core. It rests on two rules, kept by the callers named at each `SAFETY`:
//!
//! 1. **Owner thread.** Future, output and extras are touched only on the thread of the shard that spawned the task. The
//!    shard, `TaskRef` and `JoinHandle` are `!Send`; foreign threads hold wakers, which reach only the header's atomic
//!    parts. Who drops the very last reference has the task to itself, whatever its thread: by then all three
//!    are gone.
//! 2. **State decides.** Not COMPLETE: the storage holds the future. COMPLETE and not TAKEN: the output. Both set:
//!    nothing. Whoever sets RUNNING has the storage to itself until it clears it.

use core::alloc::Layout;
use core::any::Any;
use core::cell::{Cell as Plain, UnsafeCell};
use core::future::Future;
use core::mem::ManuallyDrop;
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::current;
use super::extras::{Extras, Kept};
use super::kind::KindRef;
use super::memory::{Block, TaskMemory, release};
use super::owned::Owned;
use super::remote::{Remote, RemoteOwner};
use super::shared::Shared;
use super::{JoinError, TaskId};
use crate::instant::Instant;

/// What is known of a task without knowing the type of its future.
pub(super) struct Header {
    /// What it has in common with others.
    pub(super) kind: KindRef,
    pub(super) id: TaskId,
    /// The task that spawned it.
    parent: TaskId,
    pub(super) spawned_at: Instant,
    /// Owner thread only.
    pub(super) owned: Owned,
    pub(super) shared: Shared,
    /// The task's place in the shard's registry.
    pub(super) slot: u32,
    /// How often it was polled; stays at the largest number. Owner thread only.
    pub(super) polls: Plain<u32>,
}

const _: () =
    assert!(size_of::<Header>() <= 48, "the header of a task is three quarters of a cache line");

/// Stands for the parent of a task that was spawned outside of tasks: ids are counted up from zero.
const NO_PARENT: TaskId = TaskId(u64::MAX);

/// What has to know the type of the future.
pub(super) struct VTable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<()>,
    cancel: unsafe fn(NonNull<Header>),
    take_output: unsafe fn(NonNull<Header>, *mut ()),
    drop_output: unsafe fn(NonNull<Header>) -> Option<Box<dyn Any + Send>>,
    /// Of the `Cell`.
    layout: Layout,
    /// What it is in, where nothing is in front of it.
    block: Block,
}

/// What is in the allocation, behind the extras where there are some. `repr(C)` puts the header first, so that a pointer
/// to one is a pointer to the other.
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

/// What a new task starts with.
pub(crate) struct Birth {
    pub(crate) id: TaskId,
    pub(crate) slot: u32,
    pub(crate) parent: Option<TaskId>,
    pub(crate) spawned_at: Instant,
    pub(crate) origin: &'static Location<'static>,
    pub(crate) extras: Extras,
}

/// Allocates a task. The caller owns the three references of [`Owned::new`], which are one of [`Shared::new`].
#[inline]
pub(super) fn allocate<F: Future + 'static>(
    future: F,
    birth: Birth,
    remote: &RemoteOwner,
    memory: &TaskMemory,
) -> NonNull<Header> {
    let Birth { id, slot, parent, spawned_at, origin, extras } = birth;
    let vtable = const { &vtable::<F>() };
    let kind = remote.lend(vtable, origin);
    let (has_extras, has_context) = (!extras.is_empty(), extras.context.is_some());
    let task = if has_extras {
        take_with(extras, vtable.layout, memory)
    } else {
        memory.take(const { Block::of(Layout::new::<Cell<F>>()) })
    };
    // SAFETY: the block was taken for this very layout.
    let storage = unsafe { &raw mut (*task.cast::<Cell<F>>().as_ptr()).storage };
    // SAFETY: as above, and the block is ours.
    unsafe { storage.cast::<F>().write(future) };
    // Part by part and this at the end: what is put together elsewhere first is copied, and the copy waits for its parts.
    let header = Header {
        kind,
        id,
        parent: parent.unwrap_or(NO_PARENT),
        spawned_at,
        owned: Owned::new(has_extras, has_context),
        shared: Shared::new(),
        slot,
        polls: Plain::new(0),
    };
    let task = task.cast::<Header>();
    // SAFETY: as above; the header comes first.
    unsafe { task.write(header) };
    task
}

/// The block of a task with extras, and where in it the header is.
fn block_with_extras(cell: Layout) -> (Block, usize) {
    let (layout, offset) = Layout::new::<Kept>().extend(cell).expect("a task fits into memory");
    (Block::of(layout), offset)
}

/// A block with room for a `Cell` of that layout: a pointer to that. The extras are in front of it.
#[inline(never)]
fn take_with(extras: Extras, cell: Layout, memory: &TaskMemory) -> NonNull<u8> {
    let (block, offset) = block_with_extras(cell);
    // SAFETY: within the block.
    let task = unsafe { memory.take(block).add(offset) };
    // SAFETY: the offset has room for them.
    let place = unsafe { in_front_of(task) };
    // SAFETY: as above, and the block is ours.
    unsafe { place.write(Kept::new(extras)) };
    task
}

/// Where the extras are of a task that is at `task`; aligned, for the task is aligned as they are or more.
///
/// # Safety
/// `task` is a pointer to all of a block from [`take_with`].
unsafe fn in_front_of(task: NonNull<u8>) -> NonNull<Kept> {
    // SAFETY: by the caller.
    unsafe { task.cast::<Kept>().sub(1) }
}

pub(super) const fn vtable<F: Future + 'static>() -> VTable {
    const { assert!(align_of::<Cell<F>>() >= align_of::<Kept>(), "extras fit in front of any task") };
    VTable {
        poll: poll::<F>,
        cancel: cancel::<F>,
        take_output: take_output::<F>,
        drop_output: drop_output::<F>,
        layout: Layout::new::<Cell<F>>(),
        block: const { Block::of(Layout::new::<Cell<F>>()) },
    }
}

impl Header {
    /// Polls the future; on Ready, or if it panics, the output is stored and the future dropped.
    ///
    /// # Safety
    /// `task` is alive, this is its owner thread, and the caller set RUNNING.
    pub(super) unsafe fn poll(task: NonNull<Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: alive, by the caller.
        let vtable = unsafe { task.as_ref() }.kind.vtable;
        // SAFETY: the caller's promise is the one this needs; the vtable belongs to this very task.
        unsafe { (vtable.poll)(task, cx) }
    }

    /// Drops the future and stores [`JoinError::Cancelled`].
    ///
    /// # Safety
    /// As for [`Header::poll`].
    pub(super) unsafe fn cancel(task: NonNull<Self>) {
        // SAFETY: alive, by the caller.
        let vtable = unsafe { task.as_ref() }.kind.vtable;
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
        let vtable = unsafe { task.as_ref() }.kind.vtable;
        // SAFETY: as above.
        unsafe { (vtable.take_output)(task, target) }
    }

    /// Drops the output. Gives the payload back if it was a panic, so that somebody reports it.
    ///
    /// # Safety
    /// `task` is alive, this is its owner thread, and the caller set TAKEN just now.
    pub(super) unsafe fn drop_output(task: NonNull<Self>) -> Option<Box<dyn Any + Send>> {
        // SAFETY: alive, by the caller.
        let vtable = unsafe { task.as_ref() }.kind.vtable;
        // SAFETY: as above.
        unsafe { (vtable.drop_output)(task) }
    }

    /// Frees the allocation; any thread may.
    ///
    /// # Safety
    /// The caller dropped the last reference. Nothing is stored by then: the registry's reference goes after
    /// COMPLETE and with the extras, and the handle's after TAKEN.
    #[inline(never)]
    pub(super) unsafe fn free(task: NonNull<Self>) {
        // SAFETY: alive until the end of this.
        let header = unsafe { task.as_ref() };
        assert!(header.owned.is_empty(), "a task is freed when nothing is stored in it");
        let has_extras = header.owned.has_extras();
        // SAFETY: what else is in the header needs no drop, and is not used any more.
        let kind = unsafe { core::ptr::read(&raw const header.kind) };
        if has_extras {
            // SAFETY: alive, and the caller's alone.
            let (memory, block) = unsafe { Self::end_extras(task, &kind) };
            // SAFETY: not used any more.
            unsafe { give_back(memory, &block, kind) };
        } else {
            let block = &kind.vtable.block;
            // SAFETY: as above.
            unsafe { give_back(task.cast(), block, kind) };
        }
    }

    /// What a task with extras is in. Apart, because [`Header::free`] is in the way of every task.
    ///
    /// # Safety
    /// `task` is alive, has extras, and is the caller's alone.
    #[inline(never)]
    unsafe fn end_extras(task: NonNull<Self>, kind: &KindRef) -> (NonNull<u8>, Block) {
        // SAFETY: by the caller.
        let extras = unsafe { Self::extras(task) }.expect("the caller has looked");
        assert!(extras.borrow().is_empty(), "a task is freed when it has left the registry");
        let (block, offset) = block_with_extras(kind.vtable.layout);
        // SAFETY: `take_with` put it there.
        (unsafe { task.cast::<u8>().sub(offset) }, block)
    }

    /// The extras in front of the header, if there are some.
    ///
    /// # Safety
    /// `task` is alive for as long as the result is used, and this is its owner thread, or the caller has it to itself.
    pub(super) unsafe fn extras<'a>(task: NonNull<Self>) -> Option<&'a Kept> {
        // SAFETY: alive, by the caller.
        if !unsafe { task.as_ref() }.owned.has_extras() {
            return None;
        }
        // SAFETY: the state says so. `task` is a pointer to all of the block: it was never made from a reference to a part.
        let extras = unsafe { in_front_of(task.cast()) };
        // SAFETY: `take_with` put them there.
        Some(unsafe { extras.as_ref() })
    }

    /// How to reach the shard from anywhere.
    pub(super) fn remote(&self) -> &Remote {
        self.kind.remote()
    }

    /// The task that spawned it; `None` for one from outside of tasks.
    pub(super) fn parent(&self) -> Option<TaskId> {
        (self.parent != NO_PARENT).then_some(self.parent)
    }
}

/// Ends a task that was in `memory`: at home where this is home.
///
/// # Safety
/// The memory is that of `block`, and not used any more.
#[inline]
unsafe fn give_back(memory: NonNull<u8>, block: &Block, kind: KindRef) {
    let foreign = current::with(|core| {
        let Some(core) = core.filter(|core| core.remote.is(kind.remote())) else {
            return Some(kind);
        };
        // SAFETY: by the caller.
        unsafe { core.task_memory.give_back(memory, block) };
        core.remote.end(kind);
        None
    });
    if let Some(kind) = foreign {
        // SAFETY: by the caller.
        unsafe { release(memory, block) };
        drop(kind);
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

#[cfg(test)]
mod tests {
    use super::super::TaskRef;
    use super::*;

    struct Words<const COUNT: usize>([u64; COUNT]);

    impl<const COUNT: usize> Future for Words<COUNT> {
        type Output = u64;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
            Poll::Ready(self.0[0])
        }
    }

    /// The target of the design: one allocation, and with the place in the registry at most 128 bytes for a future of 64.
    #[test]
    fn a_task_with_a_future_of_64_bytes_takes_128() {
        let block = vtable::<Words<8>>().block.size();
        assert!(block + size_of::<Option<TaskRef>>() <= 128, "{block}");
    }

    #[test]
    fn the_extras_are_right_in_front_of_the_header() {
        #[repr(align(256))]
        struct Aligned(Words<1>);
        impl Future for Aligned {
            type Output = u64;
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
                Pin::new(&mut self.0).poll(cx)
            }
        }
        fn check<F: Future + 'static>() {
            let memory = TaskMemory::default();
            let cell = Layout::new::<Cell<F>>();
            let extras = Extras { name: Some("a name".into()), ..Extras::default() };
            let task = take_with(extras, cell, &memory);
            assert_eq!(task.addr().get() % cell.align(), 0);
            let (block, offset) = block_with_extras(cell);
            assert!(offset + cell.size() <= block.size());
            // SAFETY: from `take_with`.
            let extras = unsafe { in_front_of(task) };
            // SAFETY: as above.
            let extras = unsafe { extras.as_ref() }.take();
            assert_eq!(extras.name.as_deref(), Some("a name"));
            // SAFETY: from there to `task`.
            let start = unsafe { task.sub(offset) };
            // SAFETY: not used any more.
            unsafe { memory.give_back(start, &block) };
        }
        check::<Words<1>>();
        check::<Words<200>>();
        check::<Aligned>();
    }
}
