//! `CountingAllocator`: the system's allocator, with a header in front of each block that says whose it is.
//!
//! ```text
//!   base                user
//!    │   …   │ owner     │ what was asked for
//!    └───────┴───────────┴──────────────────────
//!            ◄─ 4 bytes ─►
//!    ◄────── offset ─────►
//! ```
//!
//! Invariant: `offset` is a function of the alignment alone, a multiple of it and at least 8, and a block is freed and resized with
//! the alignment that it was allocated with (the contract of `GlobalAlloc`). So from `user` its header and `base` are found again.

#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait; see the top of the file")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use std::alloc::System;
use std::process::abort;

use crate::owner;

/// Counts the live bytes of each [`Owner`](crate::Owner), and has the system's allocator do the work. To be the
/// `#[global_allocator]` of a test.
#[derive(Debug)]
pub struct CountingAllocator;

/// Room for the number of an owner, in front of each block.
const HEADER_BYTES: usize = 8;

const fn offset(layout: Layout) -> usize {
    if layout.align() > HEADER_BYTES { layout.align() } else { HEADER_BYTES }
}

/// The layout of a block with its header. `None`: it is too large.
fn whole(layout: Layout) -> Option<Layout> {
    let offset = offset(layout);
    // The offset is the larger of both alignments, too.
    Layout::from_size_align(layout.size().checked_add(offset)?, offset).ok()
}

/// Writes the header of a block, if there is one, and counts it. Gives what the program gets.
///
/// # Safety
/// `base` is null, or points to a block of `whole(layout)` that is the caller's.
unsafe fn begin(base: *mut u8, layout: Layout, owner: u32) -> *mut u8 {
    if base.is_null() {
        return base;
    }
    owner::add(owner, layout.size());
    // SAFETY: the block has `offset` bytes, and then those of `layout`.
    let user = unsafe { base.add(offset(layout)) };
    // SAFETY: it came from the block just now.
    let header = unsafe { header(user) };
    // SAFETY: `offset` is a multiple of 8 and no less, so these four bytes are inside of the block, and at a multiple of four.
    unsafe { header.write(owner) };
    user
}

/// Where the header of a block is.
///
/// # Safety
/// `user` lies `offset` bytes behind the start of its block.
unsafe fn header(user: *mut u8) -> *mut u32 {
    // SAFETY: at least 8 bytes of the block lie in front of it.
    unsafe { user.sub(size_of::<u32>()) }.cast()
}

// SAFETY: each method asks the system's allocator for the block with its header, and gives out the part behind that, which has
// the size and the alignment that were asked for. Nothing here panics, or allocates.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(whole) = whole(layout) else { return ptr::null_mut() };
        // SAFETY: its size is not 0, for the header is part of it.
        let base = unsafe { System.alloc(whole) };
        // SAFETY: it is null, or such a block.
        unsafe { begin(base, layout, owner::current()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(whole) = whole(layout) else { return ptr::null_mut() };
        // SAFETY: as in `alloc`.
        let base = unsafe { System.alloc_zeroed(whole) };
        // SAFETY: it is null, or such a block. Only the header is written, so the rest is 0.
        unsafe { begin(base, layout, owner::current()) }
    }

    unsafe fn dealloc(&self, user: *mut u8, layout: Layout) {
        // SAFETY: the caller has it from here, with this layout.
        let header = unsafe { header(user) };
        // SAFETY: `begin` wrote it.
        owner::remove(unsafe { header.read() }, layout.size());
        // SAFETY: `begin` went so far from the start of the block.
        let base = unsafe { user.sub(offset(layout)) };
        // It was allocated with this layout; and an allocator must not unwind.
        let Some(whole) = whole(layout) else { abort() };
        // SAFETY: that is how it was allocated.
        unsafe { System.dealloc(base, whole) };
    }

    unsafe fn realloc(&self, user: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let grown = Layout::from_size_align(size, layout.align()).ok().and_then(whole);
        let Some(grown) = grown else { return ptr::null_mut() };
        // SAFETY: the caller has it from here, with this layout.
        let header = unsafe { header(user) };
        // SAFETY: `begin` wrote it.
        let owner = unsafe { header.read() };
        // SAFETY: as in `dealloc`.
        let base = unsafe { user.sub(offset(layout)) };
        let Some(whole) = whole(layout) else { abort() };
        // SAFETY: that is how it was allocated, and the size is one that a layout may have, and not 0.
        let moved = unsafe { System.realloc(base, whole, grown.size()) };
        if moved.is_null() {
            return moved;
        }
        owner::add(owner, size);
        owner::remove(owner, layout.size());
        // SAFETY: the new block has `offset` bytes, with the header as it was, and then those of the new size.
        unsafe { moved.add(offset(layout)) }
    }
}
