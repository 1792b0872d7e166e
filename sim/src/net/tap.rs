//! `Tap`: hears what becomes of the packets of a room, for [`Capture`](crate::Capture), where that is to have them.
//!
//! The room has no packets but those of which it decides what becomes of them. Of the others the tap adds those that a kernel would
//! send: the last one of a handshake, and the acknowledgement of a FIN. What it hears becomes packets when they are asked for, in the
//! order of time: a shard may be ahead of others.
//!
//! Invariant: it draws nothing, changes nothing of the room, and what it keeps is charged to nobody: a run with it is the same as one
//! without.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use mainspring_executor::driver::Instant;
use mainspring_sim_allocator::Entered;

use super::flow::{Flow, Sent, Word};
use super::pipe::SEGMENT_BYTES;
use super::{Connection, Side};
use crate::capture::{Body, Capture, CapturedHost, Fate, Packet};
use crate::event::{ConnectionId, HostId};
use crate::room::Room;

/// What was heard so far.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    heard: Vec<Heard>,
    /// All TCP connections that there were: by their numbers.
    known: Vec<Known>,
    /// Those that there are.
    lines: BTreeMap<ConnectionId, Line>,
}

/// Something that happened.
#[derive(Debug)]
struct Heard {
    at: Instant,
    fate: Fate,
    what: What,
}

#[derive(Debug)]
enum What {
    /// At an end of the connection with that number.
    Of(usize, Side, Word),
    /// A datagram, or an ICMP message.
    Letter { host: HostId, from: SocketAddr, to: SocketAddr, body: Body },
}

/// A connection, for as long as its packets are of interest.
#[derive(Debug)]
struct Known {
    /// Of the client and of the server: `None` is a host that there is not, and that sends nothing.
    hosts: [Option<HostId>; 2],
    addresses: [SocketAddr; 2],
    recv_capacities: [u64; 2],
}

/// A connection that is listened to.
#[derive(Debug)]
struct Line {
    number: usize,
    ends: [Speaker; 2],
}

/// What an end has said.
#[derive(Debug, Default)]
struct Speaker {
    /// What was written and never sent.
    queued: VecDeque<u8>,
    /// How much was sent, also in vain.
    sent: u64,
    /// When that was: who was ahead is not overtaken by what is let go later.
    sent_at: Instant,
    next: Oddity,
}

/// What the network does to the next flight.
#[derive(Clone, Copy, Debug, Default)]
struct Oddity {
    is_late: bool,
    /// Its sender takes its first segment for lost, and sends it again then; that one arrives at the other instant.
    again: Option<(Instant, Instant)>,
    second_arrival: Option<Instant>,
}

impl Speaker {
    /// It sends its bytes from `begin` to `end`.
    fn send(&mut self, now: Instant, (begin, end): (u64, u64), has_fin: bool) -> (Instant, Sent) {
        let count = usize::try_from(end.saturating_sub(self.sent)).expect("they are in memory");
        assert!(count <= self.queued.len(), "what is sent was written");
        let bytes: Arc<[u8]> = self.queued.drain(..count).collect();
        self.sent = self.sent.max(end);
        self.sent_at = self.sent_at.max(now);
        (self.sent_at, Sent { begin, bytes, has_fin, is_suspected: self.next.again.is_some() })
    }
}

impl Tap {
    /// What was heard, as packets in the order of time.
    fn packets(&self) -> Vec<Packet> {
        let mut heard: Vec<_> = self.heard.iter().collect();
        // What happened at one instant stays in its order.
        heard.sort_by_key(|heard| heard.at);
        let flow = |(number, known): (usize, &Known)| Flow::new(number, known.recv_capacities);
        let mut flows: Vec<_> = self.known.iter().enumerate().map(flow).collect();
        heard.into_iter().flat_map(|heard| self.packets_of(&mut flows, heard)).collect()
    }

    fn packets_of(&self, flows: &mut [Flow], heard: &Heard) -> Vec<Packet> {
        let &Heard { at, fate, ref what } = heard;
        let (number, side, word) = match what {
            What::Of(number, side, word) => (*number, *side, word),
            What::Letter { host, from, to, body } => {
                let (host, from, to, body) = (*host, *from, *to, body.clone());
                return vec![Packet { at, host, from, to, body, fate }];
            }
        };
        let known = &self.known[number];
        let host = known.hosts[side as usize].expect("only hosts send packets");
        let (from, to) = (known.addresses[side as usize], known.addresses[side.other() as usize]);
        let segments = flows[number].happen(side, word).into_iter();
        let packet = |(index, segment)| {
            // What is odd befalls the first segment: those behind it wait for that one.
            let fate = if index == 0 { fate } else { Fate::of(fate.arrival) };
            Packet { at, host, from, to, body: Body::Tcp(segment), fate }
        };
        segments.enumerate().map(packet).collect()
    }
}

