//! Hosts whose memory for socket buffers runs out.

use super::*;

const SERVER: usize = 0;
const CLIENT: usize = 1;

/// `ENOBUFS`, which is no `io::ErrorKind`.
const ENOBUFS: Option<i32> = Some(105);

impl Bench {
    fn set_memory(&self, host: usize, bytes: Option<usize>) {
        self.room.borrow_mut().set_socket_memory(HostId::new(host), bytes);
    }

    /// What is counted, which must be what there is.
    #[track_caller]
    fn used(&self, host: usize) -> u64 {
        let (counted, there) = self.room.borrow().used_bytes(HostId::new(host));
        assert_eq!(counted, there, "what is counted and what there is");
        counted
    }

    /// One more connection to the listener.
    fn another(&self, listener: Token) -> (Token, Token) {
        let client = self.connect();
        self.settle();
        let (server, _) = self.server.accept(listener).unwrap();
        drain(&self.client);
        drain(&self.server);
        (client, server)
    }
}

#[test]
fn a_write_takes_what_memory_is_left() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    bench.set_memory(CLIENT, Some(10_000));
    assert_eq!(write(&bench.client, client, &[1; 20_000]), Ok((10_000, true)));
    assert_eq!(bench.used(CLIENT), 10_000);
    assert_eq!(write(&bench.client, client, &[1]), Err(ErrorKind::WouldBlock));
    bench.settle();
    assert_eq!(drain(&bench.client), [(client, Ready::WRITABLE)]);
    assert_eq!(bench.used(CLIENT), 0, "all is acknowledged, and nobody had to ask");
    assert_eq!(bench.used(SERVER), 0, "where there is no bound nothing is counted");
    assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 10_000);
}

/// Also those that were there, or under way, before there was a bound.
#[test]
fn acknowledgements_give_memory_back_where_nobody_waits() {
    for unbounded in [0, 1, 1_000].map(Duration::from_millis) {
        let bench = Bench::calm();
        let (client, _) = bench.pair();
        bench.set_memory(CLIENT, Some(10_000).filter(|_| unbounded.is_zero()));
        assert_eq!(write(&bench.client, client, &[1; 5_000]), Ok((5_000, false)));
        bench.pass(unbounded);
        bench.set_memory(CLIENT, Some(10_000));
        let is_there = unbounded >= Duration::from_secs(1);
        assert_eq!(bench.used(CLIENT), if is_there { 0 } else { 5_000 });
        bench.settle();
        assert_eq!(bench.used(CLIENT), 0);
    }
}

#[test]
fn who_is_done_with_a_connection_has_no_memory_of_it() {
    // By a reset of its own, while its bytes are under way.
    let bench = Bench::calm();
    let listener = bench.listen();
    let (client, server) = bench.another(listener);
    bench.set_memory(CLIENT, Some(10_000));
    write(&bench.client, client, &[1; 5_000]).unwrap();
    bench.client.abort(client);
    assert_eq!(bench.used(CLIENT), 0);
    bench.server.close(server);
    // By one of the peer, whom its bytes do not reach, when it hears of that.
    let (client, server) = bench.another(listener);
    bench.set_cut(CLIENT, SERVER, true);
    write(&bench.client, client, &[1; 5_000]).unwrap();
    bench.server.abort(server);
    assert_eq!(bench.used(CLIENT), 5_000);
    bench.pass(LATENCY);
    assert_eq!(drain(&bench.client).len(), 1);
    assert_eq!(bench.used(CLIENT), 0);
    bench.set_cut(CLIENT, SERVER, false);
    // By a close when both have said that they are done, though it has not read all.
    let (client, server) = bench.another(listener);
    bench.set_memory(SERVER, Some(10_000));
    write(&bench.client, client, &[1; 5_000]).unwrap();
    bench.client.shutdown_write(client).unwrap();
    bench.server.shutdown_write(server).unwrap();
    bench.settle();
    assert_eq!(bench.used(SERVER), 5_000);
    bench.server.close(server);
    assert_eq!(bench.used(SERVER), 0);
}

#[test]
fn each_socket_may_write_a_little_all_the_same() {
    let bench = Bench::calm();
    let (client, _) = bench.pair();
    bench.set_memory(CLIENT, Some(0));
    assert_eq!(write(&bench.client, client, &[1; 9_000]), Ok((4_096, true)));
    assert_eq!(write(&bench.client, client, &[1; 9_000]), Err(ErrorKind::WouldBlock));
    bench.settle();
    assert_eq!(drain(&bench.client), [(client, Ready::WRITABLE)]);
    assert_eq!(write(&bench.client, client, &[1; 9_000]), Ok((4_096, true)));
}

