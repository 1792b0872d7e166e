//! `Property`: what must hold of a program whatever the plan, over many seeds, each of which decides a plan and a run with it.

use core::fmt::Debug;
use core::ops::Range;

use mainspring_sim::Source;
use mainspring_sim::harness::{Run, Scenario, ScenarioFailure, Setup};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::checked::Checked;
use crate::failure::{PropertyFailure, RunSize, Shrunk};
use crate::quiet::quietly;
use crate::search::{Choices, Search};

/// So many runs are made at most to make a plan small, and as many for each of its tapes.
const ATTEMPTS_MAX: u64 = 2_000;

/// So often plan and tape are made small in turn. With a smaller tape a plan may be smaller, too: a room has to be only as rough as
/// the worst that is left in it.
const ROUNDS_MAX: u32 = 3;

/// Plans, and a body that runs one of them in a room. It makes its worlds by [`Setup::world`], and ends with
/// [`conclude`](mainspring_sim::harness::conclude), as that of a [`Scenario`] does.
///
/// A failure is the first of the seeds that were asked for, made small: its plan by the strategy, and then the choices of the
/// room; both only as long as it [fails in the same way](PropertyFailure::signature).
///
/// Plans are told apart by their text: what `Debug` does not show of two makes them one.
///
/// The variables `PROPTEST_…` of the environment change nothing, and nothing is kept in files: a seed that has failed is for
/// a test of its own, `property.assert_holds(7..8)`.
#[derive(Debug)]
pub struct Property<S, F> {
    name: &'static str,
    strategy: S,
    body: F,
    is_strict: bool,
    attempts_max: u64,
}

