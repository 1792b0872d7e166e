//! `Turns`: which shards have something to do, and when. A shard whose polls take time is ahead of the room in its turn, and busy
//! behind it.
//!
//! ```text
//!  room    ── t ────────────────────── t+3 ms ──►   packets, timers, other shards
//!  shard      [ poll, 2 ms ][ poll, 1 ms ] its next turn
//!             t            t+2          t+3         its own time: of its clock, of the trace, of what it sends
//! ```
//! A turn runs as a whole when the room is at t, and the room goes on from there. What it sends is under way from the shard's own
//! time on. What it does on its own machine is there for others at t already, by as much too early as its polls take: space in a
//! receive buffer, a port that is free again, a file.
//!
//! Invariant: `reached ≤ now`, and they are equal but in a turn; no shard has a turn before it is free.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use mainspring_executor::driver::Instant;

use crate::choice::Label;
use crate::event::ShardId;
use crate::order::Order;
use crate::room::Room;
use crate::trace::Kind;

/// The shards that want a turn.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Those with something to do now, each once.
    runnable: VecDeque<ShardId>,
    /// When each of the others has something to do by itself, or is free to do what it has.
    alarms: BTreeSet<(Instant, ShardId)>,
    /// How many have something to do, and their alarm is when they can.
    late_count: usize,
}

/// What a shard wants.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    is_queued: bool,
    alarm: Option<Instant>,
    /// It has something to do, and its alarm is when it can.
    is_late: bool,
    /// Nothing but a timer of its own has woken it: no run waits for that.
    is_by_timer: bool,
    /// Its last turn takes up to here.
    busy_until: Instant,
}

impl Turns {
    /// Whether some shard has something to do for which it is too early.
    pub(crate) fn is_any_late(&self) -> bool {
        self.late_count > 0
    }
}

impl Room {
    /// A shard has, or may have, something to do, from now on.
    pub(crate) fn wake(&mut self, shard: ShardId) {
        let Wants { is_late, is_by_timer, .. } = self.shard(shard).wants;
        if is_by_timer {
            // From now on it is waited for.
            self.shard_mut(shard).wants.is_by_timer = false;
            self.turns.late_count += usize::from(is_late);
        }
        self.go_on(shard);
    }

    /// The same, of what it has to do by itself.
    fn go_on(&mut self, shard: ShardId) {
        if self.shard(shard).wants.is_queued || self.is_still(shard) {
            return;
        }
        let at = self.shard(shard).wants.busy_until.max(self.now);
        if at > self.reached {
            self.wake_later(shard, at);
        } else {
            self.shard_mut(shard).wants.is_queued = true;
            self.turns.runnable.push_back(shard);
        }
    }

    /// The same, when the room will have come so far.
    fn wake_later(&mut self, shard: ShardId, at: Instant) {
        let first = self.shard(shard).wants.alarm.map_or(at, |alarm| alarm.min(at));
        self.set_alarm(shard, Some(first));
        self.set_late(shard, true);
    }

    fn set_late(&mut self, shard: ShardId, is_late: bool) {
        let wants = &mut self.shard_mut(shard).wants;
        let is_waited_for = !wants.is_by_timer;
        let before = core::mem::replace(&mut wants.is_late, is_late);
        self.turns.late_count += usize::from(is_late && is_waited_for);
        self.turns.late_count -= usize::from(before && is_waited_for);
    }

    /// Takes the shard that goes next, if one has something to do.
    pub(crate) fn next_shard(&mut self) -> Option<ShardId> {
        while !self.turns.runnable.is_empty() {
            let index = match self.config.order {
                Order::Fifo => 0,
                Order::Random | Order::Pct { .. } | Order::Urw => {
                    self.choices.index(None, Label::Host, self.turns.runnable.len())
                }
            };
            let taken = self.turns.runnable.swap_remove_front(index);
            let shard = taken.expect("an index below the length");
            self.shard_mut(shard).wants.is_queued = false;
            let free_at = self.shard(shard).wants.busy_until;
            // One may die while it is queued, or pause, or be in a turn that takes time.
            if self.is_still(shard) {
                continue;
            }
            if free_at > self.reached {
                self.wake_later(shard, free_at);
            } else {
                self.set_late(shard, false);
                self.note(shard, Kind::Turn, 0, 0);
                return Some(shard);
            }
        }
        None
    }

