//! A server that does exactly what a case tells it to: it reads, says bytes, and closes.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use http::Request;
use mainspring::Body;
use mainspring::client::{Client, Error, ResponseBody};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{sleep, timeout};

/// Long enough for anything that happens by itself to have happened.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// A listener on a free port.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let localhost = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(localhost, ListenOptions::default()).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    (listener, address)
}

/// A connection, seen from the server.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        Self(listener.accept().await.expect("somebody connects").0)
    }

    /// The next head, as text without its last empty line.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            let bytes = self.0.buffered();
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
                self.0.consume(end + 4);
                return head;
            }
            assert!(self.0.fill().await.expect("it is there") > 0, "a head was due");
        }
    }

    /// So many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut at = 0;
        while at < count {
            let read = self.0.read(&mut bytes[at..]).await.expect("it is there");
            assert!(read > 0, "{count} bytes were due, {at} came");
            at += read;
        }
        bytes
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("it is there");
    }

    /// Reads a head and answers it.
    pub(crate) async fn answer(&mut self, text: &str) -> String {
        let head = self.head().await;
        self.say(text).await;
        head
    }

    /// The other side ends, in whatever way, and says nothing more.
    pub(crate) async fn ends(mut self) {
        let ended = timeout(Duration::from_secs(10), self.0.fill()).await.expect("it ends");
        assert!(matches!(ended, Ok(0) | Err(_)), "it said more: {ended:?}");
    }

    /// The other side does not end for a while.
    pub(crate) async fn stays(&mut self) {
        assert!(timeout(MOMENT, self.0.fill()).await.is_err(), "it ended, or said something");
    }
}

/// A short answer after which the connection stays.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(crate) fn request(method: &str, address: SocketAddr, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(format!("http://{address}/path?query"));
    request.body(body.into()).expect("a request")
}

pub(crate) fn get(address: SocketAddr) -> Request<Body> {
    request("GET", address, Body::empty())
}

/// Bytes that are not all there at once.
pub(crate) fn stream(pieces: &'static [&'static str]) -> Body {
    let pieces = pieces.iter().map(|piece| Ok::<_, core::convert::Infallible>(Bytes::from(*piece)));
    Body::stream(None, futures::stream::iter(pieces))
}

/// Sends, and reads all of the answer: its status and its text.
pub(crate) async fn exchange(
    client: &Client,
    request: Request<Body>,
) -> Result<(u16, String), Error> {
    let response = client.send(request).await?;
    let status = response.status().as_u16();
    Ok((status, text(response.into_body()).await?))
}

pub(crate) async fn text(body: ResponseBody) -> Result<String, Error> {
    let bytes = body.collect(1 << 20).await?;
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

pub(crate) fn ok() -> (u16, String) {
    (200, "ok".to_owned())
}

/// What happens by itself happens.
pub(crate) async fn moment() {
    sleep(MOMENT).await;
}
