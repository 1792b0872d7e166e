//! Requests: what is written, what is refused, and what a server reads in it.

use http::header::HeaderName;

use super::*;
use crate::http1::exchange::RequestError;
use crate::http1::{Connection, Event, UsageError};

const KNOWN: fn(u64) -> BodyLength = BodyLength::Known;

/// The fields of a table: `name: value` lines.
fn headers(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn start(
    method: &str,
    uri: &str,
    lines: &str,
    body: BodyLength,
    form: TargetForm,
) -> Result<(Exchange, Vec<u8>), RequestError> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let (uri, headers) = (uri.parse().unwrap(), headers(lines));
    let request = RequestParts { method: &method, uri: &uri, headers: &headers, body, form };
    let mut out = b"before".to_vec();
    let started = Exchange::start(Rc::default(), &request, &mut out);
    assert!(out.starts_with(b"before"));
    match started {
        Ok(exchange) => Ok((exchange, out.split_off(6))),
        Err(error) => {
            assert_eq!(out, b"before", "a refused request writes nothing");
            Err(error)
        }
    }
}

/// The head that is written: its lines, joined with `|`.
#[track_caller]
fn check(method: &str, uri: &str, lines: &str, body: BodyLength, expected: &str) {
    check_form(method, uri, lines, body, TargetForm::Origin, expected);
}

#[track_caller]
fn check_form(
    method: &str,
    uri: &str,
    lines: &str,
    body: BodyLength,
    form: TargetForm,
    expected: &str,
) {
    let (_, out) = start(method, uri, lines, body, form).unwrap();
    let text = String::from_utf8(out).unwrap();
    let head = text.strip_suffix("\r\n\r\n").unwrap();
    assert_eq!(head.replace("\r\n", "|"), expected);
}

#[track_caller]
fn refused(method: &str, uri: &str, lines: &str, body: BodyLength, error: impl Into<RequestError>) {
    let started = start(method, uri, lines, body, TargetForm::Origin).map(drop);
    assert_eq!(started, Err(error.into()), "{method} {uri} {lines}");
}

#[test]
fn targets() {
    let none = KNOWN(0);
    for (uri, target, host) in [
        ("http://a", "/", "a"),
        ("http://a?x", "/?x", "a"),
        ("http://a/b/c?d=/e?f", "/b/c?d=/e?f", "a"),
        ("http://A:81/%41#f", "/%41", "A:81"),
        ("http://[::1]:80/", "/", "[::1]:80"),
        ("http://a//b", "//b", "a"),
    ] {
        check("GET", uri, "", none, &format!("GET {target} HTTP/1.1|host: {host}"));
    }
    let absolute = |method: &str, uri: &str, target: &str| {
        let expected = format!("{method} {target} HTTP/1.1|host: a:8");
        check_form(method, uri, "", none, TargetForm::Absolute, &expected);
    };
    absolute("GET", "http://a:8/b?c", "http://a:8/b?c");
    absolute("GET", "http://a:8", "http://a:8/");
    absolute("OPTIONS", "http://a:8/*", "http://a:8/*");
    check("CONNECT", "a:443", "", none, "CONNECT a:443 HTTP/1.1|host: a:443");
    for uri in
        ["/", "*", "http://u@a/", "http://u:p@a/", "http://a/%4", "http://a/%zz", "http://a/\u{e9}"]
    {
        refused("GET", uri, "", none, RequestError::Target);
    }
    refused("CONNECT", "http://a/", "", none, RequestError::Target);
}

#[test]
fn the_asterisk_form() {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some("a".parse().unwrap());
    parts.path_and_query = Some("*".parse().unwrap());
    let uri = Uri::from_parts(parts).unwrap();
    let headers = HeaderMap::new();
    let line = |method: &Method, form| {
        let body = KNOWN(0);
        let request = RequestParts { method, uri: &uri, headers: &headers, body, form };
        let mut out = Vec::new();
        Exchange::start(Rc::default(), &request, &mut out)?;
        Ok(String::from_utf8(out).unwrap().lines().next().unwrap().to_owned())
    };
    assert_eq!(line(&Method::OPTIONS, TargetForm::Origin), Ok("OPTIONS * HTTP/1.1".to_owned()));
    assert_eq!(
        line(&Method::OPTIONS, TargetForm::Absolute),
        Ok("OPTIONS http://a HTTP/1.1".to_owned())
    );
    assert_eq!(line(&Method::GET, TargetForm::Origin), Err(RequestError::Target));
}

#[test]
fn hosts() {
    let none = KNOWN(0);
    check("GET", "http://a/", "x: y\nhost: b:1", none, "GET / HTTP/1.1|host: b:1|x: y");
    for host in ["host: a b", "host: a,b", "host: a\nhost: a", "host: u@a", "host: a/"] {
        refused("GET", "http://a/", host, none, RequestError::Host);
    }
    let absolute = |lines| start("GET", "http://a/", lines, none, TargetForm::Absolute).map(drop);
    assert_eq!(absolute("host: A"), Ok(()));
    assert_eq!(absolute("host: b"), Err(RequestError::Host));
    refused("CONNECT", "a:1", "host: b:1", none, RequestError::Host);
}

