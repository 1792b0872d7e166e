//! `SimSchedule`: which ready task of a shard goes next, and the note of it in the trace.

use core::panic::Location;
use std::cell::RefCell;
use std::rc::Rc;

use mainspring_executor::driver::{ReadyTasks, Schedule, TaskId};

use crate::choice::Label;
use crate::event::ShardId;
use crate::order::Order;
use crate::poll_counter::PollCounter;
use crate::priorities::Priorities;
use crate::ready_waits::{Arrivals, Pick};
use crate::room::Room;
use crate::trace::Kind;
use crate::walk::Walk;

/// Draws the next task, or takes the first.
pub(crate) struct SimSchedule {
    room: Rc<RefCell<Room>>,
    shard: ShardId,
    order: Picks,
    arrivals: Arrivals,
    counter: Option<Rc<RefCell<PollCounter>>>,
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
        Self { room: Rc::clone(room), shard, order, arrivals: Arrivals::default(), counter }
    }
}

impl Schedule for SimSchedule {
    fn choose(&mut self, ready: &ReadyTasks<'_>) -> usize {
        let room = &mut *self.room.borrow_mut();
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
        let polls = self.arrivals.pick(ready.len(), position);
        let (now, since) = (room.clock(self.shard), ready.since(position));
        let time = now.max(since) - since;
        room.shard_mut(self.shard).ready_waits.note(Pick { task, origin, polls, time });
        if let Some(busy) = &mut room.busy {
            busy.note(self.shard, task, origin);
        }
        position
    }
}

/// The ready tasks, with where they were spawned.
fn tasks(
    ready: &ReadyTasks<'_>,
) -> impl Iterator<Item = (TaskId, &'static Location<'static>)> + Clone {
    (0..ready.len()).map(|position| (ready.id(position), ready.origin(position)))
}
