//! `Explained`: with which choice a failure became inevitable.

use core::fmt;
use std::sync::Arc;

use super::{Scenario, Story};
use crate::{Chosen, Source};

/// A choice that makes the failure likelier by so much has decided it.
const DECISIVE: f64 = 0.25;

/// Blocks of a whole bar.
const BAR: u64 = 20;

/// A failure made small, and how likely it was as one after the other of its choices was made.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The failure.
    pub story: Story,
    /// How often it fails so where all choices are drawn anew.
    pub before: Rate,
    /// The same for each of the choices that are left in the story: all up to that one are kept, and all behind it drawn anew.
    pub points: Vec<Rate>,
}

/// How many of some runs failed in the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Runs that failed so.
    pub failed: u64,
    /// All of them.
    pub runs: u64,
}

impl Rate {
    /// From 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.failed as f64 / self.runs.max(1) as f64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:3.0} %", 100.0 * self.share())
    }
}

impl Explained {
    /// The choice with which the failure became likelier by most, and by a quarter of all runs at least; the index in
    /// [`Story::chosen`].
    #[must_use]
    pub fn decisive(&self) -> Option<usize> {
        let mut before = self.before.share();
        let mut most = None;
        for (index, point) in self.points.iter().enumerate() {
            let rise = point.share() - before;
            before = point.share();
            if rise >= DECISIVE && most.is_none_or(|(_, most)| rise > most) {
                most = Some((index, rise));
            }
        }
        most.map(|(index, _)| index)
    }

    fn line(f: &mut fmt::Formatter<'_>, rate: Rate, what: &dyn fmt::Display) -> fmt::Result {
        let blocks = (rate.failed * BAR + rate.runs / 2) / rate.runs.max(1);
        let bar = "█".repeat(usize::try_from(blocks).expect("a bar is short"));
        writeln!(f, "  {rate} {bar:<20}  {what}")
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { story, before, points } = self;
        writeln!(f, "{}\n", story.failure.headline())?;
        writeln!(
            f,
            "how often it fails so once these choices are made and all behind them are drawn anew, {} runs each:",
            before.runs
        )?;
        Self::line(f, *before, &"before the first")?;
        let decisive = self.decisive();
        for (index, (rate, chosen)) in points.iter().zip(&story.chosen).enumerate() {
            let mark = if decisive == Some(index) { "  ◄ decisive" } else { "" };
            Self::line(f, *rate, &format_args!("{chosen}{mark}"))?;
        }
        match decisive {
            Some(index) => {
                let from = if index == 0 { *before } else { points[index - 1] };
                let (from, to) = (from.to_string(), points[index].to_string());
                writeln!(
                    f,
                    "it was decided by {}: {} -> {}",
                    story.chosen[index],
                    from.trim(),
                    to.trim()
                )?;
            }
            None => writeln!(f, "no choice alone has decided it")?,
        }
        write!(f, "replay: {} {}", story.failure.command, story.failure.replay())
    }
}

impl Scenario {
    /// Makes the failure of `source` small, in at most `attempts_max` runs, and then finds out with which of the choices that are left it
    /// became inevitable: keeps the choices up to each of them, and draws those behind it anew, `runs` times.
    ///
    /// # Errors
    /// As [`Scenario::minimise`].
    pub fn explain(
        &self,
        source: impl Into<Source>,
        attempts_max: u64,
        runs: u64,
    ) -> Result<Explained, String> {
        let story = self.minimise(source, attempts_max)?;
        let tape = Arc::new(story.tape.clone());
        let signature = story.failure.signature();
        let rate = |kept: u64| {
            let fails_so = |seed: &u64| {
                let failure = self.run(Source::prefix(&tape, kept, *seed), false).err();
                failure.is_some_and(|failure| failure.signature() == signature)
            };
            Rate { failed: (0..runs).filter(fails_so).count() as u64, runs }
        };
        let before = rate(0);
        let points = story.chosen.iter().map(|chosen: &Chosen| rate(chosen.number + 1)).collect();
        Ok(Explained { story, before, points })
    }
}
