//! How a client is run against a stand-in: in a calm room and in rough ones, each twice.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use mainspring_executor::time::now;
use mainspring_sim::{World, WorldConfig};
use mainspring_stand_ins::{Protocol, StandIn};

/// Seeds of the rough room.
const ROUGH_SEEDS: core::ops::Range<u64> = 0..4;

/// What takes longer in virtual time waits for something that does not come.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(6 * 3600);

/// A client as a closure, of one type for all.
type Client<'a, P> = &'a dyn Fn(StandIn<P>, SocketAddr) -> LocalBoxFuture<'static, ()>;

/// Runs both in each room; every run has to end well, leave nothing, and be the same when it is run again.
#[track_caller]
pub(crate) fn check<P: Protocol, F: Future<Output = ()> + 'static>(
    protocol: impl Fn() -> P,
    client: impl Fn(StandIn<P>, SocketAddr) -> F,
) {
    in_rooms(&protocol, &|server, address| client(server, address).boxed_local());
}

#[track_caller]
fn in_rooms<P: Protocol>(protocol: &dyn Fn() -> P, client: Client<'_, P>) {
    run_twice(0, &WorldConfig::calm(), protocol, client);
    let rough = WorldConfig::rough();
    let hashes = ROUGH_SEEDS.map(|seed| run_twice(seed, &rough, protocol, client));
    let distinct: BTreeSet<u64> = hashes.collect();
    assert!(distinct.len() > 1, "seeds make a difference");
}

#[track_caller]
fn run_twice<P: Protocol>(
    seed: u64,
    config: &WorldConfig,
    protocol: &dyn Fn() -> P,
    client: Client<'_, P>,
) -> u64 {
    let run = || {
        let bounds = WorldConfig {
            virtual_time_max: VIRTUAL_TIME_MAX,
            event_count_max: 10_000_000,
            ..config.clone()
        };
        let world = World::new(seed, bounds);
        let server = world.host("server");
        let stand_in = StandIn::serve(protocol(), &server, 80);
        let held = stand_in.clone();
        let talk = client(stand_in, server.address(80));
        world.host("client").run(async move {
            talk.await;
            drop(held);
        });
        let report = world.run().unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        let leaks = world.leaks();
        assert!(leaks.is_empty(), "seed {seed}: left behind:\n{}", leaks.join("\n"));
        report.trace_hash
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second, "seed {seed}: two runs differ");
    first
}

/// What a future gives, and how long it took.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let begin = now();
    let output = future.await;
    (output, now() - begin)
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
