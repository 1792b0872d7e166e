//! `SimObserver`: hears what the program of a shard says of itself, and decides where something goes wrong in it.
//!
//! Invariant: only a life that is lived is heard. What the destructors of a program say that was killed, or went with its
//! machine, no real machine would run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::driver::{Instant, Observer, Site, SiteKind, TaskId};

use crate::choice::Label;
use crate::coverage::Fault;
use crate::event::{HostId, ShardId};
use crate::power::LifeNumber;
use crate::room::Room;
use crate::trace::Kind;

/// In so many of a thousand runs a fault point is on; as FoundationDB has it.
const ON_PERMILLE: u32 = 250;

/// Of the life which a shard has when this is made.
pub(crate) struct SimObserver {
    room: Rc<RefCell<Room>>,
    shard: ShardId,
    life: LifeNumber,
}

/// A promise that was not kept.
#[derive(Debug)]
pub(crate) struct Broken {
    site: &'static Site,
    shard: ShardId,
    task: Option<TaskId>,
    at: Instant,
}

/// Of each fault point that a machine has come by, whether it is on.
pub(crate) type FaultPoints = BTreeMap<(HostId, &'static Site), bool>;

impl SimObserver {
    pub(crate) fn new(room: &Rc<RefCell<Room>>, shard: ShardId) -> Self {
        let life = room.borrow().shard(shard).life;
        Self { room: Rc::clone(room), shard, life }
    }

    fn is_alive(&self, room: &Room) -> bool {
        !room.is_dead(self.shard) && self.life == room.shard(self.shard).life
    }
}

impl Observer for SimObserver {
    fn passed(&self, site: &'static Site, task: Option<TaskId>, holds: bool) {
        let room = &mut *self.room.borrow_mut();
        if self.is_alive(room) {
            room.passed(self.shard, site, task, holds);
        }
    }

    fn fires(&self, site: &'static Site, permille: u32) -> bool {
        let room = &mut *self.room.borrow_mut();
        self.is_alive(room) && room.fires(self.shard, site, permille)
    }
}

impl Room {
    fn passed(&mut self, shard: ShardId, site: &'static Site, task: Option<TaskId>, holds: bool) {
        self.coverage.add_pass(site, holds);
        let is_promise =
            matches!(site.kind, SiteKind::Always | SiteKind::Never | SiteKind::Eventually);
        if is_promise && !holds {
            self.note(shard, Kind::Broken, u64::from(site.line), 0);
            let at = self.now;
            self.broken.get_or_insert(Broken { site, shard, task, at });
        }
    }

    /// Whether a fault point fires. Whether it is on at all is drawn when its machine first comes by.
    fn fires(&mut self, shard: ShardId, site: &'static Site, permille: u32) -> bool {
        let fires = self.config.buggify
            && self.is_on(shard, site)
            && self.choices.chance_permille(shard, Label::Buggify, permille);
        self.coverage.add_pass(site, fires);
        if fires {
            self.coverage.add_fault(Fault::FaultPoint);
            self.note(shard, Kind::FaultPoint, u64::from(site.line), 0);
        }
        fires
    }

    fn is_on(&mut self, shard: ShardId, site: &'static Site) -> bool {
        let host = self.host_of(shard);
        if let Some(is_on) = self.fault_points.get(&(host, site)) {
            return *is_on;
        }
        let first = self.first_shard(host);
        let is_on = self.choices.chance_permille(first, Label::BuggifySite, ON_PERMILLE);
        self.fault_points.insert((host, site), is_on);
        is_on
    }

    /// Who broke a promise first, if one was broken, and what there is to say about that.
    pub(crate) fn take_broken(&mut self) -> Option<(ShardId, Option<TaskId>, String)> {
        let Broken { site, shard, task, at } = self.broken.take()?;
        let place = task.map_or("outside of its tasks".to_owned(), |task| task.to_string());
        let details = format!("{}: {site}, in {place}, at {at} s\n", self.shard(shard).name);
        Some((shard, task, details))
    }
}
