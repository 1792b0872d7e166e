//! A resolver that answers in one datagram, and a client whose buffer is shorter than the longest answer.

use core::time::Duration;

use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::timeout;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, finish};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const CUT_OFF_ANSWER: Specimen = specimen!(
    "cut-off-answer",
    "an answer that does not fit into the buffer is taken for a whole one",
    search: "a name with many addresses",
    source: "pdns #2939",
    run,
);

const ADDRESS_BYTES: usize = 16;

/// Answers a question of one byte, how many addresses to give, with so many addresses.
async fn resolve() {
    let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("the port is free");
    loop {
        let mut count = [0];
        let Ok(received) = socket.recv_from(&mut count).await else { continue };
        let answer = vec![1; usize::from(count[0]) * ADDRESS_BYTES];
        // Who does not get it asks again.
        let _ = socket.send_to(&answer, received.peer).await;
    }
}

/// How many addresses there are.
async fn look_up(resolver: &Host, count: u8, twin: Twin) -> usize {
    let mut buffer = vec![0; 512];
    loop {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a port is free");
        socket.send_to(&[count], resolver.address(PORT)).await.expect("it is short");
        let answer = timeout(Duration::from_millis(200), socket.recv_from(&mut buffer)).await;
        match answer {
            Ok(Ok(answer)) if answer.is_truncated && twin.is_fixed() => buffer.resize(8192, 0),
            Ok(Ok(answer)) => return answer.count / ADDRESS_BYTES,
            // It is lost.
            _ => {}
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let resolver = world.host("resolver");
    resolver.spawn(resolve());
    let clients = 1 + world.choose(60);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        // Most names have few addresses.
        let draw = |_| {
            let most = if host.choose(50) == 49 { 100 } else { 10 };
            u8::try_from(1 + host.choose(most)).expect("it is at most 100")
        };
        let counts: Vec<u8> = (0..1 + host.choose(20)).map(draw).collect();
        let resolver = resolver.clone();
        host.run(async move {
            for count in counts {
                let found = look_up(&resolver, count, twin).await;
                assert_eq!(found, usize::from(count), "all addresses are found");
            }
        });
    }
    finish(&world, &[&resolver], clients)
}
