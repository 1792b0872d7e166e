//! `HyperServer`: who is let in, what runs when it is told to end, and what it tells then.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::service::service_fn;
use hyper::upgrade::{Parts, Upgraded, on};
use hyper::{Request, Response, StatusCode};
use mainspring_executor::compat::{HyperIo, HyperServer, HyperSummary, OnThread};
use mainspring_executor::driver::Signal;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_executor::{CancelToken, ScopeError, spawn};
use mainspring_sim::{Everywhere, World, WorldConfig};

use super::worlds::{everywhere, in_rooms};

/// What a slow handler takes.
const SLOW: Duration = Duration::from_millis(300);

/// Answers at once, slowly, never, with a panic, or with another protocol.
async fn answer(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let mut response = Response::new("answer".to_owned());
    match request.uri().path() {
        "/slow" => sleep(SLOW).await,
        "/never" => core::future::pending().await,
        "/panic" => panic!("on purpose"),
        "/upgrade" => {
            drop(spawn(greet(on(&mut request))));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(CONNECTION, "upgrade".parse().expect("a value"));
            response.headers_mut().insert(UPGRADE, "greeting".parse().expect("a value"));
            response.body_mut().clear();
        }
        _ => {}
    }
    Ok(response)
}

async fn greet(upgraded: impl Future<Output = hyper::Result<Upgraded>>) {
    let upgraded = upgraded.await.expect("the response was sent");
    let parts: Parts<HyperIo<OnThread<TcpStream>>> = upgraded.downcast().expect("it is ours");
    let mut stream = parts.io.into_inner().into_inner();
    stream.write_all(b"greeting").await.expect("the client is there");
}

async fn served(
    server: HyperServer,
    listener: TcpListener,
    stop: CancelToken,
) -> Result<HyperSummary, ScopeError> {
    server.serve(listener, |_| service_fn(answer), stop.cancelled()).await
}

/// All that comes until the connection ends; nothing, where it could not be made.
async fn get(address: SocketAddr, path: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let upgrade = match path {
            "/upgrade" => "Connection: upgrade\r\nUpgrade: greeting\r\n",
            _ => "",
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = Vec::new();
        while !text.ends_with(b"answer") && stream.fill().await? > 0 {
            text.extend_from_slice(stream.buffered());
            stream.consume(stream.buffered().len());
        }
        std::io::Result::Ok(String::from_utf8(text).expect("text"))
    };
    asked.await.unwrap_or_default()
}

fn two_at_a_time(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    let server = HyperServer::new().connections_max(2);
    let served = served(server, listener, stop);
    served.map(|served| assert_eq!(served.expect("no panic").connections_cut, 0)).boxed_local()
}

/// Each closes its connection when it has its answer.
async fn four(address: SocketAddr) {
    let begin = now();
    let answers =
        join_all([get(address, "/slow"), get(address, "/slow"), get(address, "/slow")]).await;
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 OK")));
    assert!(now() - begin >= SLOW * 2, "the third waits for one of the first two");
    assert!(get(address, "/").await.ends_with("answer"));
}

#[test]
fn beyond_its_bound_clients_wait() {
    everywhere(two_at_a_time, |address| four(address).boxed_local());
}

/// Serves until a moment of its own, and then waits for the token.
fn until(
    moment: Duration,
    server: HyperServer,
    cut: usize,
    listener: TcpListener,
    stop: CancelToken,
) -> LocalBoxFuture<'static, ()> {
    async move {
        let own = CancelToken::new();
        let ends = async {
            sleep(moment).await;
            own.cancel();
        };
        let (served, ()) = futures::join!(served(server, listener, own.clone()), ends);
        assert_eq!(served.expect("no panic").connections_cut, cut);
        stop.cancelled().await;
    }
    .boxed_local()
}

/// The second waits in the backlog when the server is told to end.
fn one_at_a_time(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    until(SLOW / 2, HyperServer::new().connections_max(1), 0, listener, stop)
}

