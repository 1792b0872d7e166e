//! Programs of several shards on one machine, through the public interface only.

use core::cell::{Cell, RefCell};
use core::net::Ipv4Addr;
use core::time::Duration;
use std::io::ErrorKind;
use std::rc::Rc;

use futures::StreamExt;
use futures::channel::mpsc;
use mainspring_executor::driver::{Exhausted, Instant, ListenOptions, Signal};
use mainspring_executor::file::File;
use mainspring_executor::net::{DetachedStream, TcpListener, TcpStream, UdpSocket, UnixListener};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::sleep;
use mainspring_executor::{random, spawn};
use mainspring_sim::{Host, World, WorldConfig};

const SHARED: ListenOptions = ListenOptions { backlog: 1024, reuse_port: true };

fn listen(options: ListenOptions) -> TcpListener {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80).into(), options).expect("a free port")
}

/// Gives back what it gets, until the peer ends.
async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Sends some words, one after the other, and expects each back.
async fn talk(server: Host, words: u32) {
    sleep(Duration::from_micros(random() % 1000)).await;
    let mut stream = TcpStream::connect(server.address(80)).await.expect("somebody listens");
    for word in 0..words {
        stream.write_all(&word.to_be_bytes()).await.expect("somebody reads");
        let mut answer = Vec::new();
        while answer.len() < 4 {
            let mut buffer = [0; 4];
            let count = stream.read(&mut buffer).await.expect("somebody answers");
            assert_ne!(count, 0, "it ended early");
            answer.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(answer, word.to_be_bytes());
    }
}

#[test]
fn shards_of_a_machine_share_what_is_the_machines() {
    let world = World::new(1, WorldConfig { tokens_max: 6, ..WorldConfig::calm() });
    let one = world.host("server");
    let other = world.add_shard(&one);
    assert_eq!((one.name(), other.name()), ("server", "server/1"));
    assert_eq!((one.ip(), one.ip_v6()), (other.ip(), other.ip_v6()));
    one.add_file("/srv", "a.txt", b"hello");
    let held = Rc::new(RefCell::new(None));
    let hold = Rc::clone(&held);
    one.run(async move {
        let tcp = listen(ListenOptions::default());
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53).into()).expect("a free port");
        let unix = UnixListener::bind("/srv/socket", ListenOptions::default());
        hold.replace(Some((tcp, udp, unix.expect("a free path"))));
    });
    world.run().expect("it ends well");
    other.run(async {
        let at = |port| (Ipv4Addr::UNSPECIFIED, port).into();
        let tcp = TcpListener::bind(at(80), ListenOptions::default()).unwrap_err();
        let udp = UdpSocket::bind(at(53)).unwrap_err();
        let unix = UnixListener::bind("/srv/socket", ListenOptions::default()).unwrap_err();
        for error in [tcp, udp, unix] {
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
        let file = File::open("/srv".into(), "a.txt".into()).await.expect("it is there");
        assert_eq!(file.read_at(0, 9).await.expect("it can be read"), b"hello");
        // Three descriptors are open in the other shard, and the file in this one.
        let _two = [(); 2].map(|()| UdpSocket::bind(at(0)).expect("the last two"));
        assert!(Exhausted::is(&UdpSocket::bind(at(0)).unwrap_err()));
    });
    world.run().expect("it ends well");
    held.take();
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_shared_port_gives_each_shard_some() {
    let run = |seed| {
        let world = World::new(seed, WorldConfig::rough());
        let first = world.host("server");
        let shards = [first.clone(), world.add_shard(&first), world.add_shard(&first)];
        let counts = Rc::new(RefCell::new([0; 3]));
        for (index, shard) in shards.iter().enumerate() {
            let counts = Rc::clone(&counts);
            drop(shard.spawn(async move {
                let listener = listen(SHARED);
                loop {
                    let (stream, _) = listener.accept().await.expect("sockets enough");
                    counts.borrow_mut()[index] += 1;
                    drop(spawn(echo(stream)));
                }
            }));
        }
        for number in 0..30 {
            let client = world.host(&format!("client-{number}"));
            client.run(talk(first.clone(), 3));
        }
        let report = world.run().expect("it ends well");
        let counts = *counts.borrow();
        assert_eq!(counts.iter().sum::<usize>(), 30, "seed {seed}");
        (counts, report.trace_hash)
    };
    let mut seen = [0; 3];
    for seed in 0..10 {
        let (counts, hash) = run(seed);
        assert_eq!((counts, hash), run(seed), "seed {seed}");
        for (seen, count) in seen.iter_mut().zip(counts) {
            *seen += count;
        }
    }
    assert!(seen.iter().all(|count| *count > 50), "each gets about a third: {seen:?}");
}

/// A shard that accepts, and hands each connection to one of the others.
fn handing_over(seed: u64) -> (Vec<String>, u64) {
    let config = WorldConfig { record: true, ..WorldConfig::rough() };
    let world = World::new(seed, config);
    let server = world.host("server");
    let workers = [world.add_shard(&server), world.add_shard(&server)];
    let senders = workers.map(|worker| {
        let (sender, mut connections) = mpsc::unbounded::<DetachedStream>();
        worker.run(async move {
            while let Some(connection) = connections.next().await {
                let stream = connection.attach().expect("it can be taken in");
                drop(spawn(echo(stream)));
            }
        });
        sender
    });
    server.run(async move {
        let listener = listen(ListenOptions::default());
        for number in 0..20 {
            let (mut stream, peer) = listener.accept().await.expect("sockets enough");
            // Some of it is read here already; who takes it finds it.
            stream.fill().await.expect("a client talks");
            let detached = stream.detach().expect("it can be let go");
            assert_eq!(detached.peer_addr(), peer);
            senders[number % 2].unbounded_send(detached).expect("it listens");
        }
    });
    for number in 0..20 {
        world.host(&format!("client-{number}")).run(talk(server.clone(), 5));
    }
    let report = world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new(), "seed {seed}");
    (world.trace(), report.trace_hash)
}

