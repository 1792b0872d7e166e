//! Goes through what was recorded, once, in the order in which it was, and makes a timeline of it.
//!
//! Invariant: the cause of an event was recorded before it, so no chain of causes is a ring.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainspring_executor::driver::TaskId;

use super::sockets::Sockets;
use super::tasks::Tasks;
use super::{Lane, LaneKind, Stop, Timeline, TraceEvent, words};
use crate::event::{HostId, ShardId};
use crate::room::Room;
use crate::ties::{Launch, QueueStep, Ties};
use crate::trace::{Entry, Kind, Shape};

/// The tasks that are alive at the end, by shard.
pub(super) type Alive = Vec<(ShardId, Vec<TaskId>)>;

/// What was recorded, as a timeline.
pub(super) fn read(room: &Room, alive: &Alive) -> Option<Timeline> {
    let (entries, ties) = room.trace.tied()?;
    let mut reader = Reader::new(room, ties);
    for (index, entry) in entries.iter().enumerate() {
        reader.take_ties(index);
        match entry.kind {
            Kind::Turn => reader.begin_turn(entry),
            _ => reader.take(entry),
        }
    }
    reader.take_ties(entries.len());
    Some(reader.finish(alive))
}

/// What is known at some place of the recording.
pub(super) struct Reader<'a> {
    pub(super) room: &'a Room,
    ties: &'a Ties,
    next: Cursors,
    pub(super) lanes: Vec<Lane>,
    pub(super) events: Vec<TraceEvent>,
    /// Of each event, the act that it is of.
    acts: Vec<u64>,
    /// Of each act, the event that stands for it: the call, or what arrived.
    mains: BTreeMap<u64, usize>,
    /// Edges that programs are owed, by the act that first made them so.
    owed: BTreeMap<crate::tokens::Handle, u64>,
    pub(super) sockets: Sockets,
    pub(super) tasks: Tasks,
    stops: Vec<Stop>,
}

/// How much was taken of each list of ties.
#[derive(Default)]
struct Cursors {
    launch: usize,
    raise: usize,
    opening: usize,
    connection: usize,
    queued: usize,
    rest: usize,
    stop: usize,
}

/// Takes the next of a list, if it was recorded when there were so many entries.
macro_rules! next_at {
    ($reader:ident, $list:ident, $cursor:ident, $index:ident) => {{
        let found = $reader.ties.$list.get($reader.next.$cursor).filter(|tie| tie.entry == $index);
        $reader.next.$cursor += usize::from(found.is_some());
        found
    }};
}

impl<'a> Reader<'a> {
    fn new(room: &'a Room, ties: &'a Ties) -> Self {
        let mut lanes = vec![lane(LaneKind::Scenario, None, "scenario")];
        for index in 0..room.host_count() {
            let name = &room.machine(HostId::new(index)).name;
            lanes.push(lane(LaneKind::Host, Some(index), name));
        }
        Self {
            room,
            ties,
            next: Cursors::default(),
            lanes,
            events: Vec::new(),
            acts: Vec::new(),
            mains: BTreeMap::new(),
            owed: BTreeMap::new(),
            sockets: Sockets::default(),
            tasks: Tasks::default(),
            stops: Vec::new(),
        }
    }

    pub(super) fn host_of(&self, shard: ShardId) -> usize {
        self.room.host_of(shard).index()
    }

    /// The lane of a host.
    pub(super) fn host_lane(host: usize) -> usize {
        host + 1
    }

    pub(super) fn host_name(&self, host: HostId) -> &str {
        &self.room.machine(host).name
    }

