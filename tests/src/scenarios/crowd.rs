//! A hundred clients with ten requests each, over a network where nothing is lost and everything else goes wrong; and over one
//! that loses packets as well.

use core::cell::Cell;
use core::time::Duration;
use std::io::ErrorKind;
use std::rc::Rc;

use http::{Method, StatusCode};
use mainspring::{IntoResponse, Request, Response, Server, Timeouts};
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{Instant, random};
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{Host, World, WorldConfig};

use super::{PORT, drain, serve};
use crate::client::{Client, ClientError, chunked};

const HOSTS: u64 = 10;
const CLIENTS_PER_HOST: u64 = 10;
const REQUESTS_PER_CLIENT: u64 = 10;

/// See the file.
pub(super) const CROWD: Scenario = Scenario::new(
    "crowd",
    "100 clients, 10 keep-alive requests each, drawn latency, order, short reads and writes",
    run,
);

/// See the file.
pub(super) const LOSSY: Scenario = Scenario::new(
    "lossy",
    "the same over links that lose 1 to 5 % of all packets, one of them all for three seconds",
    run_lossy,
);

/// While the first of the clients' hosts and the server do not hear each other.
const CUT: core::ops::Range<Duration> = Duration::from_millis(50)..Duration::from_millis(3_050);

fn run(setup: &Setup) -> Result<Run, String> {
    run_over(setup, WorldConfig::rough())
}

fn run_lossy(setup: &Setup) -> Result<Run, String> {
    let percent = 1 + u32::try_from(setup.seed() % 5).expect("below 5");
    run_over(setup, WorldConfig { segment_loss_permille: 10 * percent, ..WorldConfig::rough() })
}

fn run_over(setup: &Setup, config: WorldConfig) -> Result<Run, String> {
    let is_lossy = config.segment_loss_permille > 0;
    let world = setup.world(config);
    let server = world.host("server");
    serve(&server, || Server::new(answer));
    let clients_left = Rc::new(Cell::new(HOSTS * CLIENTS_PER_HOST));
    for number in 0..HOSTS {
        let host = world.host(&format!("clients-{number}"));
        if is_lossy && number == 0 {
            cut_for_a_while(&world, &server, &host);
        }
        for _ in 0..CLIENTS_PER_HOST {
            // Wherever one is dropped, the others are served.
            let client = world.victims().wrap(client(server.clone(), is_lossy));
            let (server, clients_left) = (server.clone(), Rc::clone(&clients_left));
            host.run(async move {
                client.await;
                clients_left.set(clients_left.get() - 1);
                if clients_left.get() == 0 {
                    drain(&server);
                }
            });
        }
    }
    conclude(&world, HOSTS * CLIENTS_PER_HOST * REQUESTS_PER_CLIENT)
}

fn cut_for_a_while(world: &World, server: &Host, clients: &Host) {
    let ends = (server.clone(), clients.clone());
    world.at(Instant::START + CUT.start, move |world| {
        world.cut(&ends.0, &ends.1);
        world.cut(&ends.1, &ends.0);
        world.at(Instant::START + CUT.end, move |world| {
            world.heal(&ends.0, &ends.1);
            world.heal(&ends.1, &ends.0);
        });
    });
}

/// What the server does.
pub(super) async fn answer(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    match (request.method(), path.split_once("/sleep/")) {
        (&Method::POST, None) => Response::new(request.into_body().into()),
        (_, Some((_, micros))) => {
            let micros = micros.parse().expect("clients of this scenario ask in numbers");
            sleep(Duration::from_micros(micros)).await;
            path.into_response()
        }
        (&Method::GET | &Method::HEAD, None) => path.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn client(server: Host, is_lossy: bool) {
    let mut client = connect(&server, is_lossy).await;
    let mut used_at = now();
    for number in 0..REQUESTS_PER_CLIENT {
        loop {
            let began_at = now();
            if exchange(&mut client, used_at, number).await {
                used_at = began_at;
                break;
            }
            assert!(is_lossy, "nothing is late where nothing is lost");
            client = connect(&server, is_lossy).await;
            used_at = now();
        }
        if random().is_multiple_of(4) {
            sleep(Duration::from_micros(random() % 50_000)).await;
        }
    }
}

/// A connection; where packets get lost, once in many thousand times all of seven SYNs do.
async fn connect(server: &Host, is_lossy: bool) -> Client {
    loop {
        match Client::connect(server.address(PORT)).await {
            Err(ClientError::Io(ErrorKind::TimedOut)) if is_lossy => {}
            connected => return connected.expect("the server listens"),
        }
    }
}

/// One request of a drawn kind; its answer must be right to the byte. False: it is to be sent again on another connection, for the
/// server has closed this one: the request was too long on its way (408, RFC 9110 §15.5.9), or the answer to the one that was sent at
/// `used_at` was, so that the connection was idle for the server (RFC 9112 §9.5).
async fn exchange(client: &mut Client, used_at: Instant, number: u64) -> bool {
    let tag = random() % 1_000_000;
    let get = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: crowd\r\n\r\n");
    let (request, to_head, body) = match random() % 5 {
        0 => {
            let path = format!("/item/{number}/{tag}");
            (get("GET", &path).into_bytes(), false, path.into_bytes())
        }
        1 => (get("HEAD", &format!("/item/{tag}")).into_bytes(), true, Vec::new()),
        2 => {
            let path = format!("/sleep/{}", tag % 10_000);
            (get("GET", &path).into_bytes(), false, path.into_bytes())
        }
        kind => {
            let body = drawn_bytes(usize::try_from(random() % 3_000).expect("it fits"));
            (post(&body, kind == 3), false, body)
        }
    };
    let may_be_closed = now() - used_at >= Timeouts::default().idle;
    let answer = match client.exchange(&request, to_head).await {
        Err(
            ClientError::Closed
            | ClientError::Io(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        ) if may_be_closed => return false,
        answer => answer.expect("an answer to each request"),
    };
    if answer.status == 408 {
        return false;
    }
    assert_eq!(answer.status, 200, "request {number} was {:?}", String::from_utf8_lossy(&request));
    assert_eq!(answer.body, body, "request {number} was {:?}", String::from_utf8_lossy(&request));
    assert!(answer.field("date").is_some(), "every answer has a date");
    true
}

fn post(body: &[u8], with_length: bool) -> Vec<u8> {
    let head = "POST /echo HTTP/1.1\r\nHost: crowd\r\n";
    if with_length {
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    }
    let head = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    [head.into_bytes(), chunked(body, 700)].concat()
}

/// Bytes that differ from request to request, so that a mix-up shows.
fn drawn_bytes(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
