//! The end of a server: what is idle is closed, what runs may end, and nothing that has begun is lost.

use core::time::Duration;
use std::io::{Read, Write};
use std::rc::Rc;

use futures::future::join_all;
use futures::join;
use mainspring::{Request, Server, Shutdown};
use mainspring_executor::Instant;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::TcpListener;
use mainspring_executor::os::OsDriver;
use mainspring_executor::shield::shield;
use mainspring_executor::signal::Signal;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::{World, WorldConfig};
use mainspring_tests::client::{Client, ClientError};

use crate::playground::playground;
use crate::stage::{Case, LATENCY, Machines, Stage};
use crate::wire::{End, answer_or_nothing, closes, get, goes_on, outcome, pattern, post, rest};

const SECOND: Duration = Duration::from_secs(1);

/// A drain closes at once what says nothing, and lets a request finish that runs, or whose head has begun; its answer
/// says that it is the last.
#[test]
fn a_drain_lets_what_runs_end() {
    Case::new(playground).check(|stage| async move {
        let mut fresh = stage.connect().await;
        let mut idle = stage.connect().await;
        goes_on(&mut idle).await;
        let mut running = stage.connect().await;
        running.send(get("/slow/400").as_bytes()).await.expect("the server reads");
        let mut begun = stage.connect().await;
        begun.send(b"GET /hel").await.expect("the server reads");
        let mut uploading = stage.connect().await;
        let upload = post("/collect", b"12345");
        uploading.send(&upload[..upload.len() - 2]).await.expect("the server reads");
        sleep(Duration::from_millis(100)).await;
        stage.drain();
        let drained = now();
        closes(&mut fresh).await;
        closes(&mut idle).await;
        if stage.is_exact {
            assert_eq!(now() - drained, LATENCY, "at once");
        }
        begun.send(b"lo HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("the server reads");
        uploading.send(&upload[upload.len() - 2..]).await.expect("the server reads");
        for (client, body) in [(begun, "hello"), (uploading, "5 bytes"), (running, "slow")] {
            let mut client = client;
            let answer = client.answer(false).await.expect("an answer");
            assert_eq!(answer.body, body.as_bytes());
            assert_eq!(answer.field("connection"), Some("close"));
            closes(&mut client).await;
        }
    });
}

/// Nobody new is taken once the server drains.
#[test]
fn a_drain_takes_nobody_new() {
    Case::new(playground).check(|stage| async move {
        let mut running = stage.connect().await;
        running.send(get("/slow/400").as_bytes()).await.expect("the server reads");
        sleep(Duration::from_millis(100)).await;
        stage.drain();
        sleep(Duration::from_millis(100)).await;
        let refused = stage.try_connect().await.expect_err("nobody listens");
        assert_eq!(refused, ClientError::Io(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(running.answer(false).await.expect("an answer").body, b"slow");
    });
}

/// What runs for longer than the drain may take is cut when that is over, to the nanosecond, and counted.
#[test]
fn a_drain_ends() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let mut in_time = stage.connect().await;
        in_time.send(get("/slow/30000").as_bytes()).await.expect("the server reads");
        let mut too_late = stage.connect().await;
        too_late.send(get("/slow/60000").as_bytes()).await.expect("the server reads");
        sleep(SECOND).await;
        stage.expect_cut(1);
        stage.drain();
        let drained = now();
        assert_eq!(outcome(&in_time.answer(false).await), "200");
        assert_eq!(rest(&mut too_late).await.0, b"", "nothing of an answer");
        sleep(SECOND).await;
        assert_eq!(stage.seen.ended_at.get(), drained + 30 * SECOND);
    });
}

/// A second signal stops at once, whenever it comes.
#[test]
fn a_second_signal_stops_at_once() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let mut clients = Vec::new();
        for path in ["/slow/60000", "/slow/50000"] {
            let mut client = stage.connect().await;
            client.send(get(path).as_bytes()).await.expect("the server reads");
            clients.push(client);
        }
        sleep(SECOND).await;
        stage.drain();
        // In half of the runs together with the first.
        if mainspring_executor::random().is_multiple_of(2) {
            sleep(5 * SECOND).await;
        }
        stage.stop_now(2);
        let stopped = now();
        for client in &mut clients {
            rest(client).await;
        }
        sleep(SECOND).await;
        assert_eq!(stage.seen.ended_at.get(), stopped);
    });
}

