//! Worlds with programs, through the public interface only.

use core::future::ready;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mainspring_executor::driver::{Instant, ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep, wall_clock};
use mainspring_executor::{random, select, spawn};
use mainspring_sim::{FailureKind, Host, World, WorldConfig, first_divergence};

/// A server that gives back what it gets, until the peer ends.
async fn echo() {
    let listener =
        TcpListener::bind((core::net::Ipv4Addr::UNSPECIFIED, 80).into(), ListenOptions::default())
            .expect("a free port");
    loop {
        let (mut stream, _) = listener.accept().await.expect("sockets enough");
        spawn(async move {
            let mut buffer = [0; 512];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Sends some numbers and expects them back.
async fn ping(host: Host, server: Host, rounds: usize) {
    sleep(Duration::from_micros(random() % 1000)).await;
    let mut stream = TcpStream::connect(server.address(80)).await.expect("the server listens");
    for round in 0..rounds {
        let message = format!("{} round {round}", host.name());
        stream.write_all(message.as_bytes()).await.expect("the server reads");
        let mut answer = Vec::new();
        while answer.len() < message.len() {
            let mut buffer = [0; 64];
            let count = stream.read(&mut buffer).await.expect("the server answers");
            assert_ne!(count, 0, "the server ended early");
            answer.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(answer, message.as_bytes());
    }
}

fn echo_world(seed: u64, config: WorldConfig) -> World {
    let world = World::new(seed, config);
    let server = world.host("server");
    drop(server.spawn(echo()));
    for name in ["a", "b", "c"] {
        let client = world.host(name);
        client.run(ping(client.clone(), server.clone(), 10));
    }
    world
}

/// How long a client takes to send a megabyte to a server, which takes it all.
fn upload(set: impl FnOnce(&World, &Host, &Host)) -> Duration {
    let world = World::new(1, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    set(&world, &server, &client);
    server.run(async {
        let any = (core::net::Ipv4Addr::UNSPECIFIED, 80).into();
        let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("one comes");
        let mut received = 0;
        while stream.fill().await.expect("the client writes") > 0 {
            received += stream.buffered().len();
            stream.consume(stream.buffered().len());
        }
        assert_eq!(received, 1_000_000);
    });
    client.run(async move {
        let mut stream = TcpStream::connect(server.address(80)).await.expect("it listens");
        stream.write_all(&vec![7; 1_000_000]).await.expect("the server reads");
    });
    world.run().expect("it ends well");
    assert!(world.leaks().is_empty());
    world.now() - Instant::START
}

#[test]
fn a_link_takes_the_time_that_its_bandwidth_and_its_cuts_say() {
    let fast = upload(|_, _, _| {});
    assert!(fast < Duration::from_millis(100), "{fast:?}");
    // A hundredth of a packet is headers, and the first and the last millisecond are the way.
    let slow =
        upload(|world, server, client| world.set_bandwidth(client, server, 1_000_000, 1 << 20));
    assert!((1_020..1_040).contains(&slow.as_millis()), "{slow:?}");
    let cut = upload(|world, server, client| {
        let ends = (client.clone(), server.clone());
        world.at(Instant::from_nanos(20_000_000), move |world| {
            world.cut(&ends.0, &ends.1);
            world.at(Instant::from_nanos(1_000_000_000), move |world| world.heal(&ends.0, &ends.1));
        });
    });
    // Sent again 0.2, 0.6 and 1.4 s after the cut.
    assert!((1_400..1_500).contains(&cut.as_millis()), "{cut:?}");
}

#[test]
fn a_clock_that_is_wrong_is_one_machine_s_and_moves_no_timer() {
    let world = World::new(1, WorldConfig::calm());
    let (wrong, right) = (world.host("wrong"), world.host("right"));
    let day = Duration::from_secs(24 * 3600);
    let of_wrong = wrong.clone();
    wrong.run(async move {
        let date = || wall_clock().expect("in a shard");
        let start = date();
        of_wrong.set_date_ahead(day);
        assert_eq!(date() - start, day);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(date() - start, day + Duration::from_secs(1));
        of_wrong.set_date_behind(day);
        assert_eq!(start - date(), day - Duration::from_secs(1));
        of_wrong.set_date_behind(Duration::MAX);
        assert_eq!(date(), Duration::ZERO);
    });
    right.run(async {
        let start = wall_clock();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(wall_clock(), start.map(|start| start + Duration::from_secs(2)));
    });
    world.run().unwrap();
    assert_eq!(world.now(), Instant::START + Duration::from_secs(2));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let config = WorldConfig { record: true, ..WorldConfig::rough() };
    let run = |seed| {
        let world = echo_world(seed, config.clone());
        let report = world.run().unwrap();
        (report, world.trace(), world.instants())
    };
    let mut hashes = Vec::new();
    for seed in 0..50 {
        let (first, second) = (run(seed), run(seed));
        if let Some(divergence) = first_divergence(&first.1, &second.1) {
            panic!("seed {seed}: {divergence}");
        }
        assert_eq!(first, second);
        assert!(first.2.is_sorted());
        hashes.push(first.0.trace_hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 50, "each seed is a run of its own");
}

/// Which branch of a `select!` is looked at first is drawn, also where the world is calm, and noted.
#[test]
fn picks_of_a_select_are_a_matter_of_the_seed() {
    let picks = |seed, config: WorldConfig| {
        let world = World::new(seed, WorldConfig { record: true, ..config });
        let picks = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&picks);
        world.host("picker").run(async move {
            for _ in 0..100 {
                let picked = select! {
                    () = ready(()) => 0,
                    () = ready(()) => 1,
                    () = ready(()) => 2,
                };
                noted.borrow_mut().push(picked);
            }
        });
        world.run().unwrap();
        let choices = world.trace().iter().filter(|line| line.contains("choose")).count();
        assert_eq!(choices, 100);
        picks.take()
    };
    for config in [WorldConfig::calm(), WorldConfig::rough()] {
        let mut runs: Vec<_> = (0..20).map(|seed| picks(seed, config.clone())).collect();
        assert!((0..20).all(|seed| runs[seed] == picks(seed as u64, config.clone())));
        for run in &runs {
            let wins = |branch| run.iter().filter(|picked| **picked == branch).count();
            assert!((0..3).all(|branch| wins(branch) > 10), "{run:?}");
        }
        runs.sort();
        runs.dedup();
        assert_eq!(runs.len(), 20, "each seed picks in its own way");
    }
}

/// Recording must not change what is recorded.
#[test]
fn the_hash_does_not_depend_on_the_record() {
    let hash = |record| {
        let world = echo_world(3, WorldConfig { record, ..WorldConfig::rough() });
        world.run().unwrap().trace_hash
    };
    assert_eq!(hash(false), hash(true));
}

#[test]
fn nothing_is_left() {
    for seed in 0..20 {
        let world = echo_world(seed, WorldConfig::rough());
        world.run().unwrap();
        let leaks = world.leaks();
        // The server's accept loop and its listener; not one of the connections.
        assert_eq!(leaks.len(), 3, "{leaks:#?}");
        assert!(leaks[0].contains("task 0"), "{leaks:#?}");
        assert!(leaks[2].contains("kernel: listener at 0.0.0.0:80"), "{leaks:#?}");
    }
}

#[test]
fn a_deadlock_names_who_waits_and_where() {
    let world = World::new(9, WorldConfig::calm());
    let host = world.host("lonely");
    drop(host.spawn(core::future::pending::<()>()));
    host.run(async {
        sleep(Duration::from_secs(5)).await;
        core::future::pending::<()>().await;
    });
    let failure = world.run().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deadlock);
    assert_eq!(failure.at, Instant::START + Duration::from_secs(5));
    let text = failure.to_string();
    assert!(text.contains("seed 9"), "{text}");
    assert!(text.contains("the run waits for task 1 of lonely\n"), "{text}");
    assert!(text.contains("lonely: 2 tasks: 0 running, 0 ready, 2 waiting\n"), "{text}");
    assert_eq!(text.matches("\n  task ").count(), 2, "{text}");
    assert_eq!(text.matches("tests/world.rs").count(), 2, "{text}");
    assert_eq!(text.matches("nobody has a waker of it").count(), 2, "{text}");
    assert!(!text.contains("what happened last"), "only where it is recorded: {text}");
}

#[test]
fn a_recorded_failure_tells_what_happened_last() {
    let world = World::new(9, WorldConfig { record: true, ..WorldConfig::calm() });
    world.host("a").run(async {
        assert_ne!(random(), random());
        sleep(Duration::from_secs(1)).await;
        panic!("the sky fell");
    });
    let text = world.run().unwrap_err().to_string();
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    assert_eq!(last, ["  1.000000000 a poll task 0", "  1.000000000 a turn"], "{text}");
}

#[test]
fn a_panic_of_a_foreground_task_fails_the_run() {
    let world = World::new(1, WorldConfig::calm());
    world.host("server").run(async {
        sleep(Duration::from_secs(1)).await;
        panic!("the sky fell");
    });
    let failure = world.run().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Panic);
    assert!(failure.details.contains("server: spawned at sim/tests/world.rs"), "{failure}");
    assert!(failure.details.contains("the sky fell"), "{failure}");
}

#[test]
fn runs_are_bounded() {
    let bounded = |config, future: fn() -> core::pin::Pin<Box<dyn Future<Output = ()>>>| {
        let world = World::new(1, config);
        world.host("busy").run(future());
        world.run().unwrap_err().kind
    };
    let config = WorldConfig { virtual_time_max: Duration::from_secs(10), ..WorldConfig::calm() };
    let ticking = || -> core::pin::Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async {
            loop {
                sleep(Duration::from_millis(100)).await;
            }
        })
    };
    assert_eq!(bounded(config, ticking), FailureKind::TimeLimit);
    let config = WorldConfig { event_count_max: 10_000, ..WorldConfig::calm() };
    let spinning = || -> core::pin::Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(core::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            core::task::Poll::Pending
        }))
    };
    assert_eq!(bounded(config, spinning), FailureKind::EventLimit);
}

