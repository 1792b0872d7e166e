//! Whose bytes are counted, through all that an allocator is asked for.

#![allow(unsafe_code, reason = "what an allocator does for odd sizes is asked of it directly")]
#![allow(clippy::disallowed_methods, reason = "a block may be freed by another thread")]

use std::alloc::{GlobalAlloc, Layout};
use std::panic::catch_unwind;
use std::thread;

use mainspring_sim_allocator::{CountingAllocator, Entered, Owner};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A type with an alignment of its own.
#[repr(align(4096))]
struct Page([u8; 4096]);

#[test]
fn a_block_is_its_owners_until_it_is_freed() {
    let (one, other) = (Owner::new(), Owner::new());
    let live = || (one.bytes_live(), other.bytes_live());
    let mut kept = one.enter(|| vec![1_u8; 100]);
    assert_eq!(live(), (Some(100), Some(0)));
    // Grown by another it stays whose it was.
    other.enter(|| kept.reserve_exact(900));
    assert_eq!(live(), (Some(1000), Some(0)));
    assert_eq!(kept, [1; 100]);
    kept.shrink_to_fit();
    assert_eq!(live(), (Some(100), Some(0)));
    other.enter(|| drop(kept));
    assert_eq!(live(), (Some(0), Some(0)));
    let zeroed = one.enter(|| vec![0_u64; 8]);
    assert_eq!((live(), zeroed.iter().sum()), ((Some(64), Some(0)), 0_u64));
    thread::scope(|scope| drop(scope.spawn(move || drop(zeroed))));
    assert_eq!(live(), (Some(0), Some(0)));
}

#[test]
fn who_keeps_account_may_charge_nobody() {
    let owner = Owner::new();
    let _entered = owner.entered();
    let account = {
        let _nobody = Entered::nobody();
        vec![1_u8; 100]
    };
    assert_eq!(owner.bytes_live(), Some(0));
    let kept = Box::new(7_u64);
    assert_eq!((owner.bytes_live(), account.len(), *kept), (Some(8), 100, 7));
}

#[test]
fn each_alignment_is_kept() {
    let owner = Owner::new();
    for shift in 0..13 {
        let layout = Layout::from_size_align(3, 1 << shift).expect("a layout");
        // SAFETY: its size is not 0.
        let block = owner.enter(|| unsafe { ALLOCATOR.alloc(layout) });
        assert!(!block.is_null() && block.addr().is_multiple_of(1 << shift), "{layout:?}");
        // SAFETY: three bytes were asked for.
        unsafe { block.write_bytes(7, 3) };
        // SAFETY: with its layout; the new size is none too large.
        let block = unsafe { ALLOCATOR.realloc(block, layout, 5000) };
        assert!(!block.is_null() && block.addr().is_multiple_of(1 << shift), "{layout:?}");
        assert_eq!(owner.bytes_live(), Some(5000));
        // SAFETY: it has 5000 bytes, of which three were written.
        let last = unsafe { block.add(2) };
        // SAFETY: as above.
        assert_eq!(unsafe { last.read() }, 7);
        let layout = Layout::from_size_align(5000, 1 << shift).expect("a layout");
        // SAFETY: with the layout that it has now.
        unsafe { ALLOCATOR.dealloc(block, layout) };
        assert_eq!(owner.bytes_live(), Some(0));
    }
    let page = owner.enter(|| Box::new(Page([9; 4096])));
    assert!((&raw const *page).addr().is_multiple_of(4096));
    assert_eq!((owner.bytes_live(), page.0[4095]), (Some(4096), 9));
}

/// A size to which no header can be added is refused, not wrapped.
#[test]
fn too_much_is_refused() {
    let layout = Layout::from_size_align(isize::MAX.unsigned_abs() - 7, 8).expect("a layout");
    // SAFETY: its size is not 0.
    assert!(unsafe { ALLOCATOR.alloc(layout) }.is_null());
    // SAFETY: as above.
    assert!(unsafe { ALLOCATOR.alloc_zeroed(layout) }.is_null());
    let small = Layout::from_size_align(8, 8).expect("a layout");
    // SAFETY: its size is not 0.
    let block = unsafe { ALLOCATOR.alloc(small) };
    // SAFETY: with its layout, and a size that a layout may have.
    assert!(unsafe { ALLOCATOR.realloc(block, small, layout.size()) }.is_null());
    // SAFETY: it is as it was, for it was not resized.
    unsafe { ALLOCATOR.dealloc(block, small) };
}

#[test]
fn the_owner_before_comes_back() {
    let (outer, inner) = (Owner::new(), Owner::new());
    let kept = outer.enter(|| {
        let first = inner.enter(|| vec![1_u8; 10]);
        let panicked = catch_unwind(|| inner.enter(|| panic!("on purpose")));
        assert!(panicked.is_err());
        drop(panicked);
        (first, vec![1_u8; 20])
    });
    assert_eq!(outer.bytes_live(), Some(20));
    assert!(inner.bytes_live() >= Some(10));
    drop(kept);
    assert_eq!(outer.bytes_live(), Some(0));
}

/// One that has left something behind is not given out again before that is gone.
#[test]
fn a_new_owner_has_nothing() {
    let mut left = Vec::new();
    for _ in 0..1000 {
        let owner = Owner::new();
        assert_eq!(owner.bytes_live(), Some(0));
        left.push(owner.enter(|| Box::new(1_u8)));
    }
    // More than the table has, but for those that are clean.
    drop(left);
    for _ in 0..200_000 {
        assert_eq!(Owner::new().bytes_live(), Some(0));
    }
}
