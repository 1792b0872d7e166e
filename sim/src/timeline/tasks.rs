//! The tasks of a recording: when each is polled and why, and what it waits for in between.

use core::panic::Location;
use std::collections::BTreeMap;
use std::sync::Arc;

use mainspring_executor::driver::{TaskId, Token};
use mainspring_executor::{Awaited, DumpedTask, Wait};

use super::reader::{Alive, Reader, lane};
use super::{Doing, LaneKind, Reason, Span, words};
use crate::event::{HostId, ShardId};
use crate::ties::Rest;

/// A task: its shard, the life of that, its number.
type Key = (ShardId, u32, TaskId);

/// See the file.
#[derive(Default)]
pub(super) struct Tasks {
    lives: BTreeMap<ShardId, u32>,
    known: BTreeMap<Key, Task>,
    turns: BTreeMap<ShardId, Turn>,
    spans: Vec<Span>,
}

struct Task {
    lane: usize,
    /// The first event of its last poll.
    polled: Option<usize>,
    has_ended: bool,
    /// The last event of its last poll; before that, the one that spawned it.
    rests_since: usize,
    waits: Vec<Wait>,
    woken: Option<Woken>,
}

/// Why a task is ready.
#[derive(Clone, Copy)]
struct Woken {
    /// The event after which it is.
    at: usize,
    by: Waker,
}

#[derive(Clone, Copy)]
enum Waker {
    /// The poll of a task.
    Poll(usize),
    /// The edge of a token.
    Edge(Token, usize),
    Timer,
    /// Another shard, the scenario, or its own start.
    Outside,
}

/// What goes on in a turn of a shard.
#[derive(Default)]
struct Turn {
    poll: Option<Polled>,
    polled: Vec<Key>,
    edges: Vec<(Token, usize)>,
}

/// A poll, from when its task was picked.
#[derive(Clone, Copy)]
struct Polled {
    key: Key,
    first: usize,
    last: usize,
    /// Its task does something; before that its processor was busy with it.
    runs: bool,
}

impl Tasks {
    fn key(&self, shard: ShardId, task: TaskId) -> Key {
        (shard, self.lives.get(&shard).copied().unwrap_or_default(), task)
    }

    pub(super) fn lane(&self, shard: ShardId, task: TaskId) -> Option<usize> {
        self.known.get(&self.key(shard, task)).map(|task| task.lane)
    }

    /// The event with which the last poll of a task began.
    pub(super) fn polled(&self, shard: ShardId, task: TaskId) -> Option<usize> {
        self.known.get(&self.key(shard, task))?.polled
    }

    /// The lane of the task that a shard has picked last, and the event with which it did.
    pub(super) fn picked(&self, shard: ShardId) -> Option<(usize, usize)> {
        let poll = self.turns.get(&shard)?.poll?;
        Some((self.known[&poll.key].lane, poll.first))
    }

    /// Something happened in the poll that runs.
    pub(super) fn extend_poll(&mut self, shard: ShardId, event: usize) {
        if let Some(poll) = self.turns.get_mut(&shard).and_then(|turn| turn.poll.as_mut()) {
            poll.last = event;
        }
    }

    /// The poll for which a shard has picked a task begins.
    pub(super) fn run(&mut self, shard: ShardId) {
        let turn = self.turns.entry(shard).or_default();
        if let Some(poll) = &mut turn.poll {
            poll.runs = true;
            turn.polled.push(poll.key);
        }
    }

    pub(super) fn told(&mut self, shard: ShardId, token: Token, event: usize) {
        self.turns.entry(shard).or_default().edges.push((token, event));
    }

    pub(super) fn begin_life(&mut self, shards: &[ShardId]) {
        for shard in shards {
            *self.lives.entry(*shard).or_default() += 1;
        }
    }

    /// The turn of a poll is over: one that has only been picked goes on in the next.
    fn end_run(&mut self, shard: ShardId) {
        if self.turns.get(&shard).is_some_and(|turn| turn.poll.is_some_and(|poll| poll.runs)) {
            self.end_poll(shard);
        }
    }

    /// The poll that ran is over.
    fn end_poll(&mut self, shard: ShardId) {
        let turn = self.turns.entry(shard).or_default();
        let Some(Polled { key, first: from, last: to, .. }) = turn.poll.take() else { return };
        let task = self.known.get_mut(&key).expect("who is polled is known");
        task.rests_since = to;
        task.waits.clear();
        let (doing, text) = (Doing::Runs, "".into());
        self.spans.push(Span { lane: task.lane, doing, from, to: Some(to), text });
    }
}

