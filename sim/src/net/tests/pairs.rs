//! Ports, and `TIME_WAIT`.

use super::*;

/// Three ports to connect from.
fn few_ports() -> Bench {
    Bench::new(WorldConfig { ephemeral_ports: 40_000..=40_002, ..WorldConfig::calm() })
}

impl Bench {
    /// A connection by the first that is accepted at `listener`, which listens on port 80.
    fn pair_at(&self, listener: Token) -> (Token, Token) {
        let client = self.connect();
        self.settle();
        self.client.connect_outcome(client).unwrap();
        (client, self.server.accept(listener).unwrap().0)
    }

    fn port(&self, socket: Token) -> u16 {
        self.client.local_addr(socket).unwrap().ip().unwrap().port()
    }

    /// Pairs in `TIME_WAIT`: of the server, and of the client.
    fn waiting(&self) -> [usize; 2] {
        let room = &mut *self.room.borrow_mut();
        let now = room.now;
        let mut count = |host| room.machine_mut(HostId::new(host)).sockets.pairs.waiting_count(now);
        [count(0), count(1)]
    }
}

const TIME_WAIT: Duration = Duration::from_secs(60);

#[test]
fn who_closes_first_keeps_its_addresses_for_a_minute() {
    let bench = few_ports();
    let listener = bench.listen();
    for port in 40_000..=40_002 {
        let (client, server) = bench.pair_at(listener);
        assert_eq!(bench.port(client), port);
        bench.client.close(client);
        bench.settle();
        bench.server.close(server);
        bench.settle();
    }
    let ended = bench.now();
    assert_eq!(bench.waiting(), [0, 3]);
    let again = || bench.client.connect(&at("10.0.0.1:80"));
    assert_eq!(again().unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    // To another peer the same ports are free, but nobody may listen on them.
    let other = bench.client.connect(&at("10.0.0.1:81")).unwrap();
    let alone = ListenOptions::default();
    let bound = bench.client.listen(&at("0.0.0.0:40001"), alone);
    assert_eq!(bound.unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(bench.client.listen(&at("0.0.0.0:0"), alone).is_err(), "none is free");
    bench.client.close(other);
    let nanosecond = Duration::from_nanos(1);
    bench.pass(TIME_WAIT - 4 * LATENCY - nanosecond - (bench.now() - ended));
    assert_eq!(bench.waiting(), [0, 2], "a connection takes four latencies");
    bench.pass(nanosecond);
    assert_eq!(bench.waiting(), [0, 1]);
    bench.pass(4 * LATENCY - nanosecond);
    assert_eq!(bench.waiting(), [0, 1], "the last has a nanosecond to go");
    bench.pass(nanosecond);
    assert_eq!(bench.waiting(), [0, 0]);
    let (client, _) = bench.pair_at(listener);
    assert_eq!(bench.port(client), 40_001, "they go round: one was had for the other peer");
}

#[test]
fn who_closes_last_leaves_nothing_and_a_syn_cuts_the_wait_of_the_other_short() {
    let bench = few_ports();
    let listener = bench.listen();
    for round in 0..6 {
        let (client, server) = bench.pair_at(listener);
        // From the fourth on, ports come again.
        assert_eq!(bench.port(client), 40_000 + round % 3);
        assert_eq!(bench.waiting(), [usize::from(round.min(2)), 0]);
        bench.server.close(server);
        bench.settle();
        bench.client.close(client);
        bench.settle();
    }
    assert_eq!(bench.waiting(), [3, 0]);
    // The listener may go, and its port is free.
    bench.server.close(listener);
    bench.listen();
}

#[test]
fn both_wait_where_both_close_at_one_time_and_nobody_after_a_reset() {
    let bench = few_ports();
    let listener = bench.listen();
    let (client, server) = bench.pair_at(listener);
    bench.client.shutdown_write(client).unwrap();
    bench.server.shutdown_write(server).unwrap();
    bench.settle();
    assert_eq!(bench.waiting(), [1, 1], "though their programs hold them");
    bench.client.close(client);
    bench.server.close(server);
    assert_eq!(bench.waiting(), [1, 1]);
    let (client, server) = bench.pair_at(listener);
    bench.client.abort(client);
    bench.settle();
    bench.server.close(server);
    assert_eq!(bench.waiting(), [1, 1]);
    // A shutdown that was first stays so, though the close comes last.
    let (client, server) = bench.pair_at(listener);
    bench.client.shutdown_write(client).unwrap();
    bench.settle();
    bench.server.close(server);
    bench.settle();
    bench.client.close(client);
    assert_eq!(bench.waiting(), [1, 2]);
    // A connect that is given up holds no port, and one port is left.
    for _ in 0..3 {
        let client = bench.connect();
        assert_eq!(bench.port(client), 40_001);
        bench.client.close(client);
    }
}

#[test]
fn on_the_way_back_to_oneself_a_second_is_enough() {
    let bench = few_ports();
    let listener = bench.server.listen(&at("127.0.0.1:80"), ListenOptions::default()).unwrap();
    for round in 0..3 {
        let client = bench.server.connect(&at("127.0.0.1:80")).unwrap();
        bench.settle();
        let (server, _) = bench.server.accept(listener).unwrap();
        bench.server.close(client);
        bench.settle();
        bench.server.close(server);
        bench.settle();
        assert_eq!(bench.waiting(), [round + 1, 0]);
    }
    assert!(bench.server.connect(&at("127.0.0.1:80")).is_err());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.waiting(), [0, 0]);
    bench.server.connect(&at("127.0.0.1:80")).unwrap();
}

#[test]
fn a_crash_forgets_who_waits() {
    let bench = few_ports();
    let listener = bench.listen();
    let (client, server) = bench.pair_at(listener);
    bench.client.close(client);
    bench.settle();
    bench.server.close(server);
    bench.settle();
    bench.room.borrow_mut().crash(HostId::new(1));
    assert_eq!(bench.waiting(), [0, 0]);
}

#[test]
fn a_day_of_connections_leaves_no_more_than_a_minute_of_them() {
    let bench = Bench::calm();
    let listener = bench.listen();
    for _ in 0..24 * 360 {
        let (client, server) = bench.pair_at(listener);
        bench.client.close(client);
        bench.settle();
        bench.server.close(server);
        bench.settle();
        bench.pass(Duration::from_secs(10));
        let count = bench.waiting()[1];
        assert!(count <= 6, "{count}");
    }
}
