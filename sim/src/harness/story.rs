//! `Story`: a failure made small.

use core::fmt;

use mainspring_executor::Instant;

use super::{Run, Scenario, ScenarioFailure, Setup};
use crate::{Chosen, Recording, Source, Tape, minimise};

/// A failure, and the least that has to go wrong for it.
#[derive(Clone, Debug)]
pub struct Story {
    /// How the smallest run fails.
    pub failure: ScenarioFailure,
    /// The smallest run.
    pub tape: Tape,
    /// Choices of the first run that were not harmless.
    pub before_count: usize,
    /// Turns and network events of the first run, and of the smallest.
    pub event_counts: (u64, u64),
    /// The virtual time at the end of the first run, and of the smallest.
    pub virtual_ends: (Instant, Instant),
    /// Those that are left, in the order in which they are made.
    pub chosen: Vec<Chosen>,
    /// Runs that it took.
    pub attempt_count: u64,
    /// Nothing is left to be tried; else the attempts ran out.
    pub is_minimal: bool,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, after) = (self.attempt_count, self.chosen.len());
        let (all, left) = self.event_counts;
        let end = if self.is_minimal { "" } else { "; more may go, for the attempts ran out" };
        writeln!(f, "{}\n", self.failure.headline())?;
        writeln!(
            f,
            "minimised: {} choices -> {after}, {all} events -> {left}, in {attempts} runs{end}",
            self.before_count
        )?;
        for chosen in &self.chosen {
            writeln!(f, "  {chosen}")?;
        }
        write!(f, "replay: {} {}", self.failure.command, self.failure.replay())
    }
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Scenario<F> {
    /// Looks for the smallest run that fails as the one of `source` does, in at most so many runs.
    ///
    /// # Errors
    /// Why there is nothing to make smaller: it holds, or what fails is not on its tape.
    pub fn minimise(&self, source: impl Into<Source>, attempts_max: u64) -> Result<Story, String> {
        let (result, recording) = self.run_recorded(source);
        let Err(failure) = result else { return Err(format!("{} holds", self.name)) };
        let signature = failure.signature();
        let again = |tape: &Tape| -> Option<(ScenarioFailure, Recording)> {
            let (result, recording) = self.run_recorded(tape.clone());
            let failure = result.err().filter(|failure| failure.signature() == signature)?;
            Some((failure, recording))
        };
        let (first, all) = (recording.tape(), recording.event_count());
        let first_end = recording.virtual_end();
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
            event_counts: (all, recording.event_count()),
            virtual_ends: (first_end, recording.virtual_end()),
            chosen: recording.chosen(),
            attempt_count: small.attempt_count,
            is_minimal: small.is_minimal,
        })
    }
}
