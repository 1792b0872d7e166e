//! R23: three dependencies of 200, 10 and 0 ms take exactly 210 ms one after the other, and exactly 200 ms together.

use core::time::Duration;

use http::StatusCode;
use mainspring::{IntoResponse, Request, Response, Server};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{CancelToken, Scope};
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{Host, Order, WorldConfig};

use super::{PORT, drain, serve};
use crate::client::Client;

const DEPENDENCY_MS: [u64; 3] = [200, 10, 0];

/// See the file.
pub(super) const DEPENDENCIES: Scenario = Scenario::new(
    "dependencies",
    "R23: 200 + 10 + 0 ms in sequence take 210 virtual ms, concurrently 200, exactly",
    run,
);

fn run(setup: &Setup) -> Result<Run, String> {
    // The network takes no time, so that what is measured is the dependencies alone; order is drawn.
    let config = WorldConfig {
        latency: Duration::ZERO..=Duration::ZERO,
        loopback_latency: Duration::ZERO..=Duration::ZERO,
        order: Order::Random,
        short_reads: true,
        short_writes: true,
        spurious: true,
        ..WorldConfig::calm()
    };
    let world = setup.world(config);
    let stop = CancelToken::new();
    let dependencies = DEPENDENCY_MS.map(|ms| {
        let host = world.host(&format!("dependency-{ms}"));
        host.run(depend(Duration::from_millis(ms), stop.clone()));
        host
    });
    let server = world.host("server");
    let asked = dependencies.clone();
    serve(&server, move || Server::new(move |request: Request| gather(request, asked.clone())));
    world.host("client").run(async move {
        let mut client = Client::connect(server.address(PORT)).await.expect("the server listens");
        for (path, expected_ms) in [("/sequential", 210), ("/concurrent", 200)] {
            let start = now();
            let request = format!("GET {path} HTTP/1.1\r\nHost: r23\r\n\r\n");
            let answer = client.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.body, b"3 answers");
            assert_eq!(now() - start, Duration::from_millis(expected_ms), "{path}");
        }
        stop.cancel();
        drain(&server);
    });
    conclude(&world, 2)
}

/// A service that says one byte after `delay`, to each who connects.
async fn depend(delay: Duration, stop: CancelToken) {
    let listener = TcpListener::bind(([0, 0, 0, 0], PORT).into(), ListenOptions::default());
    let listener = listener.expect("a free port");
    let answers = Scope::new();
    loop {
        let accepted = {
            let accept = core::pin::pin!(listener.accept());
            match futures::future::select(accept, stop.cancelled()).await {
                futures::future::Either::Left((accepted, _)) => accepted,
                futures::future::Either::Right(_) => return,
            }
        };
        let (mut stream, _) = accepted.expect("a connection");
        drop(answers.spawn(async move {
            sleep(delay).await;
            stream.write_all(b"!").await.expect("the asker waits");
        }));
    }
}

/// Asks all dependencies, in the way that the path says.
async fn gather(request: Request, dependencies: [Host; 3]) -> Response {
    let [a, b, c] = dependencies.map(ask);
    let answers = match request.uri().path() {
        "/sequential" => [a.await, b.await, c.await],
        "/concurrent" => futures::future::join3(a, b, c).await.into(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    format!("{} answers", answers.iter().filter(|answer| **answer == b'!').count()).into_response()
}

async fn ask(dependency: Host) -> u8 {
    let mut stream = TcpStream::connect(dependency.address(PORT)).await.expect("it listens");
    let mut answer = [0];
    let count = stream.read(&mut answer).await.expect("it answers");
    assert_eq!(count, 1, "it answers before it closes");
    answer[0]
}
