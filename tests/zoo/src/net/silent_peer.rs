//! A subscriber that waits for news on a connection, and a server that is not there any more and cannot say so.

use core::time::Duration;

use mainspring_executor::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, finish, hear, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const SILENT_PEER: Specimen = specimen!(
    "silent-peer",
    "who only reads waits for ever on a connection whose other end is gone",
    search: "a server that loses its power",
    source: "nakadi-java #21",
    run,
);

const NEWS_EVERY: Duration = Duration::from_millis(200);

/// Says something all the time.
async fn tell(mut stream: TcpStream) {
    while say(&mut stream, "news").await.is_ok() {
        sleep(NEWS_EVERY).await;
    }
}

/// Reads so many news, and connects anew where a connection ends.
async fn subscribe(server: Host, mut news: u64, twin: Twin) {
    let patience = if twin.is_fixed() { NEWS_EVERY * 10 } else { Duration::MAX };
    while news > 0 {
        if let Ok(mut stream) = TcpStream::connect(server.address(PORT)).await {
            while news > 0 && matches!(timeout(patience, hear(&mut stream)).await, Ok(Some(_))) {
                news -= 1;
            }
        }
        sleep(ms(100)).await;
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { virtual_time_max: ms(300_000), ..WorldConfig::rough() });
    let server = world.host("server");
    server.spawn(serve(tell));
    let subscribers = 1 + world.choose(10);
    for number in 0..subscribers {
        let host = world.host(&format!("subscriber-{number}"));
        let news = 1 + host.choose(30);
        host.run(subscribe(server.clone(), news, twin));
    }
    // A crash, or none.
    if world.choose(3) == 2 {
        let crashed = server.clone();
        world.at(Instant::START + ms(world.choose(6_000)), move |world| {
            crashed.crash();
            world.at(world.now() + ms(1_000), move |_| {
                crashed.restart();
                crashed.spawn(serve(tell));
            });
        });
    }
    finish(&world, &[&server], subscribers)
}
