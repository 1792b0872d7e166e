//! `Chunk`: many bytes that were received into memory of their own, to be passed on without a copy.

use core::fmt;
use core::ops::Deref;

use crate::current;

/// The most bytes of a chunk. A transfer of megabytes takes few system calls then, and what is received fits into the
/// cache of a core until it is passed on.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Bytes that a stream received, in memory that nobody else has: see `poll_chunk` of the streams. It may go to other
/// threads; the memory goes back to the shard in which it is dropped, or to the system where there is none.
///
/// However few bytes there are, the memory is that of [`CHUNK_BYTES`]: who keeps few of them copies them.
pub struct Chunk {
    /// There until the drop.
    memory: Box<[u8]>,
    length: usize,
}

impl Chunk {
    /// The first `length` bytes of `memory`.
    pub(super) fn new(memory: Box<[u8]>, length: usize) -> Self {
        assert!(length <= memory.len(), "a read stays within the memory it was given");
        Self { memory, length }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(core) = current::try_core() {
            core.buffers.give_back_chunk(core::mem::take(&mut self.memory));
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}
