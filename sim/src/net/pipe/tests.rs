//! One direction of a connection by itself.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Write(usize),
    Read(usize),
    Land,
    Ack,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (1..40usize).prop_map(Op::Write),
        (1..40usize).prop_map(Op::Read),
        Just(Op::Land),
        Just(Op::Ack),
    ]
}

fn send_all(pipe: &mut Pipe) {
    while let Some(count) = pipe.sendable() {
        pipe.launch(Instant::START, Instant::START, count);
    }
}

proptest! {
    /// Against a plain list of bytes: what comes out is what went in, in order, and within the bounds.
    #[test]
    fn bytes_are_conserved(
        is_within_a_machine in any::<bool>(),
        ops in proptest::collection::vec(op(), 0..300),
    ) {
        let (send, recv) = (50, 30);
        let mut pipe = match is_within_a_machine {
            true => Pipe::within_a_machine(send),
            false => Pipe::new(send, recv),
        };
        let mut model: VecDeque<u8> = VecDeque::new();
        let mut next = 0_u8;
        for op in ops {
            match op {
                Op::Write(count) => {
                    for _ in 0..count.min(pipe.free()) {
                        pipe.write(&[next]);
                        model.push_back(next);
                        next = next.wrapping_add(1);
                    }
                }
                Op::Read(count) => {
                    let mut buffer = vec![0; count.min(pipe.readable())];
                    pipe.read(&mut buffer);
                    for byte in buffer {
                        prop_assert_eq!(Some(byte), model.pop_front());
                    }
                    if pipe.is_window_news() {
                        pipe.acknowledge(Instant::START);
                    }
                }
                Op::Land if !pipe.flights.is_empty() => {
                    pipe.land();
                    if !is_within_a_machine {
                        pipe.acknowledge(Instant::START);
                    }
                }
                Op::Land => {}
                Op::Ack => pipe.settle(Instant::START),
            }
            send_all(&mut pipe);
            let (most, most_readable) = match is_within_a_machine {
                true => (send, send),
                false => (send + recv, recv),
            };
            prop_assert!(model.len() <= most);
            prop_assert!(pipe.readable() <= most_readable);
        }
        // However it stands, it can be brought to its end: no window stays shut for ever.
        for _ in 0..model.len() + 4 {
            while !pipe.flights.is_empty() {
                pipe.land();
                if !is_within_a_machine {
                    pipe.acknowledge(Instant::START);
                }
            }
            let mut buffer = vec![0; pipe.readable()];
            pipe.read(&mut buffer);
            model.drain(..buffer.len());
            if pipe.is_window_news() {
                pipe.acknowledge(Instant::START);
            }
            pipe.settle(Instant::START);
            send_all(&mut pipe);
        }
        prop_assert!(model.is_empty());
        prop_assert_eq!(pipe.free(), send);
    }
}

#[test]
fn a_window_opens_only_when_it_is_news() {
    let mut pipe = Pipe::new(100, 100);
    pipe.write(&[0; 60]);
    send_all(&mut pipe);
    pipe.land();
    pipe.acknowledge(Instant::START);
    // The sender knows of 40: less than twice that is no news, twice that is.
    pipe.read(&mut [0; 39]);
    assert!(!pipe.is_window_news());
    pipe.read(&mut [0; 1]);
    assert!(pipe.is_window_news());
}

#[test]
fn a_shut_window_opens_by_half_a_buffer_or_a_segment() {
    let mut pipe = Pipe::new(100, 100);
    pipe.write(&[0; 100]);
    send_all(&mut pipe);
    pipe.land();
    pipe.acknowledge(Instant::START);
    pipe.read(&mut [0; 49]);
    assert!(!pipe.is_window_news());
    pipe.read(&mut [0; 1]);
    assert!(pipe.is_window_news());
}

#[test]
fn within_a_machine_the_window_never_shuts_first() {
    let mut pipe = Pipe::within_a_machine(100);
    pipe.write(&[0; 60]);
    send_all(&mut pipe);
    pipe.land();
    pipe.read(&mut [0; 50]);
    assert_eq!((pipe.free(), pipe.sendable()), (40, None));
    pipe.write(&[0; 40]);
    assert_eq!(pipe.sendable(), Some(40), "though nobody said that the first were read");
    assert!(pipe.is_window_news());
    pipe.acknowledge(Instant::START);
    pipe.settle(Instant::START);
    assert_eq!(pipe.free(), 50);
    assert!(!pipe.is_worth_writing(), "a writer is woken when a quarter is left");
}

#[test]
fn the_fin_comes_behind_the_bytes() {
    let mut pipe = Pipe::new(100, 10);
    pipe.write(&[0; 15]);
    pipe.queue_fin();
    send_all(&mut pipe);
    assert_eq!(pipe.land(), Arrival { count: 10, has_fin: false });
    pipe.read(&mut [0; 10]);
    pipe.acknowledge(Instant::START);
    pipe.settle(Instant::START);
    send_all(&mut pipe);
    assert_eq!(pipe.land(), Arrival { count: 5, has_fin: true });
    assert!(pipe.is_fin_arrived());
}

#[test]
fn what_was_dropped_is_under_way_until_it_lands_or_is_forgotten() {
    let sent = || {
        let mut pipe = Pipe::new(100, 100);
        for count in [30, 20] {
            pipe.write(&[7; 30][..count]);
            send_all(&mut pipe);
        }
        assert_eq!(pipe.first_flight(), 30);
        assert_eq!(pipe.land_part(10), Arrival { count: 10, has_fin: false });
        pipe.dropped = Some(Dropped::default());
        assert_eq!(pipe.fall_behind(), 20);
        assert_eq!((pipe.first_flight(), pipe.readable(), pipe.unacknowledged()), (40, 10, 50));
        pipe
    };
    let mut pipe = sent();
    assert_eq!(pipe.land(), Arrival { count: 40, has_fin: false });
    assert!(pipe.dropped.is_none() && pipe.is_landed());
    let mut pipe = sent();
    pipe.forget_dropped();
    assert_eq!((pipe.readable(), pipe.unacknowledged(), pipe.is_landed()), (10, 10, true));
}
