//! `Heartbeat`: what a shard says of its polls as they begin and end, so that somebody else sees one that does not end.
//!
//! The shard only stores: it waits for nobody who looks, and reads no clock for them. Who looks brings the clock. See
//! [`Driver::watch`](crate::driver::Driver::watch).
//!
//! Invariant: a [`Pulse`] is of one poll: its number, task and place belong together, whichever thread looks.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU64};
use core::time::Duration;
use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::task::{Site, TaskId};

/// The polls of one shard: written by its thread, read by any.
#[derive(Debug, Default)]
pub struct Heartbeat {
    /// Odd while a poll runs; the end of a poll and the start of the next each add one.
    beat: AtomicU64,
    task: AtomicU64,
    origin: Site,
    /// Whether `stall` holds something: lets the shard look without the lock.
    has_stall: AtomicBool,
    stall: Mutex<Option<Stall>>,
    stalls: AtomicU64,
}

/// A poll that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Its number among the polls of its shard.
    pub poll: u64,
    /// The task that is polled.
    pub task: TaskId,
    /// Where that task was spawned.
    pub origin: &'static Location<'static>,
}

/// A poll that was reported.
struct Stall {
    poll: u64,
    elapsed: Box<dyn Fn() -> Duration + Send>,
}

impl fmt::Debug for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stall(poll {})", self.poll)
    }
}

/// For drivers.
impl Heartbeat {
    /// The poll that runs; `None` between polls.
    ///
    /// A poll that began or ended while this looked is not told. One that lasts is seen the next time.
    #[must_use]
    pub fn pulse(&self) -> Option<Pulse> {
        let beat = self.beat.load(Acquire);
        if beat.is_multiple_of(2) {
            return None;
        }
        let task = TaskId(self.task.load(Acquire));
        let origin = self.origin.load();
        // Both are stored with Release after the beat of the poll before: had one of them come from a later poll, this
        // would see a later beat.
        let is_whole = self.beat.load(Relaxed) == beat;
        let origin = origin.filter(|_| is_whole)?;
        Some(Pulse { poll: beat / 2, task, origin })
    }

    /// How many polls have begun.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.beat.load(Relaxed).div_ceil(2)
    }

    /// Reports that a poll has taken longer than it should; may be said again while it goes on, and counts once. When
    /// the poll ends its shard logs what `elapsed` then gives, with the task's name.
    pub fn report(&self, poll: u64, elapsed: impl Fn() -> Duration + Send + 'static) {
        let mut stall = self.lock();
        if stall.as_ref().is_none_or(|before| before.poll != poll) {
            self.stalls.fetch_add(1, Relaxed);
        }
        *stall = Some(Stall { poll, elapsed: Box::new(elapsed) });
        drop(stall);
        self.has_stall.store(true, Release);
    }

    /// How many polls were reported.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Stall>> {
        // Nothing panics while it is held, and each change is one store.
        self.stall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the shard.
impl Heartbeat {
    /// A poll begins.
    #[inline]
    pub(crate) fn start(&self, task: TaskId, origin: &'static Location<'static>) {
        self.task.store(task.0, Release);
        self.origin.store(origin);
        self.beat.store(self.beat.load(Relaxed) + 1, Release);
    }

    /// The poll has ended. True: it was perhaps reported; see [`Heartbeat::take_stall`].
    #[inline]
    pub(crate) fn stop(&self) -> bool {
        self.beat.store(self.beat.load(Relaxed) + 1, Release);
        self.has_stall.load(Relaxed)
    }

    /// The task that is polled, asked by the shard itself.
    #[inline]
    pub(crate) fn running(&self) -> Option<TaskId> {
        let is_running = !self.beat.load(Relaxed).is_multiple_of(2);
        is_running.then(|| TaskId(self.task.load(Relaxed)))
    }

    /// How long the poll that has just ended took, if it was reported. A report that came after its poll had ended, and
    /// is found only now, is of no use.
    #[cold]
    pub(crate) fn take_stall(&self) -> Option<(TaskId, Duration)> {
        self.has_stall.store(false, Relaxed);
        let stall = self.lock().take()?;
        let is_latest = stall.poll == (self.beat.load(Relaxed) - 1) / 2;
        is_latest.then(|| (TaskId(self.task.load(Relaxed)), (stall.elapsed)()))
    }
}

