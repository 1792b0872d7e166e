//! The watchdog: one thread of the process, which looks at the heartbeats of its shards and tells of a poll that does not
//! end.
//!
//! ```text
//!              a shard wakes from a wait
//!    parked ─────────────────────────────► looking, several times a budget
//!       ▲                                              │
//!       └──────── all shards quiet, twice in a row ────┘
//! ```
//!
//! A poll is seen for the first time up to one look after it began, so it is told between one budget and one and a half of
//! it, and what it took is said a little too small.
//!
//! Invariant: while all shards wait, this thread is parked: an idle process is not woken by its watchdog.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Instant;

use super::stack;
use crate::driver::{Heartbeat, Patience, Pulse};

/// Looks in the time of the smallest budget.
const LOOKS_PER_BUDGET: u32 = 4;

/// Never looks more often than this.
const PERIOD_MIN: Duration = Duration::from_micros(200);

/// A shard that neither waits nor polls for so many looks is not being run: its thread does something else.
const QUIET_LOOKS: u32 = 5 * LOOKS_PER_BUDGET;

/// The thread, as its shards see it.
pub(super) struct Watchdog {
    shards: Mutex<Vec<Weak<Watched>>>,
    is_parked: AtomicBool,
    thread: OnceLock<Thread>,
}

/// A shard under watch. In the hands of its driver; the watchdog forgets it when that is gone.
pub(super) struct Watched {
    watchdog: Arc<Watchdog>,
    heartbeat: Arc<Heartbeat>,
    budget: Duration,
    thread: stack::Target,
    /// The name of that thread.
    name: String,
    /// In a wait that blocks.
    is_asleep: AtomicBool,
}

