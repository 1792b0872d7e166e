//! The network without programs: calls of two drivers, and the edges that come of them.

mod budget;
mod disorder;
mod keepalive;
mod manners;
mod pairs;

use core::time::Duration;
use std::cell::RefCell;
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::driver::{
    Address, Driver, Exhausted, Instant, ListenOptions, Ready, Token,
};
use proptest::prelude::*;

use crate::config::WorldConfig;
use crate::driver::SimDriver;
use crate::event::HostId;
use crate::net::Line;
use crate::room::{Room, Step};

/// A server and a client without shards.
struct Bench {
    room: Rc<RefCell<Room>>,
    server: SimDriver,
    client: SimDriver,
}

const LATENCY: Duration = Duration::from_millis(1);

impl Bench {
    fn new(config: WorldConfig) -> Self {
        Self::seeded(1, config)
    }

    fn seeded(seed: u64, config: WorldConfig) -> Self {
        let room = Rc::new(RefCell::new(Room::new(&seed.into(), config, None)));
        let driver = |name: &str| {
            let shard = room.borrow_mut().add_machine(name);
            SimDriver::new(&room, shard, &Arc::default())
        };
        let (server, client) = (driver("server"), driver("client"));
        Self { room, server, client }
    }

    fn calm() -> Self {
        Self::new(WorldConfig::calm())
    }

    /// Lets everything happen that is to come.
    fn settle(&self) {
        self.settle_until(Instant::FAR_FUTURE);
    }

    fn settle_until(&self, until: Instant) {
        let room = &mut *self.room.borrow_mut();
        while let Some(instant) = room.next_instant().filter(|instant| *instant <= until) {
            room.advance_to(instant);
            while matches!(room.step(), Step::Happened) {}
        }
    }

    fn pass(&self, duration: Duration) {
        let until = self.now() + duration;
        self.settle_until(until);
        self.room.borrow_mut().advance_to(until);
    }

    fn now(&self) -> Instant {
        self.room.borrow().now
    }

    fn listen(&self) -> Token {
        let address = "0.0.0.0:80";
        self.server.listen(&at(address), ListenOptions::default()).unwrap()
    }

    fn connect(&self) -> Token {
        self.client.connect(&at("10.0.0.1:80")).unwrap()
    }

    /// A connection: the client's end and the server's.
    fn pair(&self) -> (Token, Token) {
        let listener = self.listen();
        let client = self.connect();
        self.settle();
        self.client.connect_outcome(client).unwrap();
        let (server, _) = self.server.accept(listener).unwrap();
        drain(&self.client);
        drain(&self.server);
        (client, server)
    }
}

fn at(address: &str) -> Address {
    Address::Ip(address.parse().unwrap())
}

fn drain(driver: &SimDriver) -> Vec<(Token, Ready)> {
    let mut events = Vec::new();
    driver.wait(&mut events, None).unwrap();
    events.iter().map(|event| (event.token, event.ready)).collect()
}

fn write(driver: &SimDriver, socket: Token, bytes: &[u8]) -> Result<(usize, bool), ErrorKind> {
    let written = driver.write(socket, &[IoSlice::new(bytes)]);
    written.map(|transfer| (transfer.count, transfer.exhausted)).map_err(|error| error.kind())
}

fn read(driver: &SimDriver, socket: Token, size: usize) -> Result<(Vec<u8>, bool), ErrorKind> {
    let mut buffer = vec![0; size];
    match driver.read(socket, &mut buffer) {
        Ok(transfer) => {
            buffer.truncate(transfer.count);
            Ok((buffer, transfer.exhausted))
        }
        Err(error) => Err(error.kind()),
    }
}

/// A byte that tells where in a stream it is.
fn pattern_at(place: usize) -> u8 {
    u8::try_from(place % 251).expect("below 256")
}

fn bytes(text: &str, exhausted: bool) -> Result<(Vec<u8>, bool), ErrorKind> {
    Ok((text.into(), exhausted))
}

#[test]
fn bytes_take_one_latency() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    assert_eq!(write(&bench.client, client, b"hello"), Ok((5, false)));
    let sent = bench.now();
    bench.settle_until(sent + (LATENCY - Duration::from_nanos(1)));
    assert_eq!(read(&bench.server, server, 9), Err(ErrorKind::WouldBlock));
    bench.settle_until(sent + LATENCY);
    assert_eq!(drain(&bench.server), [(server, Ready::READABLE)]);
    assert_eq!(read(&bench.server, server, 3), bytes("hel", false));
    assert_eq!(read(&bench.server, server, 9), bytes("lo", true));
    assert_eq!(read(&bench.server, server, 9), Err(ErrorKind::WouldBlock));
}

