//! Polls that take time by the model of their host: queues, lines of work and latencies come out of it, exactly.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use mainspring_executor::channel::channel;
use mainspring_executor::driver::{Instant, ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{now, sleep, sleep_until, yield_now};
use mainspring_executor::{offload, spawn, spawn_named};
use mainspring_sim::{Host, Source, Tape, World, WorldConfig, minimise, spend};
use proptest::prelude::*;

const START: Instant = Instant::START;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

fn exactly(cost: Duration) -> RangeInclusive<Duration> {
    cost..=cost
}

/// A world with a machine of two shards.
fn two_shards(config: WorldConfig) -> (World, Host, Host) {
    let world = World::new(1, config);
    let first = world.host("host");
    let second = world.add_shard(&first);
    (world, first, second)
}

/// Answers each byte of each connection with itself, in a task for each.
async fn echo() {
    let any = ([0, 0, 0, 0], 80).into();
    let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        drop(spawn_named("answer", async move {
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                if stream.write_all(&byte).await.is_err() {
                    break;
                }
            }
        }));
    }
}

async fn ask(stream: &mut TcpStream) {
    stream.write_all(b"?").await.expect("it reads");
    assert_eq!(stream.read(&mut [0]).await.expect("it answers"), 1);
}

/// Twenty clients whose requests arrive at one instant, at a server that takes a millisecond for each: the n-th waits for n.
#[test]
fn requests_queue_for_the_processor() {
    let world = World::new(1, WorldConfig::calm());
    let server = world.host("server");
    server.set_poll_cost(|task| {
        let is_answer = task.name.as_deref() == Some("answer");
        exactly(if is_answer { millis(1) } else { Duration::ZERO })
    });
    drop(server.spawn(echo()));
    let latencies = world.latencies();
    for number in 0..20 {
        let (latencies, address) = (latencies.clone(), server.address(80));
        world.host(&format!("client-{number}")).run(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            for second in 1..=5 {
                sleep_until(START + Duration::from_secs(second)).await;
                latencies.measure(ask(&mut stream)).await;
            }
        });
    }
    world.run().expect("it ends well");
    // A millisecond on the way there, one back, and its turn: in the first five of twenty that is the first to the twentieth.
    let all = latencies.all();
    assert_eq!((all.count(), all.min(), all.max()), (100, Some(millis(3)), Some(millis(22))));
    for rank in 1..=20_u64 {
        assert_eq!(
            all.percentile(f64::from(u32::try_from(rank).expect("a few")) * 5.0),
            Some(millis(2 + rank))
        );
    }
}

/// How long requests take that arrive at these instants, in nanoseconds since the first may, where each takes so long to serve: one after
/// the other, first come, first served (D. V. Lindley, The theory of queues with a single server, 1952, equation 1).
fn queueing_times(arrivals: &[u64], service: u64) -> Vec<Duration> {
    let mut sorted = arrivals.to_vec();
    sorted.sort_unstable();
    let mut free_at = 0;
    let mut times: Vec<_> = sorted
        .iter()
        .map(|arrival| {
            free_at = free_at.max(*arrival) + service;
            Duration::from_nanos(free_at - arrival)
        })
        .collect();
    times.sort_unstable();
    times
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    /// Whenever requests come, each takes as long as queueing theory says, to the nanosecond.
    #[test]
    fn queueing_is_exact(
        arrivals in prop::collection::vec(0_u64..20_000_000, 1..40),
        service in 1_u64..2_000_000,
    ) {
        let world = World::new(1, WorldConfig::calm());
        let server = world.host("server");
        server.set_poll_cost(move |task| {
            let is_answer = task.name.as_deref() == Some("answer");
            exactly(Duration::from_nanos(if is_answer { service } else { 0 }))
        });
        drop(server.spawn(echo()));
        let (latencies, client) = (world.latencies(), world.host("client"));
        for arrival in &arrivals {
            let (latencies, address) = (latencies.clone(), server.address(80));
            let at = START + Duration::from_secs(1) + Duration::from_nanos(*arrival);
            client.run(async move {
                let mut stream = TcpStream::connect(address).await.expect("it listens");
                sleep_until(at).await;
                latencies.measure(ask(&mut stream)).await;
                // To close takes the server a poll as well: when all is over.
                sleep_until(START + Duration::from_secs(2)).await;
            });
        }
        world.run().expect("it ends well");
        let on_the_way = millis(2);
        let expected = queueing_times(&arrivals, service);
        prop_assert_eq!(latencies.all().count(), arrivals.len());
        for permille in [0_u16, 100, 500, 900, 990, 999, 1000] {
            let rank = (usize::from(permille) * expected.len()).div_ceil(1000);
            let expected = expected[rank.saturating_sub(1)] + on_the_way;
            let percentile = latencies.all().percentile(f64::from(permille) / 10.0);
            prop_assert_eq!(percentile, Some(expected), "{} of 1000", permille);
        }
    }
}

