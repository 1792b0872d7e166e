//! All that may go wrong, each run with some of it: a few clients that lose patience, links that are cut, slow or narrow
//! for a while, and then are well again. In the end every request is answered, right to the byte, and nothing is left.

use core::cell::Cell;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use mainspring::Server;
use mainspring_executor::Instant;
use mainspring_executor::time::{Elapsed, sleep, timeout};
use mainspring_sim::{Host, World, WorldConfig};

use super::crowd::answer;
use super::{PORT, drain, serve};
use crate::client::{Client, ClientError};
use crate::scenario::{Run, Scenario, Setup, conclude};

/// See the file.
pub(crate) const MIXED: Scenario = Scenario {
    name: "mixed",
    about: "up to 9 clients, each seed with other faults; links go wrong for a while, and then all is answered",
    is_planted: false,
    body: run,
};

/// Whatever is wrong with a link begins within so many milliseconds.
const BEGIN_MS: u64 = 20_000;

/// And lasts so many at most: longer than any deadline of a server, and than a connect without an answer.
const TROUBLE_MS: u64 = 200_000;

/// A client waits for an answer so many milliseconds, or not so long.
const PATIENCE_MS: u64 = 30_000;

/// So often a request is tried, at most. An attempt takes a second at least; trouble is over in 220, and a handler in two.
const ATTEMPTS_MAX: u32 = 500;

fn run(setup: &mut Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig {
        virtual_time_max: Duration::from_secs(2 * 3600),
        event_count_max: 10_000_000,
        ..WorldConfig::swarm()
    });
    let server = world.host("server");
    serve(&server, || Server::new(answer));
    let hosts: Vec<_> =
        (0..=world.choose(3)).map(|number| world.host(&format!("clients-{number}"))).collect();
    for _ in 0..world.choose(4) {
        trouble(&world, &server, &hosts);
    }
    let tally = Rc::<Tally>::default();
    for host in &hosts {
        for _ in 0..=world.choose(3) {
            tally.clients_left.set(tally.clients_left.get() + 1);
            host.run(client(host.clone(), server.clone(), Rc::clone(&tally)));
        }
    }
    conclude(&world, 0).map(|run| Run { request_count: tally.answered.get(), ..run })
}

#[derive(Default)]
struct Tally {
    clients_left: Cell<u64>,
    answered: Cell<u64>,
}

/// Lets something be wrong for a while with one direction of one link, or with both.
fn trouble(world: &World, server: &Host, hosts: &[Host]) {
    let index = usize::try_from(world.choose(hosts.len() as u64)).expect("a place in a list");
    let (there, back) =
        ((hosts[index].clone(), server.clone()), (server.clone(), hosts[index].clone()));
    let links = match world.choose(3) {
        0 => vec![there],
        1 => vec![back],
        _ => vec![there, back],
    };
    let kind = world.choose(3);
    let begin = Instant::START + Duration::from_millis(world.choose(BEGIN_MS));
    let end = begin + Duration::from_millis(1 + world.choose(TROUBLE_MS));
    let usual = world.config().latency;
    world.at(begin, move |world| {
        for (from, to) in &links {
            match kind {
                0 => world.cut(from, to),
                1 => world.set_latency(from, to, Duration::from_secs(1)..=Duration::from_secs(2)),
                _ => world.set_bandwidth(from, to, 20_000, 5_000),
            }
        }
        world.at(end, move |world| {
            for (from, to) in &links {
                match kind {
                    0 => world.heal(from, to),
                    1 => world.set_latency(from, to, usual.clone()),
                    _ => world.set_bandwidth(from, to, 1_000_000_000, 1_000_000_000),
                }
            }
        });
    });
}

/// A few requests, one after the other, on a connection that is made anew when it broke or took too long.
async fn client(host: Host, server: Host, tally: Rc<Tally>) {
    let mut connection = None;
    for _ in 0..=host.choose(6) {
        sleep(Duration::from_millis(host.choose(5_000))).await;
        let (request, expected) = request(&host);
        let mut attempt = 0;
        loop {
            let patience = Duration::from_millis(PATIENCE_MS - host.choose(PATIENCE_MS - 100));
            let asking = exchange(&mut connection, server.address(PORT), &request, &expected);
            match timeout(patience, asking).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => {}
                Err(Elapsed) => {
                    if host.choose(2) == 1
                        && let Some(client) = connection.take()
                    {
                        client.abort();
                    }
                }
            }
            connection = None;
            attempt += 1;
            assert!(attempt < ATTEMPTS_MAX, "no answer after {attempt} attempts");
            sleep(Duration::from_secs(1)).await;
        }
        tally.answered.set(tally.answered.get() + 1);
    }
    drop(connection);
    tally.clients_left.set(tally.clients_left.get() - 1);
    if tally.clients_left.get() == 0 {
        drain(&server);
    }
}

/// A request, and the content of its answer.
fn request(host: &Host) -> (Vec<u8>, Vec<u8>) {
    let size = host.choose(20_000);
    match host.choose(3) {
        0 => get(format!("/item/{size}")),
        1 => get(format!("/sleep/{}", size * 100)),
        _ => {
            // Each place in it is unlike the others near it, so that a mix-up shows.
            let mut body: Vec<u8> = (0..size).flat_map(u64::to_le_bytes).collect();
            body.truncate(usize::try_from(size).expect("a few thousand"));
            let head = format!("POST / HTTP/1.1\r\nHost: mixed\r\nContent-Length: {size}\r\n\r\n");
            ([head.as_bytes(), &body].concat(), body)
        }
    }
}

fn get(path: String) -> (Vec<u8>, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: mixed\r\n\r\n");
    (request.into_bytes(), path.into_bytes())
}

/// Gets the right answer, or says why the request has to be sent again on another connection.
async fn exchange(
    connection: &mut Option<Client>,
    address: SocketAddr,
    request: &[u8],
    expected: &[u8],
) -> Result<(), ClientError> {
    let client = match connection {
        Some(client) => client,
        None => connection.insert(Client::connect(address).await?),
    };
    match client.exchange(request, false).await {
        // Too long on its way.
        Ok(answer) if answer.status == 408 => Err(ClientError::Closed),
        Ok(answer) => {
            assert_eq!((answer.status, &*answer.body), (200, expected));
            Ok(())
        }
        Err(ClientError::Malformed(what)) => panic!("no HTTP: {what}"),
        Err(error) => Err(error),
    }
}