/// It is told though nothing of its own has got anywhere.
#[test]
fn who_waits_for_memory_is_told_when_another_gives_it_back() {
    for is_raised in [false, true] {
        let bench = Bench::calm();
        let listener = bench.listen();
        let ((one, _), (other, _)) = (bench.another(listener), bench.another(listener));
        bench.set_memory(CLIENT, Some(10_000));
        bench.set_cut(CLIENT, SERVER, true);
        assert_eq!(write(&bench.client, one, &[1; 10_000]), Ok((10_000, true)));
        assert_eq!(write(&bench.client, other, &[1; 9_000]), Ok((4_096, true)));
        bench.pass(Duration::from_secs(1));
        assert_eq!(drain(&bench.client), []);
        if is_raised {
            bench.set_memory(CLIENT, Some(15_000));
            assert_eq!(drain(&bench.client), [], "a little more than there is does not count");
            bench.set_memory(CLIENT, Some(20_000));
            let both = [(one, Ready::WRITABLE), (other, Ready::WRITABLE)];
            assert_eq!(drain(&bench.client), both, "each, for neither could have had more");
        } else {
            bench.client.abort(one);
            assert_eq!(drain(&bench.client), [(other, Ready::WRITABLE)]);
            bench.set_cut(CLIENT, SERVER, false);
            bench.settle();
            assert_eq!(drain(&bench.client), [], "it is told once");
        }
        assert!(write(&bench.client, other, &[1; 4_904]).unwrap().0 > 0);
        bench.used(CLIENT);
    }
}

/// Reads what comes within so many seconds.
fn read_for(bench: &Bench, socket: Token, seconds: u32) -> Vec<usize> {
    let mut received = Vec::new();
    let mut place = 0;
    for _ in 0..seconds * 20 {
        if let Ok((bytes, _)) = read(&bench.server, socket, 99_999) {
            assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == pattern_at(place + n)));
            place += bytes.len();
            received.push(bytes.len());
        }
        bench.used(SERVER);
        bench.pass(Duration::from_millis(50));
    }
    received
}

#[test]
fn segments_without_memory_are_late_and_not_lost() {
    // Where there is memory for six segments, and where a socket has what each may have. With a FIN that is dropped as well, and
    // with one that comes behind what was dropped.
    for (memory, segments, is_fin_behind) in [(10_000, 6, false), (0, 3, true)] {
        let bench = Bench::new(WorldConfig { record: true, ..WorldConfig::calm() });
        let (client, server) = bench.pair();
        bench.set_memory(SERVER, Some(memory));
        let sent: Vec<u8> = (0..30_000).map(pattern_at).collect();
        write(&bench.client, client, &sent).unwrap();
        if is_fin_behind {
            bench.pass(Duration::from_millis(50));
        }
        bench.client.shutdown_write(client).unwrap();
        bench.pass(Duration::from_millis(100));
        assert_eq!(bench.used(SERVER), segments * 1460);
        let started = bench.now();
        let received = read_for(&bench, server, 10);
        assert_eq!(received.iter().sum::<usize>(), sent.len());
        assert_eq!(received.first().copied(), Some(usize::try_from(segments).unwrap() * 1460));
        assert_eq!(received.last(), Some(&0), "the FIN comes as well");
        assert!(bench.now() - started < Duration::from_secs(11));
        let dropped = bench.room.borrow().trace_lines(9_999);
        assert!(dropped.iter().any(|line| line.contains("segments dropped")), "{dropped:?}");
        assert_eq!(bench.used(SERVER), 0);
    }
}

/// The reader says that he has no room, so the sender waits for him, and not for nobody.
#[test]
fn a_sender_without_an_answer_gives_up_and_one_with_an_answer_does_not() {
    for is_cut in [false, true] {
        let bench = Bench::calm();
        let (client, server) = bench.pair();
        bench.set_memory(SERVER, Some(0));
        write(&bench.client, client, &[7; 30_000]).unwrap();
        bench.pass(Duration::from_secs(1));
        bench.set_cut(CLIENT, SERVER, is_cut);
        bench.pass(Duration::from_secs(3_600));
        let (_, ready) = drain(&bench.client).pop().unwrap_or((client, Ready::NONE));
        assert_eq!(ready.contains(Ready::BROKEN), is_cut);
        assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 3 * 1460);
        bench.pass(Duration::from_secs(121));
        let more = read(&bench.server, server, 99_999);
        assert_eq!(more.is_ok(), !is_cut, "{more:?}");
    }
}