#[test]
fn hooks_run_at_their_instant() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    let seen = Rc::new(RefCell::new(Vec::new()));
    for seconds in [2, 1, 3] {
        let seen = Rc::clone(&seen);
        let host = host.clone();
        world.at(Instant::START + Duration::from_secs(seconds), move |world| {
            seen.borrow_mut().push(world.now().as_nanos() / 1_000_000_000);
            drop(host.spawn(async { sleep(Duration::from_millis(1)).await }));
        });
    }
    host.run(async { sleep(Duration::from_millis(2_500)).await });
    world.run().unwrap();
    assert_eq!(*seen.borrow(), [1, 2]);
}

#[test]
fn a_signal_ends_who_did_not_subscribe() {
    let world = World::new(1, WorldConfig::calm());
    let server = world.host("server");
    let client = world.host("client");
    server.run(echo());
    let ended = Rc::new(Cell::new(false));
    let tell = Rc::clone(&ended);
    let address = server.address(80);
    client.run(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
        tell.set(true);
    });
    let victim = server.clone();
    world.at(Instant::START + Duration::from_secs(1), move |_| victim.signal(Signal::Terminate));
    let report = world.run().unwrap();
    assert!(ended.get());
    assert_eq!(report.killed, ["server"]);
    assert_eq!(world.leaks(), Vec::<String>::new());
}

