//! Responses: every way to end one, and every way to be refused.

use super::*;
use crate::http1::Error;

/// What `stream` means as the answer to a GET: the transcript, and what may follow.
#[track_caller]
fn check(stream: &str, expected: &str, reusable: bool) {
    check_asked(&Method::GET, "", stream, expected, reusable);
}

#[track_caller]
fn check_asked(
    method: &Method,
    upgrade: &'static str,
    stream: &str,
    expected: &str,
    reusable: bool,
) {
    let limits = ResponseLimits::default();
    let seen = transcript_of_all_splits(|| ask(method, upgrade, &limits), stream.as_bytes());
    assert_eq!(seen.error, None, "{stream:?}: {:?}", seen.text);
    let leftover = match seen.leftover {
        0 => String::new(),
        count => format!("+{count}"),
    };
    assert_eq!(format!("{}{leftover}", seen.text), expected, "{stream:?}");
    assert_eq!(seen.is_reusable, reusable, "reusable: {stream:?}");
}

/// `stream` is refused, after what stands in `before`.
#[track_caller]
fn refused(stream: &str, before: &str, error: impl Into<ResponseError>) {
    refused_by(&ResponseLimits::default(), stream, before, error);
}

#[track_caller]
fn refused_by(
    limits: &ResponseLimits,
    stream: &str,
    before: &str,
    error: impl Into<ResponseError>,
) {
    let seen = transcript_of_all_splits(|| ask(&Method::GET, "", limits), stream.as_bytes());
    assert_eq!((seen.text.as_str(), seen.error), (before, Some(error.into())), "{stream:?}");
    assert!(!seen.is_reusable, "{stream:?}");
}

/// A 200 with these fields, whole lines.
fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")
}

#[test]
fn status_lines() {
    for line in ["HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.1 200 a\tb  \u{e9}"] {
        check(&format!("{line}\r\nContent-Length: 0\r\n\r\n"), "200: \n", true);
    }
    check("HTTP/1.1 999 What\r\nContent-Length: 1\r\n\r\nx", "999: x\n", true);
    let malformed = [
        "http/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\x01K",
        "HTTP/1.1 200 O\x7fK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/11 200 OK",
        "HTTP/1.10 200 OK",
        "HTTP/x.1 200 OK",
        "HTTP/1.1200 OK",
        "HTTP/1.1",
        "HTTP/",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "ICY 200 OK",
        "<html>",
        "\x16\x03\x01",
    ];
    for line in malformed {
        refused(&format!("{line}\r\nContent-Length: 0\r\n\r\n"), "", ResponseError::StatusLine);
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2"] {
        refused(&format!("{version} 200 OK\r\n\r\n"), "", Error::Version);
    }
    refused("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "", Error::LineEnd);
}

#[test]
fn fields() {
    refused(&ok("A: b\n", ""), "", Error::LineEnd);
    for line in ["A : b", " A: b", "A: b\r\n c", "A", ": b", "A\0: b", "A: b\0", "A: b\rc", "A(: b"]
    {
        refused(&ok(&format!("{line}\r\n"), ""), "", Error::Field);
    }
    refused(&ok("Content_Length: 3\r\n", ""), "", Error::FramingDisguise);
    refused(&ok("Transfer_Encoding: chunked\r\n", ""), "", Error::FramingDisguise);
    let disowned = "Content-Length: 3\r\nConnection: content-length\r\n";
    refused(&ok(disowned, "abc"), "", Error::FramingDisguise);
}

#[test]
fn lengths() {
    check(&ok("Content-Length: 3\r\n", "abc"), "200: abc\n", true);
    check(&ok("content-length:  003 \r\n", "abc"), "200: abc\n", true);
    check(&ok("Content-Length: 0\r\n", ""), "200: \n", true);
    // What nobody asked for is no part of anything.
    check(&ok("Content-Length: 3\r\n", "abcHTTP/1.1"), "200: abc\n+8", true);
    for value in ["", "+3", "-3", "3,3", "3, 3", "0x3", "3 3", "3.0", "184467440737095516160", "a"]
    {
        refused(&ok(&format!("Content-Length: {value}\r\n"), "abc"), "", Error::ContentLength);
    }
    let twice = "Content-Length: 3\r\nContent-Length: 3\r\n";
    refused(&ok(twice, "abc"), "", Error::ContentLength);
    refused(&ok("Content-Length: 4\r\n", "abc"), "200: abc", Error::Incomplete);
}

#[test]
fn codings() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    check(&ok(chunked, "3\r\nabc\r\n0\r\n\r\n"), "200: abc\n", true);
    check(&ok(chunked, "1;x=\"y\"\r\na\r\n0\r\nB: c\r\n\r\n"), "200: a b=c\n", true);
    check(&ok("transfer-encoding: CHUNKED\r\n", "0\r\n\r\n"), "200: \n", true);
    for both in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    ] {
        refused(&ok(both, "3\r\nabc\r\n0\r\n\r\n"), "", Error::LengthConflict);
    }
    refused(&ok(&chunked.repeat(2), "0\r\n\r\n"), "", Error::TransferEncoding);
    for unknown in ["gzip, chunked", "x, y, chunked"] {
        let fields = format!("Transfer-Encoding: {unknown}\r\n");
        refused(&ok(&fields, "0\r\n\r\n"), "", Error::UnknownCoding);
    }
    for bad in [
        "gzip",
        "xchunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked,",
    ] {
        let fields = format!("Transfer-Encoding: {bad}\r\n");
        refused(&ok(&fields, "0\r\n\r\n"), "", Error::TransferEncoding);
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(old, "", Error::TransferEncoding);
    // The chunks are those of the server's side, which has the long table.
    for (body, before, error) in [
        ("3\nabc", "200: ", Error::ChunkSize),
        ("+3\r\nabc", "200: ", Error::ChunkSize),
        ("11111111111111111\r\n", "200: ", Error::ChunkSize),
        ("3\r\nabcd\r\n", "200: abc", Error::ChunkEnd),
        ("3\r\nabc\r\n", "200: abc", Error::Incomplete),
        ("3\r\nabc\r\n0\r\n", "200: abc", Error::Incomplete),
        ("0\r\nContent-Length: 3\r\n\r\n", "200: ", Error::Trailer),
        ("0\r\nA: b\n\r\n", "200: ", Error::LineEnd),
    ] {
        refused(&ok(chunked, body), before, error);
    }
}

