//! `HeadPool`: the memory of heads that are done with, for those to come.
//!
//! Invariant: no more than [`HEADS_KEPT_MAX`] heads of [`HEAD_BYTES_KEPT_MAX`] each are kept, however many there were.

use core::cell::Cell;
use core::fmt;

use super::request_head::HeadParts;
use crate::limits::{HEAD_BYTES_KEPT_MAX, HEADS_KEPT_MAX};

/// What the connections of a server share to read heads without an allocation.
#[derive(Default)]
pub struct HeadPool {
    #[expect(clippy::vec_box, reason = "they go in and out, and are big")]
    free: Cell<Vec<Box<HeadParts>>>,
}

impl HeadPool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn take(&self) -> Box<HeadParts> {
        let mut free = self.free.take();
        let parts = free.pop().unwrap_or_default();
        self.free.set(free);
        parts
    }

    pub(super) fn give_back(&self, mut parts: Box<HeadParts>) {
        parts.clear();
        let mut free = self.free.take();
        if free.len() < HEADS_KEPT_MAX && parts.capacity() <= HEAD_BYTES_KEPT_MAX {
            free.push(parts);
        }
        self.free.set(free);
    }
}

impl fmt::Debug for HeadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadPool")
    }
}
