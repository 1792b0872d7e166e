//! `Scenario`: a program for the room, and how it is judged: run twice with the same seed, it must hold, leave nothing, and
//! leave the same trace; or fail twice in the same way.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mainspring_executor::{Instant, panic_message};

use super::ScenarioFailure;
use crate::bypass::{alone, is_guarded};
use crate::seen::Seen;
use crate::timeline::Timeline;
use crate::{
    Capture, Coverage, Order, PollCounts, Recording, Source, Tape, Victims, World, WorldConfig,
};

/// What a failure is repeated by, unless a scenario says otherwise.
const COMMAND: &str = "cargo run --release --bin scenarios --";

/// Beside a failure of one run of a seed that another run of it does not show.
const NOT_BACK: &str = "the failure does not come back: something outside of the driver got in";

/// A program for a simulated machine room, with what must hold of it. Its body is a function, so that it can be a constant; one that
/// is made at run time may be [a closure](Scenario::with_body).
#[derive(Clone, Copy, Debug)]
pub struct Scenario<F = fn(&Setup) -> Result<Run, String>> {
    /// By which it is called.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub about: &'static str,
    /// It carries a bug on purpose, and shows that such bugs are found: runs of it are expected to fail.
    pub is_planted: bool,
    /// Whether what goes past the driver fails a run: [`WorldConfig::is_strict`] of all of its worlds. Needs the guard, see
    /// [`bypass`](crate::bypass).
    pub is_strict: bool,
    /// Who goes next in all of its worlds, whatever their configurations say and a swarm draws; `None` leaves it to them. With
    /// [`Order::Urw`] each seed is run once before, by [`Order::Random`], for the counts of its polls.
    pub order: Option<Order>,
    /// The command line that repeats a failure of it, up to the subcommand.
    pub command: &'static str,
    /// Names of sites in the programs of which a sweep has to reach each: `sometimes!`, `reachable!`, `buggify!`.
    pub expected: &'static [&'static str],
    /// Runs it once.
    pub body: F,
}

/// What a run gets.
#[derive(Clone, Debug)]
pub struct Setup {
    record: bool,
    captures_packets: bool,
    is_viewed: bool,
    is_strict: bool,
    order: Option<Order>,
    counts_polls: bool,
    poll_counts: PollCounts,
    source: Source,
    /// Those of all its worlds.
    pub(super) victims: Victims,
    /// What the worlds that are gone did.
    seen: Rc<RefCell<Seen>>,
}

impl Setup {
    /// A run with these choices: of a seed, of a tape.
    #[must_use]
    pub fn of(source: impl Into<Source>) -> Self {
        let (order, poll_counts, seen) = (None, PollCounts::default(), Rc::default());
        let (record, captures_packets, is_viewed) = (false, false, false);
        let (is_strict, counts_polls) = (false, false);
        let (source, victims) = (source.into(), Victims::default());
        Self {
            record,
            captures_packets,
            is_viewed,
            is_strict,
            order,
            counts_polls,
            poll_counts,
            source,
            victims,
            seen,
        }
    }

    /// Decides what the scenario leaves open and does not ask its worlds for.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.source.seed()
    }

    /// Whether the text of the trace is kept.
    #[must_use]
    pub fn records(&self) -> bool {
        self.record
    }

    /// The world, or one of the worlds, that the run is in: only one that is made here has its choices on the run's tape, and
    /// counts for what the run has reached.
    #[must_use]
    pub fn world(&self, config: WorldConfig) -> World {
        let record = self.record || config.record;
        let is_strict = self.is_strict || config.is_strict;
        let captures_packets = self.captures_packets || config.captures_packets;
        let timeline = self.is_viewed || config.timeline;
        let config = WorldConfig { record, captures_packets, timeline, is_strict, ..config };
        let config = match self.order {
            Some(Order::Urw) => WorldConfig { poll_counts: self.poll_counts.clone(), ..config },
            _ => config,
        };
        let config =
            WorldConfig { counts_polls: self.counts_polls || config.counts_polls, ..config };
        let world = World::of(&self.source, config, self.order);
        world.with_victims(&self.victims).seen_by(&self.seen, self.is_viewed)
    }
}

/// What a run that held says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Of everything that happened.
    pub trace_hash: u64,
    /// When it ended.
    pub virtual_end: Instant,
    /// Turns and network events.
    pub event_count: u64,
    /// Requests that were answered.
    pub request_count: u64,
    /// Everything that happened, if it was recorded.
    pub trace: Vec<String>,
    /// What its worlds have reached; filled in by [`Scenario::run`].
    pub coverage: Coverage,
}

