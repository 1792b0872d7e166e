//! Requests and responses as the RFCs have them: order, framing, persistence, expectations.

use core::time::Duration;

use mainspring_executor::time::{now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_tests::client::chunked;

use crate::playground::playground;
use crate::stage::{Case, LATENCY, Machines};
use crate::wire::{End, closes, get, goes_on, pattern, post, request, rest_as_text};

/// One connection serves request after request, and is closed by whoever wants to.
#[test]
fn a_connection_is_kept() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for _ in 0..10 {
            goes_on(&mut client).await;
        }
        assert_eq!(stage.stats().connections_accepted, 1);
        assert_eq!(stage.stats().requests, 10);
        assert_eq!(stage.stats().responses, [0, 10, 0, 0, 0]);
    });
}

/// Twenty requests of all kinds, sent at once, are answered in their order, whatever each of them takes.
#[test]
fn pipelined_requests_are_answered_in_order() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        let mut batch = Vec::new();
        let mut expected = Vec::new();
        for number in 0..20usize {
            let length = number * 100;
            let path = format!("/bytes/{length}");
            let body = pattern(length);
            match number % 5 {
                0 => batch.extend(get(&path).into_bytes()),
                1 => batch.extend(request("HEAD", &path, "").into_bytes()),
                2 => batch.extend(post("/echo", &body)),
                3 => {
                    let head = request("POST", "/echo", "Transfer-Encoding: chunked\r\n");
                    batch.extend([head.into_bytes(), chunked(&body, 64)].concat());
                }
                _ => batch.extend(get("/slow/4").into_bytes()),
            }
            expected.push((number % 5, body));
        }
        client.send(&batch).await.expect("the server reads");
        for (kind, body) in expected {
            let answer = client.answer(kind == 1).await.expect("an answer to each");
            assert_eq!(answer.status, 200);
            match kind {
                1 => assert_eq!(answer.field("content-length"), Some(&*body.len().to_string())),
                4 => assert_eq!(answer.body, b"slow"),
                _ => assert_eq!(answer.body, body, "the body of this one and no other"),
            }
        }
        goes_on(&mut client).await;
    });
}

/// A bad request behind good ones: these are answered, then it is refused, then the connection closes in good order,
/// though the client has said more, and reads late: nothing is lost to a reset.
#[test]
fn a_bad_request_costs_no_good_one_its_answer() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        let mut batch = get("/bytes/4000").repeat(12);
        batch.push_str("GET / HTTP/1.1\r\nHost : x\r\n\r\n");
        batch.push_str(&get("/hello").repeat(100));
        client.send(batch.as_bytes()).await.expect("the server reads");
        sleep(Duration::from_millis(300)).await;
        for _ in 0..12 {
            let answer = client.answer(false).await.expect("good ones are answered");
            assert_eq!((answer.status, answer.body), (200, pattern(4000)));
        }
        let answer = client.answer(false).await.expect("the bad one is refused");
        assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
        closes(&mut client).await;
        assert_eq!(stage.stats().rejections, 1);
        assert_eq!(stage.seen.count.get(), 12, "what stands behind a bad request is not served");
    });
}

/// The answers to a batch of pipelined requests leave in one write.
#[test]
fn a_batch_is_answered_in_one_write() {
    let case = Case::new(playground);
    let config = WorldConfig { record: true, ..WorldConfig::calm() };
    let world = case.simulate(
        1,
        config,
        |stage| async move {
            let mut client = stage.connect().await;
            client.send(get("/hello").repeat(20).as_bytes()).await.expect("the server reads");
            for _ in 0..20 {
                assert_eq!(client.answer(false).await.expect("an answer to each").body, b"hello");
            }
        },
        |_, _| {},
    );
    let trace = world.trace();
    let writes = trace.iter().filter(|line| line.contains(" server write #"));
    assert_eq!(writes.count(), 1, "{}", trace.join("\n"));
}

/// Who asks for a close gets it, behind the answer; so does who speaks HTTP/1.0 and asks for nothing.
#[test]
fn connections_close_when_asked() {
    Case::new(playground).check(|stage| async move {
        let requests = [
            request("GET", "/hello", "Connection: close\r\n"),
            request("GET", "/hello", "Connection: foo, CLOSE\r\n"),
            "GET /hello HTTP/1.0\r\n\r\n".to_owned(),
            "GET /hello HTTP/1.0\r\nHost: x\r\n\r\n".to_owned(),
            get("/field/connection/close"),
        ];
        for request in requests {
            let mut client = stage.connect().await;
            let answer = client.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]), "{request}");
            assert_eq!(answer.field("connection"), Some("close"), "{request}");
            closes(&mut client).await;
        }
    });
}

/// HTTP/1.0 with keep-alive is told that it was granted, and is served again.
#[test]
fn http_1_0_may_keep_its_connection() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for _ in 0..2 {
            let request = b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
            let answer = client.exchange(request, false).await.expect("an answer");
            assert_eq!(answer.body, b"hello");
            assert_eq!(answer.field("connection"), Some("keep-alive"));
        }
        goes_on(&mut client).await;
    });
}