    /// Whether a turn is on whose polls have taken time.
    pub(crate) fn is_ahead(&self) -> bool {
        self.now > self.reached
    }

    /// A shard is busy with a poll that it is to do when so much time has passed.
    pub(crate) fn occupy(&mut self, shard: ShardId, duration: Duration) {
        self.shard_mut(shard).wants.busy_until = self.now + duration;
    }

    /// The poll that runs takes time: its shard is ahead of the room.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.choices.advance_to(self.now);
    }

    /// A shard has taken its turn, and next wants one when its clock shows `next_wake`.
    pub(crate) fn turn_ended(&mut self, shard: ShardId, next_wake: Option<Instant>) {
        if !self.shard(shard).has_run {
            self.shard_started(shard);
        }
        if self.is_dead(shard) {
            return;
        }
        let clock = &self.machine(self.host_of(shard)).clock;
        let next_wake = next_wake.map(|shown| clock.when(shown));
        let is_due = next_wake.is_some_and(|at| at <= self.now);
        if self.is_ahead() {
            // It has a turn when it is free, whatever there is to do: the run does not end before.
            self.wake_later(shard, self.now);
        } else if is_due || !self.shard(shard).edges.is_empty() {
            self.go_on(shard);
        } else {
            self.set_alarm(shard, next_wake);
        }
    }

    /// Goes back to the room from a turn: its shard is busy up to the time that it has come to.
    pub(crate) fn leave_turn(&mut self, shard: ShardId) {
        if self.is_ahead() {
            self.shard_mut(shard).wants.busy_until = self.now;
            self.now = self.reached;
            self.choices.advance_to(self.now);
        }
    }

    /// The life of a shard is over, or a new one begins: it wants nothing, and is free.
    pub(crate) fn want_nothing(&mut self, shard: ShardId) {
        self.set_alarm(shard, None);
        self.set_late(shard, false);
        let wants = &mut self.shard_mut(shard).wants;
        (wants.busy_until, wants.is_by_timer) = (Instant::START, false);
    }

    fn set_alarm(&mut self, shard: ShardId, alarm: Option<Instant>) {
        let before = core::mem::replace(&mut self.shard_mut(shard).wants.alarm, alarm);
        if before == alarm {
            return;
        }
        if let Some(at) = before {
            self.turns.alarms.remove(&(at, shard));
        }
        if let Some(at) = alarm {
            self.turns.alarms.insert((at, shard));
        }
    }

    /// When something happens next, be it an event, a timer of a shard, or an end that asks for its peer.
    pub(crate) fn next_instant(&self) -> Option<Instant> {
        let alarm = self.turns.alarms.first().map(|(at, _)| *at);
        let next = [self.events.next_instant(), alarm].into_iter().flatten().min();
        if self.asking.is_empty() {
            return next;
        }
        next.into_iter().chain(self.next_look(next.is_none())).min()
    }

    /// Moves the clock.
    pub(crate) fn advance_to(&mut self, instant: Instant) {
        assert!(instant >= self.reached, "time never goes back");
        self.busy = self.busy.take().filter(|_| instant == self.reached);
        self.now = instant;
        self.reached = instant;
        self.choices.advance_to(instant);
    }

    /// Wakes the shards whose timers are due, and those that are free to do what they have.
    pub(crate) fn ring_alarms(&mut self) {
        while let Some((at, shard)) = self.turns.alarms.first().copied()
            && at <= self.now
        {
            let Wants { is_late, is_queued, .. } = self.shard(shard).wants;
            self.set_alarm(shard, None);
            self.set_late(shard, false);
            self.shard_mut(shard).wants.is_by_timer |= !is_late && !is_queued;
            self.go_on(shard);
        }
    }
}
