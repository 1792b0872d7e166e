//! Ghosts: ends of connections whose machine has crashed. Nobody there knows of them any more.
//!
//! ```text
//!  what it had sent ──► arrives
//!  what it is sent ──► the machine is off: silence ── 200 ms, 400 ms, … ── the segment again ──► timed out
//!                      the machine is up again: RST (RFC 9293 §3.10.7.1)
//! ```
//! Who says nothing, no acknowledgement either, never learns of it: his end is half open for ever.
//!
//! A SYN is not for a connection but for whoever listens when it comes: that one finds the new kernel. (One whose sender
//! crashes before the answer gets there waits in the backlog, and is accepted: see `listener`.)

use super::{Connection, Owner, Side, State};
use crate::event::{ConnectionId, Event, HostId};
use crate::room::Room;
use crate::trace::Kind;

impl Room {
    /// A crash takes the sockets of a machine, and no packet tells of it. Looks at all connections of the room: crashes are
    /// rare.
    pub(crate) fn lose_sockets(&mut self, host: HostId) {
        self.machine_mut(host).sockets.lose();
        self.listeners.retain(|_, listener| listener.host != host);
        self.lose_mailboxes(host);
        let all = self.connections.iter();
        let is_of_it = |connection: &Connection| connection.sides_on(host) != [false; 2];
        let its = all.filter(|(_, connection)| is_of_it(connection));
        let ids: Vec<_> = its.map(|(index, _)| ConnectionId::new(index)).collect();
        for id in ids {
            let connection = self.connection(id);
            let [has_client, mut has_server] = connection.sides_on(host);
            // What is under way from the machine to itself goes with it, a SYN as well.
            has_server &= has_client || connection.end(Side::Server).state != State::Connecting;
            if has_client {
                self.become_ghost(id, Side::Client);
            }
            if has_server {
                self.become_ghost(id, Side::Server);
            }
            self.arm_answer(id, Side::Client);
            self.arm_answer(id, Side::Server);
            self.recount(id);
            self.release(id);
        }
        self.lose_buffers(host);
    }

    fn become_ghost(&mut self, id: ConnectionId, side: Side) {
        self.stop_asking(id, side);
        self.tap_silence(id, side);
        let connection = self.connection(id);
        let end = connection.end_mut(side);
        end.owner = Owner::Nobody;
        end.state = State::Ghost;
        end.error = None;
        if side == Side::Client {
            // The new kernel gives its ports to others.
            connection.has_port = false;
        }
        connection.outgoing(side).drop_unsent();
        connection.incoming(side).is_answer_owed = true;
    }

    /// A packet for a ghost has come: a flight, or the answer to its SYN.
    pub(super) fn ghost_hears(&mut self, id: ConnectionId, ghost: Side, kind: Kind, number: u64) {
        let end = self.connection(id).end(ghost);
        let host = end.host.expect("a ghost is on a host");
        let is_off = self.is_off(host);
        self.popped(id, ghost, if is_off { Kind::Unheard } else { kind }, number);
        if self.connection(id).end(ghost.other()).state == State::Ghost {
            return;
        }
        if is_off {
            self.arm_answer(id, ghost.other());
        } else {
            self.disown(id, ghost);
        }
    }

    /// An acknowledgement for a ghost has come: it is not said again where nobody hears it.
    pub(super) fn ghost_is_acknowledged(&mut self, id: ConnectionId, ghost: Side) {
        let is_off = self.is_unheard(id, ghost);
        self.popped(id, ghost, if is_off { Kind::Unheard } else { Kind::Ack }, 0);
        if !is_off && !self.connection(id).end(ghost.other()).state.is_over() {
            self.disown(id, ghost);
        }
    }

    /// A kernel that knows nothing of a connection answers what it got, and forgets that: so it does each time.
    pub(super) fn disown(&mut self, id: ConnectionId, ghost: Side) {
        let arrival = self.arrival(id, ghost, 0);
        self.tap_disowned(id, ghost, arrival);
        let Some(arrival) = arrival else {
            self.answer_lost(id, ghost);
            return;
        };
        let at = self.connection(id).outgoing(ghost).in_order(arrival);
        self.push(at, id, Event::Reset(id, ghost));
    }

    /// Whether an end waits to be heard by a ghost: in vain, unless by its new kernel.
    pub(super) fn waits_for_ghost(&mut self, id: ConnectionId, side: Side) -> bool {
        let connection = self.connection(id);
        let states = [side, side.other()].map(|side| connection.end(side).state);
        states[0] != State::Ghost
            && states[1] == State::Ghost
            && connection.outgoing(side).waits_for_nobody()
    }

    /// Whether what is sent to an end now finds its machine off.
    pub(super) fn is_unheard(&self, id: ConnectionId, side: Side) -> bool {
        self.connections[id.index()].end(side).host.is_some_and(|host| self.is_off(host))
    }
}

impl Connection {
    /// Which of its ends are on a host: the client's, the server's.
    fn sides_on(&self, host: HostId) -> [bool; 2] {
        self.ends.each_ref().map(|end| end.host == Some(host))
    }
}
