//! moonpool: hyper, or raw bytes, at both ends, all of them tasks of one world. It is stepped by hand: the faults of its runner
//! cannot be switched off.

mod raw;
mod usage;

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use moonpool_sim::executor::{Executor, spawn, until_stalled};
use moonpool_sim::network::sim::SimTcpStream;
use moonpool_sim::{
    ChaosConfiguration, LatencyDistribution, NetworkConfiguration, NetworkProvider,
    SimNetworkProvider, SimWorld, TcpListenerTrait,
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

const SEED: u64 = 7;
const ADDRESS: &str = "10.0.0.1:80";
const BODY: &str = "Hello, World!";

type Stream = Compat<SimTcpStream>;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (is_raw, clients, requests) = match args.as_slice() {
        [case, clients, requests] if case == "raw" => (true, clients, requests),
        [case, clients, requests] if case == "gets" => (false, clients, requests),
        _ => return Err("usage: gets|raw CLIENTS REQUESTS".into()),
    };
    let (clients, requests): (u64, u64) = (clients.parse()?, requests.parse()?);
    let before = usage::cpu_seconds();
    let mut world = SimWorld::new_with_network_config_and_seed(config(), SEED);
    let answered = Arc::new(AtomicU64::new(0));
    let mut executor = Executor::new(SEED);
    let events = executor.block_on(async {
        spawn("server", listen(world.network_provider(), is_raw));
        for number in 0..clients {
            let (network, answered) = (world.network_provider(), Arc::clone(&answered));
            spawn("client", async move {
                let stream = connect(&network, number).await;
                if is_raw {
                    raw::ask(stream, requests).await;
                } else {
                    ask(stream, requests).await;
                }
                answered.fetch_add(requests, Ordering::Relaxed);
            });
        }
        run(&mut world, &answered, clients * requests).await
    });
    let cpu = usage::cpu_seconds() - before;
    let answered = answered.load(Ordering::Relaxed);
    usage::tell(answered, Some(events), cpu, world.current_time().as_secs_f64());
    Ok(())
}

/// Nothing fails, and what is written takes 1 to 10 ms. Its network draws no latency for reads, and nothing waits for the other three.
fn config() -> NetworkConfiguration {
    let none = LatencyDistribution::default();
    NetworkConfiguration {
        bind_latency: none.clone(),
        accept_latency: none.clone(),
        connect_latency: none.clone(),
        read_latency: none,
        write_latency: LatencyDistribution::Uniform {
            start: Duration::from_millis(1),
            end: Duration::from_millis(10),
        },
        chaos: ChaosConfiguration::disabled(),
    }
}

/// One event after the other, each with all tasks that it wakes, as its runner does it. How many there were.
async fn run(world: &mut SimWorld, answered: &AtomicU64, requests: u64) -> u64 {
    let mut events = 0;
    until_stalled().await;
    while answered.load(Ordering::Relaxed) < requests {
        assert!(world.has_pending_events(), "all is still, and not all is answered");
        world.step();
        events += 1;
        until_stalled().await;
    }
    events
}

async fn listen(network: SimNetworkProvider, is_raw: bool) {
    let listener = network.bind(ADDRESS).await.expect("a free port");
    loop {
        let (stream, _) = listener.accept().await.expect("clients come");
        if is_raw {
            spawn("connection", raw::serve(stream.compat()));
        } else {
            spawn("connection", serve(stream.compat()));
        }
    }
}

async fn serve(stream: Stream) {
    let http = server::conn::http1::Builder::new();
    // It ends with the client.
    drop(http.serve_connection(TokioIo::new(stream), service_fn(answer)).await);
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(BODY.as_bytes()))))
}

/// One client each microsecond: a listener of its network has room for a single one that is not accepted, and forgets it for the next.
async fn connect(network: &SimNetworkProvider, number: u64) -> Stream {
    let sleep = network.sleep(Duration::from_micros(number)).expect("a world");
    sleep.await.expect("a world");
    network.connect(ADDRESS).await.expect("it listens").compat()
}

async fn ask(stream: Stream, requests: u64) {
    let (mut sender, connection) =
        client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it is open");
    spawn("client's connection", connection);
    for _ in 0..requests {
        let request = Request::get("/plaintext")
            .header("Host", "server")
            .body(Full::<Bytes>::default())
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), BODY);
    }
}
