//! `SimSchedule`: which ready task of a shard goes next, and the note of it in the trace.

use std::cell::RefCell;
use std::rc::Rc;

use mainspring_executor::driver::{ReadyTasks, Schedule};

use crate::choice::Label;
use crate::config::Order;
use crate::event::ShardId;
use crate::priorities::Priorities;
use crate::ready_waits::{Arrivals, Pick};
use crate::room::Room;
use crate::trace::Kind;

/// Draws the next task, or takes the first.
pub(crate) struct SimSchedule {
    room: Rc<RefCell<Room>>,
    shard: ShardId,
    order: Picks,
    arrivals: Arrivals,
}

/// How it picks.
enum Picks {
    First,
    Any,
    Highest(Priorities),
}

impl SimSchedule {
    pub(crate) fn new(room: &Rc<RefCell<Room>>, shard: ShardId) -> Self {
        let order = {
            let room = room.borrow();
            match room.config.order {
                Order::Fifo => Picks::First,
                Order::Random => Picks::Any,
                Order::Pct { depth, polls } => {
                    let state = room.shard(shard);
                    let purpose = format!("priority {}", state.life);
                    let generator = room.choices.generator(&state.name, &purpose);
                    Picks::Highest(Priorities::new(generator, depth, polls))
                }
            }
        };
        Self { room: Rc::clone(room), shard, order, arrivals: Arrivals::default() }
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
        };
        let (task, origin) = (ready.id(position), ready.origin(position));
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
