//! Sequence numbers of a connection by itself.

use proptest::prelude::*;

use super::*;

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;

/// The first segment of the client's bytes has this number.
const FIRST: u32 = STRIDE.wrapping_add(1);

fn flow() -> Flow {
    Flow::new(1, [65_535, 65_535])
}

/// The client sends so many bytes, of which those from `begin` on were sent before.
fn send(flow: &mut Flow, begin: u64, count: usize, has_fin: bool) -> Vec<Segment> {
    let sent = Sent { begin, bytes: vec![7; count].into(), has_fin, is_suspected: false };
    flow.happen(CLIENT, &Word::Send(sent))
}

/// The one segment that something makes.
#[track_caller]
fn one(flow: &mut Flow, side: Side, word: &Word) -> Segment {
    let mut segments = flow.happen(side, word);
    assert_eq!(segments.len(), 1);
    segments.remove(0)
}

fn heard(acked: u64, has_fin: bool) -> Heard {
    Heard { acked, has_fin, edge: 70_000 }
}

/// Where each segment begins, counted from the first byte, how long it is, and its flags.
fn shown(segments: &[Segment]) -> Vec<(u32, usize, &'static str)> {
    let shown = |segment: &Segment| {
        let flags = match (segment.is_pushed, segment.is_fin) {
            (false, false) => "",
            (true, false) => "P",
            (false, true) => "F",
            (true, true) => "PF",
        };
        (segment.sequence.wrapping_sub(FIRST), segment.payload.len(), flags)
    };
    segments.iter().map(shown).collect()
}

#[test]
fn a_flight_is_cut_into_segments_and_the_last_one_is_pushed() {
    let mut flow = flow();
    let sent = send(&mut flow, 0, 3_000, false);
    assert_eq!(shown(&sent), [(0, 1460, ""), (1460, 1460, ""), (2920, 80, "P")]);
    let sent = send(&mut flow, 3_000, 1_000, true);
    assert_eq!(shown(&sent), [(3_000, 1_000, "PF")]);
    let next = one(&mut flow, CLIENT, &Word::Acknowledge(heard(0, false), true));
    assert_eq!(next.sequence, FIRST.wrapping_add(4_001), "a FIN counts");
}

#[test]
fn what_got_lost_goes_again_as_it_went_and_the_rest_behind_it() {
    let mut flow = flow();
    assert_eq!(shown(&send(&mut flow, 0, 100, false)), [(0, 100, "P")], "it gets lost");
    assert_eq!(shown(&send(&mut flow, 0, 50, true)), [(0, 100, ""), (100, 50, "PF")]);

    // A FIN that gets lost.
    let mut flow = self::flow();
    send(&mut flow, 0, 10, false);
    assert_eq!(shown(&send(&mut flow, 10, 0, true)), [(10, 0, "F")]);
    assert_eq!(shown(&send(&mut flow, 10, 0, true)), [(10, 0, "F")]);
}

#[test]
fn what_is_heard_of_is_not_sent_again() {
    let mut flow = flow();
    send(&mut flow, 0, 3_000, true);
    let hear = |flow: &mut Flow, acked, has_fin, is_through| {
        flow.happen(SERVER, &Word::Acknowledge(heard(acked, has_fin), is_through));
    };
    hear(&mut flow, 2_000, false, false);
    assert_eq!(shown(&flow.happen(CLIENT, &Word::Again)), [(0, 1460, "P")], "that word got lost");
    hear(&mut flow, 2_000, false, true);
    let again = flow.happen(CLIENT, &Word::AllAgain(3_000));
    assert_eq!(shown(&again), [(2_000, 920, ""), (2_920, 80, "PF")]);
    assert_eq!(shown(&flow.happen(CLIENT, &Word::AllAgain(2_999))), [(2_000, 920, "P")]);
    hear(&mut flow, 3_000, false, true);
    assert_eq!(shown(&flow.happen(CLIENT, &Word::Again)), [(3_000, 0, "F")]);
    hear(&mut flow, 3_000, true, true);
    // Nothing is in doubt: it asks for room.
    assert_eq!(shown(&flow.happen(CLIENT, &Word::Again)), [(3_000, 0, "")]);
    let said = one(&mut flow, SERVER, &Word::Acknowledge(heard(5, false), true));
    assert_eq!(said.acknowledgment, Some(FIRST.wrapping_add(3_001)), "nothing is taken back");
}

#[test]
fn what_is_taken_for_lost_is_sent_again_unless_its_sender_is_silent() {
    for (is_silent, expected) in [(false, vec![(0, 1460, "")]), (true, vec![])] {
        let mut flow = flow();
        let bytes = vec![7; 9_000].into();
        let sent = Sent { begin: 0, bytes, has_fin: false, is_suspected: true };
        flow.happen(CLIENT, &Word::Send(sent));
        flow.happen(SERVER, &Word::Acknowledge(heard(9_000, false), true));
        if is_silent {
            flow.happen(CLIENT, &Word::Reset);
        }
        assert_eq!(shown(&flow.happen(CLIENT, &Word::Suspect(0))), expected);
        assert_eq!(shown(&flow.happen(CLIENT, &Word::Suspect(0))), [], "once");
    }
}