impl Watchdog {
    /// The watchdog of this process; the first call starts its thread.
    pub(super) fn of_process() -> io::Result<Arc<Self>> {
        static OF_PROCESS: Mutex<Option<Arc<Watchdog>>> = Mutex::new(None);
        let mut of_process = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watchdog) = &*of_process {
            return Ok(Arc::clone(watchdog));
        }
        stack::prepare()?;
        let watchdog = Arc::new(Self {
            shards: Mutex::default(),
            is_parked: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let body = Arc::clone(&watchdog);
        let builder = thread::Builder::new().name("watchdog".to_owned());
        let handle = builder.spawn(move || body.run())?;
        watchdog.thread.get_or_init(|| handle.thread().clone());
        *of_process = Some(Arc::clone(&watchdog));
        Ok(watchdog)
    }

    /// Watches the shard of this thread.
    pub(super) fn watch(
        self: Arc<Self>,
        heartbeat: Arc<Heartbeat>,
        budget: Duration,
    ) -> Arc<Watched> {
        let watched = Arc::new(Watched {
            watchdog: Arc::clone(&self),
            heartbeat,
            budget,
            thread: stack::Target::this_thread(),
            name: thread::current().name().unwrap_or("without a name").to_owned(),
            is_asleep: AtomicBool::new(false),
        });
        self.lock().push(Arc::downgrade(&watched));
        self.wake();
        watched
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Watched>>> {
        // Nothing panics while it is held, and each change is one push or take.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.is_parked.load(SeqCst)
            && self.is_parked.swap(false, SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// The life of the thread.
    fn run(&self) {
        let mut looks: Vec<Look> = Vec::new();
        let mut was_quiet = false;
        loop {
            looks.extend(self.lock().drain(..).map(Look::new));
            looks.retain(|look| look.shard.strong_count() > 0);
            let now = Instant::now();
            let mut period = Duration::MAX;
            let mut is_quiet = true;
            for look in &mut looks {
                let Some(watched) = look.shard.upgrade() else { continue };
                look.at(&watched, now);
                period = period.min(watched.budget / LOOKS_PER_BUDGET);
                is_quiet &= look.is_quiet(&watched);
            }
            if is_quiet && was_quiet {
                self.park(&looks);
                // Twice again: a shard that wakes often is not to wake this thread as often.
                was_quiet = false;
            } else {
                thread::sleep(period.clamp(PERIOD_MIN, Duration::from_secs(1)));
                was_quiet = is_quiet;
            }
        }
    }

    /// Sleeps until a shard wakes or comes.
    ///
    /// `is_parked` is set before the shards are asked, and a shard says that it is awake before it reads `is_parked`:
    /// whichever comes first in the one order of these accesses, one side sees the other.
    fn park(&self, looks: &[Look]) {
        self.is_parked.store(true, SeqCst);
        let is_quiet = |look: &Look| look.shard.upgrade().is_none_or(|shard| look.is_quiet(&shard));
        if !looks.iter().all(is_quiet) || !self.lock().is_empty() {
            self.is_parked.store(false, SeqCst);
        }
        while self.is_parked.load(SeqCst) {
            thread::park();
        }
    }
}

impl Watched {
    /// The shard is about to wait.
    pub(super) fn fall_asleep(&self) {
        self.is_asleep.store(true, Relaxed);
    }

    /// The wait is over.
    pub(super) fn wake_up(&self) {
        self.is_asleep.store(false, SeqCst);
        self.watchdog.wake();
    }

    /// The shard looked for events without waiting. It may not have been run for a while.
    pub(super) fn is_run(&self) {
        if self.watchdog.is_parked.load(Relaxed) {
            self.watchdog.wake();
        }
    }
}

/// What the watchdog remembers of a shard.
struct Look {
    shard: Weak<Watched>,
    /// Made when the budget is known.
    patience: Option<Patience>,
    /// The poll that ran at the last look, and when it was seen first.
    poll: Option<(u64, Instant)>,
    /// Polls that the shard had begun at the last look, and how many looks found it like that.
    polls: u64,
    quiet_looks: u32,
}

impl Look {
    fn new(shard: Weak<Watched>) -> Self {
        Self { shard, patience: None, poll: None, polls: 0, quiet_looks: 0 }
    }

    fn at(&mut self, watched: &Watched, now: Instant) {
        let polls = watched.heartbeat.polls();
        let pulse = watched.heartbeat.pulse();
        let is_new = polls != self.polls || pulse.is_some();
        self.quiet_looks = if is_new { 0 } else { self.quiet_looks.saturating_add(1) };
        self.polls = polls;
        let Some(pulse) = pulse else {
            self.poll = None;
            return;
        };
        let since = match self.poll {
            Some((poll, since)) if poll == pulse.poll => since,
            _ => now,
        };
        self.poll = Some((pulse.poll, since));
        let patience = self.patience.get_or_insert_with(|| Patience::new(watched.budget));
        if patience.is_over(pulse.poll, now - since) {
            tell(watched, pulse, since, now - since);
        }
    }

    fn is_quiet(&self, watched: &Watched) -> bool {
        watched.is_asleep.load(SeqCst) || self.quiet_looks >= QUIET_LOOKS
    }
}

/// Tells of a poll that goes on.
fn tell(watched: &Watched, pulse: Pulse, since: Instant, elapsed: Duration) {
    let Pulse { poll, task, origin } = pulse;
    // First: the poll may end at any time, and the shard shall know by then.
    watched.heartbeat.report(poll, move || since.elapsed());
    let stack = watched.thread.stack();
    let goes_on = watched.heartbeat.pulse().is_some_and(|pulse| pulse.poll == poll);
    // A stack that was taken after the end shows somebody else.
    let stack = stack.filter(|_| goes_on).map(|frames| stack::describe(&frames));
    tracing::warn!(
        target: "mainspring::stall",
        shard = watched.name,
        task = task.0,
        %origin,
        ?elapsed,
        stack,
        "a poll holds up its shard"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskId;

    const BUDGET: Duration = Duration::from_millis(100);

    fn watched() -> (Arc<Watched>, Look) {
        let watchdog = Arc::new(Watchdog {
            shards: Mutex::default(),
            is_parked: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let watched = watchdog.watch(Arc::default(), BUDGET);
        let look = Look::new(Arc::downgrade(&watched));
        (watched, look)
    }

    fn start(watched: &Watched) {
        watched.heartbeat.start(TaskId(0), core::panic::Location::caller());
    }

    #[test]
    fn polls_that_follow_each_other_are_not_one() {
        let (watched, mut look) = watched();
        let now = Instant::now();
        for step in 0..10 {
            start(&watched);
            look.at(&watched, now + step * BUDGET);
            watched.heartbeat.stop();
        }
        assert_eq!(watched.heartbeat.stalls(), 0);
    }

    #[test]
    fn a_poll_counts_from_the_look_that_saw_it_first() {
        let (watched, mut look) = watched();
        let now = Instant::now();
        look.at(&watched, now);
        start(&watched);
        look.at(&watched, now + 10 * BUDGET);
        assert_eq!(watched.heartbeat.stalls(), 0);
        look.at(&watched, now + 11 * BUDGET - Duration::from_millis(1));
        assert_eq!(watched.heartbeat.stalls(), 0);
        look.at(&watched, now + 11 * BUDGET);
        assert_eq!(watched.heartbeat.stalls(), 1);
    }

    /// Its thread does something else, and tells nobody so.
    #[test]
    fn a_shard_that_is_not_run_becomes_quiet() {
        let (watched, mut look) = watched();
        let now = Instant::now();
        for _ in 0..QUIET_LOOKS {
            assert!(!look.is_quiet(&watched));
            look.at(&watched, now);
        }
        assert!(look.is_quiet(&watched));
        start(&watched);
        watched.heartbeat.stop();
        look.at(&watched, now);
        assert!(!look.is_quiet(&watched), "it was polled in between");
        watched.fall_asleep();
        assert!(look.is_quiet(&watched));
        watched.wake_up();
        assert!(!look.is_quiet(&watched));
    }
}
