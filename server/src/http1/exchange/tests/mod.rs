//! The client's side as tables: bytes in, a transcript out. Every case runs whole, byte by byte, and
//! in two parts at every place, and must say the same.

mod requests;
mod responses;
mod splits;

use std::fmt::Write;
use std::rc::Rc;

use http::{HeaderMap, Method, Uri};

use super::{Exchange, RequestParts, ResponseError, ResponseEvent, ResponseLimits, TargetForm};
use crate::http1::BodyLength;

/// What an answer means: its heads, its data joined, its end, and what may follow.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    text: String,
    /// The fields, which the tables leave out.
    fields: String,
    error: Option<ResponseError>,
    /// Bytes that belong to nothing that was asked, or to another protocol.
    leftover: usize,
    is_reusable: bool,
}

/// A request without a body; `upgrade` is offered if it is not empty.
fn ask(method: &Method, upgrade: &'static str, limits: &ResponseLimits) -> Exchange {
    let uri = match *method {
        Method::CONNECT => Uri::from_static("a:1"),
        _ => Uri::from_static("http://a/"),
    };
    let mut headers = HeaderMap::new();
    if !upgrade.is_empty() {
        headers.insert(http::header::UPGRADE, upgrade.parse().unwrap());
    }
    let body = BodyLength::Known(0);
    let request =
        RequestParts { method, uri: &uri, headers: &headers, body, form: TargetForm::Origin };
    Exchange::start(Rc::new(limits.clone()), &request, &mut Vec::new()).unwrap()
}

/// Reads `stream`, cut at `cuts`, until the end of the input.
fn transcript(mut exchange: Exchange, stream: &[u8], cuts: &[usize]) -> Transcript {
    let mut seen = Transcript::default();
    let mut start = 0;
    let mut outcome = Ok(());
    for end in cuts.iter().copied().chain([stream.len()]) {
        outcome = read_all(&mut exchange, &stream[..end], &mut start, &mut seen);
        if outcome.is_err() {
            break;
        }
        assert!(start <= end);
    }
    seen.is_reusable = exchange.is_reusable();
    outcome = outcome.and_then(|()| exchange.end_of_input());
    outcome = outcome.and_then(|()| read_all(&mut exchange, &stream[start..], &mut 0, &mut seen));
    assert!(!exchange.is_reusable(), "not after the end of the input");
    if let Err(error) = outcome {
        assert_eq!(exchange.next_event(b"HTTP/1.1 200 OK\r\n\r\n").err(), Some(error));
        assert_eq!(exchange.end_of_input(), Err(error));
        seen.error = Some(error);
        return seen;
    }
    seen.leftover = stream.len() - start;
    if exchange.is_handed_over() {
        seen.text.push_str("over to them\n");
    } else {
        assert!(exchange.is_response_done());
    }
    seen
}

fn read_all(
    exchange: &mut Exchange,
    input: &[u8],
    start: &mut usize,
    seen: &mut Transcript,
) -> Result<(), ResponseError> {
    loop {
        let step = exchange.next_event(&input[*start..])?;
        *start += step.consumed;
        match step.event {
            None => return Ok(()),
            Some(ResponseEvent::Interim(response)) => {
                assert!(response.status().is_informational());
                write!(seen.text, "({}) ", response.status().as_u16()).unwrap();
                write!(seen.fields, "{:?} ", response.headers()).unwrap();
            }
            Some(ResponseEvent::Head(response)) => {
                write!(seen.text, "{}: ", response.status().as_u16()).unwrap();
                write!(seen.fields, "{:?} {:?} ", response.version(), response.headers()).unwrap();
            }
            Some(ResponseEvent::Data(data)) => {
                assert!(!data.is_empty());
                seen.text.extend(data.iter().map(|&byte| char::from(byte)));
            }
            Some(ResponseEvent::End { trailers }) => {
                assert!(exchange.is_response_done());
                for (name, value) in trailers.iter().flatten() {
                    write!(seen.text, " {name}={}", value.as_bytes().escape_ascii()).unwrap();
                }
                seen.text.push('\n');
            }
        }
    }
}

/// Whole, byte by byte, and in two parts at every place.
fn transcript_of_all_splits(make: impl Fn() -> Exchange, stream: &[u8]) -> Transcript {
    let whole = transcript(make(), stream, &[]);
    let bytes: Vec<usize> = (0..stream.len()).collect();
    let text = stream.escape_ascii();
    assert_eq!(transcript(make(), stream, &bytes), whole, "byte by byte: {text}");
    for cut in 0..stream.len() {
        assert_eq!(transcript(make(), stream, &[cut]), whole, "cut at {cut}: {text}");
    }
    whole
}