/// What a handler has shielded goes on when its connection is cut, and the server waits for it.
#[test]
fn what_is_shielded_is_not_cut() {
    let server = |stage: &Stage| {
        let seen = Rc::clone(&stage.seen);
        Server::new(move |_: Request| {
            let seen = Rc::clone(&seen);
            async move {
                let books = async move {
                    sleep(3 * SECOND).await;
                    seen.note("booked");
                };
                shield(10 * SECOND, books).await.expect("it has the time");
                sleep(60 * SECOND).await;
                "never said"
            }
        })
    };
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(get("/").as_bytes()).await.expect("the server reads");
        sleep(SECOND).await;
        stage.drain();
        stage.stop_now(1);
        assert_eq!(rest(&mut client).await.0, b"");
        sleep(5 * SECOND).await;
        assert_eq!(*stage.seen.notes.borrow(), ["booked"]);
        assert!(stage.has_ended());
    });
}

/// A server on the operating system stops at once, too, and a drain of nothing ends.
#[test]
fn stopping_works_anywhere() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(get("/slow/60000").as_bytes()).await.expect("the server reads");
        sleep(Duration::from_millis(50)).await;
        stage.drain();
        stage.stop_now(1);
        assert_eq!(rest(&mut client).await.0, b"");
    });
    Case::new(playground).check(|stage| async move {
        sleep(Duration::from_millis(50)).await;
        stage.drain();
        while !stage.has_ended() {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

/// A close that the client could not foresee costs it nothing: it may have asked for more already, which is not
/// answered, but must not turn into a reset that overtakes the answer.
#[test]
fn a_close_does_not_overtake_its_answer() {
    Case::new(playground).check(|stage| async move {
        for _ in 0..2 {
            let mut client = stage.connect().await;
            client.send(get("/close/30000").as_bytes()).await.expect("the server reads");
            sleep(Duration::from_millis(100)).await;
            client.send(get("/hello").as_bytes()).await.expect("the connection is there");
            sleep(Duration::from_millis(100)).await;
            let answer = client.answer(false).await.expect("the whole answer");
            assert_eq!(answer.body, pattern(30_000));
            closes(&mut client).await;
        }
        assert_eq!(stage.seen.count.get(), 2, "what came behind was not served");
    });
}

/// SIGTERM at each instant of a mix of requests: each answer whose first byte arrives arrives whole, no connection is
/// cut, and nothing is left.
#[test]
fn sigterm_at_every_instant_loses_nothing() {
    let case = Case::new(playground);
    let mut kept_count = 0;
    for (seed, config) in
        [(0, WorldConfig::calm()), (1, WorldConfig::rough()), (2, WorldConfig::rough())]
    {
        let record = WorldConfig { record: true, ..config.clone() };
        let whole = case.simulate(seed, record, mix, |_, stage| stage.seen.note("all"));
        for instant in whole.instants() {
            let run = || {
                case.simulate(seed, config.clone(), mix, |world, stage| {
                    let stage = stage.clone();
                    world.at(instant, move |_| stage.finish());
                })
            };
            assert_eq!(run().trace_hash(), run().trace_hash(), "seed {seed}, SIGTERM at {instant}");
            kept_count += 1;
        }
    }
    assert!(kept_count > 100, "only {kept_count} instants: that is no mix");
}

/// Three clients, each with requests of its own kind. Where nothing interrupts them, all is answered.
async fn mix(stage: Stage) {
    let (one, two, three) = join!(one_by_one(&stage), all_at_once(&stage), slowly(&stage));
    if !stage.seen.notes.borrow().is_empty() {
        assert_eq!((one, two, three), (4, 5, 2), "answers");
    }
}

/// Says `bytes`, or finds that nobody listens any more: what was answered before may still be there.
async fn say(client: &mut Client, bytes: &[u8]) {
    if let Err(error) = client.send(bytes).await {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        assert!(
            matches!(error, ClientError::Io(BrokenPipe | ConnectionReset)),
            "how connections fail: {error}"
        );
    }
}

/// Reads an answer to each of `bodies`; gives how many there were.
async fn answers(client: &mut Client, bodies: &[&[u8]]) -> usize {
    for (number, body) in bodies.iter().enumerate() {
        let Some(answer) = answer_or_nothing(client).await else { return number };
        assert_eq!(answer.status, 200);
        assert!(&answer.body == body, "answer {number} is another one");
    }
    bodies.len()
}

async fn one_by_one(stage: &Stage) -> usize {
    let Ok(mut client) = stage.try_connect().await else { return 0 };
    for number in 0..4 {
        say(&mut client, get("/bytes/30000").as_bytes()).await;
        sleep(Duration::from_millis(2)).await;
        if answers(&mut client, &[&pattern(30_000)]).await == 0 {
            return number;
        }
    }
    4
}

async fn all_at_once(stage: &Stage) -> usize {
    let Ok(mut client) = stage.try_connect().await else { return 0 };
    let batch = get("/slow/5") + &get("/bytes/30000") + &get("/stream");
    say(&mut client, batch.as_bytes()).await;
    sleep(Duration::from_millis(3)).await;
    say(&mut client, get("/bytes/30000").as_bytes()).await;
    sleep(Duration::from_millis(4)).await;
    say(&mut client, get("/hello").as_bytes()).await;
    sleep(Duration::from_millis(5)).await;
    let big = pattern(30_000);
    answers(&mut client, &[b"slow", &big, b"abcabcabc", &big, b"hello"]).await
}

async fn slowly(stage: &Stage) -> usize {
    let Ok(mut client) = stage.try_connect().await else { return 0 };
    let body = pattern(3_000);
    let upload = post("/echo", &body);
    for part in upload.chunks(1_000) {
        say(&mut client, part).await;
        sleep(Duration::from_millis(4)).await;
    }
    say(&mut client, get("/stream").as_bytes()).await;
    answers(&mut client, &[&body, b"abcabcabc"]).await
}

/// Who comes when the house is full waits, and is served when somebody leaves; who waits when the server drains is not
/// left without an end.
#[test]
fn a_full_house_lets_others_wait() {
    let server = |stage: &Stage| playground(stage).connections_max(2);
    Case::new(server).check(|stage| async move {
        let mut first = stage.connect().await;
        let mut second = stage.connect().await;
        goes_on(&mut first).await;
        goes_on(&mut second).await;
        let mut third = stage.connect().await;
        third.send(get("/hello").as_bytes()).await.expect("the kernel takes it");
        let mut fourth = stage.connect().await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!((stage.stats().connections_open, stage.seen.count.get()), (2, 2));
        goes_on(&mut first).await;
        drop(second);
        assert_eq!(third.answer(false).await.expect("an answer").body, b"hello");
        assert_eq!(stage.stats().connections_open, 2);
        stage.drain();
        closes(&mut first).await;
        closes(&mut third).await;
        let (bytes, _) = rest(&mut fourth).await;
        assert!(bytes.is_empty());
    });
}

/// A drain takes what waits in the backlog of each listener, and closes it in good order.
#[test]
fn a_drain_sweeps_every_backlog() {
    for millis in 0..6 {
        let world = World::new(1, WorldConfig::calm());
        let host = world.host("server");
        host.run(async {
            let bind = |port| {
                let address = ([0, 0, 0, 0], port).into();
                TcpListener::bind(address, ListenOptions::default()).expect("a free port")
            };
            let server = Server::new(async |_: Request| "hello");
            let shutdown = Shutdown::on_signals().expect("signals can be watched");
            server.serve((80..84).map(bind).collect(), shutdown).await;
        });
        for port in 80..84 {
            let address = host.address(port);
            world.host(&format!("client-{port}")).run(async move {
                match Client::connect(address).await {
                    Ok(mut client) => {
                        let (bytes, end) = rest(&mut client).await;
                        assert_eq!((&*bytes, end), (&b""[..], End::Fin), "port {port}");
                    }
                    Err(error) => {
                        let refused = ClientError::Io(std::io::ErrorKind::ConnectionRefused);
                        assert_eq!(error, refused, "port {port}");
                    }
                }
            });
        }
        let signalled = host.clone();
        let instant = Instant::START + Duration::from_millis(millis);
        world.at(instant, move |_| signalled.signal(Signal::Terminate));
        world.run().unwrap_or_else(|failure| panic!("SIGTERM at {millis} ms: {failure}"));
        assert!(world.leaks().is_empty(), "{:?}", world.leaks());
    }
}

/// What waits in the backlog when the drain begins is served, also what is more than one poll gets done.
#[test]
fn a_drain_serves_a_long_backlog() {
    const CLIENTS: usize = 300;
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    host.run(async {
        let address = ([0, 0, 0, 0], 80).into();
        let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
        let shutdown = Shutdown::new();
        // By then all of them are there, and nobody was accepted.
        sleep(SECOND).await;
        shutdown.drain();
        Server::new(async |_: Request| "hello").serve(vec![listener], shutdown).await;
    });
    let address = host.address(80);
    world.host("clients").run(async move {
        let clients = (0..CLIENTS).map(|_| async move {
            let mut client = Client::connect(address).await.expect("it listens");
            client.send(get("/").as_bytes()).await.expect("the kernel takes it");
            let answer = client.answer(false).await.expect("an answer");
            assert_eq!((&*answer.body, answer.field("connection")), (&b"hello"[..], Some("close")));
        });
        join_all(clients).await;
    });
    world.run().unwrap_or_else(|failure| panic!("{failure}"));
    assert!(world.leaks().is_empty(), "{:?}", world.leaks());
}

/// What has come when the drain begins is answered, though the shard has not been told of it yet: on a connection that was
/// idle when it last looked, and on one that nobody has accepted.
#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shard does not see it"
)]
fn a_drain_answers_what_has_come_unnoticed() {
    let driver = Rc::new(OsDriver::new().expect("a driver"));
    Case::new(playground).run_on_os(driver, |stage| async move {
        let mut kept = stage.connect().await;
        goes_on(&mut kept).await;
        // From here to the drain nothing has to be waited for: the shard does not look at its sockets.
        kept.send(get("/hello").as_bytes()).await.expect("the kernel takes it");
        let mut fresh = std::net::TcpStream::connect(stage.address).expect("it listens");
        fresh.write_all(get("/hello").as_bytes()).expect("the kernel takes it");
        fresh.set_nonblocking(true).expect("a socket");
        stage.drain();
        let answer = kept.answer(false).await.expect("an answer");
        assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
        let mut received = Vec::new();
        while let Err(error) = fresh.read_to_end(&mut received) {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "no reset");
            sleep(Duration::from_millis(1)).await;
        }
        assert!(received.starts_with(b"HTTP/1.1 200 OK") && received.ends_with(b"hello"));
    });
}

/// A drain does not wait for sockets that the machine does not have.
#[test]
fn a_drain_ends_though_no_socket_can_be_had() {
    let case = Case::new(playground).on(Machines::Calm).adjusted(|config| config.tokens_max = 4);
    case.check(|stage| async move {
        // Two tokens are the listener and the signals: the server has no third connection.
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = stage.connect().await;
            client.send(get("/slow/300000").as_bytes()).await.expect("the kernel takes it");
            clients.push(client);
        }
        sleep(SECOND).await;
        stage.expect_cut(2);
        stage.drain();
        let drained = now();
        for client in &mut clients {
            rest(client).await;
        }
        sleep(SECOND).await;
        let took = stage.seen.ended_at.get() - drained;
        assert!(took < 31 * SECOND, "the drain took {took:?}");
    });
}
