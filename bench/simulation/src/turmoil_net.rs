//! turmoil-net: raw bytes at both ends, all clients on one host: tasks that are spawned there lose their host.

mod raw;
mod usage;

use std::env;
use std::error::Error;
use std::time::Duration;

use futures::future::join_all;
use turmoil_net::fixture::ClientServer;
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};
use turmoil_net::{KernelConfig, Packet, Verdict, rule};

/// Ticks of a millisecond, after which it sends again: its own default is below the latency of the links.
const RETRANSMIT_TICKS: u32 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [case, clients, requests] = args.as_slice() else {
        return Err("usage: raw CLIENTS REQUESTS".into());
    };
    assert_eq!(case, "raw");
    let (clients, requests): (u64, u64) = (clients.parse()?, requests.parse()?);
    let config = KernelConfig::default().retx_threshold(RETRANSMIT_TICKS);
    let before = usage::cpu_seconds();
    let elapsed = ClientServer::with_config(config)
        .server("server", async move {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("a free port");
            let mut serving = Vec::new();
            for _ in 0..clients {
                let (stream, _) = listener.accept().await.expect("clients come");
                serving.push(raw::serve(stream));
            }
            join_all(serving).await;
        })
        .run("client", async move {
            let mut turn = 0;
            // From 1 to 10 ms, in turns.
            rule(move |_: &Packet| {
                turn = turn % 10 + 1;
                Verdict::Deliver(Duration::from_millis(turn))
            })
            .forget();
            let start = tokio::time::Instant::now();
            join_all((0..clients).map(|_| ask(requests))).await;
            start.elapsed()
        });
    usage::tell(clients * requests, None, usage::cpu_seconds() - before, elapsed.as_secs_f64());
    Ok(())
}

async fn ask(requests: u64) {
    raw::ask(TcpStream::connect("server:80").await.expect("it listens"), requests).await;
}