#[test]
fn connections_are_handed_over_and_each_seed_is_one_run() {
    for seed in 0..20 {
        let (first, second) = (handing_over(seed), handing_over(seed));
        assert!(first == second, "seed {seed}");
        let count = |what: &str| first.0.iter().filter(|line| line.contains(what)).count();
        assert_eq!((count("server detach"), count(" adopt ")), (20, 20));
        assert_eq!((count("server/1 adopt"), count("server/2 adopt")), (10, 10));
    }
}

#[test]
fn what_is_between_two_shards_is_a_leak_if_nobody_drops_it() {
    let world = World::new(1, WorldConfig::calm());
    let server = world.host("server");
    let client = world.host("client");
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    server.run(async move {
        let (stream, _) = listen(ListenOptions::default()).accept().await.expect("one comes");
        keep.replace(Some(stream.detach().expect("it can be let go")));
    });
    let ended = Rc::new(Cell::new(false));
    let tell = Rc::clone(&ended);
    drop(client.spawn(async move {
        let mut stream = TcpStream::connect(server.address(80)).await.expect("somebody listens");
        assert_eq!(stream.read(&mut [0; 9]).await.expect("no reset"), 0);
        tell.set(true);
    }));
    world.run().expect("it ends well");
    let leaks = world.leaks();
    let detached = "server: kernel: detached connection 10.0.0.1:80 to 10.0.0.2:32768";
    assert!(leaks.iter().any(|leak| leak == detached), "{leaks:?}");
    assert!(!ended.get());
    kept.take();
    world.run().expect("it ends well");
    assert!(ended.get(), "dropped, it was closed");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_socket_does_not_leave_its_machine() {
    let world = World::new(1, WorldConfig::calm());
    let (one, other) = (world.host("one"), world.host("other"));
    let (sender, mut receiver) = mpsc::unbounded();
    one.run(async move {
        let listener = listen(ListenOptions::default()).detach().expect("it can be let go");
        sender.unbounded_send(listener).expect("it waits");
    });
    other.run(async move {
        drop(receiver.next().await.expect("one comes").attach());
    });
    let failure = world.run().unwrap_err().to_string();
    assert!(failure.contains("a socket does not leave its machine"), "{failure}");
}

/// Tells when it is told.
async fn await_signal(told: Rc<Cell<u32>>) {
    let mut signals = Signals::subscribe().expect("signals can be watched");
    assert_eq!(signals.next().await.expect("signals can be watched"), Signal::Terminate);
    told.set(told.get() + 1);
}

#[test]
fn a_signal_is_for_all_shards_of_a_program() {
    let told = Rc::new(Cell::new(0));
    let world = World::new(1, WorldConfig::calm());
    let one = world.host("server");
    let other = world.add_shard(&one);
    for shard in [&one, &one, &other] {
        shard.run(await_signal(Rc::clone(&told)));
    }
    world.at(Instant::START + Duration::from_secs(1), move |_| other.signal(Signal::Terminate));
    world.run().expect("it ends well");
    assert_eq!(told.get(), 3);
    // And who has not subscribed dies with all of them.
    let world = World::new(1, WorldConfig::calm());
    let one = world.host("server");
    let other = world.add_shard(&one);
    one.run(core::future::pending());
    other.run(async {
        let _listener = listen(SHARED);
        core::future::pending::<()>().await;
    });
    world.at(Instant::START + Duration::from_secs(1), move |_| one.signal(Signal::Terminate));
    assert_eq!(world.run().expect("it ends well").killed, ["server"]);
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_shard_that_starts_late_misses_no_signal() {
    let told = Rc::new(Cell::new(0));
    let world = World::new(1, WorldConfig::calm());
    let one = world.host("server");
    let other = world.add_shard(&one);
    let (raise, late) = (one.clone(), Rc::clone(&told));
    // The first has subscribed when the signal comes, the second has not had a turn.
    let early = Rc::clone(&told);
    one.run(async move {
        let subscribed = await_signal(early);
        raise.signal(Signal::Terminate);
        subscribed.await;
    });
    other.run(await_signal(late));
    world.run().expect("it ends well");
    assert_eq!(told.get(), 2);
    // Nobody subscribes: when all have started, it kills.
    let world = World::new(1, WorldConfig::calm());
    let one = world.host("server");
    let other = world.add_shard(&one);
    let raise = one.clone();
    one.run(async move {
        raise.signal(Signal::Terminate);
        sleep(Duration::from_secs(1)).await;
        unreachable!("it was killed before");
    });
    other.run(async {
        let _others = Signals::subscribe_to(&[Signal::Interrupt]).expect("it can be watched");
        core::future::pending::<()>().await;
    });
    let report = world.run().expect("it ends well");
    assert_eq!((report.killed, report.at), (vec!["server".to_owned()], Instant::START));
}

#[test]
fn signals_of_one_kind_that_nobody_asked_for_yet_are_one() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    let raise = host.clone();
    host.run(async move {
        let mut signals = Signals::subscribe_to(&Signal::ALL).expect("signals can be watched");
        for signal in [Signal::User1, Signal::Hangup, Signal::User1, Signal::User1] {
            raise.signal(signal);
        }
        assert_eq!(signals.next().await.expect("one came"), Signal::User1);
        assert_eq!(signals.next().await.expect("one came"), Signal::Hangup);
        let mut none = core::pin::pin!(signals.next());
        assert!(futures::poll!(none.as_mut()).is_pending());
    });
    world.run().expect("it ends well");
}
