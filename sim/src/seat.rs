//! `Seat`: the place of a shard in a program. Its name and its draws stay, while one life follows another: each has an
//! executor and a driver of its own, so that nothing of the last is left in the next.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::Shard;
use mainspring_executor::driver::Driver;
use mainspring_sim_allocator::{Entered, Owner};

use crate::driver::{SimDriver, Unparked};
use crate::event::ShardId;
use crate::power::LifeNumber;
use crate::room::Room;

/// What a scenario puts between a program and its machine.
pub(crate) type Wrap = dyn Fn(Rc<dyn Driver>) -> Rc<dyn Driver>;

/// The seats of a program, in the order in which they were made.
pub(crate) type Seats = Rc<RefCell<Vec<Rc<Seat>>>>;

/// See the file.
pub(crate) struct Seat {
    pub(crate) id: ShardId,
    room: Rc<RefCell<Room>>,
    unparked: Arc<Unparked>,
    wrap: Box<Wrap>,
    /// Of what its programs allocate.
    owner: Owner,
    /// The last is the one that is lived; those before it are still to be buried.
    lives: RefCell<VecDeque<Life>>,
}

#[derive(Clone)]
struct Life {
    number: LifeNumber,
    driver: Rc<SimDriver>,
    shard: Shard,
}

/// Why a seat has a last life.
const LIVED: &str = "a seat has a life from its start on";

impl Seat {
    /// A seat in its first life.
    pub(crate) fn new(
        id: ShardId,
        room: &Rc<RefCell<Room>>,
        unparked: &Arc<Unparked>,
        wrap: Box<Wrap>,
    ) -> Self {
        let (room, unparked) = (Rc::clone(room), Arc::clone(unparked));
        let seat =
            Self { id, room, unparked, wrap, owner: Owner::new(), lives: RefCell::default() };
        seat.begin_life();
        seat
    }

    /// Begins the life that the room has counted for this shard.
    pub(crate) fn begin_life(&self) {
        let number = self.room.borrow().shard(self.id).life;
        let driver = Rc::new(SimDriver::new(&self.room, self.id, &self.unparked));
        let charged = self.charged();
        let shard = Shard::new((self.wrap)(Rc::clone(&driver) as Rc<_>));
        drop(charged);
        self.lives.borrow_mut().push_back(Life { number, driver, shard });
    }

    /// What is allocated while the guard lives is this shard's.
    pub(crate) fn charged(&self) -> Entered {
        self.owner.entered()
    }

    /// How many bytes of what was allocated so are alive. `None` where nobody counts.
    pub(crate) fn bytes_live(&self) -> Option<usize> {
        self.owner.bytes_live()
    }

    /// The executor of the life that is lived, or was last.
    pub(crate) fn shard(&self) -> Shard {
        self.lives.borrow().back().expect(LIVED).shard.clone()
    }

    /// And its driver.
    pub(crate) fn driver(&self) -> Rc<SimDriver> {
        Rc::clone(&self.lives.borrow().back().expect(LIVED).driver)
    }

    /// Ends all tasks of a life, which is forgotten where another has followed it.
    pub(crate) fn bury(&self, number: LifeNumber) {
        let mut lives = self.lives.borrow_mut();
        let Some(place) = lives.iter().position(|life| life.number == number) else { return };
        let is_last = place + 1 == lives.len();
        let life = if is_last { lives.back().cloned() } else { lives.remove(place) };
        // Destructors are foreign code: nothing is borrowed here.
        drop(lives);
        life.expect("it is in its place").shard.shutdown();
    }

    /// Ends all tasks of all lives.
    pub(crate) fn bury_all(&self) {
        let numbers: Vec<_> = self.lives.borrow().iter().map(|life| life.number).collect();
        for number in numbers {
            self.bury(number);
        }
    }
}
