//! `TaskMemory`: the blocks that ended tasks left behind, for the next ones of about their size.
//!
//! A server spawns and ends tasks of a few sizes all day. A general allocator serves threads and sizes of all kinds, and
//! takes about as long for one such block as the rest of the spawn; a list of one thread takes a push and a pop.
//!
//! Invariant: a block is in a list, or in the hands of one task, or back with the allocator.

use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::NonNull;
use std::alloc::{alloc, dealloc, handle_alloc_error};

/// Sizes of blocks, in bytes: sixteen less than round numbers, where allocators that keep a word beside each block have
/// theirs. What is larger than the last comes from the allocator and goes back there.
const CLASS_BYTES: [usize; 5] = [80, 112, 176, 240, 496];

/// The alignment of all blocks: what the allocator gives anyway.
const CLASS_ALIGN: usize = 16;

/// Blocks that a list keeps. Beyond it they go back, so that one busy moment does not hold its memory for ever.
const SPARE_MAX: usize = 1024;

/// The spare blocks of a shard, a list for each size.
#[derive(Default)]
pub(crate) struct TaskMemory {
    spare: [RefCell<Vec<NonNull<u8>>>; CLASS_BYTES.len()],
}

/// What is taken and given back for things of one layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    layout: Layout,
    /// Which list keeps it; none where it is too large or wants to be aligned too well.
    class: Option<usize>,
}

impl Block {
    /// The block for `wanted`: of the smallest class that it fits.
    pub(super) const fn of(wanted: Layout) -> Self {
        assert!(wanted.size() > 0, "a task has a header");
        let mut class = 0;
        while class < CLASS_BYTES.len() && wanted.align() <= CLASS_ALIGN {
            if wanted.size() <= CLASS_BYTES[class] {
                return Self::of_class(class);
            }
            class += 1;
        }
        Self { layout: wanted, class: None }
    }

    /// In bytes.
    #[cfg(test)]
    pub(super) fn size(self) -> usize {
        self.layout.size()
    }

    const fn of_class(class: usize) -> Self {
        match Layout::from_size_align(CLASS_BYTES[class], CLASS_ALIGN) {
            Ok(layout) => Self { layout, class: Some(class) },
            Err(_) => panic!("the classes are layouts"),
        }
    }
}

impl TaskMemory {
    /// Memory for `block`.
    #[inline]
    pub(super) fn take(&self, block: Block) -> NonNull<u8> {
        let spare = block.class.and_then(|class| self.spare[class].borrow_mut().pop());
        spare.unwrap_or_else(|| allocate(block))
    }

    /// Takes back what [`TaskMemory::take`] gave for the same `block`, of this shard or another.
    ///
    /// # Safety
    /// It is not used any more.
    #[inline]
    pub(super) unsafe fn give_back(&self, memory: NonNull<u8>, block: &Block) {
        if let Some(class) = block.class {
            let mut spare = self.spare[class].borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(memory);
                return;
            }
        }
        // SAFETY: by the caller.
        unsafe { release(memory, block) };
    }
}

#[cold]
fn allocate(block: Block) -> NonNull<u8> {
    // SAFETY: `Block::of` has seen that it is not empty.
    let memory = unsafe { alloc(block.layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(block.layout))
}

/// Gives what [`TaskMemory::take`] gave for the same `block` to the allocator, on any thread.
///
/// # Safety
/// It is not used any more.
#[cold]
pub(super) unsafe fn release(memory: NonNull<u8>, block: &Block) {
    // SAFETY: allocated with this very layout, by the caller's promise.
    unsafe { dealloc(memory.as_ptr(), block.layout) };
}

impl Drop for TaskMemory {
    fn drop(&mut self) {
        for (class, spare) in self.spare.iter_mut().enumerate() {
            for memory in spare.get_mut().drain(..) {
                // SAFETY: in the list, so nobody uses it.
                unsafe { release(memory, &Block::of_class(class)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(size: usize, align: usize) -> Block {
        Block::of(Layout::from_size_align(size, align).unwrap())
    }

    #[test]
    fn a_block_is_large_enough_and_aligned() {
        for (size, align) in [(64, 8), (112, 8), (113, 16), (497, 8), (64, 64), (100_000, 4096)] {
            let layout = block(size, align).layout;
            let fits = layout.size() >= size && layout.align() >= align;
            assert!(fits, "{size} at {align}: {layout:?}");
        }
    }

    #[test]
    fn a_block_comes_back_for_its_own_size_only() {
        let memory = TaskMemory::default();
        let first = memory.take(block(112, 8));
        // SAFETY: not used.
        unsafe { memory.give_back(first, &block(112, 8)) };
        let larger = memory.take(block(113, 8));
        assert_ne!(larger, first);
        assert_eq!(memory.take(block(100, 8)), first);
        // SAFETY: not used.
        unsafe { release(first, &block(100, 8)) };
        // SAFETY: not used.
        unsafe { memory.give_back(larger, &block(113, 8)) };
    }

    #[test]
    fn the_lists_are_bounded() {
        let memory = TaskMemory::default();
        let blocks: Vec<_> = (0..=SPARE_MAX).map(|_| memory.take(block(64, 8))).collect();
        for given in blocks {
            // SAFETY: not used.
            unsafe { memory.give_back(given, &block(64, 8)) };
        }
        assert_eq!(memory.spare[0].borrow().len(), SPARE_MAX);
    }
}
