//! Machines that crash and come back, and programs that stand still: what is lost, what stays, and who learns of it when.

use core::cell::{Cell, RefCell};
use core::future::pending;
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use futures::FutureExt;
use mainspring_executor::driver::{Instant, ListenOptions, Signal};
use mainspring_executor::file::{self, File, OpenOptions};
use mainspring_executor::names::resolve;
use mainspring_executor::net::{
    DetachedStream, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream,
};
use mainspring_executor::process::{Command, Stdio};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{now, sleep, timeout, wall_clock};
use mainspring_executor::{join, offload, random, spawn};
use mainspring_sim::{Host, World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const LATENCY: Duration = Duration::from_millis(1);

/// The first of the ports that a kernel gives by itself.
const FIRST_PORT: u16 = 32_768;

/// The last of them.
const LAST_PORT: u16 = 60_999;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn root() -> PathBuf {
    "/srv".into()
}

fn listen() -> TcpListener {
    let address = (Ipv4Addr::UNSPECIFIED, 80).into();
    TcpListener::bind(address, ListenOptions::default()).expect("the port is free")
}

fn bind(port: u16) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port).into()).expect("the port is free")
}

/// Accepts, and gives back what comes, for ever.
async fn echo() {
    let listener = listen();
    loop {
        let (mut stream, _) = listener.accept().await.expect("the listener works");
        drop(spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }));
    }
}

async fn read(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut buffer = [0; 64];
    let count = stream.read(&mut buffer).await.map_err(|error| error.kind())?;
    Ok(buffer[..count].to_vec())
}

/// A connection over which a word has gone there and back.
async fn connected(server: &Host) -> TcpStream {
    let mut stream = TcpStream::connect(server.address(80)).await.expect("it listens");
    stream.write_all(b"hello").await.expect("it reads");
    assert_eq!(read(&mut stream).await, Ok(b"hello".to_vec()));
    stream
}

/// Runs a client beside a machine that echoes, each with a task that the run does not wait for on the server. Nothing may
/// be left. Gives the trace.
fn beside_echo<F: Future<Output = ()> + 'static>(
    config: WorldConfig,
    client: impl FnOnce(Host) -> F,
) -> Vec<String> {
    let world = World::new(7, WorldConfig { record: true, ..config });
    let server = world.host("server");
    server.spawn(echo());
    world.host("client").run(client(server.clone()));
    if let Err(failure) = world.run() {
        panic!("{failure}");
    }
    server.crash();
    world.run().expect("nothing is left to do");
    assert_eq!(world.leaks(), Vec::<String>::new());
    world.trace()
}

fn has(trace: &[String], what: &str) -> bool {
    trace.iter().any(|line| line.contains(what))
}

#[test]
fn who_speaks_learns_of_it_when_the_machine_is_back() {
    beside_echo(WorldConfig::calm(), async |server| {
        let mut stream = connected(&server).await;
        let before = now();
        server.crash();
        stream.write_all(b"still there?").await.expect("nobody knows as yet");
        sleep(SECOND * 10).await;
        server.restart();
        assert_eq!(read(&mut stream).await, Err(ErrorKind::ConnectionReset));
        // Sent again after 0.2, 0.4, … 6.4 s: 12.6 s after the first time, and a way there and back.
        assert_eq!(now() - before, millis(12_600) + LATENCY * 2);
        // A machine that is up already says so at once.
        server.spawn(echo());
        let mut stream = connected(&server).await;
        server.restart();
        let before = now();
        stream.write_all(b"still there?").await.expect("nobody knows as yet");
        assert_eq!(read(&mut stream).await, Err(ErrorKind::ConnectionReset));
        assert_eq!(now() - before, LATENCY * 2);
    });
}

#[test]
fn who_speaks_gives_up_while_the_machine_stays_off() {
    beside_echo(WorldConfig::calm(), async |server| {
        // Bytes, or the end: neither is acknowledged.
        for is_end in [false, true] {
            let mut stream = connected(&server).await;
            server.crash();
            let before = now();
            match is_end {
                true => stream.shutdown_write().expect("it is open"),
                false => stream.write_all(b"hello?").await.expect("there is room"),
            }
            assert_eq!(read(&mut stream).await, Err(ErrorKind::TimedOut));
            let waited = now() - before;
            assert!((millis(924_600)..=millis(924_601)).contains(&waited), "{waited:?}");
            server.restart();
            server.spawn(echo());
        }
    });
}

