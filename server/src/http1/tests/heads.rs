//! Request lines, targets, fields, `Host`, framing, persistence.

use super::*;

#[test]
fn request_lines() {
    let get = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    accept(get("GET / HTTP/1.1"), "GET /: \n");
    accept(get("GET / HTTP/1.0"), "GET /: \nclose\n");
    accept(get("brew!#$%&'*+-.^_`|~09 / HTTP/1.1"), "brew!#$%&'*+-.^_`|~09 /: \n");
    accept(get("\r\nGET / HTTP/1.1"), "GET /: \n");
    accept(get("\r\n\r\nGET / HTTP/1.1"), "GET /: \n");
    accept("", "");
    accept("\r", "");
    accept("\r\n\r\n", "");

    for line in [
        "\r\n\r\n\r\nGET / HTTP/1.1",
        "\nGET / HTTP/1.1",
        "\rGET / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / x HTTP/1.1",
        "GET / x HTTP/2.0",
        "GET /\" x HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET /",
        "GET",
        "GET / ",
        "GET  HTTP/1.1 /",
        " / HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        "GËT / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1,1",
        "GET / HTTP/1",
        "GET / HTTPS/1.1",
        "GET / HTTP/1.1\x0b",
        "GET / HTTP/1.1\rX",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        refuse(get(line), Error::RequestLine);
    }
    refuse("GET / HTTP/1.1\nHost: a\r\n\r\n", Error::LineEnd);
    for version in ["0.9", "1.2", "1.9", "2.0", "3.0"] {
        refuse(get(&format!("GET / HTTP/{version}")), Error::Version);
    }
    refuse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Error::Version);
    refuse(get("CONNECT a:443 HTTP/1.1"), Error::Connect);
}

#[test]
fn targets() {
    let get = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for target in [
        "/",
        "//",
        "//evil/x",
        "/a/../b",
        "/?",
        "/a?b=c%",
        "/a;b=,c:@&=+$!*'()~-_.",
        "/%41%c3%A9",
        "/[1]|{x}^",
    ] {
        accept(get(target, "a"), &format!("GET {target}: \n"));
    }
    accept(get("http://a/x", "a"), "GET http://a/x: \n");
    accept(get("HTTP://A:80/x?y", "a:80"), "GET http://A:80/x?y: \n");
    accept(get("http://[::1]", "[::1]"), "GET http://[::1]/: \n");
    refuse(get("https://[::1]", "[::1]"), Error::Misdirected);
    refuse(get("HTTPS://a", "a"), Error::Misdirected);
    accept(get("http://a?x", "a"), "GET http://a/?x: \n");
    accept("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS *: \n");
    accept("GET http://a/ HTTP/1.0\r\n\r\n", "GET http://a/: \nclose\n");

    for target in [
        "*",
        "a",
        "a:80",
        "/#f",
        "/a\\b",
        "/\0",
        "/\x7f",
        "/\t",
        "/é",
        "/\"",
        "/<",
        "/>",
        "/%",
        "/%4",
        "/%zz",
        "?",
        "%2f",
        "ftp://a/",
        "http:/a",
        "http://",
        "http:///x",
        "http://u@a/",
        "http://a:/",
        "http://a:x/",
        "http://a\\b/",
        "http://a%zz/",
    ] {
        refuse(get(target, "a"), Error::Target);
    }
    refuse("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", Error::Target);
    refuse(get("http://a/", "b"), Error::Host);
    refuse(get("http://a/", "a:80"), Error::Host);
}