/// Nobody else is there whose turn would bring the news.
#[test]
fn a_signal_ends_the_last_program() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("alone");
    let victim = host.clone();
    host.run(async move {
        victim.signal(Signal::Terminate);
        core::future::pending::<()>().await;
    });
    assert_eq!(world.run().unwrap().killed, ["alone"]);
}

#[test]
fn a_wake_from_another_host_is_taken_at_once() {
    let world = World::new(1, WorldConfig::calm());
    let (left, right) = (world.host("left"), world.host("right"));
    let work = left.spawn(async { sleep(Duration::from_secs(1)).await });
    let world = Rc::new(world);
    let clock = Rc::downgrade(&world);
    right.run(async move {
        work.await.unwrap();
        let now = clock.upgrade().unwrap().now();
        assert_eq!(now, Instant::START + Duration::from_secs(1));
    });
    // Something to come later, to which the clock must not jump first.
    left.run(async { sleep(Duration::from_secs(60)).await });
    world.run().unwrap();
}

#[test]
fn one_host_more_changes_no_draw_of_the_others() {
    let draws = |names: &[&str]| {
        let world = World::new(5, WorldConfig::calm());
        let drawn = Rc::new(Cell::new(0));
        for name in names {
            let drawn = Rc::clone(&drawn);
            let is_watched = *name == "watched";
            world.host(name).run(async move {
                let bits = random();
                if is_watched {
                    drawn.set(bits);
                }
            });
        }
        world.run().unwrap();
        drawn.get()
    };
    assert_eq!(draws(&["watched"]), draws(&["other", "watched", "third"]));
}

/// Two machines whose clocks drift apart: each is right by its own, and both are told of packets when they come.
#[test]
fn clocks_drift() {
    let world = World::new(1, WorldConfig::calm());
    let (fast, slow) = (world.host("fast"), world.host("slow"));
    let shown = Rc::new(RefCell::new(Vec::new()));
    fast.set_drift(500_000);
    slow.set_drift(-500_000);
    for host in [&fast, &slow] {
        let shown = Rc::clone(&shown);
        host.run(async move {
            let date = || wall_clock().expect("a task has a clock");
            let before = date();
            sleep(Duration::from_secs(3)).await;
            shown.borrow_mut().push((now(), date() - before));
        });
    }
    // In the middle of its sleep the slow one is put right.
    let healed = slow.clone();
    world.at(Instant::START + Duration::from_secs(4), move |_| healed.set_drift(0));
    let report = world.run().expect("both wake");
    // The fast one after two seconds of the room, the slow one after four that count half, and one that is right.
    assert_eq!(report.at, Instant::START + Duration::from_secs(5));
    let seconds = Duration::from_secs(3);
    assert_eq!(*shown.borrow(), [(Instant::START + seconds, seconds); 2]);
}

#[test]
#[should_panic(expected = "a clock that drifts goes forward")]
fn a_clock_does_not_stand_still() {
    World::new(1, WorldConfig::calm()).host("host").set_drift(-1_000_000);
}

#[test]
#[should_panic(expected = "a host is named \"server/1\": a name without / and : is expected")]
fn a_name_that_would_be_that_of_a_shard_is_refused() {
    World::new(7, WorldConfig::calm()).host("server/1");
}
