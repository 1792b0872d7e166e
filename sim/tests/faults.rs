//! Each kind of fault is counted when it happens, and only then.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use futures::future::join_all;
use mainspring_executor::driver::{Instant, ListenOptions, Signal};
use mainspring_executor::file::{self, OpenOptions};
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{buggify, names, offload};
use mainspring_sim::{Everywhere, Fault, Host, World, WorldConfig, spend};

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 80;

/// The faults of some seeds of a room with two hosts.
fn faults(config: &WorldConfig, play: fn(&World, &Host, &Host)) -> BTreeSet<Fault> {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let world = World::new(seed, config.clone());
        let (server, client) = (world.host("server"), world.host("client"));
        play(&world, &server, &client);
        world.run().expect("it ends well");
        seen.extend(of(&world));
    }
    seen
}

fn of(world: &World) -> BTreeSet<Fault> {
    let coverage = world.coverage();
    Fault::ALL.iter().copied().filter(|fault| coverage.fault(*fault) > 0).collect()
}

/// What a play brings about: all of `expected`, and nothing else but `beside`.
#[track_caller]
fn check(
    config: WorldConfig,
    play: fn(&World, &Host, &Host),
    expected: &[Fault],
    beside: &[Fault],
) -> BTreeSet<Fault> {
    let seen = faults(&config, play);
    let (expected, beside) = (BTreeSet::from_iter(expected), BTreeSet::from_iter(beside));
    for fault in &expected {
        assert!(seen.contains(fault), "{} are counted: {seen:?}", fault.name());
    }
    for fault in &seen {
        let is_known = expected.contains(fault) || beside.contains(fault);
        assert!(is_known, "{} do not happen here", fault.name());
    }
    seen
}

fn calm() -> WorldConfig {
    WorldConfig::calm()
}

/// Reads all that comes of one connection.
async fn take(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.expect("somebody comes");
    while let Ok(count @ 1..) = stream.fill().await {
        stream.consume(count);
    }
}

fn listen(backlog: u32) -> TcpListener {
    let options = ListenOptions { backlog, ..ListenOptions::default() };
    TcpListener::bind(([0, 0, 0, 0], PORT).into(), options).expect("a free port")
}

/// A hundred kilobytes and their end.
fn transfer(_: &World, server: &Host, client: &Host) {
    server.run(async { take(listen(9)).await });
    let target = server.address(PORT);
    client.run(async move {
        sleep(SECOND).await;
        let mut stream = TcpStream::connect(target).await.expect("it listens");
        stream.write_all(&[7; 100_000]).await.expect("it reads");
    });
}

fn refused(_: &World, server: &Host, client: &Host) {
    let target = server.address(PORT);
    client.run(async move { assert!(TcpStream::connect(target).await.is_err()) });
}

fn reset(_: &World, server: &Host, client: &Host) {
    server.run(async { take(listen(9)).await });
    let target = server.address(PORT);
    client.run(async move { TcpStream::connect(target).await.expect("it listens").abort() });
}

fn overflow(_: &World, server: &Host, client: &Host) {
    server.run(async {
        let listener = listen(0);
        sleep(SECOND / 2).await;
        for _ in 0..5 {
            drop(listener.accept().await.expect("somebody comes"));
        }
    });
    let target = server.address(PORT);
    client.run(async move {
        let connects = join_all((0..5).map(|_| TcpStream::connect(target))).await;
        assert!(connects.iter().all(Result::is_ok));
    });
}

fn cut(world: &World, server: &Host, client: &Host) {
    server.run(async { take(listen(9)).await });
    let target = server.address(PORT);
    let (from, to) = (client.clone(), server.clone());
    world.at(Instant::START + SECOND, move |world| world.cut(&from, &to));
    client.run(async move {
        let mut stream = TcpStream::connect(target).await.expect("it listens");
        sleep(2 * SECOND).await;
        stream.write_all(b"to nobody").await.expect("there is room");
        assert!(stream.fill().await.is_err(), "it times out");
    });
    // Nobody tells it.
    let server = server.clone();
    world.at(Instant::START + 2000 * SECOND, move |_| server.signal(Signal::Terminate));
}

