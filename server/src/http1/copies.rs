//! Copies of heads, which requests share: those of a batch of requests side by side in one
//! allocation.
//!
//! Invariant: no memory is held here after [`HeadCopies::clear`], and so none by an idle connection.

use bytes::{Bytes, BytesMut};

use crate::limits::HEAD_COPIES_BYTES_MAX;

/// Room for the copies of the heads to come.
#[derive(Debug, Default)]
pub(super) struct HeadCopies {
    room: BytesMut,
    /// A head has been copied since the last wait.
    is_batch: bool,
}

impl HeadCopies {
    /// A copy of `head`, behind which `ahead` bytes more have come, other heads perhaps.
    pub(super) fn copy(&mut self, head: &[u8], ahead: usize) -> Bytes {
        // The first one after a wait is mostly the only one.
        if !self.is_batch {
            self.is_batch = true;
            return Bytes::copy_from_slice(head);
        }
        if self.room.capacity() < head.len() {
            let capacity = (head.len() + ahead).min(HEAD_COPIES_BYTES_MAX).max(head.len());
            self.room = BytesMut::with_capacity(capacity);
        }
        self.room.extend_from_slice(head);
        self.room.split().freeze()
    }

    /// Gives the room back: nothing has come behind the last head.
    pub(super) fn clear(&mut self) {
        if self.is_batch {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_shares_one_allocation() {
        let mut copies = HeadCopies::default();
        let batch = [b"alone".as_slice(), b"first", b"second", b"third"];
        let made = batch.map(|head| copies.copy(head, 64));
        assert!(made.iter().eq(&batch));
        let apart = |a: usize, b: usize| made[b].as_ptr() as usize - made[a].as_ptr() as usize;
        assert_eq!((apart(1, 2), apart(2, 3)), (5, 6));
        let big = [b'x'; 2 * HEAD_COPIES_BYTES_MAX];
        assert_eq!(copies.copy(&big, 10), big.as_slice());
        assert_eq!(copies.room.capacity(), 0, "a head that is too big takes no more than it needs");
    }

    #[test]
    fn nothing_is_kept_between_batches() {
        let mut copies = HeadCopies::default();
        for _ in 0..3 {
            copies.copy(b"head", 1000);
        }
        assert!(copies.room.capacity() > 0);
        copies.clear();
        assert_eq!(copies.room.capacity(), 0);
    }
}