/// Each shard has a processor: two take as long as one.
#[test]
fn shards_and_machines_work_side_by_side() {
    let world = World::new(1, WorldConfig { poll_cost: exactly(millis(5)), ..WorldConfig::calm() });
    let a = world.host("a");
    let hosts = [world.add_shard(&a), world.host("b"), a];
    let ended: Rc<RefCell<Vec<Instant>>> = Rc::default();
    for host in &hosts {
        let ended = Rc::clone(&ended);
        host.run(async move {
            for _ in 0..19 {
                yield_now().await;
            }
            ended.borrow_mut().push(now());
        });
    }
    let report = world.run().expect("they end");
    assert_eq!(report.at, START + millis(100));
    // The turn of the last poll began when the one before was over.
    let ended = ended.take();
    assert!(ended.iter().all(|at| *at == ended[0]), "{ended:?}");
}

/// What is sent leaves when the poll is over; what the sender's kernel does by itself waits for no poll.
#[test]
fn what_a_poll_sends_leaves_at_its_end() {
    let world = World::new(1, WorldConfig { record: true, ..WorldConfig::calm() });
    let server = world.host("server");
    drop(server.spawn(echo()));
    server.set_poll_cost(|_| exactly(millis(10)));
    let address = server.address(80);
    let client = world.host("client");
    client.run(async move {
        sleep(millis(100)).await;
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // The handshake is the kernel's.
        assert_eq!(now(), START + millis(102));
        ask(&mut stream).await;
        // The byte is there at 103. Accepting takes from 101 to 111, and the poll that reads and answers to 121.
        assert_eq!(now(), START + millis(122));
        let datagrams = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        spend(millis(7));
        datagrams.send_to(b"x", address).await.expect("there is room");
    });
    world.run().expect("it ends well");
    let trace = world.trace();
    let at = |what: &str| {
        let line = trace.iter().find(|line| line.contains(what));
        line.and_then(|line| line.split(' ').next()).expect("it happened").to_owned()
    };
    assert_eq!(at("client send to"), "0.129000000");
    assert_eq!(at("server datagram for nobody"), "0.130000000");
    assert!(trace.is_sorted_by_key(|line| line.split(' ').next().map(str::to_owned)), "by time");
}

/// A task that is woken by another shard is woken when that one has come to it; so is a job.
#[test]
fn what_others_are_given_comes_at_the_end_of_the_poll() {
    let job_duration = exactly(millis(3));
    let (world, first, second) = two_shards(WorldConfig { job_duration, ..WorldConfig::calm() });
    let (mut sender, mut receiver) = channel(1);
    first.run(async move {
        sleep(millis(1)).await;
        spend(millis(50));
        sender.send(()).await.expect("it is there");
        offload::compute(|| ()).await.expect("no panic");
        assert_eq!(now(), START + millis(54));
    });
    second.run(async move {
        receiver.recv().await.expect("one comes");
        assert_eq!(now(), START + millis(51));
    });
    world.run().expect("it ends well");
}

