//! hyper's server and hyper's client, HTTP/1.1 and HTTP/2, over a network that is cut off for a while, and that in swarms loses,
//! delays and doubles packets: bodies both ways, and requests that are given up half way.

use core::cell::Cell;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version, server};
use mainspring_executor::compat::{HyperExecutor, HyperIo, HyperServer, HyperTimer};
use mainspring_executor::driver::Instant;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{CancelToken, Scope, spawn};
use mainspring_sim::{Host, World};
use mainspring_tests::compat::accept_each;

use super::client::Error;
use super::room::{Verdict, holds, is_found};

type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// What a slow handler takes.
const SLOW: Duration = Duration::from_secs(3);

/// Bodies are up to so long: more than any window of HTTP/2 or of a rough room.
const BODY_BYTES_MAX: u64 = 100_000;

/// Whether a handler leaves something behind.
#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    /// A task of its own goes on until the handler has an answer, which it never has if its client leaves.
    Leak,
}

// ---- the server ----

/// Counts the handlers that run.
struct Running(Rc<Cell<usize>>);

impl Running {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn full(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|error| match error {}).boxed_unsync()
}

/// Gives back what it gets, at once and as it comes; or says that it was slow.
async fn answer(
    request: Request<Incoming>,
    running: Rc<Cell<usize>>,
    bug: Bug,
) -> Result<Response<AnyBody>, hyper::Error> {
    let _running = Running::new(&running);
    if request.method() == Method::POST {
        let body = request.into_body().map_err(io::Error::other).boxed_unsync();
        return Ok(Response::new(body));
    }
    let is_answered = Rc::new(Cell::new(false));
    if bug == Bug::Leak {
        let is_answered = Rc::clone(&is_answered);
        drop(spawn(async move {
            while !is_answered.get() {
                sleep(Duration::from_secs(1)).await;
            }
        }));
    }
    sleep(SLOW).await;
    is_answered.set(true);
    Ok(Response::new(full("slow")))
}

async fn serve(
    listener: TcpListener,
    version: Version,
    running: Rc<Cell<usize>>,
    stop: CancelToken,
    bug: Bug,
) {
    let service = move |request| answer(request, Rc::clone(&running), bug);
    if version == Version::HTTP_11 {
        let served = HyperServer::new()
            .serve(listener, move |_| service_fn(service.clone()), stop.cancelled())
            .await;
        assert_eq!(served.expect("no handler panics").connections_cut, 0);
        return;
    }
    let connections = accept_each(listener, stop, move |stream| {
        let service = service_fn(service.clone());
        async move {
            let scope = Rc::new(Scope::new());
            let mut builder = server::conn::http2::Builder::new(HyperExecutor::within(&scope));
            builder.timer(HyperTimer).keep_alive_interval(Duration::from_secs(20));
            let served = builder.serve_connection(HyperIo::new(stream), service).await;
            served.expect("its client ends in order");
        }
    });
    connections.await.join().await.expect("no handler panics");
}

// ---- the client ----

/// How requests are sent.
enum Sender {
    /// Each on a connection of its own.
    Http1(SocketAddr),
    /// All on one.
    Http2(http2::SendRequest<AnyBody>),
}

