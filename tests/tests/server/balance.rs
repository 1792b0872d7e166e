//! Several servers, each on its shard, that even out their connections.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::rc::Rc;
use std::sync::Mutex;

use futures::future::join_all;
use mainspring::{Balance, Request, Server, Shutdown, StatsSnapshot, Telemetry};
use mainspring_executor::channel::{Sender, channel};
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::TcpListener;
use mainspring_executor::os::{reserve_address, run_shards};
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{Instant, spawn};
use mainspring_sim::{Host, World, WorldConfig};
use mainspring_tests::client::Client;

use crate::wire::{answer_or_nothing, get};

const SHARDS: NonZeroUsize = NonZeroUsize::new(3).expect("three");

/// As many as one server may be ahead of another before it hands over.
const LEAD: u64 = 8;

/// A machine of which some shards have a listener, and the others get what these hand over.
struct Room {
    world: World,
    server: Host,
    telemetry: Vec<Telemetry>,
    answers: Rc<Cell<usize>>,
    cut: Rc<Cell<usize>>,
}

impl Room {
    /// Only the first shard listens.
    fn new(seed: u64, config: WorldConfig, connections_max: usize) -> Self {
        Self::with_listeners(1, seed, config, connections_max)
    }

    /// The first so many shards listen.
    fn with_listeners(
        listeners_count: usize,
        seed: u64,
        config: WorldConfig,
        connections_max: usize,
    ) -> Self {
        let world = World::new(seed, config);
        let server = world.host("server");
        let mut shards = vec![server.clone()];
        shards.extend((1..SHARDS.get()).map(|_| world.add_shard(&server)));
        let telemetry: Vec<Telemetry> = shards.iter().map(|_| Telemetry::new()).collect();
        let (cut, answers) = <(Rc<Cell<usize>>, Rc<Cell<usize>>)>::default();
        let parts = Balance::among(SHARDS).into_iter().zip(&telemetry);
        for (place, (shard, (balance, telemetry))) in shards.iter().zip(parts).enumerate() {
            let (telemetry, cut) = (telemetry.clone(), Rc::clone(&cut));
            shard.run(async move {
                let shutdown = Shutdown::on_signals().expect("signals can be watched");
                let address = SocketAddr::from(([0, 0, 0, 0], 80));
                let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
                let bind = || TcpListener::bind(address, options);
                let listeners = (place < listeners_count).then(|| bind().expect("a free port"));
                let server = Server::new(async |_: Request| "hello")
                    .connections_max(connections_max)
                    .telemetry(&telemetry)
                    .balance(balance);
                let ended = server.serve(listeners.into_iter().collect(), shutdown).await;
                cut.set(cut.get() + ended.connections_cut);
            });
        }
        Self { world, server, telemetry, answers, cut }
    }

    fn stats(&self) -> Vec<StatsSnapshot> {
        self.telemetry.iter().map(|telemetry| telemetry.snapshot().0).collect()
    }

    /// A client that asks `requests` times with a pause of some milliseconds, or until it is told that it is over.
    fn add_client(&self, number: u64, requests: usize) {
        let (address, answers) = (self.server.address(80), Rc::clone(&self.answers));
        self.world.host(&format!("client-{number}")).run(async move {
            sleep(Duration::from_micros(100 * number)).await;
            let Ok(mut client) = Client::connect(address).await else { return };
            for _ in 0..requests {
                // What fails here fails below.
                let _ = client.send(get("/").as_bytes()).await;
                let Some(answer) = answer_or_nothing(&mut client).await else { return };
                assert_eq!(answer.body, b"hello");
                answers.set(answers.get() + 1);
                sleep(Duration::from_millis(5)).await;
            }
        });
    }

    fn run(&self) -> u64 {
        let report = self.world.run().unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(self.world.leaks(), Vec::<String>::new());
        assert_eq!(self.cut.get(), 0, "a drain has the time for what runs");
        for stats in self.stats() {
            assert_eq!(stats.connections_open, 0);
        }
        report.trace_hash
    }
}