#[test]
fn hosts() {
    refuse_fields("A: b", Error::Host);
    refuse("GET / HTTP/1.1\r\n\r\n", Error::Host);
    refuse_fields("Host: a\r\nhost: a", Error::Host);
    refuse("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Error::Host);
    for host in
        ["", "a b", "a/b", "u@a", "http://a", "a, b", "a:b", "a:99999", "[::1", "a\tb", "\u{e9}"]
    {
        refuse_fields(&format!("Host: {host}"), Error::Host);
    }
    for host in ["a", "A.example:8080", "[::1]:80", "127.0.0.1", "  a\t "] {
        accept(format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n"), "GET /: \n");
    }
    accept("GET / HTTP/1.0\r\n\r\n", "GET /: \nclose\n");
}

#[test]
fn field_lines() {
    for line in [
        "A: b",
        "A:b",
        "A:",
        "A: \t b \t",
        "A: \u{80}\u{ff} é",
        "!#$%&'*+-.^_`|~1: x",
        "A: b\"(),/:;<=>?@[\\]{}",
    ] {
        accept(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"), "GET /: \n");
    }
    for line in [
        "A : b",
        "A\t: b",
        ": b",
        "A",
        "A b: c",
        "A\0: b",
        "Ä: b",
        "A: b\0",
        "A: b\rc",
        "A: b\r\rc",
        "A: \x0b",
        "A: \x7f",
        "A: \x1b",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A: b\r\n ",
        "A,B: c",
        "\"A\": b",
        "A\r: b",
        "A: b\r",
    ] {
        refuse_fields(&format!("Host: a\r\n{line}"), Error::Field);
    }
    refuse_fields(" A: b\r\nHost: a", Error::Field);
    refuse("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", Error::LineEnd);
    refuse("GET / HTTP/1.1\r\nHost: a\r\n\n", Error::LineEnd);
    refuse("GET / HTTP/1.1\r\nHost: a\n\n", Error::LineEnd);
}

#[test]
fn field_values_are_kept_byte_for_byte() {
    let mut connection = Connection::new(Rc::default());
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX:  \xe9 \t y \r\nx: 2\r\nEmpty:\r\n\r\n";
    let Some(Event::Request(request)) = connection.next_event(head).unwrap().event else {
        panic!()
    };
    let values: Vec<&[u8]> =
        request.headers().get_all("x").iter().map(http::HeaderValue::as_bytes).collect();
    assert_eq!(values, [b"\xe9 \t y".as_slice(), b"2"]);
    assert_eq!(request.headers()["empty"], "");
    assert_eq!(request.headers().len(), 4);
}

#[test]
fn content_lengths() {
    for (length, body) in
        [("0", ""), ("5", "hello"), ("005", "hello"), ("00000000000000000005", "hello")]
    {
        let stream =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        accept(stream, &format!("POST /: {body}\n"));
    }
    // A body is a body whatever the method.
    accept(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /: hi\nGET /2: \n",
    );
    for length in [
        "",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "5;x",
        "5.0",
        "5e0",
        "5_0",
        "\"5\"",
        "5a",
        "٥",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999",
        "000000000000000000005",
    ] {
        refuse_fields(&format!("Host: a\r\nContent-Length: {length}"), Error::ContentLength);
    }
    refuse_fields("Host: a\r\nContent-Length: 5\r\nContent-Length: 5", Error::ContentLength);
    refuse_fields("Host: a\r\nContent-Length: 5\r\ncontent-length: 6", Error::ContentLength);
    refuse_fields("Host: a\r\nContent-Length: 5\x0b", Error::Field);
    refuse_fields("Host: a\r\nContent_Length: 5", Error::FramingDisguise);
    for length in ["1073741825", "4294967301", "9223372036854775808", "18446744073709551615"] {
        refuse_fields(&format!("Host: a\r\nContent-Length: {length}"), Error::BodyTooLong);
    }
}

#[test]
fn transfer_encodings() {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
    for coding in ["chunked", "Chunked", "CHUNKED", " \tchunked \t"] {
        accept(post(&format!("Transfer-Encoding:{coding}")), "POST /: \n");
    }
    for codings in ["gzip, chunked", "x, y,\tchunked"] {
        refuse(post(&format!("Transfer-Encoding: {codings}")), Error::UnknownCoding);
    }
    for codings in [
        "",
        ",",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked, gzip",
        "chunked;q=1",
        "chunked ;",
        "\"chunked\"",
        "chun ked",
        "'chunked' x",
        "\u{a0}chunked",
        "chunked\u{85}",
        "gzip",
        "identity",
        "xchunked",
        "chunkedx",
        "c-hunked",
        "gzip, deflate",
        "gzip;q=1, chunked",
        "chunked,,",
        "gzip chunked",
    ] {
        refuse(post(&format!("Transfer-Encoding: {codings}")), Error::TransferEncoding);
    }
    refuse(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        Error::TransferEncoding,
    );
    refuse(post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"), Error::TransferEncoding);
    for field in [
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding : chunked",
    ] {
        refuse(post(field), Error::Field);
    }
    refuse(post("Transfer-Encoding:\r\n chunked"), Error::Field);
    refuse(post("Transfer_Encoding: chunked"), Error::FramingDisguise);
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: gzip\r\nContent-Length: 5",
        "Content-Length: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    ] {
        refuse(post(fields), Error::LengthConflict);
    }
    refuse(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Error::TransferEncoding,
    );
}

#[test]
fn limits_of_a_head() {
    let limits = Limits {
        request_line_bytes_max: 40,
        head_bytes_max: 80,
        header_count_max: 3,
        ..Limits::default()
    };
    let target = |length: usize| "/".repeat(length);
    let request = |length: usize| format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(length));
    // "GET " and " HTTP/1.1\r\n" are 15 bytes.
    let seen = transcript_of_all_splits(request(25).as_bytes(), &limits);
    assert_eq!((seen.text, seen.error), (format!("GET {}: \n", target(25)), None));
    refuse_within(&limits, request(26), "", Error::RequestLineTooLong);
    refuse_within(&limits, "x".repeat(40), "", Error::RequestLineTooLong);
    refuse_within(&limits, "x".repeat(39), "", Error::Incomplete);

    let padded =
        |length: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "b".repeat(length));
    let fits = 80 - padded(0).len();
    let seen = transcript_of_all_splits(padded(fits).as_bytes(), &limits);
    assert_eq!((seen.text.as_str(), seen.error), ("GET /: \n", None));
    refuse_within(&limits, padded(fits + 1), "", Error::HeadTooLong);
    refuse_within(&limits, padded(10_000), "", Error::HeadTooLong);

    let many =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(transcript_of_all_splits(many(2).as_bytes(), &limits).error, None);
    refuse_within(&limits, many(3), "", Error::TooManyFields);
    refuse_within(&Limits::default(), many(100), "", Error::TooManyFields);
    accept(many(99), "GET /: \n");
    refuse(format!("GET /{} HTTP/1.1\r\n", "a".repeat(8192)), Error::RequestLineTooLong);
    refuse(format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(32 * 1024)), Error::HeadTooLong);
}

