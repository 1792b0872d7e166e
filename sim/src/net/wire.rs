//! What gets from one host to another, and when; and what TCP does about what does not.
//!
//! ```text
//!  segment ── lost ──► timer ── sent again ── … ── too often: the sender's end has timed out
//!          ── arrives ─► answer (ACK or RST) ── lost ──► timer ── the segment again, and its answer ── …
//! ```
//! A sender whose segment got lost sends nothing behind it before the timer runs out; receivers take bytes in order, so no
//! program can tell. Where three segments would have followed, the timer is one round trip: their acknowledgements tell
//! the sender (RFC 5681 §3.2). Else it is [`TIMEOUT_MIN`], twice as long each time, up to [`TIMEOUT_MAX`].
//!
//! A link that has a bandwidth sends one packet after the other; what finds its queue full is lost.
//!
//! A reset is not sent again by itself, only in answer: a peer that says nothing never learns of one that got lost.

use core::time::Duration;
use std::io::ErrorKind;

use mainspring_executor::driver::Instant;

use super::pipe::SEGMENT_BYTES;
use super::{Side, State, broken};
use crate::choice::{Label, Span};
use crate::coverage::Fault;
use crate::event::{ConnectionId, Event, HostId};
use crate::room::Room;
use crate::trace::Kind;

/// The first wait for an acknowledgement: RFC 6298 §2 with the least that Linux has, which a round trip in a room is far
/// below.
const TIMEOUT_MIN: Duration = Duration::from_millis(200);

/// The longest (RFC 6298 §2.5; Linux).
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// Segments that have to follow a lost one for the sender to learn of it by their acknowledgements.
pub(super) const SEGMENTS_FOR_FAST: u64 = 3;

/// What a packet has beside its payload: the headers of IPv4 and TCP without options.
const HEADER_BYTES: u64 = 40;

/// What one direction of a link between two hosts has of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// `None`: that of the room.
    pub(crate) latency: Option<Span>,
    /// `None`: as much as is sent.
    pub(crate) line: Option<Line>,
    /// Nothing gets through.
    pub(crate) is_cut: bool,
}

/// The line of a link that takes time for each byte, and the queue in front of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    bytes_per_second: u64,
    queue_bytes: u64,
    /// Since when there is something in the queue, and when all of it has left.
    busy_since: Instant,
    free_at: Instant,
    /// When all that was sent before `busy_since`, but later than that was known, has left.
    early_free_at: Instant,
}

impl Line {
    pub(crate) fn new(bytes_per_second: u64, queue_bytes: u64) -> Self {
        assert!(bytes_per_second > 0, "a line without bandwidth is a cut");
        let start = Instant::START;
        Self {
            bytes_per_second,
            queue_bytes,
            busy_since: start,
            free_at: start,
            early_free_at: start,
        }
    }

    /// When a packet that comes now has left; `None`: there is no room for it in the queue. A line that is free takes one of
    /// any size.
    fn send(&mut self, now: Instant, bytes: u64) -> Option<Instant> {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let is_early = now < self.busy_since;
        if !is_early && self.free_at <= now {
            self.busy_since = now;
        }
        // Where a shard that is ahead has sent something already, the line is free until then, but for what others send.
        let free_at = if is_early { &mut self.early_free_at } else { &mut self.free_at };
        let begin = (*free_at).max(now);
        let waiting = (begin - now).as_nanos() * u128::from(self.bytes_per_second) / 1_000_000_000;
        if begin > now && waiting + u128::from(bytes) > u128::from(self.queue_bytes) {
            return None;
        }
        *free_at = begin + takes;
        Some(*free_at)
    }
}

/// How long is waited for an answer after so many that did not come (RFC 6298 §5.5).
pub(super) fn timeout(count: u32) -> Duration {
    TIMEOUT_MIN.saturating_mul(1 << count.min(30)).min(TIMEOUT_MAX)
}

