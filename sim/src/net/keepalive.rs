//! Keep-alive: an end on which nothing comes asks whether its peer is still there.
//!
//! ```text
//!  nothing has come for `idle` ── probe ──► answered (ACK): `idle` begins anew
//!                                      ──► the peer's kernel knows of no connection (RST): reset
//!                                      ──► silence ── `interval` ── probe ── … ── `count` of them: timed out, and RST
//! ```
//! As in Linux: while something is sent and not acknowledged its own timer runs, and no probe is needed; what counts as having
//! come are segments and acknowledgements, but not the probes of the peer. When an end is given up its peer is told, if
//! anything reaches that.
//!
//! Invariant: there is one moment for each end that asks, in a list of its own, and none for one that is over or that no
//! program has: so it keeps no connection from being forgotten.

use std::io;

use mainspring_executor::driver::{Instant, Keepalive, Token};

use super::{Family, Side, State};
use crate::event::{ConnectionId, Event, ShardId};
use crate::room::Room;
use crate::trace::Kind;

/// An end that asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    keepalive: Keepalive,
    /// When it looks next.
    at: Instant,
    /// Probes since something came, and when the last of them was sent.
    probe_count: u32,
    probed_at: Instant,
}

impl Room {
    pub(crate) fn set_keepalive(
        &mut self,
        shard: ShardId,
        socket: Token,
        keepalive: Option<Keepalive>,
    ) -> io::Result<()> {
        let keepalive = keepalive.map(Keepalive::in_whole_seconds).transpose()?;
        let (id, side) = self.socket(shard, socket);
        assert!(self.connection(id).family == Family::Tcp, "a Unix socket has no such option");
        let idle = keepalive.map_or(0, |keepalive| keepalive.idle.as_secs());
        self.note(shard, Kind::SetKeepalive, socket.to_bits(), idle);
        let before = self.stop_asking(id, side);
        let is_over =
            self.connection(id).end(side).state.is_over() || self.connection(id).is_finished();
        if let Some(keepalive) = keepalive.filter(|_| !is_over) {
            // As Linux has it: who asks already goes on to count from what came last, who begins does so now.
            let since = before.map_or(self.now, |_| self.heard(id, side));
            self.recount(id);
            let at = (since + keepalive.idle).max(self.now);
            let probed_at = before.map_or(Instant::START, |before| before.probed_at);
            let probe_count = before.map_or(0, |before| before.probe_count);
            self.ask_at(id, side, Asking { keepalive, at, probe_count, probed_at });
        }
        Ok(())
    }

    fn ask_at(&mut self, id: ConnectionId, side: Side, asking: Asking) {
        self.connection(id).end_mut(side).asking = Some(asking);
        self.asking.insert((asking.at, id, side));
    }

    /// An end asks no more.
    pub(super) fn stop_asking(&mut self, id: ConnectionId, side: Side) -> Option<Asking> {
        let asking = self.connection(id).end_mut(side).asking.take()?;
        self.asking.remove(&(asking.at, id, side));
        Some(asking)
    }

    /// When something came for an end the last time.
    fn heard(&mut self, id: ConnectionId, side: Side) -> Instant {
        let now = self.now;
        let connection = self.connection(id);
        connection.outgoing(side).settle(now);
        let acknowledged_at = connection.outgoing(side).acknowledged_at;
        connection.end(side).heard_at.max(acknowledged_at)
    }

    /// When an end looks next. Where nothing else is to come, only if that may change anything: else those who wait would not
    /// be found out to wait for ever. (This is the one place that looks at all ends that ask.)
    pub(crate) fn next_look(&self, is_all: bool) -> Option<Instant> {
        // One that was not looked for, since nothing was to come, may be late when something is again.
        let first = self.asking.first()?.0.max(self.now);
        let may_end =
            |(_, id, side): &(Instant, ConnectionId, Side)| self.may_be_unanswered(*id, *side);
        (!is_all || self.asking.iter().any(may_end)).then_some(first)
    }

    /// Whether a probe may be without an answer, or be answered with a reset.
    fn may_be_unanswered(&self, id: ConnectionId, side: Side) -> bool {
        let connection = &self.connections[id.index()];
        let [near, far] = [side, side.other()].map(|side| connection.end(side));
        let is_between_hosts = near.host != far.host;
        far.state != State::Established
            || near.asking.is_some_and(|asking| asking.probe_count > 0)
            || is_between_hosts && self.config.segment_loss_permille > 0
            || near
                .host
                .zip(far.host)
                .is_none_or(|(near, far)| self.is_cut(near, far) || self.is_cut(far, near))
    }

    /// Lets the first end look that is due. False: none is.
    pub(crate) fn look(&mut self) -> bool {
        let Some((_, id, side)) = self.asking.first().copied().filter(|(at, ..)| *at <= self.now)
        else {
            return false;
        };
        let heard = self.heard(id, side);
        self.recount(id);
        let mut asking = self.stop_asking(id, side).expect("who is in the list asks");
        if heard > asking.probed_at {
            asking.probe_count = 0;
        }
        let Keepalive { idle, interval, count } = asking.keepalive;
        if self.connection(id).outgoing(side).is_underway() {
            asking.at = self.now + idle;
        } else if heard + idle > self.now {
            asking.at = heard + idle;
        } else if asking.probe_count >= count {
            self.give_up(id, side);
            self.recount(id);
            self.release(id);
            return true;
        } else {
            asking.probe_count += 1;
            asking.probed_at = self.now;
            asking.at = self.now + interval;
            self.probe(id, side, asking.probe_count);
        }
        self.ask_at(id, side, asking);
        true
    }

    fn probe(&mut self, id: ConnectionId, side: Side, number: u32) {
        let host = self.connection(id).end(side).host.expect("who asks is on a host");
        self.note_host(host, Kind::ProbeSent, id.index() as u64, u64::from(number));
        let arrival = self.arrival(id, side, 0);
        self.tap_probe(id, side, arrival);
        if let Some(at) = arrival {
            self.push(at, id, Event::Probe(id, side));
        }
    }

    /// Nobody answers: the connection has timed out, and the peer is told.
    fn give_up(&mut self, id: ConnectionId, side: Side) {
        self.expire(id, side);
        let arrival = self.arrival(id, side, 0);
        self.tap_reset(id, side, arrival);
        if let Some(arrival) = arrival {
            let at = self.connection(id).outgoing(side).in_order(arrival);
            self.push(at, id, Event::Reset(id, side));
        }
    }
}
