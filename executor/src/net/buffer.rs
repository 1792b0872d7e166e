//! Receive buffers, lent to streams that hold unread bytes: an idle connection holds none, and one whose message comes in pieces
//! holds as much as has come of it.

use core::cell::RefCell;
use core::fmt;
use std::rc::{Rc, Weak};

use super::CHUNK_BYTES;

/// The size of a receive buffer. Large enough that the body of a big upload takes few system calls, and a whole
/// message head always fits. The bound of what a stream holds of bytes that its reader did not consume.
pub const RECV_BUFFER_BYTES: usize = 64 * 1024;

/// Buffers kept for reuse: 1 MiB. Few are out at a time, and the one given back last is used first, so
/// that all connections of a turn share the same warm memory.
const POOLED_MAX: usize = 16;

/// Bytes that are moved to memory of their own when their stream waits for more: most heads that come in pieces. To move
/// more costs more than it saves.
const SETTLED_BYTES_MAX: usize = RECV_BUFFER_BYTES / 8;

/// Memory of chunks kept for reuse: as much once more.
const POOLED_CHUNKS_MAX: usize = 4;

thread_local! {
    static POOL: RefCell<Weak<BufferPool>> = const { RefCell::new(Weak::new()) };
}

/// The spare buffers of the shards of a thread, as long as there are any. As a rule it has one; a simulated room has one for each of
/// its machines, which need a buffer no more often than one of them would.
#[derive(Default)]
pub(crate) struct BufferPool {
    spare: RefCell<Vec<Box<[u8]>>>,
    spare_chunks: RefCell<Vec<Box<[u8]>>>,
}

impl BufferPool {
    /// That of this thread.
    pub(crate) fn of_thread() -> Rc<Self> {
        POOL.with_borrow_mut(|pool| {
            pool.upgrade().unwrap_or_else(|| {
                let made = Rc::default();
                *pool = Rc::downgrade(&made);
                made
            })
        })
    }

    fn take(&self) -> Box<[u8]> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| vec![0; RECV_BUFFER_BYTES].into_boxed_slice())
    }

    fn give_back(&self, buffer: Box<[u8]>) {
        if buffer.len() < RECV_BUFFER_BYTES {
            return;
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < POOLED_MAX {
            spare.push(buffer);
        }
    }

    /// Memory for a chunk.
    pub(super) fn take_chunk(&self) -> Box<[u8]> {
        let spare = self.spare_chunks.borrow_mut().pop();
        spare.unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice())
    }

    pub(super) fn give_back_chunk(&self, memory: Box<[u8]>) {
        let mut spare = self.spare_chunks.borrow_mut();
        if spare.len() < POOLED_CHUNKS_MAX {
            spare.push(memory);
        }
    }
}

/// The bytes that a stream received and its reader did not consume.
#[derive(Default)]
pub(super) struct RecvBuffer {
    /// Lent from the pool while there are bytes, and during a read; of its own while more is waited for.
    memory: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl RecvBuffer {
    /// A buffer with bytes that another one held.
    pub(super) fn holding(bytes: &[u8], pool: &BufferPool) -> Self {
        let mut buffer = Self::default();
        if !bytes.is_empty() {
            buffer.room(pool)[..bytes.len()].copy_from_slice(bytes);
            buffer.filled(bytes.len());
        }
        buffer
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[self.start..self.end])
    }

    /// The room behind the bytes, made as large as can be.
    ///
    /// # Panics
    /// When the buffer is full.
    pub(super) fn room(&mut self, pool: &BufferPool) -> &mut [u8] {
        let is_settled = |memory: &mut Box<[u8]>| memory.len() < RECV_BUFFER_BYTES;
        if let Some(settled) = self.memory.take_if(is_settled) {
            let memory = self.memory.insert(pool.take());
            memory[..self.end].copy_from_slice(&settled[..self.end]);
        }
        let memory = self.memory.get_or_insert_with(|| pool.take());
        // Moved to the front only when little room is left: small reads behind a partial message stay cheap.
        if self.start > 0 && memory.len() - self.end < RECV_BUFFER_BYTES / 2 {
            memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        assert!(self.end < memory.len(), "the receive buffer is full: consume before you fill");
        &mut memory[self.end..]
    }

    /// Counts in what was read into the room.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= RECV_BUFFER_BYTES, "a read stays within the room it was given");
    }

