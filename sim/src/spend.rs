//! `spend`: how a poll takes time. Virtual time stands still while a task runs, so a poll that is to take long has to say
//! so; then the whole room is that much later, and the shard is late for its other tasks.

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

/// Lets the poll that runs now take `duration`, as one that computes or blocks would: virtual time moves on, in the whole
/// room. What became due meanwhile, on any host, happens when the turn is over, late and in its order. The shard sees
/// the new time from its next turn on.
///
/// A poll that takes as long as [`WorldConfig::stall_budget`](crate::WorldConfig::stall_budget) in all is reported as a
/// stall: in the trace, in the log, and in
/// [`MetricsSnapshot::stalls`](mainspring_executor::MetricsSnapshot::stalls).
///
/// Outside of a simulated task it does nothing: there time is nobody's to give.
pub fn spend(duration: Duration) {
    let Some((room, shard)) = TURN.with_borrow(Clone::clone) else { return };
    let stall = room.borrow_mut().spend(shard, duration);
    // A subscriber is foreign code: nothing is borrowed here.
    if let Some(Stall { pulse: Pulse { task, origin, .. }, elapsed, shard }) = stall {
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
    poll: u64,
    elapsed: Duration,
}

/// A poll that is worth a report.
pub(crate) struct Stall {
    pulse: Pulse,
    elapsed: Duration,
    shard: Rc<str>,
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

    /// The poll that runs takes more time. Gives it and what it has taken, where that is too much, and whether that is
    /// worth a report.
    fn add(&mut self, duration: Duration, budget: Duration) -> Option<(Pulse, Duration, bool)> {
        let heartbeat = self.heartbeat.as_ref()?;
        let pulse = heartbeat.pulse()?;
        if self.poll != pulse.poll {
            (self.poll, self.elapsed) = (pulse.poll, Duration::ZERO);
        }
        self.elapsed = self.elapsed.saturating_add(duration);
        let elapsed = self.elapsed;
        if elapsed < budget {
            return None;
        }
        heartbeat.report(pulse.poll, move || elapsed);
        let patience = self.patience.get_or_insert_with(|| Patience::new(budget));
        Some((pulse, elapsed, patience.is_over(pulse.poll, elapsed)))
    }
}

impl Room {
    fn spend(&mut self, shard: ShardId, duration: Duration) -> Option<Stall> {
        self.advance_to(self.now + duration);
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.note(shard, Kind::Spend, nanos(duration), 0);
        let budget = self.config.stall_budget;
        let (pulse, elapsed, is_over) = self.shard_mut(shard).spent.add(duration, budget)?;
        if !is_over {
            return None;
        }
        self.note(shard, Kind::Stall, pulse.task.0, nanos(elapsed));
        Some(Stall { pulse, elapsed, shard: Rc::clone(&self.shard(shard).name) })
    }
}