#[test]
fn a_fin_ends_the_stream_and_stays() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    write(&bench.client, client, b"bye").unwrap();
    bench.client.shutdown_write(client).unwrap();
    bench.settle();
    assert_eq!(drain(&bench.server), [(server, Ready::READABLE | Ready::READ_CLOSED)]);
    assert_eq!(read(&bench.server, server, 9), bytes("bye", false));
    assert_eq!(read(&bench.server, server, 9), bytes("", false));
    assert_eq!(read(&bench.server, server, 9), bytes("", false));
    // The other half is still open.
    assert_eq!(write(&bench.client, client, b"x"), Err(ErrorKind::BrokenPipe));
    write(&bench.server, server, b"answer").unwrap();
    bench.settle();
    assert_eq!(read(&bench.client, client, 9), bytes("answer", true));
    bench.server.close(server);
    bench.settle();
    assert_eq!(read(&bench.client, client, 9), bytes("", false));
    bench.client.close(client);
    bench.settle();
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn a_peer_that_never_reads_stops_the_writer() {
    let bench = Bench::new(WorldConfig {
        send_buffer_bytes: 10_000,
        recv_buffer_bytes: 7_000,
        ..WorldConfig::calm()
    });
    let (client, server) = bench.pair();
    let mut total = 0;
    for _ in 0..20 {
        while let Ok((count, _)) = write(&bench.client, client, &[7; 1000]) {
            total += count;
        }
        bench.settle();
    }
    assert_eq!(total, 17_000);
    // The reader opens the window; the writer learns of it two latencies after it was refused, and not before.
    drain(&bench.client);
    assert_eq!(read(&bench.server, server, 7_000).unwrap().0.len(), 7_000);
    assert_eq!(drain(&bench.client), []);
    bench.settle();
    assert_eq!(drain(&bench.client), [(client, Ready::WRITABLE)]);
    assert_eq!(write(&bench.client, client, &[7; 9000]), Ok((7_000, true)));
}

#[test]
fn a_full_write_says_so() {
    let bench = Bench::new(WorldConfig { send_buffer_bytes: 100, ..WorldConfig::calm() });
    let (client, _) = bench.pair();
    assert_eq!(write(&bench.client, client, &[1; 60]), Ok((60, false)));
    assert_eq!(write(&bench.client, client, &[1; 60]), Ok((40, true)));
    assert_eq!(write(&bench.client, client, &[1; 60]), Err(ErrorKind::WouldBlock));
    bench.settle();
    assert_eq!(drain(&bench.client), [(client, Ready::WRITABLE)]);
    assert_eq!(write(&bench.client, client, &[1; 60]), Ok((60, false)));
}

#[test]
fn closing_with_unread_bytes_resets() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    write(&bench.client, client, b"unread").unwrap();
    bench.settle();
    write(&bench.server, server, b"last words").unwrap();
    bench.server.close(server);
    bench.settle();
    let all = Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED | Ready::BROKEN;
    assert_eq!(drain(&bench.client), [(client, all)]);
    // What came before the reset is still read; then the reset, once.
    assert_eq!(read(&bench.client, client, 99), bytes("last words", false));
    assert_eq!(read(&bench.client, client, 99), Err(ErrorKind::ConnectionReset));
    assert_eq!(read(&bench.client, client, 99), bytes("", false));
    assert_eq!(write(&bench.client, client, b"x"), Err(ErrorKind::BrokenPipe));
    assert_eq!(bench.client.shutdown_write(client).unwrap_err().kind(), ErrorKind::NotConnected);
}

#[test]
fn bytes_for_a_closed_socket_are_answered_with_a_reset() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    bench.server.close(server);
    bench.settle();
    // Linux takes the first write: only the answer tells that nobody is there.
    assert_eq!(write(&bench.client, client, b"x"), Ok((1, false)));
    bench.settle();
    // After a FIN the error is EPIPE, and a read goes on saying FIN.
    assert_eq!(read(&bench.client, client, 9), bytes("", false));
    assert_eq!(write(&bench.client, client, b"x"), Err(ErrorKind::BrokenPipe));
    bench.client.close(client);
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn a_write_tells_of_a_reset_once() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    bench.server.abort(server);
    bench.settle();
    assert_eq!(write(&bench.client, client, b"x"), Err(ErrorKind::ConnectionReset));
    assert_eq!(write(&bench.client, client, b"x"), Err(ErrorKind::BrokenPipe));
    assert_eq!(read(&bench.client, client, 9), bytes("", false));
}

