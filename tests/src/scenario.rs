//! What a scenario is, and how it is judged: run twice with the same seed, it must hold, leave nothing, and leave the
//! same trace.

use core::fmt;
use core::ops::Range;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use mainspring_executor::Instant;
use mainspring_sim::{Recording, Source, Tape, World, WorldConfig, first_divergence};

/// A program for a simulated machine room, with what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// By which it is called.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub about: &'static str,
    /// It carries a bug on purpose, and shows that the suite finds such bugs: its runs must fail.
    pub is_planted: bool,
    /// Runs it once.
    pub body: fn(&mut Setup) -> Result<Run, String>,
}

/// What a run gets.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides what the scenario leaves open and does not ask its worlds for.
    pub seed: u64,
    /// Whether to keep the text of the trace.
    pub record: bool,
    source: Source,
}

impl Setup {
    /// A run with these choices: of a seed, of a tape.
    #[must_use]
    pub fn of(source: impl Into<Source>) -> Self {
        let source = source.into();
        Self { seed: source.seed(), record: false, source }
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

/// A run that did not hold. Its text ends with the line that repeats it.
#[derive(Clone, Debug)]
pub struct ScenarioFailure {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The seed that shows it.
    pub seed: u64,
    /// Its choices, where the seed alone does not decide them.
    pub tape: Option<Tape>,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for ScenarioFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seed, tape, message } = self;
        writeln!(f, "{scenario} failed with seed {seed}: {}", message.trim_end())?;
        let replay = "replay: cargo run --release --bin scenarios -- replay --scenario";
        match tape {
            Some(tape) => write!(f, "{replay} {scenario} --tape '{tape}' --trace"),
            None => write!(f, "{replay} {scenario} --seed {seed} --trace"),
        }
    }
}

impl core::error::Error for ScenarioFailure {}

impl ScenarioFailure {
    /// What makes it this failure and no other: its first two lines, without the instant and all numbers.
    #[must_use]
    pub fn signature(&self) -> String {
        let lines = self.message.lines().filter(|line| !line.starts_with("at ")).take(2);
        let mut signature = lines.collect::<Vec<_>>().join("\n");
        signature.retain(|character| !character.is_ascii_digit());
        signature
    }
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
    /// Runs it once.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn run(&self, source: impl Into<Source>, record: bool) -> Result<Run, ScenarioFailure> {
        let mut setup = Setup { record, ..Setup::of(source) };
        let (seed, tape) = (setup.seed, setup.source.tape().cloned());
        let body = self.body;
        // A panic outside of any task is a failure of this seed, not the end of a sweep.
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| body(&mut setup)));
        let ran = ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panic: {}", text.unwrap_or("without words")))
        });
        ran.map_err(|message| ScenarioFailure { scenario: self.name, seed, tape, message })
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

    /// Runs it twice, and compares.
    ///
    /// # Errors
    /// When it does not hold, or the runs differ; then with the first event that does.
    pub fn run_twice(&self, seed: u64) -> Result<Run, ScenarioFailure> {
        let first = self.run(seed, false)?;
        self.run_again(seed, first)
    }

    /// Runs it once more, and compares.
    fn run_again(&self, seed: u64, first: Run) -> Result<Run, ScenarioFailure> {
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
        Err(ScenarioFailure { scenario: self.name, seed, tape: None, message })
    }

    /// Runs each seed of a range twice, on all cores; between the two runs of a seed its thread runs others, so that what a
    /// run leaves behind in a process shows.
    ///
    /// # Panics
    /// When a worker does outside of a run.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "each run is on one thread; they share nothing")]
    pub fn sweep(&self, seeds: Range<u64>) -> Sweep {
        let next = AtomicU64::new(seeds.start);
        let total = Mutex::new(Sweep::default());
        let workers = std::thread::available_parallelism().map_or(1, core::num::NonZeroUsize::get);
        std::thread::scope(|threads| {
            for _ in 0..workers {
                threads.spawn(|| {
                    let mut part = Sweep::default();
                    loop {
                        let from = next.fetch_add(BETWEEN, Ordering::Relaxed);
                        if from >= seeds.end {
                            break;
                        }
                        let seeds = from..seeds.end.min(from + BETWEEN);
                        let firsts: Vec<_> =
                            seeds.clone().map(|seed| self.run(seed, false)).collect();
                        for (seed, first) in seeds.zip(firsts) {
                            part.add(first.and_then(|first| self.run_again(seed, first)));
                        }
                    }
                    total.lock().expect("no worker panics with it").merge(part);
                });
            }
        });
        let mut total = total.into_inner().expect("no worker panics with it");
        total.failures.sort_by_key(|failure| failure.seed);
        total
    }
}

/// So many seeds are run once before the first of them is run again.
const BETWEEN: u64 = 8;

/// What became of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Seeds that were run, each of them twice.
    pub seed_count: u64,
    /// Requests that were answered, in the first run of each seed.
    pub request_count: u64,
    /// Turns and network events, in the first run of each seed.
    pub event_count: u64,
    /// By seed.
    pub failures: Vec<ScenarioFailure>,
    /// All hashes together, whatever the order of the seeds: equal for equal sweeps.
    pub hash: u64,
}

impl Sweep {
    fn add(&mut self, result: Result<Run, ScenarioFailure>) {
        self.seed_count += 1;
        match result {
            Ok(run) => {
                self.request_count += run.request_count;
                self.event_count += run.event_count;
                self.hash = self.hash.wrapping_add(run.trace_hash);
            }
            Err(failure) => self.failures.push(failure),
        }
    }

    fn merge(&mut self, other: Self) {
        self.seed_count += other.seed_count;
        self.request_count += other.request_count;
        self.event_count += other.event_count;
        self.hash = self.hash.wrapping_add(other.hash);
        self.failures.extend(other.failures);
    }
}