#[test]
fn framing() {
    let (none, five, unknown) = (KNOWN(0), KNOWN(5), BodyLength::Unknown);
    let get = "GET / HTTP/1.1|host: a";
    let post = "POST / HTTP/1.1|host: a";
    check("GET", "http://a", "", none, get);
    check("GET", "http://a", "content-length: 0", none, &format!("{get}|content-length: 0"));
    check("GET", "http://a", "", five, &format!("{get}|content-length: 5"));
    check("POST", "http://a", "", none, &format!("{post}|content-length: 0"));
    check("POST", "http://a", "", five, &format!("{post}|content-length: 5"));
    check("POST", "http://a", "content-length: 5", five, &format!("{post}|content-length: 5"));
    check("POST", "http://a", "content-length: 5", unknown, &format!("{post}|content-length: 5"));
    check("POST", "http://a", "", unknown, &format!("{post}|transfer-encoding: chunked"));
    for lines in
        ["content-length: +5", "content-length: 5\ncontent-length: 5", "content-length: 5,5"]
    {
        refused("POST", "http://a", lines, five, UsageError::ContentLengthInvalid);
    }
    refused("POST", "http://a", "content-length: 4", five, UsageError::ContentLengthMismatch);
    for (method, uri) in [("TRACE", "http://a"), ("CONNECT", "a:1")] {
        refused(method, uri, "", five, UsageError::BodyForbidden);
        refused(method, uri, "", unknown, UsageError::BodyForbidden);
        refused(method, uri, "content-length: 0", none, UsageError::BodyForbidden);
    }
}

#[test]
fn fields_of_the_connection() {
    let (none, five) = (KNOWN(0), KNOWN(5));
    let get = "GET / HTTP/1.1|host: a";
    check("GET", "http://a", "connection: close", none, &format!("{get}|connection: close"));
    check("GET", "http://a", "connection: keep-alive", none, get);
    check("GET", "http://a", "te: trailers", none, &format!("{get}|te: trailers|connection: te"));
    let all = "connection: Upgrade, TE , close\nupgrade: a\nte: Trailers";
    let expected = format!("{get}|upgrade: a|te: Trailers|connection: close, upgrade, te");
    check("GET", "http://a", all, none, &expected);
    for lines in [
        "transfer-encoding: chunked",
        "keep-alive: timeout=5",
        "proxy-connection: close",
        "connection: x-mine",
        "connection: close, content-length",
        "content_length: 5",
        "transfer_encoding: chunked",
    ] {
        refused("POST", "http://a", lines, five, UsageError::ConnectionField);
    }
    refused("GET", "http://a", "te: gzip", none, RequestError::Te);
    refused("GET", "http://a", "te: trailers, gzip", none, RequestError::Te);
    check(
        "PUT",
        "http://a",
        "expect: 100-Continue",
        five,
        "PUT / HTTP/1.1|host: a|expect: 100-Continue|content-length: 5",
    );
    refused("PUT", "http://a", "expect: 100-continue", none, RequestError::Expectation);
    refused("PUT", "http://a", "expect: tea", five, RequestError::Expectation);
    refused(
        "PUT",
        "http://a",
        "expect: 100-continue\nexpect: 100-continue",
        five,
        RequestError::Expectation,
    );
}

#[test]
fn what_could_end_a_line_cannot_be_asked_for() {
    for byte in [b'\r', b'\n', 0, b' ', 0x7f] {
        let text = [b"a".as_slice(), &[byte], b"b: c"].concat();
        assert!(Method::from_bytes(&text).is_err(), "{byte:#x}");
        assert!(HeaderName::from_bytes(&text).is_err(), "{byte:#x}");
        let uri = [b"http://a/".as_slice(), &[byte], b"b"].concat();
        let uri = Uri::try_from(uri.as_slice());
        assert!(uri.is_err(), "{byte:#x}: {uri:?}");
        if byte != b' ' {
            assert!(http::HeaderValue::from_bytes(&[b'a', byte]).is_err(), "{byte:#x}");
        }
    }
}

fn post(body: BodyLength, lines: &str) -> (Exchange, Vec<u8>) {
    let (exchange, _) = start("POST", "http://a", lines, body, TargetForm::Origin).unwrap();
    (exchange, Vec::new())
}

