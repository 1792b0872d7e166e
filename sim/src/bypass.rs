//! What code gets that goes past its driver: that asks libc for a time, a date or for entropy, while a run is on its thread.
//!
//! Here is the answer only, and the account of it. Who catches such calls asks here: the guard (`mainspring-sim-guard`), which
//! a binary links, and which then stands in for those functions of libc. Without it nothing of this happens.
//!
//! A call is answered by the machine whose program makes it: by its clock, by its date, by a stream of entropy of its own. It is
//! counted ([`World::bypasses`](crate::World::bypasses)), and in the text of the trace, though not in its hash: what a process
//! does once is in the first of its runs only. Where [`WorldConfig::is_strict`] it fails the run, and names the place. Around the
//! worlds of a run, where their scenario makes them and looks at what came of them, it is answered as well, but is not
//! part of any world: see [`alone`].
//!
//! [`WorldConfig::is_strict`]: crate::WorldConfig::is_strict

use core::fmt;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;

use mainspring_executor::driver::Instant;
use mainspring_sim_allocator::Entered as Uncharged;
use rand::Rng;
use rand_pcg::Pcg64Mcg;

use crate::choice::generator;
use crate::clock::Clock;
use crate::event::ShardId;
use crate::quiet;
use crate::room::Room;
use crate::spend::spend;
use crate::trace::Kind;

/// A turn that asks for the time so often waits for it to pass. It would wait for ever: time stands still meanwhile.
const PATIENT_QUESTIONS: u32 = 10_000;

/// So each question beyond takes so long.
const QUESTION_DURATION: Duration = Duration::from_micros(1);

/// So many calls of a run are kept with their places.
const KEPT_MAX: usize = 1000;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A clock that only goes forward.
    Time,
    /// The date.
    Date,
    /// So many bytes of entropy.
    Entropy(usize),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => f.write_str("the time"),
            Self::Date => f.write_str("the date"),
            Self::Entropy(count) => write!(f, "{count} bytes of entropy"),
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    /// The virtual time.
    pub at: Instant,
    /// The shard whose program made it; `-` for a step of the scenario.
    pub host: String,
    /// What was asked for.
    pub asked: Asked,
    /// The place in the source that made it.
    pub site: String,
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, host, asked, site } = self;
        write!(f, "{at} {host} asks libc for {asked}, at {site}")
    }
}

/// The calls of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypasses {
    /// Calls for the time.
    pub time_count: u64,
    /// Calls for the date.
    pub date_count: u64,
    /// Calls for entropy.
    pub entropy_count: u64,
    /// The first of them, 1000 at most, where the text of the trace is kept or they are forbidden.
    pub kept: Vec<Bypass>,
}

impl Bypasses {
    /// All calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.time_count + self.date_count + self.entropy_count
    }

    fn add(&mut self, asked: Asked) {
        *match asked {
            Asked::Time => &mut self.time_count,
            Asked::Date => &mut self.date_count,
            Asked::Entropy(_) => &mut self.entropy_count,
        } += 1;
    }
}

/// What the clock of the machine shows whose program runs on this thread. `None`: there is no run, so the system's own clock
/// is right. `site` tells the place of the call, and is asked where somebody wants to know.
///
/// # Panics
/// Where `site` does, or a subscriber of the log that is told that a poll takes long.
pub fn time(site: impl FnOnce() -> String) -> Option<Duration> {
    ask(Asked::Time, site, |here| here.time().0)
}

/// The date of that machine, since 1970; else as [`time`].
pub fn date(site: impl FnOnce() -> String) -> Option<Duration> {
    ask(Asked::Date, site, |here| here.time().1)
}

/// Fills `target` with entropy of that machine; else as [`time`]. A call for no bytes asks for nothing, and does not count.
pub fn fill(target: &mut [u8], site: impl FnOnce() -> String) -> Option<()> {
    if target.is_empty() {
        return is_here().then_some(());
    }
    ask(Asked::Entropy(target.len()), site, |here| here.fill(target))
}