fn crash(world: &World, server: &Host, client: &Host) {
    server.add_folder("/srv");
    server.run(async {
        let options = OpenOptions::new().write(true).create(true);
        let file = options.open("/srv".into(), "log".into()).await.expect("it is made");
        file.write_at(0, "not synced").await.expect("there is room");
        take(listen(9)).await;
    });
    let (target, machine) = (server.address(PORT), server.clone());
    world.at(Instant::START + 2 * SECOND, move |_| machine.crash());
    let machine = server.clone();
    world.at(Instant::START + 4 * SECOND, move |_| machine.restart());
    client.run(async move {
        sleep(SECOND).await;
        let mut stream = TcpStream::connect(target).await.expect("it listens");
        sleep(2 * SECOND).await;
        stream.write_all(b"to nobody").await.expect("there is room");
        assert!(stream.fill().await.is_err(), "the machine knows of nothing");
    });
}

fn stills(world: &World, server: &Host, client: &Host) {
    let machine = server.clone();
    world.at(Instant::START + SECOND, move |_| machine.pause());
    let machine = server.clone();
    world.at(Instant::START + 2 * SECOND, move |_| machine.resume());
    server.run(async { sleep(3 * SECOND).await });
    client.set_drift(100);
    client.set_date_ahead(SECOND);
    client.run(async {
        sleep(SECOND).await;
        spend(SECOND);
        sleep(SECOND).await;
    });
}

fn signals(world: &World, server: &Host, client: &Host) {
    let (one, other) = (server.clone(), client.clone());
    world.at(Instant::START + SECOND, move |_| one.signal(Signal::Terminate));
    world.at(Instant::START + SECOND, move |_| other.signal(Signal::Terminate));
    server.run(async {
        let mut signals = Signals::subscribe().expect("signals can be watched");
        signals.next().await.expect("one comes");
    });
    client.run(async { sleep(9 * SECOND).await });
}

fn datagrams(_: &World, server: &Host, client: &Host) {
    server.run(async {
        let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("a free port");
        sleep(SECOND).await;
        let mut buffer = [0; 2000];
        while timeout(SECOND, socket.recv_from(&mut buffer)).await.is_ok() {}
    });
    let target = server.address(PORT);
    client.run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        for _ in 0..100 {
            socket.send_to(&[7; 1000], target).await.expect("there is room");
        }
    });
}

fn tokens(_: &World, server: &Host, _: &Host) {
    server.run(async {
        let bind = |_| UdpSocket::bind(([0, 0, 0, 0], 0).into());
        let sockets: Vec<_> = (0..5).map(bind).collect();
        assert!(sockets.iter().any(Result::is_err));
    });
}

fn memory(world: &World, server: &Host, client: &Host) {
    server.run(async { take(listen(9)).await });
    let (target, machines) = (server.address(PORT), [server.clone(), client.clone()]);
    client.run(async move {
        let mut stream = TcpStream::connect(target).await.expect("it listens");
        machines.iter().for_each(|machine| machine.set_socket_memory(Some(0)));
        assert!(UdpSocket::bind(([0, 0, 0, 0], 0).into()).is_err());
        stream.write_all(&[7; 100_000]).await.expect("it reads");
    });
    // One that stands still does not read what it may have.
    let server = server.clone();
    world.at(Instant::START + SECOND / 500, move |_| server.pause());
    world.at(Instant::START + SECOND, |world| world.find("server").expect("it is there").resume());
}

fn jobs(_: &World, server: &Host, _: &Host) {
    server.run(async {
        let results = join_all((0..5).map(|_| offload::compute(|| ()))).await;
        assert!(results.iter().any(Result::is_err));
    });
}

fn disk(_: &World, server: &Host, _: &Host) {
    server.add_folder("/srv");
    server.run(async {
        for _ in 0..30 {
            // It may fail.
            drop(file::write("/srv".into(), "file".into(), vec![7; 100]).await);
        }
    });
}

fn lookups(world: &World, server: &Host, _: &Host) {
    world.add_name("upstream.example", &[server.ip().into()]);
    server.run(async {
        for _ in 0..30 {
            drop(names::resolve("upstream.example", PORT).await);
            sleep(60 * SECOND).await;
        }
    });
}

