//! `Timeline`: a run that was recorded, as somebody looks at it: lanes for the hosts, their tasks and the ends of their
//! connections; what happened on each, and which of that made which other happen; what was under way; who waited for what.
//!
//! ```text
//!  trace, ties ──► reader ──► Timeline ──┬─► html: a page for a browser
//!                                        └─► chrome: a trace for Perfetto
//! ```
//! It knows nothing of the two forms that it is written in. `reader` goes through what was recorded once; `words` says it.

mod chrome;
mod event;
mod html;
mod lane;
mod message;
mod order;
mod reader;
mod sockets;
mod span;
mod tasks;
mod words;

use std::sync::Arc;

pub use event::TraceEvent;
pub use html::{Heading, Mark};
pub use lane::{Lane, LaneKind};
use mainspring_executor::driver::Instant;
pub use message::{Fate, Message};
pub use span::{Doing, Reason, Span};

use crate::world::World;

/// See [`World::timeline`]. What refers to another part of it does so by its place there.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Of the run.
    pub seed: u64,
    /// The virtual time at its end.
    pub end: Instant,
    /// The hosts, in the order in which they were made.
    pub hosts: Vec<Arc<str>>,
    /// The first is the scenario's own; then those of each host, together, with its own as the first of them.
    pub lanes: Vec<Lane>,
    /// What happened, by time, and where that is the same in the order in which it did.
    pub events: Vec<TraceEvent>,
    /// By their start.
    pub spans: Vec<Span>,
    /// By when they were sent.
    pub messages: Vec<Message>,
    /// Where the run failed, if it did.
    pub stops: Vec<Stop>,
}

/// Where a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The last event before it; `None` where nothing had happened.
    pub event: Option<usize>,
    /// In what way, and the first line of what there is to say about it.
    pub text: Arc<str>,
    /// The lanes of whose failure it is, or that the run waits for.
    pub lanes: Vec<usize>,
}

impl Timeline {
    /// What made an event happen, and what made that happen, and so on: the event itself first. What a request took, where the event
    /// is its answer.
    #[must_use]
    pub fn causes(&self, event: usize) -> Vec<usize> {
        let mut chain = vec![event];
        let mut next = self.events.get(event).and_then(|event| event.cause);
        while let Some(cause) = next {
            chain.push(cause);
            next = self.events[cause].cause;
        }
        chain
    }
}

impl World {
    /// Everything that has happened so far, with lanes and causes; `None` without [`WorldConfig::timeline`](crate::WorldConfig::timeline).
    #[must_use]
    pub fn timeline(&self) -> Option<Timeline> {
        let hosts = self.hosts.borrow();
        let alive = hosts.iter().map(|host| {
            let tasks = host.seat.shard().dump().tasks;
            (host.shard_id, tasks.into_iter().map(|task| task.id).collect())
        });
        let alive = alive.collect();
        reader::read(&self.room.borrow(), &alive)
    }
}
