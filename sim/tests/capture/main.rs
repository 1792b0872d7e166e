//! Packets of a run, as its file has them: each byte, each fault, and no other run for it.

mod file;
mod streams;

use core::cell::RefCell;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use file::{Kind, Line, bytes, lines};
use mainspring_executor::driver::{Instant, Keepalive, ListenOptions};
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{Scope, random};
use mainspring_sim::harness::{Run, Scenario, Setup};
use mainspring_sim::{Host, World, WorldConfig, spend};
use streams::{Stream, streams};

const PORT: u16 = 80;
const PORT_V6: u16 = 86;

/// What clients write at most, and servers.
const LENGTH_MAX: usize = 60_000;

/// A client that has waited so long leaves.
const PATIENCE: Duration = Duration::from_secs(30);

/// What programs saw of one direction of a connection, by who wrote to whom.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    read: usize,
    /// The writer got to its end, and the reader saw it.
    is_whole: bool,
    /// How much it was to be.
    planned: usize,
}

type Log = Rc<RefCell<BTreeMap<(SocketAddr, SocketAddr), Seen>>>;

/// A number below `bound`.
fn draw(bound: usize) -> usize {
    usize::try_from(random() % bound as u64).expect("below a usize")
}

/// The byte at some place of a stream that comes from that port: no piece of it is like another.
fn byte(port: u16, place: usize) -> u8 {
    let mixed = (place + usize::from(port) * 65_537).wrapping_mul(0x9e37_79b1_7f4a_7c15);
    mixed.to_be_bytes()[0]
}

fn pattern(port: u16, length: usize) -> Vec<u8> {
    (0..length).map(|place| byte(port, place)).collect()
}

/// Writes a stream in pieces, and ends it. False: it broke before.
async fn write(stream: &mut TcpStream, log: &Log) -> bool {
    let (own, peer) = (stream.local_addr().expect("it is connected"), stream.peer_addr());
    let length = draw(LENGTH_MAX);
    log.borrow_mut().entry((own, peer)).or_default().planned = length;
    let all = pattern(own.port(), length);
    let mut rest = &all[..];
    while !rest.is_empty() {
        let count = (1 + draw(9_000)).min(rest.len());
        if stream.write_all(&rest[..count]).await.is_err() {
            return false;
        }
        rest = &rest[count..];
        match draw(8) {
            0 => sleep(Duration::from_micros(random() % 3_000)).await,
            1 => sleep(Duration::ZERO).await,
            // From here on its shard is ahead of the others.
            2 => spend(Duration::from_micros(random() % 3_000)),
            _ => {}
        }
    }
    stream.shutdown_write().is_ok()
}

/// The program has so many more bytes, and they are those that were written.
fn note(seen: &mut Seen, port: u16, bytes: &[u8]) {
    for (index, read) in bytes.iter().enumerate() {
        assert_eq!(*read, byte(port, seen.read + index), "the stream is what it was");
    }
    seen.read += bytes.len();
}

/// Reads a stream to its end. False: it broke before.
async fn read(stream: &mut TcpStream, log: &Log) -> bool {
    let (own, peer) = (stream.local_addr().expect("it is connected"), stream.peer_addr());
    loop {
        let Ok(count) = stream.fill().await else { return false };
        if count == 0 {
            log.borrow_mut().entry((peer, own)).or_default().is_whole = true;
            return true;
        }
        let bytes = &stream.buffered()[..count];
        note(log.borrow_mut().entry((peer, own)).or_default(), peer.port(), bytes);
        stream.consume(count);
        match draw(16) {
            0 | 1 => sleep(Duration::from_micros(random() % 20_000)).await,
            2 => spend(Duration::from_micros(random() % 3_000)),
            _ => {}
        }
    }
}

/// Reads each connection to its end, then writes.
async fn serve(address: SocketAddr, log: Log) {
    let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
    let scope = Scope::new();
    while let Ok(Ok((mut stream, _))) = timeout(4 * PATIENCE, listener.accept()).await {
        let log = Rc::clone(&log);
        drop(scope.spawn(async move {
            if draw(2) == 0 {
                stream.set_nodelay(false).expect("it is TCP");
            }
            if read(&mut stream, &log).await {
                write(&mut stream, &log).await;
            }
        }));
    }
    scope.join().await.expect("nobody panics");
}

async fn talk(address: SocketAddr, log: Log) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    if draw(4) == 0 {
        let second = Duration::from_secs(1);
        let keepalive = Keepalive { idle: second, interval: second, count: 3 };
        stream.set_keepalive(Some(keepalive)).expect("whole seconds");
    }
    let talking = async {
        if write(&mut stream, &log).await {
            read(&mut stream, &log).await;
        }
    };
    let limit = if draw(8) == 0 { Duration::from_millis(20) } else { PATIENCE };
    if timeout(limit, talking).await.is_err() {
        stream.abort();
    }
}

