//! `Ties`: what ties one thing that happened to another: which call sent what arrives, who made whom ready, whose socket a token is,
//! what a task waited for. Kept where the trace is recorded, for who looks at a run afterwards.
//!
//! An act is one call of a program, or one event of the room that is handled: all that is noted, sent and told within it has its number.
//!
//! Invariant: it decides nothing, and is in no hash.

use core::panic::Location;
use std::sync::Arc;

use mainspring_executor::driver::{Address, Instant, ReadyTasks, TaskId};
use mainspring_executor::{DumpedTask, Shard};
use mainspring_sim_allocator::Entered;

use crate::event::{ConnectionId, Event, HostId, ShardId};
use crate::net::Side;
use crate::room::Room;
use crate::tokens::{Handle, Resource, Socket};
use crate::world::World;

/// See the file. `entry` is always how many entries the trace had then.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    /// The one that goes on.
    pub(crate) act: u64,
    /// Of each act that is an event of the room which: its number.
    pub(crate) handled: Vec<(u64, u64)>,
    pub(crate) launches: Vec<Launch>,
    pub(crate) raises: Vec<Raise>,
    pub(crate) openings: Vec<Opening>,
    pub(crate) connections: Vec<NewConnection>,
    pub(crate) queued: Vec<Queued>,
    pub(crate) rests: Vec<Rest>,
    /// What a run that failed says of it.
    pub(crate) stops: Vec<Stop>,
}

/// An event that is to come: a packet under way, a timer of a kernel, a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch {
    /// The number of the event.
    pub(crate) sequence: u64,
    pub(crate) event: Event,
    pub(crate) act: u64,
    pub(crate) entry: usize,
    pub(crate) due: Instant,
}

/// A program is owed an edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raise {
    pub(crate) act: u64,
    pub(crate) entry: usize,
    pub(crate) handle: Handle,
}

/// A token of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) entry: usize,
    pub(crate) handle: Handle,
    pub(crate) connection: ConnectionId,
    pub(crate) side: Side,
}

/// A connection begins, in the place of one that is gone.
#[derive(Clone, Debug)]
pub(crate) struct NewConnection {
    pub(crate) entry: usize,
    pub(crate) id: ConnectionId,
    /// The client's end, and the server's.
    pub(crate) ends: [(Option<HostId>, Address); 2],
}

/// A task comes into the queue of its shard, or leaves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    pub(crate) entry: usize,
    pub(crate) shard: ShardId,
    pub(crate) task: TaskId,
    pub(crate) step: QueueStep,
}

/// What becomes of it there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QueueStep {
    /// It was not there when the shard looked before. Where it was spawned.
    Comes(&'static Location<'static>),
    /// It is polled now; it may have been picked before, and its processor was busy with it.
    Goes,
}

/// What the tasks that were polled in a turn wait for after it; those that are not here have ended.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    pub(crate) entry: usize,
    pub(crate) shard: ShardId,
    pub(crate) tasks: Vec<DumpedTask>,
}

/// A run ends here, before its end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) entry: usize,
    pub(crate) text: Arc<str>,
    /// Whose failure it is, where that is known.
    pub(crate) culprits: Vec<(ShardId, Option<TaskId>)>,
}

/// Where the trace is recorded; else nothing is done.
impl Room {
    /// Lets an event happen at an instant.
    pub(crate) fn schedule(&mut self, at: Instant, event: Event) {
        let sequence = self.events.push(at, event);
        self.trace.tie(|ties, entry| {
            let act = ties.act;
            ties.launches.push(Launch { sequence, event, act, entry, due: at });
        });
    }

    /// A call of a program begins.
    pub(crate) fn begin_call(&mut self) {
        self.trace.tie(|ties, _| ties.act += 1);
    }

    /// An event of the room is about to happen.
    pub(crate) fn begin_event(&mut self, sequence: u64) {
        self.trace.tie(|ties, _| {
            ties.act += 1;
            ties.handled.push((ties.act, sequence));
        });
    }

    pub(crate) fn tie_raise(&mut self, handle: Handle) {
        self.trace.tie(|ties, entry| {
            let act = ties.act;
            ties.raises.push(Raise { act, entry, handle });
        });
    }

