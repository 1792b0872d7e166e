//! `View`: a run of a scenario, to be looked at.

use super::{Explained, Run, Scenario, Setup, Story};
use crate::timeline::{Heading, Mark, Timeline};
use crate::{Source, Tape};

/// A run that was recorded. Made by [`Scenario::view`].
#[derive(Clone, Debug)]
pub struct View {
    /// What stands above it.
    pub heading: Heading,
    /// The world in which it failed; where it held, the one in which most happened.
    pub timeline: Timeline,
    /// How many worlds the run had.
    pub world_count: usize,
}

impl View {
    /// A page that shows it, whole in one file.
    #[must_use]
    pub fn html(&self) -> String {
        self.timeline.html(&self.heading)
    }

    /// A trace for Perfetto.
    #[must_use]
    pub fn chrome(&self) -> String {
        self.timeline.chrome()
    }
}

impl<F: Fn(&Setup) -> Result<Run, String> + Sync> Scenario<F> {
    /// Runs it, and gives what it looks like, whether it holds or fails.
    ///
    /// # Errors
    /// That it made no world by [`Setup::world`], so that there is nothing to see.
    pub fn view(&self, source: impl Into<Source>) -> Result<View, String> {
        let source = source.into();
        let (_, timelines) = self.look(source.clone());
        let world_count = timelines.len();
        let fullest = timelines
            .into_iter()
            .max_by_key(|timeline| (!timeline.stops.is_empty(), timeline.events.len()));
        let timeline = fullest.ok_or_else(|| {
            format!("{} makes no world by `Setup::world`: there is nothing to see of it", self.name)
        })?;
        // Once more: what a run that is recorded says of its failure ends with all that happened.
        let failure = self.run(source, false).err();
        let replay =
            failure.as_ref().map(|failure| format!("{} {}", failure.command, failure.replay()));
        let heading = Heading {
            name: self.name.to_owned(),
            failure: failure.map(|failure| failure.message),
            replay,
            choices: Vec::new(),
        };
        Ok(View { heading, timeline, world_count })
    }

    /// Makes a failure small, in at most so many runs, and gives what is left of it: with the choices that matter marked.
    ///
    /// # Errors
    /// As [`Scenario::minimise`] and [`Scenario::view`].
    pub fn view_minimised(
        &self,
        source: impl Into<Source>,
        attempts_max: u64,
    ) -> Result<(View, Story), String> {
        let story = self.minimise(source, attempts_max)?;
        let tape: Tape = story.tape.clone();
        let mut view = self.view(tape)?;
        view.heading.choices = story.chosen.iter().map(Mark::of).collect();
        Ok((view, story))
    }

    /// [`Scenario::view_minimised`], with the choices by which a failure is [explained](Scenario::explain): the one that decided it stands
    /// out.
    ///
    /// # Errors
    /// As [`Scenario::explain`] and [`Scenario::view`].
    pub fn view_explained(
        &self,
        source: impl Into<Source>,
        attempts_max: u64,
        runs: u64,
    ) -> Result<(View, Explained), String> {
        let explained = self.explain(source, attempts_max, runs)?;
        let mut view = self.view(explained.story.tape.clone())?;
        let mut marks: Vec<_> =
            explained.points.iter().map(|point| Mark::of(&point.chosen)).collect();
        if let Some(decisive) = explained.decisive() {
            marks[decisive].is_decisive = true;
        }
        view.heading.choices = marks;
        Ok((view, explained))
    }
}