impl Room {
    /// What the tap has heard, if there is one.
    pub(crate) fn capture(&self) -> Option<Capture> {
        let _bookkeeping = Entered::nobody();
        let tap = self.tap.as_ref()?;
        let host = |index| {
            let machine = self.machine(HostId::new(index));
            CapturedHost { name: machine.name.to_string(), ip: machine.ip, ip_v6: machine.ip_v6 }
        };
        Some(Capture::new((0..self.host_count()).map(host).collect(), tap.packets()))
    }

    /// Something happens at an end of a connection that is listened to.
    fn tap(
        &mut self,
        id: ConnectionId,
        side: Side,
        fate: Fate,
        word: impl FnOnce(&mut Connection) -> Word,
    ) {
        let now = self.now;
        let Some(tap) = &mut self.tap else { return };
        let _bookkeeping = Entered::nobody();
        let Some(line) = tap.lines.get(&id) else { return };
        let word = word(&mut self.connections[id.index()]);
        tap.heard.push(Heard { at: now, fate, what: What::Of(line.number, side, word) });
    }

    /// Something is done with what is known of an end.
    fn with_speaker<R>(
        &mut self,
        id: ConnectionId,
        side: Side,
        act: impl FnOnce(&mut Speaker, &mut Connection) -> R,
    ) -> Option<R> {
        let tap = self.tap.as_mut()?;
        let _bookkeeping = Entered::nobody();
        let line = tap.lines.get_mut(&id)?;
        Some(act(&mut line.ends[side as usize], &mut self.connections[id.index()]))
    }

    /// A connection is forgotten.
    pub(super) fn untap(&mut self, id: ConnectionId) {
        if let Some(tap) = &mut self.tap {
            tap.lines.remove(&id);
        }
    }

    /// What `side` would have sent again it does not.
    pub(super) fn tap_silence(&mut self, id: ConnectionId, side: Side) {
        self.tap(id, side, Fate::of(None), |_| Word::Silence);
    }

    // The handshake.

    /// The client sends a SYN, the first or another one.
    pub(super) fn tap_syn(&mut self, id: ConnectionId, arrival: Option<Instant>) {
        let Some(tap) = &mut self.tap else { return };
        let _bookkeeping = Entered::nobody();
        let Tap { known, lines, .. } = &mut **tap;
        lines.entry(id).or_insert_with(|| {
            let connection = &self.connections[id.index()];
            let pair = connection.pair(Side::Client);
            // What an end takes comes by the pipe of the other.
            let [to_server, to_client] = &connection.pipes;
            known.push(Known {
                hosts: connection.ends.each_ref().map(|end| end.host),
                addresses: [pair.local, pair.peer],
                recv_capacities: [to_client.recv_capacity(), to_server.recv_capacity()],
            });
            Line { number: known.len() - 1, ends: Default::default() }
        });
        self.tap(id, Side::Client, Fate::of(arrival), |_| Word::Syn);
    }

    pub(super) fn tap_syn_ack(&mut self, id: ConnectionId, arrival: Option<Instant>) {
        self.tap(id, Side::Server, Fate::of(arrival), |_| Word::SynAck);
    }

    pub(super) fn tap_refusal(&mut self, id: ConnectionId, arrival: Option<Instant>) {
        self.tap(id, Side::Server, Fate::of(arrival), |_| Word::Refusal);
    }

    // Bytes.