impl Room {
    fn link(&self, from: HostId, to: HostId) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or_default()
    }

    /// Whether nothing gets from one host to another.
    pub(super) fn is_cut(&self, from: HostId, to: HostId) -> bool {
        from != to && self.link(from, to).is_cut
    }

    /// How long the next packet from one host to another is under way. `to` is `None` for the wide world.
    pub(super) fn delay(&mut self, from: HostId, to: Option<HostId>) -> Duration {
        let span = match to {
            Some(to) if to == from => self.loopback_span,
            Some(to) => self.link(from, to).latency.unwrap_or(self.link_span),
            None => self.link_span,
        };
        self.choices.duration(self.first_shard(from), Label::Latency, span)
    }

    /// When a packet with that payload leaves one host for another; `None`: the queue of the link has no room for it.
    pub(super) fn departure(
        &mut self,
        from: HostId,
        to: HostId,
        payload_bytes: u64,
    ) -> Option<Instant> {
        let now = self.now;
        let link = if from == to { None } else { self.links.get_mut(&(from, to)) };
        match link.and_then(|link| link.line.as_mut()) {
            Some(line) => line.send(now, payload_bytes + HEADER_BYTES),
            None => Some(now),
        }
    }

    /// Whether what `side` sends goes packet by packet.
    pub(super) fn has_line(&self, id: ConnectionId, side: Side) -> bool {
        let connection = &self.connections[id.index()];
        let hosts = [side, side.other()].map(|side| connection.end(side).host);
        matches!(hosts, [Some(from), Some(to)] if from != to && self.link(from, to).line.is_some())
    }

    /// Whether the next packet of a connection that leaves `side` gets lost on its way.
    pub(super) fn is_lost(&mut self, id: ConnectionId, side: Side) -> bool {
        let connection = &self.connections[id.index()];
        let from = connection.end(side).host.expect("only hosts send packets");
        let to = connection.end(side.other()).host;
        if to == Some(from) {
            return false;
        }
        let permille = self.config.segment_loss_permille;
        to.is_none_or(|to| self.is_cut(from, to))
            || self.choices.chance_permille(self.first_shard(from), Label::SegmentLoss, permille)
    }

    /// When a packet with that payload that `side` sends now is at the other end; `None`: never.
    pub(super) fn arrival(
        &mut self,
        id: ConnectionId,
        side: Side,
        payload_bytes: u64,
    ) -> Option<Instant> {
        if self.is_lost(id, side) {
            return None;
        }
        let connection = &self.connections[id.index()];
        let from = connection.end(side).host.expect("only hosts send packets");
        let to = connection.end(side.other()).host.expect("what goes nowhere is lost");
        let departure = self.departure(from, to, payload_bytes)?;
        Some(departure + self.delay(from, Some(to)))
    }

    /// The first of `left` bytes that `side` sends got lost.
    pub(super) fn segment_lost(&mut self, id: ConnectionId, side: Side, left: u64) {
        let resend = self.connection(id).outgoing(side).resend;
        self.note_lost(id, side, Kind::SegmentLost, resend.count);
        self.tap_lost(id, side, left);
        let is_fast = !resend.is_slow && left > SEGMENTS_FOR_FAST * SEGMENT_BYTES;
        let wait = if is_fast { self.round_trip(id, side) } else { timeout(resend.count) };
        let now = self.now;
        let resend = &mut self.connection(id).outgoing(side).resend;
        resend.is_armed = true;
        resend.is_slow = true;
        resend.count += u32::from(!is_fast);
        self.push(now + wait, id, Event::Resend(id, side));
    }

    pub(super) fn round_trip(&mut self, id: ConnectionId, side: Side) -> Duration {
        let connection = &self.connections[id.index()];
        let hosts = [side, side.other()].map(|side| connection.end(side).host);
        let [Some(near), Some(far)] = hosts else { unreachable!("both ends are on hosts") };
        self.delay(near, Some(far)) + self.delay(far, Some(near))
    }

    /// The timer of a lost segment has run out.
    pub(super) fn resend_due(&mut self, id: ConnectionId, side: Side) -> ConnectionId {
        let resend = &mut self.connection(id).outgoing(side).resend;
        resend.is_armed = false;
        let count = resend.count;
        self.popped(id, side, Kind::Resend, u64::from(count));
        if self.connection(id).end(side).state.is_over() {
            return id;
        }
        if count > self.config.retransmission_count {
            self.expire(id, side);
        } else {
            self.pump(id, side);
        }
        id
    }

    /// What `receiver` answers to what it got is lost: an acknowledgement, or a reset. The sender says it all again until it
    /// hears something; but one that waits for nothing says nothing.
    pub(super) fn answer_lost(&mut self, id: ConnectionId, receiver: Side) {
        let pipe = self.connection(id).incoming(receiver);
        pipe.is_answer_owed = true;
        let count = pipe.answer.count;
        self.note_lost(id, receiver, Kind::AnswerLost, count);
        self.arm_answer(id, receiver.other());
    }

    /// Makes the event at which `sender` says again what was not answered, if it waits for an answer that got lost.
    pub(super) fn arm_answer(&mut self, id: ConnectionId, sender: Side) {
        let now = self.now;
        let connection = self.connection(id);
        let is_haunted = connection.ends.iter().any(|end| end.state == State::Ghost);
        let is_waiting = match is_haunted {
            // What is on the wire tells when it lands.
            true => connection.outgoing(sender).is_landed() && self.waits_for_ghost(id, sender),
            false => connection.outgoing(sender).is_unacknowledged(),
        };
        let pipe = self.connection(id).outgoing(sender);
        if pipe.is_answer_owed && !pipe.answer.is_armed && is_waiting {
            pipe.answer.is_armed = true;
            let at = now + timeout(pipe.answer.count);
            self.push(at, id, Event::Answer(id, sender));
        }
    }

    /// The timer of an answer that did not come has run out. What the sender says again is there at once: its time on the
    /// way is part of the wait.
    pub(super) fn answer_due(&mut self, id: ConnectionId, sender: Side) -> ConnectionId {
        let receiver = sender.other();
        let answer = &mut self.connection(id).outgoing(sender).answer;
        answer.is_armed = false;
        answer.count += 1;
        let count = answer.count;
        self.popped(id, sender, Kind::Repeat, u64::from(count));
        let connection = self.connection(id);
        if connection.end(sender).state.is_over() || !connection.outgoing(sender).is_answer_owed {
            return id;
        }
        let is_for_ghost = connection.end(receiver).state == State::Ghost;
        if is_for_ghost && !self.waits_for_ghost(id, sender) {
            // What the machine had said before it crashed has come meanwhile.
            self.connection(id).outgoing(sender).answer.count = 0;
            return id;
        }
        if count > self.config.retransmission_count {
            self.expire(id, sender);
            return id;
        }
        let is_lost = self.is_lost(id, sender);
        self.tap_again(id, sender, is_lost);
        if is_lost || self.is_unheard(id, receiver) {
            self.arm_answer(id, sender);
        } else if is_for_ghost {
            self.disown(id, receiver);
        } else if self.connection(id).end(receiver).state == State::Over {
            self.send_reset(id, receiver);
        } else {
            self.acknowledge(id, receiver);
        }
        id
    }

    /// An answer is under way.
    pub(super) fn answered(&mut self, id: ConnectionId, receiver: Side) {
        let pipe = self.connection(id).incoming(receiver);
        pipe.is_answer_owed = false;
        pipe.answer.count = 0;
    }

    /// A segment arrives with nothing that its receiver did not have. It says what it has, or that there is no connection.
    pub(super) fn old_news_arrived(
        &mut self,
        id: ConnectionId,
        sender: Side,
        kind: Kind,
    ) -> ConnectionId {
        let receiver = sender.other();
        let state = self.connection(id).end(receiver).state;
        if state == State::Ghost {
            self.ghost_hears(id, receiver, kind, 0);
            return id;
        }
        self.popped(id, receiver, kind, 0);
        if !state.is_over() {
            self.acknowledge(id, receiver);
        } else if self.connection(id).incoming(receiver).is_answer_owed {
            self.send_reset(id, receiver);
        }
        id
    }

    /// The kernel of an end gives up: nobody has answered for too long. The peer is not told, unless it says something.
    pub(super) fn expire(&mut self, id: ConnectionId, side: Side) {
        let connection = self.connection(id);
        let end = connection.end_mut(side);
        end.state = State::Over;
        end.error = Some(ErrorKind::TimedOut);
        connection.outgoing(side).drop_unsent();
        connection.incoming(side).is_answer_owed = true;
        self.coverage.add_fault(Fault::ConnectionTimeout);
        self.tap_silence(id, side);
        self.retire(id, side);
        self.raise_end(id, side, broken());
        self.arm_answer(id, side.other());
    }

    fn note_lost(&mut self, id: ConnectionId, side: Side, kind: Kind, count: u32) {
        let host = self.connections[id.index()].end(side).host.expect("only hosts send packets");
        self.note_host(host, kind, id.index() as u64, u64::from(count));
    }
}
