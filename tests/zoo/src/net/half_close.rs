//! A server that stops working for clients that have gone: also for those that have only said that they ask nothing more.

use core::future::poll_fn;

use mainspring_executor::net::TcpStream;
use mainspring_executor::select;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, finish, hear, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const HALF_CLOSE: Specimen = specimen!(
    "half-close",
    "a client that has finished sending is taken for one that has left",
    search: "a client that half-closes, and an answer that takes a while",
    source: "servicetalk #1090",
    run,
);

async fn answer(mut stream: TcpStream, twin: Twin) {
    while let Some(request) = hear(&mut stream).await {
        let work = sleep(ms(request.parse().expect("clients send numbers")));
        let is_gone = poll_fn(|cx| match twin {
            Twin::Buggy => stream.poll_peer_closed(cx),
            Twin::Fixed => stream.poll_broken(cx),
        });
        select! {
            biased;
            () = work => {}
            () = is_gone => return,
        }
        if say(&mut stream, "done").await.is_err() {
            return;
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let server = world.host("server");
    server.spawn(serve(move |stream| answer(stream, twin)));
    let clients = 1 + world.choose(40);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        // One in thirty sends all that it has to say, and then its end.
        let half_closes = host.choose(30) == 29;
        let works: Vec<u64> = (0..1 + host.choose(10)).map(|_| host.choose(100)).collect();
        let address = server.address(PORT);
        host.run(async move {
            let mut stream = TcpStream::connect(address).await.expect("the server listens");
            for (index, work) in works.iter().enumerate() {
                say(&mut stream, work).await.expect("the server reads");
                if half_closes && index + 1 == works.len() {
                    stream.shutdown_write().expect("it is connected");
                }
                hear(&mut stream).await.expect("each request has its answer");
            }
        });
    }
    finish(&world, &[&server], clients)
}