/// Those of different times do not add up.
#[test]
fn a_sender_that_has_an_answer_now_and_then_does_not_give_up() {
    let bench = Bench::calm();
    let (client, server) = bench.pair();
    bench.set_memory(SERVER, Some(0));
    write(&bench.client, client, &[7; 30_000]).unwrap();
    bench.pass(Duration::from_secs(1_000));
    for _ in 0..10 {
        bench.set_cut(CLIENT, SERVER, true);
        bench.pass(Duration::from_secs(500));
        bench.set_cut(CLIENT, SERVER, false);
        bench.pass(Duration::from_secs(121));
    }
    assert_eq!(drain(&bench.client), []);
    assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 3 * 1460);
    bench.pass(Duration::from_secs(121));
    assert!(read(&bench.server, server, 99_999).is_ok());
}

/// After 200 ms, 400 ms, and so on up to two minutes.
#[test]
fn what_was_dropped_is_sent_again_ever_more_seldom() {
    let bench = Bench::new(WorldConfig { record: true, ..WorldConfig::calm() });
    let (client, _) = bench.pair();
    bench.set_memory(SERVER, Some(0));
    write(&bench.client, client, &[7; 30_000]).unwrap();
    let is_dropped = |line: &String| line.contains("segments dropped");
    for (seconds, count) in [(1, 3), (12, 6), (102, 9), (360, 12)] {
        bench.pass(Duration::from_secs(seconds) - (bench.now() - Instant::START));
        let lines = bench.room.borrow().trace_lines(9_999);
        assert_eq!(lines.into_iter().filter(is_dropped).count(), count, "after {seconds} s");
    }
}

/// The segments are answered with a reset, all of them.
#[test]
fn nothing_is_dropped_where_nobody_reads() {
    let bench = Bench::new(WorldConfig { record: true, ..WorldConfig::calm() });
    let (client, server) = bench.pair();
    bench.set_memory(SERVER, Some(0));
    write(&bench.client, client, &[7; 30_000]).unwrap();
    bench.server.close(server);
    bench.settle();
    assert!(drain(&bench.client)[0].1.contains(Ready::BROKEN));
    let lines = bench.room.borrow().trace_lines(9_999);
    assert!(!lines.iter().any(|line| line.contains("segments dropped")), "{lines:?}");
}

/// What was dropped is not sent again by who has reset the connection, or by whose machine is gone.
#[test]
fn what_was_dropped_may_never_come() {
    for is_crash in [false, true] {
        let bench = Bench::calm();
        let (client, server) = bench.pair();
        bench.set_memory(SERVER, Some(0));
        write(&bench.client, client, &[7; 30_000]).unwrap();
        bench.pass(Duration::from_millis(100));
        if is_crash {
            bench.room.borrow_mut().crash(HostId::new(CLIENT));
        } else {
            bench.client.abort(client);
        }
        bench.settle();
        assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), 3 * 1460);
        let expected = if is_crash { ErrorKind::WouldBlock } else { ErrorKind::ConnectionReset };
        assert_eq!(read(&bench.server, server, 9), Err(expected));
        bench.server.close(server);
        bench.settle();
        assert_eq!(bench.used(SERVER), 0);
    }
}

#[test]
fn sockets_are_not_to_be_had_without_memory() {
    let bench = Bench::calm();
    let listener = bench.listen();
    bench.connect();
    bench.settle();
    bench.set_memory(SERVER, Some(0));
    let server = &bench.server;
    let to = at("10.0.0.2:80");
    let errors = [
        server.accept(listener).map(|_| ()),
        server.connect(&to).map(drop),
        server.listen(&at("0.0.0.0:81"), ListenOptions::default()).map(drop),
        server.bind_datagram("0.0.0.0:53".parse().unwrap()).map(drop),
    ];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!(error.raw_os_error(), ENOBUFS);
        assert!(Exhausted::is(&error));
    }
    server.stream_pair().expect("Unix sockets are not concerned");
    let path = Address::Unix("/socket".into());
    let unix = server.listen(&path, ListenOptions::default()).expect("nor are their listeners");
    server.connect(&path).expect("the backlog is empty");
    server.accept(unix).expect("one waits");
    bench.set_memory(SERVER, Some(1));
    server.accept(listener).expect("it waits to be accepted still");
    server.listen(&at("0.0.0.0:81"), ListenOptions::default()).expect("the port is free");
}