#[test]
fn a_window_is_as_wide_as_the_buffer_whatever_its_size() {
    for (capacity, syn, window, shift) in [
        (1, 1, 1, 0),
        (65_535, 65_535, 65_535, 0),
        (65_536, 65_535, 32_768, 1),
        (1 << 30, 65_535, 65_535, 14),
    ] {
        let mut flow = Flow::new(1, [capacity, 9]);
        let opening = one(&mut flow, CLIENT, &Word::Syn);
        assert_eq!((opening.window, opening.syn), (syn, Some(shift)), "{capacity}");
        let probe = one(&mut flow, CLIENT, &Word::Probe);
        assert_eq!(probe.window, window, "{capacity}");
    }
    // A window that is almost shut is not shut.
    let mut flow = Flow::new(1, [65_536, 9]);
    for (acked, window) in [(65_535, 1), (65_534, 1), (65_533, 2)].into_iter().rev() {
        let heard = Heard { acked, has_fin: false, edge: 65_536 };
        let said = one(&mut flow, CLIENT, &Word::Acknowledge(heard, true));
        assert_eq!(said.window, window, "{acked}");
    }
}

#[test]
fn probes_are_of_what_was_acknowledged_and_resets_of_what_is_next() {
    let mut flow = flow();
    assert_eq!(one(&mut flow, CLIENT, &Word::Syn).acknowledgment, None);
    let refusal = one(&mut flow, SERVER, &Word::Refusal);
    assert_eq!((refusal.sequence, refusal.acknowledgment), (0, Some(FIRST)), "a SYN counts");
    assert_eq!(one(&mut flow, SERVER, &Word::SynAck).acknowledgment, Some(FIRST));
    send(&mut flow, 0, 10, false);
    assert_eq!(one(&mut flow, CLIENT, &Word::Probe).sequence, FIRST.wrapping_add(9));
    let reset = one(&mut flow, CLIENT, &Word::Reset);
    assert!(reset.is_reset && reset.acknowledgment.is_some());
    assert_eq!(reset.sequence, FIRST.wrapping_add(10));
    // A host that has crashed knows no number but the one that it was told.
    flow.happen(SERVER, &Word::Hear(heard(4, false)));
    let disowned = one(&mut flow, CLIENT, &Word::Disown);
    assert_eq!((disowned.sequence, disowned.acknowledgment), (FIRST.wrapping_add(4), None));
}

proptest! {
    /// However it is cut into flights, and however much of it is lost and heard of, all bytes are in segments, each at its place.
    #[test]
    fn segments_hold_each_byte_at_its_place(
        number in 0..100_000usize,
        flights in proptest::collection::vec((1..5_000usize, any::<bool>(), any::<u16>()), 1..40),
    ) {
        let mut flow = Flow::new(number, [1 << 20, 1 << 20]);
        let first = one(&mut flow, CLIENT, &Word::Syn).sequence.wrapping_add(1);
        let (mut sent, mut seen, mut through) = (Vec::<u8>::new(), Vec::<u8>::new(), 0);
        let count = flights.len();
        for (index, (length, is_lost, heard)) in flights.into_iter().enumerate() {
            let is_last = index + 1 == count;
            let is_lost = is_lost && !is_last;
            // Of what gets lost there is one segment, and nothing new is sent for it when it is lost again.
            let length = match is_lost {
                true if through < sent.len() => 0,
                true => length.min(1_460),
                false => length,
            };
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7 + index).to_le_bytes()[0]).collect();
            sent.extend(&bytes);
            let begin = through as u64;
            let bytes = bytes.into();
            let word = Word::Send(Sent { begin, bytes, has_fin: is_last, is_suspected: false });
            for segment in flow.happen(CLIENT, &word) {
                let at = usize::try_from(segment.sequence.wrapping_sub(first)).unwrap();
                prop_assert!(at <= seen.len(), "no hole");
                prop_assert!(segment.payload.len() <= 1_460);
                seen.truncate(at);
                seen.extend(&segment.payload[..]);
                prop_assert_eq!(segment.is_fin, is_last && seen.len() == sent.len());
            }
            prop_assert_eq!(&seen, &sent);
            if !is_lost {
                through = sent.len();
            }
            // Somewhere within what arrived.
            let acked = through as u64 * u64::from(heard) / u64::from(u16::MAX);
            flow.happen(SERVER, &Word::Acknowledge(self::heard(acked, false), true));
        }
    }
}
