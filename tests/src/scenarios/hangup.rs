//! A client that hangs up half way through each kind of request, at each virtual instant there is.
//!
//! A first run without a hang-up tells the instants. Then one run for each instant and each way to hang up: whatever
//! the handler was doing, it is dropped as soon as the news can have arrived, and nothing is left.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::stream;
use mainspring::{Body, IntoResponse, Request, Response, Server};
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{CancelToken, Instant};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};

use super::{PORT, drain, serve};
use crate::client::Client;

/// See the file.
pub(super) const HANGUP: Scenario = Scenario::new(
    "hangup",
    "a client hangs up, by FIN and by reset, at each virtual instant of each kind of request",
    run,
);

/// What a client asks, in pieces with a pause after each.
const REQUESTS: [&[&str]; 4] = [
    &["GET /steps HTTP/1.1\r\nHost: x\r\n\r\n"],
    &["GET /st", "eps HTTP/1.1\r\nHo", "st: x\r\n\r\n"],
    &["POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", "abc", "def", "ghi"],
    &["GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"],
];

/// Between the pieces of a request.
const PAUSE: Duration = Duration::from_millis(3);

#[derive(Clone, Copy, Debug)]
enum HangUp {
    Fin,
    Reset,
}

/// The handlers of a run, as their guards see them.
#[derive(Default)]
struct Handlers {
    started: Cell<u64>,
    ended: Cell<u64>,
    last_end: Cell<Instant>,
}

/// Lies in a handler, and tells when it is dropped.
struct Guard(Rc<Handlers>);

impl Guard {
    fn new(handlers: &Rc<Handlers>) -> Self {
        handlers.started.set(handlers.started.get() + 1);
        Self(Rc::clone(handlers))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.ended.set(self.0.ended.get() + 1);
        self.0.last_end.set(now());
    }
}

fn run(setup: &Setup) -> Result<Run, String> {
    let mut total = Run::default();
    for pieces in REQUESTS {
        // Recorded for its instants; it is the same run whether recorded or not.
        let whole = run_once(setup, pieces, None)?;
        total.trace.extend(whole.run.trace);
        for instant in whole.instants {
            for how in [HangUp::Fin, HangUp::Reset] {
                let cut = run_once(setup, pieces, Some((instant, how)))
                    .map_err(|error| format!("{pieces:?}, {how:?} at {instant}: {error}"))?;
                total.trace_hash = total.trace_hash.rotate_left(1) ^ cut.run.trace_hash;
                total.event_count += cut.run.event_count;
                total.request_count += 1;
                total.virtual_end = total.virtual_end.max(cut.run.virtual_end);
                if setup.records() {
                    total.trace.extend(cut.run.trace);
                }
            }
        }
    }
    Ok(total)
}

struct Once {
    run: Run,
    instants: Vec<Instant>,
}

fn run_once(
    setup: &Setup,
    pieces: &'static [&'static str],
    hang_up: Option<(Instant, HangUp)>,
) -> Result<Once, String> {
    let record = setup.records() || hang_up.is_none();
    // Even seeds: everything is exact, and so is the check of when. Odd ones: a rough network.
    let is_exact = setup.seed().is_multiple_of(2);
    let config = if is_exact { WorldConfig::calm() } else { WorldConfig::rough() };
    let latency_max = *config.latency.end();
    let world = setup.world(WorldConfig { record, ..config });
    let server = world.host("server");
    let handlers = Rc::<Handlers>::default();
    let counted = Rc::clone(&handlers);
    serve(&server, move || Server::new(move |request| handle(request, Guard::new(&counted))));
    let hung_up = CancelToken::new();
    if let Some((instant, _)) = hang_up {
        let hung_up = hung_up.clone();
        world.at(instant, move |_| hung_up.cancel());
    }
    let how = hang_up.map_or(HangUp::Fin, |(_, how)| how);
    world.host("client").run(async move {
        let mut connection = None;
        let asked = {
            let asking = core::pin::pin!(ask(server.address(PORT), pieces, &mut connection));
            matches!(select(asking, hung_up.cancelled()).await, Either::Left(_))
        };
        assert!(asked || hung_up.is_cancelled(), "one of them came first");
        match (connection, how) {
            (Some(client), HangUp::Reset) => client.abort(),
            (client, _) => drop(client),
        }
        // Long enough for every handler to end by itself, had nobody stopped it.
        sleep(Duration::from_secs(10)).await;
        drain(&server);
    });
    let run = conclude(&world, 1)?;
    let (started, ended) = (handlers.started.get(), handlers.ended.get());
    if started != ended {
        return Err(format!("{started} handlers started, {ended} ended"));
    }
    if let Some((instant, _)) = hang_up
        && is_exact
        && handlers.last_end.get() > instant + latency_max
    {
        let end = handlers.last_end.get();
        return Err(format!("the handler ran on until {end} after the client had left"));
    }
    Ok(Once { run, instants: world.instants() })
}

/// Sends the request piece by piece, and reads the whole answer. Leaves the connection in `connection`.
async fn ask(address: core::net::SocketAddr, pieces: &[&str], connection: &mut Option<Client>) {
    let client = connection.insert(Client::connect(address).await.expect("the server listens"));
    for piece in pieces {
        client.send(piece.as_bytes()).await.expect("the server reads");
        sleep(PAUSE).await;
    }
    let answer = client.answer(false).await.expect("an answer");
    assert_eq!(answer.status, 200);
}

/// Takes its time in each of the ways a handler can.
async fn handle(mut request: Request, guard: Guard) -> Response {
    match request.uri().path() {
        "/upload" => {
            let mut length = 0;
            while let Some(chunk) = request.body_mut().chunk().await {
                // Cut off in the middle: whatever is answered, nobody hears it.
                let Ok(chunk) = chunk else { break };
                length += chunk.len();
            }
            sleep(Duration::from_millis(5)).await;
            format!("{length}").into_response()
        }
        "/stream" => {
            let pieces = stream::unfold((0, guard), |(number, guard)| async move {
                sleep(Duration::from_millis(4)).await;
                let piece = Ok::<_, std::io::Error>(Bytes::from_static(b"piece\n"));
                (number < 5).then_some((piece, (number + 1, guard)))
            });
            Response::new(Body::stream(None, pieces))
        }
        _ => {
            for _ in 0..5 {
                sleep(Duration::from_millis(4)).await;
            }
            "done".into_response()
        }
    }
}
