//! Polls that take time by what they say: the clock of their shard moves with them, nobody else's does, and nothing gets lost.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mainspring_executor::driver::{Driver, Instant, ListenOptions};
use mainspring_executor::metrics;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep, yield_now};
use mainspring_sim::{FailureKind, Host, World, WorldConfig, spend};

const SECOND: Duration = Duration::from_secs(1);

fn recorded() -> WorldConfig {
    WorldConfig { record: true, ..WorldConfig::calm() }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn stalls(host: &Host) -> u64 {
    host.shard().metrics().snapshot().stalls
}

#[test]
fn time_moves_and_the_turn_does_not_see_it() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("slow");
    let driver = host.driver();
    host.run(async move {
        let before = now();
        spend(SECOND);
        assert_eq!(now(), before, "time is sampled once a turn");
        assert_eq!(driver.now(), before + SECOND);
        // A moment that has passed by now: the next turn finds it.
        sleep(Duration::from_nanos(1)).await;
        assert_eq!(now(), before + SECOND);
    });
    let report = world.run().unwrap();
    assert_eq!(report.at, Instant::START + SECOND);
}

#[test]
fn a_poll_beyond_its_budget_is_a_stall() {
    let check = |spent: &[u64], is_yielding: bool, expected: u64| {
        let world = World::new(1, WorldConfig { stall_budget: millis(100), ..recorded() });
        let host = world.host("slow");
        let pieces = spent.to_vec();
        host.run(async move {
            sleep(SECOND).await;
            for piece in pieces {
                spend(millis(piece));
                if is_yielding {
                    yield_now().await;
                }
            }
        });
        world.run().unwrap();
        assert_eq!(stalls(&host), expected, "{spent:?}");
        let told =
            world.trace().iter().filter(|line| line.contains("slow stalls in task 0")).count();
        assert_eq!(told > 0, expected > 0, "{spent:?}");
        told
    };
    assert_eq!(check(&[99], false, 0), 0);
    assert_eq!(check(&[100], false, 1), 1);
    assert_eq!(check(&[50, 50], false, 1), 1);
    assert_eq!(check(&[50, 50, 50], true, 0), 0);
    assert_eq!(check(&[100, 100], true, 2), 2);
    // Again at each doubling: at 100, 200 and 400.
    assert_eq!(check(&[50; 10], false, 1), 3);
}

/// The time that a poll takes is its shard's own.
#[test]
fn others_go_on() {
    let world = World::new(1, recorded());
    let seen: Rc<RefCell<Vec<(u64, u64)>>> = Rc::default();
    let slow = world.host("slow");
    slow.run(async {
        sleep(millis(5)).await;
        spend(millis(100));
    });
    let other = world.host("other");
    for due in [30, 10, 20, 200] {
        let seen = Rc::clone(&seen);
        other.run(async move {
            sleep(millis(due)).await;
            seen.borrow_mut().push((due, now().as_nanos() / 1_000_000));
        });
    }
    let hook = Rc::clone(&seen);
    world.at(Instant::START + millis(15), move |world| {
        hook.borrow_mut().push((15, world.now().as_nanos() / 1_000_000));
    });
    world.run().unwrap();
    assert_eq!(*seen.borrow(), [(10, 10), (15, 15), (20, 20), (30, 30), (200, 200)]);
    // What the slow one has told of before comes where it belongs.
    let trace = world.trace();
    assert!(trace.is_sorted_by_key(|line| line.split(' ').next().map(str::to_owned)), "by time");
    assert!(trace.iter().any(|line| line.starts_with("0.105000000 slow spends")), "{trace:?}");
}

/// A host that is always ready and takes its time must not keep the network still.
#[test]
fn packets_arrive_while_a_host_is_busy() {
    let config = WorldConfig { virtual_time_max: Duration::from_secs(10), ..WorldConfig::calm() };
    let world = World::new(1, config);
    let server = world.host("server");
    let is_over = Rc::new(Cell::new(false));
    let (busy, tell) = (Rc::clone(&is_over), is_over);
    world.host("busy").run(async move {
        while !busy.get() {
            spend(millis(1));
            yield_now().await;
        }
    });
    server.run(async {
        let any = (Ipv4Addr::UNSPECIFIED, 80).into();
        let listener = TcpListener::bind(any, ListenOptions::default()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
    });
    let address = server.address(80);
    world.host("client").run(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 5);
        tell.set(true);
    });
    world.run().unwrap();
}

#[test]
fn a_run_cannot_spend_more_time_than_it_has() {
    let config = WorldConfig { virtual_time_max: Duration::from_secs(10), ..WorldConfig::calm() };
    let world = World::new(1, config);
    world.host("slow").run(async {
        loop {
            spend(SECOND);
            yield_now().await;
        }
    });
    assert_eq!(world.run().unwrap_err().kind, FailureKind::TimeLimit);
}

#[test]
fn the_same_seed_spends_the_same() {
    let run = |seed| {
        let world = World::new(seed, WorldConfig { record: true, ..WorldConfig::rough() });
        for name in ["a", "b", "c"] {
            world.host(name).run(async {
                for _ in 0..20 {
                    spend(Duration::from_micros(mainspring_executor::random() % 200_000));
                    sleep(Duration::from_micros(mainspring_executor::random() % 50_000)).await;
                }
                assert!(metrics().snapshot().stalls > 0, "some take more than the budget");
            });
        }
        let report = world.run().unwrap();
        let instants = world.instants();
        assert!(instants.is_sorted_by(|before, after| before < after), "each once, in order");
        (report, world.trace())
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn outside_of_a_task_it_is_nothing() {
    spend(SECOND);
    let world = World::new(1, WorldConfig::calm());
    world.at(Instant::START, |_| spend(SECOND));
    world.host("a").run(async { sleep(millis(1)).await });
    assert_eq!(world.run().unwrap().at, Instant::START + millis(1));
}