/// Clients on three hosts, one of them the server's; and what went wrong is up to the config, but for a cut and a crash.
fn play(seed: u64, config: WorldConfig) -> (World, Log) {
    let world = World::new(seed, config);
    let (server, near, far) = (world.host("server"), world.host("near"), world.host("far"));
    let log = Log::default();
    drop(server.spawn(serve(([0, 0, 0, 0], PORT).into(), Rc::clone(&log))));
    drop(server.spawn(serve(([0; 8], PORT_V6).into(), Rc::clone(&log))));
    let own = SocketAddr::from(([127, 0, 0, 1], PORT));
    let clients = [
        (&server, own),
        (&near, server.address(PORT)),
        (&near, server.address_v6(PORT_V6)),
        (&far, server.address(PORT)),
        // Nobody listens, and nobody is there.
        (&far, server.address(PORT + 1)),
        (&far, SocketAddr::from(([10, 0, 0, 99], PORT))),
    ];
    for (host, address) in clients {
        for _ in 0..2 {
            host.run(talk(address, Rc::clone(&log)));
        }
    }
    if seed.is_multiple_of(3) {
        world.set_bandwidth(&far, &server, 1_000_000, 30_000);
    }
    if seed.is_multiple_of(5) {
        cut(&world, &near, &server, 15);
    }
    if seed.is_multiple_of(7) {
        let server = server.clone();
        world.at(Instant::START + Duration::from_millis(25), move |_| server.crash());
    }
    if seed.is_multiple_of(11) {
        server.set_socket_memory(Some(10_000));
    }
    world.run().unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    (world, log)
}

/// For a second nothing gets from one host to another.
fn cut(world: &World, from: &Host, to: &Host, millis: u64) {
    let begin = Instant::START + Duration::from_millis(millis);
    let [(a, b), (c, d)] = [(); 2].map(|()| (from.clone(), to.clone()));
    world.at(begin, move |world| world.cut(&a, &b));
    world.at(begin + Duration::from_secs(1), move |world| world.heal(&c, &d));
}

fn captured(config: WorldConfig) -> WorldConfig {
    WorldConfig { captures_packets: true, ..config }
}

/// Small buffers, and all that may happen to segments.
fn stormy() -> WorldConfig {
    WorldConfig {
        segment_loss_permille: 60,
        segment_reordering_permille: 60,
        segment_duplication_permille: 40,
        recv_buffer_bytes: 300_000,
        ..WorldConfig::rough()
    }
}

#[track_caller]
fn check_streams(seed: u64, config: WorldConfig) -> BTreeMap<(SocketAddr, SocketAddr), Stream> {
    let (world, log) = play(seed, captured(config));
    let mut streams = streams(&lines(&world.capture()));
    for ((from, to), seen) in &*log.borrow() {
        let stream = streams.entry((*from, *to)).or_default();
        let length = stream.bytes.len();
        assert!(stream.bytes == pattern(from.port(), length), "seed {seed}: {from} to {to}");
        assert!(length <= seen.planned, "seed {seed}: {from} to {to}: more than was written");
        assert!(length >= seen.read, "seed {seed}: {from} to {to}: less than was read");
        if seen.is_whole {
            assert_eq!(length, seen.planned, "seed {seed}: {from} to {to}: it has ended");
            assert!(stream.has_fin, "seed {seed}: {from} to {to}: so it has a FIN");
        }
    }
    streams
}

#[test]
fn each_stream_can_be_put_together_from_the_packets() {
    let (mut whole_count, mut repeat_count, mut reset_count) = (0, 0, 0);
    for config in [WorldConfig::calm(), WorldConfig::rough(), WorldConfig::swarm(), stormy()] {
        for seed in 0..40 {
            for stream in check_streams(seed, config.clone()).values() {
                whole_count += usize::from(stream.has_fin && !stream.bytes.is_empty());
                repeat_count += stream.repeat_count;
                reset_count += usize::from(stream.has_reset);
            }
        }
    }
    assert!(whole_count > 1_000, "{whole_count} streams were whole");
    assert!(repeat_count > 1_000, "{repeat_count} segments were sent again");
    assert!(reset_count > 100, "{reset_count} streams were broken");
}

