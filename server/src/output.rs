//! `Output`: what a connection still has to write, in order: small things copied together, big ones by reference.
//!
//! Invariant: bytes leave in the order in which they were added; at most one piece by reference waits at the end.

use core::cell::RefCell;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A body piece of at least this size is written from where it lies. Below it, copying is cheaper than a second
/// element in the system call.
const REFERENCE_BYTES_MIN: usize = 16 * 1024;

/// Copied bytes that may wait before they have to be written. A batch of pipelined answers fits; the bound keeps a
/// client that never reads from filling the memory.
const COPIED_BYTES_HIGH: usize = 64 * 1024;

/// Memory kept for other connections when one has nothing more to write. More than that is freed.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// So many such pieces of memory are kept.
const KEPT_MAX: usize = 256;

/// The unwritten bytes of a connection.
#[derive(Default)]
pub(crate) struct Output {
    copied: Vec<u8>,
    /// How much of `copied` is written.
    written: usize,
    /// Goes out after `copied`.
    referenced: Bytes,
}

impl Output {
    /// The place to append to, in memory of the pool where there was none.
    ///
    /// # Panics
    /// While a piece by reference waits: what is appended would overtake it. See [`Output::takes_more`].
    pub(crate) fn buffer(&mut self, pool: &OutputPool) -> &mut Vec<u8> {
        assert!(self.referenced.is_empty(), "nothing overtakes a piece by reference");
        if self.copied.capacity() == 0 {
            self.copied = pool.0.borrow_mut().pop().unwrap_or_default();
        }
        &mut self.copied
    }

    /// Whether more may be appended before some is written.
    pub(crate) fn takes_more(&self) -> bool {
        self.referenced.is_empty() && self.copied.len() - self.written < COPIED_BYTES_HIGH
    }

    /// Whether a piece of this size is better written from where it lies.
    pub(crate) fn prefers_reference(length: usize) -> bool {
        length >= REFERENCE_BYTES_MIN
    }

    /// Appends a piece by reference.
    pub(crate) fn refer(&mut self, piece: Bytes) {
        assert!(self.referenced.is_empty(), "one piece by reference at a time");
        self.referenced = piece;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.copied.len() && self.referenced.is_empty()
    }

    /// Calls `write` with what is to be written now, and how many slices of it count.
    pub(crate) fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let copied = IoSlice::new(&self.copied[self.written..]);
        let referenced = IoSlice::new(&self.referenced);
        match (copied.is_empty(), referenced.is_empty()) {
            (_, true) => write(&[copied]),
            (true, false) => write(&[referenced]),
            (false, false) => write(&[copied, referenced]),
        }
    }

    /// Counts `count` bytes as written.
    pub(crate) fn advance(&mut self, count: usize) {
        let of_copied = count.min(self.copied.len() - self.written);
        self.written += of_copied;
        self.referenced.advance(count - of_copied);
        if self.written == self.copied.len() {
            self.copied.clear();
            self.written = 0;
        }
    }

    /// Gives the memory back to the pool, if there is nothing to write: an idle connection holds none.
    pub(crate) fn release_memory(&mut self, pool: &OutputPool) {
        if !self.is_empty() {
            return;
        }
        let memory = core::mem::take(&mut self.copied);
        let mut kept = pool.0.borrow_mut();
        if (1..=KEPT_BYTES_MAX).contains(&memory.capacity()) && kept.len() < KEPT_MAX {
            kept.push(memory);
        }
    }
}

/// Memory for outputs, shared by the connections of a server.
#[derive(Default)]
pub(crate) struct OutputPool(RefCell<Vec<Vec<u8>>>);

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `step` bytes at a time, and gives all that came out.
    fn drain(output: &mut Output, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !output.is_empty() {
            let count = output.with_slices(|slices| {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                let count = step.min(bytes.len());
                all.extend_from_slice(&bytes[..count]);
                count
            });
            output.advance(count);
        }
        all
    }

    #[test]
    fn pieces_leave_in_order_however_short_the_writes() {
        for step in 1..12 {
            let (mut output, pool) = (Output::default(), OutputPool::default());
            output.buffer(&pool).extend_from_slice(b"head ");
            output.refer(Bytes::from_static(b"body"));
            assert!(!output.takes_more());
            assert_eq!(drain(&mut output, step), b"head body");
            output.buffer(&pool).extend_from_slice(b" tail");
            assert_eq!(drain(&mut output, step), b" tail");
        }
    }

    #[test]
    fn memory_goes_round_but_not_that_of_a_big_answer() {
        let pool = OutputPool::default();
        for (length, is_kept) in [(10, true), (2 * KEPT_BYTES_MAX, false)] {
            let mut output = Output::default();
            output.buffer(&pool).extend_from_slice(&vec![0; length]);
            let memory = output.copied.as_ptr();
            output.release_memory(&pool);
            assert_eq!(output.copied.len(), length, "there is still something to write");
            drain(&mut output, usize::MAX);
            output.release_memory(&pool);
            assert_eq!(output.copied.capacity(), 0);
            let buffer = output.buffer(&pool);
            assert_eq!(buffer.capacity() > 0 && buffer.as_ptr() == memory, is_kept);
        }
    }
}
