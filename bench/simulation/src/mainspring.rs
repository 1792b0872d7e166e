//! Mainspring: its server and its client in its simulator.

mod usage;

use std::cell::Cell;
use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mainspring::client::Client;
use mainspring::{Body, Request, Server, Shutdown, Timeouts};
use mainspring_executor::Instant;
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::sleep;
use mainspring_sim::{Host, World, WorldConfig};

const PORT: u16 = 80;
const BODY: &str = "Hello, World!";
const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: server\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        ["gets", clients, requests] => gets(clients.parse()?, requests.parse()?, false),
        ["raw", clients, requests] => gets(clients.parse()?, requests.parse()?, true),
        ["idle", connections, hours] => idle(connections.parse()?, hours.parse()?),
        ["seeds", count] => seeds(count.parse()?),
        _ => {
            return Err(
                "usage: gets|raw CLIENTS REQUESTS, idle CONNECTIONS HOURS, or seeds COUNT".into()
            );
        }
    }
    Ok(())
}

fn config() -> WorldConfig {
    WorldConfig {
        latency: Duration::from_millis(1)..=Duration::from_millis(10),
        event_count_max: u64::MAX,
        ..WorldConfig::calm()
    }
}

fn serve(host: &Host, timeouts: Timeouts) {
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    host.run(async move {
        let shutdown = Shutdown::on_signals().expect("signals can be watched");
        let options = ListenOptions { backlog: 4096, ..ListenOptions::default() };
        let listener = TcpListener::bind(address, options).expect("a free port");
        let server = Server::new(async |_: Request| BODY).timeouts(timeouts);
        server.serve(vec![listener], shutdown).await;
    });
}

/// Requests one after the other over a connection of each client, each client on a host of its own.
fn gets(clients: u64, requests: u64, is_raw: bool) {
    let before = usage::cpu_seconds();
    let world = World::new(7, config());
    let answered = Rc::new(Cell::new(0_u64));
    room(&world, clients, requests, is_raw, &answered);
    let report = world.run().expect("all is answered");
    let cpu = usage::cpu_seconds() - before;
    assert_eq!(answered.get(), clients * requests);
    usage::tell(answered.get(), Some(report.event_count), cpu, seconds(report.at));
}

fn room(world: &World, clients: u64, requests: u64, is_raw: bool, answered: &Rc<Cell<u64>>) {
    let server = world.host("server");
    serve(&server, Timeouts::default());
    let address = server.address(PORT);
    let left = Rc::new(Cell::new(clients));
    for number in 0..clients {
        let (answered, left, server) = (Rc::clone(answered), Rc::clone(&left), server.clone());
        world.host(&format!("client{number}")).run(async move {
            if is_raw {
                get_raw(address, requests, &answered).await;
            } else {
                get(address, requests, &answered).await;
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                server.signal(Signal::Terminate);
            }
        });
    }
}

async fn get(address: SocketAddr, requests: u64, answered: &Cell<u64>) {
    let client = Client::new();
    let uri: http::Uri = format!("http://{address}/plaintext").parse().expect("a URI");
    for _ in 0..requests {
        let request = http::Request::get(uri.clone()).body(Body::empty()).expect("a request");
        let response = client.send(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect(1024).await.expect("a body");
        assert_eq!(body, BODY);
        answered.set(answered.get() + 1);
    }
}

/// No client at all: bytes out, and bytes in up to the length of the first answer.
async fn get_raw(address: SocketAddr, requests: u64, answered: &Cell<u64>) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    for _ in 0..requests {
        stream.write_all(REQUEST).await.expect("it reads");
        while !stream.buffered().ends_with(BODY.as_bytes()) {
            assert!(stream.fill().await.expect("it answers") > 0);
        }
        stream.consume(stream.buffered().len());
        answered.set(answered.get() + 1);
    }
}

/// Connections that have asked once, and then say nothing for hours; the server's deadlines, and theirs, wait with them.
fn idle(connections: u64, hours: u64) {
    let before = usage::cpu_seconds();
    let length = Duration::from_secs(hours * 3600);
    let world = World::new(7, WorldConfig { virtual_time_max: length * 2, ..config() });
    let server = world.host("server");
    let timeouts = Timeouts { idle: length * 2, ..Timeouts::default() };
    serve(&server, timeouts);
    let (clients, address) = (world.host("clients"), server.address(PORT));
    let (left, answered) = (Rc::new(Cell::new(connections)), Rc::new(Cell::new(0)));
    for number in 0..connections {
        let (left, server, answered) = (Rc::clone(&left), server.clone(), Rc::clone(&answered));
        clients.run(async move {
            sleep(Duration::from_micros(number * 100)).await;
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(REQUEST).await.expect("it reads");
            while !stream.buffered().ends_with(BODY.as_bytes()) {
                assert!(stream.fill().await.expect("it answers") > 0);
            }
            stream.consume(stream.buffered().len());
            answered.set(answered.get() + 1);
            sleep(length).await;
            left.set(left.get() - 1);
            if left.get() == 0 {
                server.signal(Signal::Terminate);
            }
        });
    }
    let report = world.run().expect("all is answered");
    let cpu = usage::cpu_seconds() - before;
    usage::tell(answered.get(), Some(report.event_count), cpu, seconds(report.at));
}

/// Rough rooms of ten clients with ten requests each, whose links also lose packets, bring them late, and twice.
fn seeds(count: u64) {
    let answered = Rc::new(Cell::new(0));
    let (mut events, mut virtual_seconds) = (0, 0.0);
    let before = usage::cpu_seconds();
    let config = WorldConfig {
        segment_loss_permille: 10,
        segment_reordering_permille: 10,
        segment_duplication_permille: 10,
        ..WorldConfig::rough()
    };
    for seed in 0..count {
        let world = World::new(seed, config.clone());
        room(&world, 10, 10, false, &answered);
        let report = world.run().expect("all is answered");
        assert!(world.leaks().is_empty());
        events += report.event_count;
        virtual_seconds += seconds(report.at);
    }
    let cpu = usage::cpu_seconds() - before;
    usage::tell(answered.get(), Some(events), cpu, virtual_seconds);
}

fn seconds(at: Instant) -> f64 {
    (at - Instant::START).as_secs_f64()
}
