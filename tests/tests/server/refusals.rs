//! Requests that are refused: too big, malformed, or of a kind that smuggles. Each gets an answer, and then a close in
//! good order: a reset could overtake the answer.

use mainspring::{Handler, Limits, Server};

use crate::playground::playground;
use crate::stage::{Case, Stage};
use crate::wire::{closes, get, request};

/// Says `requests`, each on a connection of its own and with another behind it; each gets its status and a close, and
/// what stands behind it is never served.
fn check<H: Handler>(make: impl Fn(&Stage) -> Server<H> + 'static, requests: Vec<(String, u16)>) {
    Case::new(make).check(move |stage| {
        let requests = requests.clone();
        async move {
            let count = requests.len() as u64;
            for (request, status) in requests {
                let mut client = stage.connect().await;
                let bytes = request.clone() + &get("/hello");
                client.send(bytes.as_bytes()).await.expect("the server reads");
                let answer = client.answer(false).await;
                let answer = answer.unwrap_or_else(|error| panic!("{request:?}: {error}"));
                assert_eq!(answer.status, status, "{request:?}");
                assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
                closes(&mut client).await;
            }
            let stats = stage.stats();
            assert_eq!(stats.rejections, count);
            assert_eq!((stats.responses[3] + stats.responses[4], stats.responses[1]), (count, 0));
        }
    });
}

/// Room for little: the limits that the cases go beyond.
fn narrow(stage: &Stage) -> Server<impl Handler + use<>> {
    playground(stage).limits(Limits {
        request_line_bytes_max: 100,
        head_bytes_max: 400,
        header_count_max: 5,
        body_bytes_max: 1_000,
        trailer_bytes_max: 50,
        ..Limits::default()
    })
}

/// Beyond each limit: its status, and a close.
#[test]
fn what_is_too_big_is_refused() {
    let chunks = |body: &str| request("POST", "/collect", "Transfer-Encoding: chunked\r\n") + body;
    let cases = vec![
        (get(&format!("/{}", "a".repeat(100))), 414),
        // Even before its end is there.
        (format!("GET /{}", "a".repeat(3_000)), 414),
        (request("GET", "/", &format!("X: {}\r\n", "a".repeat(400))), 431),
        (request("GET", "/", &"X: a\r\n".repeat(5)), 431),
        (request("POST", "/collect", "Content-Length: 1001\r\n"), 413),
        (chunks("3e9\r\n"), 413),
        (chunks(&("190\r\n".to_owned() + &"a".repeat(400) + "\r\n").repeat(3)), 413),
        (chunks(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(50))), 431),
    ];
    check(narrow, cases);
}

/// What stays within each limit, to the byte, is served.
#[test]
fn what_is_just_small_enough_is_served() {
    Case::new(narrow).check(|stage| async move {
        let mut client = stage.connect().await;
        let line = 100 - "GET / HTTP/1.1\r\n".len();
        let field = 400 - request("GET", "/", "X: \r\n").len();
        let requests = [
            (get(&format!("/{}", "a".repeat(line))), 404),
            (request("GET", "/", &format!("X: {}\r\n", "a".repeat(field))), 404),
            (request("GET", "/", &"X: a\r\n".repeat(4)), 404),
            (request("POST", "/collect", "Content-Length: 1000\r\n") + &"a".repeat(1_000), 200),
        ];
        for (request, status) in requests {
            let answer = client.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.status, status, "{request:?}");
        }
        assert_eq!(stage.stats().connections_accepted, 1);
    });
}

/// Requests that two servers in a row could read differently.
#[test]
fn smuggling_is_refused() {
    let head = |fields: &str| request("POST", "/collect", fields);
    let chunks = |body: &str| request("POST", "/collect", "Transfer-Encoding: chunked\r\n") + body;
    let cases = vec![
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400),
        (head("Content-Length: 5\r\nContent-Length: 6\r\n") + "12345", 400),
        (head("Content-Length: 5, 5\r\n") + "12345", 400),
        (head("Content-Length: +5\r\n") + "12345", 400),
        (head("Content-Length : 5\r\n") + "12345", 400),
        (head("Content-Length: 5\r\n folded\r\n") + "12345", 400),
        (head("Transfer-Encoding: chunked, identity\r\n") + "0\r\n\r\n", 400),
        (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400),
        (head("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n", 400),
        (head("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", 501),
        ("POST /collect HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), 505),
        ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        (chunks("5 \r\n12345\r\n0\r\n\r\n"), 400),
        (chunks("5\n12345\r\n0\r\n\r\n"), 400),
        (chunks("5\r\n123456\r\n0\r\n\r\n"), 400),
        (chunks("10000000000000000\r\n"), 400),
        (chunks("0x5\r\n12345\r\n0\r\n\r\n"), 400),
        (chunks("0\r\nContent-Length: 5\r\n\r\n"), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned(), 400),
    ];
    check(playground, cases);
}

/// A body that turns out bad before anything was said of the response is refused like any other, though the response
/// is made of it.
#[test]
fn a_bad_body_is_refused_even_by_an_echo() {
    let fields = "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n";
    let head = request("POST", "/echo", fields);
    check(playground, vec![(head.clone() + "nonsense\r\n", 400), (head + "5 \r\n", 400)]);
}