/// A small segment that waits for an acknowledgement, which comes before its sender has written it, is not there earlier all the same.
#[test]
fn nothing_arrives_before_it_was_written() {
    let world = World::new(1, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    server.run(async {
        let any = ([0, 0, 0, 0], 80).into();
        let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(false).expect("it is TCP");
        stream.write_all(b"a").await.expect("it reads");
        spend(millis(10));
        stream.write_all(b"b").await.expect("it reads");
        // A close would let it go at once.
        sleep(Duration::from_secs(1)).await;
    });
    let address = server.address(80);
    client.run(async move {
        sleep(millis(1)).await;
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.read(&mut [0]).await.expect("the first");
        let first = now();
        stream.read(&mut [0]).await.expect("the second");
        assert!(now() - first >= millis(9), "{} and {}", first, now());
    });
    world.run().expect("it ends well");
}

/// A shard that is to be woken later has its own timers meanwhile.
#[test]
fn timers_come_before_what_is_given_later() {
    let (world, first, second) = two_shards(WorldConfig::calm());
    let (mut sender, mut receiver) = channel(1);
    first.run(async move {
        sleep(millis(1)).await;
        spend(millis(50));
        sender.send(()).await.expect("it is there");
    });
    second.run(async move { receiver.recv().await.expect("one comes") });
    second.run(async {
        sleep(millis(20)).await;
        assert_eq!(now(), START + millis(20));
    });
    world.run().expect("it ends well");
}

/// A clock that a task changes while its shard is ahead is asked by others before that.
#[test]
fn a_drift_from_a_busy_shard_is_no_harm() {
    let (world, first, second) = two_shards(WorldConfig::calm());
    let drifting = first.clone();
    first.run(async move {
        spend(millis(50));
        drifting.set_drift(1000);
    });
    second.run(async {
        let before = now();
        sleep(millis(10)).await;
        assert!(now() >= before + millis(10));
    });
    world.run().expect("it ends well");
}

/// What its own poll has brought about, too, is for when it is over.
#[test]
fn a_shard_that_is_busy_sees_nothing() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("host");
    host.run(async {
        let mut signals = Signals::subscribe_to(&[Signal::Hangup]).expect("signals can be watched");
        signals.next().await.expect("one comes");
        assert_eq!(now(), START + millis(11));
    });
    let itself = host.clone();
    host.run(async move {
        sleep(millis(1)).await;
        itself.signal(Signal::Hangup);
        spend(millis(10));
    });
    world.run().expect("it ends well");
}

/// With one thread, a job that was given later in a poll begins no earlier than it was given.
#[test]
fn a_job_begins_after_it_was_given() {
    let config = WorldConfig {
        compute_threads_max: 1,
        job_duration: exactly(millis(10)),
        ..WorldConfig::calm()
    };
    let world = World::new(1, config);
    let ended: Rc<RefCell<Vec<u64>>> = Rc::default();
    let told = Rc::clone(&ended);
    world.host("host").run(async move {
        let one = |told: Rc<RefCell<Vec<u64>>>| async move {
            offload::compute(|| ()).await.expect("no panic");
            told.borrow_mut().push((now() - START).as_millis().try_into().expect("a few"));
        };
        let first = spawn(one(Rc::clone(&told)));
        yield_now().await;
        spend(millis(25));
        one(told).await;
        first.await.expect("no panic");
    });
    world.run().expect("it ends well");
    // The first is over at 10 and seen at 25, the second is given at 25 by the time of the shard, in the same poll.
    assert_eq!(ended.take(), [25, 35]);
}

/// A run ends when its shards are free, and whoever has something to do then has done it.
#[test]
fn a_run_waits_for_shards_that_are_late() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("host");
    let is_done = Rc::new(Cell::new(false));
    let done = Rc::clone(&is_done);
    host.run(async move {
        drop(spawn(async move {
            yield_now().await;
            spend(millis(4));
            yield_now().await;
            done.set(true);
        }));
        spend(millis(3));
    });
    assert_eq!(world.run().expect("it ends well").at, START + millis(7));
    assert!(is_done.get());
}

/// How a program ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Crash,
    Signal,
    /// In the poll that it is busy with.
    OwnSignal,
}

