//! What all stream adapters promise, by one body for the three of them.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice};

use futures::future::LocalBoxFuture;
use futures::{FutureExt, join};
use hyper::rt;
use mainspring_executor::CancelToken;
use mainspring_executor::compat::{FuturesIo, HyperIo, TokioIo};
use mainspring_executor::net::{TcpListener, TcpStream, UnixStream};
use mainspring_executor::time::timeout;

use super::pattern::patterned;
use super::worlds::{everywhere, serve_each};

/// The calls that the three families of traits have in common.
trait Adapter {
    fn over(stream: TcpStream) -> Self;
    fn stream(self) -> TcpStream;
    fn poll_read(&mut self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn is_vectored(&self) -> bool;
}

/// Passes most calls on to a trait for writing, which differ in what they call a shutdown.
macro_rules! as_adapter {
    ($adapter:ident, $write:path, $shutdown:ident) => {
        fn over(stream: TcpStream) -> Self {
            Self::new(stream)
        }

        fn stream(self) -> TcpStream {
            self.into_inner()
        }

        fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            <Self as $write>::poll_write(Pin::new(self), cx, bytes)
        }

        fn poll_write_vectored(
            &mut self,
            cx: &mut Context<'_>,
            buffers: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            <Self as $write>::poll_write_vectored(Pin::new(self), cx, buffers)
        }

        fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            <Self as $write>::poll_flush(Pin::new(self), cx)
        }

        fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            <Self as $write>::$shutdown(Pin::new(self), cx)
        }
    };
}

impl Adapter for FuturesIo<TcpStream> {
    as_adapter!(FuturesIo, futures::io::AsyncWrite, poll_close);

    fn poll_read(&mut self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        futures::io::AsyncRead::poll_read(Pin::new(self), cx, target)
    }

    /// Not asked there.
    fn is_vectored(&self) -> bool {
        true
    }
}

impl Adapter for TokioIo<TcpStream> {
    as_adapter!(TokioIo, tokio::io::AsyncWrite, poll_shutdown);

    fn poll_read(&mut self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(target);
        let read = tokio::io::AsyncRead::poll_read(Pin::new(self), cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    fn is_vectored(&self) -> bool {
        tokio::io::AsyncWrite::is_write_vectored(self)
    }
}

impl Adapter for HyperIo<TcpStream> {
    as_adapter!(HyperIo, rt::Write, poll_shutdown);

    fn poll_read(&mut self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = rt::ReadBuf::new(target);
        let read = rt::Read::poll_read(Pin::new(self), cx, buffer.unfilled());
        read.map_ok(|()| buffer.filled().len())
    }

    fn is_vectored(&self) -> bool {
        rt::Write::is_write_vectored(self)
    }
}

/// Runs a client over each adapter, in every world.
macro_rules! over_each {
    ($server:ident, $client:ident) => {
        everywhere($server, |address| $client::<FuturesIo<TcpStream>>(address).boxed_local());
        everywhere($server, |address| $client::<TokioIo<TcpStream>>(address).boxed_local());
        everywhere($server, |address| $client::<HyperIo<TcpStream>>(address).boxed_local());
    };
}

async fn connect<A: Adapter>(address: SocketAddr) -> A {
    A::over(TcpStream::connect(address).await.expect("the server listens"))
}

async fn read<A: Adapter>(adapter: &mut A, target: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| adapter.poll_read(cx, target)).await
}

async fn write<A: Adapter>(adapter: &mut A, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| adapter.poll_write(cx, bytes)).await
}

async fn shutdown<A: Adapter>(adapter: &mut A) -> io::Result<()> {
    poll_fn(|cx| adapter.poll_shutdown(cx)).await
}

/// All that comes, in pieces of different lengths.
async fn rest<A: Adapter>(adapter: &mut A) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1000];
    for length in (1..=buffer.len()).cycle() {
        match read(adapter, &mut buffer[..length]).await.expect("the server is there") {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    bytes
}

/// Reads to the client's end, and only then sends it all back.
fn late_echo(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |mut stream| async move {
        let mut bytes = Vec::new();
        while stream.fill().await.expect("the client is there") > 0 {
            bytes.extend_from_slice(stream.buffered());
            stream.consume(stream.buffered().len());
        }
        stream.write_all(&bytes).await.expect("the client reads");
    })
    .boxed_local()
}

