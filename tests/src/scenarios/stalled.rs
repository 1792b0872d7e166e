//! R6: one dependency that stalls for 30 s leaves 500 other requests untouched, to the nanosecond.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use mainspring::{IntoResponse, Request, Response, Server};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep};
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{Host, WorldConfig};

use super::{PORT, drain, serve};
use crate::client::Client;

const OTHERS: u64 = 500;
const STALL: Duration = Duration::from_secs(30);

/// See the file.
pub(super) const STALLED: Scenario = Scenario::new(
    "stalled",
    "R6: one request waits 30 s for its dependency, 500 others take as long as without it",
    run,
);

fn run(setup: &Setup) -> Result<Run, String> {
    let (without, _) = run_once(setup, false)?;
    let (with, run) = run_once(setup, true)?;
    if without.len() as u64 != OTHERS {
        return Err(format!("{} of {OTHERS} requests were answered", without.len()));
    }
    for (number, (without, with)) in without.iter().zip(&with).enumerate() {
        if without != with {
            return Err(format!(
                "request {number} took {with:?} beside the stalled one, {without:?} else"
            ));
        }
    }
    Ok(run)
}

/// Gives how long each of the others took.
fn run_once(setup: &Setup, with_stalled: bool) -> Result<(Vec<Duration>, Run), String> {
    let world = setup.world(WorldConfig::calm());
    let dependency = world.host("dependency");
    dependency.run(stall(with_stalled));
    let server = world.host("server");
    let asked = dependency.clone();
    serve(&server, move || Server::new(move |request: Request| handle(request, asked.clone())));
    let times =
        Rc::new(RefCell::new(vec![Duration::ZERO; usize::try_from(OTHERS).expect("small")]));
    let others = world.host("others");
    for number in 0..OTHERS {
        let (address, times) = (server.address(PORT), Rc::clone(&times));
        others.run(async move {
            // Spread over a second, at instants that differ from seed to seed.
            sleep(Duration::from_micros(number * 2_000)).await;
            let start = now();
            let mut client = Client::connect(address).await.expect("the server listens");
            let request = format!("GET /fast/{number} HTTP/1.1\r\nHost: x\r\n\r\n");
            let answer = client.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.body, format!("/fast/{number}").into_bytes());
            times.borrow_mut()[usize::try_from(number).expect("small")] = now() - start;
        });
    }
    world.host("patient").run(async move {
        if with_stalled {
            let mut client = Client::connect(server.address(PORT)).await.expect("it listens");
            let start = now();
            let request = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
            let answer = client.exchange(request, false).await.expect("an answer");
            assert_eq!(answer.body, b"at last");
            assert!(now() - start >= STALL, "its dependency takes {STALL:?}");
        } else {
            sleep(STALL + Duration::from_secs(1)).await;
        }
        drain(&server);
    });
    let run = conclude(&world, OTHERS + u64::from(with_stalled))?;
    let times = times.borrow().clone();
    Ok((times, run))
}

/// Accepts, and then says nothing for 30 s.
async fn stall(is_asked: bool) {
    if !is_asked {
        return;
    }
    let listener = TcpListener::bind(([0, 0, 0, 0], PORT).into(), ListenOptions::default());
    let (mut stream, _) = listener.expect("a free port").accept().await.expect("an asker");
    sleep(STALL).await;
    stream.write_all(b"at last").await.expect("the asker waits");
}

async fn handle(request: Request, dependency: Host) -> Response {
    let path = request.uri().path();
    if path != "/slow" {
        // As long as a fast dependency would take.
        sleep(Duration::from_millis(2)).await;
        return path.to_owned().into_response();
    }
    let mut stream = TcpStream::connect(dependency.address(PORT)).await.expect("it listens");
    let mut answer = String::new();
    while stream.fill().await.expect("it answers") > 0 {
        answer.push_str(&String::from_utf8_lossy(stream.buffered()));
        stream.consume(stream.buffered().len());
    }
    answer.into_response()
}