fn fault_points(_: &World, server: &Host, _: &Host) {
    server.run(async {
        for _ in 0..20 {
            // Whether it fires is all that matters.
            let _ = buggify!("trouble");
        }
    });
}

#[test]
fn each_fault_is_counted_where_it_happens() {
    use Fault::*;
    let rough = WorldConfig::rough();
    let lossy = WorldConfig { segment_loss_permille: 100, ..calm() };
    let late = WorldConfig { segment_reordering_permille: 100, ..calm() };
    let twice = WorldConfig { segment_duplication_permille: 100, ..calm() };
    let datagram = |loss, twice| WorldConfig {
        datagram_loss_permille: loss,
        datagram_duplication_permille: twice,
        ..calm()
    };
    let mut seen = BTreeSet::new();
    let mut all = |config, play, expected: &[Fault], beside: &[Fault]| {
        seen.extend(check(config, play, expected, beside));
    };
    all(calm(), transfer, &[], &[]);
    all(rough, transfer, &[ShortRead, ShortWrite, SplitFlight, SpuriousEdge], &[]);
    all(lossy, transfer, &[SegmentLost, AnswerLost, HandshakeLost, SynTimeout], &[]);
    all(late, transfer, &[SegmentLate], &[]);
    all(twice, transfer, &[SegmentTwice], &[]);
    all(calm(), refused, &[Refusal], &[]);
    all(calm(), reset, &[Reset], &[]);
    all(calm(), overflow, &[BacklogOverflow, SynTimeout], &[]);
    all(calm(), cut, &[Cut, SegmentLost, ConnectionTimeout, Signal, Death], &[AnswerLost]);
    all(calm(), crash, &[Crash, ChangesLost, Restart, Unheard, Reset], &[SegmentLost, AnswerLost]);
    all(calm(), stills, &[Pause, Drift, DateJump, Stall], &[]);
    all(calm(), signals, &[Signal, Death], &[]);
    all(datagram(200, 0), datagrams, &[DatagramLost], &[DatagramDropped]);
    all(datagram(0, 200), datagrams, &[DatagramTwice], &[DatagramDropped]);
    all(calm(), datagrams, &[DatagramDropped], &[]);
    all(WorldConfig { tokens_max: 3, ..calm() }, tokens, &[OutOfTokens], &[]);
    all(calm(), memory, &[SegmentDropped, WriteWithoutMemory, NoBuffers], &[Pause]);
    let few = WorldConfig { compute_threads_max: 1, jobs_waiting_max: 1, ..calm() };
    all(few, jobs, &[JobRefused], &[]);
    all(WorldConfig { disk_error_one_in: 5, ..calm() }, disk, &[DiskError], &[]);
    all(WorldConfig { disk_full_one_in: 5, ..calm() }, disk, &[DiskFull], &[]);
    all(WorldConfig { short_writes: true, ..calm() }, disk, &[ShortFileWrite], &[]);
    all(WorldConfig { name_failure_one_in: 5, ..calm() }, lookups, &[NameFailure], &[]);
    all(WorldConfig { buggify: true, ..calm() }, fault_points, &[FaultPoint], &[]);

    // Whose runs tell at their end what happened in them.
    let calls = Rc::new(RefCell::new(BTreeSet::new()));
    let tell = Rc::clone(&calls);
    let everywhere = Everywhere::new(1, calm(), move |world: &World| {
        world.host("server").run(async {
            // It fails in some of the runs.
            drop(UdpSocket::bind(([0, 0, 0, 0], PORT).into()));
        });
        let tell = Rc::clone(&tell);
        move |world: &World| tell.borrow_mut().extend(of(world))
    });
    everywhere.fail_each_call("server").expect("each run holds");
    assert_eq!(*calls.borrow(), BTreeSet::from([CallFailed]));
    seen.extend(calls.take());

    let missing: Vec<_> = Fault::ALL.iter().filter(|fault| !seen.contains(fault)).collect();
    assert!(missing.is_empty(), "no play has {missing:?}");
}