    /// A program has written the first `count` bytes of these.
    pub(super) fn tap_write(
        &mut self,
        id: ConnectionId,
        side: Side,
        buffers: &[IoSlice<'_>],
        count: usize,
    ) {
        self.with_speaker(id, side, |speaker, _| {
            speaker.queued.extend(buffers.iter().flat_map(|buffer| &**buffer).take(count));
        });
    }

    /// The next flight that `side` sends is late. `again`: when its sender sends its first segment again, and that arrives.
    pub(super) fn tap_late(
        &mut self,
        id: ConnectionId,
        side: Side,
        again: Option<(Instant, Instant)>,
    ) {
        self.with_speaker(id, side, |speaker, _| {
            speaker.next = Oddity { is_late: true, again, ..speaker.next };
        });
    }

    /// The next flight that `side` sends comes twice.
    pub(super) fn tap_twice(&mut self, id: ConnectionId, side: Side, second_arrival: Instant) {
        self.with_speaker(id, side, |speaker, _| {
            speaker.next.second_arrival = Some(second_arrival);
        });
    }

    /// The last `count` bytes that `side` sent have left, and its FIN if it is behind them.
    pub(super) fn tap_flight(&mut self, id: ConnectionId, side: Side, count: u64, at: Instant) {
        let now = self.now;
        let sent = self.with_speaker(id, side, |speaker, connection| {
            let pipe = connection.outgoing(side);
            let place = (pipe.sent() - count, pipe.sent());
            let (left_at, sent) = speaker.send(now, place, pipe.is_fin_at(place.1));
            (left_at, sent, core::mem::take(&mut speaker.next))
        });
        let Some((left_at, sent, oddity)) = sent else { return };
        let Oddity { is_late, again, second_arrival } = oddity;
        let begin = sent.begin;
        let fate = Fate { arrival: Some(at), second_arrival, is_late };
        self.tap_at(id, side, left_at, fate, Word::Send(sent));
        if let Some((again_at, arrival)) = again {
            self.tap_at(id, side, again_at, Fate::of(Some(arrival)), Word::Suspect(begin));
        }
    }

    /// The first of `left` bytes that `side` sends got lost.
    pub(super) fn tap_lost(&mut self, id: ConnectionId, side: Side, left: u64) {
        let now = self.now;
        let sent = self.with_speaker(id, side, |speaker, connection| {
            let pipe = connection.outgoing(side);
            let place = (pipe.sent(), pipe.sent() + left.min(SEGMENT_BYTES));
            speaker.send(now, place, pipe.is_fin_at(place.1))
        });
        if let Some((left_at, sent)) = sent {
            self.tap_at(id, side, left_at, Fate::of(None), Word::Send(sent));
        }
    }

    fn tap_at(&mut self, id: ConnectionId, side: Side, at: Instant, fate: Fate, word: Word) {
        let Some(tap) = &mut self.tap else { return };
        let _bookkeeping = Entered::nobody();
        let what = What::Of(tap.lines[&id].number, side, word);
        tap.heard.push(Heard { at, fate, what });
    }

    /// `side` sends again the first segment that it has not heard of, or asks for room.
    pub(super) fn tap_again(&mut self, id: ConnectionId, side: Side, is_lost: bool) {
        // Its time on the way is part of the wait for it.
        let arrival = (!is_lost).then_some(self.now);
        self.tap(id, side, Fate::of(arrival), |_| Word::Again);
    }

    /// `side` sends again all that its peer has dropped, or the first segment of that.
    pub(super) fn tap_redelivery(&mut self, id: ConnectionId, side: Side, is_lost: bool) {
        let arrival = (!is_lost).then_some(self.now);
        self.tap(id, side, Fate::of(arrival), |connection| match is_lost {
            true => Word::Again,
            false => Word::AllAgain(connection.outgoing(side).first_flight_end()),
        });
    }

    // What is said of bytes.

    /// From now on `side` says what it has, in all that it sends.
    pub(super) fn tap_heard(&mut self, id: ConnectionId, side: Side) {
        self.tap(id, side, Fate::of(None), |connection| {
            Word::Hear(connection.incoming(side).heard())
        });
    }

    /// `side` says what it has.
    pub(super) fn tap_ack(&mut self, id: ConnectionId, side: Side, arrival: Option<Instant>) {
        self.tap(id, side, Fate::of(arrival), |connection| {
            Word::Acknowledge(connection.incoming(side).heard(), arrival.is_some())
        });
    }

    /// `side` says that it has a FIN, or that its connection is there. The room has no packet for that: it gets lost where its peer
    /// is going to say something again that came before.
    pub(super) fn tap_nod(&mut self, id: ConnectionId, side: Side) {
        let answer = self.connection(id).incoming(side);
        let is_asked_again = answer.is_answer_owed && answer.answer.is_armed;
        self.tap_ack(id, side, (!is_asked_again).then_some(self.now));
    }

    pub(super) fn tap_probe(&mut self, id: ConnectionId, side: Side, arrival: Option<Instant>) {
        self.tap(id, side, Fate::of(arrival), |_| Word::Probe);
    }

    // Ends.

    /// `side` breaks the connection.
    pub(super) fn tap_reset(&mut self, id: ConnectionId, side: Side, arrival: Option<Instant>) {
        self.tap(id, side, Fate::of(arrival), |_| Word::Reset);
    }

    /// The host of `side` knows of no such connection, and says so.
    pub(super) fn tap_disowned(&mut self, id: ConnectionId, side: Side, arrival: Option<Instant>) {
        self.tap(id, side, Fate::of(arrival), |_| Word::Disown);
    }

    // Datagrams.

    /// A datagram leaves a host, or the news that one came to nobody; it arrives never, once or twice.
    pub(super) fn tap_letter(
        &mut self,
        host: HostId,
        from: SocketAddr,
        to: SocketAddr,
        body: impl FnOnce() -> Body,
        arrivals: [Option<Instant>; 2],
    ) {
        let now = self.now;
        let Some(tap) = &mut self.tap else { return };
        let _bookkeeping = Entered::nobody();
        // One of two may have found the queue of a link full.
        let mut arrivals = arrivals.into_iter().flatten();
        let (arrival, second_arrival) = (arrivals.next(), arrivals.next());
        let fate = Fate { arrival, second_arrival, is_late: false };
        tap.heard.push(Heard {
            at: now,
            fate,
            what: What::Letter { host, from, to, body: body() },
        });
    }
}
