//! `SimSchedule`: which ready task of a shard goes next, and the note of it in the trace.

use std::cell::RefCell;
use std::rc::Rc;

use mainspring_executor::driver::{ReadyTasks, Schedule};

use crate::choice::Label;
use crate::event::ShardId;
use crate::room::Room;
use crate::trace::Kind;

/// Draws the next task, or takes the first where the world is not shuffled.
pub(crate) struct SimSchedule {
    room: Rc<RefCell<Room>>,
    shard: ShardId,
    is_shuffled: bool,
}

impl SimSchedule {
    pub(crate) fn new(room: &Rc<RefCell<Room>>, shard: ShardId) -> Self {
        Self { room: Rc::clone(room), shard, is_shuffled: room.borrow().config.shuffled }
    }
}

impl Schedule for SimSchedule {
    fn choose(&mut self, ready: &ReadyTasks<'_>) -> usize {
        let room = &mut *self.room.borrow_mut();
        let position = match self.is_shuffled {
            true => room.choices.index(Some(self.shard), Label::Task, ready.len()),
            false => 0,
        };
        room.note(self.shard, Kind::Poll, ready.id(position).0, 0);
        position
    }
}
