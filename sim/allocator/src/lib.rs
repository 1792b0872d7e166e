//! A global allocator that counts how many bytes of each owner are alive: of each simulated host, that is.
//!
//! ```
//! use mainspring_sim_allocator::{CountingAllocator, Owner};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! let owner = Owner::new();
//! let kept = owner.enter(|| vec![0_u8; 1000]);
//! assert_eq!(owner.bytes_live(), Some(1000));
//! drop(kept);
//! assert_eq!(owner.bytes_live(), Some(0));
//! ```
//!
//! # Whose a block is
//! A block belongs to the owner that was entered on the thread when it was allocated, and counts as that one's until it is freed,
//! whoever frees it, on whichever thread. For that each block has a header in front of it with the number of its owner: 8 bytes,
//! or as many as the block's alignment where that is more. The count is of the bytes that were asked for, without the header. What
//! is grown or shrunk in place stays whose it was.
//!
//! # What it does not know
//! Which type a block is, and where it was allocated. For that there are heap profilers.
//!
//! # Unsafe code
//! `GlobalAlloc` is an unsafe trait, and the header is written to raw memory. All of it is in `block.rs`; the invariant is there.

mod block;
mod owner;

pub use block::CountingAllocator;
pub use owner::{Entered, Owner};
