//! A server that ends its accept loop at the first error.

use mainspring_executor::Scope;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, answer_each, ask, finish, listen, ms};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const ACCEPT_LOOP: Specimen = specimen!(
    "accept-loop",
    "the accept loop ends when there are no more descriptors for a moment",
    search: "more clients at a time than descriptors (EMFILE)",
    source: "httpbeast #27",
    run,
);

async fn serve(twin: Twin) {
    let listener = listen();
    let connections = Scope::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(answer_each(stream, async |_| "ok"))),
            Err(_) if twin.is_fixed() => sleep(ms(50)).await,
            Err(_) => break,
        }
    }
    drop(listener);
    connections.join().await.expect("no connection panics");
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    // The listener and two connections.
    let world = setup.world(WorldConfig { tokens_max: 3, ..WorldConfig::rough() });
    let server = world.host("server");
    server.spawn(serve(twin));
    let clients = 1 + world.choose(40);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        let (server, on) = (server.clone(), host.clone());
        host.run(async move {
            sleep(ms(on.choose(60_000))).await;
            let connected = TcpStream::connect(server.address(PORT)).await;
            let mut stream = connected.expect("the server listens");
            for _ in 0..1 + on.choose(10) {
                ask(&mut stream, "get").await.expect("the server answers");
                sleep(ms(on.choose(100))).await;
            }
        });
    }
    finish(&world, &[&server], clients)
}
