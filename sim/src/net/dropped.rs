//! Segments that arrive at a host which has no memory for them: it drops them, and what comes behind them, and the sender sends
//! them again when its timer runs out.
//!
//! ```text
//!  segments ─┬─ those that fit ──► received
//!            └─ the others, and all that comes behind ──► dropped ── 200 ms, 400 ms, … 120 s ── sent again ─► (as before)
//! ```
//! Whoever drops says what he has, and that there is no room: so the sender does not give up, however long that takes (as in
//! Linux since 6.7, where the window is shut), but when nobody answers.
//!
//! What was dropped stays in the pipe as its first flight, so that no byte is there twice. What comes behind joins it.
//!
//! Invariant: where there is something that was dropped, its timer is the event of the first flight, and each other flight has one
//! of its own. Only who is done with the connection sets none.

use super::pipe::Arrival;
use super::wire::timeout;
use super::{Family, Owner, Side, State};
use crate::event::{ConnectionId, Event};
use crate::room::Room;
use crate::trace::Kind;

impl Room {
    /// The first flight that `sender` sent lands, as far as there is memory for it.
    pub(super) fn land(&mut self, id: ConnectionId, sender: Side) -> Arrival {
        let receiver = sender.other();
        let connection = self.connection(id);
        let end = connection.end(receiver);
        // Where nobody takes the bytes, nobody keeps them.
        let is_kept = end.state == State::Established && end.owner != Owner::Nobody;
        if !is_kept || connection.family == Family::Unix {
            return connection.outgoing(sender).land();
        }
        let count = connection.outgoing(sender).first_flight();
        let room = self.arrival_room(id, receiver, count);
        if room >= count {
            return self.connection(id).outgoing(sender).land();
        }
        let host = self.connection(id).end(receiver).host.expect("a flight lands at a host");
        self.note_host(host, Kind::SegmentDropped, id.index() as u64, count - room);
        let pipe = self.connection(id).outgoing(sender);
        let mut dropped = pipe.dropped.filter(|_| room == 0).unwrap_or_default();
        let wait = timeout(dropped.retry_count);
        dropped.retry_count += 1;
        pipe.dropped = Some(dropped);
        let arrival = pipe.land_part(room);
        self.push(self.now + wait, id, Event::Redelivery(id, sender));
        arrival
    }

    /// A flight arrives behind one that was dropped, and is dropped as well. False: none was.
    pub(super) fn falls_behind(&mut self, id: ConnectionId, sender: Side) -> bool {
        let (connection, receiver) = (self.connection(id), sender.other());
        if connection.outgoing(sender).dropped.is_none() {
            return false;
        }
        let count = connection.outgoing(sender).fall_behind();
        if connection.end(receiver).state == State::Ghost {
            self.ghost_hears(id, receiver, Kind::Bytes, count);
        } else {
            self.popped(id, receiver, Kind::SegmentDropped, count);
        }
        true
    }

    /// The timer of what was dropped has run out. What the sender sends again is there at once: its time on the way is part of
    /// the wait.
    pub(super) fn redelivery_due(&mut self, id: ConnectionId, sender: Side) -> ConnectionId {
        let receiver = sender.other();
        let connection = self.connection(id);
        let is_ghost = connection.end(receiver).state == State::Ghost;
        let is_over = connection.end(sender).state.is_over();
        let pipe = connection.outgoing(sender);
        let retry_count = pipe.dropped.map_or(0, |dropped| dropped.retry_count);
        if is_over || pipe.is_landed() {
            // It is not sent again.
            self.popped(id, sender, Kind::Redelivery, u64::from(retry_count));
            return id;
        }
        if is_ghost {
            self.land_at_ghost(id, sender);
            return id;
        }
        self.popped(id, sender, Kind::Redelivery, u64::from(retry_count));
        let is_lost = self.is_lost(id, sender);
        self.tap_redelivery(id, sender, is_lost);
        if is_lost || self.is_unheard(id, receiver) {
            self.redelivery_unheard(id, sender);
            return id;
        }
        if let Some(dropped) = &mut self.connection(id).outgoing(sender).dropped {
            dropped.unheard_count = 0;
        }
        let arrival = self.land(id, sender);
        if arrival.is_something() {
            let host = self.connection(id).end(receiver).host.expect("a flight lands at a host");
            self.note_host(host, arrival.kind(), id.index() as u64, arrival.count);
            self.landed(id, sender, arrival);
        }
        id
    }

    fn redelivery_unheard(&mut self, id: ConnectionId, sender: Side) {
        let (now, retransmission_count) = (self.now, self.config.retransmission_count);
        let pipe = self.connection(id).outgoing(sender);
        let mut dropped = pipe.dropped.unwrap_or_default();
        let wait = timeout(dropped.retry_count);
        dropped.retry_count += 1;
        dropped.unheard_count += 1;
        pipe.dropped = Some(dropped);
        if dropped.unheard_count > retransmission_count {
            self.expire(id, sender);
        } else {
            self.push(now + wait, id, Event::Redelivery(id, sender));
        }
    }
}
