//! `spend`: how a poll takes time. Virtual time stands still while a task runs, so a poll that is to take long has to say so; then its
//! shard is that much later, for this task and its others.

use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::driver::{Heartbeat, Patience, Pulse};

use crate::event::ShardId;
use crate::room::Room;
use crate::trace::Kind;

/// A shard, with the room that it is in.
type Place = (Rc<RefCell<Room>>, ShardId);

thread_local! {
    /// The shard whose turn it is.
    static TURN: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Lets the poll that runs now take `duration`, as one that computes or blocks would: it is later on its shard, and nowhere else.
/// What the shard sends from now on leaves so much later, and it has its next turn, and sees what came meanwhile, when it is free.
/// Other shards and hosts go on. The executor sees the new time from its next turn on.
///
/// What is to take time in each poll need not say so: see [`Host::set_poll_cost`](crate::Host::set_poll_cost).
///
/// A poll that takes as long as [`WorldConfig::stall_budget`](crate::WorldConfig::stall_budget) in all is reported as a
/// stall: in the trace, in the log, and in
/// [`MetricsSnapshot::stalls`](mainspring_executor::MetricsSnapshot::stalls).
///
/// Outside of a simulated task it does nothing: there time is nobody's to give.
pub fn spend(duration: Duration) {
    let Some((room, shard)) = TURN.with_borrow(Clone::clone) else { return };
    let stall = {
        let room = &mut *room.borrow_mut();
        let pulse = room.shard(shard).spent.poll();
        room.pass(duration);
        let stall = room.took(shard, pulse, duration);
        pulse.zip(stall).map(|stall| (stall, Rc::clone(&room.shard(shard).name)))
    };
    // A subscriber is foreign code: nothing is borrowed here.
    if let Some(((Pulse { task, origin, .. }, elapsed), shard)) = stall {
        tracing::warn!(
            target: "mainspring::stall",
            shard = &*shard,
            task = task.0,
            %origin,
            ?elapsed,
            "a poll holds up its shard"
        );
    }
}

/// Runs `body` as the turn of a shard.
pub(crate) fn during_turn<R>(
    room: &Rc<RefCell<Room>>,
    shard: ShardId,
    body: impl FnOnce() -> R,
) -> R {
    struct Restore(Option<Place>);
    impl Drop for Restore {
        fn drop(&mut self) {
            TURN.set(self.0.take());
        }
    }
    let _restore = Restore(TURN.replace(Some((Rc::clone(room), shard))));
    body()
}

/// The shard of a room whose turn it is.
pub(crate) fn in_turn(room: &Rc<RefCell<Room>>) -> Option<ShardId> {
    TURN.with_borrow(|turn| {
        let of_room = turn.as_ref().filter(|(other, _)| Rc::ptr_eq(other, room));
        of_room.map(|(_, shard)| *shard)
    })
}

/// What the polls of a shard have taken.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    heartbeat: Option<Arc<Heartbeat>>,
    patience: Option<Patience>,
    /// The poll that took time last, and how much.
    poll: Option<u64>,
    elapsed: Duration,
}

impl Spent {
    /// Takes the heartbeat of the shard.
    pub(crate) fn watch(&mut self, heartbeat: Arc<Heartbeat>) {
        let before = self.heartbeat.replace(heartbeat);
        assert!(before.is_none(), "a shard has one heart");
    }

    /// The poll that runs.
    pub(crate) fn poll(&self) -> Option<Pulse> {
        self.heartbeat.as_ref()?.pulse()
    }

    /// How many polls have begun.
    pub(crate) fn polls(&self) -> u64 {
        self.heartbeat.as_ref().map_or(0, |heartbeat| heartbeat.polls())
    }

    /// A poll takes more time. Gives what it has taken, where that is too much and worth a report.
    fn add(&mut self, poll: u64, duration: Duration, budget: Duration) -> Option<Duration> {
        let heartbeat = self.heartbeat.as_ref()?;
        if self.poll != Some(poll) {
            (self.poll, self.elapsed) = (Some(poll), Duration::ZERO);
        }
        self.elapsed = self.elapsed.saturating_add(duration);
        let elapsed = self.elapsed;
        if elapsed < budget {
            return None;
        }
        heartbeat.report(poll, move || elapsed);
        let patience = self.patience.get_or_insert_with(|| Patience::new(budget));
        patience.is_over(poll, elapsed).then_some(elapsed)
    }
}

impl Room {
    /// A poll of a shard has taken time, or what it runs between polls. Gives what a poll has taken, where that is a stall to tell of.
    pub(crate) fn took(
        &mut self,
        shard: ShardId,
        pulse: Option<Pulse>,
        duration: Duration,
    ) -> Option<Duration> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.note(shard, Kind::Spend, nanos(duration), 0);
        let (pulse, budget) = (pulse?, self.config.stall_budget);
        let elapsed = self.shard_mut(shard).spent.add(pulse.poll, duration, budget)?;
        self.note(shard, Kind::Stall, pulse.task.0, nanos(elapsed));
        Some(elapsed)
    }
}
