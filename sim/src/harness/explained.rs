//! `Explained`: with which choice a failure became inevitable.

use core::fmt;
use std::sync::Arc;

use super::{Run, Scenario, Setup, Story};
use crate::choice::splitmix64;
use crate::words::seconds;
use crate::{Chosen, Source, Tape};

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
    /// The choices that are left in the story; and between them such as were harmless, where that has made the failure likelier by a
    /// quarter of all runs.
    pub points: Vec<Point>,
}

/// A choice, and how often the run fails so where all before it are kept, and all behind drawn anew; and where it is kept as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The choice.
    pub chosen: Chosen,
    /// Without it.
    pub before: Rate,
    /// With it.
    pub rate: Rate,
}

impl Point {
    /// What the choice has added.
    fn rise(&self) -> f64 {
        self.rate.share() - self.before.share()
    }
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
    /// The choice with which the failure became likelier by most, and by a quarter of all runs at least; the index in `points`.
    #[must_use]
    pub fn decisive(&self) -> Option<usize> {
        let rises = self.points.iter().map(Point::rise).enumerate();
        let decisive = rises.filter(|(_, rise)| *rise >= DECISIVE);
        decisive.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(index, _)| index)
    }

    fn line(f: &mut fmt::Formatter<'_>, rate: Rate, what: &dyn fmt::Display) -> fmt::Result {
        let blocks = (rate.failed * BAR + rate.runs / 2) / rate.runs.max(1);
        let bar = "█".repeat(usize::try_from(blocks).expect("a bar is short"));
        writeln!(f, "  {rate} {bar:<20}  {what}")
    }
}

/// A choice in a line.
fn told(chosen: &Chosen) -> String {
    format!("at {} s, {}: {}", seconds(chosen.at), chosen.owner(), chosen.words())
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
        for (index, Point { chosen, rate, .. }) in points.iter().enumerate() {
            let mark = if decisive == Some(index) { "  ◄ decisive" } else { "" };
            Self::line(f, *rate, &format_args!("{}{mark}", told(chosen)))?;
        }
        match decisive {
            Some(index) => {
                let Point { chosen, before, rate } = &points[index];
                let (from, to) = (before.to_string(), rate.to_string());
                writeln!(f, "it was decided {}: {} -> {}", told(chosen), from.trim(), to.trim())?;
            }
            None => writeln!(f, "no choice alone has decided it")?,
        }
        write!(f, "replay: {} {}", story.failure.command, story.failure.replay())
    }
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Scenario<F> {
    /// Makes the failure of `source` small, in at most `attempts_max` runs, and then finds out with which choice it became inevitable:
    /// keeps the choices up to each of those that are left, and draws those behind it anew, `runs` times. Where nothing but
    /// harmless ones lie between a point and one at which it is much likelier, the one that did it is searched for.
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
        let anew =
            Anew { scenario: self, tape: &Arc::new(story.tape.clone()), story: &story, runs };
        let before = anew.rate(0);
        let (mut points, mut last, mut kept) = (Vec::new(), before, 0);
        for chosen in &story.chosen {
            let before = anew.rate(chosen.number);
            points.extend(anew.point_between((kept, last), (chosen.number, before)));
            kept = chosen.number + 1;
            last = anew.rate(kept);
            points.push(Point { chosen: chosen.clone(), before, rate: last });
        }
        let end = anew.choice_count();
        points.extend(anew.point_between((kept, last), (end, anew.rate(end))));
        Ok(Explained { story, before, points })
    }
}

/// Runs of a story, whose choices are kept up to some point and drawn anew behind it.
struct Anew<'a, F> {
    scenario: &'a Scenario<F>,
    tape: &'a Arc<Tape>,
    story: &'a Story,
    runs: u64,
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Anew<'_, F> {
    /// How often it fails so where that many choices are kept.
    fn rate(&self, kept: u64) -> Rate {
        let signature = self.story.failure.signature();
        let fails_so = |seed: &u64| {
            let failure = self.scenario.run(Source::prefix(self.tape, kept, *seed), false).err();
            failure.is_some_and(|failure| failure.signature() == signature)
        };
        // Streams of their own: those of small seeds have been used to find it.
        let seeds = (0..self.runs).map(|number| splitmix64(self.tape.seed() ^ splitmix64(number)));
        Rate { failed: seeds.filter(fails_so).count() as u64, runs: self.runs }
    }

    /// Choices of the whole run, the harmless ones as well.
    fn choice_count(&self) -> u64 {
        self.scenario.run_recorded((**self.tape).clone()).1.choice_count()
    }

    /// The harmless choice that decided it, of those between two points, of which each has the number of choices that are kept, and how
    /// often the run fails so. `None` where they have not.
    fn point_between(&self, from: (u64, Rate), to: (u64, Rate)) -> Option<Point> {
        let (mut low, mut high) = (from, to);
        if high.1.share() - low.1.share() < DECISIVE {
            return None;
        }
        let middle = f64::midpoint(low.1.share(), high.1.share());
        while high.0 - low.0 > 1 {
            let kept = low.0 + (high.0 - low.0) / 2;
            let rate = self.rate(kept);
            if rate.share() < middle {
                low = (kept, rate);
            } else {
                high = (kept, rate);
            }
        }
        let mut source = Source::from((**self.tape).clone());
        let recording = source.record();
        recording.want(low.0);
        drop(self.scenario.run(source, false));
        let point = |chosen| Point { chosen, before: low.1, rate: high.1 };
        recording.found().map(point)
    }
}
