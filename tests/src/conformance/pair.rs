//! Two ends of a connection, and what all cases do with them.

use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind};

use futures::join;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};

/// A free port on the way back to oneself.
pub(super) const ANY_PORT: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A byte for each position of a stream, such that one that is lost, doubled or swapped is seen.
#[expect(clippy::cast_possible_truncation, reason = "below 251")]
pub(super) const fn pattern(position: usize) -> u8 {
    (position % 251) as u8
}

/// The bytes of `count` positions from `start` on.
pub(super) fn patterned(start: usize, count: usize) -> Vec<u8> {
    (start..start + count).map(pattern).collect()
}

/// A listener on a port of its own, and where to reach it.
pub(super) fn listen() -> (TcpListener, SocketAddr) {
    listen_with(ListenOptions::default())
}

/// A listener that lets only one more than `backlog` connections wait.
pub(super) fn listen_with(options: ListenOptions) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(ANY_PORT, options).expect("a free port");
    let address = listener.local_addr().expect("a listener has an address");
    (listener, address)
}

/// A connection over `listener`: the client's end and the server's.
pub(super) async fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().expect("a listener has an address");
    let (client, server) = join!(TcpStream::connect(address), listener.accept());
    let (server, peer) = server.expect("a client came");
    let client = client.expect("somebody listens");
    assert_eq!(client.local_addr().expect("it is connected"), peer, "nobody else connects");
    (client, server)
}

/// A connection of its own: the client's end and the server's.
pub(super) async fn pair() -> (TcpStream, TcpStream) {
    connect(&listen().0).await
}

/// Writes all of `bytes` to a peer that takes them.
pub(super) async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("the peer takes it");
}

/// Reads `count` bytes.
pub(super) async fn receive(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        let more = stream.read(&mut bytes[filled..]).await.expect("the peer sends more");
        assert_ne!(more, 0, "the peer ended after {filled} of {count} bytes");
        filled += more;
    }
    bytes
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Error(ErrorKind),
}

/// Reads all that comes, and how it ends.
pub(super) async fn rest(stream: &mut TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) => return (bytes, End::Fin),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => return (bytes, End::Error(error.kind())),
        }
    }
}

/// Reads until the end, and checks that it is [`patterned`] from 0 on; gives how many bytes came.
pub(super) async fn rest_patterned(stream: &mut TcpStream) -> (usize, End) {
    let mut position = 0;
    loop {
        match stream.fill().await {
            Ok(0) => return (position, End::Fin),
            Ok(_) => {}
            Err(error) => return (position, End::Error(error.kind())),
        }
        let count = stream.buffered().len();
        assert!(
            stream.buffered() == patterned(position, count),
            "bytes were lost or changed after position {position}"
        );
        stream.consume(count);
        position += count;
    }
}

/// What became of a write.
pub(super) fn kind<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

/// Waits until the peer has ended, without reading.
pub(super) async fn peer_closed(stream: &TcpStream) {
    poll_fn(|cx| stream.poll_peer_closed(cx)).await;
}

/// Waits until the connection is broken, without reading.
pub(super) async fn broken(stream: &TcpStream) {
    poll_fn(|cx| stream.poll_broken(cx)).await;
}

/// Whether it is known by now that the peer has ended.
pub(super) fn is_peer_closed(stream: &TcpStream) -> bool {
    stream.poll_peer_closed(&Context::from_waker(Waker::noop())).is_ready()
}

/// Whether it is known by now that the connection is broken.
pub(super) fn is_broken(stream: &TcpStream) -> bool {
    stream.poll_broken(&Context::from_waker(Waker::noop())).is_ready()
}

/// Polls a future once, within its task; `None` if it has to wait.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