#[test]
fn datagrams_without_memory_are_dropped_or_refused() {
    // Each takes 512 bytes more than it has, and is taken as a whole where a socket has less than 4,096.
    let bench = Bench::calm();
    let address = "0.0.0.0:53".parse().unwrap();
    let (from, to) = (
        bench.client.bind_datagram(address).unwrap(),
        bench.server.bind_datagram(address).unwrap(),
    );
    let peer = Some("10.0.0.1:53".parse().unwrap());
    let send = |count| (0..count).map(|_| bench.client.send_to(from, &[7; 1_488], peer));
    let receive = || core::iter::from_fn(|| bench.server.receive_from(to, &mut [0; 2_000]).ok());
    bench.set_memory(SERVER, Some(10_000));
    assert!(send(20).all(|sent| sent.is_ok()));
    bench.settle();
    assert_eq!(bench.used(SERVER), 10_000);
    assert_eq!(receive().count(), 5);
    bench.set_memory(SERVER, Some(0));
    assert!(send(20).all(|sent| sent.is_ok()));
    bench.settle();
    assert_eq!(bench.used(SERVER), 6_000);
    assert_eq!(receive().count(), 3);
    assert_eq!(bench.used(SERVER), 0);

    bench.set_memory(CLIENT, Some(10_000));
    let results: Vec<_> = send(7).collect();
    assert!(results[..5].iter().all(Result::is_ok));
    assert!(
        results[5..]
            .iter()
            .all(|result| { result.as_ref().is_err_and(|error| error.raw_os_error() == ENOBUFS) })
    );
    assert_eq!(bench.used(CLIENT), 10_000);
    bench.client.close(from);
    assert_eq!(bench.used(CLIENT), 0, "though they are under way");
    bench.server.close(to);
    assert_eq!(bench.used(SERVER), 0);
}

/// Whatever is written into a Unix socket.
#[test]
fn unix_sockets_are_not_counted() {
    let bench = Bench::calm();
    bench.set_memory(SERVER, Some(0));
    let (one, other) = bench.server.stream_pair().unwrap();
    assert_eq!(write(&bench.server, one, &[1; 20_000]).unwrap().0, 20_000);
    bench.settle();
    assert_eq!(bench.used(SERVER), 0);
    assert_eq!(read(&bench.server, other, 99_999).unwrap().0.len(), 20_000);
}

