//! One head: read whole and byte by byte, then written out and read again.

use std::rc::Rc;

use http::{Request, Version, header};
use mainspring::http1::{BodyLength, Connection, Error, Event, RequestHead};
use mainspring::limits::{EMPTY_LINES_LIMIT, Limits};

/// What the parser made of a head.
#[derive(Debug)]
struct Reading {
    consumed: usize,
    outcome: Result<Option<Request<()>>, Error>,
    body: BodyLength,
}

/// Reads `data` as the front of a connection and asserts, for a head that is accepted: nothing in
/// it could be read in two ways, another parser reads the same, and a copy of it that is written
/// from the parsed request means the same. For every head: byte by byte is like whole.
///
/// # Panics
/// If one of these does not hold.
pub fn request_head(data: &[u8]) {
    let whole = read(data, usize::MAX);
    let bytewise = read(data, 1);
    assert_eq!(format!("{:?}", whole.outcome), format!("{:?}", bytewise.outcome));
    assert_eq!(whole.body, bytewise.body);
    let limits = limits();
    let rest = &data[whole.consumed..];
    if let Ok(None) = whole.outcome {
        let is_first_line = !rest.contains(&b'\n');
        let bytes_max =
            if is_first_line { limits.request_line_bytes_max } else { limits.head_bytes_max };
        assert!(rest.len() < bytes_max, "waits for more than it will take");
    }
    let Ok(Some(request)) = &whole.outcome else { return };
    assert!(whole.consumed <= limits.head_bytes_max + 2 * usize::from(EMPTY_LINES_LIMIT));
    assert!(request.headers().len() <= limits.header_count_max);
    assert_eq!(whole.consumed, bytewise.consumed);
    check_bytes(&data[..whole.consumed]);
    check_request(request, whole.body);
    check_against_httparse(request, &data[..whole.consumed]);

    let copy = write(request);
    if copy.len() > limits.head_bytes_max || request.uri().to_string().len() > 200 {
        // The copy has spaces, or a path, that the original did without.
        return;
    }
    let again = read(&copy, usize::MAX);
    assert_eq!(again.consumed, copy.len());
    assert_eq!(again.body, whole.body);
    let again = again.outcome.expect("the copy is valid").expect("the copy is whole");
    assert_eq!(format!("{again:?}"), format!("{request:?}"));
}

/// Limits that short inputs can meet.
fn limits() -> Limits {
    Limits {
        request_line_bytes_max: 256,
        head_bytes_max: 1024,
        header_count_max: 16,
        ..Limits::default()
    }
}

/// Shows more and more of `data`, by `step` bytes, until the connection says something.
fn read(data: &[u8], step: usize) -> Reading {
    let mut connection = Connection::new(Rc::new(limits()));
    let (mut start, mut end) = (0_usize, 0_usize);
    loop {
        end = end.saturating_add(step).min(data.len());
        let outcome = connection.next_event(&data[start..end]);
        let outcome = outcome.map(|read| {
            start += read.consumed;
            assert!(start <= end);
            match read.event {
                Some(Event::Request(head)) => Some(in_the_types_of_http(head)),
                None => None,
                Some(event) => panic!("{event:?} before a request"),
            }
        });
        if end == data.len() || !matches!(outcome, Ok(None)) {
            let body = connection.request_body_length();
            return Reading { consumed: start, outcome, body };
        }
    }
}

/// What is read in place is what the types of `http` say.
fn in_the_types_of_http(head: RequestHead) -> Request<()> {
    assert_eq!(head.path(), head.uri().path());
    assert_eq!(head.query(), head.uri().query());
    let fields = head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value));
    assert_eq!(fields.count(), head.headers().len());
    for (name, value) in head.headers() {
        assert!(head.fields_named(name.as_str()).any(|other| other == value.as_bytes()));
    }
    head.into_request()
}

/// Every line ends with CRLF, and neither CR nor LF stands anywhere else; no other control byte but
/// HTAB.
fn check_bytes(head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n"));
    for (index, &byte) in head.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(head[index + 1], b'\n'),
            b'\n' => assert_eq!(head[index - 1], b'\r'),
            b'\t' => {}
            _ => assert!(!byte.is_ascii_control(), "{byte:#x}"),
        }
    }
}

fn check_request(request: &Request<()>, body: BodyLength) {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    assert!(hosts == 1 || (hosts == 0 && request.version() == Version::HTTP_10));
    let lengths: Vec<_> = headers.get_all(header::CONTENT_LENGTH).iter().collect();
    let codings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    let expect = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => BodyLength::Known(0),
        ([length], []) => {
            let digits = length.to_str().expect("digits");
            BodyLength::Known(digits.parse().expect("a number of 64 bits"))
        }
        ([], [coding]) => {
            assert!(coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
            assert_eq!(request.version(), Version::HTTP_11);
            BodyLength::Unknown
        }
        _ => panic!("two ways to find the end of {headers:?}"),
    };
    assert_eq!(body, expect);
    if let (Some(authority), Some(host)) = (request.uri().authority(), headers.get(header::HOST)) {
        assert!(authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    }
}

/// The same names and values in the same order, as far as the map keeps one: that of the values of
/// a name.
fn check_against_httparse(request: &Request<()>, head: &[u8]) {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut slots);
    assert!(parsed.parse(head).is_ok_and(|status| status.is_complete()));
    assert_eq!(parsed.method, Some(request.method().as_str()));
    assert_eq!(parsed.headers.len(), request.headers().len());
    for name in request.headers().keys() {
        let values = request.headers().get_all(name).iter().map(http::HeaderValue::as_bytes);
        let same =
            parsed.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name.as_str()));
        assert!(values.eq(same.map(|field| field.value)), "{name}");
    }
}

fn write(request: &Request<()>) -> Vec<u8> {
    let mut copy =
        format!("{} {} {:?}\r\n", request.method(), request.uri(), request.version()).into_bytes();
    for (name, value) in request.headers() {
        copy.extend_from_slice(name.as_str().as_bytes());
        copy.extend_from_slice(b": ");
        copy.extend_from_slice(value.as_bytes());
        copy.extend_from_slice(b"\r\n");
    }
    copy.extend_from_slice(b"\r\n");
    copy
}
