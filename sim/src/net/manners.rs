//! Small segments that wait, and acknowledgements that do.
//!
//! ```text
//!  sender without TCP_NODELAY                        receiver
//!   small ── at once ─────────────────────────────►   first 16, and while it only reads: ACK at once
//!   small ── waits for the ACK of the one before      it answers what it gets: ACK with the answer,
//!            (all of a segment, FIN: at once)          of more than a segment at once, else after 40 ms
//! ```
//! That is RFC 896 in Minshall's form, which Linux has, and RFC 1122 §4.2.3.2 as Linux keeps it: a receiver that has answered
//! within 40 ms of what it got takes the talk for one that goes to and fro, and holds its acknowledgements back for the next
//! answer to carry, until one had to be sent without. So who writes a message in two pieces and waits for the answer waits 40 ms.
//!
//! Acknowledgements are held back only for senders that wait for them: no program can tell else.

use core::time::Duration;

use mainspring_executor::driver::{Instant, Token};

use super::pipe::SEGMENT_BYTES;
use super::{Family, Side, State};
use crate::event::{ConnectionId, Event, ShardId};
use crate::room::Room;
use crate::trace::Kind;

/// How long an acknowledgement waits for something to go with (`TCP_ATO_MIN`, `TCP_DELACK_MIN` of Linux).
const DELAY: Duration = Duration::from_millis(40);

/// Acknowledgements at the start, and after a pause, that do not wait (`TCP_MAX_QUICKACKS`).
const QUICK_COUNT_MAX: u64 = 16;

/// A pause: the least retransmission time-out, after which a sender would start anew.
const PAUSE: Duration = Duration::from_millis(200);

/// How a receiver acknowledges.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manners {
    /// Acknowledgements that still go at once. `None`: nothing has come yet.
    quick_count: Option<u64>,
    /// It answers what it gets.
    is_talking: bool,
    /// When something came the last time.
    came_at: Instant,
    /// Bytes that came and are not acknowledged.
    owed_bytes: u64,
    /// When they are, if nothing else is said before.
    due_at: Option<Instant>,
}

impl Manners {
    /// So many bytes came; gives whether they are acknowledged at once.
    fn take(&mut self, now: Instant, count: u64, recv_capacity: u64) -> bool {
        let is_pause = now - self.came_at > PAUSE;
        if self.quick_count.is_none() || is_pause {
            self.quick_count =
                Some((recv_capacity / (2 * SEGMENT_BYTES)).clamp(2, QUICK_COUNT_MAX));
        }
        self.came_at = now;
        self.owed_bytes += count;
        let is_quick = self.quick_count != Some(0) && !self.is_talking;
        is_quick || self.owed_bytes > SEGMENT_BYTES
    }

    /// An acknowledgement of all that came is sent.
    pub(super) fn acknowledge(&mut self) {
        self.owed_bytes = 0;
        self.due_at = None;
        self.quick_count = self.quick_count.map(|count| count.saturating_sub(1));
    }
}

impl Room {
    /// Bytes came that are acknowledged now, or soon.
    pub(super) fn acknowledge_in_time(&mut self, id: ConnectionId, receiver: Side, count: u64) {
        let now = self.now;
        let connection = self.connection(id);
        let (recv_capacity, is_fin_arrived) = {
            let pipe = connection.incoming(receiver);
            (pipe.recv_capacity(), pipe.is_fin_arrived())
        };
        let is_waited_for = connection.incoming(receiver).is_nagling;
        let manners = &mut connection.end_mut(receiver).manners;
        let is_now = manners.take(now, count, recv_capacity);
        if is_now || !is_waited_for || is_fin_arrived {
            self.acknowledge(id, receiver);
        } else if manners.due_at.is_none() {
            manners.due_at = Some(now + DELAY);
            self.push(now + DELAY, id, Event::DelayedAck(id, receiver));
        }
    }

    pub(super) fn delayed_ack_due(&mut self, id: ConnectionId, receiver: Side) -> ConnectionId {
        let now = self.now;
        let end = self.connection(id).end_mut(receiver);
        let is_due = end.manners.due_at == Some(now) && !end.state.is_over();
        let owed_bytes = if is_due { end.manners.owed_bytes } else { 0 };
        self.popped(id, receiver, Kind::DelayedAck, owed_bytes);
        if is_due {
            // Nobody answered: this is no talk.
            self.connection(id).end_mut(receiver).manners.is_talking = false;
            self.acknowledge(id, receiver);
        }
        id
    }

    /// A program has read: an end that only reads says so when it has all.
    pub(super) fn acknowledge_read(&mut self, id: ConnectionId, receiver: Side) {
        let connection = self.connection(id);
        let manners = connection.end(receiver).manners;
        let has_all = connection.incoming(receiver).readable() == 0;
        if manners.due_at.is_some() && !manners.is_talking && has_all {
            self.acknowledge(id, receiver);
        }
    }

    /// Something leaves `side`, which is at the other end `at` that instant: it carries an acknowledgement.
    pub(super) fn carry_ack(&mut self, id: ConnectionId, side: Side, at: Instant) {
        let now = self.now;
        let connection = self.connection(id);
        let manners = &mut connection.end_mut(side).manners;
        if manners.quick_count.is_some() && now - manners.came_at < DELAY {
            manners.is_talking = true;
        }
        if manners.due_at.is_some() {
            manners.acknowledge();
            connection.incoming(side).acknowledge(at);
            self.tap_heard(id, side);
            self.answered(id, side);
            self.arm_ack(id, side.other());
        }
    }

    pub(crate) fn set_nodelay(&mut self, shard: ShardId, socket: Token, is_on: bool) {
        let (id, side) = self.socket(shard, socket);
        assert!(self.connection(id).family == Family::Tcp, "a Unix socket has no such option");
        self.note(shard, Kind::SetNodelay, socket.to_bits(), u64::from(is_on));
        let pipe = self.connection(id).outgoing(side);
        let was_nagling = core::mem::replace(&mut pipe.is_nagling, !is_on);
        if was_nagling && is_on && self.connection(id).end(side).state == State::Established {
            // What waited goes.
            self.settle(id, side);
            self.arm_ack(id, side);
            self.recount(id);
        }
    }
}
