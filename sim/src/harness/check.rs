//! `check`: a scenario as a test of `cargo test`, which keeps the seeds that have failed.

use core::iter::once;
use core::ops::{ControlFlow, Range};
use core::panic::Location;
use std::sync::Mutex;

use super::regressions::Regressions;
use super::test::Test;
use super::variables::{REPLAY, SEEDS, variable};
use super::{Run, Scenario, ScenarioFailure, Setup, conclude};
use crate::bypass::is_guarded;
use crate::quiet::quietly;
use crate::{Order, Source, Tape, World, WorldConfig};

/// Runs `body` with 100 seeds, each twice, in rooms that are like `config`: it fills an empty world with hosts and tasks, and may give a
/// closure for what is to be looked at in the end. Each run has to go to its end, and to leave nothing behind: no task, no socket, no
/// timer. [`Check`] has more to set.
///
/// Seeds that have failed are kept in a file beside the test, named as its source file but for `.seeds`, and run first from then on;
/// the file belongs into version control. The variable `MAINSPRING_SEEDS` says how many others are run. A failure is made small, and
/// told with the line that repeats it, by the variable `MAINSPRING_REPLAY`.
///
/// ```
/// use core::time::Duration;
/// use mainspring_executor::time::{sleep, timeout};
/// use mainspring_sim::{World, WorldConfig, check};
///
/// // In a `#[test]`.
/// check(WorldConfig::swarm(), |world| {
///     world.host("sleeper").run(async {
///         timeout(Duration::from_secs(2), sleep(Duration::from_secs(1))).await.expect("back in time");
///     });
/// });
/// check(WorldConfig::swarm(), |world| {
///     world.host("sleeper").run(async { sleep(Duration::from_secs(1)).await });
///     |world: &World| assert_eq!(world.now().as_nanos(), 1_000_000_000)
/// });
/// ```
///
/// # Panics
/// When a run does not hold, with why.
#[track_caller]
pub fn check<C: InTheEnd>(config: WorldConfig, body: impl Fn(&World) -> C + Sync) {
    Check::new(config).run(body);
}

/// What is looked at when a run is over: nothing, or a closure that panics where something is wrong.
pub trait InTheEnd {
    /// Looks at it.
    ///
    /// # Panics
    /// When something is wrong.
    fn look(self, world: &World);
}

impl InTheEnd for () {
    fn look(self, _world: &World) {}
}

impl<F: FnOnce(&World)> InTheEnd for F {
    fn look(self, world: &World) {
        self(world);
    }
}

/// A test over many seeds: see [`check()`].
#[derive(Clone, Debug)]
pub struct Check {
    config: WorldConfig,
    seeds: u64,
    attempts: u64,
    is_strict: bool,
    order: Option<Order>,
}

