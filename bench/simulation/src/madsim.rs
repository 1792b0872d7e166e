//! madsim: raw bytes at both ends, each client on a node of its own.

mod raw;
mod usage;

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use madsim::net::{TcpListener, TcpStream};
use madsim::runtime::Runtime;
use madsim::{Config, task, time};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [case, clients, requests] = args.as_slice() else {
        return Err("usage: raw CLIENTS REQUESTS".into());
    };
    assert_eq!(case, "raw");
    let (clients, requests): (u64, u64) = (clients.parse()?, requests.parse()?);
    let before = usage::cpu_seconds();
    let mut config = Config::default();
    config.net.send_latency = Duration::from_millis(1)..Duration::from_millis(10);
    let runtime = Runtime::with_seed_and_config(7, config);
    let address: SocketAddr = "10.0.0.1:80".parse()?;
    let server = runtime.create_node().name("server").ip(address.ip()).build();
    server.spawn(async move {
        let listener = TcpListener::bind(address).await.expect("a free port");
        loop {
            let (stream, _) = listener.accept().await.expect("clients come");
            task::spawn(raw::serve(stream));
        }
    });
    let mut asking = Vec::new();
    for number in 0..clients {
        let ip = format!("10.0.{}.{}", 1 + number / 250, 1 + number % 250).parse()?;
        let node = runtime.create_node().name(format!("client{number}")).ip(ip).build();
        asking.push(node.spawn(ask(address, requests)));
    }
    let elapsed = runtime.block_on(async move {
        let start = time::Instant::now();
        for one in asking {
            one.await.expect("no panic");
        }
        start.elapsed()
    });
    usage::tell(clients * requests, None, usage::cpu_seconds() - before, elapsed.as_secs_f64());
    Ok(())
}

async fn ask(address: SocketAddr, requests: u64) {
    // Its network refuses who comes before the server listens.
    time::sleep(Duration::from_secs(1)).await;
    raw::ask(TcpStream::connect(address).await.expect("it listens"), requests).await;
}
