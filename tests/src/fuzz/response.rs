//! One response, as a client reads it: whole, byte by byte, and cut as the fuzzer wants.

use core::fmt::Write;
use std::rc::Rc;

use http::{HeaderMap, Method, Response, Uri, Version, header};
use mainspring::http1::BodyLength;
use mainspring::http1::exchange::{
    Exchange, RequestParts, ResponseError, ResponseEvent, ResponseLimits, TargetForm,
};

use super::{cuts, every_byte, script_and_stream};

/// What a client made of a response.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    heads: String,
    body: Vec<u8>,
    error: Option<ResponseError>,
    consumed: usize,
    is_reusable: bool,
    is_handed_over: bool,
}

/// Reads what follows the script as the answer to a request that its first byte picks, and asserts: cuts do not show; no bound
/// is passed; a head that is accepted has one meaning, and another parser reads the same in it; a connection goes on only after a
/// response whose end is certain.
///
/// # Panics
/// If one of these does not hold.
pub fn response(data: &[u8]) {
    let asked = data.first().map_or(0, |first| first / 32);
    let (script, stream) = script_and_stream(data);
    let whole = read(asked, stream, &[]);
    assert_eq!(read(asked, stream, &every_byte(stream.len())), whole, "byte by byte");
    assert_eq!(read(asked, stream, &cuts(script, stream.len())), whole, "cut");
    let limits = limits();
    assert!(whole.consumed <= stream.len());
    assert!(whole.body.len() as u64 <= limits.body_bytes_max);
    assert!(!whole.is_reusable || (whole.error.is_none() && !whole.is_handed_over));
}

/// Limits that short inputs can meet.
fn limits() -> ResponseLimits {
    ResponseLimits {
        status_line_bytes_max: 64,
        head_bytes_max: 512,
        header_count_max: 16,
        body_bytes_max: 256,
        chunk_line_bytes_max: 32,
        chunk_extension_bytes_max: 48,
        trailer_bytes_max: 64,
        interim_count_max: 3,
    }
}

fn start(asked: u8) -> Exchange {
    let (method, uri) = match asked {
        4 => (Method::HEAD, Uri::from_static("http://a/")),
        5 => (Method::CONNECT, Uri::from_static("a:1")),
        _ => (Method::GET, Uri::from_static("http://a/")),
    };
    let mut headers = HeaderMap::new();
    if asked >= 6 {
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("u, w/1"));
    }
    let (body, form) = (BodyLength::Known(0), TargetForm::Origin);
    let request = RequestParts { method: &method, uri: &uri, headers: &headers, body, form };
    Exchange::start(Rc::new(limits()), &request, &mut Vec::new()).expect("a valid request")
}

/// Shows `stream` up to each of the cuts, then all of it, then its end.
fn read(asked: u8, stream: &[u8], cuts: &[usize]) -> Reading {
    let mut exchange = start(asked);
    let mut reading = Reading::default();
    let mut outcome = Ok(());
    for end in cuts.iter().copied().chain([stream.len()]) {
        outcome =
            outcome.and_then(|()| read_all(&mut exchange, asked, &stream[..end], &mut reading));
    }
    reading.is_reusable = exchange.is_reusable();
    reading.is_handed_over = exchange.is_handed_over();
    outcome = outcome.and_then(|()| exchange.end_of_input());
    outcome = outcome.and_then(|()| read_all(&mut exchange, asked, stream, &mut reading));
    match outcome {
        Ok(()) => assert!(exchange.is_response_done() || exchange.is_handed_over()),
        Err(error) => {
            assert_eq!(exchange.next_event(b"HTTP/1.1 200 OK\r\n\r\n").err(), Some(error));
            // How much of a response that is wrong was taken before is the cuts' affair.
            reading.consumed = 0;
        }
    }
    reading.error = outcome.err();
    reading
}

fn read_all(
    exchange: &mut Exchange,
    asked: u8,
    input: &[u8],
    reading: &mut Reading,
) -> Result<(), ResponseError> {
    loop {
        let rest = &input[reading.consumed..];
        let step = exchange.next_event(rest)?;
        reading.consumed += step.consumed;
        match step.event {
            None => return Ok(()),
            Some(ResponseEvent::Interim(head) | ResponseEvent::Head(head)) => {
                check_head(&head, asked, exchange.is_handed_over(), &rest[..step.consumed]);
                write!(reading.heads, "{head:?} ").expect("a string takes all");
            }
            Some(ResponseEvent::Data(data)) => {
                assert!(!data.is_empty());
                reading.body.extend_from_slice(data);
            }
            Some(ResponseEvent::End { trailers }) => {
                write!(reading.heads, "{trailers:?}").expect("a string takes all");
            }
        }
    }
}

fn check_head(response: &Response<()>, asked: u8, is_handed_over: bool, head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n") && head.len() <= limits().head_bytes_max);
    for (index, &byte) in head.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(head[index + 1], b'\n'),
            b'\n' => assert_eq!(head[index - 1], b'\r'),
            b'\t' => {}
            _ => assert!(!byte.is_ascii_control(), "{byte:#x}"),
        }
    }
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Response::new(&mut slots);
    assert!(parsed.parse(head).is_ok_and(|status| status.is_complete()));
    assert_eq!(parsed.code, Some(response.status().as_u16()));
    assert_eq!(parsed.headers.len(), response.headers().len());
    let is_switch = response.status() == 101;
    assert_eq!(is_handed_over, is_switch || (asked == 5 && response.status().is_success()));
    assert!(!is_switch || asked >= 6, "nobody asked for it");
    if is_handed_over {
        return;
    }
    let lengths = response.headers().get_all(header::CONTENT_LENGTH).iter().count();
    let codings = response.headers().get_all(header::TRANSFER_ENCODING).iter().count();
    assert!(lengths + codings <= 1, "two ways to find the end");
    assert!(codings == 0 || response.version() == Version::HTTP_11);
}