#[test]
fn persistence() {
    let two = |version: &str, fields: &str| {
        format!(
            "GET /1 HTTP/{version}\r\nHost: a\r\n{fields}\r\nGET /2 HTTP/{version}\r\nHost: a\r\n\r\n"
        )
    };
    let both = "GET /1: \nGET /2: \n";
    let first = "GET /1: \nclose\n";
    accept(two("1.1", ""), both);
    accept(two("1.1", "Connection: keep-alive\r\n"), both);
    accept(two("1.1", "Connection: closed, x-close, Upgrade\r\nUpgrade: h2c\r\n"), both);
    for option in [
        "close",
        "Close",
        "x, CLOSE",
        "keep-alive,close",
        ",,close ,",
        "close\r\nConnection: keep-alive",
    ] {
        accept(two("1.1", &format!("Connection: {option}\r\n")), first);
        accept(two("1.0", &format!("Connection: {option}\r\n")), first);
    }
    accept(two("1.0", ""), first);
    accept(two("1.0", "Connection: x, Keep-Alive\r\n"), "GET /1: \nGET /2: \nclose\n");
    refuse(two("1.1", "Connection: close, Content-Length\r\n"), Error::FramingDisguise);
    refuse(two("1.1", "Connection: host\r\n"), Error::FramingDisguise);
}

#[test]
fn pipelines() {
    let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    accept(good.repeat(300), &"GET /: \n".repeat(300));
    refuse_after(format!("{good}GET /\r\n\r\n{good}"), "GET /: \n", Error::RequestLine);
    accept(format!("{good}\r\n\r\n{good}"), "GET /: \nGET /: \n");
    refuse_after(format!("{good}\r\n\r\n\r\n{good}"), "GET /: \n", Error::RequestLine);
    accept(
        format!("{good}HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{good}"),
        "GET /: \nHEAD /: \nGET /: \n",
    );
}

#[test]
fn ends_in_the_middle() {
    for cut in [
        "G",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\r\nHost: a",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
    ] {
        refuse(cut, Error::Incomplete);
    }
    refuse("GET / HTTP/1.1\r\nHost : a", Error::Field);
    refuse("GET / HTTP/1.1\r\nHost: a\r\nB\0", Error::Field);
    refuse("G(", Error::RequestLine);
    refuse("GET /\"", Error::Target);
    refuse("GET / HTTP/1.1\r\nHost: a\r\nB b", Error::Field);
    refuse("GET / HTTP/1.1\r\nHost: a\r\nB b\r\nC: d\r\n", Error::Field);
    refuse("GET / HTTP/1.1\r\nHost: a\r\n: ", Error::Field);
    refuse_after(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        "POST /: hell",
        Error::Incomplete,
    );
    refuse_after("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", "GET /: \n", Error::Incomplete);
}

#[test]
fn expectations() {
    for expect in ["100-continue", "100-Continue"] {
        accept(
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\nhi"
            ),
            "POST /: hi\n",
        );
    }
    for expect in [
        "",
        "200-ok",
        "100-continue, x",
        "100-continue;q=1",
        "100-continue\r\nExpect: 100-continue",
    ] {
        refuse_fields(&format!("Host: a\r\nExpect: {expect}"), Error::Expectation);
    }
}