#[test]
fn an_end_that_was_under_way_is_told_again() {
    beside_echo(WorldConfig::calm(), async |server| {
        let mut stream = connected(&server).await;
        stream.shutdown_write().expect("it is open");
        server.crash();
        sleep(SECOND).await;
        server.restart();
        assert_eq!(read(&mut stream).await, Err(ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_reset_that_gets_lost_is_given_again() {
    let world = World::new(7, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    server.spawn(echo());
    let (near, far) = (client.clone(), server.clone());
    world.at(at(1500), move |world| {
        world.cut(&far, &near);
        world.at(at(60_000), move |world| world.heal(&far, &near));
    });
    client.run(async move {
        // Bytes, or the end alone.
        let mut streams = [connected(&server).await, connected(&server).await];
        server.crash();
        streams[0].write_all(b"x").await.expect("there is room");
        streams[1].shutdown_write().expect("it is open");
        sleep(SECOND * 2).await;
        server.restart();
        for stream in &mut streams {
            assert_eq!(read(stream).await, Err(ErrorKind::ConnectionReset));
            assert!(now() > at(60_000));
        }
    });
    world.run().expect("it ends well");
}

/// Runs a server that waits for a client which crashes half a latency after it began to connect, and is back after `down`.
/// Gives what the server reads then, after it said something itself or not.
fn handshake_with_a_crash(down: Duration, does_speak: bool) -> Option<Result<Vec<u8>, ErrorKind>> {
    let world = World::new(7, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    let (address, other) = (server.address(80), server.address(81));
    let found = Rc::new(RefCell::new(None));
    let finds = Rc::clone(&found);
    server.run(async move {
        let (mut stream, _) = listen().accept().await.expect("its SYN was on the way");
        if does_speak {
            stream.write_all(b"hello").await.expect("there is room");
        }
        *finds.borrow_mut() = timeout(HOUR / 4, read(&mut stream)).await.ok();
    });
    client.run(async move {
        // Where nobody listens as well: the refusal finds nobody.
        drop(spawn(TcpStream::connect(other)));
        drop(spawn(TcpStream::connect(address)));
        pending::<()>().await;
    });
    world.at(Instant::from_nanos(500_000), move |world| {
        client.crash();
        world.at(world.now() + down, move |_| client.restart());
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
    found.take()
}

#[test]
fn a_client_that_crashes_in_the_handshake_is_half_open() {
    let reset = Some(Err(ErrorKind::ConnectionReset));
    for does_speak in [false, true] {
        // Back before the answer comes: its kernel knows of no SYN.
        assert_eq!(handshake_with_a_crash(Duration::ZERO, does_speak), reset);
    }
    assert_eq!(handshake_with_a_crash(SECOND, false), None);
    assert_eq!(handshake_with_a_crash(SECOND, true), reset);
}

/// A port that the new kernel has given to another does not come free when the last of an old connection goes.
#[test]
fn a_port_is_the_new_kernels() {
    let world = World::new(7, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    let address = server.address(80);
    server.run(async {
        let (_half_open, _) = listen().accept().await.expect("a client comes");
        sleep(SECOND * 2).await;
    });
    let first = Rc::new(Cell::new(0));
    let taken = Rc::clone(&first);
    client.spawn(async move {
        let stream = TcpStream::connect(address).await.expect("it listens");
        taken.set(stream.local_addr().expect("it has one").port());
        pending::<()>().await;
    });
    world.at(at(1000), move |_| {
        client.restart();
        client.run(async move {
            let any = (Ipv4Addr::UNSPECIFIED, 0).into();
            let bind = || TcpListener::bind(any, ListenOptions::default()).expect("one is free");
            let port = |listener: &TcpListener| listener.local_addr().expect("it has one").port();
            // They go on where they were, and go round; it is free.
            assert_eq!(port(&bind()), first.get() + 1);
            let ports = FIRST_PORT..=LAST_PORT;
            let mut all = ports.clone().map(|_| bind());
            let held = all.find(|listener| port(listener) == first.get()).expect("it is free");
            sleep(SECOND * 3).await;
            assert!(ports.map(|_| port(&bind())).all(|port| port != first.get()));
            drop(held);
        });
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn who_waits_for_room_asks_a_machine_that_is_back() {
    let world = World::new(7, WorldConfig::calm());
    let server = world.host("server");
    server.spawn(async {
        let _taken = listen().accept().await.expect("a client comes");
        pending::<()>().await;
    });
    world.host("client").run(async move {
        let mut stream = TcpStream::connect(server.address(80)).await.expect("it listens");
        // Nobody reads: both buffers are full, and nothing is under way.
        let full = stream.write_all(&[0; 200_000]);
        assert!(timeout(SECOND, full).await.is_err());
        server.crash();
        sleep(SECOND).await;
        server.restart();
        let error = stream.write_all(&[0; 100_000]).await.expect_err("nobody knows of it");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    world.run().expect("it ends well");
}

#[test]
fn who_only_reads_never_learns_of_it() {
    let trace = beside_echo(WorldConfig::calm(), async |server| {
        let mut stream = connected(&server).await;
        server.crash();
        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
        server.restart();
        server.spawn(echo());
        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
        // The same machine, and another connection.
        connected(&server).await;
        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
        stream.write_all(b"x").await.expect("nobody knows as yet");
        assert_eq!(read(&mut stream).await, Err(ErrorKind::ConnectionReset));
    });
    assert!(!has(&trace, "segment repeated"), "nobody had anything to say again");
}

#[test]
fn a_connect_waits_for_a_machine_that_is_off() {
    beside_echo(WorldConfig::calm(), async |server| {
        server.crash();
        let connect = spawn(TcpStream::connect(server.address(80)));
        let before = now();
        sleep(SECOND * 2).await;
        server.restart();
        server.spawn(echo());
        connect.await.expect("it ends").expect("the machine is back in time");
        // SYNs go after 0, 1 and 3 s.
        assert_eq!(now() - before, SECOND * 3 + LATENCY * 2);
        server.crash();
        let before = now();
        let refused = TcpStream::connect(server.address(80)).await.expect_err("it is off");
        assert_eq!((refused.kind(), now() - before), (ErrorKind::TimedOut, SECOND * 127));
        // A SYN that was under way is no other.
        server.restart();
        let connect = spawn(TcpStream::connect(server.address(80)));
        sleep(LATENCY / 2).await;
        server.crash();
        server.restart();
        server.spawn(echo());
        connect.await.expect("it ends").expect("somebody listens when it comes");
    });
}

#[test]
fn datagrams_to_a_machine_that_is_off_are_lost_without_a_word() {
    beside_echo(WorldConfig::calm(), async |server| {
        let socket = bind(0);
        socket.connect(server.address(53)).expect("it may be connected");
        server.crash();
        let wait = async || {
            socket.send(b"hello?").await.map_err(|error| error.kind())?;
            let mut buffer = [0; 9];
            match timeout(SECOND, socket.recv_from(&mut buffer)).await {
                Ok(received) => received.map(|_| true).map_err(|error| error.kind()),
                Err(_) => Ok(false),
            }
        };
        assert_eq!(wait().await, Ok(false));
        server.restart();
        assert_eq!(wait().await, Err(ErrorKind::ConnectionRefused), "the kernel is back");
        // One that is under way when the machine crashes is lost, though it had a socket for it.
        let got = Rc::new(Cell::new(0));
        let count = Rc::clone(&got);
        let receiver = async move {
            let socket = bind(53);
            loop {
                socket.recv_from(&mut [0; 9]).await.expect("it is not connected");
                count.set(count.get() + 1);
            }
        };
        server.spawn(receiver);
        assert_eq!(wait().await, Ok(false));
        assert_eq!(got.get(), 1);
        socket.send(b"too late").await.expect("there is room");
        server.crash();
        sleep(SECOND).await;
        assert_eq!(got.get(), 1);
    });
}

/// Asks its machine for all kinds of things when it is dropped.
struct LastWords {
    peer: SocketAddr,
    answers: Rc<RefCell<Vec<ErrorKind>>>,
    stream: TcpStream,
    socket: UdpSocket,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let cx = Context::from_waker(Waker::noop());
        let sent = self.socket.poll_send_to(&cx, b"farewell", self.peer);
        let asked = [
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, 81).into(), ListenOptions::default()).err(),
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 54).into()).err(),
            Signals::subscribe().err(),
            TcpStream::connect(self.peer).now_or_never().and_then(Result::err),
        ];
        let sent = if let Poll::Ready(result) = sent { result.err() } else { None };
        let written = self.stream.write_all(b"farewell").now_or_never().and_then(Result::err);
        let errors =
            [sent, written].into_iter().chain(asked).map(|error| error.expect("refused").kind());
        self.answers.borrow_mut().extend(errors);
        drop(spawn(pending::<()>()));
    }
}

#[test]
fn destructors_ask_in_vain_and_nobody_hears_of_them() {
    let world = World::new(7, WorldConfig { record: true, ..WorldConfig::calm() });
    let (server, client) = (world.host("server"), world.host("client"));
    let answers: Rc<RefCell<Vec<ErrorKind>>> = Rc::default();
    let (peer, told) = (client.address(53), Rc::clone(&answers));
    server.run(async move {
        let listener = listen();
        let mut held = Vec::new();
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.expect("a client comes");
            let answers = Rc::clone(&told);
            held.push(LastWords { peer, answers, stream, socket: bind(0) });
        }
        // In the backlog, and never accepted.
        pending::<()>().await;
    });
    let victim = server.clone();
    client.run(async move {
        let socket = bind(53);
        let mut streams = Vec::new();
        for _ in 0..3 {
            let stream = TcpStream::connect(victim.address(80)).await.expect("it listens");
            streams.push(stream);
        }
        // Closed with this unread, it would be reset; the others would end.
        streams[0].write_all(b"unread").await.expect("there is room");
        sleep(SECOND).await;
        victim.crash();
        for stream in &mut streams {
            assert!(timeout(SECOND, read(stream)).await.is_err(), "the crash is told");
        }
        assert!(timeout(SECOND, socket.recv_from(&mut [0; 9])).await.is_err());
    });
    let report = world.run().expect("it ends well");
    assert_eq!(report.killed, Vec::<String>::new());
    assert_eq!(*answers.borrow(), [ErrorKind::NetworkDown; 12]);
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn what_was_on_the_wire_arrives() {
    let world = World::new(7, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    let peer = client.address(53);
    server.run(async move {
        let (mut stream, _) = listen().accept().await.expect("a client comes");
        sleep(SECOND).await;
        stream.write_all(b"last words").await.expect("there is room");
        bind(0).send_to(b"last words", peer).await.expect("there is room");
        pending::<()>().await;
    });
    let victim = server.clone();
    world.at(at(0) + SECOND + LATENCY + LATENCY / 2, move |_| victim.crash());
    client.run(async move {
        let socket = bind(53);
        let mut stream = TcpStream::connect(server.address(80)).await.expect("it listens");
        assert_eq!(read(&mut stream).await, Ok(b"last words".to_vec()));
        assert_eq!(now(), at(1002));
        socket.recv_from(&mut [0; 64]).await.expect("it arrives");
        assert!(timeout(HOUR, read(&mut stream)).await.is_err());
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

/// A program that has one of everything open, and everything under way.
async fn busy(kept: Rc<RefCell<Option<DetachedStream>>>) {
    let listener = listen();
    let _udp = bind(53);
    let _unix = UnixListener::bind("/srv/socket", ListenOptions::default()).expect("it is free");
    let _signals = Signals::subscribe().expect("they can be watched");
    let _pair = UnixStream::pair().expect("there are tokens");
    let own = (Ipv4Addr::LOCALHOST, 80).into();
    let stream = TcpStream::connect(own).await.expect("it listens");
    kept.replace(Some(stream.detach().expect("it can be let go")));
    let _accepted = listener.accept().await.expect("it has come");
    let _waits = spawn(TcpStream::connect(own));
    let mut child = Command::new("child");
    let _child = child.stdin(Stdio::Piped).stdout(Stdio::Piped).spawn().await.expect("it is known");
    let opened = OpenOptions::new().write(true).create(true).open(root(), "a".into()).await;
    let file = opened.expect("the disk works");
    drop(spawn(offload::compute(|| panic!("a thread of a machine that is off"))));
    for number in 0.. {
        drop(spawn(sleep(HOUR)));
        file.write_at(number, "x").await.expect("the disk works");
    }
}

#[test]
fn nothing_is_left_of_a_machine_that_crashed() {
    let world = World::new(7, WorldConfig::calm());
    world.add_program("/bin/child", |_| async {
        let _socket = bind(54);
        pending().await
    });
    let host = world.host("host");
    host.add_folder("/srv");
    let kept = Rc::default();
    host.run(busy(Rc::clone(&kept)));
    let victim = host.clone();
    // Files take 100 µs: with one write under way.
    world.at(Instant::from_nanos(1_010_050_000), move |_| {
        assert_eq!(victim.processes().len(), 1);
        victim.crash();
    });
    world.run().expect("who is on a machine that crashed counts as ended");
    assert_eq!(world.leaks(), Vec::<String>::new());
    assert!(host.processes().is_empty());
    // What was handed from shard to shard belongs to no kernel any more.
    host.restart();
    let detached = kept.take().expect("it was let go");
    host.run(async move {
        assert_eq!(detached.attach().expect_err("it is gone").kind(), ErrorKind::NotConnected);
        // The path of a socket is a file on the disk, and stays.
        let bound = UnixListener::bind("/srv/socket", ListenOptions::default());
        assert_eq!(bound.expect_err("it is there").kind(), ErrorKind::AddrInUse);
        drop((listen(), bind(53), bind(54)));
    });
    world.run().expect("all ports are free");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_job_under_way_has_no_effect() {
    let world = World::new(7, WorldConfig { blocking_threads_max: 1, ..WorldConfig::calm() });
    let started = Rc::new(Cell::new(false));
    let tells = Rc::clone(&started);
    world.add_program("/bin/child", move |_| {
        tells.set(true);
        async { 0 }
    });
    let host = world.host("host");
    host.add_file("/srv", "a", b"old");
    host.run(async move {
        let opened = OpenOptions::new().write(true).open(root(), "a".into()).await;
        let file = opened.expect("it is there");
        let write = spawn(async move { file.write_at(0, "new").await });
        let folder = spawn(file::create_folder(root(), "folder".into()));
        let call = spawn(offload::compute(|| panic!("it runs on a machine that is off")));
        let child = spawn(async { Command::new("child").status().await.map(drop) });
        drop((write.await, folder.await, call.await, child.await));
    });
    // One thread has begun the first, the others wait for it; and all threads are free again after the restart.
    let victim = host.clone();
    let hook = move |_: &World| {
        victim.crash();
        victim.restart();
        victim.run(async move {
            let content = async || file::read(root(), "a".into(), 9).await.expect("it is there");
            assert_eq!(content().await, b"old");
            sleep(SECOND).await;
            assert_eq!(content().await, b"old");
            let folder = file::metadata(root(), "folder".into()).await;
            assert_eq!(folder.expect_err("it was not made").kind(), ErrorKind::NotFound);
        });
    };
    world.at(Instant::from_nanos(150_000), hook);
    world.run().expect("it ends well");
    assert!(!started.get());
    assert_eq!(world.leaks(), Vec::<String>::new());
}

/// What a crash leaves of a file that was synced with "old old!", and then written to twice.
fn after_crash(seed: u64, is_synced: bool) -> Vec<u8> {
    let run = || {
        let world = World::new(seed, WorldConfig::calm());
        let host = world.host("host");
        host.add_file("/srv", "a", b"old old!");
        let victim = host.clone();
        host.run(async move {
            let opened = OpenOptions::new().write(true).open(root(), "a".into()).await;
            let file = opened.expect("it is there");
            file.write_at(0, "new").await.expect("the disk works");
            file.write_at(4, "new, and longer").await.expect("the disk works");
            if is_synced {
                file.sync_all().await.expect("the disk works");
            }
            victim.crash();
        });
        let report = world.run().expect("it ends well");
        host.restart();
        let disk = host.file_on_disk("/srv/a").expect("its name is there");
        assert_eq!(host.file("/srv/a").expect("its name is there"), disk);
        (report.trace_hash, disk)
    };
    let first = run();
    assert_eq!(first, run());
    first.1
}

#[test]
fn what_was_synced_is_there_and_the_rest_perhaps() {
    let (old, new) = (b"old old!".to_vec(), b"new new, and longer".to_vec());
    let (mut all, mut none, mut torn, mut swapped) = (0, 0, 0, 0);
    for seed in 0..200 {
        assert_eq!(after_crash(seed, true), new);
        let left = after_crash(seed, false);
        all += u32::from(left == new);
        none += u32::from(left == old);
        torn += u32::from(left.len() > old.len() && left.len() < new.len());
        swapped += u32::from(left == b"old new, and longer");
        assert!([b"old ", b"new ", b"ned ", b"nld "].contains(&&left[..4].try_into().unwrap()));
    }
    assert!(all > 30 && none > 30 && torn > 5 && swapped > 1, "{all} {none} {torn} {swapped}");
}

/// What a crash leaves of a folder in which a file was written aside and given the name of another, and one made.
fn names_after_crash(seed: u64, is_synced: bool) -> [Option<Vec<u8>>; 3] {
    let world = World::new(seed, WorldConfig::calm());
    let host = world.host("host");
    host.add_file("/srv", "a", b"old");
    let victim = host.clone();
    host.run(async move {
        let opened = OpenOptions::new().write(true).create(true).open(root(), "b".into()).await;
        let aside = opened.expect("the disk works");
        aside.write_at(0, "new").await.expect("the disk works");
        aside.sync_all().await.expect("the disk works");
        file::rename(root(), "b".into(), "a".into()).await.expect("both are there");
        file::write(root(), "c".into(), "").await.expect("the disk works");
        if is_synced {
            let folder = File::open("/".into(), "srv".into()).await.expect("it is there");
            folder.sync_all().await.expect("the disk works");
        }
        victim.crash();
    });
    world.run().expect("it ends well");
    ["a", "b", "c"].map(|name| host.file(format!("/srv/{name}")))
}

#[test]
fn names_are_there_in_the_order_in_which_they_were_made() {
    let is = |content: &str| Some(content.as_bytes().to_vec());
    let all = [is("new"), None, is("")];
    let states = [
        [is("old"), None, None],
        [is("old"), is("new"), None],
        [is("new"), None, None],
        all.clone(),
    ];
    let mut seen = [0; 4];
    for seed in 0..200 {
        assert_eq!(names_after_crash(seed, true), all);
        let left = names_after_crash(seed, false);
        let state = states.iter().position(|state| *state == left);
        seen[state.unwrap_or_else(|| panic!("seed {seed}: {left:?}"))] += 1;
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}

#[test]
fn a_restart_finds_the_machine_as_it_was_and_empty() {
    let world = Rc::new(World::new(7, WorldConfig::calm()));
    world.add_name("service", &[Ipv4Addr::LOCALHOST.into()]);
    let host = world.host("host");
    host.set_date_ahead(HOUR);
    host.add_file("/srv", "a", b"content");
    let drawn = Rc::new(Cell::new(0));
    let draw = Rc::clone(&drawn);
    host.run(async move {
        draw.set(random());
        resolve("service", 80).await.expect("it is known");
        let _held = (listen(), bind(53));
        pending::<()>().await;
    });
    let (room, other, twin) = (Rc::clone(&world), host.clone(), host.clone());
    world.at(at(1000), move |_| {
        let before = (other.ip(), other.ip_v6());
        other.crash();
        // A machine that is off is off.
        other.crash();
        other.restart();
        assert_eq!((other.ip(), other.ip_v6()), before);
        room.add_name("service", &[Ipv4Addr::new(10, 9, 9, 9).into()]);
        let ledger = other.shard().ledger();
        assert!(ledger.tasks.is_empty() && ledger.timers.is_empty(), "{ledger}");
        other.run(async move {
            assert_eq!(now(), at(1000));
            assert_ne!(random(), drawn.get(), "draws go on");
            let found = resolve("service", 80).await.expect("it is known");
            assert_eq!(found[0].ip(), Ipv4Addr::new(10, 9, 9, 9), "nothing is remembered");
            let content = file::read(root(), "a".into(), 99).await.expect("it is there");
            assert_eq!(content, b"content");
            let date = wall_clock().expect("it has one");
            assert_eq!(date.as_secs(), 1_767_225_600 + 3600 + 1);
            drop((listen(), bind(53)));
        });
    });
    world.run().expect("it ends well");
    drop((twin, host));
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn timers_and_tasks_of_a_life_end_with_it() {
    let world = World::new(7, WorldConfig::calm());
    let host = world.host("host");
    let ticks: Rc<RefCell<Vec<(u32, Instant)>>> = Rc::default();
    let log = Rc::clone(&ticks);
    let ticker = move |life| {
        let log = Rc::clone(&log);
        async move {
            for _ in 0..3 {
                sleep(SECOND).await;
                log.borrow_mut().push((life, now()));
            }
        }
    };
    host.run(ticker(1));
    world.at(at(1500), move |_| {
        host.restart();
        host.run(ticker(2));
    });
    let report = world.run().expect("it ends well");
    let expected = [(1, at(1000)), (2, at(2500)), (2, at(3500)), (2, at(4500))];
    assert_eq!((&*ticks.borrow(), report.at), (&expected.to_vec(), at(4500)));
}

#[test]
fn nothing_from_before_reaches_the_machine_itself() {
    let world = World::new(7, WorldConfig::calm());
    let host = world.host("host");
    let own = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    host.run(async move {
        let (listener, _socket) = (listen(), bind(53));
        let mut stream = TcpStream::connect(own(80)).await.expect("it listens");
        let _other = listener.accept().await.expect("it has come");
        let (mut one, _two) = UnixStream::pair().expect("there are tokens");
        // All of it is under way, a SYN as well.
        stream.write_all(b"x").await.expect("there is room");
        one.write_all(b"x").await.expect("there is room");
        bind(0).send_to(b"x", own(53)).await.expect("there is room");
        drop(spawn(TcpStream::connect(own(80))));
        pending::<()>().await;
    });
    let twin = host.clone();
    world.at(Instant::from_nanos(50_000), move |_| {
        twin.restart();
        twin.run(async {
            let (listener, socket) = (listen(), bind(53));
            assert!(timeout(SECOND, listener.accept()).await.is_err());
            assert!(timeout(SECOND, socket.recv_from(&mut [0; 9])).await.is_err());
        });
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn child_processes_go_with_their_machine() {
    let world = World::new(7, WorldConfig::calm());
    let ticks: Rc<RefCell<Vec<Instant>>> = Rc::default();
    let log = Rc::clone(&ticks);
    world.add_program("/bin/ticks", move |_| {
        let log = Rc::clone(&log);
        async move {
            // On a shard of its own, with jobs of its own.
            loop {
                sleep(SECOND).await;
                file::write(root(), "tick".into(), "x").await.expect("the disk works");
                log.borrow_mut().push(now());
            }
        }
    });
    let host = world.host("host");
    host.add_folder("/srv");
    let victim = host.clone();
    host.run(async move {
        let mut child = Command::new("ticks").spawn().await.expect("it is known");
        child.wait().await.expect("it has no end");
    });
    world.host("other").run(async move {
        sleep(SECOND * 3).await;
        assert_eq!(victim.processes().len(), 1);
        victim.restart();
        sleep(LATENCY).await;
        assert!(victim.processes().is_empty());
        sleep(SECOND * 3).await;
    });
    world.run().expect("it ends well");
    assert_eq!(ticks.borrow().len(), 2);
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn all_shards_of_a_machine_crash_and_come_back() {
    let world = World::new(7, WorldConfig::calm());
    let one = world.host("server");
    let other = world.add_shard(&one);
    let ended = Rc::new(Cell::new(0));
    for shard in [&one, &other] {
        let shard = shard.clone();
        shard.run(async {
            let _held = bind(0);
            pending::<()>().await;
        });
    }
    let count = Rc::clone(&ended);
    world.at(at(1000), move |_| {
        // Whichever of them is asked.
        other.crash();
        one.restart();
        for shard in [one, other] {
            let count = Rc::clone(&count);
            shard.run(async move {
                sleep(SECOND).await;
                count.set(count.get() + 1);
            });
        }
    });
    world.run().expect("it ends well");
    assert_eq!(ended.get(), 2);
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_program_that_crashes_its_machine_ends_with_its_turn() {
    let world = World::new(7, WorldConfig::calm());
    let host = world.host("host");
    let twin = host.clone();
    let reached = Rc::new(Cell::new(false));
    let beyond = Rc::clone(&reached);
    host.run(async move {
        twin.crash();
        // As after a signal: until its turn ends the kernel is there.
        let _socket = bind(53);
        sleep(LATENCY).await;
        beyond.set(true);
    });
    world.run().expect("it ends well");
    assert!(!reached.get());
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
#[should_panic(
    expected = "server has crashed, or was killed: it is restarted before a program starts on it"
)]
fn a_machine_that_is_off_runs_nothing() {
    let world = World::new(7, WorldConfig::calm());
    let server = world.host("server");
    server.crash();
    server.run(async {});
}

/// The kernel of a program that a signal killed stays; the next program comes after the end of the last.
#[test]
fn a_restart_after_a_signal_keeps_the_kernel() {
    let world = World::new(7, WorldConfig { record: true, ..WorldConfig::calm() });
    world.add_program("/bin/orphan", |_| async {
        sleep(SECOND * 5).await;
        0
    });
    let (server, client) = (world.host("server"), world.host("client"));
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    server.run(async move {
        let _child = Command::new("orphan").spawn().await.expect("it is known");
        // Begun when the signal comes: no thread is left that would run it.
        let begins = async {
            sleep(millis(4) - Duration::from_micros(150)).await;
            offload::compute(move || runs.store(true, Ordering::Relaxed)).await.expect("it runs");
        };
        join!(begins, echo());
    });
    let victim = server.clone();
    client.run(async move {
        let mut stream = connected(&victim).await;
        victim.signal(Signal::Terminate);
        // At the same instant: its sockets are still to be closed.
        victim.restart();
        victim.run(async {
            assert_eq!(now(), at(4));
            let listener = listen();
            drop(listener.accept().await.expect("the client comes again"));
        });
        assert_eq!(read(&mut stream).await, Ok(vec![]), "the kernel says that it is over");
        TcpStream::connect(victim.address(80)).await.expect("the next program listens");
        assert_eq!(victim.processes().len(), 1, "children go on");
        sleep(SECOND * 6).await;
        assert!(victim.processes().is_empty());
    });
    let report = world.run().expect("it ends well");
    assert_eq!(report.killed, Vec::<String>::new());
    assert!(!has(&world.trace(), "server crashes") && !ran.load(Ordering::Relaxed));
    // And one that is long dead.
    server.signal(Signal::Terminate);
    assert_eq!(world.run().expect("it ends well").killed, ["server"]);
    server.restart();
    server.run(async { drop(listen()) });
    assert_eq!(world.run().expect("it ends well").killed, Vec::<String>::new());
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_program_that_is_paused_does_nothing_and_its_kernel_goes_on() {
    let world = World::new(7, WorldConfig { record: true, ..WorldConfig::calm() });
    let (server, client) = (world.host("server"), world.host("client"));
    let second = world.add_shard(&server);
    let ticks: Rc<RefCell<Vec<Instant>>> = Rc::default();
    for shard in [&server, &second] {
        let log = Rc::clone(&ticks);
        shard.spawn(async move {
            loop {
                sleep(SECOND).await;
                log.borrow_mut().push(now());
            }
        });
    }
    server.add_file("/srv", "a", b"x");
    let came = Rc::new(Cell::new(None));
    let told = Rc::clone(&came);
    server.run(async move {
        let (listener, socket) = (listen(), bind(53));
        drop(spawn(async move {
            // It ends while the program is paused, and is told afterwards.
            sleep(millis(2499) + Duration::from_micros(950)).await;
            file::remove(root(), "a".into()).await.expect("it is there");
            told.set(Some(now()));
        }));
        let (mut stream, _) = listener.accept().await.expect("a client comes");
        let mut count = 0;
        while let Ok(more @ 1..) = stream.read(&mut [0; 4096]).await {
            count += more;
        }
        // The window opens when it is read, and the rest and the end come.
        assert_eq!((count, now()), (100_000, at(7502)));
        listener.accept().await.expect("it came meanwhile");
        socket.recv_from(&mut [0; 9]).await.expect("it came meanwhile");
        assert_eq!(now(), at(7502));
    });
    let paused = server.clone();
    client.run(async move {
        sleep(millis(2500)).await;
        paused.pause();
        assert!(paused.file("/srv/a").is_some());
        // More than a send buffer: the other kernel takes it, and says so.
        let mut stream = TcpStream::connect(paused.address(80)).await.expect("it listens");
        stream.write_all(&[7; 100_000]).await.expect("there is room");
        assert!(now() < at(2600));
        stream.shutdown_write().expect("it is open");
        let _other = TcpStream::connect(paused.address(80)).await.expect("it listens");
        bind(0).send_to(b"x", paused.address(53)).await.expect("there is room");
        assert!(paused.file("/srv/a").is_none(), "jobs end");
        sleep(at(7500) - now()).await;
        paused.resume();
        sleep(SECOND * 2).await;
    });
    world.run().expect("it ends well");
    let expected = [1000, 2000, 7500, 8500].map(at).map(|tick| [tick; 2]);
    assert_eq!(ticks.borrow()[..8], *expected.as_flattened());
    let trace = world.trace();
    let (from, to) = (at(2500), at(7500));
    let turns = trace.iter().filter(|line| line.contains(" server") && line.ends_with(" turn"));
    let seconds = turns.map(|line| line.split(' ').next().expect("it begins with the time"));
    let inside = |time: &&str| **time > *from.to_string() && **time < *to.to_string();
    assert_eq!(seconds.filter(inside).collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(came.get() == Some(at(7500)), "{:?}", came.get());
}

#[test]
fn a_program_that_is_to_go_next_does_not_when_it_is_paused() {
    let world = World::new(7, WorldConfig::calm());
    let (first, next) = (world.host("first"), world.host("next"));
    let ran = Rc::new(Cell::new(None));
    let runs = Rc::clone(&ran);
    let other = next.clone();
    first.run(async move {
        other.pause();
        sleep(SECOND).await;
        other.resume();
    });
    next.run(async move { runs.set(Some(now())) });
    world.run().expect("it ends well");
    assert_eq!(ran.get(), Some(at(1000)));
}

#[test]
fn signals_wait_for_a_program_that_is_paused() {
    let world = World::new(7, WorldConfig::calm());
    let (deaf, hears) = (world.host("deaf"), world.host("hears"));
    let told = Rc::new(Cell::new(None));
    let tells = Rc::clone(&told);
    hears.run(async move {
        let mut signals = Signals::subscribe().expect("they can be watched");
        signals.next().await.expect("one comes");
        tells.set(Some(now()));
    });
    let alive = Rc::new(());
    let (held, dies) = (Rc::clone(&alive), Rc::downgrade(&alive));
    drop(alive);
    deaf.run(async move {
        let _held = held;
        pending::<()>().await;
    });
    world.at(at(1000), move |world| {
        let both = [deaf, hears];
        for host in &both {
            host.pause();
            host.signal(Signal::Terminate);
        }
        world.at(at(3000), move |_| {
            assert_eq!(dies.strong_count(), 1);
            both.iter().for_each(Host::resume);
        });
    });
    let report = world.run().expect("it ends well");
    assert_eq!(report.killed, ["deaf"]);
    assert_eq!((told.get(), report.at), (Some(at(3000)), at(3000)));
}

#[test]
fn a_pause_for_ever_is_told_of() {
    let world = World::new(7, WorldConfig::calm());
    let host = world.host("host");
    host.run(async { sleep(SECOND).await });
    host.pause();
    let failure = world.run().expect_err("it never goes on").to_string();
    assert!(failure.contains("host is paused"), "{failure}");
}

/// A server that keeps what it is told on its disk before it says so, and asks a child each time.
async fn keeper() {
    let listener = listen();
    let socket = bind(53);
    drop(spawn(async move {
        while let Ok(received) = socket.recv_from(&mut [0; 9]).await {
            let _ = socket.send_to(b"pong", received.peer).await;
        }
    }));
    loop {
        let (mut stream, _) = listener.accept().await.expect("the listener works");
        drop(spawn(async move {
            let mut byte = [0; 1];
            while let Ok(1) = stream.read(&mut byte).await {
                let _ = Command::new("child").output().await;
                let mut options = OpenOptions::new();
                options = options.append(true).create(true);
                let opened = options.open(root(), "log".into()).await.expect("the disk works");
                opened.append(byte).await.expect("the disk works");
                opened.sync_all().await.expect("the disk works");
                // Its name is another thing.
                let folder = File::open("/".into(), "srv".into()).await.expect("it is there");
                folder.sync_all().await.expect("the disk works");
                if stream.write_all(&byte).await.is_err() {
                    return;
                }
            }
        }));
    }
}

/// Says a number until it is said back.
async fn insists(server: Host, number: u8) {
    loop {
        let said = async {
            let mut stream = TcpStream::connect(server.address(80)).await?;
            stream.write_all(&[number]).await?;
            Ok::<_, std::io::Error>(stream.read(&mut [0; 1]).await? == 1)
        };
        if let Ok(Ok(true)) = timeout(SECOND * 5, said).await {
            return;
        }
        sleep(millis(10)).await;
    }
}

/// Tells a server some numbers. What was said to be kept is kept.
async fn counts(server: Host) {
    let socket = bind(0);
    socket.send_to(b"ping", server.address(53)).await.expect("there is room");
    for number in 0..3 {
        insists(server.clone(), number).await;
        let log = server.file_on_disk("/srv/log").expect("it was made");
        assert!(log.contains(&number), "{number} was said to be kept, and is not in {log:?}");
    }
}

/// A run in which the machine of the server, or of the client, crashes at an instant and comes back.
fn keeps(crash: Option<(&'static str, Instant)>, down: Duration) -> World {
    let config = WorldConfig { record: true, segment_loss_permille: 20, ..WorldConfig::rough() };
    let world = World::new(11, config);
    world.add_program("/bin/child", |mut process| async move {
        let mut stdout = process.stdout.take().expect("it is piped");
        i32::from(stdout.write_all(b"out").await.is_err())
    });
    let (server, client) = (world.host("server"), world.host("client"));
    server.add_folder("/srv");
    server.spawn(keeper());
    client.run(counts(server.clone()));
    // So that it comes back.
    world.host("other").run(async { sleep(SECOND * 10).await });
    if let Some((name, instant)) = crash {
        let kept = server.clone();
        let victim = if name == "server" { server.clone() } else { client };
        world.at(instant, move |world| {
            victim.crash();
            world.at(instant + down, move |_| {
                victim.restart();
                if victim.name() == "server" {
                    victim.spawn(keeper());
                } else {
                    victim.run(counts(kept));
                }
            });
        });
    }
    if let Err(failure) = world.run() {
        panic!("crash at {crash:?}: {failure}");
    }
    server.crash();
    world.run().expect("nothing is left to do");
    assert_eq!(world.leaks(), Vec::<String>::new(), "crash at {crash:?}");
    world
}

#[test]
fn a_crash_at_each_instant_holds_and_is_the_same_twice() {
    let instants = keeps(None, SECOND).instants();
    assert!(instants.len() > 40, "{}", instants.len());
    // Nothing is left to happen at the last.
    for &instant in &instants[..instants.len() - 1] {
        // So that it is off for long, and back before what was under way.
        for (name, down) in [
            ("server", SECOND),
            ("server", Duration::ZERO),
            ("client", SECOND),
            ("client", Duration::ZERO),
        ] {
            let crash = Some((name, instant));
            let trace = keeps(crash, down).trace();
            assert_eq!(trace, keeps(crash, down).trace());
            assert!(has(&trace, &format!("{name} crashes")));
            assert!(has(&trace, &format!("{name} restarts")));
        }
    }
}

#[test]
fn a_pause_at_each_instant_makes_late_and_no_more() {
    let run = |pause: Option<Instant>| {
        let config = WorldConfig { record: true, ..WorldConfig::rough() };
        let world = World::new(3, config);
        let (server, client) = (world.host("server"), world.host("client"));
        server.spawn(echo());
        let talks = server.clone();
        client.run(async move {
            connected(&talks).await;
            sleep(SECOND * 2).await;
        });
        if let Some(instant) = pause {
            world.at(instant, move |world| {
                server.pause();
                world.at(instant + SECOND, move |_| server.resume());
            });
        }
        world.run().expect("it ends well");
        world
    };
    let instants = run(None).instants();
    for &instant in &instants[..instants.len() - 1] {
        let (one, other) = (run(Some(instant)), run(Some(instant)));
        assert_eq!(one.trace(), other.trace());
        assert!(has(&one.trace(), "server pauses") && has(&one.trace(), "server resumes"));
    }
}

/// Between two lives nobody is there who would run it.
#[test]
#[should_panic(expected = "was killed: it is restarted before a program starts on it")]
fn a_program_that_was_killed_runs_nothing() {
    let world = World::new(1, WorldConfig::calm());
    let server = world.host("server");
    server.signal(Signal::Terminate);
    server.run(async {});
}

/// What a machine had sent arrives behind its restart, and the acknowledgement finds a kernel that knows of nothing: a reset
/// (RFC 9293 §3.10.7.1). Where the machine is still off nobody answers, and an acknowledgement is not said again.
#[test]
fn an_acknowledgement_finds_the_new_kernel() {
    let learns = |downtime: Duration| {
        let world = World::new(7, WorldConfig::calm());
        let (server, client) = (world.host("server"), world.host("client"));
        let outcome = Rc::new(Cell::new(None));
        let told = Rc::clone(&outcome);
        server.run(async move {
            let (mut stream, _) = listen().accept().await.expect("a client comes");
            sleep(SECOND).await;
            stream.write_all(b"last words").await.expect("there is room");
            pending::<()>().await;
        });
        let victim = server.clone();
        world.at(at(0) + SECOND + LATENCY + LATENCY / 2, move |world| {
            victim.crash();
            world.at(world.now() + downtime, move |_| victim.restart());
        });
        client.run(async move {
            let mut stream = TcpStream::connect(server.address(80)).await.expect("it listens");
            assert_eq!(read(&mut stream).await, Ok(b"last words".to_vec()));
            let next = timeout(HOUR, read(&mut stream)).await.ok();
            told.set(next.map(|next| (next.err(), now())));
        });
        world.run().expect("it ends well");
        assert_eq!(world.leaks(), Vec::<String>::new());
        outcome.take()
    };
    // The acknowledgement goes at 1002 ms, and takes one; so does the reset.
    assert_eq!(learns(LATENCY), Some((Some(ErrorKind::ConnectionReset), at(1004))));
    assert_eq!(learns(SECOND), None);
}

/// A program that forgot a listener is killed: its kernel closes it, and the next program has the port.
#[test]
fn what_a_killed_program_forgot_is_closed() {
    let world = World::new(1, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    let kept = Rc::new(RefCell::new(None));
    let forgotten = Rc::clone(&kept);
    server.run(async move {
        *forgotten.borrow_mut() = Some(listen());
        pending::<()>().await;
    });
    let victim = server.clone();
    world.at(at(10), move |_| victim.signal(Signal::Terminate));
    let victim = server.clone();
    world.at(at(20), move |_| {
        victim.restart();
        victim.spawn(echo());
    });
    client.run(async move {
        sleep(millis(15)).await;
        let refused = TcpStream::connect(server.address(80)).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        sleep(millis(15)).await;
        connected(&server).await;
        // Its destructor asks in vain.
        kept.borrow_mut().take();
        connected(&server).await;
    });
    world.run().expect("it ends well");
}

#[test]
fn a_pause_right_after_a_restart_is_not_lost() {
    for is_resumed_at_once in [false, true] {
        let world = World::new(7, WorldConfig::calm());
        let server = world.host("server");
        world.host("clock").run(async { sleep(SECOND * 10).await });
        drop(server.spawn(pending::<()>()));
        let victim = server.clone();
        let started = Rc::new(Cell::new(None));
        let tell = Rc::clone(&started);
        world.at(at(1000), move |_| {
            // In one step, before the tasks of the old life are dropped.
            victim.signal(Signal::Terminate);
            victim.restart();
            victim.pause();
            victim.run(async move { tell.set(Some(now())) });
            if is_resumed_at_once {
                victim.resume();
            }
        });
        world.at(at(5000), move |_| server.resume());
        world.run().expect("it ends well");
        let expected = if is_resumed_at_once { at(1000) } else { at(5000) };
        assert_eq!(started.get(), Some(expected));
    }
}