/// Which of several waits is the one that ended; while none has, the one that tells most.
fn chosen(waits: &[Wait], by: Waker) -> Option<usize> {
    let is_it = |wait: &Wait| match (by, &wait.on) {
        (Waker::Edge(token, _), Awaited::Source { token: own, .. }) => token == *own,
        (Waker::Timer, Awaited::Timer { .. }) => true,
        (Waker::Poll(_), Awaited::Source { .. } | Awaited::Timer { .. }) => false,
        (Waker::Poll(_), _) => true,
        _ => false,
    };
    let rank = |wait: &Wait| match Reason::of(wait) {
        Reason::Sync | Reason::Tasks => 0,
        Reason::Bytes | Reason::Room | Reason::Connection => 1,
        Reason::Job | Reason::Unknown => 2,
        Reason::Timer => 3,
    };
    let places = 0..waits.len();
    places.min_by_key(|place| (!is_it(&waits[*place]), rank(&waits[*place])))
}

impl Reader<'_> {
    pub(super) fn begin_turn(&mut self, entry: &crate::trace::Entry) {
        let Some(shard) = entry.shard else { return };
        self.tasks.end_run(shard);
        let turn = self.tasks.turns.entry(shard).or_default();
        turn.polled.clear();
        turn.edges.clear();
    }

    /// The lane of a task, made if it is new.
    pub(super) fn task_lane(&mut self, shard: ShardId, task: TaskId) -> usize {
        self.known_task(shard, task, None).1
    }

    fn known_task(
        &mut self,
        shard: ShardId,
        id: TaskId,
        origin: Option<&'static Location<'static>>,
    ) -> (Key, usize) {
        let key = self.tasks.key(shard, id);
        if let Some(task) = self.tasks.known.get(&key) {
            return (key, task.lane);
        }
        let lanes = self.lanes.len();
        let mut new = lane(LaneKind::Task, Some(self.host_of(shard)), &id.to_string());
        if let Some(origin) = origin {
            new.name = format!("{id}, {}", short(origin)).into();
            new.place = format!("spawned at {origin}").into();
        }
        self.lanes.push(new);
        let task = Task {
            lane: lanes,
            polled: None,
            has_ended: false,
            rests_since: self.events.len().saturating_sub(1),
            waits: Vec::new(),
            woken: None,
        };
        self.tasks.known.insert(key, task);
        (key, lanes)
    }

    /// A task is in the queue. Between two polls of a turn only the one of them can have put it there.
    pub(super) fn make_ready(
        &mut self,
        shard: ShardId,
        id: TaskId,
        origin: &'static Location<'static>,
    ) {
        let is_new = self.tasks.lane(shard, id).is_none();
        let (key, _) = self.known_task(shard, id, Some(origin));
        let last = self.events.len().saturating_sub(1);
        let turn = self.tasks.turns.entry(shard).or_default();
        let task = self.tasks.known.get_mut(&key).expect("it was made");
        let edge = |turn: &Turn| {
            let is_awaited = |token: Token| {
                let is_of = |wait: &Wait| matches!(wait.on, Awaited::Source { token: own, .. } if own == token);
                task.waits.iter().any(is_of)
            };
            turn.edges.iter().rev().find(|(token, _)| is_awaited(*token)).copied()
        };
        let has_timer = task.waits.iter().any(|wait| matches!(wait.on, Awaited::Timer { .. }));
        let woken = match turn.poll.filter(|poll| poll.runs) {
            Some(poll) => Woken { at: last, by: Waker::Poll(poll.first) },
            None if is_new => Woken { at: last, by: Waker::Outside },
            None => match edge(turn) {
                Some((token, event)) => Woken { at: event, by: Waker::Edge(token, event) },
                None if has_timer => Woken { at: last, by: Waker::Timer },
                None => Woken { at: last, by: Waker::Outside },
            },
        };
        task.woken = Some(woken);
    }

    /// A task is polled.
    pub(super) fn poll(&mut self, shard: ShardId, id: TaskId, event: usize) {
        self.tasks.end_poll(shard);
        let (key, lane) = self.known_task(shard, id, None);
        let task = self.tasks.known.get_mut(&key).expect("it was made");
        let since = task.rests_since;
        let woken = task.woken.take().unwrap_or(Woken { at: since, by: Waker::Outside });
        let polled = task.polled.replace(event);
        self.events[event].cause = match woken.by {
            Waker::Poll(poll) => Some(poll),
            Waker::Edge(_, edge) => Some(edge),
            Waker::Timer => polled,
            Waker::Outside => None,
        };
        // Of a timer nothing tells before the poll itself.
        let is_told = matches!(woken.by, Waker::Poll(_) | Waker::Edge(..));
        let ready_at = if is_told { woken.at.max(since) } else { event };
        if polled.is_some() {
            self.add_wait(key, Some(ready_at), woken.by);
        }
        if ready_at + 1 < event {
            let (doing, text) = (Doing::Ready, "".into());
            self.tasks.spans.push(Span { lane, doing, from: ready_at, to: Some(event), text });
        }
        let turn = self.tasks.turns.entry(shard).or_default();
        turn.poll = Some(Polled { key, first: event, last: event, runs: false });
    }

    /// A task has waited since its last poll.
    fn add_wait(&mut self, key: Key, to: Option<usize>, by: Waker) {
        let task = &self.tasks.known[&key];
        let (lane, from) = (task.lane, task.rests_since);
        if to == Some(from) {
            return;
        }
        let name = |id: u64| {
            let known = self.tasks.known.get(&(key.0, key.1, TaskId(id)));
            known
                .map_or_else(|| format!("task {id}"), |task| self.lanes[task.lane].name.to_string())
        };
        let first = chosen(&task.waits, by);
        let others = task.waits.iter().enumerate().filter(|(place, _)| Some(*place) != first);
        let first = first.map(|place| &task.waits[place]);
        let all = first.into_iter().chain(others.map(|(_, wait)| wait));
        let parts: Vec<String> = all.map(|wait| words::waits(wait, name)).collect();
        let text = Arc::from(parts.join("; or ").as_str());
        let doing = Doing::Waits(first.map_or(Reason::Unknown, Reason::of));
        self.tasks.spans.push(Span { lane, doing, from, to, text });
    }

    /// A turn is over: what its tasks wait for, and which have ended.
    pub(super) fn rest(&mut self, rest: &Rest) {
        self.tasks.end_run(rest.shard);
        let turn = self.tasks.turns.entry(rest.shard).or_default();
        for key in core::mem::take(&mut turn.polled) {
            let dumped = rest.tasks.iter().find(|dumped| dumped.id == key.2);
            let task = self.tasks.known.get_mut(&key).expect("who is polled is known");
            match dumped {
                Some(dumped) => {
                    task.waits.clone_from(&dumped.waits);
                    self.lanes[task.lane].name = name(dumped);
                }
                None => {
                    task.has_ended = true;
                    self.lanes[task.lane].ended = Some(task.rests_since);
                }
            }
        }
    }

    /// The program of a machine ends.
    pub(super) fn end_tasks(&mut self, host: HostId, event: usize) {
        let keys: Vec<Key> = self.tasks.known.keys().copied().collect();
        for key in keys {
            if self.room.host_of(key.0) == host && !self.tasks.known[&key].has_ended {
                self.tasks.end_poll(key.0);
                self.end_task(key, Some(event));
            }
        }
    }

    fn end_task(&mut self, key: Key, event: Option<usize>) {
        self.add_wait(key, event, Waker::Outside);
        self.tasks.known.get_mut(&key).expect("it is known").has_ended = true;
        self.lanes[self.tasks.known[&key].lane].ended = event;
    }

    /// The spans; tasks that did not end wait to the end.
    pub(super) fn finish_tasks(&mut self, alive: &Alive) -> Vec<Span> {
        let shards: Vec<ShardId> = self.tasks.turns.keys().copied().collect();
        for shard in shards {
            self.tasks.end_poll(shard);
        }
        let keys: Vec<Key> = self.tasks.known.keys().copied().collect();
        for key in keys {
            let task = &self.tasks.known[&key];
            if task.has_ended {
                continue;
            }
            let is_alive = |(shard, ids): &(ShardId, Vec<TaskId>)| {
                *shard == key.0 && ids.binary_search(&key.2).is_ok()
            };
            let is_latest = self.tasks.key(key.0, key.2) == key;
            if is_latest && alive.iter().any(is_alive) {
                self.end_task(key, None);
            } else {
                // It was cancelled at some time after its last poll.
                self.lanes[task.lane].ended = Some(task.rests_since);
            }
        }
        core::mem::take(&mut self.tasks.spans)
    }
}

fn name(task: &DumpedTask) -> Arc<str> {
    match &task.name {
        Some(name) => format!("{name} ({})", task.id).into(),
        None => format!("{}, {}", task.id, short(task.origin)).into(),
    }
}

/// The file without its folders, and the line.
fn short(origin: &Location<'_>) -> String {
    let file = origin.file().rsplit('/').next().unwrap_or_default();
    format!("{file}:{}", origin.line())
}