impl Sender {
    /// Dropped half way, it closes the connection, or resets the stream.
    async fn exchange(&self, method: Method, body: AnyBody) -> Result<Bytes, Error> {
        let request =
            Request::builder().method(method).uri("http://server/").header(HOST, "server");
        let request = request.body(body)?;
        let scope = Scope::new();
        let response = match self {
            Self::Http1(server) => {
                let stream = TcpStream::connect(*server).await?;
                let (mut sender, connection) = http1::handshake(HyperIo::new(stream)).await?;
                drop(scope.spawn(connection));
                sender.send_request(request).await?
            }
            Self::Http2(sender) => sender.clone().send_request(request).await?,
        };
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

/// A body that is sent back, or an answer that is waited for as long as it was drawn.
async fn ask(sender: &Sender, host: &Host) -> u64 {
    if host.choose(3) == 0 {
        let patience = Duration::from_millis(host.choose(6000));
        let asked = sender.exchange(Method::GET, full(""));
        return match timeout(patience, asked).await {
            Ok(slow) => {
                assert_eq!(slow.expect("an answer"), "slow");
                1
            }
            Err(_) => 0,
        };
    }
    let count = usize::try_from(host.choose(BODY_BYTES_MAX)).expect("few");
    let bytes: Bytes = (0_u8..251).cycle().take(count).collect();
    let back = sender.exchange(Method::POST, full(bytes.clone())).await.expect("an answer");
    assert!(back == bytes, "bytes were lost or changed");
    1
}

/// Rounds of requests, some at one time.
async fn client(host: Host, server: SocketAddr, version: Version, answered: Rc<Cell<u64>>) {
    let scope = Rc::new(Scope::new());
    let (sender, connection) = if version == Version::HTTP_11 {
        (Sender::Http1(server), None)
    } else {
        let stream = TcpStream::connect(server).await.expect("the server listens");
        let mut builder = http2::Builder::new(HyperExecutor::within(&scope));
        let handshake = builder.timer(HyperTimer).handshake(HyperIo::new(stream)).await;
        let (sender, connection) = handshake.expect("HTTP/2 waits for nobody");
        (Sender::Http2(sender), Some(scope.spawn(connection)))
    };
    for _ in 0..6 {
        let count: u64 = join_all((0..3).map(|_| ask(&sender, &host))).await.into_iter().sum();
        answered.set(answered.get() + count);
        sleep(Duration::from_millis(host.choose(1000))).await;
    }
    drop(sender);
    if let Some(connection) = connection {
        connection.await.expect("no panic").expect("an orderly end");
    }
    scope.join().await.expect("no panic");
}

// ---- the room ----

fn room(world: &World, version: Version, bug: Bug) -> Verdict {
    let (server, running, answered) = (world.host("server"), Rc::default(), Rc::default());
    let (own, stop, left) = (server.address(80), CancelToken::new(), Rc::new(Cell::new(2)));
    let (counted, stopped) = (Rc::clone(&running), stop.clone());
    server.run(async move {
        let listener = TcpListener::bind(own, Default::default()).expect("a free port");
        serve(listener, version, counted, stopped, bug).await;
    });
    for name in ["one", "two"] {
        let host = world.host(name);
        let asking = client(host.clone(), own, version, Rc::clone(&answered));
        let (stop, left) = (stop.clone(), Rc::clone(&left));
        host.run(async move {
            asking.await;
            left.set(left.get() - 1);
            if left.get() == 0 {
                stop.cancel();
            }
        });
    }
    // Two seconds in which nothing gets through to one of them.
    let cut = world.find("one").expect("it was made");
    let begin = Instant::START + Duration::from_millis(500 + world.choose(4000));
    let (from, to) = (server.clone(), cut.clone());
    world.at(begin, move |world| world.cut(&from, &to));
    world.at(begin + Duration::from_secs(2), move |world| world.heal(&server, &cut));
    Box::new(move || match running.get() {
        0 => Ok(answered.get()),
        count => Err(format!("{count} handlers run on")),
    })
}

#[test]
fn hyper_speaks_http1_with_itself_over_a_bad_network() {
    holds(|world| room(world, Version::HTTP_11, Bug::None), &["hyper: the date"]);
}

#[test]
fn hyper_speaks_http2_with_itself_over_a_bad_network() {
    holds(
        |world| room(world, Version::HTTP_2, Bug::None),
        &["h2: the time", "hyper: the date", "indexmap: 16 bytes of entropy"],
    );
}

#[test]
fn what_a_handler_leaves_behind_is_found() {
    let words = "server: task ";
    is_found(|world| room(world, Version::HTTP_11, Bug::Leak), words);
    is_found(|world| room(world, Version::HTTP_2, Bug::Leak), words);
}