#[test]
fn bodies() {
    let (mut exchange, mut out) = post(KNOWN(5), "");
    assert!(exchange.writes_body() && !exchange.is_request_done());
    exchange.send_data(b"ab", &mut out).unwrap();
    exchange.send_data(b"", &mut out).unwrap();
    exchange.send_data(b"cde", &mut out).unwrap();
    assert_eq!(exchange.finish(None, &mut out), Ok(()));
    assert_eq!(out, b"abcde");
    assert!(exchange.is_request_done());
    assert_eq!(exchange.send_data(b"f", &mut out), Err(UsageError::BodyTooLong));

    let (mut exchange, mut out) = post(BodyLength::Unknown, "");
    exchange.send_data(b"abc", &mut out).unwrap();
    exchange.send_data(b"", &mut out).unwrap();
    let forbidden = headers("content-length: 3");
    assert_eq!(exchange.finish(Some(&forbidden), &mut out), Err(UsageError::TrailerForbidden));
    exchange.finish(Some(&headers("x: y")), &mut out).unwrap();
    assert_eq!(out, b"3\r\nabc\r\n0\r\nx: y\r\n\r\n");

    let (mut exchange, mut out) = post(KNOWN(2), "");
    assert_eq!(exchange.send_data(b"abc", &mut out), Err(UsageError::BodyTooLong));
    assert_eq!(exchange.send_data(b"a", &mut out), Err(UsageError::OutOfOrder));
    let (mut exchange, mut out) = post(KNOWN(2), "");
    exchange.send_data(b"a", &mut out).unwrap();
    assert_eq!(exchange.finish(None, &mut out), Err(UsageError::BodyTooShort));
    assert_eq!(exchange.finish(None, &mut out), Err(UsageError::OutOfOrder));
    assert!(!exchange.is_request_done());
}

/// Reads a response with an empty body; whether another exchange may follow.
fn answered(exchange: &mut Exchange) -> bool {
    let step = exchange.next_event(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(matches!(step.event, Some(ResponseEvent::Head(_))));
    let step = exchange.next_event(b"").unwrap();
    assert!(matches!(step.event, Some(ResponseEvent::End { trailers: None })));
    exchange.is_reusable()
}

#[test]
fn answers_before_the_request_is_whole() {
    let (mut exchange, mut out) = post(KNOWN(2), "");
    assert!(!answered(&mut exchange), "not while something is to be sent");
    exchange.send_data(b"ab", &mut out).unwrap();
    exchange.finish(None, &mut out).unwrap();
    assert!(exchange.is_reusable(), "both are whole");

    let (mut exchange, _) = post(KNOWN(2), "");
    exchange.stop_sending();
    assert!(!exchange.writes_body() && !exchange.is_request_done());
    assert!(!answered(&mut exchange), "half a request was sent");

    let (mut exchange, _) = post(KNOWN(0), "");
    exchange.stop_sending();
    assert!(answered(&mut exchange), "there was nothing to stop");

    let (mut exchange, _) = post(KNOWN(2), "upgrade: a");
    let switch = b"HTTP/1.1 101 S\r\nUpgrade: a\r\n\r\n";
    assert_eq!(exchange.next_event(switch).err(), Some(ResponseError::Upgrade));

    let (mut exchange, _) = post(KNOWN(0), "connection: close");
    assert!(!answered(&mut exchange), "we said that we close");
}

#[test]
fn expectations() {
    let expecting = || post(KNOWN(2), "expect: 100-continue").0;
    let mut exchange = expecting();
    assert!(exchange.expects_continue());
    exchange.next_event(b"HTTP/1.1 103 \r\n\r\n").unwrap();
    assert!(exchange.expects_continue(), "that was another one");
    exchange.next_event(b"HTTP/1.1 100 \r\n\r\n").unwrap();
    assert!(!exchange.expects_continue());
    exchange.send_data(b"ab", &mut Vec::new()).unwrap();
    exchange.finish(None, &mut Vec::new()).unwrap();
    assert!(answered(&mut exchange));

    let mut exchange = expecting();
    assert!(!answered(&mut exchange), "nobody knows whether the body is still wanted");
    assert!(!exchange.writes_body(), "it is not sent");

    let mut exchange = expecting();
    exchange.stop_waiting();
    assert!(!exchange.expects_continue() && exchange.writes_body());
}

/// What is written is what our server reads.
#[test]
fn round_trips() {
    let lines = "x: y\nx: z\nuser-agent: a b\nupgrade: c\nte: trailers\nexpect: 100-continue";
    for (method, uri, form, body) in [
        ("POST", "http://a:1/b?c", TargetForm::Origin, BodyLength::Unknown),
        ("PUT", "http://a:1/%20", TargetForm::Absolute, KNOWN(3)),
    ] {
        let (mut exchange, mut out) = start(method, uri, lines, body, form).unwrap();
        exchange.send_data(b"abc", &mut out).unwrap();
        exchange.finish(None, &mut out).unwrap();
        let mut server = Connection::new(Rc::default());
        let step = server.next_event(&out).unwrap();
        let Some(Event::Request(request)) = step.event else { panic!("a request") };
        assert_eq!(request.method(), method);
        assert_eq!(request.headers()["host"], "a:1");
        assert_eq!(request.headers().get_all("x").iter().count(), 2);
        assert!(server.expects_continue());
        assert_eq!(server.request_body_length(), body);
    }
}