#[test]
fn an_abort_drops_what_was_not_sent() {
    let bench = Bench::new(WorldConfig { recv_buffer_bytes: 1000, ..WorldConfig::calm() });
    let (client, server) = bench.pair();
    write(&bench.client, client, &[1; 5000]).unwrap();
    bench.client.abort(client);
    bench.settle();
    assert_eq!(read(&bench.server, server, 9000).unwrap().0.len(), 1000);
    assert_eq!(read(&bench.server, server, 9000), Err(ErrorKind::ConnectionReset));
}

/// Whatever the latencies: what left before the reset is there before the reset.
#[test]
fn a_reset_overtakes_nothing() {
    for seed in 0..100 {
        let faults =
            WorldConfig { short_writes: false, short_reads: false, ..WorldConfig::rough() };
        let bench = Bench::seeded(seed, faults);
        let (client, server) = bench.pair();
        write(&bench.client, client, &[1; 5000]).unwrap();
        bench.pass(Duration::from_micros(10));
        write(&bench.client, client, &[2; 5000]).unwrap();
        bench.client.abort(client);
        bench.settle();
        assert_eq!(read(&bench.server, server, 20_000).unwrap().0.len(), 10_000, "seed {seed}");
        assert_eq!(read(&bench.server, server, 9), Err(ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_close_delivers_what_was_written() {
    let bench = Bench::new(WorldConfig { recv_buffer_bytes: 1000, ..WorldConfig::calm() });
    let (client, server) = bench.pair();
    write(&bench.client, client, &[1; 5000]).unwrap();
    bench.client.close(client);
    let mut total = 0;
    loop {
        bench.settle();
        let (bytes, exhausted) = read(&bench.server, server, 300).unwrap();
        assert!(!exhausted || bytes.len() <= 300);
        total += bytes.len();
        if bytes.is_empty() {
            break;
        }
    }
    assert_eq!(total, 5000);
    bench.server.close(server);
    bench.settle();
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn nobody_listens() {
    let bench = Bench::calm();
    let client = bench.connect();
    assert_eq!(bench.client.connect_outcome(client).unwrap_err().kind(), ErrorKind::WouldBlock);
    bench.settle();
    assert_eq!(bench.now(), Instant::START + 2 * LATENCY);
    assert!(drain(&bench.client)[0].1.contains(Ready::WRITABLE | Ready::BROKEN));
    assert_eq!(
        bench.client.connect_outcome(client).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    bench.client.close(client);
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn nobody_is_there() {
    let bench = Bench::calm();
    let client = bench.client.connect(&at("10.9.9.9:80")).unwrap();
    bench.settle();
    assert_eq!(bench.now(), Instant::START + Duration::from_secs(127));
    assert_eq!(bench.client.connect_outcome(client).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_full_backlog_drops_the_syn_and_the_client_tries_again() {
    let bench = Bench::calm();
    let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
    let listener = bench.server.listen(&at("0.0.0.0:80"), options).unwrap();
    let clients = [bench.connect(), bench.connect(), bench.connect()];
    bench.pass(Duration::from_millis(900));
    let outcome = |client: Token| bench.client.connect_outcome(client).map_err(|e| e.kind());
    assert_eq!(clients.map(outcome), [Ok(()), Ok(()), Err(ErrorKind::WouldBlock)]);
    bench.pass(Duration::from_millis(200));
    assert_eq!(outcome(clients[2]), Err(ErrorKind::WouldBlock));
    bench.server.accept(listener).unwrap();
    bench.settle();
    // The first try again, at 1 s, found the backlog full; the second comes at 3 s.
    assert_eq!(bench.now(), Instant::START + Duration::from_secs(3) + 2 * LATENCY);
    assert_eq!(outcome(clients[2]), Ok(()));
}

#[test]
fn closing_a_listener_resets_its_backlog() {
    let bench = Bench::calm();
    let listener = bench.listen();
    let client = bench.connect();
    bench.settle();
    bench.server.close(listener);
    bench.settle();
    assert_eq!(
        bench.client.connect_outcome(client).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    bench.client.close(client);
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn a_client_that_gives_up_while_it_connects() {
    let bench = Bench::calm();
    let listener = bench.listen();
    let client = bench.connect();
    bench.client.close(client);
    bench.settle();
    drain(&bench.server);
    let (server, _) = bench.server.accept(listener).unwrap();
    // The reset came when nobody owned the socket: its edge comes now.
    assert_eq!(drain(&bench.server)[0].0, server);
    assert_eq!(read(&bench.server, server, 9), Err(ErrorKind::ConnectionReset));
    bench.server.close(server);
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn addresses() {
    let bench = Bench::calm();
    let plain = ListenOptions::default();
    let shared = ListenOptions { reuse_port: true, ..plain };
    let listen = |address: &str, options| {
        bench.server.listen(&at(address), options).map_err(|error| error.kind())
    };
    listen("10.0.0.1:80", plain).unwrap();
    assert_eq!(listen("0.0.0.0:80", plain), Err(ErrorKind::AddrInUse));
    assert_eq!(listen("10.0.0.1:80", shared), Err(ErrorKind::AddrInUse));
    listen("127.0.0.1:80", plain).unwrap();
    assert_eq!(listen("10.0.0.2:80", plain), Err(ErrorKind::AddrNotAvailable));
    let first = listen("0.0.0.0:81", shared).unwrap();
    listen("0.0.0.0:81", shared).unwrap();
    bench.server.close(first);
    listen("0.0.0.0:81", shared).unwrap();
    let any = listen("0.0.0.0:0", plain).unwrap();
    assert_eq!(bench.server.local_addr(any).unwrap().to_string(), "0.0.0.0:32768");
}

#[test]
fn a_host_reaches_itself() {
    let bench = Bench::calm();
    let listener = bench.listen();
    for (to, from) in [("127.0.0.1:80", "127.0.0.1"), ("10.0.0.1:80", "10.0.0.1")] {
        bench.server.connect(&at(to)).unwrap();
        bench.settle();
        let (accepted, peer) = bench.server.accept(listener).unwrap();
        assert_eq!(peer.ip().unwrap().ip().to_string(), from);
        assert_eq!(bench.server.local_addr(accepted).unwrap().to_string(), to);
    }
    assert_eq!(bench.now(), Instant::START + Duration::from_micros(80));
}

#[test]
fn shared_listeners_each_get_some() {
    let bench = Bench::calm();
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let listen = || bench.server.listen(&at("0.0.0.0:80"), shared).unwrap();
    let listeners = [listen(), listen()];
    for _ in 0..40 {
        bench.connect();
    }
    bench.settle();
    let accepted = listeners
        .map(|listener| core::iter::from_fn(|| bench.server.accept(listener).ok()).count());
    assert_eq!(accepted[0] + accepted[1], 40);
    assert!(accepted[0] > 5 && accepted[1] > 5, "{accepted:?}");
}

#[test]
fn a_host_runs_out_of_tokens() {
    let bench = Bench::new(WorldConfig { tokens_max: 2, ..WorldConfig::calm() });
    let listener = bench.listen();
    bench.connect();
    bench.connect();
    assert!(Exhausted::is(&bench.client.connect(&at("10.0.0.1:80")).unwrap_err()));
    bench.settle();
    let (first, _) = bench.server.accept(listener).unwrap();
    assert!(Exhausted::is(&bench.server.accept(listener).unwrap_err()));
    bench.server.close(first);
    bench.server.accept(listener).unwrap();
}

#[test]
#[should_panic(expected = "token #1.0 is not open")]
fn a_stale_token_is_caught() {
    let bench = Bench::calm();
    bench.listen();
    let server = bench.server.connect(&at("127.0.0.1:80")).unwrap();
    bench.server.close(server);
    bench.server.read(server, &mut [0]).ok();
}

#[test]
fn an_edge_never_outlives_its_token() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    write(&bench.client, client, b"x").unwrap();
    bench.settle();
    bench.server.close(server);
    let again = bench.server.connect(&at("10.0.0.1:80")).unwrap();
    assert_eq!(again.index, server.index);
    assert_eq!(drain(&bench.server), []);
}

/// One thing that one of two programs does.
#[derive(Clone, Copy, Debug)]
enum Op {
    Write(bool, usize),
    Read(bool, usize),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (any::<bool>(), 1..5000usize).prop_map(|(side, count)| Op::Write(side, count)),
        (any::<bool>(), 1..5000usize).prop_map(|(side, count)| Op::Read(side, count)),
        (0..30_000u64).prop_map(Op::Pass),
    ]
}

proptest! {
    /// On a rough network: each direction gives what was put in, in order, never more than the buffers hold, and
    /// whoever was told to wait is told when to go on.
    #[test]
    fn streams_are_streams(seed in any::<u64>(), ops in proptest::collection::vec(op(), 0..200)) {
        let config = WorldConfig {
            send_buffer_bytes: 3000,
            recv_buffer_bytes: 2000,
            ..WorldConfig::rough()
        };
        let bench = Bench::seeded(seed, config);
        let (client, server) = bench.pair();
        let ends = [(&bench.client, client), (&bench.server, server)];
        let mut written = [0_usize; 2];
        let mut seen = [0_usize; 2];
        let mut may = [Ready::READABLE | Ready::WRITABLE; 2];
        let pattern = |position: usize| u8::try_from(position % 251).unwrap();
        let take = |side: usize, seen: &mut [usize; 2], size: usize| {
            let read = read(ends[side].0, ends[side].1, size);
            if let Ok((bytes, _)) = &read {
                for byte in bytes {
                    assert_eq!(*byte, pattern(seen[1 - side]));
                    seen[1 - side] += 1;
                }
            }
            match read {
                Ok((_, exhausted)) => exhausted,
                Err(error) => { assert_eq!(error, ErrorKind::WouldBlock); true }
            }
        };
        for op in ops {
            match op {
                Op::Write(side, count) => {
                    let side = usize::from(side);
                    let bytes: Vec<u8> = (written[side]..written[side] + count).map(pattern).collect();
                    let exhausted = match write(ends[side].0, ends[side].1, &bytes) {
                        Ok((count, exhausted)) => { written[side] += count; exhausted }
                        Err(error) => { prop_assert_eq!(error, ErrorKind::WouldBlock); true }
                    };
                    if exhausted { may[side] = may[side].without(Ready::WRITABLE); }
                }
                Op::Read(side, count) => {
                    let side = usize::from(side);
                    if take(side, &mut seen, count) { may[side] = may[side].without(Ready::READABLE); }
                }
                Op::Pass(micros) => bench.pass(Duration::from_micros(micros)),
            }
            for side in 0..2 {
                for (_, ready) in drain(ends[side].0) { may[side] |= ready; }
                prop_assert!(written[side] - seen[side] <= 5000);
            }
        }
        // Only what was announced is read from here on: an edge that was lost would leave bytes behind.
        loop {
            bench.settle();
            for side in 0..2 {
                for (_, ready) in drain(ends[side].0) { may[side] |= ready; }
            }
            let Some(side) = (0..2).find(|side| may[*side].contains(Ready::READABLE)) else { break };
            while !take(side, &mut seen, 700) {}
            may[side] = may[side].without(Ready::READABLE);
        }
        prop_assert_eq!(written, seen);
        for side in 0..2 {
            for (_, ready) in drain(ends[side].0) { may[side] |= ready; }
            prop_assert!(may[side].contains(Ready::WRITABLE), "a writer waits for an edge that never came");
            ends[side].0.close(ends[side].1);
        }
        bench.settle();
        prop_assert!(bench.room.borrow().connections.is_empty());
    }
}

/// What a lossy link loses is sent again: all bytes arrive, in order, both ways, then the FINs.
#[test]
fn what_gets_lost_is_sent_again() {
    for (seed, permille) in (0..60).zip([1, 10, 50, 200, 300].into_iter().cycle()) {
        let bench = Bench::seeded(
            seed,
            WorldConfig { segment_loss_permille: permille, ..WorldConfig::rough() },
        );
        let listener = bench.listen();
        let client = bench.connect();
        bench.settle();
        bench.client.connect_outcome(client).unwrap();
        let (server, _) = bench.server.accept(listener).unwrap();
        let ends = [(&bench.client, client), (&bench.server, server)];
        let sent: Vec<u8> = (0..60_000).map(pattern_at).collect();
        let (mut written, mut received) = ([0, 0], [Vec::new(), Vec::new()]);
        for _ in 0..10_000 {
            for (side, (driver, socket)) in ends.into_iter().enumerate() {
                if written[side] < sent.len() {
                    if let Ok((count, _)) = write(driver, socket, &sent[written[side]..]) {
                        written[side] += count;
                    }
                    if written[side] == sent.len() {
                        driver.shutdown_write(socket).unwrap();
                    }
                }
                while let Ok((bytes, _)) = read(driver, socket, 5_000)
                    && !bytes.is_empty()
                {
                    received[side].extend(bytes);
                }
            }
            if received.iter().all(|bytes| bytes.len() == sent.len()) {
                break;
            }
            bench.settle();
        }
        assert!(received.iter().all(|bytes| *bytes == sent), "seed {seed}");
        bench.settle();
        for (driver, socket) in ends {
            assert_eq!(read(driver, socket, 9), bytes("", false), "seed {seed}");
            driver.close(socket);
        }
        bench.settle();
        assert!(bench.room.borrow().connections.is_empty(), "seed {seed}");
    }
}

impl Bench {
    fn set_cut(&self, from: usize, to: usize, is_cut: bool) {
        let ids = (HostId::new(from), HostId::new(to));
        self.room.borrow_mut().links.entry(ids).or_default().is_cut = is_cut;
    }
}

const SERVER: usize = 0;
const CLIENT: usize = 1;

#[test]
fn a_cut_link_delays_what_is_sent_until_it_heals() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    bench.set_cut(CLIENT, SERVER, true);
    write(&bench.client, client, b"in the dark").unwrap();
    bench.pass(Duration::from_secs(10));
    assert_eq!(read(&bench.server, server, 99), Err(ErrorKind::WouldBlock));
    // The other way is open, but what comes from there is not acknowledged.
    write(&bench.server, server, b"hello").unwrap();
    bench.pass(Duration::from_secs(1));
    assert_eq!(read(&bench.client, client, 99), bytes("hello", true));
    bench.set_cut(CLIENT, SERVER, false);
    // 0.2 s, 0.4 s, …: it was sent again at 6.2 s, and is at 12.6 s.
    bench.pass(Duration::from_millis(1_599));
    assert_eq!(read(&bench.server, server, 99), Err(ErrorKind::WouldBlock));
    bench.pass(Duration::from_millis(2));
    assert_eq!(read(&bench.server, server, 99), bytes("in the dark", true));
}

#[test]
fn a_sender_that_nobody_answers_gives_up_after_a_quarter_of_an_hour() {
    // Its segments get lost, or their acknowledgements: it cannot tell.
    for (from, to) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
        let bench = Bench::calm();
        let (client, server) = bench.pair();
        bench.set_cut(from, to, true);
        write(&bench.client, client, b"hello").unwrap();
        // Linux: tcp_retries2 = 15 is 924.6 s (and the millisecond of the way there).
        bench.pass(Duration::from_millis(924_599));
        assert_eq!(drain(&bench.client), []);
        bench.pass(Duration::from_millis(3));
        let all = Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED | Ready::BROKEN;
        assert_eq!(drain(&bench.client), [(client, all)]);
        assert_eq!(read(&bench.client, client, 9), Err(ErrorKind::TimedOut));
        assert_eq!(write(&bench.client, client, b"x"), Err(ErrorKind::BrokenPipe));
        // The peer knows nothing of it, and is told when it speaks.
        drain(&bench.server);
        bench.set_cut(from, to, false);
        bench.settle();
        assert_eq!(drain(&bench.server), []);
        write(&bench.server, server, b"still there?").unwrap();
        bench.pass(LATENCY * 2);
        assert_eq!(drain(&bench.server), [(server, all)]);
        bench.server.close(server);
        bench.client.close(client);
        bench.settle();
        assert!(bench.room.borrow().connections.is_empty());
    }
}

#[test]
fn nothing_overtakes_what_was_lost_and_the_next_loss_starts_anew() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    for _ in 0..3 {
        bench.set_cut(CLIENT, SERVER, true);
        write(&bench.client, client, b"one ").unwrap();
        bench.set_cut(CLIENT, SERVER, false);
        write(&bench.client, client, b"two").unwrap();
        bench.pass(Duration::from_millis(200));
        assert_eq!(read(&bench.server, server, 99), Err(ErrorKind::WouldBlock));
        bench.pass(LATENCY);
        assert_eq!(read(&bench.server, server, 99), bytes("one two", true));
    }
    // More than three segments behind it tell of a loss at once: one round trip.
    bench.set_cut(CLIENT, SERVER, true);
    write(&bench.client, client, &[7; 10_000]).unwrap();
    bench.set_cut(CLIENT, SERVER, false);
    bench.pass(LATENCY * 3);
    assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 10_000);
}

/// A server with a small receive buffer, and a client that has filled it.
fn full() -> (Bench, Token, Token) {
    let config =
        WorldConfig { send_buffer_bytes: 7_000, recv_buffer_bytes: 7_000, ..WorldConfig::calm() };
    let bench = Bench::new(config);
    let (client, server) = bench.pair();
    write(&bench.client, client, &[7; 7_000]).unwrap();
    bench.settle();
    drain(&bench.client);
    drain(&bench.server);
    (bench, client, server)
}

#[test]
fn acknowledgements_that_get_lost_are_asked_for() {
    let (bench, client, server) = full();
    // The window is shut, the send buffer is full, and a writer waits.
    assert_eq!(write(&bench.client, client, &[7; 7_000]), Ok((7_000, true)));
    bench.set_cut(SERVER, CLIENT, true);
    assert_eq!(read(&bench.server, server, 7_000).unwrap().0.len(), 7_000);
    // First only the answers get lost, then what asks for them, too.
    bench.pass(Duration::from_secs(1));
    bench.set_cut(CLIENT, SERVER, true);
    bench.pass(Duration::from_secs(60));
    assert_eq!(drain(&bench.client), []);
    bench.set_cut(SERVER, CLIENT, false);
    bench.set_cut(CLIENT, SERVER, false);
    bench.settle();
    assert_eq!(drain(&bench.client), [(client, Ready::WRITABLE)]);
    assert_eq!(read(&bench.server, server, 7_000).unwrap().0.len(), 7_000);
    // The next one that gets lost is asked for soon.
    bench.settle();
    assert_eq!(write(&bench.client, client, &[7; 7_000]), Ok((7_000, true)));
    bench.set_cut(SERVER, CLIENT, true);
    bench.pass(Duration::from_millis(100));
    bench.set_cut(SERVER, CLIENT, false);
    bench.pass(Duration::from_millis(110));
    assert_eq!(drain(&bench.client), [(client, Ready::WRITABLE)]);
}

#[test]
fn a_window_whose_news_got_lost_is_asked_for_by_who_has_something_to_send() {
    let (bench, client, server) = full();
    bench.set_cut(SERVER, CLIENT, true);
    assert_eq!(read(&bench.server, server, 7_000).unwrap().0.len(), 7_000);
    bench.set_cut(SERVER, CLIENT, false);
    bench.pass(Duration::from_secs(3600));
    // Nobody asked: nobody had anything to send.
    write(&bench.client, client, b"more").unwrap();
    bench.pass(Duration::from_millis(150));
    assert_eq!(read(&bench.server, server, 99), Err(ErrorKind::WouldBlock));
    bench.settle();
    assert_eq!(read(&bench.server, server, 99), bytes("more", true));
}

#[test]
fn who_waits_for_a_window_learns_that_its_peer_gave_up() {
    let (bench, client, server) = full();
    write(&bench.client, client, b"waits for the window").unwrap();
    bench.set_cut(SERVER, CLIENT, true);
    write(&bench.server, server, b"never acknowledged").unwrap();
    bench.pass(Duration::from_secs(925));
    assert_eq!(drain(&bench.client), []);
    bench.set_cut(SERVER, CLIENT, false);
    bench.settle();
    let all = Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED | Ready::BROKEN;
    assert_eq!(drain(&bench.server), [(server, all)]);
    assert_eq!(drain(&bench.client), [(client, all)]);
}

impl Bench {
    /// The way from the client to the server.
    fn set_line(&self, bytes_per_second: u64, queue_bytes: u64) {
        let ids = (HostId::new(CLIENT), HostId::new(SERVER));
        let line = Line::new(bytes_per_second, queue_bytes);
        self.room.borrow_mut().links.entry(ids).or_default().line = Some(line);
    }
}

#[test]
fn a_line_sends_one_packet_after_the_other() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    // A segment with its headers takes 10 ms.
    bench.set_line(150_000, 1_000_000);
    write(&bench.client, client, &[7; 14_600]).unwrap();
    for _ in 0..10 {
        bench.pass(Duration::from_millis(10) - LATENCY);
        assert_eq!(read(&bench.server, server, 99_999), Err(ErrorKind::WouldBlock));
        bench.pass(LATENCY);
        bench.settle_until(bench.now() + LATENCY);
        assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 1_460);
    }
    // Whoever comes behind waits for what is in line, and the way back is free.
    bench.settle();
    write(&bench.client, client, &[7; 1_460]).unwrap();
    let other = bench.connect();
    bench.pass(Duration::from_millis(10) + LATENCY * 2);
    assert_eq!(bench.client.connect_outcome(other).unwrap_err().kind(), ErrorKind::WouldBlock);
    bench.pass(LATENCY);
    bench.client.connect_outcome(other).unwrap();
}

#[test]
fn what_finds_the_queue_of_a_line_full_is_lost_and_sent_again() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    // One is on its way out, two wait.
    bench.set_line(150_000, 3 * 1_500);
    write(&bench.client, client, &[7; 14_600]).unwrap();
    bench.pass(Duration::from_millis(31));
    assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 3 * 1_460);
    bench.settle();
    assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 7 * 1_460);
    // Datagrams are not sent again.
    let sender = bench.client.bind_datagram("0.0.0.0:0".parse().unwrap()).unwrap();
    let receiver = bench.server.bind_datagram("0.0.0.0:53".parse().unwrap()).unwrap();
    let to = "10.0.0.1:53".parse().unwrap();
    for _ in 0..5 {
        bench.client.send_to(sender, &[7; 1_460], Some(to)).unwrap();
    }
    bench.settle();
    let mut count = 0;
    while bench.server.receive_from(receiver, &mut [0; 2_000]).is_ok() {
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn a_reset_that_gets_lost_is_sent_to_who_speaks_again() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    bench.set_cut(SERVER, CLIENT, true);
    bench.server.abort(server);
    bench.settle();
    bench.set_cut(SERVER, CLIENT, false);
    bench.pass(Duration::from_secs(3600));
    assert_eq!(drain(&bench.client), [], "who says nothing learns nothing");
    write(&bench.client, client, b"hello").unwrap();
    bench.settle();
    assert_eq!(read(&bench.client, client, 9), Err(ErrorKind::ConnectionReset));
    bench.client.close(client);
    bench.settle();
    assert!(bench.room.borrow().connections.is_empty());
}

#[test]
fn a_handshake_over_a_cut_link_is_tried_again() {
    for (from, to) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
        let bench = Bench::calm();
        let listener = bench.listen();
        bench.set_cut(from, to, true);
        let client = bench.connect();
        bench.pass(Duration::from_secs(2));
        bench.set_cut(from, to, false);
        // SYNs leave at 0, 1 and 3 s.
        bench.pass(Duration::from_secs(1));
        assert_eq!(drain(&bench.client), []);
        bench.pass(Duration::from_millis(2));
        bench.client.connect_outcome(client).unwrap();
        bench.server.accept(listener).unwrap();
        assert_eq!(bench.server.accept(listener).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    let bench = Bench::calm();
    bench.set_cut(CLIENT, SERVER, true);
    let client = bench.connect();
    bench.pass(Duration::from_secs(127));
    assert_eq!(bench.client.connect_outcome(client).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_refusal_that_gets_lost_is_given_again() {
    let bench = Bench::calm();
    bench.set_cut(SERVER, CLIENT, true);
    let client = bench.connect();
    bench.pass(Duration::from_millis(500));
    bench.set_cut(SERVER, CLIENT, false);
    bench.settle();
    let outcome = bench.client.connect_outcome(client).unwrap_err().kind();
    assert_eq!(outcome, ErrorKind::ConnectionRefused);
}

/// What one of two ends does on a bad line, or what the line does to it.
#[derive(Clone, Copy, Debug)]
enum Move {
    Write(usize, usize),
    Read(usize, usize),
    Finish(usize),
    Close(usize, bool),
    Cut(usize, bool),
    Pass(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let side = 0..2_usize;
    let step = prop_oneof![
        4 => (side.clone(), 1..40_000_usize).prop_map(|(side, count)| Move::Write(side, count)),
        4 => (side.clone(), 1..40_000_usize).prop_map(|(side, count)| Move::Read(side, count)),
        1 => side.clone().prop_map(Move::Finish),
        1 => (side.clone(), any::<bool>()).prop_map(|(side, abort)| Move::Close(side, abort)),
        2 => (side, any::<bool>()).prop_map(|(from, is_cut)| Move::Cut(from, is_cut)),
        4 => (0..400_000_u64).prop_map(Move::Pass),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever two ends and a bad line do: what is read is the start of what was written, nobody waits for ever for an
    /// event that never comes, and nothing is left of a connection that both have closed.
    #[test]
    fn no_line_is_so_bad_that_bytes_change(seed in any::<u64>(), moves in moves()) {
        let config = WorldConfig { segment_loss_permille: 100, ..WorldConfig::rough() };
        let bench = Bench::seeded(seed, config);
        let listener = bench.listen();
        let client = bench.connect();
        bench.settle();
        bench.client.connect_outcome(client).unwrap();
        let (server, _) = bench.server.accept(listener).unwrap();
        let mut ends = [Some((&bench.server, server)), Some((&bench.client, client))];
        let (mut written, mut read_so_far) = ([0_usize; 2], [0_usize; 2]);
        for step in moves {
            match step {
                Move::Write(side, count) => {
                    let Some((driver, socket)) = ends[side] else { continue };
                    let bytes: Vec<u8> = (written[side]..).take(count).map(pattern_at).collect();
                    if let Ok((count, _)) = write(driver, socket, &bytes) {
                        written[side] += count;
                    }
                }
                Move::Read(side, count) => {
                    let Some((driver, socket)) = ends[side] else { continue };
                    let Ok((bytes, _)) = read(driver, socket, count) else { continue };
                    for byte in bytes {
                        prop_assert!(read_so_far[side] < written[1 - side]);
                        prop_assert_eq!(byte, pattern_at(read_so_far[side]));
                        read_so_far[side] += 1;
                    }
                }
                Move::Finish(side) => {
                    let Some((driver, socket)) = ends[side] else { continue };
                    // It may be gone already.
                    driver.shutdown_write(socket).ok();
                }
                Move::Close(side, is_abort) => {
                    let Some((driver, socket)) = ends[side].take() else { continue };
                    if is_abort { driver.abort(socket) } else { driver.close(socket) }
                }
                Move::Cut(from, is_cut) => bench.set_cut(from, 1 - from, is_cut),
                Move::Pass(micros) => bench.pass(Duration::from_micros(micros * micros / 400)),
            }
        }
        for from in [SERVER, CLIENT] {
            bench.set_cut(from, 1 - from, false);
        }
        bench.settle();
        for (driver, socket) in ends.into_iter().flatten() {
            driver.close(socket);
        }
        bench.settle();
        prop_assert!(bench.room.borrow().connections.is_empty());
    }
}
