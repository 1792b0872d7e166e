//! `Kind`: what all tasks have in common that one shard spawned at one place of the program with one type of future. A
//! program has some dozens of kinds and perhaps a million tasks, so a task has one pointer for all of it.
//!
//! It does not know the tasks. How many kinds there can be is a matter of how large the program is, not of how long it
//! runs.
//!
//! Invariant: a kind never changes and never moves, and lives as long as the remote of its shard: longer than its tasks.

use core::cell::{Cell, RefCell};
use core::ops::Deref;
use core::panic::Location;
use core::ptr::{self, NonNull};
use std::collections::BTreeMap;

use super::raw::VTable;
use super::remote::{Remote, give_back};

/// What a task has in common with others.
pub(super) struct Kind {
    pub(super) vtable: &'static VTable,
    /// Where `spawn` was called.
    pub(super) origin: &'static Location<'static>,
    remote: NonNull<Remote>,
}

impl Kind {
    /// How to reach the shard from anywhere.
    pub(super) fn remote(&self) -> &Remote {
        // SAFETY: a kind is a part of its remote, and no longer there than that.
        unsafe { self.remote.as_ref() }
    }

    fn is(&self, vtable: &'static VTable, origin: &'static Location<'static>) -> bool {
        ptr::eq(self.vtable, vtable) && ptr::eq(self.origin, origin)
    }
}

/// Places for the kinds that were used last: a loop that spawns finds its kind there. Spawns that share one search.
const RECENT_COUNT: usize = 16;

/// The kinds of a shard. Used by the shard's own thread alone, until nobody else is left.
#[derive(Default)]
pub(super) struct Kinds {
    recent: [Cell<Option<NonNull<Kind>>>; RECENT_COUNT],
    /// By the addresses of vtable and origin: only ever searched, so their order is never seen. The same code may have
    /// several vtables, at the compiler's will; then it has as many kinds.
    all: RefCell<BTreeMap<(usize, usize), NonNull<Kind>>>,
}

impl Kinds {
    /// The kind of the tasks of `vtable` that were spawned at `origin`. `remote` is the one that this is a part of.
    #[inline]
    pub(super) fn find(
        &self,
        vtable: &'static VTable,
        origin: &'static Location<'static>,
        remote: NonNull<Remote>,
    ) -> NonNull<Kind> {
        let (code, place) = (ptr::from_ref(vtable).addr(), ptr::from_ref(origin).addr());
        let recent = &self.recent[((code ^ place) / align_of::<Kind>()) % RECENT_COUNT];
        if let Some(kind) = recent.get() {
            // SAFETY: kinds live as long as this.
            if unsafe { kind.as_ref() }.is(vtable, origin) {
                return kind;
            }
        }
        let kind = self.search((code, place), Kind { vtable, origin, remote });
        recent.set(Some(kind));
        kind
    }

    #[cold]
    fn search(&self, key: (usize, usize), new: Kind) -> NonNull<Kind> {
        let mut all = self.all.borrow_mut();
        *all.entry(key).or_insert_with(|| NonNull::from(Box::leak(Box::new(new))))
    }
}

impl Drop for Kinds {
    fn drop(&mut self) {
        for kind in self.all.get_mut().values() {
            // SAFETY: leaked in `search`, and the remote ends: no task is left that could refer to it.
            drop(unsafe { Box::from_raw(kind.as_ptr()) });
        }
    }
}

/// What a task holds: its kind, and with it a reference to the remote, as [`RemoteRef`](super::RemoteRef) is.
pub(super) struct KindRef(NonNull<Kind>);

impl KindRef {
    /// Takes charge of a reference to the remote of `kind`.
    pub(super) fn counted(kind: NonNull<Kind>) -> Self {
        Self(kind)
    }
}

impl Deref for KindRef {
    type Target = Kind;

    #[inline]
    fn deref(&self) -> &Kind {
        // SAFETY: the remote is counted, so it is alive, and its kinds are.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for KindRef {
    fn drop(&mut self) {
        let remote = self.remote;
        // SAFETY: counted, and this is its end.
        unsafe { give_back(remote) };
    }
}

#[cfg(test)]
mod tests {
    use core::future::{Pending, Ready};
    use std::collections::BTreeSet;

    use super::super::raw;
    use super::*;

    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    /// More places than are remembered, so that some are forgotten and searched.
    #[test]
    fn a_place_and_a_future_are_one_kind_however_often_they_are_asked_for() {
        let ready: &'static VTable = const { &raw::vtable::<Ready<u64>>() };
        let pending: &'static VTable = const { &raw::vtable::<Pending<()>>() };
        let places = [
            [here(), here(), here(), here(), here(), here(), here(), here(), here(), here()],
            [here(), here(), here(), here(), here(), here(), here(), here(), here(), here()],
        ];
        let kinds = Kinds::default();
        let mut found = BTreeSet::new();
        for _ in 0..3 {
            for place in places.concat() {
                for vtable in [ready, pending, pending, ready] {
                    let kind = kinds.find(vtable, place, NonNull::dangling());
                    found.insert(kind);
                    // SAFETY: kinds live as long as `kinds`.
                    let kind = unsafe { kind.as_ref() };
                    assert!(ptr::eq(kind.vtable, vtable) && ptr::eq(kind.origin, place));
                }
            }
        }
        assert_eq!(found.len(), 2 * 20);
    }
}