#[test]
fn a_capture_is_the_same_again_and_changes_no_run() {
    for seed in 0..20 {
        for config in [WorldConfig::swarm(), stormy()] {
            let (silent, _) = play(seed, config.clone());
            assert_eq!(silent.capture().packet_count(), 0, "nobody asked for it");
            let [one, two] = [(); 2].map(|()| play(seed, captured(config.clone())).0);
            assert_eq!(one.trace_hash(), silent.trace_hash(), "seed {seed}: another run");
            assert!(one.capture().packet_count() > 100);
            assert!(bytes(&one.capture()) == bytes(&two.capture()), "seed {seed}: another file");
        }
    }
}

#[test]
fn a_capture_tells_what_the_network_does() {
    let (world, _) = play(1, captured(stormy()));
    let lines = lines(&world.capture());
    let count = |text: &str| lines.iter().filter(|line| line.comment.contains(text)).count();
    assert!(count("lost") > 5 && count("late") > 5 && count("once more") > 5);
    let quiet = lines.iter().filter(|line| line.comment.is_empty()).count();
    assert!(quiet > lines.len() / 2, "most packets just arrive");
    assert!(lines.is_sorted_by_key(|line| line.at));
    let sends = |line: &Line| line.host == "near" || line.from.ip() != Ipv4Addr::new(10, 0, 0, 2);
    assert!(lines.iter().all(sends), "a packet is on the interface of its sender");

    let (world, _) = play(1, captured(WorldConfig::calm()));
    assert!(file::lines(&world.capture()).iter().all(|line| {
        let is_nowhere = line.to.ip() == Ipv4Addr::new(10, 0, 0, 99);
        is_nowhere == (line.comment == "lost on its way")
    }));
}

/// A segment that three others overtake is taken for lost: it leaves once more, one round trip later, unless its sender breaks the
/// connection before.
#[test]
fn a_segment_that_is_overtaken_leaves_once_more() {
    for is_aborted in [false, true] {
        let config = WorldConfig { segment_reordering_permille: 1_000, ..WorldConfig::calm() };
        let world = World::new(1, captured(config));
        let (server, client) = (world.host("server"), world.host("client"));
        world.set_bandwidth(&client, &server, 1_000_000_000, 1_000_000);
        drop(server.spawn(serve(([0, 0, 0, 0], PORT).into(), Log::default())));
        let address = server.address(PORT);
        client.run(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let port = stream.local_addr().expect("it is connected").port();
            stream.write_all(&pattern(port, 14_600)).await.expect("there is room");
            if is_aborted {
                stream.abort();
            } else {
                sleep(Duration::from_secs(1)).await;
            }
        });
        world.run().expect("it ends well");
        let lines = lines(&world.capture());
        let streams = streams(&lines);
        let repeat_count = streams.values().map(|stream| stream.repeat_count).sum::<usize>();
        // Of ten segments, seven have three behind them.
        assert_eq!(repeat_count, if is_aborted { 0 } else { 7 });
        let is_late = |line: &&Line| {
            let has_bytes = matches!(&line.kind, Kind::Tcp(_, payload) if !payload.is_empty());
            has_bytes && line.host == "client" && line.comment.contains("late")
        };
        assert_eq!(lines.iter().filter(is_late).count(), 10);
    }
}

/// The first connection to [`PORT`].
async fn taken() -> TcpStream {
    let any = ([0, 0, 0, 0], PORT).into();
    let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
    listener.accept().await.expect("somebody comes").0
}

/// Where small segments wait, acknowledgements go with the answers.
#[test]
fn an_answer_carries_the_acknowledgement_that_waited_for_it() {
    let world = World::new(1, captured(WorldConfig::calm()));
    let (server, client) = (world.host("server"), world.host("client"));
    let address = server.address(PORT);
    server.run(async {
        let mut stream = taken().await;
        while stream.read(&mut [0]).await.expect("it ends in order") > 0 {
            stream.write_all(b"y").await.expect("it reads");
        }
    });
    client.run(async move {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(false).expect("it is TCP");
        for _ in 0..20 {
            stream.write_all(b"x").await.expect("it reads");
            assert_eq!(stream.read(&mut [0]).await.expect("it answers"), 1);
        }
    });
    world.run().expect("it ends well");
    let lines = lines(&world.capture());
    streams(&lines);
    let (mut acknowledged, mut carried_count) = (None, 0);
    for line in lines.iter().filter(|line| line.host == "server") {
        let Kind::Tcp(header, payload) = &line.kind else { panic!("nobody sends datagrams") };
        let is_new = acknowledged.replace(header.acknowledgment_number)
            != Some(header.acknowledgment_number);
        carried_count += usize::from(is_new && !payload.is_empty());
    }
    // The first request is acknowledged before it is known that there are answers.
    assert_eq!(carried_count, 19);
}