/// One listener, three servers: whoever is ahead hands over, so that none is by more than it takes to do so.
#[test]
fn one_listener_feeds_all_servers() {
    let run = |seed, config| {
        let room = Room::new(seed, config, 1000);
        for number in 0..60 {
            room.add_client(number, 400);
        }
        let open = Rc::new(RefCell::new(Vec::new()));
        let (seen, telemetry, server) =
            (Rc::clone(&open), room.telemetry.clone(), room.server.clone());
        room.world.at(Instant::START + Duration::from_secs(1), move |_| {
            let now = telemetry.iter().map(|telemetry| telemetry.snapshot().0.connections_open);
            seen.borrow_mut().extend(now);
            server.signal(Signal::Terminate);
        });
        let hash = room.run();
        let open = open.take();
        assert_eq!(open.iter().sum::<u64>(), 60, "seed {seed}");
        let most = open.iter().max().expect("three");
        let least = open.iter().min().expect("three");
        assert!(most - least <= LEAD, "seed {seed}: {open:?}");
        let stats = room.stats();
        assert_eq!(stats[0].connections_handed_over, open[1] + open[2], "seed {seed}");
        assert!(stats.iter().all(|stats| stats.requests > 0));
        hash
    };
    for seed in 0..10 {
        for config in [WorldConfig::calm(), WorldConfig::rough()] {
            assert_eq!(run(seed, config.clone()), run(seed, config), "seed {seed}");
        }
    }
}

/// A crowd that comes in one moment is spread as well: who was just sent somewhere counts there, though nobody serves it
/// yet.
#[test]
fn a_crowd_is_spread_in_one_turn() {
    let room = Room::new(0, WorldConfig::calm(), 1000);
    let (server, address) = (room.server.clone(), room.server.address(80));
    room.world.host("crowd").run(async move {
        let clients: Vec<_> = (0..100).map(|_| spawn(Client::connect(address))).collect();
        let clients = join_all(clients).await;
        assert!(clients.iter().all(|client| matches!(client, Ok(Ok(_)))));
        sleep(Duration::from_millis(50)).await;
        server.signal(Signal::Terminate);
    });
    room.run();
    let handed_over = room.stats()[0].connections_handed_over;
    // All but a third, and but for the lead.
    assert!((60..=66).contains(&handed_over), "{handed_over}");
}

/// A server that is full lets wait what is handed over, and takes it when somebody leaves.
#[test]
fn a_full_server_lets_others_wait() {
    let room = Room::new(0, WorldConfig::calm(), 9);
    for number in 0..40 {
        room.add_client(number, 4);
    }
    let server = room.server.clone();
    room.world
        .at(Instant::START + Duration::from_secs(5), move |_| server.signal(Signal::Terminate));
    room.run();
    assert_eq!(room.answers.get(), 160);
    assert!(room.stats()[0].connections_handed_over > 0);
}

/// Wherever the machine sends them: whoever comes is served at once while there is a seat anywhere. None is left waiting
/// because a seat was promised twice, or is held for somebody who has not come.
#[test]
fn every_seat_is_of_use() {
    const SEATS: usize = 5;
    for seed in 0..20 {
        for config in [WorldConfig::calm(), WorldConfig::rough()] {
            let run = || {
                let room = Room::with_listeners(3, seed, config.clone(), SEATS);
                // As many as there are seats, who all stay.
                for number in 0..3 * SEATS as u64 {
                    room.add_client(number, 400);
                }
                let seen = Rc::new(Cell::new(0));
                let (open, telemetry, server) =
                    (Rc::clone(&seen), room.telemetry.clone(), room.server.clone());
                room.world.at(Instant::START + Duration::from_secs(1), move |_| {
                    let now = telemetry.iter().map(|shard| shard.snapshot().0.connections_open);
                    open.set(now.sum());
                    server.signal(Signal::Terminate);
                });
                let hash = room.run();
                assert_eq!(seen.get(), 3 * SEATS as u64, "seed {seed}: served at one time");
                let requests = room.stats().iter().map(|stats| stats.requests).sum::<u64>();
                (hash, requests)
            };
            assert_eq!(run(), run(), "seed {seed}");
        }
    }
}

/// Two listeners and one seat: when it is free, who came at the other listener gets it, and not the listener at which
/// nobody is.
#[test]
fn a_free_seat_is_for_who_is_there() {
    let world = World::new(0, WorldConfig::calm());
    let host = world.host("server");
    host.run(async {
        let bind = |port| {
            let address = ([0, 0, 0, 0], port).into();
            TcpListener::bind(address, ListenOptions::default()).expect("a free port")
        };
        let server = Server::new(async |_: Request| "hello").connections_max(1);
        let shutdown = Shutdown::on_signals().expect("signals can be watched");
        server.serve(vec![bind(80), bind(81)], shutdown).await;
    });
    let (first, second) = (host.address(80), host.address(81));
    world.host("client").run(async move {
        let ask = async |client: &mut Client| {
            client.send(get("/").as_bytes()).await.expect("somebody listens");
            client.answer(false).await.expect("an answer").body
        };
        let mut one = Client::connect(first).await.expect("it listens");
        assert_eq!(ask(&mut one).await, b"hello");
        let mut other = Client::connect(second).await.expect("it listens");
        sleep(Duration::from_millis(50)).await;
        drop(one);
        let answered = timeout(Duration::from_secs(1), ask(&mut other)).await;
        assert_eq!(answered.expect("it has the seat"), b"hello");
        drop(other);
        host.signal(Signal::Terminate);
    });
    world.run().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(world.leaks(), Vec::<String>::new());
}