/// A stream of unknown length to HTTP/1.0 is not chunked: the close ends it, even where keep-alive was asked for.
#[test]
fn a_stream_to_http_1_0_ends_with_the_connection() {
    Case::new(playground).check(|stage| async move {
        for field in ["", "Connection: keep-alive\r\n"] {
            let mut client = stage.connect().await;
            let request = format!("GET /stream HTTP/1.0\r\n{field}\r\n");
            client.send(request.as_bytes()).await.expect("the server reads");
            let (text, end) = rest_as_text(&mut client).await;
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert_eq!((body, end), ("abcabcabc", End::Fin));
            assert!(head.contains("connection: close"), "{head}");
            assert!(!head.contains("transfer-encoding"), "{head}");
            assert!(!head.contains("content-length"), "{head}");
        }
    });
}

/// The answer to HEAD has the fields of the one to GET and no body, and the next answer follows it.
#[test]
fn head_has_no_body() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for path in ["/hello", "/bytes/100000", "/stream", "/stream/9", "/missing", "/panic/later"]
        {
            let got = client.exchange(get(path).as_bytes(), false).await.expect("an answer");
            let head = request("HEAD", path, "");
            let headed = client.exchange(head.as_bytes(), true).await.expect("an answer");
            assert_eq!(headed.status, got.status, "{path}");
            for name in ["content-length", "content-type"] {
                assert_eq!(headed.field(name), got.field(name), "{path}: {name}");
            }
            goes_on(&mut client).await;
        }
    });
}

/// Responses that have no body by their status have no length either, and the next answer follows them.
#[test]
fn some_statuses_have_no_body() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for status in [204, 304] {
            let request = get(&format!("/status/{status}"));
            let answer = client.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.status, status);
            assert_eq!(answer.field("content-length"), None);
            assert_eq!(answer.field("transfer-encoding"), None);
            goes_on(&mut client).await;
        }
    });
}

/// A client that waits for 100 (Continue) gets it when its body is asked for, by the handler or by the response that
/// is made of it, and not before.
#[test]
fn continue_is_said_when_the_body_is_wanted() {
    Case::new(playground).check(|stage| async move {
        for path in ["/collect", "/echo"] {
            let mut client = stage.connect().await;
            let fields = "Expect: 100-continue\r\nContent-Length: 5\r\n";
            client.send(request("POST", path, fields).as_bytes()).await.expect("it reads");
            let mut said = Vec::new();
            let stream = client.stream();
            while said.len() < 25 {
                assert!(stream.fill().await.expect("it answers") > 0);
                said.extend_from_slice(stream.buffered());
                stream.consume(stream.buffered().len());
            }
            assert_eq!(String::from_utf8_lossy(&said), "HTTP/1.1 100 Continue\r\n\r\n");
            let answer = client.exchange(b"12345", false).await.expect("an answer");
            let expected: &[u8] = if path == "/echo" { b"12345" } else { b"5 bytes" };
            assert_eq!((answer.status, &*answer.body), (200, expected));
            goes_on(&mut client).await;
        }
    });
}

/// A client that does not wait for 100 (Continue) is served like any other.
#[test]
fn a_client_need_not_wait_for_continue() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for path in ["/collect", "/echo"] {
            let fields = "Expect: 100-continue\r\nContent-Length: 7\r\n";
            let request = request("POST", path, fields) + "7 bytes";
            let answer = client.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!((answer.status, &*answer.body), (200, &b"7 bytes"[..]));
        }
        goes_on(&mut client).await;
    });
}

/// Who is answered without being asked to continue may send the body or not: where the next request would begin is
/// unknown, so the connection closes. Nothing was said before the answer.
#[test]
fn an_answer_instead_of_continue_is_the_last() {
    Case::new(playground).check(|stage| async move {
        let fields = "Expect: 100-continue\r\nContent-Length: 5\r\n";
        let wrong = "Expect: 200-ok\r\nContent-Length: 5\r\n";
        let old = "POST /ignore HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        let cases = [
            (request("POST", "/ignore", fields), 200),
            (request("POST", "/panic/at-once", fields), 500),
            (request("POST", "/ignore", wrong), 417),
            (old.to_owned(), 200),
        ];
        for (request, status) in cases {
            let mut client = stage.connect().await;
            client.send(request.as_bytes()).await.expect("the server reads");
            let (text, end) = rest_as_text(&mut client).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert!(text.contains("connection: close\r\n"), "{text}");
            assert_eq!(end, End::Fin);
        }
    });
}

/// Between a request and its answer there is nothing but the way there and back.
#[test]
fn an_answer_does_not_wait() {
    Case::new(playground).on(Machines::Calm).check(|stage| async move {
        let mut client = stage.connect().await;
        for _ in 0..3 {
            let asked = now();
            goes_on(&mut client).await;
            assert_eq!(now() - asked, 2 * LATENCY);
        }
    });
}
