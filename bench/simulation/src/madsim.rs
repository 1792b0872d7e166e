//! madsim: raw bytes at both ends, each client on a node of its own.

mod usage;

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use madsim::net::{TcpListener, TcpStream};
use madsim::runtime::Runtime;
use madsim::{Config, task, time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [case, clients, requests] = args.as_slice() else {
        return Err("usage: raw CLIENTS REQUESTS".into());
    };
    assert_eq!(case, "raw");
    let (clients, requests): (u64, u64) = (clients.parse()?, requests.parse()?);
    let mut config = Config::default();
    config.net.send_latency = Duration::from_millis(1)..Duration::from_millis(10);
    let runtime = Runtime::with_seed_and_config(7, config);
    let address: SocketAddr = "10.0.0.1:80".parse()?;
    let server = runtime.create_node().name("server").ip(address.ip()).build();
    server.spawn(async move {
        let listener = TcpListener::bind(address).await.expect("a free port");
        loop {
            let (stream, _) = listener.accept().await.expect("clients come");
            task::spawn(serve(stream));
        }
    });
    let mut asking = Vec::new();
    for number in 0..clients {
        let ip = format!("10.0.{}.{}", 1 + number / 250, 1 + number % 250).parse()?;
        let node = runtime.create_node().name(format!("client{number}")).ip(ip).build();
        asking.push(node.spawn(ask(address, requests)));
    }
    let before = usage::cpu_seconds();
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

async fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            stream.write_all(usage::RESPONSE).await.expect("the client reads");
            stream.flush().await.expect("the client reads");
        }
    }
}

async fn ask(address: SocketAddr, requests: u64) {
    // Its network refuses who comes before the server listens.
    time::sleep(Duration::from_secs(1)).await;
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let mut buffer = [0; 1024];
    for _ in 0..requests {
        stream.write_all(usage::REQUEST).await.expect("it reads");
        stream.flush().await.expect("it reads");
        let mut filled = 0;
        while filled < usage::RESPONSE.len() {
            filled += stream.read(&mut buffer[filled..]).await.expect("it answers");
        }
        assert_eq!(&buffer[..filled], usage::RESPONSE);
    }
}