/// One thing that happens to one of several connections.
#[derive(Clone, Copy, Debug)]
enum Act {
    Write(usize, usize),
    Read(usize, usize),
    Datagram(usize),
    Receive(usize),
    Shutdown(usize),
    Close(usize, bool),
    Pass(u64),
    Memory(usize, Option<usize>),
    Cut(usize, bool),
    Crash(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let end = 0..6_usize;
    prop_oneof![
        8 => (end.clone(), 1..20_000usize).prop_map(|(end, count)| Act::Write(end, count)),
        6 => (end.clone(), 1..20_000usize).prop_map(|(end, count)| Act::Read(end, count)),
        2 => (0..2usize).prop_map(Act::Datagram),
        1 => (0..2usize).prop_map(Act::Receive),
        1 => end.clone().prop_map(Act::Shutdown),
        1 => (end, any::<bool>()).prop_map(|(end, is_abort)| Act::Close(end, is_abort)),
        8 => (0..400_000u64).prop_map(Act::Pass),
        1 => (0..2usize, proptest::option::of(0..40_000usize))
            .prop_map(|(host, bytes)| Act::Memory(host, bytes)),
        1 => (0..2usize, any::<bool>()).prop_map(|(from, is_cut)| Act::Cut(from, is_cut)),
        1 => (0..20usize).prop_map(Act::Crash),
    ]
}

proptest! {
    /// Whatever happens: what is counted is what there is, and in the end nothing.
    #[test]
    fn what_is_counted_is_what_there_is(
        seed in any::<u64>(),
        acts in proptest::collection::vec(act(), 0..150),
    ) {
        let config = WorldConfig {
            socket_memory_bytes: Some(20_000),
            segment_loss_permille: 20,
            segment_duplication_permille: 20,
            segment_reordering_permille: 20,
            ..WorldConfig::rough()
        };
        let bench = Bench::seeded(seed, config);
        let listener = bench.listen();
        let drivers = [&bench.server, &bench.client];
        // The ends of three connections: those of one connection lie side by side. Its own sockets have closed ends as well.
        let mut ends: Vec<_> = (0..3).flat_map(|_| {
            let (client, server) = bench.another(listener);
            [(SERVER, Some(server)), (CLIENT, Some(client))]
        }).collect();
        let address = "0.0.0.0:53".parse().unwrap();
        let mut mailboxes = drivers.map(|driver| Some(driver.bind_datagram(address).unwrap()));
        let mut is_up = [true; 2];
        for act in acts {
            match act {
                Act::Write(end, count) => if let (host, Some(socket)) = ends[end] {
                    // It may be closed by the peer, or full.
                    let _ = write(drivers[host], socket, &vec![7; count]);
                },
                Act::Read(end, count) => if let (host, Some(socket)) = ends[end] {
                    let _ = read(drivers[host], socket, count);
                },
                Act::Datagram(host) => if let Some(socket) = mailboxes[host] {
                    let peer = ["10.0.0.2:53", "10.0.0.1:53"][host].parse().unwrap();
                    let _ = drivers[host].send_to(socket, &[7; 700], Some(peer));
                },
                Act::Receive(host) => if let Some(socket) = mailboxes[host] {
                    let _ = drivers[host].receive_from(socket, &mut [0; 999]);
                },
                Act::Shutdown(end) => if let (host, Some(socket)) = ends[end] {
                    let _ = drivers[host].shutdown_write(socket);
                },
                Act::Close(end, is_abort) => if let (host, Some(socket)) = ends[end] {
                    ends[end].1 = None;
                    if is_abort { drivers[host].abort(socket) } else { drivers[host].close(socket) }
                },
                Act::Pass(micros) => bench.pass(Duration::from_micros(micros)),
                Act::Memory(host, bytes) => bench.set_memory(host, bytes),
                Act::Cut(from, is_cut) => bench.set_cut(from, 1 - from, is_cut),
                Act::Crash(host) => if host < 2 && is_up[host] {
                    bench.room.borrow_mut().crash(HostId::new(host));
                    is_up[host] = false;
                    mailboxes[host] = None;
                    for end in &mut ends {
                        if end.0 == host { end.1 = None; }
                    }
                    prop_assert_eq!(bench.used(host), 0);
                },
            }
            for host in [SERVER, CLIENT] { bench.used(host); }
        }
        for host in [SERVER, CLIENT] {
            bench.set_cut(host, 1 - host, false);
            if let Some(socket) = mailboxes[host] { drivers[host].close(socket); }
        }
        for (host, socket) in ends {
            if let Some(socket) = socket { drivers[host].close(socket); }
        }
        bench.settle();
        for host in [SERVER, CLIENT] { prop_assert_eq!(bench.used(host), 0); }
    }

    /// Though there is hardly any memory: all that is written arrives, in order, when it is read, and whoever was told to wait is
    /// told when to go on.
    #[test]
    fn all_arrives_with_hardly_any_memory(
        seed in any::<u64>(),
        memory in proptest::array::uniform2(0..20_000usize),
    ) {
        let config = WorldConfig { segment_loss_permille: 10, ..WorldConfig::rough() };
        let bench = Bench::seeded(seed, config);
        let (client, server) = bench.pair();
        let ends = [(&bench.server, server), (&bench.client, client)];
        for host in [SERVER, CLIENT] { bench.set_memory(host, Some(memory[host])); }
        let sent: Vec<u8> = (0..60_000).map(pattern_at).collect();
        let (mut written, mut received) = ([0; 2], [Vec::new(), Vec::new()]);
        let mut may = [Ready::READABLE | Ready::WRITABLE; 2];
        let end = bench.now() + Duration::from_secs(36_000);
        while received.iter().any(|bytes: &Vec<u8>| bytes.len() < sent.len()) {
            prop_assert!(bench.now() < end, "{written:?} are written");
            for side in 0..2 {
                let (driver, socket) = ends[side];
                for (_, ready) in drain(driver) { may[side] |= ready; }
                while may[side].contains(Ready::WRITABLE) && written[side] < sent.len() {
                    let exhausted = match write(driver, socket, &sent[written[side]..]) {
                        Ok((count, exhausted)) => { written[side] += count; exhausted }
                        Err(error) => { prop_assert_eq!(error, ErrorKind::WouldBlock); true }
                    };
                    if exhausted { may[side] = may[side].without(Ready::WRITABLE); }
                }
                while may[side].contains(Ready::READABLE) {
                    let exhausted = match read(driver, socket, 3_000) {
                        Ok((bytes, exhausted)) => { received[side].extend(bytes); exhausted }
                        Err(error) => { prop_assert_eq!(error, ErrorKind::WouldBlock); true }
                    };
                    if exhausted { may[side] = may[side].without(Ready::READABLE); }
                }
                bench.used(side);
            }
            bench.pass(Duration::from_millis(200));
        }
        prop_assert!(received.iter().all(|bytes| *bytes == sent));
        for (driver, socket) in ends { driver.close(socket); }
        bench.settle();
        prop_assert!(bench.room.borrow().connections.is_empty());
        for host in [SERVER, CLIENT] { prop_assert_eq!(bench.used(host), 0); }
    }
}
