//! Names in the machine room: what is remembered for how long, and what the resolver may do.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::io::ErrorKind;
use std::rc::Rc;

use mainspring_executor::driver::ListenOptions;
use mainspring_executor::names::{connect, resolve};
use mainspring_executor::net::TcpListener;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::{World, WorldConfig};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2));

async fn first(host: &str) -> Result<IpAddr, ErrorKind> {
    resolve(host, 1).await.map(|found| found[0].ip()).map_err(|error| error.kind())
}

#[test]
fn what_a_name_means_is_remembered_and_forgotten() {
    let world = Rc::new(World::new(1, WorldConfig::calm()));
    world.add_name("Moves.example", &[ONE, TWO]);
    let known = Rc::clone(&world);
    let wait = |seconds| sleep(Duration::from_secs(seconds));
    world.host("host").run(async move {
        assert_eq!(first("moves.example").await, Ok(ONE));
        assert_eq!(first("comes.example").await, Err(ErrorKind::NotFound));
        known.add_name("moves.example", &[TWO]);
        known.add_name("comes.example", &[ONE]);
        wait(4).await;
        assert_eq!(first("comes.example").await, Err(ErrorKind::NotFound));
        wait(1).await;
        assert_eq!(first("COMES.example").await, Ok(ONE));
        wait(24).await;
        assert_eq!(first("moves.example").await, Ok(ONE));
        wait(2).await;
        assert_eq!(first("moves.example").await, Ok(TWO));
        known.add_name("moves.example", &[]);
        wait(31).await;
        assert_eq!(first("moves.example").await, Err(ErrorKind::NotFound));
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_resolver_that_fails_says_not_found_and_takes_its_time() {
    let slow = Duration::from_secs(7);
    let config = WorldConfig { name_duration: slow..=slow, ..WorldConfig::calm() };
    let world = World::new(1, WorldConfig { name_failure_one_in: 1, ..config });
    world.add_name("there.example", &[ONE]);
    world.host("host").run(async move {
        let before = now();
        assert_eq!(first("there.example").await, Err(ErrorKind::NotFound));
        assert_eq!(now() - before, slow);
    });
    world.run().expect("it ends well");
}

#[test]
fn connecting_by_name_goes_through_the_addresses() {
    let world = World::new(1, WorldConfig::calm());
    let server = world.host("server");
    // At the first of them there is no host, at the second nobody listens on that version of IP.
    world.add_name("service", &[ONE, server.ip_v6().into(), server.ip().into()]);
    let address = (server.ip(), 80).into();
    server.run(async move {
        let listener =
            TcpListener::bind(address, ListenOptions::default()).expect("the port is free");
        listener.accept().await.expect("a client comes");
    });
    world.host("client").run(async move {
        let stream = connect("service", 80).await.expect("the last address answers");
        assert_eq!(stream.peer_addr(), address);
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

/// A program that ends before its lookup takes that back.
#[test]
fn a_lookup_under_way_goes_with_its_program() {
    let world = World::new(1, WorldConfig::calm());
    world.add_name("there.example", &[ONE]);
    let host = world.host("host");
    host.run(async move {
        futures::future::select(
            Box::pin(first("there.example")),
            Box::pin(sleep(Duration::from_micros(10))),
        )
        .await;
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}
