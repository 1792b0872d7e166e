//! All that may go wrong, each run with some of it: a few clients that lose patience; for a while links that are cut, slow or
//! narrow, clocks that are wrong, programs that stand still, machines without power. Then all is well again: in the end every request of those that
//! are still there is answered, right to the byte, and nothing is left.

use core::cell::Cell;
use core::net::SocketAddr;
use core::ops::{Range, RangeInclusive};
use core::time::Duration;
use std::rc::Rc;

use mainspring::{Server, Shutdown};
use mainspring_executor::Instant;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::TcpListener;
use mainspring_executor::time::{Elapsed, sleep, timeout};
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{Host, World, WorldConfig};

use super::crowd::answer;
use super::{PORT, drain};
use crate::client::{Client, ClientError};

/// See the file.
pub(crate) const MIXED: Scenario = Scenario::new(
    "mixed",
    "up to 9 clients, each seed with other faults; links and machines fail for a while, then all is answered",
    run,
)
.expects(&[
    "a client leaves before the end of its response",
    "a connection waits for its seat",
    "a handler is dropped, for its client is gone",
    "a lingering close ends by its deadline",
    "a lingering close ends with the client",
]);

/// Whatever goes wrong begins within so many milliseconds.
const BEGIN_MS: u64 = 20_000;

/// And lasts so many at most: longer than any deadline of a server, and than a connect without an answer.
const TROUBLE_MS: u64 = 200_000;

/// How long a packet is under way on a slow link.
const SLOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(2);

/// A client waits for an answer so many milliseconds, or not so long.
const PATIENCE_MS: u64 = 30_000;

/// The first attempts at a request may be given up sooner than that.
const IMPATIENT_MAX: u32 = 50;

/// So often a request is tried, at most. An attempt takes a second at least, and trouble is over in 220 s; but a fuzzer may
/// choose to lose packets for as long as its bytes last, some of them for each attempt.
const ATTEMPTS_MAX: u32 = 2_000;

fn run(setup: &Setup) -> Result<Run, String> {
    let config = WorldConfig { event_count_max: 10_000_000, buggify: true, ..WorldConfig::swarm() };
    let world = setup.world(config);
    let server = world.host("server");
    start_server(&server);
    let hosts: Vec<_> =
        (0..=world.choose(3)).map(|number| world.host(&format!("clients-{number}"))).collect();
    let room = Room { server, hosts, tally: Rc::default() };
    for host in &room.hosts {
        for _ in 0..=world.choose(3) {
            room.start_client(host);
        }
    }
    for _ in 0..world.choose(4) {
        room.trouble(&world);
    }
    conclude(&world, 0).map(|run| Run { request_count: room.tally.answered.get(), ..run })
}

fn start_server(host: &Host) {
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    host.run(async move {
        let shutdown = Shutdown::on_signals().expect("signals can be watched");
        let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
        Server::new(answer).serve(vec![listener], shutdown).await;
    });
}

/// Who is there, and how far they are.
#[derive(Clone)]
struct Room {
    server: Host,
    hosts: Vec<Host>,
    tally: Rc<Tally>,
}

#[derive(Default)]
struct Tally {
    /// Clients that have not ended, and hosts on which some will start.
    expected: Cell<u64>,
    answered: Cell<u64>,
}

/// A client that is expected. When none is any more, the server is told to end.
struct Expected {
    tally: Rc<Tally>,
    server: Host,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.tally.expected.set(self.tally.expected.get() - 1);
        if self.tally.expected.get() == 0 {
            drain(&self.server);
        }
    }
}

impl Room {
    fn expect_client(&self) -> Expected {
        self.tally.expected.set(self.tally.expected.get() + 1);
        Expected { tally: Rc::clone(&self.tally), server: self.server.clone() }
    }

    fn start_client(&self, host: &Host) {
        host.run(client(host.clone(), self.expect_client()));
    }

    /// Lets something be wrong for a while: with one direction of one link, with both, or with a machine.
    fn trouble(&self, world: &World) {
        let index = usize::try_from(world.choose(self.hosts.len() as u64)).expect("a place");
        let host = self.hosts[index].clone();
        let begin = Instant::START + Duration::from_millis(world.choose(BEGIN_MS));
        let end = begin + Duration::from_millis(1 + world.choose(TROUBLE_MS));
        let machine = if world.choose(2) == 0 { host.clone() } else { self.server.clone() };
        match world.choose(5) {
            0 => self.trouble_link(world, host, begin..end),
            1 => drift(world, machine, begin..end),
            2 => pause(world, machine, begin..end),
            3 => self.crash_client(world, host, begin..end),
            _ => self.crash_server(world, begin..end),
        }
    }

    fn trouble_link(&self, world: &World, host: Host, when: Range<Instant>) {
        let there = (host.clone(), self.server.clone());
        let back = (self.server.clone(), host);
        let links = match world.choose(3) {
            0 => vec![there],
            1 => vec![back],
            _ => vec![there, back],
        };
        let (kind, usual) = (world.choose(3), world.config().latency);
        world.at(when.start, move |world| {
            for (from, to) in &links {
                match kind {
                    0 => world.cut(from, to),
                    1 => world.set_latency(from, to, SLOW),
                    _ => world.set_bandwidth(from, to, 20_000, 5_000),
                }
            }
            world.at(when.end, move |world| {
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

    /// Its clients are gone; another one is there when it is back.
    fn crash_client(&self, world: &World, host: Host, when: Range<Instant>) {
        let (room, expected) = (self.clone(), self.expect_client());
        world.at(when.start, move |world| {
            host.crash();
            world.at(when.end, move |_| {
                host.restart();
                room.start_client(&host);
                drop(expected);
            });
        });
    }

    fn crash_server(&self, world: &World, when: Range<Instant>) {
        let room = self.clone();
        world.at(when.start, move |world| {
            room.server.crash();
            world.at(when.end, move |_| {
                room.server.restart();
                // Else nobody would ever tell it to end.
                if room.tally.expected.get() > 0 {
                    start_server(&room.server);
                }
            });
        });
    }
}

/// Up to a tenth too fast or too slow: a clock that is broken, so that it shows.
fn drift(world: &World, host: Host, when: Range<Instant>) {
    let size = i32::try_from(world.choose(100_000)).expect("small");
    let millionths = if world.choose(2) == 0 { size } else { -size };
    world.at(when.start, move |world| {
        host.set_drift(millionths);
        world.at(when.end, move |_| host.set_drift(0));
    });
}

fn pause(world: &World, host: Host, when: Range<Instant>) {
    world.at(when.start, move |world| {
        host.pause();
        world.at(when.end, move |_| host.resume());
    });
}

/// A few requests, one after the other, on a connection that is made anew when it broke or took too long.
async fn client(host: Host, expected: Expected) {
    let mut connection = None;
    for _ in 0..=host.choose(6) {
        sleep(Duration::from_millis(host.choose(5_000))).await;
        let (request, content) = request(&host);
        let mut attempt = 0;
        loop {
            let is_impatient = attempt < IMPATIENT_MAX;
            let lost = if is_impatient { host.choose(PATIENCE_MS - 100) } else { 0 };
            let patience = Duration::from_millis(PATIENCE_MS - lost);
            let asking =
                exchange(&mut connection, expected.server.address(PORT), &request, &content);
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
        let answered = &expected.tally.answered;
        answered.set(answered.get() + 1);
    }
    drop(connection);
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
