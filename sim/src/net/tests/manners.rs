//! Small segments that wait for acknowledgements, and acknowledgements that wait for answers.

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A connection whose client turned `TCP_NODELAY` off.
fn nagling() -> (Bench, Token, Token) {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    bench.client.set_nodelay(client, false).unwrap();
    (bench, client, server)
}

impl Bench {
    /// The client writes a message in pieces; gives after how long the server has it all, which then answers.
    fn ask(&self, client: Token, server: Token, pieces: &[&str]) -> Duration {
        let start = self.now();
        for piece in pieces {
            assert_eq!(write(&self.client, client, piece.as_bytes()), Ok((piece.len(), false)));
        }
        let message = pieces.concat();
        let mut got = String::new();
        while got.len() < message.len() {
            let next = self.room.borrow().next_instant().expect("more is to come");
            self.settle_until(next);
            if let Ok((bytes, _)) = read(&self.server, server, 100_000) {
                got += core::str::from_utf8(&bytes).unwrap();
            }
        }
        assert_eq!(got, message);
        let took = self.now() - start;
        assert_eq!(write(&self.server, server, b"answer"), Ok((6, false)));
        self.pass(LATENCY);
        assert_eq!(read(&self.client, client, 99), bytes("answer", true));
        took
    }
}

#[test]
fn who_writes_twice_and_reads_waits_for_forty_milliseconds() {
    let (bench, client, server) = nagling();
    // The first message is acknowledged quickly: there, back, there.
    assert_eq!(bench.ask(client, server, &["head", "body"]), 3 * LATENCY);
    // Then it is a talk, in which acknowledgements go with the answers.
    for _ in 0..5 {
        assert_eq!(bench.ask(client, server, &["head", "body"]), 3 * LATENCY + 40 * MILLISECOND);
    }
    // In one piece nothing waits, nor where all pieces are full or the last one alone is small.
    let full = "x".repeat(1460);
    assert_eq!(bench.ask(client, server, &["all of it"]), LATENCY);
    assert_eq!(bench.ask(client, server, &[&full, "tail"]), LATENCY);
    assert_eq!(bench.ask(client, server, &[&full, &full]), LATENCY);
    // More than a segment is acknowledged at once.
    assert_eq!(bench.ask(client, server, &["small", &full, "tail"]), 3 * LATENCY);
}

#[test]
fn without_it_nothing_waits_and_turning_it_off_lets_go_what_does() {
    let (bench, client, server) = nagling();
    bench.ask(client, server, &["first"]);
    let start = bench.now();
    write(&bench.client, client, b"head").unwrap();
    write(&bench.client, client, b"body").unwrap();
    bench.pass(10 * MILLISECOND);
    assert_eq!(read(&bench.server, server, 99), bytes("head", true));
    bench.client.set_nodelay(client, true).unwrap();
    bench.pass(LATENCY);
    assert_eq!(read(&bench.server, server, 99), bytes("body", true));
    assert_eq!(bench.now() - start, 11 * MILLISECOND);
    bench.pass(40 * MILLISECOND);
    for _ in 0..3 {
        assert_eq!(bench.ask(client, server, &["head", "body"]), LATENCY);
    }
}

#[test]
fn a_fin_does_not_wait_nor_what_is_before_it() {
    let (bench, client, server) = nagling();
    bench.ask(client, server, &["first"]);
    for word in ["one ", "two ", "three"] {
        write(&bench.client, client, word.as_bytes()).unwrap();
    }
    bench.client.shutdown_write(client).unwrap();
    bench.pass(LATENCY);
    assert_eq!(read(&bench.server, server, 99), bytes("one two three", false));
    assert_eq!(read(&bench.server, server, 99), bytes("", false));
    bench.client.close(client);
    bench.server.close(server);
    bench.settle();
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn who_only_reads_acknowledges_when_he_has_read() {
    let (bench, client, server) = nagling();
    // Sixteen at once, then as the program reads: a stream of small writes goes at one a round trip.
    for _ in 0..40 {
        write(&bench.client, client, b"head").unwrap();
        write(&bench.client, client, b"body").unwrap();
        bench.pass(LATENCY);
        assert_eq!(read(&bench.server, server, 99), bytes("head", true));
        bench.pass(2 * LATENCY);
        assert_eq!(read(&bench.server, server, 99), bytes("body", true));
        bench.pass(2 * LATENCY);
    }
    // Where nobody reads, and the quick ones are spent, the delay is the limit.
    write(&bench.client, client, b"head").unwrap();
    write(&bench.client, client, b"body").unwrap();
    bench.pass(LATENCY * 42);
    assert_eq!(read(&bench.server, server, 99), bytes("head", true));
    bench.pass(LATENCY);
    assert_eq!(read(&bench.server, server, 99), bytes("body", true));
}

#[test]
fn an_answer_carries_the_acknowledgement() {
    let (bench, client, server) = nagling();
    bench.ask(client, server, &["first"]);
    write(&bench.client, client, b"head").unwrap();
    write(&bench.client, client, b"body").unwrap();
    bench.pass(10 * MILLISECOND);
    write(&bench.server, server, b"100 Continue").unwrap();
    bench.pass(2 * LATENCY);
    assert_eq!(read(&bench.server, server, 99), bytes("headbody", true));
}

#[test]
fn nothing_hangs_where_the_receiver_crashes_or_packets_get_lost() {
    let (bench, client, _server) = nagling();
    write(&bench.client, client, b"head").unwrap();
    write(&bench.client, client, b"body").unwrap();
    bench.room.borrow_mut().crash(HostId::new(0));
    bench.settle();
    assert_eq!(read(&bench.client, client, 9), Err(ErrorKind::TimedOut));
    for seed in 0..50 {
        let config = WorldConfig { segment_loss_permille: 300, ..WorldConfig::rough() };
        let bench = Bench::seeded(seed, config);
        let (client, server) = bench.pair();
        bench.client.set_nodelay(client, false).unwrap();
        let mut got = Vec::new();
        for _ in 0..30 {
            while write(&bench.client, client, b"x").is_err() {}
            bench.pass(10 * MILLISECOND);
            while let Ok((bytes, _)) = read(&bench.server, server, 99) {
                got.extend(bytes);
            }
        }
        bench.settle();
        while let Ok((bytes, _)) = read(&bench.server, server, 99) {
            got.extend(bytes);
        }
        assert_eq!(got.len(), 30, "seed {seed}");
    }
}