/// More than the windows of any of the networks hold.
const COUNT: usize = 200_000;

async fn halves<A: Adapter>(address: SocketAddr) {
    let mut adapter: A = connect(address).await;
    let bytes = patterned(0, COUNT);
    let mut written = 0;
    while written < COUNT {
        written += write(&mut adapter, &bytes[written..]).await.expect("the server reads");
    }
    poll_fn(|cx| adapter.poll_flush(cx)).await.expect("nothing is held back");
    shutdown(&mut adapter).await.expect("it is connected");
    shutdown(&mut adapter).await.expect("again is the same as once");
    let error = write(&mut adapter, b"more").await.expect_err("our way has ended");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(rest(&mut adapter).await == bytes, "bytes were lost or changed");
    assert_eq!(read(&mut adapter, &mut [0; 1]).await.expect("an end stays"), 0);
    shutdown(&mut adapter).await.expect("both ways have ended: nothing is left to end");
}

#[test]
fn a_shutdown_ends_one_way_and_reading_goes_on() {
    over_each!(late_echo, halves);
}

async fn gathered<A: Adapter>(address: SocketAddr) {
    const ROUNDS: usize = 50;
    let mut adapter: A = connect(address).await;
    assert!(adapter.is_vectored());
    let mut sent = Vec::new();
    let mut most = 0;
    for round in 0..ROUNDS {
        let bytes = patterned(round * 100, 100);
        let (first, second) = bytes.split_at(1);
        let buffers = [b"", first, b"", second].map(IoSlice::new);
        let count = poll_fn(|cx| adapter.poll_write_vectored(cx, &buffers)).await;
        let count = count.expect("the server reads");
        most = most.max(count);
        sent.extend_from_slice(&bytes[..count]);
    }
    assert!(most > 1, "one write takes from several buffers");
    shutdown(&mut adapter).await.expect("it is connected");
    assert!(rest(&mut adapter).await == sent, "bytes were lost or changed");
}

#[test]
fn a_vectored_write_takes_from_all_buffers() {
    over_each!(late_echo, gathered);
}

async fn nothing<A: Adapter>(address: SocketAddr) {
    let mut adapter: A = connect(address).await;
    // The server says nothing before we have ended: what has to wait would wait for ever.
    assert_eq!(read(&mut adapter, &mut []).await.expect("nothing was asked for"), 0);
    assert_eq!(write(&mut adapter, b"").await.expect("nothing to write"), 0);
    for empty in [&[][..], &[IoSlice::new(b""), IoSlice::new(b"")]] {
        let count = poll_fn(|cx| adapter.poll_write_vectored(cx, empty)).await;
        assert_eq!(count.expect("nothing to write"), 0);
    }
}

#[test]
fn nothing_is_read_and_written_at_once() {
    over_each!(late_echo, nothing);
}

async fn taken_out<A: Adapter>(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(b"head and body").await.expect("the server reads");
    stream.shutdown_write().expect("it is connected");
    while stream.buffered().len() < 13 {
        assert_ne!(stream.fill().await.expect("the server is there"), 0);
    }
    let mut adapter = A::over(stream);
    let mut head = [0; 4];
    assert_eq!(read(&mut adapter, &mut head).await.expect("it is there"), 4);
    assert_eq!(&head, b"head");
    assert_eq!(adapter.stream().buffered(), b" and body");
}

#[test]
fn what_was_not_read_stays_in_the_stream() {
    over_each!(late_echo, taken_out);
}

/// Waits for one byte, then sends one.
fn one_for_one(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |mut stream| async move {
        while stream.fill().await.expect("the client is there") > 0 {
            let bytes = stream.buffered().to_vec();
            stream.consume(bytes.len());
            stream.write_all(&bytes).await.expect("the client reads");
        }
    })
    .boxed_local()
}

