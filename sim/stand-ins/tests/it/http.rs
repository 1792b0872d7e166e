//! The HTTP upstream: what a client sees of each of its behaviours.

use core::time::Duration;

use http::{Request, StatusCode};
use mainspring::Body;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_stand_ins::HttpBehaviour as Is;

use crate::room::{check, ms, timed};
use crate::web::{client, get, get_by, line, send, upstream};

/// Checks what comes of a GET, and that the next one on the same client is answered when the behaviour is gone.
#[track_caller]
fn outcome(behaviour: Is, expected: &'static str) {
    check(upstream, move |server, address| {
        let behaviour = behaviour.clone();
        async move {
            server.behave(behaviour.clone());
            let client = client();
            assert_eq!(get_by(&client, address).await, expected, "{behaviour:?}");
            server.behave_well();
            // What came too much or late has come by then.
            sleep(ms(1000)).await;
            assert_eq!(get_by(&client, address).await, "200 the answer", "after {behaviour:?}");
        }
    });
}

#[test]
fn a_storm_of_503_and_when_to_come_back() {
    outcome(Is::Unavailable { retry_after: None }, "503");
    check(upstream, |server, address| async move {
        let retry_after = Some(Duration::from_secs(30));
        for (behaviour, status, header) in [
            (Is::Unavailable { retry_after }, 503, Some("30")),
            (Is::Unavailable { retry_after: None }, 503, None),
            (Is::TooManyRequests { retry_after }, 429, Some("30")),
            (Is::TooManyRequests { retry_after: None }, 429, None),
        ] {
            server.behave(behaviour);
            let request = Request::get(format!("http://{address}/")).body(Body::empty()).unwrap();
            let response = client().send(request).await.expect("a response");
            assert_eq!(response.status(), status);
            let field = response.headers().get("retry-after");
            assert_eq!(field.map(|value| value.to_str().unwrap()), header);
        }
    });
}

#[test]
fn other_statuses() {
    outcome(Is::Status(StatusCode::BAD_GATEWAY), "502");
    outcome(Is::Status(StatusCode::NO_CONTENT), "204");
}

#[test]
fn stalls() {
    outcome(Is::StallInHead, "Head Timeout");
    outcome(Is::StallAfterHead, "Body Timeout");
}

#[test]
fn bodies_cut_off() {
    outcome(Is::Truncate, "Body Response");
    outcome(Is::ChunkedWithoutEnd, "Body Response");
}

#[test]
fn wrong_lengths() {
    outcome(Is::ShorterThanSaid, "Body Timeout");
    outcome(Is::LongerThanSaid, "200 the answe");
    // Which of the two counts is where responses are split, so the client takes neither.
    outcome(Is::BothLengths, "Head Response");
    outcome(Is::Unasked, "200 the answer");
}

#[test]
fn endless() {
    outcome(Is::LongHead(1024 * 1024), "Head Response");
    outcome(Is::LongBody(1024 * 1024), "Body TooLong");
}

#[test]
fn no_http() {
    outcome(Is::NotHttp, "Head Response");
}

#[test]
fn a_close_that_was_not_announced() {
    check(upstream, |server, address| async move {
        server.behave(Is::CloseUnannounced);
        let client = client();
        for _ in 0..3 {
            assert_eq!(get_by(&client, address).await, "200 the answer");
        }
        sleep(ms(1000)).await;
        assert_eq!(get_by(&client, address).await, "200 the answer");
        assert!(client.stats().opened > 1, "nothing is kept");
    });
}

#[test]
fn hints_come_before_the_answer() {
    check(upstream, |server, address| async move {
        server.behave(Is::Hints(3));
        let request = Request::get(format!("http://{address}/")).body(Body::empty()).unwrap();
        let mut hints = 0;
        let count = |interim: http::Response<()>| hints += u32::from(interim.status() == 103);
        let response = client().send_informed(request, count).await.expect("a response");
        assert_eq!((response.status().as_u16(), hints), (200, 3));
        drop(response);
    });
}

#[test]
fn bodies_of_requests() {
    check(upstream, |server, address| async move {
        let client = client();
        let expecting = || {
            let request = Request::post(format!("http://{address}/echo"));
            request.header("expect", "100-continue").body(Body::from("a body")).unwrap()
        };
        let (sent, took) = timed(send(&client, expecting())).await;
        assert_eq!(line(sent), "200 a body");
        assert!(took < ms(900), "it is asked for: {took:?}");
        // Not asked for, the client sends it after a second anyway.
        server.behave(Is::NoContinue);
        let (sent, took) = timed(send(&client, expecting())).await;
        assert_eq!(line(sent), "200 a body");
        assert!(took >= ms(1000), "{took:?}");
        server.behave(Is::EarlyAnswer);
        assert_eq!(line(send(&client, expecting()).await), "200");
        server.behave_well();
        let chunks = futures::stream::iter(
            ["one ", "two"].map(|part| Ok::<_, std::io::Error>(bytes::Bytes::from(part))),
        );
        let request =
            Request::post(format!("http://{address}/echo")).body(Body::stream(None, chunks));
        assert_eq!(line(send(&client, request.unwrap()).await), "200 one two");
        let asked = server.asked();
        assert_eq!(asked.last().unwrap().headers()["transfer-encoding"], "chunked");
        assert_eq!(asked.last().unwrap().body(), "one two");
    });
}

#[test]
fn what_has_no_answer_is_not_found() {
    check(upstream, |_server, address| async move {
        let client = client();
        let request = Request::get(format!("http://{address}/nothing")).body(Body::empty());
        assert_eq!(line(send(&client, request.unwrap()).await), "404");
        let request = Request::head(format!("http://{address}/")).body(Body::empty());
        assert_eq!(line(send(&client, request.unwrap()).await), "200");
        assert_eq!(get_by(&client, address).await, "200 the answer");
        assert_eq!(client.stats().opened, 1, "a HEAD has no body");
        assert_eq!(get(address).await, "200 the answer");
    });
}

#[test]
fn what_is_no_request_is_told_so() {
    check(upstream, |_server, address| async move {
        for nonsense in [
            &b"GET\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\nffffffffffffffff\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        ] {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(nonsense).await.expect("it reads");
            while stream.fill().await.expect("it answers") > 0 {}
            assert!(stream.buffered().starts_with(b"HTTP/1.1 400 "), "{}", nonsense.escape_ascii());
        }
    });
}
