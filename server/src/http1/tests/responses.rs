//! Responses: what goes out, re-parsed with `httparse`, and what the handler may not do.

use http::{HeaderName, HeaderValue};

use super::super::{ResponseFields, UsageError};
use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
const OLD_ALIVE: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

/// A connection that has read `request` whole, and what it could not use.
fn after(request: &str) -> Connection {
    let mut connection = Connection::new(Rc::default());
    let mut rest = request.as_bytes();
    loop {
        let step = connection.next_event(rest).unwrap();
        rest = &rest[step.consumed..];
        if step.event.is_none() {
            return connection;
        }
    }
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

/// A whole response to `request`, re-parsed: status, then fields except `date` and `server`, then
/// the body as it is on the wire.
fn respond(
    request: &str,
    code: u16,
    fields: &[(&'static str, &'static str)],
    body: BodyLength,
    data: &[&str],
) -> String {
    let mut connection = after(request);
    let mut out = Vec::new();
    let status = StatusCode::from_u16(code).unwrap();
    connection.start_response(status, &headers(fields), body, DATE, &mut out).unwrap();
    for data in data {
        connection.send_data(data.as_bytes(), &mut out).unwrap();
    }
    connection.finish(None, &mut out).unwrap();
    let closes = connection.must_close();
    assert_eq!(connection.phase(), Phase::Done);
    assert_ne!(connection.next_cycle(), closes);
    assert_eq!(connection.phase(), if closes { Phase::Closed } else { Phase::Idle });
    let text = reparse(&out);
    assert_eq!(text.contains("connection=close"), closes);
    text
}

fn reparse(out: &[u8]) -> String {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(length) = response.parse(out).unwrap() else {
        panic!("partial head")
    };
    let mut text = response.code.unwrap().to_string();
    let mut generated = 0;
    for field in response.headers.iter() {
        let value = str::from_utf8(field.value).unwrap();
        match (field.name, value) {
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT") | ("server", "mainspring") => generated += 1,
            (name, value) => write!(text, " {name}={value}").unwrap(),
        }
    }
    assert_eq!(generated, 2, "{text}");
    let body = str::from_utf8(&out[length..]).unwrap();
    if !body.is_empty() {
        write!(text, " |{body}").unwrap();
    }
    text
}

#[test]
fn framing() {
    use BodyLength::{Known, Unknown};
    let check = |request, code, length, data: &[&str], expect: &str| {
        assert_eq!(
            respond(request, code, &[], length, data),
            expect,
            "{request} {code} {length:?}"
        );
    };
    check(GET, 200, Known(5), &["hel", "", "lo"], "200 content-length=5 |hello");
    check(GET, 200, Known(0), &[], "200 content-length=0");
    check(
        GET,
        200,
        Unknown,
        &["hello", "", "0123456789abcdef"],
        "200 transfer-encoding=chunked |5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
    );
    check(GET, 200, Unknown, &[], "200 transfer-encoding=chunked |0\r\n\r\n");
    check(GET, 599, Known(1), &["x"], "599 content-length=1 |x");

    check(HEAD, 200, Known(5), &["hello"], "200 content-length=5");
    check(HEAD, 200, Known(0), &[], "200");
    check(HEAD, 200, Unknown, &["hello"], "200");
    check(GET, 204, Known(0), &[], "204");
    check(GET, 204, Unknown, &[""], "204");
    check(GET, 304, Known(0), &[], "304");
    check(GET, 205, Unknown, &[], "205 content-length=0");

    check(OLD, 200, Known(1), &["x"], "200 content-length=1 connection=close |x");
    check(OLD_ALIVE, 200, Known(1), &["x"], "200 content-length=1 connection=keep-alive |x");
    check(OLD, 200, Unknown, &["x", "y"], "200 connection=close |xy");
    check(OLD_ALIVE, 200, Unknown, &["x", "y"], "200 connection=close |xy");
}

#[test]
fn fields_of_the_handler() {
    use BodyLength::{Known, Unknown};
    let length = [("content-length", "5")];
    assert_eq!(respond(GET, 200, &length, Known(5), &["hello"]), "200 content-length=5 |hello");
    assert_eq!(respond(GET, 200, &length, Unknown, &["hello"]), "200 content-length=5 |hello");
    assert_eq!(respond(HEAD, 200, &length, Known(0), &[]), "200 content-length=5");
    assert_eq!(respond(HEAD, 200, &length, Unknown, &[]), "200 content-length=5");
    assert_eq!(respond(GET, 304, &length, Known(0), &[]), "304 content-length=5");
    let close = [("connection", "Close"), ("x", "1"), ("x", "2")];
    assert_eq!(
        respond(GET, 200, &close, Known(0), &[]),
        "200 x=1 x=2 content-length=0 connection=close"
    );

    let mut connection = after(GET);
    let mut own = headers(&[("date", "then"), ("server", "other")]);
    own.insert("x", HeaderValue::from_bytes(b"\xe9\t\xff ").unwrap());
    let mut out = Vec::new();
    connection.start_response(StatusCode::OK, &own, Known(0), DATE, &mut out).unwrap();
    let expect = b"HTTP/1.1 200 OK\r\ndate: then\r\nserver: other\r\nx: \xe9\t\xff \r\ncontent-length: 0\r\n\r\n";
    assert_eq!(out.escape_ascii().to_string(), expect.escape_ascii().to_string());
}

#[test]
fn mistakes_of_the_handler_leave_no_trace() {
    use BodyLength::{Known, Unknown};
    let check = |code: u16, fields: &[(&'static str, &'static str)], body, expect| {
        let mut connection = after(GET);
        let mut out = b"before".to_vec();
        let status = StatusCode::from_u16(code).unwrap();
        let error =
            connection.start_response(status, &headers(fields), body, DATE, &mut out).unwrap_err();
        assert_eq!((error, out.as_slice()), (expect, b"before".as_slice()));
        // The caller may still say 500.
        let sorry = StatusCode::INTERNAL_SERVER_ERROR;
        connection.start_response(sorry, &HeaderMap::new(), Known(0), DATE, &mut out).unwrap();
        connection.finish(None, &mut out).unwrap();
        assert!(connection.next_cycle());
    };
    check(100, &[], Known(0), UsageError::InformationalStatus);
    check(101, &[], Known(0), UsageError::InformationalStatus);
    check(204, &[], Known(1), UsageError::BodyForbidden);
    check(204, &[("content-length", "0")], Known(0), UsageError::BodyForbidden);
    check(205, &[], Known(1), UsageError::BodyForbidden);
    check(304, &[], Known(1), UsageError::BodyForbidden);
    check(200, &[("content-length", "4")], Known(5), UsageError::ContentLengthMismatch);
    for length in ["", "+5", "5, 5", "x"] {
        check(200, &[("content-length", length)], Known(5), UsageError::ContentLengthInvalid);
    }
    check(
        200,
        &[("content-length", "5"), ("content-length", "5")],
        Known(5),
        UsageError::ContentLengthInvalid,
    );
    for field in [
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("connection", "close, x"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
    ] {
        check(200, &[field], Unknown, UsageError::ConnectionField);
    }
}

#[test]
fn bodies_that_break_their_promise() {
    let none = HeaderMap::new();
    let start = |request: &str, code: u16, body| {
        let mut connection = after(request);
        let status = StatusCode::from_u16(code).unwrap();
        connection.start_response(status, &none, body, DATE, &mut Vec::new()).unwrap();
        connection
    };
    let mut out = Vec::new();
    let mut connection = start(GET, 200, BodyLength::Known(3));
    assert_eq!(connection.send_data(b"four", &mut out), Err(UsageError::BodyTooLong));
    assert!(connection.must_close() && out.is_empty());
    let mut connection = start(GET, 200, BodyLength::Known(3));
    connection.send_data(b"tw", &mut out).unwrap();
    assert_eq!(connection.finish(None, &mut out), Err(UsageError::BodyTooShort));
    assert!(connection.must_close() && !connection.next_cycle());
    let mut connection = start(GET, 204, BodyLength::Unknown);
    assert_eq!(connection.send_data(b"x", &mut out), Err(UsageError::BodyForbidden));
    assert!(!connection.writes_body());
    assert!(!start(HEAD, 200, BodyLength::Known(3)).writes_body());
    assert!(start(GET, 200, BodyLength::Unknown).writes_body());
}

#[test]
fn calls_out_of_order() {
    let (none, mut out) = (HeaderMap::new(), Vec::new());
    let mut connection = Connection::new(Rc::default());
    let start = |connection: &mut Connection, out: &mut Vec<u8>| {
        connection.start_response(StatusCode::OK, &none, BodyLength::Known(0), DATE, out)
    };
    assert_eq!(start(&mut connection, &mut out), Err(UsageError::OutOfOrder));
    assert_eq!(connection.send_data(b"x", &mut out), Err(UsageError::OutOfOrder));
    assert_eq!(connection.finish(None, &mut out), Err(UsageError::OutOfOrder));
    assert!(!connection.next_cycle() && out.is_empty());
    let mut connection = after(GET);
    assert_eq!(start(&mut connection, &mut out), Ok(()));
    assert_eq!(start(&mut connection, &mut out), Err(UsageError::OutOfOrder));
    assert!(!connection.next_cycle());
    connection.finish(None, &mut out).unwrap();
    assert_eq!(connection.finish(None, &mut out), Err(UsageError::OutOfOrder));
}

#[test]
fn trailers_and_uncopied_data() {
    let run = |request: &str, body| {
        let (mut connection, mut out) = (after(request), Vec::new());
        connection.start_response(StatusCode::OK, &HeaderMap::new(), body, DATE, &mut out).unwrap();
        out.clear();
        connection.data_prefix(11, &mut out).unwrap();
        out.extend_from_slice(b"hello world");
        connection.data_suffix(&mut out);
        connection.data_prefix(0, &mut out).unwrap();
        connection.data_suffix(&mut out);
        assert_eq!(
            connection.finish(Some(&headers(&[("host", "a")])), &mut Vec::new()).is_err(),
            body == BodyLength::Unknown,
        );
        let _ = connection.finish(Some(&headers(&[("digest", "x"), ("digest", "y")])), &mut out);
        String::from_utf8(out).unwrap()
    };
    let chunked = "b\r\nhello world\r\n0\r\ndigest: x\r\ndigest: y\r\n\r\n";
    assert_eq!(run(GET, BodyLength::Unknown), chunked);
    assert_eq!(run(GET, BodyLength::Known(11)), "hello world");
}

#[test]
fn continuing() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let none = HeaderMap::new();
    let respond = |connection: &mut Connection, out: &mut Vec<u8>| {
        connection.start_response(StatusCode::OK, &none, BodyLength::Known(0), DATE, out).unwrap();
        connection.finish(None, out).unwrap();
    };
    // Asked for, once.
    let (mut connection, mut out) = (after(post), Vec::new());
    assert!(connection.expects_continue());
    connection.send_continue(&mut out);
    connection.send_continue(&mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    respond(&mut connection, &mut out);
    assert_eq!((connection.must_close(), connection.phase()), (false, Phase::Body));
    assert!(!connection.next_cycle() && !connection.request_body_done());
    assert_eq!(connection.next_event(b"hi").unwrap().consumed, 2);
    assert!(connection.next_cycle());
    // Not asked for: the final response closes.
    let (mut connection, mut out) = (after(post), Vec::new());
    respond(&mut connection, &mut out);
    assert!(connection.must_close() && !connection.expects_continue());
    assert!(reparse(&out).contains("connection=close"));
    // Begun without waiting.
    let (mut connection, mut out) = (after(&format!("{post}h")), Vec::new());
    assert!(!connection.expects_continue());
    connection.send_continue(&mut out);
    assert!(out.is_empty());
    respond(&mut connection, &mut out);
    assert!(!connection.must_close());
    // Nothing to wait for, and nobody who would.
    assert!(
        !after("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").expects_continue()
    );
    assert!(!after(&post.replace("/1.1", "/1.0")).expects_continue());
}

#[test]
fn rejections() {
    let (mut connection, mut out) = (Connection::new(Rc::default()), Vec::new());
    let error = connection.next_event(b"GET / HTTP/3.0\r\n").unwrap_err();
    assert!(connection.reject(error, DATE, &mut out));
    let expect = "505 content-type=text/plain; charset=utf-8 content-length=42 connection=close \
                  |only HTTP/1.0 and HTTP/1.1 are spoken here\n";
    assert_eq!(
        reparse(&out),
        expect.replace("=42", &format!("={}", expect.split('|').nth(1).unwrap().len()))
    );
    assert!(connection.must_close() && !connection.reject(error, DATE, &mut out));
    assert_eq!(connection.phase(), Phase::Closed);

    // A late error in the body is answered if nothing else was; without a body for HEAD.
    let chunked = "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nx";
    for (method, has_text) in [("POST", true), ("HEAD", false)] {
        let (mut connection, mut out) = (Connection::new(Rc::default()), Vec::new());
        let stream = format!("{method} / HTTP/1.1\r\n{chunked}");
        let head = connection.next_event(stream.as_bytes()).unwrap().consumed;
        let error = connection.next_event(&stream.as_bytes()[head..]).unwrap_err();
        assert!(connection.reject(error, DATE, &mut out));
        assert!(reparse(&out).starts_with("400 "));
        assert_eq!(reparse(&out).contains('|'), has_text);
    }
    let mut connection = after(GET);
    connection
        .start_response(
            StatusCode::OK,
            &HeaderMap::new(),
            BodyLength::Unknown,
            DATE,
            &mut Vec::new(),
        )
        .unwrap();
    assert!(!connection.reject(Error::Timeout, DATE, &mut Vec::new()));
    assert!(!Connection::new(Rc::default()).reject(Error::Incomplete, DATE, &mut Vec::new()));
    let mut out = Vec::new();
    assert!(Connection::new(Rc::default()).reject(Error::Timeout, DATE, &mut out));
    assert!(reparse(&out).starts_with("408 "));
}

#[test]
fn draining_and_phases() {
    let mut connection = Connection::new(Rc::default());
    assert_eq!(connection.phase(), Phase::Idle);
    connection.next_event(b"\r\n\r").unwrap();
    assert_eq!(connection.phase(), Phase::Idle);
    connection.next_event(b"\r\nG").unwrap();
    assert_eq!(connection.phase(), Phase::Head);
    connection.next_event(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((connection.phase(), connection.request_body_done()), (Phase::Respond, true));
    connection.set_close();
    let mut out = Vec::new();
    connection
        .start_response(StatusCode::OK, &HeaderMap::new(), BodyLength::Known(0), DATE, &mut out)
        .unwrap();
    connection.finish(None, &mut out).unwrap();
    assert_eq!(connection.phase(), Phase::Done);
    assert!(reparse(&out).contains("connection=close") && !connection.next_cycle());
    assert_eq!(connection.phase(), Phase::Closed);
    assert!(connection.next_event(GET.as_bytes()).unwrap().event.is_none());
    // The peer's FIN after a whole request: it still reads.
    let mut connection = after(GET);
    assert_eq!(connection.end_of_input(b""), Ok(()));
    assert_eq!(connection.phase(), Phase::Respond);
    let length =
        after("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n").request_body_length();
    assert_eq!(length, BodyLength::Known(7));
}

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x/1\r\n\r\n";

#[test]
fn upgrades() {
    let named = headers(&[("upgrade", "x/1"), ("sec-x", "1")]);
    let mut connection = after(UPGRADE);
    assert!(connection.may_upgrade());
    let mut out = Vec::new();
    connection.upgrade(&named, &mut out).unwrap();
    let expected: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x/1\r\nsec-x: 1\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(connection.phase(), Phase::Closed);
    assert!(!connection.next_cycle() && !connection.may_upgrade());
    // What follows is no HTTP.
    let step = connection.next_event(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(step.consumed == 0 && step.event.is_none());

    // Nothing is written by what goes wrong, and the request may still be answered.
    for fields in [&[][..], &[("content-length", "0"), ("upgrade", "x/1")]] {
        let mut connection = after(UPGRADE);
        assert!(connection.upgrade(&headers(fields), &mut out).is_err());
        assert_eq!(out, expected);
        assert!(connection.may_upgrade());
    }
    for request in [
        GET,
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n1",
    ] {
        let mut connection = after(request);
        assert!(!connection.may_upgrade(), "{request}");
        assert_eq!(connection.upgrade(&named, &mut out), Err(UsageError::Upgrade), "{request}");
    }
    // RFC 9110 §15.5.22: 426 names the protocol; the field is about this hop.
    let answer = respond(GET, 426, &[("upgrade", "x/1")], BodyLength::Known(0), &[]);
    assert!(answer.contains("upgrade=x/1") && answer.contains("connection=upgrade"), "{answer}");
}

#[test]
fn the_type_of_a_body_yields_to_the_handlers() {
    for (set, expected) in [(None, "text/plain"), (Some("a/b"), "a/b")] {
        let mut connection = after(GET);
        let fields: Vec<_> = set.into_iter().map(|value| ("content-type", value)).collect();
        let (headers, mut out) = (headers(&fields), Vec::new());
        let fields = ResponseFields { headers: &headers, media_type: Some("text/plain") };
        let body = BodyLength::Known(0);
        connection.start_response(StatusCode::OK, fields, body, DATE, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("content-type: {expected}\r\n")), "{text}");
        assert_eq!(text.matches("content-type").count(), 1);
    }
}
