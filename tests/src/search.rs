//! What is done with a scenario beside sweeping seeds: its failures are made smaller, and its orders enumerated.

use core::fmt;

use mainspring_sim::{Chosen, Orders, Recording, Source, Tape, minimise};

use crate::scenario::{Scenario, ScenarioFailure};

/// A failure, and the least that has to go wrong for it.
#[derive(Clone, Debug)]
pub struct Story {
    /// How the smallest run fails.
    pub failure: ScenarioFailure,
    /// The smallest run.
    pub tape: Tape,
    /// Choices of the first run that were not harmless.
    pub before_count: usize,
    /// Those that are left, in the order in which they are made.
    pub chosen: Vec<Chosen>,
    /// Runs that it took.
    pub attempt_count: u64,
    /// Nothing is left to be tried; else the attempts ran out.
    pub is_minimal: bool,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScenarioFailure { scenario, seed, message, .. } = &self.failure;
        let attempts = self.attempt_count;
        let end = if self.is_minimal { "" } else { "; more may go, for the attempts ran out" };
        writeln!(f, "{scenario} failed with seed {seed}: {}", message.trim_end())?;
        writeln!(f)?;
        writeln!(
            f,
            "minimised: {} choices -> {}, in {attempts} runs{end}",
            self.before_count,
            self.chosen.len()
        )?;
        for chosen in &self.chosen {
            writeln!(f, "  {chosen}")?;
        }
        let replay = "replay: cargo run --release --bin scenarios -- replay --scenario";
        write!(f, "{replay} {scenario} --tape '{}' --trace", self.tape)
    }
}

/// Looks for the smallest run that fails as the one of `source` does, in at most so many runs.
///
/// # Errors
/// Why there is nothing to make smaller: it holds, or what fails is not on its tape.
pub fn minimise_failure(
    scenario: &Scenario,
    source: impl Into<Source>,
    attempts_max: u64,
) -> Result<Story, String> {
    let (result, recording) = scenario.run_recorded(source);
    let Err(failure) = result else { return Err(format!("{} holds", scenario.name)) };
    let signature = failure.signature();
    let again = |tape: &Tape| -> Option<(ScenarioFailure, Recording)> {
        let (result, recording) = scenario.run_recorded(tape.clone());
        let failure = result.err().filter(|failure| failure.signature() == signature)?;
        Some((failure, recording))
    };
    let first = recording.tape();
    let Some((confirmed, _)) = again(&first) else {
        return Err(format!(
            "the failure does not come back from its tape: {failure}\n\
             a scenario makes its worlds by `Setup::world`, or something outside of the driver got in"
        ));
    };
    let small = minimise(&first, attempts_max, |tape| again(tape).map(|run| run.1.tape()));
    let (failure, recording) = again(&small.tape).unwrap_or((confirmed, recording));
    Ok(Story {
        failure,
        tape: small.tape,
        before_count: first.len(),
        chosen: recording.chosen(),
        attempt_count: small.attempt_count,
        is_minimal: small.is_minimal,
    })
}

/// What came of enumerating orders.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Orders that were run.
    pub run_count: u64,
    /// All that there are within the bound were run.
    pub is_exhausted: bool,
    /// The first that does not hold.
    pub failure: Option<ScenarioFailure>,
}

/// Runs all orders of a seed with at most `delays_max` delays, see [`Orders`]; at most so many runs, up to the first that
/// does not hold.
#[must_use]
pub fn explore(scenario: &Scenario, seed: u64, delays_max: u64, runs_max: u64) -> Explored {
    let mut run_count = 0;
    for source in Orders::new(seed, delays_max) {
        if run_count == runs_max {
            return Explored { run_count, is_exhausted: false, failure: None };
        }
        run_count += 1;
        if let Err(failure) = scenario.run_recorded(source).0 {
            return Explored { run_count, is_exhausted: false, failure: Some(failure) };
        }
    }
    Explored { run_count, is_exhausted: true, failure: None }
}