#[test]
fn bodies_until_close() {
    check(&ok("", ""), "200: \n", false);
    check(&ok("", "abc"), "200: abc\n", false);
    check("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc", "200: abc\n", false);
    let limits = ResponseLimits { body_bytes_max: 3, ..ResponseLimits::default() };
    refused_by(&limits, &ok("", "abcd"), "200: abc", Error::BodyTooLong);
}

#[test]
fn statuses_and_methods_without_a_body() {
    let (get, head) = (Method::GET, Method::HEAD);
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for fields in ["", length, chunked] {
        check_asked(&head, "", &ok(fields, ""), "200: \n", true);
        let not_modified = format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n");
        check_asked(&get, "", &not_modified, "304: \n", true);
        // Neither field belongs there: the next response is not to be looked for behind it.
        let no_content = format!("HTTP/1.1 204 No Content\r\n{fields}\r\n");
        check_asked(&get, "", &no_content, "204: \n", fields.is_empty());
    }
    check("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204: \n", true);
    check("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "205: \n", true);
    // The length of what HEAD leaves out may be beyond any bound.
    let limits = ResponseLimits { body_bytes_max: 3, ..ResponseLimits::default() };
    let seen = transcript(ask(&head, "", &limits), ok(length, "").as_bytes(), &[]);
    assert_eq!((seen.text.as_str(), seen.error), ("200: \n", None));
    // A response in two minds is refused, body or not.
    let both = ok(&format!("{length}{chunked}"), "");
    let seen = transcript(ask(&head, "", &limits), both.as_bytes(), &[]);
    assert_eq!(seen.error, Some(Error::LengthConflict.into()));
}

#[test]
fn persistence() {
    let length = "Content-Length: 0\r\n";
    for (version, connection, expected) in [
        ("1.1", "", true),
        ("1.1", "close", false),
        ("1.1", "Close", false),
        ("1.1", "keep-alive", true),
        ("1.1", "keep-alive, close", false),
        ("1.1", "x, y", true),
        ("1.0", "", false),
        ("1.0", "keep-alive", true),
        ("1.0", "Keep-Alive", true),
        ("1.0", "keep-alive, close", false),
    ] {
        let stream = format!("HTTP/{version} 200 OK\r\n{length}Connection: {connection}\r\n\r\n");
        check(&stream, "200: \n", expected);
    }
}

#[test]
fn interim_responses() {
    let last = ok("Content-Length: 1\r\n", "x");
    check(&format!("HTTP/1.1 100 Continue\r\n\r\n{last}"), "(100) 200: x\n", true);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    check(&format!("{hints}{hints}{last}"), "(103) (103) 200: x\n", true);
    check(&format!("HTTP/1.1 199 \r\n\r\n{last}"), "(199) 200: x\n", true);
    // A length there is either nothing or nothing good.
    check(&format!("HTTP/1.1 100 C\r\nContent-Length: 0\r\n\r\n{last}"), "(100) 200: x\n", true);
    check(&format!("HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\n{last}"), "(100) 200: x\n", false);
    refused("HTTP/1.1 100 C\r\nContent-Length: 1\r\n\r\nx", "(100) ", ResponseError::StatusLine);
    refused("HTTP/1.1 100 Continue\r\n\r\n", "(100) ", Error::Incomplete);
    let limits = ResponseLimits { interim_count_max: 2, ..ResponseLimits::default() };
    refused_by(
        &limits,
        &format!("{}{last}", hints.repeat(3)),
        "(103) (103) ",
        ResponseError::TooManyInterim,
    );
    let seen = transcript(
        ask(&Method::GET, "", &limits),
        format!("{}{last}", hints.repeat(2)).as_bytes(),
        &[],
    );
    assert_eq!(seen.text, "(103) (103) 200: x\n");
}

#[test]
fn streams_that_are_handed_over() {
    let get = Method::GET;
    let switch = |fields: &str, rest: &str| format!("HTTP/1.1 101 Switching\r\n{fields}\r\n{rest}");
    let web = "Upgrade: WebSocket\r\nConnection: upgrade\r\n";
    check_asked(&get, "websocket", &switch(web, "\x01\x02"), "101: over to them\n+2", false);
    check_asked(
        &get,
        "a, websocket/13",
        &switch("Upgrade: websocket/13\r\n", ""),
        "101: over to them\n",
        false,
    );
    // Whatever frames it means nothing there.
    check_asked(
        &get,
        "a",
        &switch("Upgrade: a\r\nContent-Length: 1\r\n", "x"),
        "101: over to them\n+1",
        false,
    );
    for (offer, fields) in [
        ("", web),
        ("a", web),
        ("websocket", ""),
        ("websocket", "Upgrade: websocket, b\r\n"),
        ("websocket", "Upgrade:\r\n"),
    ] {
        let limits = ResponseLimits::default();
        let seen =
            transcript_of_all_splits(|| ask(&get, offer, &limits), switch(fields, "").as_bytes());
        assert_eq!(seen.error, Some(ResponseError::Upgrade), "{offer}: {fields}");
    }
    // An upgrade that is not wanted is an answer as any other.
    check_asked(&get, "a", &ok("Content-Length: 1\r\n", "x"), "200: x\n", true);
    let connect = Method::CONNECT;
    check_asked(&connect, "", &ok("Content-Length: 3\r\n", "abc"), "200: over to them\n+3", false);
    check_asked(&connect, "", &ok("Transfer-Encoding: gzip\r\n", ""), "200: over to them\n", false);
    check_asked(&connect, "", "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx", "407: x\n", true);
}

#[test]
fn limits() {
    let limits = ResponseLimits {
        status_line_bytes_max: 20,
        head_bytes_max: 60,
        header_count_max: 2,
        body_bytes_max: 5,
        ..ResponseLimits::default()
    };
    let passes = |stream: &str| {
        let seen = transcript_of_all_splits(|| ask(&Method::GET, "", &limits), stream.as_bytes());
        assert_eq!(seen.error, None, "{stream:?}");
    };
    passes("HTTP/1.1 200 12345\r\n\r\n");
    refused_by(&limits, "HTTP/1.1 200 123456\r\n\r\n", "", Error::HeadTooLong);
    passes(&ok(&format!("A: {}\r\n", "x".repeat(36)), ""));
    refused_by(&limits, &ok(&format!("A: {}\r\n", "x".repeat(37)), ""), "", Error::HeadTooLong);
    passes(&ok("A: b\r\nC: d\r\n", ""));
    refused_by(&limits, &ok("A: b\r\nC: d\r\nE: f\r\n", ""), "", Error::TooManyFields);
    passes(&ok("Content-Length: 5\r\n", "abcde"));
    refused_by(&limits, &ok("Content-Length: 6\r\n", "abcdef"), "", Error::BodyTooLong);
    let chunked = "Transfer-Encoding: chunked\r\n";
    passes(&ok(chunked, "5\r\nabcde\r\n0\r\n\r\n"));
    refused_by(&limits, &ok(chunked, "6\r\nabcdef\r\n0\r\n\r\n"), "200: ", Error::BodyTooLong);
}

#[test]
fn heads_that_are_cut_off() {
    let whole = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    for end in 0..whole.len() {
        let mut exchange = ask(&Method::GET, "", &ResponseLimits::default());
        let step = exchange.next_event(&whole.as_bytes()[..end]).unwrap();
        assert!(step.event.is_none() && step.consumed == 0);
        assert_eq!(exchange.has_begun(), end > 0);
        assert_eq!(exchange.end_of_input(), Err(Error::Incomplete.into()));
        assert_eq!(exchange.has_begun(), end > 0, "an end is no beginning");
    }
}