    pub(crate) fn tie_opening(&mut self, handle: Handle) {
        let socket = self.resource(handle.shard, handle.token);
        let Resource::Socket(Socket::Connection(connection, side)) = *socket else { return };
        self.trace.tie(|ties, entry| {
            ties.openings.push(Opening { entry, handle, connection, side });
        });
    }

    pub(crate) fn tie_connection(
        &mut self,
        id: ConnectionId,
        ends: impl FnOnce() -> [(Option<HostId>, Address); 2],
    ) {
        self.trace.tie(|ties, entry| {
            ties.connections.push(NewConnection { entry, id, ends: ends() });
        });
    }

    /// The tasks of a queue from `known` on are new.
    pub(crate) fn tie_ready(&mut self, shard: ShardId, ready: &ReadyTasks<'_>, known: usize) {
        self.trace.tie(|ties, entry| {
            let new = (known..ready.len()).map(|at| (ready.id(at), ready.origin(at)));
            ties.queued.extend(new.map(|(task, origin)| {
                let step = QueueStep::Comes(origin);
                Queued { entry, shard, task, step }
            }));
        });
    }

    pub(crate) fn tie_run(&mut self, shard: ShardId, task: TaskId) {
        self.trace.tie(|ties, entry| {
            ties.queued.push(Queued { entry, shard, task, step: QueueStep::Goes });
        });
    }

    /// How often a task has come into a queue or left it.
    pub(crate) fn queued_count(&self) -> usize {
        self.trace.tied().map_or(0, |(_, ties)| ties.queued.len())
    }

    /// The tasks that were polled since it was so often.
    pub(crate) fn polled_since(&self, count: usize) -> Vec<TaskId> {
        let Some((_, ties)) = self.trace.tied() else { return Vec::new() };
        let goes = |queued: &&Queued| matches!(queued.step, QueueStep::Goes);
        let mut tasks: Vec<_> =
            ties.queued[count..].iter().filter(goes).map(|queued| queued.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }

    pub(crate) fn tie_rest(&mut self, shard: ShardId, tasks: Vec<DumpedTask>) {
        self.trace.tie(|ties, entry| ties.rests.push(Rest { entry, shard, tasks }));
    }

    pub(crate) fn tie_stop(&mut self, text: &str, culprits: Vec<(ShardId, Option<TaskId>)>) {
        self.trace.tie(|ties, entry| {
            ties.stops.push(Stop { entry, text: text.into(), culprits });
        });
    }
}

impl Launch {
    /// The connection, and the side that it leaves.
    pub(crate) fn connection(&self) -> Option<(ConnectionId, Side)> {
        match self.event {
            Event::Syn(id) | Event::SynTimer(id) => Some((id, Side::Client)),
            Event::SynAck(id) | Event::Refusal(id) => Some((id, Side::Server)),
            Event::Flight(id, side)
            | Event::Reset(id, side)
            | Event::Duplicate(id, side)
            | Event::Probe(id, side)
            | Event::Resend(id, side)
            | Event::Answer(id, side)
            | Event::DelayedAck(id, side)
            | Event::Redelivery(id, side) => Some((id, side)),
            Event::Ack(id, side) => Some((id, side.other())),
            Event::Letter(_) | Event::Job(..) | Event::Spurious(..) | Event::Hook(_) => None,
        }
    }

    /// Whether something is under way, and does not only wait for a time.
    pub(crate) fn is_packet(&self) -> bool {
        match self.event {
            Event::Syn(_)
            | Event::SynAck(_)
            | Event::Refusal(_)
            | Event::Flight(..)
            | Event::Ack(..)
            | Event::Reset(..)
            | Event::Duplicate(..)
            | Event::Probe(..)
            | Event::Letter(_) => true,
            Event::SynTimer(_)
            | Event::Resend(..)
            | Event::Answer(..)
            | Event::DelayedAck(..)
            | Event::Redelivery(..)
            | Event::Job(..)
            | Event::Spurious(..)
            | Event::Hook(_) => false,
        }
    }
}

impl World {
    /// Where it is recorded, what the tasks wait for that a shard has polled in a turn.
    pub(crate) fn note_rest(&self, id: ShardId, shard: &Shard, queued_count: usize) {
        let polled = self.room.borrow().polled_since(queued_count);
        if !polled.is_empty() {
            let _bookkeeping = Entered::nobody();
            let tasks = shard.dump_tasks(&polled);
            self.room.borrow_mut().tie_rest(id, tasks);
        }
    }
}