async fn dropped_reads<A: Adapter>(address: SocketAddr) {
    let mut adapter: A = connect(address).await;
    let mut received = Vec::new();
    for byte in 0..20 {
        let mut target = [0; 1];
        let dropped = timeout(Duration::ZERO, read(&mut adapter, &mut target)).await;
        assert!(dropped.is_err(), "nothing was sent that could come back");
        assert_eq!(write(&mut adapter, &[byte]).await.expect("the server reads"), 1);
        // Given up again and again, until it is there.
        while timeout(Duration::from_micros(100), read(&mut adapter, &mut target)).await.is_err() {}
        received.push(target[0]);
    }
    assert_eq!(received, (0..20).collect::<Vec<u8>>());
}

#[test]
fn a_read_that_is_dropped_loses_nothing() {
    over_each!(one_for_one, dropped_reads);
}

/// Resets the connection when the first byte comes.
fn resetting(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |mut stream| async move {
        assert_ne!(stream.fill().await.expect("the client is there"), 0);
        stream.abort();
    })
    .boxed_local()
}

async fn reset<A: Adapter>(address: SocketAddr) {
    let mut adapter: A = connect(address).await;
    assert_eq!(write(&mut adapter, b"x").await.expect("the server reads"), 1);
    let error = read(&mut adapter, &mut [0; 1]).await.expect_err("a reset is no end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(write(&mut adapter, b"x").await.is_err());
    shutdown(&mut adapter).await.expect("nothing is left to end");
}

#[test]
fn a_reset_is_told_and_a_shutdown_after_it_is_none() {
    over_each!(resetting, reset);
}

/// That the server's task ends shows that the socket is closed: a run whose tasks do not end has failed.
async fn dropped<A: Adapter>(address: SocketAddr) {
    let mut adapter: A = connect(address).await;
    assert_eq!(write(&mut adapter, b"x").await.expect("the server reads"), 1);
    drop(adapter);
}

#[test]
fn dropping_an_adapter_closes_the_socket() {
    over_each!(quiet, dropped);
}

/// Waits for the client's end, and says nothing.
fn quiet(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |mut stream| async move {
        while stream.fill().await.expect("the client is there") > 0 {
            stream.consume(stream.buffered().len());
        }
    })
    .boxed_local()
}

/// The lines of a stream, whatever pieces they come in.
async fn lines_by_futures(address: SocketAddr) {
    use futures::io::{AsyncBufReadExt, AsyncWriteExt};
    let mut adapter = FuturesIo::new(TcpStream::connect(address).await.expect("it listens"));
    adapter.write_all(b"one\ntwo\nthree").await.expect("the server reads");
    adapter.close().await.expect("it is connected");
    for expected in ["one\n", "two\n", "three", ""] {
        let mut line = String::new();
        adapter.read_line(&mut line).await.expect("the server answers");
        assert_eq!(line, expected);
    }
}

async fn lines_by_tokio(address: SocketAddr) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
    let mut adapter = TokioIo::new(TcpStream::connect(address).await.expect("it listens"));
    adapter.write_all(b"one\ntwo\nthree").await.expect("the server reads");
    adapter.shutdown().await.expect("it is connected");
    for expected in ["one\n", "two\n", "three", ""] {
        let mut line = String::new();
        adapter.read_line(&mut line).await.expect("the server answers");
        assert_eq!(line, expected);
    }
}

#[test]
fn lines_are_read_from_the_buffer_of_the_stream() {
    everywhere(late_echo, |address| lines_by_futures(address).boxed_local());
    everywhere(late_echo, |address| lines_by_tokio(address).boxed_local());
}

/// Both ends in one program, each in another adapter: what is generic over streams takes this one as well.
async fn unix_pair(_: SocketAddr) {
    use futures::io::AsyncWriteExt;
    use tokio::io::AsyncReadExt;
    let (writer, reader) = UnixStream::pair().expect("the machine has sockets");
    let (mut writer, mut reader) = (FuturesIo::new(writer), TokioIo::new(reader));
    let write = async {
        writer.write_all(&patterned(0, COUNT)).await.expect("the peer reads");
        writer.close().await.expect("it is connected");
    };
    let mut received = Vec::new();
    let ((), read) = join!(write, reader.read_to_end(&mut received));
    assert_eq!(read.expect("the peer ends in order"), COUNT);
    assert!(received == patterned(0, COUNT), "bytes were lost or changed");
}

#[test]
fn a_unix_stream_goes_through_adapters() {
    everywhere(quiet, |address| unix_pair(address).boxed_local());
}
