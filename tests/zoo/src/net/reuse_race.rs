//! A client that keeps its connection, and a server that closes it when it is idle for too long: at the instant at which the
//! client uses it again.

use core::future::poll_fn;
use core::task::Poll;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, ask, finish, hear, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const REUSE_RACE: Specimen = specimen!(
    "reuse-race",
    "a request goes to a kept connection that the server closes at that moment",
    search: "a pause as long as the server's patience",
    source: "hyper #2136",
    run,
);

const PATIENCE_MS: u64 = 5_000;

async fn answer(mut stream: TcpStream) {
    while let Ok(Some(_)) = timeout(ms(PATIENCE_MS), hear(&mut stream)).await {
        if say(&mut stream, "ok").await.is_err() {
            return;
        }
    }
}

struct Client {
    server: Host,
    kept: Option<TcpStream>,
    twin: Twin,
}

impl Client {
    async fn get(&mut self) -> Option<String> {
        if let Some(mut stream) = self.kept.take()
            && !is_closed(&stream).await
        {
            match ask(&mut stream, "get").await {
                Some(answer) => {
                    self.kept = Some(stream);
                    return Some(answer);
                }
                // It was lost with its connection. To ask again does no harm.
                None if self.twin.is_fixed() => {}
                None => return None,
            }
        }
        let mut stream = TcpStream::connect(self.server.address(PORT)).await.ok()?;
        let answer = ask(&mut stream, "get").await;
        self.kept = Some(stream);
        answer
    }
}

/// Whether the server's end of it is known to be here.
async fn is_closed(stream: &TcpStream) -> bool {
    poll_fn(|cx| Poll::Ready(stream.poll_peer_closed(cx).is_ready())).await
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let server = world.host("server");
    server.spawn(serve(answer));
    let clients = 1 + world.choose(40);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        let pauses: Vec<u64> = (0..1 + host.choose(10)).map(|_| host.choose(10_000)).collect();
        let server = server.clone();
        host.run(async move {
            let mut client = Client { server, kept: None, twin };
            client.get().await.expect("the server is there");
            for pause in pauses {
                sleep(ms(pause)).await;
                client.get().await.expect("the server is there");
            }
        });
    }
    finish(&world, &[&server], clients)
}