/// A machine that crashes in the middle of a poll, or whose program is killed then, has not done it. The next life is not busy with it.
#[test]
fn a_new_life_is_free() {
    for end in [End::Crash, End::Signal, End::OwnSignal] {
        let world = World::new(1, WorldConfig::calm());
        let host = world.host("host");
        let cost = Rc::new(Cell::new(millis(500)));
        let model = Rc::clone(&cost);
        host.set_poll_cost(move |_| exactly(model.get()));
        let ends = host.clone();
        if end == End::OwnSignal {
            cost.set(millis(10));
            host.run(async move {
                ends.signal(Signal::Terminate);
                spend(millis(500));
            });
        } else {
            host.run(async { unreachable!("it ends before that") });
            world.at(START + millis(10), move |_| match end {
                End::Crash => ends.crash(),
                _ => ends.signal(Signal::Terminate),
            });
        }
        let (began, starts): (Rc<Cell<Instant>>, _) = (Rc::default(), host.clone());
        let told = Rc::clone(&began);
        world.at(START + millis(12), move |_| {
            cost.set(millis(1));
            starts.restart();
            starts.run(async move { told.set(now()) });
        });
        world.host("keeps").run(async { sleep(millis(20)).await });
        assert_eq!(world.run().expect("it ends well").at, START + millis(20));
        assert_eq!(began.get(), START + millis(13));
    }
}

#[test]
fn a_pause_in_the_middle_of_a_poll_ends_with_the_later_of_both() {
    for (resumed, expected) in [(20, 30), (40, 40)] {
        let world = World::new(1, WorldConfig::calm());
        let host = world.host("host");
        let went_on: Rc<Cell<Instant>> = Rc::default();
        let told = Rc::clone(&went_on);
        host.run(async move {
            spend(millis(30));
            yield_now().await;
            told.set(now());
        });
        let (pauses, resumes) = (host.clone(), host.clone());
        world.at(START + millis(10), move |_| pauses.pause());
        world.at(START + millis(resumed), move |_| resumes.resume());
        // The run ends with its foreground, which may be over before a hook.
        world.host("keeps").run(async { sleep(millis(50)).await });
        world.run().expect("it ends well");
        assert_eq!(went_on.get(), START + millis(expected));
    }
}

/// What a poll takes by its cost counts for stalls as what it spends does.
#[test]
fn costs_count_as_stalls() {
    let stalls = |cost: u64, spent: u64| {
        let world = World::new(
            1,
            WorldConfig { stall_budget: millis(100), record: true, ..WorldConfig::calm() },
        );
        let host = world.host("host");
        host.set_poll_cost(move |_| exactly(millis(cost)));
        host.run(async move { spend(millis(spent)) });
        world.run().expect("it ends well");
        let told = world.trace().iter().filter(|line| line.contains("stalls in task 0")).count();
        assert_eq!(told as u64, host.shard().metrics().snapshot().stalls);
        told
    };
    assert_eq!([stalls(100, 0), stalls(99, 0), stalls(99, 1), stalls(60, 39)], [1, 0, 1, 0]);
}

/// A range is drawn from for each poll, by the tape: the shortest is the harmless one.
#[test]
fn drawn_costs_are_on_the_tape() {
    let stalls = |source: Source| {
        let poll_cost = micros(10)..=millis(10);
        let config = WorldConfig { poll_cost, stall_budget: millis(9), ..WorldConfig::calm() };
        let world = World::new(source, config);
        let host = world.host("host");
        host.run(async {
            for _ in 0..20 {
                yield_now().await;
            }
        });
        (world.run().expect("it ends well").at - START, host.shard().metrics().snapshot().stalls)
    };
    assert_eq!(stalls(Source::from(Tape::new(7))), (micros(21 * 10), 0));
    let failing = (0..).find(|seed| stalls(Source::from(*seed)).1 > 0).expect("one in ten polls");
    let mut source = Source::from(failing);
    let recording = source.record();
    let before = stalls(source);
    let minimised = minimise(&recording.tape(), 500, |tape| {
        let mut source = Source::from(tape.clone());
        let recording = source.record();
        (stalls(source).1 > 0).then(|| recording.tape())
    });
    // One poll that is slow enough will do, of 21.
    let least = u64::try_from((millis(9) - micros(10)).as_nanos()).expect("a few");
    let choices: Vec<_> = minimised.tape.iter().collect();
    assert_eq!(choices, [("host/poll cost", 0, least)], "{before:?}");
}

