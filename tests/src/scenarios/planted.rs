//! Four bugs on purpose. Each must be found, and its report must say enough to find it by: a suite that lets them pass
//! would let others pass.

use core::cell::Cell;
use core::future::{pending, poll_fn};
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;

use mainspring::{IntoResponse, Request, Response, Server, Timeouts};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::time::sleep;
use mainspring_executor::{Scope, spawn};
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{Host, WorldConfig};

use super::{PORT, drain, serve};
use crate::client::Client;

/// A handler that leaves a task behind.
pub(super) const LEAK: Scenario = Scenario::new(
    "planted-leak",
    "planted: a handler spawns a task that outlives its request, with a socket",
    |setup| one_request(setup, leak),
)
.planted();

/// A handler that waits for something that never wakes it.
pub(super) const LOST_WAKE: Scenario = Scenario::new(
    "planted-lost-wake",
    "planted: a flag that is set without waking who waits for it",
    |setup| one_request(setup, lost_wake),
)
.planted();

/// A server that answers in the order in which its handlers end.
pub(super) const WRONG_ORDER: Scenario = Scenario::new(
    "planted-wrong-order",
    "planted: a server that answers pipelined requests in the order in which they end",
    wrong_order,
)
.planted();

/// A service that takes what comes last for the latest.
pub(super) const OVERTAKEN: Scenario = Scenario::new(
    "planted-overtaken",
    "planted: readings in datagrams, of which the last to arrive is kept, not the newest",
    overtaken,
)
.planted();

/// One request to a server with `handler`; then the server drains.
fn one_request<F>(setup: &Setup, handler: impl Fn(Host) -> F + 'static) -> Result<Run, String>
where
    F: Future<Output = Response> + 'static,
{
    let world = setup.world(WorldConfig::rough());
    let server = world.host("server");
    let handler = Rc::new(handler);
    let on = server.clone();
    // A handler that never ends is to be found, not ended.
    let timeouts = Timeouts { handler: Duration::MAX, ..Timeouts::default() };
    serve(&server, move || Server::new(move |_: Request| handler(on.clone())).timeouts(timeouts));
    world.host("client").run(async move {
        let mut client = Client::connect(server.address(PORT)).await.expect("the server listens");
        let answer = client.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false).await;
        assert_eq!(answer.expect("an answer").status, 200);
        drain(&server);
    });
    conclude(&world, 1)
}

async fn leak(server: Host) -> Response {
    let listener = TcpListener::bind(server.address(1234), ListenOptions::default());
    // The bug: nobody holds it, nobody ends it.
    drop(spawn(async move {
        let _listener = listener;
        pending::<()>().await;
    }));
    "looks fine".into_response()
}

async fn lost_wake(_: Host) -> Response {
    let flag = Rc::new(Cell::new(false));
    let setter = Rc::clone(&flag);
    let set = spawn(async move {
        sleep(Duration::from_millis(1)).await;
        // The bug: whoever waits for it is not told.
        setter.set(true);
    });
    let wait = spawn(poll_fn(move |_| if flag.get() { Poll::Ready(()) } else { Poll::Pending }));
    set.await.expect("no panic");
    wait.await.expect("no panic");
    "never said".into_response()
}

fn wrong_order(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let server = world.host("server");
    server.run(answer_as_they_end());
    world.host("client").run(async move {
        let mut client = Client::connect(server.address(PORT)).await.expect("the server listens");
        let request = |delay| format!("GET /{delay} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.send((request(9) + &request(1)).as_bytes()).await.expect("the server reads");
        for expected in ["9", "1"] {
            let answer = client.answer(false).await.expect("an answer");
            let body = String::from_utf8_lossy(&answer.body);
            assert_eq!(body, expected, "answers come in the order of their requests");
        }
    });
    conclude(&world, 2)
}

/// Serves one connection with two requests, `GET /MS`, each answered after so many milliseconds.
async fn answer_as_they_end() {
    let listener = TcpListener::bind(([0, 0, 0, 0], PORT).into(), ListenOptions::default());
    let (stream, _) = listener.expect("a free port").accept().await.expect("a client");
    let stream = Rc::new(Cell::new(Some(stream)));
    let answers = Scope::new();
    let mut requests = read_requests(&stream).await;
    for path in requests.drain(..) {
        let stream = Rc::clone(&stream);
        drop(answers.spawn(async move {
            sleep(Duration::from_millis(path.parse().expect("a number"))).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
            // The bug: nothing says whose turn it is.
            let mut taken = stream.take().expect("answers are short");
            taken.write_all(answer.as_bytes()).await.expect("the client reads");
            stream.set(Some(taken));
        }));
    }
    answers.join().await.expect("no answer panics");
}

/// The paths of two requests.
async fn read_requests(stream: &Cell<Option<TcpStream>>) -> Vec<String> {
    let mut reader = stream.take().expect("nobody else has it");
    loop {
        let text = String::from_utf8_lossy(reader.buffered()).into_owned();
        if text.matches("\r\n\r\n").count() == 2 {
            reader.consume(reader.buffered().len());
            stream.set(Some(reader));
            let heads = text.split("\r\n\r\n").filter(|head| !head.is_empty());
            return heads.map(|head| head[5..6].to_owned()).collect();
        }
        assert!(reader.fill().await.expect("the client sends") > 0, "two requests come");
    }
}

/// Readings of a sensor, sent one by one.
const READINGS: u64 = 20;
const READING_EVERY: Duration = Duration::from_millis(5);

fn overtaken(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig { datagram_loss_permille: 0, ..WorldConfig::rough() });
    let (service, sensor) = (world.host("service"), world.host("sensor"));
    let latest = Rc::new(Cell::new(0));
    let (kept, address) = (Rc::clone(&latest), service.address(PORT));
    let receiving = service.spawn(async move {
        let socket = UdpSocket::bind(address).expect("a free port");
        let mut reading = [0; 8];
        loop {
            socket.recv_from(&mut reading).await.expect("datagrams arrive");
            // The bug: who says that it is newer than the one before?
            kept.set(u64::from_le_bytes(reading));
        }
    });
    sensor.run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        for reading in 1..=READINGS {
            socket.send_to(&reading.to_le_bytes(), address).await.expect("it is short");
            sleep(READING_EVERY).await;
        }
        sleep(Duration::from_secs(1)).await;
        receiving.abort();
        assert_eq!(latest.get(), READINGS, "the latest reading is known");
    });
    conclude(&world, READINGS)
}
