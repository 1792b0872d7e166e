//! `Instants` and `Busy`: how much happens while the clock stands still, and who does it. What tells a livelock.

use core::panic::Location;
use std::collections::BTreeMap;

use mainspring_executor::driver::{Instant, TaskId};

use crate::event::ShardId;

/// Tasks that are named where an instant does not end.
const TASKS_MAX: usize = 8;

/// How many events and turns there are at one instant.
#[derive(Debug)]
pub(crate) struct Instants {
    at: Instant,
    count: u64,
    /// At the busiest so far.
    pub(crate) count_max: u64,
}

impl Default for Instants {
    fn default() -> Self {
        Self { at: Instant::START, count: 0, count_max: 0 }
    }
}

impl Instants {
    /// One more event or turn. Says the how many-eth of its instant it is.
    #[inline]
    pub(crate) fn count(&mut self, now: Instant) -> u64 {
        if self.at != now {
            (self.at, self.count) = (now, 0);
        }
        self.count += 1;
        self.count_max = self.count_max.max(self.count);
        self.count
    }
}

/// Who was polled how often.
#[derive(Debug, Default)]
pub(crate) struct Busy(BTreeMap<(ShardId, TaskId), Polls>);

#[derive(Clone, Copy, Debug)]
struct Polls {
    count: u64,
    origin: &'static Location<'static>,
}

impl Busy {
    pub(crate) fn note(
        &mut self,
        shard: ShardId,
        task: TaskId,
        origin: &'static Location<'static>,
    ) {
        self.0.entry((shard, task)).or_insert(Polls { count: 0, origin }).count += 1;
    }

    /// Those that were polled most, a line each, with what they are called by `name`.
    pub(crate) fn lines(&self, name: impl Fn(ShardId, TaskId) -> String) -> String {
        let mut tasks: Vec<_> = self.0.iter().collect();
        // Stable: where they are equal, by shard and task.
        tasks.sort_by_key(|(_, polls)| core::cmp::Reverse(polls.count));
        let line = |((shard, task), polls): (&(ShardId, TaskId), &Polls)| {
            let Polls { count, origin } = polls;
            format!("{count} polls of {}, spawned at {origin}\n", name(*shard, *task))
        };
        let mut text: String = tasks.iter().take(TASKS_MAX).copied().map(line).collect();
        if let Some(more) = tasks.len().checked_sub(TASKS_MAX).filter(|more| *more > 0) {
            text.push_str(&format!("and {more} tasks more\n"));
        }
        text
    }
}
