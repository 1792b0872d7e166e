//! `SimSchedule`: which ready task of a shard goes next, and the note of it in the trace.

use core::panic::Location;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use mainspring_executor::driver::{Pulse, ReadyTasks, Schedule, TaskId};

use crate::choice::Label;
use crate::event::ShardId;
use crate::order::Order;
use crate::poll_cost::PolledTask;
use crate::poll_counter::PollCounter;
use crate::priorities::Priorities;
use crate::ready_waits::{Arrivals, Pick};
use crate::room::Room;
use crate::spend::in_turn;
use crate::trace::Kind;
use crate::walk::Walk;

/// Draws the next task, or takes the first.
pub(crate) struct SimSchedule {
    room: Rc<RefCell<Room>>,
    shard: ShardId,
    order: Picks,
    arrivals: Arrivals,
    counter: Option<Rc<RefCell<PollCounter>>>,
    /// The poll that the shard is busy with, where polls take time.
    begun: Option<Begun>,
}

/// A poll whose task was picked.
struct Begun {
    position: usize,
    task: TaskId,
    origin: &'static Location<'static>,
    /// How long the task was ready.
    waited: Duration,
    cost: Duration,
}

/// How it picks.
enum Picks {
    First,
    Any,
    Highest(Priorities),
    Likeliest(Walk),
}

impl SimSchedule {
    pub(crate) fn new(room: &Rc<RefCell<Room>>, shard: ShardId) -> Self {
        let (order, counter) = {
            let room = &mut *room.borrow_mut();
            let state = room.shard(shard);
            let generator = |purpose: &str| {
                room.choices.generator(&state.name, &format!("{purpose} {}", state.life))
            };
            let order = match room.config.order {
                Order::Fifo => Picks::First,
                Order::Random => Picks::Any,
                Order::Pct { depth, polls } => {
                    Picks::Highest(Priorities::new(generator("priority"), depth, polls))
                }
                Order::Urw => {
                    let counts = room.config.poll_counts.clone();
                    Picks::Likeliest(Walk::new(&state.name, counts, generator("walk")))
                }
            };
            let counter = room
                .config
                .counts_polls
                .then(|| Rc::new(RefCell::new(PollCounter::new(&state.name))));
            room.poll_counters.extend(counter.clone());
            (order, counter)
        };
        Self {
            room: Rc::clone(room),
            shard,
            order,
            arrivals: Arrivals::default(),
            counter,
            begun: None,
        }
    }
}

impl Schedule for SimSchedule {
    fn choose(&mut self, ready: &ReadyTasks<'_>) -> Option<usize> {
        let known = self.arrivals.meet(ready.len());
        self.room.borrow_mut().tie_ready(self.shard, ready, known);
        let begun = match self.begun.take() {
            Some(begun) if self.is_in_turn() => begun,
            Some(begun) => Begun { cost: Duration::ZERO, ..begun },
            None => {
                let begun = self.begin(ready)?;
                if !begun.cost.is_zero() {
                    // Its shard is busy with it, and what it does it does at the end of that.
                    let room = &mut *self.room.borrow_mut();
                    room.occupy(self.shard, begun.cost);
                    self.begun = Some(begun);
                    return None;
                }
                begun
            }
        };
        self.finish(ready, &begun);
        Some(begun.position)
    }
}

impl SimSchedule {
    /// Whether a turn is on. Outside of one the life of the shard is over, and its queue is emptied: that takes no time.
    fn is_in_turn(&self) -> bool {
        in_turn(&self.room) == Some(self.shard)
    }

    /// Picks the next task, unless the poll before has spent time: then the next one begins when that has passed.
    fn begin(&mut self, ready: &ReadyTasks<'_>) -> Option<Begun> {
        let room = &mut *self.room.borrow_mut();
        if room.is_ahead() && self.is_in_turn() {
            return None;
        }
        let position = match &mut self.order {
            Picks::First => 0,
            Picks::Any => room.choices.index(Some(self.shard), Label::Task, ready.len()),
            Picks::Highest(priorities) => {
                let tasks = (0..ready.len()).map(|position| ready.id(position));
                let highest = priorities.pick(tasks);
                room.choices.task(self.shard, ready.len(), highest)
            }
            Picks::Likeliest(walk) => {
                let likely = walk.pick(tasks(ready));
                let position = room.choices.task(self.shard, ready.len(), likely);
                walk.took(ready.id(position));
                position
            }
        };
        let (task, origin) = (ready.id(position), ready.origin(position));
        if let Some(counter) = &self.counter {
            counter.borrow_mut().count(tasks(ready), task);
        }
        room.note(self.shard, Kind::Poll, task.0, 0);
        let (now, since) = (room.clock(self.shard), ready.since(position));
        let waited = now.max(since) - since;
        if let Some(busy) = &mut room.busy {
            busy.note(self.shard, task, origin);
        }
        let cost = match room.has_poll_costs(self.shard) && self.is_in_turn() {
            true => room.poll_cost(self.shard, || PolledTask::new(ready, position)),
            false => Duration::ZERO,
        };
        Some(Begun { position, task, origin, waited, cost })
    }

    /// What was picked is polled now. Tasks came behind the others meanwhile, and none went.
    fn finish(&mut self, ready: &ReadyTasks<'_>, begun: &Begun) {
        let Begun { position, task, origin, waited: time, cost } = *begun;
        assert_eq!(ready.id(position), task, "tasks leave the queue by being picked");
        let polls = self.arrivals.pick(ready.len(), position);
        let room = &mut *self.room.borrow_mut();
        room.shard_mut(self.shard).ready_waits.note(Pick { task, origin, polls, time });
        room.tie_run(self.shard, task);
        if !cost.is_zero() {
            // It has not begun for its shard, so its number is that of the polls before it.
            let poll = room.shard(self.shard).spent.polls();
            room.took(self.shard, Some(Pulse { poll, task, origin }), cost);
        }
    }
}

/// The ready tasks, with where they were spawned.
fn tasks(
    ready: &ReadyTasks<'_>,
) -> impl Iterator<Item = (TaskId, &'static Location<'static>)> + Clone {
    (0..ready.len()).map(|position| (ready.id(position), ready.origin(position)))
}
