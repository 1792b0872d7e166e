//! Flights of segments that arrive: what the kernel of the receiver does with them, and whom it tells.

use mainspring_executor::driver::Ready;

use super::pipe::Arrival;
use super::{Family, Owner, Side, State, finished};
use crate::event::ConnectionId;
use crate::room::Room;
use crate::trace::Kind;

impl Arrival {
    /// What arrives, as the trace has it.
    pub(super) fn kind(self) -> Kind {
        if self.has_fin { Kind::Fin } else { Kind::Bytes }
    }
}

impl Room {
    pub(super) fn flight_arrived(&mut self, id: ConnectionId, sender: Side) -> ConnectionId {
        let receiver = sender.other();
        if self.falls_behind(id, sender) {
            return id;
        }
        if self.connection(id).end(receiver).state == State::Ghost {
            self.land_at_ghost(id, sender);
            return id;
        }
        let arrival = self.land(id, sender);
        self.popped(id, receiver, arrival.kind(), arrival.count);
        if arrival.is_something() {
            self.landed(id, sender, arrival);
        }
        id
    }

    pub(super) fn land_at_ghost(&mut self, id: ConnectionId, sender: Side) {
        let arrival = self.connection(id).outgoing(sender).land_unheard();
        self.ghost_hears(id, sender.other(), arrival.kind(), arrival.count);
    }

    /// What `sender` sent is at its peer.
    pub(super) fn landed(&mut self, id: ConnectionId, sender: Side, arrival: Arrival) {
        let (receiver, now) = (sender.other(), self.now);
        let connection = self.connection(id);
        let family = connection.family;
        let end = connection.end_mut(receiver);
        end.heard_at = now;
        let (owner, state) = (end.owner, end.state);
        if state == State::Over {
            if self.connection(id).incoming(receiver).is_answer_owed {
                self.send_reset(id, receiver);
            }
            return;
        }
        if owner == Owner::Nobody && arrival.count > 0 {
            // RFC 9293 §3.10.7.4: data for a program that is gone is answered with a reset.
            self.send_reset(id, receiver);
            return;
        }
        if arrival.has_fin && family == Family::Tcp && self.connection(id).is_finished() {
            self.ended_in_order(id);
        }
        // A Unix socket's bytes are the sender's until they are read.
        if arrival.count > 0 && family == Family::Tcp {
            self.acknowledge_in_time(id, receiver, arrival.count);
        } else {
            self.tap_nod(id, receiver);
        }
        let ready = if arrival.has_fin { finished() } else { Ready::READABLE };
        self.raise_end(id, receiver, ready);
    }
}
