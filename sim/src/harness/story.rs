//! `Story`: a failure made small.

use core::fmt;

use mainspring_executor::Instant;

use super::{Run, Scenario, ScenarioFailure, Setup};
use crate::words::seconds;
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
    /// The hosts of the first run, and of the smallest.
    pub host_counts: (usize, usize),
    /// Those that are left, in the order in which they are made.
    pub chosen: Vec<Chosen>,
    /// Runs that it took.
    pub attempt_count: u64,
    /// Nothing is left to be tried; else the attempts ran out.
    pub is_minimal: bool,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}", self.failure.headline(), self.account())?;
        write!(f, "replay: {} {}", self.failure.command, self.failure.replay())
    }
}

impl Story {
    /// What has to go wrong, step by step, and how much smaller that is than the first run.
    #[must_use]
    pub fn account(&self) -> String {
        let (choices, left) = (self.before_count, self.chosen.len());
        let ((events, fewer), (hosts, needed)) = (self.event_counts, self.host_counts);
        let mut text = match left {
            0 => "nothing that is drawn has to go wrong for it".to_owned(),
            _ => "what has to go wrong for it:".to_owned(),
        };
        let width = left.to_string().len();
        for (number, chosen) in (1_usize..).zip(&self.chosen) {
            let (at, owner, words) = (seconds(chosen.at), chosen.owner(), chosen.words());
            text.push_str(&format!("\n  {number:>width$}. at {at} s, {owner}: {words}"));
        }
        let runs = self.attempt_count;
        text.push_str(&format!(
            "\nfound in {runs} runs: {choices} choices -> {left}, {events} events -> {fewer}, {hosts} hosts -> {needed}"
        ));
        if !self.is_minimal {
            text.push_str("; more may go, for the runs were not enough");
        }
        text
    }
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Scenario<F> {
    /// Runs it twice. Where that fails, gives the account of it: the smallest run that fails so, if there is one to be found in at most so
    /// many runs.
    ///
    /// # Errors
    /// When it does not hold, with what there is to say about that.
    pub fn verdict(&self, source: impl Into<Source>, attempts_max: u64) -> Result<Run, String> {
        let source = source.into();
        let ran = match source.is_drawn() {
            true => self.run_twice(source.seed()),
            false => self.run(source.clone(), false),
        };
        ran.map_err(|failure| match self.minimise(source, attempts_max) {
            Ok(story) => story.to_string(),
            // What fails is not on its tape, or does not come back: the failure says so itself.
            Err(_) => failure.to_string(),
        })
    }

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
        let (first_end, hosts) = (recording.virtual_end(), recording.host_count());
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
            host_counts: (hosts, recording.host_count()),
            chosen: recording.chosen(),
            attempt_count: small.attempt_count,
            is_minimal: small.is_minimal,
        })
    }
}
