//! `PollCost`: how long each poll of a task takes, as a model of a host says.

use core::fmt;
use core::ops::RangeInclusive;
use core::panic::Location;
use core::time::Duration;
use std::borrow::Cow;

use mainspring_executor::driver::{ReadyTasks, TaskId};

use crate::choice::{Label, Span};
use crate::event::ShardId;
use crate::room::Room;

/// A task that is about to be polled, as a model of costs sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolledTask {
    /// Its number on its shard.
    pub id: TaskId,
    /// Where it was spawned.
    pub origin: &'static Location<'static>,
    /// What it is called, where it was spawned with a name.
    pub name: Option<Cow<'static, str>>,
}

/// Says how long a poll takes.
pub(crate) struct PollCost(Box<Model>);

type Model = dyn Fn(&PolledTask) -> RangeInclusive<Duration>;

impl PollCost {
    pub(crate) fn new(cost: impl Fn(&PolledTask) -> RangeInclusive<Duration> + 'static) -> Self {
        Self(Box::new(cost))
    }
}

impl fmt::Debug for PollCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PollCost")
    }
}

impl PolledTask {
    pub(crate) fn new(ready: &ReadyTasks<'_>, position: usize) -> Self {
        let (id, origin) = (ready.id(position), ready.origin(position));
        Self { id, origin, name: ready.name(position) }
    }
}

impl Room {
    /// Whether polls take time on a shard.
    pub(crate) fn has_poll_costs(&self, shard: ShardId) -> bool {
        !self.poll_span.is_zero() || self.machine(self.host_of(shard)).poll_cost.is_some()
    }

    /// Draws how long the poll of a task takes on a shard.
    pub(crate) fn poll_cost(
        &mut self,
        shard: ShardId,
        task: impl FnOnce() -> PolledTask,
    ) -> Duration {
        let model = &self.machine(self.host_of(shard)).poll_cost;
        let span = match model {
            Some(PollCost(cost)) => Span::from(&cost(&task())),
            None => self.poll_span,
        };
        self.choices.duration(shard, Label::PollCost, span)
    }
}
