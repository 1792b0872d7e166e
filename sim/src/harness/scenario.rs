//! `Scenario`: a program for the room, and how it is judged: run twice with the same seed, it must hold, leave nothing, and
//! leave the same trace.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mainspring_executor::Instant;

use super::ScenarioFailure;
use crate::{Recording, Source, Tape, World, WorldConfig, first_divergence};

/// What a failure is repeated by, unless a scenario says otherwise.
const COMMAND: &str = "cargo run --release --bin scenarios --";

/// A program for a simulated machine room, with what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// By which it is called.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub about: &'static str,
    /// It carries a bug on purpose, and shows that such bugs are found: runs of it are expected to fail.
    pub is_planted: bool,
    /// The command line that repeats a failure of it, up to the subcommand.
    pub command: &'static str,
    /// Runs it once.
    pub body: fn(&Setup) -> Result<Run, String>,
}

/// What a run gets.
#[derive(Clone, Debug)]
pub struct Setup {
    seed: u64,
    record: bool,
    source: Source,
}

impl Setup {
    /// A run with these choices: of a seed, of a tape.
    #[must_use]
    pub fn of(source: impl Into<Source>) -> Self {
        let source = source.into();
        Self { seed: source.seed(), record: false, source }
    }

    /// Decides what the scenario leaves open and does not ask its worlds for.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether the text of the trace is kept.
    #[must_use]
    pub fn records(&self) -> bool {
        self.record
    }

    /// The world, or one of the worlds, that the run is in: only one that is made here has its choices on the run's tape.
    #[must_use]
    pub fn world(&self, config: WorldConfig) -> World {
        let record = self.record || config.record;
        World::new(self.source.clone(), WorldConfig { record, ..config })
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
}

/// Ends a run: it must have gone to its end, and have left nothing behind.
///
/// # Errors
/// Why it did not hold.
pub fn conclude(world: &World, request_count: u64) -> Result<Run, String> {
    let report = world.run().map_err(|failure| failure.to_string())?;
    let leaks = world.leaks();
    if !leaks.is_empty() {
        let mut message = format!("leak: still alive after the end:\n  {}", leaks.join("\n  "));
        for event in world.trace() {
            message.push('\n');
            message.push_str(&event);
        }
        return Err(message);
    }
    Ok(Run {
        trace_hash: report.trace_hash,
        virtual_end: report.at,
        event_count: report.event_count,
        request_count,
        trace: world.trace(),
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
        Self { name, about, is_planted: false, command: COMMAND, body }
    }

    /// One that carries a bug on purpose.
    #[must_use]
    pub const fn planted(self) -> Self {
        Self { is_planted: true, ..self }
    }

    /// Runs it once; the text of the trace is kept if asked for.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn run(&self, source: impl Into<Source>, record: bool) -> Result<Run, ScenarioFailure> {
        let setup = Setup { record, ..Setup::of(source) };
        let (seed, tape) = (setup.seed, setup.source.tape().cloned());
        let body = self.body;
        // A panic outside of any task is a failure of this seed, not the end of a sweep.
        let ran = catch_unwind(AssertUnwindSafe(|| body(&setup)));
        let ran = ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panic: {}", text.unwrap_or("without words")))
        });
        ran.map_err(|message| self.failure(seed, tape, message))
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

    fn failure(&self, seed: u64, tape: Option<Tape>, message: String) -> ScenarioFailure {
        let &Self { name, command, .. } = self;
        ScenarioFailure { scenario: name, command, seed, tape, message }
    }

    /// Runs it twice, and compares.
    ///
    /// # Errors
    /// When it does not hold, or the runs differ; then with the first event that does.
    pub fn run_twice(&self, seed: u64) -> Result<Run, ScenarioFailure> {
        let first = self.run(seed, false)?;
        self.run_again(seed, first)
    }

    /// Runs it once more, and compares.
    pub(super) fn run_again(&self, seed: u64, first: Run) -> Result<Run, ScenarioFailure> {
        if first == self.run(seed, false)? {
            return Ok(first);
        }
        let message = match (self.run(seed, true), self.run(seed, true)) {
            (Ok(first), Ok(second)) => match first_divergence(&first.trace, &second.trace) {
                Some(divergence) => format!("two runs differ: {divergence}"),
                None => "two runs differed, two recorded ones did not".to_owned(),
            },
            _ => "two runs differed, and recorded ones do not hold".to_owned(),
        };
        Err(self.failure(seed, None, message))
    }
}