    /// Takes what was recorded between two entries.
    fn take_ties(&mut self, index: usize) {
        while let Some(connection) = next_at!(self, connections, connection, index) {
            self.sockets.connect(connection);
        }
        while let Some(opening) = next_at!(self, openings, opening, index) {
            self.sockets.open(opening);
        }
        while let Some(raise) = next_at!(self, raises, raise, index) {
            self.owed.entry(raise.handle).or_insert(raise.act);
        }
        while let Some(launch) = next_at!(self, launches, launch, index) {
            self.send(launch);
        }
        while let Some(queued) = next_at!(self, queued, queued, index) {
            match queued.step {
                QueueStep::Comes(origin) => self.make_ready(queued.shard, queued.task, origin),
                QueueStep::Goes => self.tasks.run(queued.shard),
            }
        }
        while let Some(rest) = next_at!(self, rests, rest, index) {
            self.rest(rest);
        }
        while let Some(stop) = next_at!(self, stops, stop, index) {
            let culprits = stop.culprits.iter();
            let lanes = culprits.map(|(shard, task)| match task {
                Some(task) => self.task_lane(*shard, *task),
                None => Self::host_lane(self.host_of(*shard)),
            });
            let lanes = lanes.collect();
            let event = self.events.len().checked_sub(1);
            self.stops.push(Stop { event, text: Arc::clone(&stop.text), lanes });
        }
    }

    /// The event of the room that an act handles.
    fn handled(&self, act: u64) -> Option<&'a Launch> {
        let place = self.ties.handled.binary_search_by_key(&act, |(act, _)| *act).ok()?;
        let sequence = self.ties.handled[place].1;
        let launches = &self.ties.launches;
        let place = launches.binary_search_by_key(&sequence, |launch| launch.sequence).ok()?;
        Some(&launches[place])
    }

    fn take(&mut self, entry: &Entry) {
        let launch = self.handled(entry.act);
        let lane = self.lane_of(entry, launch);
        let event = self.events.len();
        let text = words::sentence(entry, |number| {
            let host = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            host.map_or_else(String::new, |host| self.host_name(HostId::new(host)).to_owned())
        });
        let task = entry.shard.zip(entry.poll);
        let task = task.map(|(shard, pulse)| self.task_lane(shard, pulse.task));
        self.events.push(TraceEvent {
            at: entry.at,
            lane,
            task: task.filter(|_| entry.kind != Kind::Poll),
            kind: entry.kind.shape().0,
            text: text.into(),
            fault: entry.kind.fault(),
            cause: None,
        });
        self.acts.push(entry.act);
        let is_first = !self.mains.contains_key(&entry.act);
        if let Some(launch) = launch.filter(|_| is_first) {
            self.mains.insert(entry.act, event);
            self.events[event].cause = self.mains.get(&launch.act).copied();
            self.arrive(launch, entry, event);
        } else if is_call(entry.kind) && launch.is_none() {
            self.mains.insert(entry.act, event);
        }
        self.explain(entry, event);
        self.note_loss(entry, event);
        if let Some((shard, _)) = entry.shard.zip(entry.poll) {
            self.tasks.extend_poll(shard, event);
        }
        if let Some(task) = task {
            self.sockets.used(lane, task);
        }
    }

    /// Finds the cause of an event that is known by its kind.
    fn explain(&mut self, entry: &Entry, event: usize) {
        let Some(shard) = entry.shard else { return };
        match entry.kind {
            Kind::Poll => self.poll(shard, TaskId(entry.subject), event),
            Kind::Edge => {
                let token = words::token(entry).expect("an edge is of a token");
                let act = self.owed.remove(&crate::tokens::Handle { shard, token });
                self.events[event].cause = act.and_then(|act| self.mains.get(&act).copied());
                self.tasks.told(shard, token, event);
            }
            Kind::Crash | Kind::Death => {
                let host = self.room.host_of(shard);
                self.end_tasks(host, event);
            }
            Kind::Restart => {
                let host = self.room.host_of(shard);
                self.end_tasks(host, event);
                self.tasks.begin_life(&self.room.machine(host).shards);
            }
            Kind::Spend if entry.poll.is_none() => {
                // What a poll takes before it does anything.
                self.events[event].cause = self.tasks.picked(shard).map(|(_, poll)| poll);
                self.tasks.extend_poll(shard, event);
            }
            kind if is_call(kind) || is_of_poll(kind) => {
                let task = entry.poll.map(|pulse| pulse.task);
                self.events[event].cause = task.and_then(|task| self.tasks.polled(shard, task));
            }
            _ => {}
        }
    }

    fn lane_of(&mut self, entry: &Entry, launch: Option<&Launch>) -> usize {
        let Some(shard) = entry.shard else {
            let is_of_connection = matches!(entry.kind.shape().1, Shape::Connection(_));
            return if is_of_connection { self.connection_lane(entry, launch) } else { 0 };
        };
        let host = self.host_of(shard);
        let own = match entry.kind.shape().1 {
            Shape::Task if entry.kind == Kind::Poll => {
                return self.task_lane(shard, TaskId(entry.subject));
            }
            Shape::Connection(_) => return self.connection_lane(entry, launch),
            Shape::Token(_) | Shape::Moved => self.socket_lane(shard, entry),
            Shape::Datagram(_) => self.sockets.datagram_lane(host, entry.number),
            _ => None,
        };
        let task = || match entry.poll {
            Some(pulse) => self.tasks.lane(shard, pulse.task),
            None if entry.kind == Kind::Spend => self.tasks.picked(shard).map(|(lane, _)| lane),
            None => None,
        };
        own.or_else(task).unwrap_or_else(|| Self::host_lane(host))
    }

    fn finish(mut self, alive: &Alive) -> Timeline {
        for event in 0..self.events.len() {
            let main = self.mains.get(&self.acts[event]).copied();
            if self.events[event].cause.is_none() && main.is_some_and(|main| main != event) {
                self.events[event].cause = main;
                self.place_loss(event);
            }
        }
        let spans = self.finish_tasks(alive);
        let messages = self.finish_messages();
        let hosts = self.lanes.iter().filter(|lane| lane.kind == LaneKind::Host);
        let hosts = hosts.map(|lane| Arc::clone(&lane.name)).collect();
        self.sockets.own(&mut self.lanes);
        let mut timeline = Timeline {
            seed: self.room.choices.seed(),
            end: self.room.now,
            hosts,
            lanes: self.lanes,
            events: self.events,
            spans,
            messages,
            stops: self.stops,
        };
        timeline.sort_events();
        timeline.sort_lanes();
        timeline
    }

    /// The event that stands for an act.
    pub(super) fn main_of(&self, act: u64) -> Option<usize> {
        self.mains.get(&act).copied()
    }
}

