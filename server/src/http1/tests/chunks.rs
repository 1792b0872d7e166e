//! Chunked bodies and trailers.

use super::*;

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn accept_body(body: &str, expect: &str) {
    accept(format!("{HEAD}{body}"), &format!("POST /: {expect}\n"));
}

fn refuse_body(body: &str, expect: &str, error: Error) {
    refuse_after(format!("{HEAD}{body}"), &format!("POST /: {expect}"), error);
}

#[test]
fn sizes() {
    accept_body("0\r\n\r\n", "");
    accept_body("000\r\n\r\n", "");
    accept_body("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!");
    accept_body("a\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    accept_body("A\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    accept_body("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello");
    accept_body("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n");
    for size in [
        "",
        " 5",
        "5 ",
        "\t5",
        "5\t",
        "+5",
        "-5",
        "0x5",
        "5_",
        "5,",
        "g",
        "5\0",
        "\x0b5",
        "5\x0c",
        "5.0",
        "\"5\"",
        "é",
        "\n5",
        "\r5",
        "00000000000000005",
        "10000000000000005",
        "5\n",
    ] {
        refuse_body(&format!("{size}\r\nhello\r\n0\r\n\r\n"), "", Error::ChunkSize);
    }
    refuse_body("5\rhello", "", Error::LineEnd);
    refuse_body("5\r\rhello", "", Error::LineEnd);
    for size in ["40000001", "ffffffff", "ffffffffffffffff", "7fffffffffffffff"] {
        refuse_body(&format!("{size}\r\n"), "", Error::BodyTooLong);
    }
    // Each chunk is within the limit, their sum is not, and not because of a wrap.
    refuse_body("1\r\na\r\nffffffffffffffff\r\n", "a", Error::BodyTooLong);
    let limits = Limits { body_bytes_max: 4, ..Limits::default() };
    refuse_within(&limits, format!("{HEAD}2\r\nab\r\n3\r\n"), "POST /: ab", Error::BodyTooLong);
    assert_eq!(
        transcript(format!("{HEAD}2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n").as_bytes(), &[], &limits).error,
        None
    );
}

#[test]
fn ends_of_data() {
    for after in ["", "x\r\n", "\n", "\rx", " \r\n", "\r\r\n"] {
        refuse_body(&format!("2\r\nhi{after}0\r\n\r\n"), "hi", Error::ChunkEnd);
    }
    refuse_body("2\r\nhi\r\n\r\n0\r\n\r\n", "hi", Error::ChunkSize);
    for cut in
        ["", "5", "5\r\n", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\n\r", "0\r\nA: b\r\n"]
    {
        let data = if cut.contains("hello") { "hello" } else { "" };
        refuse_body(cut, data, Error::Incomplete);
    }
}

#[test]
fn extensions() {
    for extension in
        [";a", ";a=b", ";a=\"\"", ";a=\"b;\\\"\r c\"", ";a;b=c;d=\"e\"", ";!#$=~", ";a=\"\t é\""]
    {
        let extension = extension.replace('\r', "");
        accept_body(&format!("2{extension}\r\nhi\r\n0{extension}\r\n\r\n"), "hi");
    }
    for extension in [
        ";",
        ";;a",
        ";a;",
        ";=b",
        ";a=",
        ";a==b",
        "; a",
        ";a =b",
        ";a= b",
        ";a ",
        ";a=b c",
        ";a=\"b",
        ";a=\"b\"c",
        ";a=\"b\\\x01\"",
        ";a=\"\0\"",
        ";a=\"\x7f\"",
        ";a\0",
        ";a=b\0",
        ";é",
        ";a\n",
        ";a=\"\n\"",
    ] {
        refuse_body(&format!("2{extension}\r\nhi\r\n0\r\n\r\n"), "", Error::ChunkExtension);
    }
    refuse_body("2;a\rhi", "", Error::LineEnd);
}

#[test]
fn limits_of_chunk_lines() {
    let limits = Limits {
        chunk_line_bytes_max: 10,
        chunk_extension_bytes_max: 12,
        trailer_bytes_max: 20,
        ..Limits::default()
    };
    let run =
        |body: &str| transcript_of_all_splits(format!("{HEAD}{body}").as_bytes(), &limits).error;
    assert_eq!(run("1;2345678\r\n"), Some(Error::ChunkLineTooLong));
    assert_eq!(run("0;234567\r\n\r\n"), None);
    // Four bytes of each extension count: its name, and the CR that ends it.
    assert_eq!(run("1;234\r\na\r\n1;234\r\na\r\n1;234\r\na\r\n0\r\n\r\n"), None);
    assert_eq!(run("1;234\r\na\r\n1;234\r\na\r\n1;2345\r\n"), Some(Error::ChunkLineTooLong));
    assert_eq!(run("0\r\nA: 3456789012345\r\n\r\n"), None);
    assert_eq!(run("0\r\nA: 34567890123456\r\n\r\n"), Some(Error::TrailersTooLong));
    refuse_body(&format!("1;{}", "a".repeat(100_000)), "", Error::ChunkLineTooLong);
    let flood = format!("1;{}\r\na\r\n", "b".repeat(1000)).repeat(16);
    refuse_body(
        &format!("{flood}1;{}\r\n", "b".repeat(1000)),
        &"a".repeat(16),
        Error::ChunkLineTooLong,
    );
    refuse_body(&format!("0\r\n{}", "A: b\r\n".repeat(101)), "", Error::TooManyFields);
    refuse_body(&format!("0\r\nA: {}", "b".repeat(20_000)), "", Error::TrailersTooLong);
}

#[test]
fn trailers() {
    accept_body("0\r\nDigest: x\r\nB:\r\n\r\n", " digest=x b=");
    accept_body("2\r\nhi\r\n0;x\r\nA: 1\r\na: 2\r\n\r\n", "hi a=1 a=2");
    for line in ["A : b", "A", ": b", "A: b\0", "A: b\r\n c", " A: b", "GET / HTTP/1.1", "A: b\rc"]
    {
        refuse_body(&format!("0\r\n{line}\r\n\r\n"), "", Error::Field);
    }
    refuse_body("0\r\nA: b\n\r\n", "", Error::LineEnd);
    refuse_body("0\r\n\n", "", Error::LineEnd);
    for name in [
        "Content-Length",
        "transfer-encoding",
        "HOST",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Connection",
        "TE",
        "Trailer",
        "Expect",
        "Range",
        "If-Match",
        "Content-Type",
        "Content-Encoding",
        "Cache-Control",
        "Keep-Alive",
        "Upgrade",
    ] {
        refuse_body(&format!("0\r\n{name}: 5\r\n\r\n"), "", Error::Trailer);
    }
    // What follows is the next request, to the byte.
    accept(
        format!("{HEAD}0\r\nA: b\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        "POST /:  a=b\nGET /2: \n",
    );
}
