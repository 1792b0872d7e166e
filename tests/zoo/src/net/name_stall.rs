//! A proxy that looks up the name of its upstream before it takes the next client.

use core::time::Duration;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{Scope, names};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, answer_each, ask, finish, hear, listen, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const NAME_STALL: Specimen = specimen!(
    "name-stall",
    "one name that is slow to look up holds up all clients",
    search: "a lookup that stalls, and another client meanwhile",
    source: "fonoster #270",
    run,
);

/// A client says which upstream it wants, and is joined with it.
async fn proxy(twin: Twin) {
    let listener = listen();
    let clients = Scope::new();
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        if twin.is_fixed() {
            drop(clients.spawn(async move {
                let upstream = hear_upstream(&mut client).await;
                pass(client, upstream).await;
            }));
        } else {
            let upstream = hear_upstream(&mut client).await;
            drop(clients.spawn(pass(client, upstream)));
        }
    }
}

async fn hear_upstream(client: &mut TcpStream) -> Option<TcpStream> {
    let name = hear(client).await?;
    names::connect(&name, PORT).await.ok()
}

async fn pass(mut client: TcpStream, upstream: Option<TcpStream>) {
    let Some(mut upstream) = upstream else { return };
    while let Some(request) = hear(&mut client).await {
        let Some(answer) = ask(&mut upstream, request).await else { return };
        if say(&mut client, answer).await.is_err() {
            return;
        }
    }
}

async fn echo(stream: TcpStream) {
    answer_each(stream, async |line| line).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    // A lookup takes up to a second, so more than two in a row come late.
    let slow = Duration::from_micros(50)..=Duration::from_secs(1);
    let world = setup.world(WorldConfig { name_duration: slow, ..WorldConfig::rough() });
    let (proxies, upstream) = (world.host("proxy"), world.host("upstream"));
    upstream.spawn(serve(echo));
    proxies.spawn(proxy(twin));
    let (clients, host) = (1 + world.choose_named("further clients", 60), world.host("clients"));
    for number in 0..clients {
        let name = format!("upstream-{number}.example");
        world.add_name(&name, &[upstream.ip().into()]);
        let (address, arrival) = (
            proxies.address(PORT),
            host.choose_named("milliseconds before a client comes", 60_000),
        );
        host.run(async move {
            sleep(ms(arrival)).await;
            let start = now();
            let mut stream = TcpStream::connect(address).await.expect("the proxy listens");
            say(&mut stream, name).await.expect("the proxy reads");
            ask(&mut stream, "hello").await.expect("the upstream answers");
            assert!(now() - start < ms(1_500), "no client waits for the lookups of others");
        });
    }
    finish(&world, &[&proxies, &upstream], clients)
}