impl Check {
    /// One with 100 seeds, in rooms that are like `config`.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self { config, seeds: 100, attempts: 2000, is_strict: false, order: None }
    }

    /// With so many seeds.
    #[must_use]
    pub fn seeds(self, seeds: u64) -> Self {
        Self { seeds, ..self }
    }

    /// A failure is made small in at most so many runs; 2,000 where nothing is said.
    #[must_use]
    pub fn attempts(self, attempts: u64) -> Self {
        Self { attempts, ..self }
    }

    /// What goes past the driver fails it. Needs the guard, see [`bypass`](crate::bypass).
    #[must_use]
    pub fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// Who goes next, whatever `config` says and a swarm draws.
    #[must_use]
    pub fn order(self, order: Order) -> Self {
        Self { order: Some(order), ..self }
    }

    /// Runs them.
    ///
    /// # Panics
    /// When one does not hold, with why; where the variables say something that is not understood; and where it is [`strict`](Check::strict)
    /// and the binary has no guard.
    #[track_caller]
    pub fn run<C: InTheEnd, B: Fn(&World) -> C + Sync>(&self, body: B) {
        let test = Test::of::<B>(Location::caller());
        assert!(
            !self.is_strict || is_guarded(),
            "a strict check needs the guard, and this binary has none: link mainspring-sim-guard (Linux on x86-64)"
        );
        let config = &self.config;
        let mut scenario = Scenario::with_body(test.type_name, "", |setup: &Setup| {
            let world = setup.world(config.clone());
            let in_the_end = body(&world);
            let run = conclude(&world, 0)?;
            in_the_end.look(&world);
            Ok(run)
        });
        (scenario.is_strict, scenario.order) = (self.is_strict, self.order);
        let failed = match variable(REPLAY) {
            Some(text) => replay(&scenario, &test, &text),
            None => self.sweep(&scenario, &test),
        };
        // Here, so that it is the place of the test that is told.
        if let Some(report) = failed {
            panic!("{report}");
        }
    }

    /// All that there is to say about the first failure, if there is one.
    fn sweep<F>(&self, scenario: &Scenario<F>, test: &Test) -> Option<String>
    where
        F: Fn(&Setup) -> Result<Run, String> + Sync,
    {
        let count = variable(SEEDS).map_or(self.seeds, |text| {
            text.parse().unwrap_or_else(|_| {
                panic!("{SEEDS} is {text:?}: expected is how many seeds are to be run, a number")
            })
        });
        let regressions = Regressions::beside(test.location.file());
        let known = regressions.of(&test.name);
        let again = known.iter().map(|seed| *seed..seed.saturating_add(1));
        let first: Mutex<Option<ScenarioFailure>> = Mutex::default();
        let run = |seeds: Vec<Range<u64>>| {
            scenario.sweep_with(seeds, &|_, block| {
                let mut first = first.lock().expect("nothing panics with it");
                // Blocks are begun in order, and end: so the least seed that fails is among them.
                for failure in block.failures {
                    if first.as_ref().is_none_or(|before| failure.seed < before.seed) {
                        *first = Some(failure);
                    }
                }
                if first.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            first.lock().expect("nothing panics with it").take()
        };
        let failure = quietly(|| run(again.collect()).or_else(|| run(once(0..count).collect())))?;
        let kept = regressions.keep(&test.name, failure.seed);
        eprintln!("{} fails with seed {}: it is made small now", test.name, failure.seed);
        Some(format!("{}\n{kept}", self.report(scenario, test, &failure)))
    }

    /// All that there is to say about a failure.
    fn report<F>(&self, scenario: &Scenario<F>, test: &Test, failure: &ScenarioFailure) -> String
    where
        F: Fn(&Setup) -> Result<Run, String> + Sync,
    {
        let seed = failure.seed;
        let small = quietly(|| scenario.minimise(seed, self.attempts));
        let (name, again) = (&test.name, test.repeats(&seed.to_string()));
        match small {
            Ok(story) => {
                let message = story.failure.message.trim_end();
                let tape = test.repeats(&format!("'{}'", story.tape));
                let account = story.account();
                format!(
                    "{name} fails with seed {seed}: {message}\n\n{account}\n\nthat run: {tape}\nthe first one: {again}"
                )
            }
            // It is not on its tape, or does not come back: then the message says so.
            Err(_) => {
                format!(
                    "{name} fails with seed {seed}: {}\n\nagain: {again}",
                    failure.message.trim_end()
                )
            }
        }
    }
}

/// Runs one seed or one tape, and prints all that happens. Gives how it fails, if it does.
fn replay<F>(scenario: &Scenario<F>, test: &Test, text: &str) -> Option<String>
where
    F: Fn(&Setup) -> Result<Run, String> + Sync,
{
    let name = &test.name;
    let source = source(text);
    let told = quietly(|| scenario.tell(source.clone()));
    for line in told {
        println!("{line}");
    }
    // Once more: what a run that is recorded says of its failure ends with what happened last.
    match quietly(|| scenario.run(source, false)) {
        Ok(run) => {
            println!("{name} holds with {text}, to {} s", run.virtual_end);
            None
        }
        Err(failure) => Some(format!("{name} fails with {text}: {}", failure.message.trim_end())),
    }
}

fn source(text: &str) -> Source {
    if let Ok(seed) = text.parse::<u64>() {
        return seed.into();
    }
    let tape: Result<Tape, _> = super::cli::parse_tape(text);
    tape.unwrap_or_else(|error| {
        panic!("{REPLAY} is {text:?}: expected is a seed, a tape, or a file with a tape: {error}")
    })
    .into()
}
