//! How fast the room is: clients that send small requests over kept connections and get small answers, without HTTP.
//! `cargo run --release -p mainspring-sim --example throughput [clients] [requests each] [rough]`

use core::time::Duration;

use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::spawn;
use mainspring_sim::{World, WorldConfig};

const REQUEST: [u8; 80] = [b'q'; 80];
const ANSWER: [u8; 120] = [b'a'; 120];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let clients: usize = arguments.next().map_or(10, |text| text.parse().expect("a number"));
    let requests: usize = arguments.next().map_or(100_000, |text| text.parse().expect("a number"));
    let is_rough = arguments.next().is_some();
    let config = WorldConfig {
        latency: Duration::from_millis(1)..=Duration::from_millis(10),
        ..if is_rough { WorldConfig::rough() } else { WorldConfig::calm() }
    };
    let world = World::new(1, config);
    let server = world.host("server");
    drop(server.spawn(serve()));
    for index in 0..clients {
        world.host(&format!("client {index}")).run(ask(server.address(80), requests));
    }
    #[expect(clippy::disallowed_types, reason = "a benchmark measures the real clock")]
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures the real clock")]
    let start = std::time::Instant::now();
    let report = world.run().expect("nothing fails");
    let seconds = start.elapsed().as_secs_f64();
    let total = u32::try_from(clients * requests).map(f64::from).expect("a few million");
    let events = u32::try_from(report.event_count).map(f64::from).expect("a few million");
    println!(
        "{clients} clients: {:.0} requests/s, {:.0} events/s, {} s virtual in {seconds:.2} s, trace {:016x}",
        total / seconds,
        events / seconds,
        report.at,
        report.trace_hash,
    );
}

async fn serve() {
    let address = "0.0.0.0:80".parse().expect("an address");
    let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
    loop {
        let (mut stream, _) = listener.accept().await.expect("there are sockets enough");
        spawn(async move {
            while receive(&mut stream, REQUEST.len()).await {
                if stream.write_all(&ANSWER).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn ask(server: core::net::SocketAddr, requests: usize) {
    let mut stream = TcpStream::connect(server).await.expect("the server listens");
    for _ in 0..requests {
        stream.write_all(&REQUEST).await.expect("the server reads");
        assert!(receive(&mut stream, ANSWER.len()).await, "the server answers");
    }
}

/// Takes a message of `length` bytes; false at the end of the stream.
async fn receive(stream: &mut TcpStream, length: usize) -> bool {
    while stream.buffered().len() < length {
        match stream.fill().await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    stream.consume(length);
    true
}