pub(super) fn lane(kind: LaneKind, host: Option<usize>, name: &str) -> Lane {
    Lane { kind, host, name: name.into(), place: "".into(), owner: None, ended: None }
}

/// Whether it is a call of a program: the event that stands for all that comes of it at once.
fn is_call(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Listen
            | Kind::Accept
            | Kind::Connect
            | Kind::ConnectOutcome
            | Kind::Read
            | Kind::Write
            | Kind::ShutdownWrite
            | Kind::Close
            | Kind::Abort
            | Kind::SubscribeSignals
            | Kind::NextSignal
            | Kind::Submit
            | Kind::Refuse
            | Kind::Collect
            | Kind::ListenPath
            | Kind::ConnectPath
            | Kind::StreamPair
            | Kind::SetNodelay
            | Kind::BindDatagram
            | Kind::ConnectDatagram
            | Kind::ReceiveFrom
            | Kind::SendTo
            | Kind::Detach
            | Kind::Adopt
            | Kind::CloseDetached
            | Kind::ProcessExit
            | Kind::SignalProcess
            | Kind::SetKeepalive
    )
}

/// Whether a poll does it that asks nobody.
fn is_of_poll(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Choose
            | Kind::Entropy
            | Kind::Spend
            | Kind::Stall
            | Kind::Broken
            | Kind::FaultPoint
            | Kind::Cut
            | Kind::Heal
            | Kind::LibcTime
            | Kind::LibcDate
            | Kind::LibcEntropy
    )
}
