//! The system's allocator, which counts while it is told to: one predicted branch a call for the other cases, the same
//! for all peers.

#![expect(
    unsafe_code,
    reason = "a global allocator is unsafe by its trait; this one only passes on"
)]

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize};
use std::alloc::{GlobalAlloc, Layout, System};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

/// Starts to count, from zero.
pub fn start() {
    BYTES.store(0, Relaxed);
    CALLS.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
}

/// Stops counting: bytes allocated less bytes freed, and how often memory was asked for.
pub fn stop() -> (isize, usize) {
    COUNTS.store(false, Relaxed);
    (BYTES.load(Relaxed), CALLS.load(Relaxed))
}

#[cold]
fn count(allocated: usize, freed: usize) {
    BYTES.fetch_add(allocated as isize - freed as isize, Relaxed);
    CALLS.fetch_add(usize::from(allocated > 0), Relaxed);
}

// SAFETY: all calls go to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Relaxed) {
            count(layout.size(), 0);
        }
        // SAFETY: the caller's promise is the one this needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if COUNTS.load(Relaxed) {
            count(0, layout.size());
        }
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Relaxed) {
            count(layout.size(), 0);
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTS.load(Relaxed) {
            count(size, layout.size());
        }
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}
