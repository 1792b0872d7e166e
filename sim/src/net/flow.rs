//! `Flow`: a connection as its packets show it: sequence numbers, windows, and what is sent again.
//!
//! ```text
//!  isn   isn + 1                      next
//!  SYN ──┼─ heard of ─┼── in doubt ───┼── FIN
//!        first byte   acknowledged
//! ```
//! The room knows neither segments nor sequence numbers: its pipes count bytes, and let them fly in any number. Here they are cut
//! into segments, and kept until an acknowledgement of them gets through, for a pipe has no bytes that were read.
//!
//! It knows neither clock nor room: it is told what happens, in the order of time. Invariant: what is in doubt are the last bytes
//! before `next`, in order and without a hole.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Side;
use super::pipe::SEGMENT_BYTES;
use crate::capture::Segment;

/// The most that a window can say without a scale.
const WINDOW_MAX: u64 = u16::MAX as u64;

/// Makes the first sequence numbers of connections lie far apart: 2³² by the golden ratio.
const STRIDE: u32 = 0x9e37_79b1;

/// See the file.
#[derive(Debug)]
pub(super) struct Flow {
    ends: [Talk; 2],
}

/// What one end has said.
#[derive(Debug)]
struct Talk {
    /// Its SYN; its first byte has the number behind it.
    isn: u32,
    /// By how many bits the windows that it tells are shifted.
    shift: u8,
    /// How many bytes were in packets.
    next: u64,
    has_fin: bool,
    /// What it sent and has not been heard of.
    in_doubt: VecDeque<Piece>,
    /// What it is going to take for lost, and send again.
    suspected: Vec<Piece>,
    /// The bytes of the peer that it has, as it said last, and its FIN, and how far it lets the peer go.
    acked: u64,
    acked_fin: bool,
    edge: u64,
}

/// What was in one segment.
#[derive(Clone, Debug)]
struct Piece {
    begin: u64,
    bytes: Arc<[u8]>,
    has_fin: bool,
}

impl Piece {
    fn end(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }
}

/// What happens to a connection, at one of its ends.
#[derive(Clone, Debug)]
pub(super) enum Word {
    Syn,
    SynAck,
    /// Nobody listens.
    Refusal,
    Send(Sent),
    /// A segment that it sent from there on is sent again, as it is taken for lost.
    Suspect(u64),
    /// The first segment that was not heard of is sent again; where there is none, it asks whether there is room.
    Again,
    /// All segments up to that place that were not heard of are sent again.
    AllAgain(u64),
    /// It says from now on that it has heard so much, in whatever it sends.
    Hear(Heard),
    /// It says so. True: it gets through.
    Acknowledge(Heard, bool),
    /// It asks whether the peer is there.
    Probe,
    /// It breaks the connection.
    Reset,
    /// Its host knows of no connection, and answers what it got.
    Disown,
    /// It sends nothing again by itself.
    Silence,
}

/// Bytes that are sent, and perhaps the FIN behind them.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// What was sent from here on before got lost, and goes as it went then.
    pub(super) begin: u64,
    /// What was never sent before.
    pub(super) bytes: Arc<[u8]>,
    pub(super) has_fin: bool,
    /// The first segment is going to be taken for lost.
    pub(super) is_suspected: bool,
}

/// What a receiver has of a stream, and how far it lets the sender go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) acked: u64,
    pub(super) has_fin: bool,
    pub(super) edge: u64,
}