/// Ends a run: it must have gone to its end, and have left nothing behind.
///
/// # Errors
/// Why it did not hold.
pub fn conclude(world: &World, request_count: u64) -> Result<Run, String> {
    let report = world.run_to_end()?;
    Ok(Run {
        trace_hash: report.trace_hash,
        virtual_end: report.at,
        event_count: report.event_count,
        request_count,
        trace: world.trace(),
        coverage: Coverage::default(),
    })
}

impl Scenario {
    /// One by that name, which is about that, in a sentence.
    #[must_use]
    pub const fn new(
        name: &'static str,
        about: &'static str,
        body: fn(&Setup) -> Result<Run, String>,
    ) -> Self {
        let (is_planted, is_strict, order) = (false, false, None);
        Self { name, about, is_planted, is_strict, order, command: COMMAND, expected: &[], body }
    }

    /// One that fails where anything goes past the driver.
    #[must_use]
    pub const fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// One that carries a bug on purpose.
    #[must_use]
    pub const fn planted(self) -> Self {
        Self { is_planted: true, ..self }
    }

    /// One whose sweeps have to reach each of these sites, by their names, or say that they do not.
    #[must_use]
    pub const fn expects(self, names: &'static [&'static str]) -> Self {
        Self { expected: names, ..self }
    }
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Scenario<F> {
    /// One by that name, which is about that, with a closure over what it needs.
    #[must_use]
    pub fn with_body(name: &'static str, about: &'static str, body: F) -> Self {
        let (is_planted, is_strict, order) = (false, false, None);
        Self { name, about, is_planted, is_strict, order, command: COMMAND, expected: &[], body }
    }

    /// Runs it once; the text of the trace is kept if asked for. A binary with the guard (see
    /// [`bypass`](crate::bypass)) runs it on a thread of its own, so that nothing thread-local of an earlier run is there.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn run(&self, source: impl Into<Source>, record: bool) -> Result<Run, ScenarioFailure> {
        self.observe(source.into(), Records { text: record, ..Records::default() }).result
    }

    /// Runs it once, and looks at it.
    pub(super) fn look(&self, source: Source) -> (Result<Run, ScenarioFailure>, Vec<Timeline>) {
        let Observed { result, seen } =
            self.observe(source, Records { timeline: true, ..Records::default() });
        (result, seen.into_timelines())
    }

    fn observe(&self, source: Source, records: Records) -> Observed {
        let source = source.again();
        let (seed, poll_counts) = (source.seed(), self.expected_polls(&source));
        isolated(seed, || {
            let setup = self.setup(source, poll_counts);
            self.observe_here(Setup {
                record: records.text || records.timeline,
                captures_packets: records.packets,
                is_viewed: records.timeline,
                ..setup
            })
        })
    }

    fn observe_here(&self, setup: Setup) -> Observed {
        let (seed, tape) = (setup.source.seed(), setup.source.tape().cloned());
        let (ran, seen) = self.play(setup);
        let result = ran
            .map(|run| Run { coverage: seen.coverage().clone(), ..run })
            .map_err(|message| self.failure(seed, tape, message));
        Observed { result, seen }
    }

    /// What [`Order::Urw`] needs to know of a run before.
    pub(super) fn expected_polls(&self, source: &Source) -> PollCounts {
        let seed = source.seed();
        match self.order {
            // Otherwise the choices are there, and nobody has to make them.
            Some(Order::Urw) if source.is_drawn() => isolated(seed, || self.count_polls(seed)),
            _ => PollCounts::default(),
        }
    }

    pub(super) fn setup(&self, source: Source, poll_counts: PollCounts) -> Setup {
        let (is_strict, order) = (self.is_strict, self.order);
        Setup { is_strict, order, poll_counts, ..Setup::of(source) }
    }

    pub(super) fn play(&self, setup: Setup) -> (Result<Run, String>, Seen) {
        // A panic outside of any task is a failure of this seed, not the end of a sweep.
        let ran = catch_unwind(AssertUnwindSafe(|| (self.body)(&setup)));
        let ran = ran.unwrap_or_else(|panic| Err(format!("panic: {}", panic_message(&*panic))));
        (ran, setup.seen.take())
    }

    /// How often the tasks are polled in a run of this seed in which all orders are drawn alike. What becomes of it does not matter.
    fn count_polls(&self, seed: u64) -> PollCounts {
        let order = Some(Order::Random);
        let (_, seen) = self.play(Setup { order, counts_polls: true, ..Setup::of(seed) });
        seen.poll_counts().clone()
    }

    /// Runs it once, and keeps the packets of its worlds, in the order in which those ended; the text of the trace as well, if asked
    /// for. Packets change no run.
    pub fn run_captured(
        &self,
        source: impl Into<Source>,
        record: bool,
    ) -> (Result<Run, ScenarioFailure>, Vec<Capture>) {
        let records = Records { text: record, packets: true, timeline: false };
        let Observed { result, mut seen } = self.observe(source.into(), records);
        (result, seen.take_captures())
    }

    /// Runs it once, and keeps its choices.
    pub fn run_recorded(
        &self,
        source: impl Into<Source>,
    ) -> (Result<Run, ScenarioFailure>, Recording) {
        let mut source = source.into();
        let recording = source.record();
        let result = self.run(source, false).map_err(|failure| {
            let tape = Some(recording.tape());
            ScenarioFailure { tape, ..failure }
        });
        (result, recording)
    }

    pub(super) fn failure(
        &self,
        seed: u64,
        tape: Option<Tape>,
        message: String,
    ) -> ScenarioFailure {
        let &Self { name, command, is_strict, order, .. } = self;
        ScenarioFailure { scenario: name, command, seed, tape, is_strict, order, message }
    }

    /// Runs it twice, and compares: two runs that hold must be equal, and a failure must come back.
    ///
    /// # Errors
    /// When it does not hold, or the runs differ; then with the first event that does.
    pub fn run_twice(&self, seed: u64) -> Result<Run, ScenarioFailure> {
        let first = self.run_first(seed);
        self.run_again(seed, first)
    }

    /// The first of two runs.
    pub(super) fn run_first(&self, seed: u64) -> Observed {
        self.observe(seed.into(), Records::default())
    }

    /// Runs it once more, and compares.
    pub(super) fn run_again(&self, seed: u64, first: Observed) -> Result<Run, ScenarioFailure> {
        let second = self.run_first(seed);
        if first.is_like(&second) {
            return first.result;
        }
        let has_done_the_same = first.seen.hash() == second.seen.hash();
        match (first.result, second.result) {
            (Ok(first), Ok(second)) if has_done_the_same && first.coverage != second.coverage => {
                let message = "two runs do the same, and pass other sites".to_owned();
                Err(self.failure(seed, None, message))
            }
            (Ok(_), Ok(_)) => {
                let message = format!("two runs differ: {}", self.parting(seed));
                Err(self.failure(seed, None, message))
            }
            (Err(failure), _) | (_, Err(failure)) => {
                let message =
                    format!("{}\n{NOT_BACK}\n{}", failure.message.trim_end(), self.parting(seed));
                Err(ScenarioFailure { message, ..failure })
            }
        }
    }

    /// Everything that happens in a run, whether it holds or not.
    pub(super) fn tell(&self, source: Source) -> Vec<String> {
        let records = Records { text: true, ..Records::default() };
        self.observe(source, records).seen.into_lines()
    }

    /// Where two runs part, found by two more that are recorded.
    fn parting(&self, seed: u64) -> String {
        let records = Records { text: true, ..Records::default() };
        let record = || self.observe(seed.into(), records).seen;
        record().parting(&record()).unwrap_or_else(|| {
            "two runs that were recorded do the same, so what happened shows no difference\n"
                .to_owned()
        })
    }
}

/// What is kept of what happens.
#[derive(Clone, Copy, Default)]
struct Records {
    text: bool,
    packets: bool,
    timeline: bool,
}

/// On a thread of its own, where there is the guard.
pub(super) fn isolated<R: Send>(seed: u64, body: impl FnOnce() -> R + Send) -> R {
    if is_guarded() { alone(seed, body) } else { body() }
}

/// A run, with what its worlds did.
pub(super) struct Observed {
    result: Result<Run, ScenarioFailure>,
    seen: Seen,
}

impl Observed {
    /// Whether both held or failed in the same way, and did the same.
    fn is_like(&self, other: &Self) -> bool {
        let is_same = match (&self.result, &other.result) {
            (Ok(this), Ok(other)) => this == other,
            (Err(this), Err(other)) => this.message == other.message,
            _ => false,
        };
        is_same && self.seen.hash() == other.seen.hash()
    }
}
