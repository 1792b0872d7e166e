//! A room in which much happens before something is wrong: 40 clients ask a counter behind a lock, over links that lose packets, and
//! a long way in one of them gets an answer that is another's. Its timeline has 100,000 events; pages are measured with it.
//! `cargo run -p mainspring-sim --example busy_room -- view --scenario busy-room --seed 1`

use core::time::Duration;
use std::process::ExitCode;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::spawn;
use mainspring_executor::sync::Mutex;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{self, Run, Scenario, Setup, conclude};
use mainspring_sim::{Host, WorldConfig};

const CLIENTS: u64 = 40;

/// Questions that are answered rightly, all clients together.
const GOOD: u64 = 7_800;

const BUSY_ROOM: Scenario = Scenario {
    command: "cargo run -p mainspring-sim --example busy_room --",
    ..Scenario::new("busy-room", "a long run in which one answer is another's", run).planted()
};

fn main() -> ExitCode {
    harness::main(&[BUSY_ROOM])
}

fn run(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig {
        latency: Duration::from_micros(200)..=Duration::from_millis(8),
        segment_loss_permille: 8,
        segment_reordering_permille: 8,
        ..WorldConfig::rough()
    });
    let server = world.host("server");
    drop(server.spawn(serve()));
    let address = server.address(80);
    for number in 0..CLIENTS {
        let host = world.host(&format!("client-{number}"));
        let asks = host.clone();
        host.run(async move { ask(number, &asks, address).await });
    }
    let (from, to) = (server.clone(), world.find("client-7").expect("it was made"));
    world.at(Instant::from_nanos(400_000_000), move |world| world.cut(&from, &to));
    let (from, to) = (server.clone(), world.find("client-7").expect("it was made"));
    world.at(Instant::from_nanos(900_000_000), move |world| world.heal(&from, &to));
    let pausing = server.clone();
    world.at(Instant::from_nanos(1_200_000_000), move |_| pausing.pause());
    world.at(Instant::from_nanos(1_260_000_000), move |_| server.resume());
    conclude(&world, 0)
}

/// Answers each question with its own number; but for one.
async fn serve() {
    let address = "0.0.0.0:80".parse().expect("an address");
    let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
    let count = Rc::new(Mutex::new(0_u64));
    loop {
        let (mut stream, _) = listener.accept().await.expect("there are sockets enough");
        let count = Rc::clone(&count);
        spawn(async move {
            while let Some(question) = receive(&mut stream).await {
                let mut count = count.lock().await;
                *count += 1;
                let is_wrong = *count == GOOD;
                drop(count);
                let answer = if is_wrong { question ^ 1 } else { question };
                if stream.write_all(&answer.to_be_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn ask(number: u64, host: &Host, server: core::net::SocketAddr) {
    let mut stream = TcpStream::connect(server).await.expect("the server is there");
    for count in 0.. {
        sleep(Duration::from_millis(host.choose(20))).await;
        let question = number << 32 | count;
        stream.write_all(&question.to_be_bytes()).await.expect("the server reads");
        let answer = receive(&mut stream).await.expect("the server answers");
        assert_eq!(answer, question, "client {number} is given what it asked for");
    }
}

/// A number; `None` at the end.
async fn receive(stream: &mut TcpStream) -> Option<u64> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        match stream.read(&mut bytes[filled..]).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => filled += count,
        }
    }
    Some(u64::from_be_bytes(bytes))
}