/// SIGTERM at each instant: what was handed over is answered, or closed in good order, as if it had stayed.
#[test]
fn sigterm_at_every_instant_loses_no_connection_on_its_way() {
    let simulate = |seed, config: WorldConfig, at: Option<Instant>| {
        let room = Room::new(seed, config, 6);
        for number in 0..20 {
            room.add_client(number, 2);
        }
        let server = room.server.clone();
        let at = at.unwrap_or(Instant::START + Duration::from_secs(5));
        room.world.at(at, move |_| server.signal(Signal::Terminate));
        let hash = room.run();
        (room, hash)
    };
    for (seed, config) in [(0, WorldConfig::calm()), (1, WorldConfig::rough())] {
        let record = WorldConfig { record: true, ..config.clone() };
        let (whole, _) = simulate(seed, record, None);
        assert_eq!(whole.answers.get(), 40);
        let instants = whole.world.instants();
        assert!(instants.len() > 100, "only {} instants", instants.len());
        for instant in instants {
            let run = || simulate(seed, config.clone(), Some(instant)).1;
            assert_eq!(run(), run(), "seed {seed}, SIGTERM at {instant}");
        }
    }
}

/// The same on threads: one shard listens, and all serve.
#[test]
fn threads_share_what_one_of_them_accepts() {
    let address = reserve_address(([127, 0, 0, 1], 0).into()).expect("a free port");
    let (stops, stopped): (Vec<_>, Vec<_>) = (0..SHARDS.get()).map(|_| channel(1)).unzip();
    let parts = Balance::among(SHARDS).into_iter().zip(stopped);
    let parts = Mutex::new(parts.collect::<Vec<_>>());
    let (ready, all_ready) = channel(SHARDS.get());
    let all_ready = Mutex::new(Some(all_ready));
    let outputs = run_shards(SHARDS, |peers| {
        let (balance, mut stopped) =
            parts.lock().expect("nobody panics").pop().expect("a part each");
        let (stops, mut ready) = (stops.clone(), ready.clone());
        let all_ready = (peers.own() == 0).then(|| all_ready.lock().expect("nobody panics").take());
        async move {
            let (telemetry, shutdown) = (Telemetry::new(), Shutdown::new());
            let server = Server::new(async |_: Request| "hello");
            let server = server.telemetry(&telemetry).balance(balance);
            let listener = all_ready.flatten().map(|mut all_ready| {
                drop(spawn(async move {
                    for _ in 0..SHARDS.get() {
                        all_ready.recv().await;
                    }
                    crowd(address, stops).await;
                }));
                TcpListener::bind(address, ListenOptions::default()).expect("it is free")
            });
            let stop = shutdown.clone();
            drop(spawn(async move {
                // By the time at which this runs, the server does.
                ready.send(()).await.expect("the first shard waits for it");
                stopped.recv().await;
                stop.drain();
            }));
            let summary = server.serve(listener.into_iter().collect(), shutdown).await;
            (telemetry.snapshot().0.requests, summary.connections_cut)
        }
    });
    let outputs: Vec<_> = outputs.into_iter().map(|output| output.expect("a driver")).collect();
    let requests: Vec<u64> = outputs.iter().map(|(requests, _)| *requests).collect();
    assert_eq!(requests.iter().sum::<u64>(), 60, "{requests:?}");
    assert!(requests.iter().all(|requests| (15..=26).contains(requests)), "{requests:?}");
}

/// Sixty clients that are all there before the first of them asks; stops the servers afterwards.
async fn crowd(address: SocketAddr, stops: Vec<Sender<()>>) {
    let mut clients = join_all((0..60).map(|_| Client::connect(address))).await;
    for client in &mut clients {
        let client = client.as_mut().expect("somebody listens");
        client.send(get("/").as_bytes()).await.expect("somebody reads");
        assert!(answer_or_nothing(client).await.is_some());
    }
    drop(clients);
    for mut stop in stops {
        stop.send(()).await.expect("the servers run");
    }
}
