//! Datagrams between hosts: what a network may do to them, through the public interface only.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::rc::Rc;

use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::{Host, World, WorldConfig};

const PORT: u16 = 53;

fn bind(port: u16) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port).into()).expect("a free port")
}

/// Sends numbers from one host to another (or the same); gives which arrived, in order, and the trace.
fn arrivals(
    seed: u64,
    config: WorldConfig,
    count: u16,
    is_loopback: bool,
) -> (Vec<u16>, Vec<String>) {
    let world = World::new(seed, WorldConfig { record: true, ..config });
    let (sender, receiver) = (world.host("sender"), world.host("receiver"));
    let receiver = if is_loopback { sender.clone() } else { receiver };
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (target, tell) = (receiver.address(PORT), Rc::clone(&seen));
    receiver.run(async move {
        let socket = bind(PORT);
        let mut buffer = [0; 2];
        while let Ok(received) =
            timeout(Duration::from_secs(1), socket.recv_from(&mut buffer)).await
        {
            assert_eq!(received.expect("nothing is refused").count, 2);
            tell.borrow_mut().push(u16::from_be_bytes(buffer));
        }
    });
    sender.run(async move {
        let socket = bind(0);
        sleep(Duration::from_millis(1)).await;
        for number in 0..count {
            socket.send_to(&number.to_be_bytes(), target).await.expect("there is room");
            sleep(Duration::from_micros(100)).await;
        }
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
    let seen = seen.borrow().clone();
    (seen, world.trace())
}

fn count(trace: &[String], what: &str) -> usize {
    trace.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn a_calm_network_brings_each_once_and_in_order() {
    let (seen, _) = arrivals(1, WorldConfig::calm(), 100, false);
    assert!(seen.into_iter().eq(0..100));
}

#[test]
fn what_is_lost_is_in_the_trace() {
    let config = WorldConfig { datagram_loss_permille: 300, ..WorldConfig::calm() };
    for seed in 0..20 {
        let (seen, trace) = arrivals(seed, config.clone(), 100, false);
        let lost = count(&trace, "datagram lost");
        assert_eq!(seen.len() + lost, 100, "seed {seed}");
        assert!((5..70).contains(&lost), "seed {seed}: {lost} of 100");
    }
    let config = WorldConfig { datagram_loss_permille: 1000, ..WorldConfig::calm() };
    assert!(arrivals(1, config, 100, false).0.is_empty());
}

#[test]
fn what_comes_twice_comes_twice() {
    let config = WorldConfig { datagram_duplication_permille: 1000, ..WorldConfig::calm() };
    let (seen, _) = arrivals(1, config, 50, false);
    assert!(seen.into_iter().eq((0..50).flat_map(|number| [number, number])));
    let config = WorldConfig { datagram_duplication_permille: 300, ..WorldConfig::calm() };
    let (seen, _) = arrivals(1, config, 100, false);
    assert!((110..190).contains(&seen.len()), "{}", seen.len());
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 100);
}

#[test]
fn datagrams_overtake_each_other_between_hosts_only() {
    let spread = Duration::from_micros(50)..=Duration::from_millis(5);
    let config = WorldConfig {
        latency: spread.clone(),
        loopback_latency: spread,
        datagram_loss_permille: 1000,
        datagram_duplication_permille: 1000,
        ..WorldConfig::calm()
    };
    for seed in 0..20 {
        let (seen, _) = arrivals(seed, config.clone(), 50, true);
        assert!(seen.into_iter().eq(0..50), "seed {seed}: a host does nothing to its own");
    }
    let config =
        WorldConfig { datagram_loss_permille: 0, datagram_duplication_permille: 0, ..config };
    for seed in 0..20 {
        let (mut seen, _) = arrivals(seed, config.clone(), 50, false);
        assert!(!seen.is_sorted(), "seed {seed}");
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..50), "seed {seed}: none is lost for that");
    }
}

#[test]
fn a_sender_waits_for_room() {
    // Datagrams leave its buffer when they arrive.
    let config = WorldConfig { send_buffer_bytes: 1000, ..WorldConfig::calm() };
    let world = World::new(1, config);
    let (sender, receiver) = (world.host("sender"), world.host("receiver"));
    let target = receiver.address(PORT);
    receiver.run(async {
        let socket = bind(PORT);
        for _ in 0..10 {
            socket.recv_from(&mut [0; 9]).await.expect("nothing is refused");
        }
    });
    let clock = Rc::new(world);
    let world = Rc::downgrade(&clock);
    sender.run(async move {
        let socket = bind(0);
        sleep(Duration::from_millis(1)).await;
        for _ in 0..10 {
            socket.send_to(b"x", target).await.expect("there is room, in the end");
        }
        let now = world.upgrade().expect("it runs").now();
        // Two at a time, each time for a latency of 1 ms.
        assert_eq!(now.as_nanos(), 5_000_000);
    });
    clock.run().expect("it ends well");
}

#[test]
fn nobody_at_a_port_is_told_and_nobody_at_an_address_is_not() {
    let world = World::new(1, WorldConfig::calm());
    let (one, other) = (world.host("one"), world.host("other"));
    let gone = other.address(PORT);
    one.run(async move {
        let socket = bind(0);
        socket.connect(gone).expect("there is a way");
        socket.send(b"anyone?").await.expect("nothing is known yet");
        let refused = socket.recv_from(&mut [0; 9]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        socket.connect((Ipv4Addr::new(10, 9, 9, 9), PORT).into()).expect("there is a way");
        socket.send(b"anyone?").await.expect("nothing is known yet");
        let silence = timeout(Duration::from_secs(60), socket.recv_from(&mut [0; 9])).await;
        assert!(silence.is_err());
    });
    world.run().expect("it ends well");
}

/// Asks until it is answered.
async fn ask(server: Host, number: u32) {
    let socket = bind(0);
    socket.connect(server.address(PORT)).expect("there is a way");
    let mut tries = 0;
    loop {
        tries += 1;
        assert!(tries < 100, "some get through");
        socket.send(&number.to_be_bytes()).await.ok();
        let mut answer = [0; 8];
        let received = timeout(Duration::from_millis(100), socket.recv_from(&mut answer)).await;
        let Ok(Ok(received)) = received else { continue };
        if received.count == 8 && answer[..4] == number.to_be_bytes() {
            assert_eq!(answer[4..], (number * 2).to_be_bytes());
            return;
        }
    }
}

#[test]
fn who_asks_again_gets_through_a_rough_network_and_each_seed_is_one_run() {
    let run = |seed| {
        let world = World::new(seed, WorldConfig::rough());
        let server = world.host("server");
        drop(server.spawn(async {
            let socket = bind(PORT);
            let mut question = [0; 4];
            loop {
                let Ok(received) = socket.recv_from(&mut question).await else { continue };
                let double = u32::from_be_bytes(question) * 2;
                let answer = [question, double.to_be_bytes()].concat();
                socket.send_to(&answer, received.peer).await.ok();
            }
        }));
        for name in ["a", "b", "c"] {
            let (client, server) = (world.host(name), server.clone());
            client.run(async move {
                for number in 0..20 {
                    ask(server.clone(), number).await;
                }
            });
        }
        world.run().expect("it ends well").trace_hash
    };
    let hashes: BTreeSet<u64> = (0..20)
        .map(|seed| {
            assert_eq!(run(seed), run(seed), "seed {seed}");
            run(seed)
        })
        .collect();
    assert_eq!(hashes.len(), 20);
}
