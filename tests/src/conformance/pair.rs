//! Two ends of a connection, and what all cases do with them, be it TCP or a Unix socket.

use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind, IoSlice};

use futures::join;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream, UnixStream};

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

/// What both kinds of stream can do.
pub(super) trait Stream {
    fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>>;
    fn buffered(&self) -> &[u8];
    fn consume(&mut self, count: usize);
    fn poll_write(&mut self, cx: &Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
    fn shutdown_write(&mut self) -> io::Result<()>;
    fn poll_peer_closed(&self, cx: &Context<'_>) -> Poll<()>;
    fn poll_broken(&self, cx: &Context<'_>) -> Poll<()>;
}

macro_rules! impl_stream {
    ($type:ty) => {
        impl Stream for $type {
            fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
                <$type>::poll_fill(self, cx)
            }

            fn buffered(&self) -> &[u8] {
                <$type>::buffered(self)
            }

            fn consume(&mut self, count: usize) {
                <$type>::consume(self, count);
            }

            fn poll_write(
                &mut self,
                cx: &Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                <$type>::poll_write(self, cx, buffers)
            }

            fn shutdown_write(&mut self) -> io::Result<()> {
                <$type>::shutdown_write(self)
            }

            fn poll_peer_closed(&self, cx: &Context<'_>) -> Poll<()> {
                <$type>::poll_peer_closed(self, cx)
            }

            fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
                <$type>::poll_broken(self, cx)
            }
        }
    };
}

impl_stream!(TcpStream);
impl_stream!(UnixStream);

/// Writes all of `bytes`.
pub(super) async fn write_all(stream: &mut impl Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(bytes)])).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Writes all of `bytes` to a peer that takes them.
pub(super) async fn send(stream: &mut impl Stream, bytes: &[u8]) {
    write_all(stream, bytes).await.expect("the peer takes it");
}

/// Reads into `buffer`; 0 is the end.
async fn read(stream: &mut impl Stream, buffer: &mut [u8]) -> io::Result<usize> {
    if stream.buffered().is_empty() && poll_fn(|cx| stream.poll_fill(cx)).await? == 0 {
        return Ok(0);
    }
    let count = buffer.len().min(stream.buffered().len());
    buffer[..count].copy_from_slice(&stream.buffered()[..count]);
    stream.consume(count);
    Ok(count)
}

/// Reads `count` bytes.
pub(super) async fn receive(stream: &mut impl Stream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        let more = read(stream, &mut bytes[filled..]).await.expect("the peer sends more");
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
pub(super) async fn rest(stream: &mut impl Stream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match read(stream, &mut buffer).await {
            Ok(0) => return (bytes, End::Fin),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => return (bytes, End::Error(error.kind())),
        }
    }
}

/// Reads until the end, and checks that it is [`patterned`] from 0 on; gives how many bytes came.
pub(super) async fn rest_patterned(stream: &mut impl Stream) -> (usize, End) {
    let mut position = 0;
    loop {
        match poll_fn(|cx| stream.poll_fill(cx)).await {
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
pub(super) async fn peer_closed(stream: &impl Stream) {
    poll_fn(|cx| stream.poll_peer_closed(cx)).await;
}

/// Waits until the connection is broken, without reading.
pub(super) async fn broken(stream: &impl Stream) {
    poll_fn(|cx| stream.poll_broken(cx)).await;
}

/// Whether it is known by now that the peer has ended.
pub(super) fn is_peer_closed(stream: &impl Stream) -> bool {
    stream.poll_peer_closed(&Context::from_waker(Waker::noop())).is_ready()
}

/// Whether it is known by now that the connection is broken.
pub(super) fn is_broken(stream: &impl Stream) -> bool {
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
