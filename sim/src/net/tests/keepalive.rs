//! Ends that ask whether their peer is still there.

use mainspring_executor::driver::Keepalive;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Given up 10 + 2 * 3 seconds after the last word.
const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(2), count: 3 };

impl Bench {
    /// A connection whose client asks.
    fn asking(&self) -> (Token, Token) {
        let (client, server) = self.pair();
        self.client.set_keepalive(client, Some(KEEPALIVE)).unwrap();
        (client, server)
    }

    fn is_dead(&self, client: Token) -> bool {
        match read(&self.client, client, 9) {
            Err(ErrorKind::WouldBlock) => false,
            Err(ErrorKind::TimedOut) => true,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_peer_that_is_cut_off_is_found_out_to_the_nanosecond() {
    for (from, to) in [(0, 1), (1, 0)] {
        let bench = Bench::calm();
        let (client, _server) = bench.asking();
        let start = bench.now();
        bench.pass(SECOND * 3);
        bench.set_cut(from, to, true);
        bench.settle_until(start + (SECOND * 16 - Duration::from_nanos(1)));
        assert!(!bench.is_dead(client));
        bench.settle_until(start + SECOND * 16);
        let edges = drain(&bench.client);
        assert!(edges[0].1.contains(Ready::BROKEN), "{edges:?}");
        assert!(bench.is_dead(client));
        assert_eq!(read(&bench.client, client, 9), bytes("", false), "told once");
        assert_eq!(write(&bench.client, client, b"x"), Err(ErrorKind::BrokenPipe));
    }
}

#[test]
fn a_peer_that_says_nothing_but_is_there_is_not_given_up() {
    let bench = Bench::calm();
    let (client, server) = bench.asking();
    let other = bench.client.bind_datagram("0.0.0.0:0".parse().unwrap()).unwrap();
    for _ in 0..1000 {
        // Somebody else has something to do.
        bench.client.send_to(other, b"x", Some("10.0.0.1:9".parse().unwrap())).unwrap();
        bench.pass(SECOND * 7);
        drain(&bench.client);
    }
    assert!(!bench.is_dead(client));
    write(&bench.server, server, b"still here").unwrap();
    bench.settle();
    assert_eq!(read(&bench.client, client, 99), bytes("still here", true));
}

#[test]
fn where_nothing_else_is_to_come_and_all_are_there_nobody_is_waited_for() {
    let bench = Bench::calm();
    let (client, _server) = bench.asking();
    assert_eq!(bench.room.borrow().next_instant(), None, "a deadlock would be found");
    bench.set_cut(1, 0, true);
    assert!(bench.room.borrow().next_instant().is_some());
    bench.settle();
    assert!(bench.is_dead(client));
    assert_eq!(bench.room.borrow().next_instant(), None);
}

#[test]
fn whatever_comes_puts_it_off() {
    let bench = Bench::calm();
    let (client, server) = bench.asking();
    bench.pass(SECOND * 5);
    write(&bench.server, server, b"one").unwrap();
    bench.settle_until(bench.now() + LATENCY);
    let heard = bench.now();
    bench.set_cut(0, 1, true);
    bench.settle_until(heard + (SECOND * 16 - Duration::from_nanos(1)));
    assert_eq!(read(&bench.client, client, 9), bytes("one", true));
    assert!(!bench.is_dead(client));
    bench.settle_until(heard + SECOND * 16);
    assert!(bench.is_dead(client));
    // The acknowledgement of what is written counts, too; and what is not acknowledged has a timer of its own.
    let bench = Bench::calm();
    let (client, _server) = bench.asking();
    bench.pass(SECOND * 5);
    write(&bench.client, client, b"one").unwrap();
    bench.pass(2 * LATENCY);
    let heard = bench.now();
    bench.set_cut(0, 1, true);
    bench.settle_until(heard + (SECOND * 16 - Duration::from_nanos(1)));
    assert!(!bench.is_dead(client));
    bench.settle_until(heard + SECOND * 16);
    assert!(bench.is_dead(client));
    let bench = Bench::calm();
    let (client, _server) = bench.asking();
    bench.set_cut(1, 0, true);
    write(&bench.client, client, b"one").unwrap();
    bench.pass(SECOND * 900);
    assert!(!bench.is_dead(client), "retransmission gives up after 924.6 s");
}

#[test]
fn a_link_that_heals_in_time_was_never_away() {
    let bench = Bench::calm();
    let (client, _server) = bench.asking();
    bench.pass(SECOND);
    bench.set_cut(1, 0, true);
    // Two probes in vain; the third is answered, and the next ten seconds begin.
    bench.pass(SECOND * 12);
    bench.set_cut(1, 0, false);
    bench.pass(SECOND * 2);
    bench.set_cut(1, 0, true);
    let answered = Instant::START + 2 * LATENCY + SECOND * 14 + 2 * LATENCY;
    bench.settle_until(answered + (SECOND * 16 - Duration::from_nanos(1)));
    assert!(!bench.is_dead(client), "each answer is worth as much as the first");
    bench.settle_until(answered + SECOND * 16);
    assert!(bench.is_dead(client));
}

#[test]
fn a_kernel_that_is_off_says_nothing_and_one_that_is_back_resets() {
    let bench = Bench::calm();
    let (client, _server) = bench.asking();
    bench.room.borrow_mut().crash(HostId::new(0));
    bench.pass(SECOND * 16);
    assert!(bench.is_dead(client));
    let bench = Bench::calm();
    let (client, _server) = bench.asking();
    let start = bench.now();
    bench.room.borrow_mut().crash(HostId::new(0));
    bench.room.borrow_mut().restart(HostId::new(0));
    bench.settle_until(start + (SECOND * 10 + 2 * LATENCY - Duration::from_nanos(1)));
    assert_eq!(read(&bench.client, client, 9), Err(ErrorKind::WouldBlock));
    bench.settle_until(start + (SECOND * 10 + 2 * LATENCY));
    assert_eq!(read(&bench.client, client, 9), Err(ErrorKind::ConnectionReset));
}

#[test]
fn who_gives_up_tells_the_peer_where_that_is_possible() {
    let bench = Bench::calm();
    let (client, server) = bench.asking();
    bench.set_cut(0, 1, true);
    bench.settle();
    assert!(bench.is_dead(client));
    assert_eq!(read(&bench.server, server, 9), Err(ErrorKind::ConnectionReset));
}

#[test]
fn it_is_off_until_it_is_set_and_after_it_is_unset_and_ends_with_the_connection() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    let asking = || bench.room.borrow().asking.len();
    assert_eq!(asking(), 0);
    bench.client.set_keepalive(client, Some(KEEPALIVE)).unwrap();
    bench.client.set_keepalive(client, Some(KEEPALIVE)).unwrap();
    bench.server.set_keepalive(server, Some(KEEPALIVE)).unwrap();
    assert_eq!(asking(), 2);
    bench.client.set_keepalive(client, None).unwrap();
    assert_eq!(asking(), 1);
    bench.set_cut(0, 1, true);
    bench.set_cut(1, 0, true);
    bench.pass(SECOND * 100);
    assert!(!bench.is_dead(client), "it did not ask");
    assert_eq!(read(&bench.server, server, 9), Err(ErrorKind::TimedOut));
    assert_eq!(asking(), 0);
    for is_abort in [false, true] {
        let bench = Bench::calm();
        let (client, server) = bench.asking();
        bench.server.set_keepalive(server, Some(KEEPALIVE)).unwrap();
        if is_abort {
            bench.client.abort(client);
        } else {
            bench.client.close(client);
        }
        bench.settle();
        bench.server.close(server);
        bench.settle();
        assert!(bench.room.borrow().asking.is_empty());
        assert!(bench.room.borrow().connections.is_empty(), "nothing keeps it");
    }
}

#[test]
fn who_asked_already_counts_from_the_last_word_and_bad_options_change_nothing() {
    let bench = Bench::calm();
    let (client, _server) = bench.asking();
    let start = bench.now();
    bench.set_cut(0, 1, true);
    bench.pass(SECOND * 9);
    let bad = Keepalive { count: 0, ..KEEPALIVE };
    let error = bench.client.set_keepalive(client, Some(bad)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    bench.client.set_keepalive(client, Some(Keepalive { idle: SECOND * 5, ..KEEPALIVE })).unwrap();
    bench.settle_until(start + (SECOND * 15 - Duration::from_nanos(1)));
    assert!(!bench.is_dead(client));
    bench.settle_until(start + SECOND * 15);
    assert!(bench.is_dead(client), "9 s are more than 5: three probes, beginning at once");
}