impl Flow {
    /// The connection with that number, whose ends, client and server, take so many bytes.
    pub(super) fn new(number: usize, recv_capacities: [u64; 2]) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "they go round")]
        let isn = (number as u32).wrapping_mul(STRIDE);
        let [client, server] = recv_capacities;
        Self { ends: [Talk::new(isn, client), Talk::new(isn.wrapping_add(STRIDE / 2), server)] }
    }

    fn talk(&mut self, side: Side) -> &mut Talk {
        &mut self.ends[side as usize]
    }

    /// The number that `side` waits for next.
    fn acknowledgment(&mut self, side: Side) -> u32 {
        let peer = self.talk(side.other()).isn;
        let talk = self.talk(side);
        position(peer, talk.acked + u64::from(talk.acked_fin))
    }

    /// A segment without anything, at that place.
    fn bare(&mut self, side: Side, sequence: u32) -> Segment {
        Segment {
            sequence,
            acknowledgment: Some(self.acknowledgment(side)),
            window: self.talk(side).window(),
            syn: None,
            is_fin: false,
            is_reset: false,
            is_pushed: false,
            payload: Arc::default(),
        }
    }

    /// The segments that `side` sends as this happens.
    pub(super) fn happen(&mut self, side: Side, word: &Word) -> Vec<Segment> {
        match word {
            Word::Syn => vec![Segment { acknowledgment: None, ..self.syn(side) }],
            Word::SynAck => vec![self.syn(side)],
            Word::Refusal => vec![Segment { is_reset: true, window: 0, ..self.bare(side, 0) }],
            Word::Send(sent) => self.send(side, sent),
            Word::Suspect(begin) => self.suspect(side, *begin).into_iter().collect(),
            Word::Again if self.talk(side).in_doubt.is_empty() => vec![self.probe(side)],
            Word::Again => self.segments(side, 0, 1),
            Word::AllAgain(end) => {
                let count = self.talk(side).in_doubt.partition_point(|piece| piece.end() <= *end);
                self.segments(side, 0, count)
            }
            Word::Hear(heard) => {
                self.hear(side, *heard, true);
                Vec::new()
            }
            Word::Acknowledge(heard, is_through) => {
                self.hear(side, *heard, *is_through);
                vec![self.next(side)]
            }
            Word::Probe => vec![self.probe(side)],
            Word::Reset => {
                self.talk(side).suspected.clear();
                vec![Segment { is_reset: true, window: 0, ..self.next(side) }]
            }
            Word::Disown => vec![self.disown(side)],
            Word::Silence => {
                self.talk(side).suspected.clear();
                Vec::new()
            }
        }
    }

    fn syn(&mut self, side: Side) -> Segment {
        let talk = self.talk(side);
        let (isn, shift) = (talk.isn, talk.shift);
        // The scale is for all windows but this one (RFC 7323 §2.2).
        let window = clamped(talk.edge);
        Segment { syn: Some(shift), window, ..self.bare(side, isn) }
    }

    fn send(&mut self, side: Side, sent: &Sent) -> Vec<Segment> {
        let talk = self.talk(side);
        let first = talk.in_doubt.partition_point(|piece| piece.begin < sent.begin);
        talk.queue(&sent.bytes, sent.has_fin);
        if sent.is_suspected {
            let suspected = talk.in_doubt.get(first).cloned();
            talk.suspected.extend(suspected);
        }
        self.segments(side, first, usize::MAX)
    }

    fn suspect(&mut self, side: Side, begin: u64) -> Option<Segment> {
        let suspected = &mut self.talk(side).suspected;
        let index = suspected.iter().position(|piece| piece.begin == begin)?;
        let piece = suspected.remove(index);
        Some(self.segment(side, piece))
    }

    /// Pieces that are in doubt as segments. Those of a flight are pushed at its end.
    fn segments(&mut self, side: Side, first: usize, count_max: usize) -> Vec<Segment> {
        let in_doubt = self.talk(side).in_doubt.iter();
        let pieces: Vec<_> = in_doubt.skip(first).take(count_max).cloned().collect();
        let mut segments: Vec<_> =
            pieces.into_iter().map(|piece| self.segment(side, piece)).collect();
        if let Some(last) = segments.last_mut() {
            last.is_pushed = !last.payload.is_empty();
        }
        segments
    }

    fn segment(&mut self, side: Side, piece: Piece) -> Segment {
        let sequence = position(self.talk(side).isn, piece.begin);
        let bare = self.bare(side, sequence);
        Segment { is_fin: piece.has_fin, payload: piece.bytes, ..bare }
    }

    /// Who was ahead of the others in time may have heard less than was said meanwhile.
    fn hear(&mut self, side: Side, heard: Heard, is_through: bool) {
        let talk = self.talk(side);
        talk.acked = talk.acked.max(heard.acked);
        talk.acked_fin |= heard.has_fin;
        talk.edge = talk.edge.max(heard.edge);
        let (acked, acked_fin) = (talk.acked, talk.acked_fin);
        if is_through {
            self.talk(side.other()).settle(acked, acked_fin);
        }
    }

    /// What `side` says where it sends nothing.
    fn next(&mut self, side: Side) -> Segment {
        let sequence = self.talk(side).sequence();
        self.bare(side, sequence)
    }

    /// Asks by something that the peer has acknowledged (RFC 9293 §3.8.4).
    fn probe(&mut self, side: Side) -> Segment {
        let sequence = self.talk(side).sequence().wrapping_sub(1);
        self.bare(side, sequence)
    }

    /// RFC 9293 §3.10.7.1.
    fn disown(&mut self, side: Side) -> Segment {
        let sequence = self.acknowledgment(side.other());
        Segment { is_reset: true, acknowledgment: None, window: 0, ..self.bare(side, sequence) }
    }
}

