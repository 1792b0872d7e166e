//! `Cancelled`: a scenario whose victims were dropped wherever they wait.

use core::fmt;

use super::scenario::isolated;
use super::{Run, Scenario, ScenarioFailure, Setup};
use crate::victim::Cut;

/// What became of it.
#[derive(Clone, Debug)]
pub struct Cancelled {
    /// How often a victim is suspended where nothing goes wrong.
    pub point_count: u64,
    /// Runs, with the one in which nothing goes wrong.
    pub run_count: u64,
    /// The first run that did not hold, if one did not.
    pub failure: Option<CancelFailure>,
}

/// A run that did not hold once a victim was dropped.
#[derive(Clone, Debug)]
pub struct CancelFailure {
    /// At which of its suspensions, from 1; 0 where nothing went wrong, and it does not hold all the same.
    pub point: u64,
    /// How.
    pub failure: ScenarioFailure,
}

impl fmt::Display for CancelFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, failure } = self;
        let ScenarioFailure { scenario, command, seed, .. } = failure;
        writeln!(f, "{}", failure.headline())?;
        match point {
            0 => write!(f, "replay: {command} {}", failure.replay()),
            _ => write!(
                f,
                "again: {command} cancel --scenario {scenario} --seed {seed} --point {point}"
            ),
        }
    }
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Scenario<F> {
    /// Runs a seed once as it is, and then twice for each point at which one of its [victims](crate::World::victims) is suspended: it is
    /// dropped there at once, and when it is woken again. Ends with the first run that does not hold. `point` is the only one to be
    /// tried, if there is one.
    ///
    /// # Errors
    /// The scenario has no victims that wait, or not so many points.
    pub fn cancel(&self, seed: u64, point: Option<u64>) -> Result<Cancelled, String> {
        let (failure, point_count) = self.run_cut(seed, Cut::Never);
        let mut cancelled = Cancelled { point_count, run_count: 1, failure: None };
        if let Some(message) = failure {
            let failure = self.failure(seed, None, message);
            cancelled.failure = Some(CancelFailure { point: 0, failure });
            return Ok(cancelled);
        }
        if point_count == 0 {
            return Err(format!(
                "{} has no victims that wait: what is to be dropped is wrapped by `World::victims`",
                self.name
            ));
        }
        if let Some(point) = point.filter(|point| !(1..=point_count).contains(point)) {
            return Err(format!("there is no point {point}: expected is 1 to {point_count}"));
        }
        for point in point.map_or(1..=point_count, |point| point..=point) {
            let ways = [
                (Cut::WhenSuspended(point), "as soon as it is suspended"),
                (Cut::WhenWoken(point), "when it is woken after it was suspended"),
            ];
            for (cut, when) in ways {
                cancelled.run_count += 1;
                let (failure, _) = self.run_cut(seed, cut);
                if let Some(message) = failure {
                    let message =
                        format!("{message}\na victim was dropped {when} for the {point}. time");
                    let failure = self.failure(seed, None, message);
                    cancelled.failure = Some(CancelFailure { point, failure });
                    return Ok(cancelled);
                }
            }
        }
        Ok(cancelled)
    }

    /// One run. Gives how it failed, if it did, and how often victims were suspended.
    fn run_cut(&self, seed: u64, cut: Cut) -> (Option<String>, u64) {
        let poll_counts = self.expected_polls(&seed.into());
        isolated(seed, || {
            let setup = self.setup(seed.into(), poll_counts);
            setup.victims.choose(cut);
            let victims = setup.victims.clone();
            let (ran, _) = self.play(setup);
            let message = ran.err().map(|message| message.trim_end().to_owned());
            (message, victims.suspension_count())
        })
    }
}