/// Two worlds, in the second of which nobody listens; then it fails.
fn two_worlds(setup: &Setup) -> Result<Run, String> {
    for listens in [true, false] {
        let world = setup.world(WorldConfig::calm());
        let (server, client) = (world.host("server"), world.host("client"));
        if listens {
            drop(server.spawn(serve(([0, 0, 0, 0], PORT).into(), Log::default())));
        }
        client.run(talk(server.address(PORT), Log::default()));
        world.run().map_err(|failure| failure.to_string())?;
    }
    Err("as planned".to_owned())
}

#[test]
fn a_scenario_gives_the_packets_of_each_world_also_when_it_fails() {
    let scenario = Scenario::new("two-worlds", "two worlds", two_worlds);
    let (result, captures) = scenario.run_captured(1, false);
    assert_eq!(result.expect_err("it fails").message, "as planned");
    let [first, second] = &captures[..] else { panic!("{} captures", captures.len()) };
    assert!(first.packet_count() > 5);
    assert_eq!(second.packet_count(), 2, "a SYN, and a RST");
}

/// Sends a datagram, and has it answered or refused.
async fn send(from: SocketAddr, to: SocketAddr) {
    let socket = UdpSocket::bind(from).expect("a free port");
    socket.connect(to).expect("the same version of IP");
    socket.send(b"hello").await.expect("there is room");
    // An answer, or the news that nobody is there.
    drop(timeout(Duration::from_secs(1), socket.recv_from(&mut [0; 5])).await);
}

#[test]
fn datagrams_and_the_news_that_nobody_is_there_are_in_a_capture() {
    let world = World::new(1, captured(WorldConfig::calm()));
    let (server, client) = (world.host("server"), world.host("client"));
    let address = server.address(53);
    server.run(async move {
        let socket = UdpSocket::bind(address).expect("a free port");
        let mut buffer = [0; 9];
        let received = socket.recv_from(&mut buffer).await.expect("it comes");
        socket.send_to(&buffer[..received.count], received.peer).await.expect("there is room");
    });
    let targets = [address, server.address(54), server.address_v6(54)];
    client.run(async move {
        for to in targets {
            let any = if to.is_ipv4() { ([0, 0, 0, 0], 9).into() } else { ([0; 8], 9).into() };
            send(any, to).await;
        }
    });
    world.run().expect("it ends well");
    let lines = lines(&world.capture());
    let text = |line: &Line| match &line.kind {
        Kind::Udp(payload) => format!("{} {}", line.to, String::from_utf8_lossy(payload)),
        Kind::Unreachable(about) => {
            format!("{} of {} bytes unreachable", line.to.ip(), about.len())
        }
        Kind::Tcp(..) => panic!("nobody connects"),
    };
    let expected = [
        "10.0.0.1:53 hello",
        "10.0.0.2:9 hello",
        "10.0.0.1:54 hello",
        "10.0.0.2 of 33 bytes unreachable",
        "[fd00::1]:54 hello",
        "fd00::2 of 53 bytes unreachable",
    ];
    assert_eq!(lines.iter().map(text).collect::<Vec<_>>(), expected);
}

/// Keep-alive probes have no bytes, and a number that the peer has acknowledged.
#[test]
fn keep_alive_probes_and_their_answers_are_in_a_capture() {
    let world = World::new(1, captured(WorldConfig::calm()));
    let (server, client) = (world.host("server"), world.host("client"));
    let address = server.address(PORT);
    server.run(async {
        let mut stream = taken().await;
        assert_eq!(stream.fill().await.expect("it ends in order"), 0);
    });
    client.run(async move {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let second = Duration::from_secs(1);
        let keepalive = Keepalive { idle: second, interval: second, count: 3 };
        stream.set_keepalive(Some(keepalive)).expect("whole seconds");
        sleep(3 * second + second / 2).await;
    });
    world.run().expect("it ends well");
    let lines = lines(&world.capture());
    let header = |line: &Line| match &line.kind {
        Kind::Tcp(header, payload) if payload.is_empty() => header.clone(),
        other => panic!("nobody writes: {other:?}"),
    };
    let headers: Vec<_> = lines.iter().map(header).collect();
    let first = headers[0].sequence_number.wrapping_add(1);
    // SYN, SYN-ACK, ACK; three times a probe and its answer; two times a FIN and its acknowledgement.
    assert_eq!(headers.len(), 3 + 3 * 2 + 2 * 2, "{headers:?}");
    for pair in headers[3..9].chunks(2) {
        assert_eq!(pair[0].sequence_number, first.wrapping_sub(1));
        assert_eq!(pair[1].acknowledgment_number, first);
    }
    let fins = headers[9..].iter().filter(|header| header.fin).count();
    assert_eq!(fins, 2);
}
