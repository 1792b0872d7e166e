//! Writes the parts of a response: status line, fields, chunk lines, whole refusals. Appends to a
//! `Vec`, and cannot fail.

use http::{HeaderMap, StatusCode};

use super::error::Error;
use super::framing::FramingField;

/// A date as RFC 9110 §5.6.7 wants it (IMF-fixdate): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type Date = [u8; 29];

/// The whole interim response that asks for a body.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// RFC 9112 §4. The version is ours, 1.1, whatever the request said (RFC 9110 §2.5).
pub(super) fn status_line(status: StatusCode, out: &mut Vec<u8>) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    // RFC 9112 §4: the space is there even if the reason is not.
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One field line. The value goes out byte for byte; `HeaderValue` holds no CR, LF or NUL.
pub(super) fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The field that says what the content is: `media_type` is visible ASCII.
pub(super) fn content_type_field(media_type: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-type: ");
    out.extend_from_slice(media_type.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The field that announces the body.
pub(super) fn framing_field(framing: FramingField, out: &mut Vec<u8>) {
    match framing {
        FramingField::None => {}
        FramingField::ContentLength(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        FramingField::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

/// RFC 9110 §6.6.1.
pub(super) fn date_field(date: &Date, out: &mut Vec<u8>) {
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}

/// The line before the data of a chunk (RFC 9112 §7.1). `length` is not 0: that chunk is the last
/// one.
pub(super) fn chunk_line(length: usize, out: &mut Vec<u8>) {
    assert!(length > 0, "a chunk of 0 bytes would end the body");
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = [b'0'; usize::BITS as usize / 4];
    let mut start = line.len();
    let mut rest = length;
    while rest > 0 {
        start -= 1;
        line[start] = DIGITS[rest & 0xf];
        rest >>= 4;
    }
    out.extend_from_slice(&line[start..]);
    out.extend_from_slice(b"\r\n");
}

/// The last chunk, the trailer section, and the end of the message.
pub(super) fn last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        field(name.as_str(), value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A whole response to a message that is wrong: its status, `Connection: close`, one line of text.
pub(super) fn refusal(error: Error, date: &Date, with_body: bool, out: &mut Vec<u8>) {
    let reason = error.reason().as_bytes();
    status_line(error.status(), out);
    content_type_field("text/plain; charset=utf-8", out);
    framing_field(FramingField::ContentLength(reason.len() as u64 + 1), out);
    field("connection", b"close", out);
    date_field(date, out);
    out.extend_from_slice(b"server: mainspring\r\n\r\n");
    if with_body {
        out.extend_from_slice(reason);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_lines() {
        for length in [1, 9, 10, 15, 16, 255, 256, 4096, 0xdead_beef, usize::MAX] {
            let mut out = Vec::new();
            chunk_line(length, &mut out);
            assert_eq!(out, format!("{length:x}\r\n").into_bytes());
        }
    }

    #[test]
    fn status_lines() {
        for (code, line) in [
            (200, "HTTP/1.1 200 OK\r\n"),
            (404, "HTTP/1.1 404 Not Found\r\n"),
            (299, "HTTP/1.1 299 \r\n"),
            (999, "HTTP/1.1 999 \r\n"),
        ] {
            let mut out = Vec::new();
            status_line(StatusCode::from_u16(code).unwrap(), &mut out);
            assert_eq!(out, line.as_bytes());
        }
    }
}