/// Nothing is wrong about a line where a shard that is ahead has sent: what its kernel sends before finds the line free.
#[test]
fn a_line_is_free_before_what_a_shard_sends_later() {
    let world = World::new(1, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    // 1 byte each microsecond, and room for little more than two packets.
    world.set_bandwidth(&server, &client, 1_000_000, 100);
    drop(server.spawn(async {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 53).into()).expect("a free port");
        let mut buffer = [0; 8];
        let from = socket.recv_from(&mut buffer).await.expect("one comes");
        spend(millis(50));
        socket.send_to(b"late", from.peer).await.expect("there is room");
    }));
    drop(server.spawn(async {
        let any = ([0, 0, 0, 0], 80).into();
        let _listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
        core::future::pending::<()>().await;
    }));
    let (dns, http) = (server.address(53), server.address(80));
    client.run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        sleep(millis(1)).await;
        socket.send_to(b"?", dns).await.expect("there is room");
        sleep(millis(10)).await;
        // The kernel answers at once, 40 µs on the line, though the shard is busy until 52 ms.
        let connecting = now();
        drop(TcpStream::connect(http).await.expect("it listens"));
        assert_eq!(now() - connecting, millis(2) + micros(40));
        socket.recv_from(&mut [0; 8]).await.expect("an answer");
        assert_eq!(now(), START + millis(53) + micros(44));
    });
    world.run().expect("it ends well");
}

/// Which shard did something, when, and with which number behind it; times in nanoseconds.
fn moments<'a>(trace: &'a [String], what: &'a str) -> impl Iterator<Item = (&'a str, u64, u64)> {
    trace.iter().filter_map(move |line| {
        let (at, rest) = line.split_once(' ').expect("a time, and what happened");
        let (host, did) = rest.split_once(' ').expect("who did it, and what");
        let number = |text: &str| text.parse().unwrap_or_default();
        did.starts_with(what).then(|| {
            (host, number(&at.replace('.', "")), number(did.rsplit(' ').next().unwrap_or_default()))
        })
    })
}

fn talk(world: &World, server: &Host, clients: usize) {
    for number in 0..clients {
        let address = server.address(80);
        world.host(&format!("client-{number}")).run(async move {
            // It listens by then.
            sleep(millis(10)).await;
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            for _ in 0..5 {
                ask(&mut stream).await;
                sleep(micros(mainspring_executor::random() % 3000)).await;
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever polls take, each shard does one thing at a time: a turn begins when the polls of the one before are over, and its own
    /// clock never goes back. The same seed gives the same run.
    #[test]
    fn a_processor_does_one_thing_at_a_time(seed: u64, longest in 0_u64..2_000, clients in 1_usize..8) {
        let run = || {
            let poll_cost = Duration::ZERO..=micros(longest);
            let config = WorldConfig { poll_cost, record: true, ..WorldConfig::rough() };
            let world = World::new(seed, config);
            let server = world.host("server");
            drop(server.spawn(echo()));
            drop(world.add_shard(&server).spawn(async {
                loop {
                    spend(micros(mainspring_executor::random() % 500));
                    sleep(millis(1)).await;
                }
            }));
            talk(&world, &server, clients);
            (world.run().expect("it ends well"), world.trace())
        };
        let (report, trace) = run();
        prop_assert!((report, trace.clone()) == run());
        let hosts: BTreeSet<&str> = moments(&trace, "").map(|(host, ..)| host).collect();
        for host in hosts {
            let mut free_at = 0;
            for (_, ended, took) in moments(&trace, "spends").filter(|(other, ..)| *other == host) {
                let began = ended - took;
                prop_assert!(began >= free_at, "{host} begins at {began}, and is busy until {free_at}");
                free_at = ended;
            }
            let turns = moments(&trace, "turn").filter(|(other, ..)| *other == host);
            prop_assert!(turns.map(|(_, at, _)| at).is_sorted());
        }
    }
}
