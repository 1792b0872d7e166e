//! hyper's HTTP/1.1 server and client talk to each other: keep-alive, bodies of both kinds both ways, an upgrade, and
//! hyper's own deadline for heads.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::ready;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{Parts, Upgraded};
use hyper::{Request, Response, StatusCode, client, upgrade};
use mainspring_executor::compat::{HyperIo, HyperTimer, OnThread};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{CancelToken, Scope};

use super::pattern::patterned;
use super::worlds::{everywhere, serve_each};

/// A body of any kind.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// Tells how many requests its connection has brought so far.
pub(crate) const SERVED: &str = "x-served";

/// What an upgraded connection speaks: it sends back what it gets.
const PROTOCOL: &str = "echo";

/// What the client says first in that protocol.
const GREETING: &[u8] = b"greeting";

/// hyper asks for `Send` where a connection may be upgraded.
type Transport = HyperIo<OnThread<TcpStream>>;

fn transport(stream: TcpStream) -> Transport {
    HyperIo::new(OnThread::new(stream))
}

/// A body whose length is known.
pub(crate) fn sized(bytes: Vec<u8>) -> AnyBody {
    Full::new(Bytes::from(bytes)).map_err(|error| match error {}).boxed_unsync()
}

/// A body of several frames that come one by one, its length unknown.
pub(crate) fn streamed(frame_count: usize, frame_bytes: usize) -> AnyBody {
    // A body in a box must be `Send`, which a timer of ours is not.
    let frames = stream::iter(0..frame_count).then(move |index| {
        OnThread::new(Box::pin(async move {
            sleep(Duration::from_millis(1)).await;
            Ok(Frame::data(Bytes::from(patterned(index * frame_bytes, frame_bytes))))
        }))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// All bytes of a body.
pub(crate) async fn collected(body: impl Body<Data = Bytes, Error = hyper::Error>) -> Bytes {
    body.collect().await.expect("the body comes to its end").to_bytes()
}

/// Sends back the body of a request as it comes, and counts requests.
pub(crate) fn echo(request: Request<Incoming>, served: &Cell<usize>) -> Response<AnyBody> {
    served.set(served.get() + 1);
    let body = request.into_body().map_err(io::Error::other).boxed_unsync();
    let response = Response::builder().header(SERVED, served.get());
    response.body(body).expect("a response")
}

/// Switches to [`PROTOCOL`] behind the response.
fn switch(mut request: Request<Incoming>, scope: &Scope) -> Response<AnyBody> {
    let upgraded = upgrade::on(&mut request);
    drop(scope.spawn(async move {
        let (mut stream, first) = taken(upgraded.await.expect("the response was sent"));
        let greeting = received(&mut stream, first, GREETING.len()).await;
        stream.write_all(&greeting).await.expect("the client is there");
        stream.shutdown_write().expect("it is connected");
        assert_eq!(stream.fill().await.expect("the client closes"), 0);
    }));
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let response = response.header(CONNECTION, "upgrade").header(UPGRADE, PROTOCOL);
    response.body(sized(Vec::new())).expect("a response")
}

/// Takes the stream out of hyper's hands, with what hyper has read of it.
fn taken(upgraded: Upgraded) -> (TcpStream, Bytes) {
    let parts: Parts<Transport> = upgraded.downcast().expect("it is what it was made of");
    (parts.io.into_inner().into_inner(), parts.read_buf)
}

/// So many bytes, of which the first are known.
async fn received(stream: &mut TcpStream, first: Bytes, count: usize) -> Vec<u8> {
    let mut bytes = first.to_vec();
    while bytes.len() < count {
        assert_ne!(stream.fill().await.expect("the peer sends"), 0, "after {bytes:?}");
        bytes.extend_from_slice(stream.buffered());
        stream.consume(stream.buffered().len());
    }
    bytes
}

pub(super) fn server(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |stream| async move {
        let scope = Rc::new(Scope::new());
        let served = Cell::new(0);
        let service = service_fn(|request: Request<Incoming>| {
            let response = match request.headers().contains_key(UPGRADE) {
                true => switch(request, &scope),
                false => echo(request, &served),
            };
            ready(Ok::<_, Infallible>(response))
        });
        let mut builder = http1::Builder::new();
        builder.timer(HyperTimer).header_read_timeout(Duration::from_secs(60));
        // Else hyper reads the system's date.
        builder.auto_date_header(false);
        let connection = builder.serve_connection(transport(stream), service).with_upgrades();
        connection.await.expect("the client behaves");
        scope.join().await.expect("no panic");
    })
    .boxed_local()
}

pub(super) async fn keep_alive(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let handshake = client::conn::http1::handshake(HyperIo::new(stream));
    let (mut sender, connection) = handshake.await.expect("HTTP/1 has no handshake");
    let scope = Scope::new();
    let connection = scope.spawn(connection);

    let bodies = [
        (sized(Vec::new()), 0),
        (sized(patterned(0, 1)), 1),
        (streamed(7, 3_001), 21_007),
        (sized(patterned(0, 300_000)), 300_000),
        (Empty::new().map_err(|error| match error {}).boxed_unsync(), 0),
    ];
    for (index, (body, length)) in bodies.into_iter().enumerate() {
        let is_sized = body.size_hint().exact().is_some();
        let request = Request::post("/").header(HOST, "server").body(body).expect("a request");
        sender.ready().await.expect("the connection lives on");
        let response = sender.send_request(request).await.expect("a response");
        assert_eq!(response.headers()[SERVED], (index + 1).to_string().as_str(), "one connection");
        assert_eq!(response.headers().contains_key(CONTENT_LENGTH), is_sized);
        assert!(collected(response.into_body()).await == patterned(0, length), "{length} bytes");
    }
    drop(sender);
    connection.await.expect("no panic").expect("an orderly end");
}

async fn upgraded(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let handshake = client::conn::http1::handshake(transport(stream));
    let (mut sender, connection) = handshake.await.expect("HTTP/1 has no handshake");
    let scope = Scope::new();
    let connection = scope.spawn(connection.with_upgrades());

    let request = Request::get("/").header(HOST, "server").header(CONNECTION, "upgrade");
    let request = request.header(UPGRADE, PROTOCOL).body(sized(Vec::new())).expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgraded = upgrade::on(response).await.expect("the server agreed");
    let (mut stream, first) = taken(upgraded);
    assert!(first.is_empty(), "the server waits for us");
    stream.write_all(GREETING).await.expect("the server is there");
    assert_eq!(received(&mut stream, first, GREETING.len()).await, GREETING);
    assert_eq!(stream.fill().await.expect("the server closes"), 0);
    drop(stream);
    connection.await.expect("no panic").expect("an orderly end");
}

#[test]
fn hyper_keeps_a_connection_alive_and_moves_bodies_both_ways() {
    everywhere(server, |address| keep_alive(address).boxed_local());
}

#[test]
fn hyper_gives_the_stream_back_after_an_upgrade() {
    everywhere(server, |address| upgraded(address).boxed_local());
}

/// What hyper gives a client for its head.
const HEAD_TIMEOUT: Duration = Duration::from_millis(200);

fn impatient_server(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |stream| async move {
        let service =
            service_fn(|request| ready(Ok::<_, Infallible>(echo(request, &Cell::new(0)))));
        let mut builder = http1::Builder::new();
        builder.timer(HyperTimer).header_read_timeout(HEAD_TIMEOUT);
        let ended = builder.serve_connection(HyperIo::new(stream), service).await;
        assert!(ended.expect_err("the head never ended").is_timeout());
    })
    .boxed_local()
}

/// Sends half a head, and waits for what the server makes of it.
async fn stalled(address: SocketAddr) {
    let begin = now();
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ser").await.expect("the server reads");
    assert_eq!(stream.fill().await.expect("an orderly end"), 0);
    assert!(now() - begin >= HEAD_TIMEOUT, "not before its time");
}

#[test]
fn hyper_keeps_its_deadline_for_heads() {
    everywhere(impatient_server, |address| stalled(address).boxed_local());
}
