//! `Muster`: where the shards of a program meet before any of them runs, each to learn of the others.
//!
//! Invariant: all of them leave it with all handles, or none does.

use core::num::NonZeroUsize;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::shard::{Peers, ShardHandle};

/// Shards that wait for each other, on a thread each.
pub(super) struct Muster {
    roll: Mutex<Roll>,
    is_complete: Condvar,
}

struct Roll {
    handles: Vec<Option<ShardHandle>>,
    /// Those that were not heard of yet.
    missing_count: usize,
}

/// The place of one shard. Dropped without a report, it says that this shard will not come.
pub(super) struct Place<'a> {
    muster: &'a Muster,
    index: usize,
    is_heard_of: bool,
}

impl Muster {
    pub(super) fn new(count: NonZeroUsize) -> Self {
        let (handles, missing_count) = (vec![None; count.get()], count.get());
        Self { roll: Mutex::new(Roll { handles, missing_count }), is_complete: Condvar::new() }
    }

    pub(super) fn place(&self, index: usize) -> Place<'_> {
        Place { muster: self, index, is_heard_of: false }
    }

    /// Nobody panics while this is locked.
    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a shard came, or will not.
    fn note(&self, index: usize, handle: Option<ShardHandle>) {
        let mut roll = self.roll();
        roll.handles[index] = handle;
        roll.missing_count -= 1;
        if roll.missing_count == 0 {
            self.is_complete.notify_all();
        }
    }
}

impl Place<'_> {
    /// Says that this shard is there, and waits until that is known of all.
    ///
    /// # Errors
    /// When one of the others will not come.
    pub(super) fn report(mut self, handle: ShardHandle) -> io::Result<Peers> {
        let Self { muster, index, .. } = self;
        self.is_heard_of = true;
        muster.note(index, Some(handle));
        let is_missing = |roll: &mut Roll| roll.missing_count > 0;
        let roll = muster.is_complete.wait_while(muster.roll(), is_missing);
        let handles = roll.unwrap_or_else(PoisonError::into_inner).handles.clone();
        let handles: Option<Vec<_>> = handles.into_iter().collect();
        let handles = handles.ok_or_else(|| io::Error::other("another shard could not start"))?;
        Ok(Peers::new(handles, index))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_heard_of {
            self.muster.note(self.index, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::thread;

    use super::*;
    use crate::os::OsDriver;
    use crate::shard::Shard;

    fn report(muster: &Muster, index: usize) -> io::Result<usize> {
        let place = muster.place(index);
        let driver = OsDriver::new().expect("the system has a poller");
        let peers = place.report(Shard::new(Rc::new(driver)).handle())?;
        assert_eq!(peers.own(), index);
        Ok(peers.handles().len())
    }

    /// Three shards, of which the last comes, or does not.
    fn meet(is_there: bool) -> Vec<Result<usize, String>> {
        let muster = &Muster::new(NonZeroUsize::new(3).expect("three"));
        thread::scope(|threads| {
            let others = [0, 1].map(|index| threads.spawn(move || report(muster, index)));
            let last = is_there.then(|| report(muster, 2));
            if !is_there {
                drop(muster.place(2));
            }
            let others = others.map(|other| other.join().expect("it does not panic"));
            let all = others.into_iter().chain(last);
            all.map(|met| met.map_err(|error| error.to_string())).collect()
        })
    }

    #[test]
    fn all_learn_of_all_or_nobody_starts() {
        assert_eq!(meet(true), [Ok(3), Ok(3), Ok(3)]);
        let alone = || Err("another shard could not start".to_owned());
        assert_eq!(meet(false), [alone(), alone()]);
    }
}