impl<S, F> Property<S, F>
where
    S: Strategy<Value: Clone + Sync>,
    F: Fn(&S::Value, &Setup) -> Result<Run, String> + Sync,
{
    /// What `body` says of each plan of `strategy`. Of plans that are tuples the first part is made small first.
    pub fn new(name: &'static str, strategy: S, body: F) -> Self {
        Self { name, strategy, body, is_strict: false, attempts_max: ATTEMPTS_MAX }
    }

    /// Fails where anything goes past the driver as well, as [`Scenario::strict`] does.
    #[must_use]
    pub fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// Makes so many runs at most to make a plan small, and as many for each of its tapes, of which there are up to three; 2,000 unless
    /// this is called.
    #[must_use]
    pub fn attempts_max(self, count: u64) -> Self {
        Self { attempts_max: count, ..self }
    }

    /// Runs each seed twice, up to the first that does not hold, or whose runs differ.
    ///
    /// # Errors
    /// How that fails, made small. The same seed gives the same text each time.
    ///
    /// # Panics
    /// When there is no seed in the range, or the strategy gives no plan for one (a filter that takes nothing).
    pub fn check(&self, seeds: Range<u64>) -> Result<Checked, Box<PropertyFailure<S::Value>>> {
        assert!(!seeds.is_empty(), "{}: a check of no seeds shows nothing", self.name);
        let mut checked = Checked::default();
        for seed in seeds {
            let run = self.scenario(&self.plan(seed)).run_twice(seed);
            checked.add(&run.map_err(|failure| Box::new(self.explain(seed, failure)))?);
        }
        Ok(checked)
    }

    /// [`Property::check`], for a test.
    ///
    /// # Panics
    /// When it does not hold, with the whole report; and as `check`.
    #[track_caller]
    pub fn assert_holds(&self, seeds: Range<u64>) -> Checked {
        match self.check(seeds) {
            Ok(checked) => checked,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// The plan of a seed, as it is drawn.
    ///
    /// # Panics
    /// When the strategy gives none.
    pub fn plan(&self, seed: u64) -> S::Value {
        self.tree(seed).current()
    }

    /// Runs the plan of a seed once, as [`Property::check`] does, and keeps the text of the trace.
    ///
    /// # Errors
    /// What went wrong, with what happened last.
    ///
    /// # Panics
    /// As [`Property::plan`].
    pub fn replay(&self, seed: u64) -> Result<Run, String> {
        self.run(&self.plan(seed), seed)
    }

    /// Runs any plan once, with the choices of any seed or tape, and keeps the text of the trace. With the plan and the tape of a
    /// [`Shrunk`], that is the smallest run that fails.
    ///
    /// # Errors
    /// As [`Property::replay`].
    pub fn run(&self, plan: &S::Value, source: impl Into<Source>) -> Result<Run, String> {
        self.scenario(plan).run(source, true).map_err(|failure| failure.message)
    }

    /// One plan of it.
    fn scenario<'p>(&'p self, plan: &'p S::Value) -> Scenario<impl PlanBody + 'p> {
        let of_plan = &self.body;
        let body = move |setup: &Setup| of_plan(plan, setup);
        let scenario = Scenario::with_body(self.name, "a plan of a property", body);
        Scenario { is_strict: self.is_strict, ..scenario }
    }

    /// The same, without a word about its panics.
    fn quiet_scenario<'p>(&'p self, plan: &'p S::Value) -> Scenario<impl PlanBody + 'p> {
        let Scenario { name, about, is_strict, body, .. } = self.scenario(plan);
        let body = move |setup: &Setup| quietly(|| body(setup));
        Scenario { is_strict, ..Scenario::with_body(name, about, body) }
    }

    /// All that a plan may be made smaller to. Each setting that counts is named, for the others come from the environment.
    fn tree(&self, seed: u64) -> S::Tree {
        let config = Config {
            failure_persistence: None,
            max_local_rejects: 65_536,
            max_flat_map_regens: 1_000_000,
            max_default_size_range: 100,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let tree = self.strategy.new_tree(&mut TestRunner::new_with_rng(config, rng));
        tree.unwrap_or_else(|reason| {
            panic!("{}: the strategy gives no plan for seed {seed}: {reason}", self.name)
        })
    }

    fn explain(&self, seed: u64, failure: ScenarioFailure) -> PropertyFailure<S::Value> {
        PropertyFailure {
            property: self.name,
            seed,
            signature: failure.signature(),
            plan: self.plan(seed),
            shrunk: self.shrink(seed, &failure),
            message: failure.message,
        }
    }

    /// Makes plan and tape small, or says why it cannot.
    fn shrink(&self, seed: u64, failure: &ScenarioFailure) -> Result<Shrunk<S::Value>, String> {
        let mut tree = self.tree(seed);
        let plan = tree.current();
        let again = self.quiet_scenario(&plan).run(seed, false);
        if again.is_ok() || again.is_err_and(|again| again.message != failure.message) {
            return Err("it does not fail so each time".to_owned());
        }
        // No attempts: this is to see that the tape of the run is the run.
        let whole = self.quiet_scenario(&plan).minimise(seed, 0)?;
        let signature = failure.signature();
        let fails = |plan: &S::Value, choices: &Choices| {
            let result = self.quiet_scenario(plan).run(choices.clone(), false);
            result.is_err_and(|failure| failure.signature() == signature)
        };
        let mut search = Search::new(plan, seed, self.attempts_max, fails);
        search.run(&mut tree);
        let story_of = |plan: &S::Value, choices: Choices| {
            self.quiet_scenario(plan).minimise(choices, self.attempts_max)
        };
        let mut story = story_of(search.plan(), search.choices())?;
        let mut tape_attempt_count = story.attempt_count;
        for _ in 1..ROUNDS_MAX {
            if story.tape.is_empty() || !search.run_with(story.tape.clone(), &mut tree) {
                break;
            }
            story = story_of(search.plan(), search.choices())?;
            tape_attempt_count += story.attempt_count;
        }
        Ok(Shrunk {
            before: RunSize::first_of(&whole),
            after: RunSize::last_of(&story),
            message: story.failure.message,
            tape: story.tape,
            chosen: story.chosen,
            plan_attempt_count: search.attempt_count(),
            tape_attempt_count,
            is_minimal: search.is_minimal() && story.is_minimal,
            plan: search.into_plan(),
        })
    }
}

/// A body that has its plan.
trait PlanBody: Fn(&Setup) -> Result<Run, String> + Sync {}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> PlanBody for F {}
