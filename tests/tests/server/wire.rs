//! What clients of the cases say, and how they look at what comes back: bytes, and how the connection ended.

use core::time::Duration;
use std::io::ErrorKind;

use mainspring_executor::time::{Elapsed, timeout};
use mainspring_tests::client::{Answer, Client, ClientError};

/// How a server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In good order.
    Fin,
    /// By a reset.
    Reset,
}

/// A request without a body.
pub(crate) fn get(path: &str) -> String {
    request("GET", path, "")
}

/// A request without a body, with more fields: whole lines.
pub(crate) fn request(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// A `POST` with a body of known length.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    [request("POST", path, &length).as_bytes(), body].concat()
}

/// Bytes that differ from place to place, so that a shift shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let digits = (0..).flat_map(|number: u32| format!("{number},").into_bytes());
    digits.take(length).collect()
}

/// Everything that still comes, and how it ends.
pub(crate) async fn rest(client: &mut Client) -> (Vec<u8>, End) {
    let stream = client.stream();
    let mut bytes = Vec::new();
    loop {
        bytes.extend_from_slice(stream.buffered());
        stream.consume(stream.buffered().len());
        match stream.fill().await {
            Ok(0) => return (bytes, End::Fin),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "how connections fail");
                return (bytes, End::Reset);
            }
        }
    }
}

/// Everything that still comes, as text, and how it ends.
pub(crate) async fn rest_as_text(client: &mut Client) -> (String, End) {
    let (bytes, end) = rest(client).await;
    (String::from_utf8(bytes).expect("text"), end)
}

/// The server says nothing more, and closes in good order.
#[track_caller]
pub(crate) fn closes(client: &mut Client) -> impl Future<Output = ()> {
    let caller = core::panic::Location::caller();
    async move {
        let (bytes, end) = rest(client).await;
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!((&*text, end), ("", End::Fin), "{caller}: what comes, and how it ends");
    }
}

/// Asks for `/hello` and gets it: the connection is in order.
#[track_caller]
pub(crate) fn goes_on(client: &mut Client) -> impl Future<Output = ()> {
    let caller = core::panic::Location::caller();
    async move {
        let answer = client.exchange(get("/hello").as_bytes(), false).await;
        let answer = answer.unwrap_or_else(|error| panic!("{caller}: no answer: {error}"));
        assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]), "{caller}");
    }
}

/// The whole answer to each request whose answer has begun; `None` where the connection ended before its first byte.
pub(crate) async fn answer_or_nothing(client: &mut Client) -> Option<Answer> {
    if client.stream().buffered().is_empty() && client.stream().fill().await.unwrap_or(0) == 0 {
        return None;
    }
    Some(client.answer(false).await.expect("an answer that has begun comes to its end"))
}

/// Says `bytes` as far as the server takes them within `patience`; gives how many.
pub(crate) async fn push(client: &mut Client, bytes: &[u8], patience: Duration) -> usize {
    let mut pushed = 0;
    while pushed < bytes.len() {
        let slices = [std::io::IoSlice::new(&bytes[pushed..])];
        let stream = client.stream();
        let write = core::future::poll_fn(|cx| stream.poll_write(cx, &slices));
        match timeout(patience, write).await {
            Ok(written) => pushed += written.expect("the server is there"),
            Err(Elapsed) => break,
        }
    }
    pushed
}

/// A failed read of an answer, in a word.
pub(crate) fn outcome(answer: &Result<Answer, ClientError>) -> String {
    match answer {
        Ok(answer) => answer.status.to_string(),
        Err(error) => error.to_string(),
    }
}