    /// Drops the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "only bytes that are there can be consumed");
        self.start += count;
    }

    /// Makes do with memory for the bytes alone, for a wait that may be long: a message that comes in pieces, or that never
    /// comes to its end, holds no more than has come of it.
    pub(super) fn settle(&mut self, pool: &BufferPool) {
        let is_large = |memory: &mut Box<[u8]>| memory.len() == RECV_BUFFER_BYTES;
        if !(1..=SETTLED_BYTES_MAX).contains(&(self.end - self.start)) {
            return;
        }
        let Some(memory) = self.memory.take_if(is_large) else { return };
        self.memory = Some(Box::from(&memory[self.start..self.end]));
        (self.start, self.end) = (0, self.end - self.start);
        pool.give_back(memory);
    }

    /// Gives the memory back if no bytes are left in it.
    #[inline]
    pub(super) fn release(&mut self, pool: &BufferPool) {
        if self.start < self.end {
            return;
        }
        if let Some(memory) = self.memory.take() {
            (self.start, self.end) = (0, 0);
            pool.give_back(memory);
        }
    }

    /// Forgets the bytes and gives the memory back.
    pub(super) fn clear(&mut self, pool: &BufferPool) {
        self.start = self.end;
        self.release(pool);
    }
}

impl fmt::Debug for RecvBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.end - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_holds_no_memory() {
        let pool = BufferPool::default();
        let mut buffer = RecvBuffer::default();
        buffer.room(&pool)[..3].copy_from_slice(b"abc");
        buffer.filled(3);
        buffer.consume(2);
        buffer.release(&pool);
        assert_eq!(buffer.bytes(), b"c");
        buffer.consume(1);
        buffer.release(&pool);
        assert!(buffer.memory.is_none());
        assert_eq!(pool.spare.borrow().len(), 1);
    }

    #[test]
    fn what_waits_for_more_holds_no_more_than_has_come() {
        let pool = BufferPool::default();
        let mut buffer = RecvBuffer::default();
        buffer.settle(&pool);
        assert!(buffer.memory.is_none());
        for (length, settled) in [(5, 3), (SETTLED_BYTES_MAX + 3, RECV_BUFFER_BYTES)] {
            buffer.room(&pool)[..length].fill(7);
            buffer.filled(length);
            buffer.consume(2);
            let bytes = buffer.bytes().to_vec();
            for _ in 0..2 {
                buffer.settle(&pool);
                assert_eq!(
                    (buffer.memory.as_ref().map(|it| it.len()), buffer.bytes()),
                    (Some(settled), &bytes[..])
                );
            }
            buffer.room(&pool)[0] = 8;
            buffer.filled(1);
            assert_eq!(buffer.bytes(), [&bytes[..], &[8]].concat());
            assert_eq!(buffer.memory.as_ref().map(|it| it.len()), Some(RECV_BUFFER_BYTES));
            buffer.settle(&pool);
            buffer.consume(bytes.len() + 1);
            buffer.release(&pool);
            assert!(buffer.memory.is_none());
            assert_eq!(pool.spare.borrow().len(), 1);
        }
    }

    #[test]
    fn unread_bytes_survive_the_move_to_the_front() {
        let pool = BufferPool::default();
        let mut buffer = RecvBuffer::default();
        buffer.room(&pool).fill(7);
        buffer.filled(RECV_BUFFER_BYTES);
        buffer.consume(RECV_BUFFER_BYTES - 2);
        let room = buffer.room(&pool);
        assert_eq!(room.len(), RECV_BUFFER_BYTES - 2);
        room[0] = 8;
        buffer.filled(1);
        assert_eq!(buffer.bytes(), &[7, 7, 8]);
    }
}