async fn both_are_answered(address: SocketAddr) {
    let answers = join_all([get(address, "/slow"), get(address, "/slow")]).await;
    for answer in answers {
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("answer"), "{answer}");
    }
}

#[test]
fn a_drain_answers_what_waits_in_the_backlog() {
    everywhere(one_at_a_time, |address| both_are_answered(address).boxed_local());
}

fn impatient(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    until(SLOW, HyperServer::new().drain_timeout(SLOW * 3), 1, listener, stop)
}

async fn one_is_cut(address: SocketAddr) {
    let late = async {
        sleep(SLOW / 2).await;
        get(address, "/slow").await
    };
    let (slow, never) = futures::join!(late, get(address, "/never"));
    assert!(slow.contains("\r\nconnection: close\r\n") && slow.ends_with("answer"), "{slow}");
    assert_eq!(never, "");
    assert_eq!(get(address, "/").await, "", "nobody listens");
}

#[test]
fn a_drain_answers_what_runs_and_cuts_what_does_not_end() {
    everywhere(impatient, |address| one_is_cut(address).boxed_local());
}

fn as_it_is(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    let served = served(HyperServer::new(), listener, stop);
    served.map(|served| assert_eq!(served.expect("no panic").connections_cut, 0)).boxed_local()
}

/// hyper's own time, on our clock: for who never says a word, and for who has said one.
async fn both_are_shown_out(address: SocketAddr) {
    for first in ["", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let begin = now();
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(first.as_bytes()).await.expect("it reads");
        while stream.fill().await.is_ok_and(|count| count > 0) {
            stream.consume(stream.buffered().len());
        }
        let took = (now() - begin).as_secs();
        assert!((30..32).contains(&took), "{took} s");
    }
}

#[test]
fn who_says_nothing_is_shown_out_after_half_a_minute() {
    in_rooms(as_it_is, |address| both_are_shown_out(address).boxed_local());
}

fn panicking(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    served(HyperServer::new(), listener, stop)
        .map(|served| match served {
            Err(ScopeError::Panicked(payload)) => {
                assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
            }
            other => panic!("no panic was told: {other:?}"),
        })
        .boxed_local()
}

async fn others_go_on(address: SocketAddr) {
    assert_eq!(get(address, "/panic").await, "", "its connection is closed");
    assert!(get(address, "/").await.ends_with("answer"));
}

#[test]
fn a_panic_ends_its_connection_and_is_told_at_the_end() {
    everywhere(panicking, |address| others_go_on(address).boxed_local());
}

async fn upgraded(address: SocketAddr) {
    let text = get(address, "/upgrade").await;
    assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\ngreeting"), "{text}");
}

#[test]
fn an_upgraded_stream_is_its_users() {
    everywhere(two_at_a_time, |address| upgraded(address).boxed_local());
}

/// Told to end at each instant: a client has a whole answer, or not a byte of one.
#[test]
fn at_each_instant_it_ends_in_order() {
    fn room(world: &World) -> impl FnOnce(&World) + use<> {
        let server = world.host("server");
        let address = server.address(80);
        server.run(async move {
            let mut signals = Signals::subscribe().expect("signals can be watched");
            let listener = TcpListener::bind(address, Default::default()).expect("a free port");
            let stop = async { drop(signals.next().await) };
            let served = HyperServer::new().serve(listener, |_| service_fn(answer), stop).await;
            assert_eq!(served.expect("no panic").connections_cut, 0);
        });
        world.host("client").run(async move {
            for path in ["/", "/slow", "/"] {
                let text = timeout(Duration::from_secs(60), get(address, path)).await;
                let text = text.expect("it is answered, or closed");
                assert!(text.is_empty() || text.ends_with("\r\n\r\nanswer"), "half of it: {text}");
            }
            server.signal(Signal::Terminate);
        });
        |_: &World| {}
    }
    let swept = Everywhere::new(3, WorldConfig::rough(), room).signal("server", Signal::Terminate);
    let swept = swept.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(swept.run_count > 20, "{swept:?}");
}