impl Talk {
    fn new(isn: u32, recv_capacity: u64) -> Self {
        let mut shift = 0;
        // The largest that there is (RFC 7323 §2.3).
        while shift < 14 && recv_capacity >> shift > WINDOW_MAX {
            shift += 1;
        }
        Self {
            isn,
            shift,
            next: 0,
            has_fin: false,
            in_doubt: VecDeque::new(),
            suspected: Vec::new(),
            acked: 0,
            acked_fin: false,
            edge: recv_capacity,
        }
    }

    /// What it sends next has this number.
    fn sequence(&self) -> u32 {
        position(self.isn, self.next + u64::from(self.has_fin))
    }

    /// How far the peer may go, in its units: rounded up, for none is another thing than little.
    fn window(&self) -> u16 {
        let window = self.edge.saturating_sub(self.acked);
        clamped(window.div_ceil(1 << self.shift))
    }

    /// Cuts bytes into pieces, and puts the FIN behind them, unless it is there.
    fn queue(&mut self, bytes: &[u8], has_fin: bool) {
        let piece_bytes = usize::try_from(SEGMENT_BYTES).expect("a segment is small");
        for bytes in bytes.chunks(piece_bytes) {
            self.in_doubt.push_back(Piece {
                begin: self.next,
                bytes: bytes.into(),
                has_fin: false,
            });
            self.next += bytes.len() as u64;
        }
        if !has_fin || self.has_fin {
            return;
        }
        self.has_fin = true;
        match self.in_doubt.back_mut().filter(|_| !bytes.is_empty()) {
            Some(last) => last.has_fin = true,
            None => {
                let (begin, bytes) = (self.next, Arc::default());
                self.in_doubt.push_back(Piece { begin, bytes, has_fin: true });
            }
        }
    }

    /// So much of it was heard of, and its FIN.
    fn settle(&mut self, acked: u64, acked_fin: bool) {
        while let Some(first) = self.in_doubt.front_mut() {
            if first.end() > acked {
                let heard = acked.saturating_sub(first.begin);
                let heard = usize::try_from(heard).expect("a segment is small");
                first.begin += heard as u64;
                first.bytes = first.bytes[heard..].into();
                return;
            }
            if first.has_fin && !acked_fin {
                first.begin = first.end();
                first.bytes = Arc::default();
                return;
            }
            self.in_doubt.pop_front();
        }
    }
}

/// The sequence number of a place in a stream.
fn position(isn: u32, place: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "sequence numbers go round")]
    let low = place as u32;
    isn.wrapping_add(1).wrapping_add(low)
}

fn clamped(window: u64) -> u16 {
    u16::try_from(window.min(WINDOW_MAX)).expect("it is no more than that")
}
