//! How a program is run in each world, and what must hold of every run: it ends, leaves nothing, and in the simulated
//! room leaves the same trace when it is run again.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use mainspring_executor::driver::{Driver, ListenOptions};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::timeout;
use mainspring_executor::{CancelToken, Scope, Shard};
use mainspring_sim::bypass::{Bypasses, alone};
use mainspring_sim::{World, WorldConfig};
use mainspring_stand_ins::{Protocol, StandIn};
use mainspring_tests::compat::accept_each;

/// Seeds of the rough room; each is run twice.
const ROUGH_SEEDS: core::ops::Range<u64> = 0..8;

/// What takes longer on the operating system waits for something that was lost.
const OS_DURATION_MAX: Duration = Duration::from_secs(60);

/// What a program may take in the simulated room, in virtual time.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(600);

/// Where servers listen in the simulated room.
const PORT: u16 = 80;

/// Serves what comes until the token is cancelled.
pub(crate) type Server = fn(TcpListener, CancelToken) -> LocalBoxFuture<'static, ()>;

/// Talks to the server, and asserts what it sees.
pub(crate) type Client = fn(SocketAddr) -> LocalBoxFuture<'static, ()>;

/// Runs both in every world: on one shard of the operating system, on two hosts of the room.
#[track_caller]
pub(crate) fn everywhere(server: Server, client: Client) {
    on_system(|| async move {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into(), ListenOptions::default());
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let stop = CancelToken::new();
        let scope = Scope::new();
        let serving = scope.spawn(server(listener, stop.clone()));
        client(address).await;
        stop.cancel();
        serving.await.expect("the server does not panic");
    });
    in_rooms(server, client);
}

/// Runs `body` on the operating system, by each of its pollers.
#[track_caller]
pub(crate) fn on_system<F: Future<Output = ()> + 'static>(body: impl Fn() -> F) {
    let drivers = [("epoll", OsDriver::new()), ("portable", OsDriver::portable())];
    for (name, driver) in drivers {
        let driver: Rc<dyn Driver> = Rc::new(driver.expect("the system has a poller"));
        let shard = Shard::new(driver);
        let body = body();
        let ended = shard.run(async { timeout(OS_DURATION_MAX, body.boxed_local()).await });
        let ended = ended.expect("the driver works");
        assert!(ended.is_ok(), "{name}: it hangs:\n{}", shard.ledger());
        assert!(shard.ledger().is_empty(), "{name}: left behind:\n{}", shard.ledger());
    }
}

/// Runs both in the simulated room, calm and rough, each seed twice.
#[track_caller]
pub(crate) fn in_rooms(server: Server, client: Client) {
    run_twice(0, &WorldConfig::calm(), server, client);
    let hashes = ROUGH_SEEDS.map(|seed| run_twice(seed, &WorldConfig::rough(), server, client));
    let distinct: BTreeSet<u64> = hashes.collect();
    assert!(distinct.len() > 1, "seeds make a difference");
}

#[track_caller]
fn run_twice(seed: u64, config: &WorldConfig, server: Server, client: Client) -> u64 {
    let run = || simulate(seed, config, server, client).trace_hash;
    let (first, second) = (run(), run());
    assert_eq!(first, second, "seed {seed}: two runs differ");
    first
}

/// What became of a run.
pub(crate) struct Simulated {
    pub(crate) trace_hash: u64,
    pub(crate) bypasses: Bypasses,
}

/// Runs both once, on a thread of their own.
#[track_caller]
pub(crate) fn simulate(
    seed: u64,
    config: &WorldConfig,
    server: Server,
    client: Client,
) -> Simulated {
    let bounds = WorldConfig {
        virtual_time_max: VIRTUAL_TIME_MAX,
        event_count_max: 10_000_000,
        ..config.clone()
    };
    alone(seed, || simulate_here(seed, bounds, server, client))
}

fn simulate_here(seed: u64, config: WorldConfig, server: Server, client: Client) -> Simulated {
    let world = World::new(seed, config);
    let server_host = world.host("server");
    let client_host = world.host("client");
    let stop = CancelToken::new();
    let stopped = stop.clone();
    let address = server_host.address(PORT);
    server_host.run(async move {
        let listener = TcpListener::bind(([0, 0, 0, 0], PORT).into(), ListenOptions::default());
        server(listener.expect("a free port"), stopped).await;
    });
    client_host.run(async move {
        client(address).await;
        stop.cancel();
    });
    let report = world.run().unwrap_or_else(|failure| panic!("{failure}"));
    assert!(world.leaks().is_empty(), "seed {seed}: left behind:\n{}", world.leaks().join("\n"));
    Simulated { trace_hash: report.trace_hash, bypasses: world.bypasses() }
}

/// Gives each connection a task, until the token is cancelled; then waits for those that are left.
pub(crate) async fn serve_each<F: Future<Output = ()> + 'static>(
    listener: TcpListener,
    stop: CancelToken,
    serve: impl Fn(TcpStream) -> F,
) {
    let left = accept_each(listener, stop, serve).await;
    left.join().await.expect("no connection's task panics");
}

/// Serves what a stand-in speaks, until the token is cancelled.
pub(crate) async fn stand_in<P: Protocol>(protocol: P, listener: TcpListener, stop: CancelToken) {
    let (stand_in, serving) = StandIn::serve_on(protocol, listener);
    // It does not end by itself.
    let _stopped = stop.run_until_cancelled(serving).await;
    drop(stand_in);
}