/// Says when a poll that goes on is worth a report: once it has taken its budget, and each time it has taken twice as
/// long as at the last report.
#[derive(Debug)]
pub struct Patience {
    budget: Duration,
    /// The poll that was asked about last.
    poll: Option<u64>,
    next: Duration,
}

impl Patience {
    /// Patience with polls up to `budget`.
    #[must_use]
    pub fn new(budget: Duration) -> Self {
        Self { budget, poll: None, next: budget }
    }

    /// Whether `poll`, which has taken so long by now, is worth a report.
    pub fn is_over(&mut self, poll: u64, elapsed: Duration) -> bool {
        if self.poll != Some(poll) {
            self.poll = Some(poll);
            self.next = self.budget;
        }
        if elapsed < self.next {
            return false;
        }
        self.next = elapsed.saturating_mul(2);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    #[test]
    fn a_pulse_is_seen_while_a_poll_runs() {
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.pulse(), None);
        let origin = here();
        for poll in 0..3 {
            let task = TaskId(poll + 7);
            heartbeat.start(task, origin);
            assert_eq!(heartbeat.pulse(), Some(Pulse { poll, task, origin }));
            assert_eq!(heartbeat.running(), Some(task));
            assert!(!heartbeat.stop());
            assert_eq!((heartbeat.pulse(), heartbeat.running()), (None, None));
        }
    }

    #[test]
    fn a_report_counts_once_and_is_told_at_the_end_of_its_poll() {
        let heartbeat = Heartbeat::default();
        heartbeat.start(TaskId(4), here());
        heartbeat.report(0, || Duration::from_secs(1));
        heartbeat.report(0, || Duration::from_secs(2));
        assert_eq!(heartbeat.stalls(), 1);
        assert!(heartbeat.stop());
        assert_eq!(heartbeat.take_stall(), Some((TaskId(4), Duration::from_secs(2))));
        heartbeat.start(TaskId(5), here());
        assert!(!heartbeat.stop(), "told once");
        assert_eq!(heartbeat.take_stall(), None);
    }

    #[test]
    fn a_report_that_comes_late_is_not_told_of_the_next_poll() {
        let heartbeat = Heartbeat::default();
        heartbeat.start(TaskId(4), here());
        assert!(!heartbeat.stop());
        heartbeat.report(0, || Duration::from_secs(1));
        heartbeat.start(TaskId(5), here());
        assert!(heartbeat.stop());
        assert_eq!(heartbeat.take_stall(), None);
        assert_eq!(heartbeat.stalls(), 1);
    }

    #[test]
    fn patience_ends_at_the_budget_and_at_each_doubling() {
        let mut patience = Patience::new(Duration::from_millis(10));
        let mut reported = Vec::new();
        for millis in 0..100 {
            if patience.is_over(1, Duration::from_millis(millis)) {
                reported.push(millis);
            }
        }
        assert_eq!(reported, [10, 20, 40, 80]);
        assert!(!patience.is_over(2, Duration::from_millis(9)), "another poll");
        assert!(patience.is_over(2, Duration::from_millis(10)));
        assert!(!patience.is_over(1, Duration::from_millis(9)), "yet another");
    }

    /// Task, place and number are told together, or not at all.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "who looks is another thread")]
    fn a_pulse_is_never_torn() {
        let sites = [here(), here()];
        let heartbeat = Heartbeat::default();
        let is_over = AtomicBool::new(false);
        let check = || {
            let mut seen = 0;
            while seen < 1000 && !is_over.load(Relaxed) {
                let Some(pulse) = heartbeat.pulse() else { continue };
                assert_eq!(pulse.task.0, pulse.poll);
                assert_eq!(pulse.origin, sites[(pulse.poll % 2) as usize]);
                seen += 1;
            }
        };
        std::thread::scope(|threads| {
            threads.spawn(check);
            for poll in 0..1_000_000 {
                heartbeat.start(TaskId(poll), sites[(poll % 2) as usize]);
                heartbeat.stop();
            }
            is_over.store(true, Relaxed);
        });
    }
}
