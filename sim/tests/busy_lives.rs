//! Polls that take time, where lives end in the middle of them, runs end, and models are wrong.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

use mainspring_executor::driver::Instant;
use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::{now, sleep, sleep_until, yield_now};
use mainspring_sim::{World, WorldConfig, spend};

const START: Instant = Instant::START;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn exactly(cost: Duration) -> RangeInclusive<Duration> {
    cost..=cost
}

async fn always_ready() {
    loop {
        yield_now().await;
    }
}

/// Tasks of a life that has ended are dropped, and that is no work of the next one.
#[test]
fn a_reset_button_leaves_no_work() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("host");
    host.set_poll_cost(|_| exactly(millis(10)));
    for _ in 0..3 {
        drop(host.spawn(always_ready()));
    }
    let began: Rc<Cell<Instant>> = Rc::default();
    let (told, starts) = (Rc::clone(&began), host.clone());
    world.at(START + millis(15), move |_| {
        starts.restart();
        starts.run(async move { told.set(now()) });
    });
    world.host("keeps").run(async { sleep(millis(100)).await });
    world.run().expect("it ends well");
    assert_eq!(began.get(), START + millis(25));
}

#[test]
fn the_dead_do_not_work() {
    let world = World::new(1, WorldConfig { record: true, ..WorldConfig::calm() });
    let host = world.host("host");
    host.set_poll_cost(|_| exactly(millis(500)));
    host.run(always_ready());
    world.at(START + millis(10), move |_| host.crash());
    world.host("keeps").run(async { sleep(Duration::from_secs(1)).await });
    world.run().expect("it ends well");
    let trace = world.trace();
    let works = |line: &&String| line.contains("spends") || line.contains("stalls");
    assert_eq!(trace.iter().find(works), None);
}

#[test]
fn a_shard_that_is_shut_down_can_be_used_again() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("host");
    host.set_poll_cost(|_| exactly(millis(10)));
    for _ in 0..3 {
        drop(host.spawn(always_ready()));
    }
    let (resets, ran) = (host.clone(), Rc::new(Cell::new(false)));
    let told = Rc::clone(&ran);
    world.at(START + millis(15), move |_| {
        resets.shard().shutdown();
        drop(resets.spawn(async move { told.set(true) }));
    });
    world.host("keeps").run(async { sleep(millis(100)).await });
    world.run().expect("it ends well");
    assert!(ran.get());
}

/// Many machines of which always one is busy with a beat of its heart: the run ends with its foreground.
#[test]
fn what_timers_begin_does_not_hold_up_a_run() {
    let config = WorldConfig { virtual_time_max: Duration::from_secs(20), ..WorldConfig::calm() };
    let world = World::new(1, config);
    for number in 0..300_u64 {
        let host = world.host(&format!("host-{number}"));
        host.set_poll_cost(|_| Duration::from_micros(300)..=Duration::from_micros(700));
        drop(host.spawn(async move {
            sleep(Duration::from_micros(33 * number)).await;
            loop {
                sleep(millis(10)).await;
            }
        }));
    }
    world.host("client").run(async { sleep(millis(100)).await });
    assert_eq!(world.run().expect("it ends").at, START + millis(100));
}

/// What a packet has begun is done before the run ends, also on a shard that a timer had woken.
#[test]
fn what_packets_begin_is_done() {
    let world = World::new(1, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    server.set_poll_cost(|_| exactly(millis(30)));
    let came = Rc::new(Cell::new(false));
    let told = Rc::clone(&came);
    let address = server.address(53);
    drop(server.spawn(async move {
        let socket = UdpSocket::bind(address).expect("a free port");
        sleep_until(START + millis(99)).await;
        socket.recv_from(&mut [0]).await.expect("one comes");
        told.set(true);
    }));
    client.run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        sleep(millis(100)).await;
        socket.send_to(b"x", address).await.expect("there is room");
    });
    world.run().expect("it ends well");
    assert!(came.get());
}

#[test]
#[should_panic(expected = "a wrong model")]
fn a_model_that_panics_ends_the_run_once() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("host");
    host.set_poll_cost(|_| panic!("a wrong model"));
    host.run(async {});
    host.run(async {});
    drop(world.run());
}

#[test]
#[should_panic(expected = "a range of durations starts with the shortest")]
fn a_range_that_ends_before_it_starts_is_told() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("host");
    host.set_poll_cost(|_| millis(10)..=millis(1));
    host.run(async {});
    drop(world.run());
}

/// Before what a shard that is ahead has sent, the line is free, but no faster.
#[test]
fn a_line_has_its_bandwidth_also_before_what_was_sent_later() {
    let arrived = |is_ahead: bool| {
        let world = World::new(1, WorldConfig::calm());
        let (from, to) = (world.host("from"), world.host("to"));
        let other = world.add_shard(&from);
        world.set_bandwidth(&from, &to, 1_000_000, 1_000_000_000);
        let address = to.address(53);
        let last: Rc<Cell<Instant>> = Rc::default();
        let told = Rc::clone(&last);
        to.run(async move {
            let socket = UdpSocket::bind(address).expect("a free port");
            let mut buffer = [0; 1000];
            for _ in 0..51 {
                if socket.recv_from(&mut buffer).await.expect("one comes").count == 1000 {
                    told.set(now());
                }
            }
        });
        let any = ([0, 0, 0, 0], 0).into();
        from.run(async move {
            let socket = UdpSocket::bind(any).expect("a free port");
            sleep(millis(1)).await;
            if is_ahead {
                spend(Duration::from_secs(1));
            }
            socket.send_to(b"late", address).await.expect("there is room");
        });
        other.run(async move {
            let socket = UdpSocket::bind(any).expect("a free port");
            sleep(millis(2)).await;
            for _ in 0..50 {
                socket.send_to(&[7; 1000], address).await.expect("there is room");
            }
        });
        world.run().expect("it ends well");
        last.get()
    };
    // 50 datagrams of 1,000 bytes and 40 of headers, a microsecond a byte, and a millisecond on the way.
    assert_eq!(arrived(true), START + millis(3) + Duration::from_micros(50 * 1040));
    assert_eq!(arrived(false), arrived(true));
}
