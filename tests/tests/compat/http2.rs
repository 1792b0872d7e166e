//! hyper's HTTP/2 server and client talk to each other, their tasks spawned by our executor, their pings timed by our
//! timer.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::ready;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, client};
use mainspring_executor::compat::{HyperExecutor, HyperIo, HyperTimer};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{CancelToken, Scope};

use super::http1::{AnyBody, SERVED, collected, echo, sized, streamed};
use super::pattern::patterned;
use super::worlds::{everywhere, serve_each};

/// A ping every so often, and so long to answer it.
const PING_INTERVAL: Duration = Duration::from_millis(100);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn server(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |stream| async move {
        let scope = Rc::new(Scope::new());
        let served = Cell::new(0);
        let service = service_fn(move |request| ready(Ok::<_, Infallible>(echo(request, &served))));
        let mut builder = http2::Builder::new(HyperExecutor::within(&scope));
        builder.timer(HyperTimer).auto_date_header(false);
        builder.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
        let connection = builder.serve_connection(HyperIo::new(stream), service);
        connection.await.expect("the client behaves");
        scope.join().await.expect("no panic");
    })
    .boxed_local()
}

/// hyper's client, with pings.
fn client_builder(scope: &Rc<Scope>) -> client::conn::http2::Builder<HyperExecutor> {
    let mut builder = client::conn::http2::Builder::new(HyperExecutor::within(scope));
    builder.timer(HyperTimer).keep_alive_while_idle(true);
    builder.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
    builder
}

pub(super) async fn many_streams(address: SocketAddr) {
    let scope = Rc::new(Scope::new());
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let handshake = client_builder(&scope).handshake(HyperIo::new(stream));
    let (sender, connection) = handshake.await.expect("the server speaks HTTP/2");
    let connection = scope.spawn(connection);

    let exchange = |(body, length): (AnyBody, usize)| {
        let mut sender = sender.clone();
        async move {
            let request = Request::post("http://server/").body(body).expect("a request");
            let response = sender.send_request(request).await.expect("a response");
            let served: usize =
                response.headers()[SERVED].to_str().expect("digits").parse().expect("a number");
            let body = collected(response.into_body()).await;
            assert!(body == patterned(0, length), "{length} bytes");
            served
        }
    };
    // Beyond the first windows of 64 KiB, of a stream and of the connection: both have to be opened further.
    let bodies = (0..6).map(|index| (sized(patterned(0, index * 30_000)), index * 30_000));
    let bodies = bodies.chain((1..4).map(|index| (streamed(index, 3_001), index * 3_001)));
    let mut served = join_all(bodies.map(&exchange)).await;
    served.sort_unstable();
    assert_eq!(served, (1..=9).collect::<Vec<_>>(), "all on one connection");

    // Several pings, and the connection is as good as before.
    sleep(PING_INTERVAL * 5).await;
    assert_eq!(exchange((sized(Vec::new()), 0)).await, 10);
    drop(sender);
    connection.await.expect("no panic").expect("an orderly end");
    scope.join().await.expect("no panic");
}

#[test]
fn hyper_runs_many_streams_on_one_connection() {
    everywhere(server, |address| many_streams(address).boxed_local());
}

/// Says that it speaks HTTP/2, reads all that comes, and answers nothing.
fn mute_server(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    /// RFC 9113 §6.5: length 0, type 4, no flags, stream 0.
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    serve_each(listener, stop, |mut stream| async move {
        stream.write_all(&EMPTY_SETTINGS).await.expect("the client reads");
        while stream.fill().await.is_ok_and(|count| count > 0) {
            stream.consume(stream.buffered().len());
        }
    })
    .boxed_local()
}

async fn unanswered_ping(address: SocketAddr) {
    let begin = now();
    let scope = Rc::new(Scope::new());
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let mut builder = client_builder(&scope);
    builder.keep_alive_timeout(PING_INTERVAL);
    let handshake = builder.handshake::<_, AnyBody>(HyperIo::new(stream));
    let (_sender, connection) = handshake.await.expect("the server says that it speaks HTTP/2");
    let error = connection.await.expect_err("nobody answers");
    assert!(error.is_timeout(), "{error:?}");
    assert!(now() - begin >= 2 * PING_INTERVAL, "not before its time");
    drop(scope);
}

#[test]
fn hyper_gives_up_on_a_peer_that_answers_no_ping() {
    everywhere(mute_server, |address| unanswered_ping(address).boxed_local());
}
