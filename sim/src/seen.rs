//! `Seen`: what all worlds of one run did and reached, for who compares two runs. It outlives them, also where the run fails.

use crate::capture::Capture;
use crate::coverage::Coverage;
use crate::first_divergence;
use crate::poll_counts::PollCounts;
use crate::room::Room;
use crate::timeline::Timeline;

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Of all worlds, in the order in which they ended.
    hash: u64,
    /// Everything that happened, where it was recorded.
    lines: Vec<String>,
    /// Which task did it, one for each line.
    tasks: Vec<Option<String>>,
    coverage: Coverage,
    poll_counts: PollCounts,
    /// The packets of each world, where they were captured.
    captures: Vec<Capture>,
    /// Of each world, where they are to be looked at.
    timelines: Vec<Timeline>,
}

impl Seen {
    /// A world ends, which has reached that, and whose tasks were polled so often.
    pub(crate) fn add(&mut self, room: &Room, reached: Coverage, poll_counts: &PollCounts) {
        self.coverage.merge(reached);
        self.poll_counts.merge(poll_counts);
        self.hash = self.hash.rotate_left(1) ^ room.trace.hash();
        self.lines.extend(room.trace_lines(usize::MAX));
        self.tasks.extend(room.trace.tasks());
        self.captures.extend(room.capture());
    }

    /// A world ends that looks like that.
    pub(crate) fn look(&mut self, timeline: Option<Timeline>) {
        self.timelines.extend(timeline);
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    pub(crate) fn into_timelines(self) -> Vec<Timeline> {
        self.timelines
    }

    pub(crate) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub(crate) fn poll_counts(&self) -> &PollCounts {
        &self.poll_counts
    }

    pub(crate) fn take_captures(&mut self) -> Vec<Capture> {
        core::mem::take(&mut self.captures)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Where two runs parted, in whole lines: what came before, what each did then, and which task did that. `None`: they are
    /// equal, or were not recorded.
    pub(crate) fn parting(&self, other: &Self) -> Option<String> {
        let divergence = first_divergence(&self.lines, &other.lines)?;
        let mut text = divergence.to_string();
        for (name, seen) in [("the first", self), ("the second", other)] {
            if let Some(Some(task)) = seen.tasks.get(divergence.index) {
                text.push_str(&format!("in {name} that was {task}\n"));
            }
        }
        Some(text)
    }
}
