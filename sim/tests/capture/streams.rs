//! The streams of a capture, put together again by sequence numbers, as a reader of the file does it.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use etherparse::{TcpHeader, TcpOptionElement};

use super::file::{Kind, Line};

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// What is there, from the first byte on.
    pub(crate) bytes: Vec<u8>,
    pub(crate) has_fin: bool,
    pub(crate) has_reset: bool,
    /// Segments with bytes, a SYN or a FIN that were there before, or a part of them.
    pub(crate) repeat_count: usize,
    isn: Option<u32>,
    shift: u32,
    /// What the peer has acknowledged.
    acked: u64,
    /// The first place that the peer has not allowed.
    edge: u64,
}

impl Stream {
    /// How many numbers it has used, with SYN and FIN.
    fn used(&self) -> u64 {
        self.bytes.len() as u64 + 1 + u64::from(self.has_fin)
    }
}

type Streams = BTreeMap<(SocketAddr, SocketAddr), Stream>;

/// All streams of a file, by who sent to whom. Asserts for each packet that what it says is possible: it leaves no hole, changes
/// no byte, acknowledges only what was sent, and keeps to the window.
pub(crate) fn streams(lines: &[Line]) -> Streams {
    let mut streams = Streams::new();
    for line in lines {
        let Kind::Tcp(header, payload) = &line.kind else { continue };
        let mut sender = streams.remove(&(line.from, line.to)).unwrap_or_default();
        let receiver = streams.entry((line.to, line.from)).or_default();
        take(&mut sender, receiver, header, payload, line);
        streams.insert((line.from, line.to), sender);
    }
    streams
}

fn take(
    sender: &mut Stream,
    receiver: &mut Stream,
    header: &TcpHeader,
    payload: &[u8],
    line: &Line,
) {
    if header.ack {
        let isn = receiver.isn.expect("somebody sent what is acknowledged");
        let acked = u64::from(header.acknowledgment_number.wrapping_sub(isn));
        assert!(acked <= receiver.used(), "what is acknowledged was sent: {line:?}");
        assert!(acked >= receiver.acked, "what was acknowledged stays so: {line:?}");
        receiver.acked = acked;
        // In a SYN there is no scale yet, and the byte that a window of 64 KiB lacks is there.
        let shift = if header.syn { 0 } else { sender.shift };
        let slack = u64::from(header.syn);
        let window = u64::from(header.window_size) << shift;
        receiver.edge = receiver.edge.max(acked + window + slack);
    }
    sender.has_reset |= header.rst;
    // A host where nobody listens answers a SYN with nothing of its own (RFC 9293 §3.10.7.1).
    if header.rst && header.sequence_number == 0 {
        return;
    }
    if header.syn {
        assert!(sender.isn.is_none_or(|isn| isn == header.sequence_number), "one begin: {line:?}");
        sender.repeat_count += usize::from(sender.isn.is_some());
        sender.isn = Some(header.sequence_number);
        sender.shift = scale(header);
        return;
    }
    let isn = sender.isn.expect("a SYN comes first");
    let place = u64::from(header.sequence_number.wrapping_sub(isn));
    assert!(place <= sender.used(), "no segment is missing: {line:?}");
    if payload.is_empty() && !header.fin {
        return;
    }
    let (begin, end) = (place - 1, place - 1 + payload.len() as u64);
    assert!(end < sender.edge, "the window lets {end} go, up to {}: {line:?}", sender.edge);
    let at = usize::try_from(begin).expect("a stream is in memory");
    let known = sender.bytes.len().saturating_sub(at).min(payload.len());
    assert!(sender.bytes[at..at + known] == payload[..known], "the same bytes: {line:?}");
    assert!(known == payload.len() || !sender.has_fin, "nothing is behind a FIN: {line:?}");
    let is_new = known < payload.len() || header.fin && !sender.has_fin;
    sender.repeat_count += usize::from(known > 0 || !is_new);
    sender.bytes.extend(&payload[known..]);
    if header.fin {
        assert_eq!(end, sender.bytes.len() as u64, "a FIN is behind all bytes: {line:?}");
        sender.has_fin = true;
    }
}

fn scale(header: &TcpHeader) -> u32 {
    let scale = header.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::WindowScale(shift)) => Some(shift),
        _ => None,
    });
    scale.expect("a SYN tells the scale").into()
}
