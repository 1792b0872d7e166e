//! A server that writes its answer in one call, and does not look at how much of it was taken.

use core::future::poll_fn;
use std::io::IoSlice;

use mainspring_executor::net::TcpStream;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, finish, hear, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const PARTIAL_WRITE: Specimen = specimen!(
    "partial-write",
    "how much a write took is not looked at",
    search: "an answer that is longer than the send buffer has room",
    source: "",
    run,
);

/// `send COUNT` is answered by so many bytes.
async fn send(mut stream: TcpStream, twin: Twin) {
    while let Some(request) = hear(&mut stream).await {
        let count = request.parse().expect("clients send numbers");
        let answer = "x".repeat(count);
        let written = match twin {
            Twin::Fixed => stream.write_all(answer.as_bytes()).await,
            Twin::Buggy => {
                let all = [IoSlice::new(answer.as_bytes())];
                poll_fn(|cx| stream.poll_write(cx, &all)).await.map(drop)
            }
        };
        if written.is_err() {
            return;
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { short_writes: false, ..WorldConfig::rough() });
    let server = world.host("server");
    server.spawn(serve(move |stream| send(stream, twin)));
    let clients = 1 + world.choose(40);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        let downloads: Vec<u64> =
            (0..1 + host.choose(12)).map(|_| 1 + host.choose(17_000)).collect();
        let address = server.address(PORT);
        host.run(async move {
            let mut stream = TcpStream::connect(address).await.expect("the server listens");
            for bytes in downloads {
                say(&mut stream, bytes).await.expect("the server reads");
                let mut left = usize::try_from(bytes).expect("it is short");
                while left > 0 {
                    let came = stream.fill().await.expect("the server sends all of it");
                    assert!(came > 0, "the server sends all of it");
                    left -= came;
                    stream.consume(came);
                }
            }
        });
    }
    finish(&world, &[&server], clients)
}