/// Runs `body` as a run of `seed`, on a thread of its own: what it asks libc for around its worlds is answered by the seed
/// too, and no thread-local state of another run is there. The order of `std`'s hash maps is such: their keys are drawn once a
/// thread, so that two runs on one thread have different ones. Without the guard it gets a thread all the same.
///
/// # Panics
/// When `body` does.
#[expect(clippy::disallowed_methods, reason = "a thread for a run, not in one")]
pub fn alone<R: Send>(seed: u64, body: impl FnOnce() -> R + Send) -> R {
    let is_quiet = quiet::is_quiet();
    std::thread::scope(|threads| {
        let run = threads.spawn(|| {
            let _here = Here::around(seed).enter();
            quiet::with(is_quiet, body)
        });
        run.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Whether this binary has the guard, and it works: it asks for the date, and looks who answers.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "to see whether it is caught")]
pub fn is_guarded() -> bool {
    let here = Here::around(0);
    let _within = here.enter();
    let _ = std::time::SystemTime::now();
    here.questions.get() > 0
}

thread_local! {
    /// The run that is on this thread.
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

fn here() -> Option<Rc<Here>> {
    // Threads that end ask for the time as well.
    HERE.try_with(|here| here.try_borrow().ok()?.clone()).ok()?
}

fn is_here() -> bool {
    here().is_some_and(|here| !here.is_asked.get())
}

fn ask<R>(
    asked: Asked,
    site: impl FnOnce() -> String,
    answer: impl FnOnce(&Here) -> R,
) -> Option<R> {
    let here = here()?;
    // Who looks for the site of a call, or logs that it takes long, is not the program.
    if here.is_asked.replace(true) {
        return None;
    }
    let _answered = Answered(&here.is_asked);
    here.note(asked, site);
    Some(answer(&here))
}

/// Lets the next call be heard, whatever became of this one.
struct Answered<'a>(&'a Cell<bool>);

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A run, as libc sees it.
pub(crate) struct Here {
    /// `None`: the code around the worlds of a run.
    room: Option<Rc<RefCell<Room>>>,
    /// Whose program runs.
    shard: Cell<Option<ShardId>>,
    /// What was told last: the clock and the date.
    told: Cell<(Duration, Duration)>,
    /// For what belongs to no machine.
    stream: RefCell<Pcg64Mcg>,
    /// In this turn.
    questions: Cell<u32>,
    is_asked: Cell<bool>,
}

impl Here {
    /// The code around the worlds of a run.
    fn around(seed: u64) -> Rc<Self> {
        Self::new(None, generator(seed, "", "system entropy around"))
    }

    /// A world.
    pub(crate) fn within(room: &Rc<RefCell<Room>>) -> Rc<Self> {
        // What panicked so far did so in another run.
        quiet::forget();
        let stream = room.borrow().choices.generator("", "system entropy of nobody");
        Self::new(Some(Rc::clone(room)), stream)
    }

    fn new(room: Option<Rc<RefCell<Room>>>, stream: Pcg64Mcg) -> Rc<Self> {
        Rc::new(Self {
            room,
            shard: Cell::new(None),
            told: Cell::new((Duration::ZERO, Clock::new().date(Instant::START))),
            stream: RefCell::new(stream),
            questions: Cell::new(0),
            is_asked: Cell::new(false),
        })
    }

    /// Makes it the one of this thread, until what this gives is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> impl Drop + use<> {
        Entered { before: HERE.replace(Some(Rc::clone(self))) }
    }

    /// Runs `body` as the program of a shard.
    pub(crate) fn run<R>(&self, shard: ShardId, body: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Here, Option<ShardId>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.shard.set(self.1);
            }
        }
        self.questions.set(0);
        let _restore = Restore(self, self.shard.replace(Some(shard)));
        body()
    }

    /// What this machine shows: its clock and its date. A room that is in use tells what it told last: nothing but the
    /// simulator itself runs then.
    fn time(&self) -> (Duration, Duration) {
        if let Some(Ok(room)) = self.room.as_ref().map(|room| room.try_borrow()) {
            let (clock, date) = match self.shard.get() {
                Some(shard) => (room.clock(shard), room.wall_clock(room.host_of(shard))),
                None => (room.now, Clock::new().date(room.now)),
            };
            self.told.set((clock - Instant::START, date));
        }
        self.told.get()
    }

    fn fill(&self, target: &mut [u8]) {
        match self.room.as_ref().map(|room| room.try_borrow_mut()) {
            Some(Ok(mut room)) => room.choices.fill(self.shard.get(), target),
            _ => self.stream.borrow_mut().fill_bytes(target),
        }
    }

    /// Keeps account of a call.
    fn note(&self, asked: Asked, site: impl FnOnce() -> String) {
        self.questions.set(self.questions.get().saturating_add(1));
        let Some(shared) = &self.room else { return };
        let Ok(mut room) = shared.try_borrow_mut() else { return };
        room.bypassed(self.shard.get(), asked);
        let is_kept = room.config.record || room.config.is_strict;
        if is_kept && room.bypasses.kept.len() < KEPT_MAX {
            let _bookkeeping = Uncharged::nobody();
            let (at, host) = (room.now, self.shard.get().map(|shard| &room.shard(shard).name));
            let host = host.map_or_else(|| "-".to_owned(), ToString::to_string);
            // It may take a while, and anything: nothing is borrowed here.
            drop(room);
            let bypass = Bypass { at, host, asked, site: site() };
            shared.borrow_mut().bypasses.kept.push(bypass);
        } else {
            drop(room);
        }
        if !matches!(asked, Asked::Entropy(_)) && self.questions.get() > PATIENT_QUESTIONS {
            spend(QUESTION_DURATION);
        }
    }
}

/// Gives the thread back.
struct Entered {
    before: Option<Rc<Here>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = HERE.replace(self.before.take());
        // Time goes on where a world has ended, for the code around it.
        let (Some(left), Some(now)) = (left, here()) else { return };
        if now.room.is_none() {
            let ((clock, date), told) = (left.time(), now.told.get());
            now.told.set((told.0.max(clock), told.1.max(date)));
        }
    }
}

impl Room {
    fn bypassed(&mut self, shard: Option<ShardId>, asked: Asked) {
        self.bypasses.add(asked);
        let (kind, number) = match asked {
            Asked::Time => (Kind::LibcTime, 0),
            Asked::Date => (Kind::LibcDate, 0),
            Asked::Entropy(count) => (Kind::LibcEntropy, count as u64),
        };
        // No part of the run: what a process does once, such as reading a clock for later, only its first run does.
        let poll = shard.and_then(|shard| self.shard(shard).spent.poll());
        self.trace.remark(self.now, shard, kind, poll, number);
    }
}
