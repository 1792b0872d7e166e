//! The protocol as a table: bytes in, a transcript out. Every case runs whole and byte by byte, and
//! must say the same.

mod chunks;
mod heads;
mod responses;
mod splits;

use std::fmt::Write;
use std::rc::Rc;

use http::{HeaderMap, StatusCode};

use super::{BodyLength, Connection, Error, Event, Phase};
use crate::limits::Limits;

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// What a stream means: one line a request, its data joined, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    text: String,
    /// The fields of all requests, which the tables leave out.
    fields: String,
    error: Option<Error>,
}

/// Reads `stream`, cut at `cuts`, answering each request with an empty 200, until the end of the
/// input.
fn transcript(stream: &[u8], cuts: &[usize], limits: &Limits) -> Transcript {
    let mut connection = Connection::new(Rc::new(limits.clone()));
    let mut seen = Transcript::default();
    let mut start = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        match read_all(&mut connection, &stream[start..end], &mut seen) {
            Ok(consumed) => start += consumed,
            Err(error) => {
                seen.error = Some(error);
                assert_eq!(
                    connection.next_event(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").err(),
                    Some(error)
                );
                assert_eq!(connection.phase(), Phase::Closed);
                return seen;
            }
        }
        assert!(start <= end);
    }
    seen.error = connection.end_of_input(&stream[start..]).err();
    seen
}

fn read_all(
    connection: &mut Connection,
    input: &[u8],
    seen: &mut Transcript,
) -> Result<usize, Error> {
    let mut consumed = 0;
    loop {
        let step = connection.next_event(&input[consumed..])?;
        consumed += step.consumed;
        match step.event {
            None => return Ok(consumed),
            Some(Event::Request(request)) => {
                let (method, uri) = (request.method(), request.uri());
                write!(seen.text, "{method} {uri}: ").unwrap();
                write!(seen.fields, "{:?} {:?} ", request.version(), request.headers()).unwrap();
            }
            Some(Event::Data(data)) => {
                assert!(!data.is_empty());
                seen.text.extend(data.iter().map(|&byte| char::from(byte)));
            }
            Some(Event::End { trailers }) => {
                for (name, value) in trailers.as_deref().into_iter().flatten() {
                    write!(seen.text, " {name}={}", value.as_bytes().escape_ascii()).unwrap();
                }
                seen.text.push('\n');
                if !answer(connection) {
                    seen.text.push_str("close\n");
                }
            }
        }
    }
}

fn answer(connection: &mut Connection) -> bool {
    let mut out = Vec::new();
    let headers = HeaderMap::new();
    connection
        .start_response(StatusCode::OK, &headers, BodyLength::Known(0), DATE, &mut out)
        .unwrap();
    connection.finish(None, &mut out).unwrap();
    let stays = connection.next_cycle();
    assert_ne!(stays, connection.must_close());
    stays
}

/// Whole, byte by byte, and in two parts at every place.
fn transcript_of_all_splits(stream: &[u8], limits: &Limits) -> Transcript {
    let whole = transcript(stream, &[], limits);
    let bytes: Vec<usize> = (0..stream.len()).collect();
    assert_eq!(
        transcript(stream, &bytes, limits),
        whole,
        "byte by byte: {}",
        stream.escape_ascii()
    );
    // Quadratic, so for the short cases only; the random splits see the long ones.
    for cut in 0..stream.len().min(300) {
        assert_eq!(
            transcript(stream, &[cut], limits),
            whole,
            "cut at {cut}: {}",
            stream.escape_ascii()
        );
    }
    whole
}

/// The stream is read to its end without an error, and means `expect`.
fn accept(stream: impl AsRef<[u8]>, expect: &str) {
    let seen = transcript_of_all_splits(stream.as_ref(), &Limits::default());
    assert_eq!(
        (seen.text.as_str(), seen.error),
        (expect, None),
        "{}",
        stream.as_ref().escape_ascii()
    );
}

/// The stream is refused with `error`, after as much as `expect`.
fn refuse_after(stream: impl AsRef<[u8]>, expect: &str, error: Error) {
    refuse_within(&Limits::default(), stream, expect, error);
}

fn refuse_within(limits: &Limits, stream: impl AsRef<[u8]>, expect: &str, error: Error) {
    let seen = transcript_of_all_splits(stream.as_ref(), limits);
    assert_eq!(
        (seen.text.as_str(), seen.error),
        (expect, Some(error)),
        "{}",
        stream.as_ref().escape_ascii()
    );
}

/// Nothing of the stream is taken: its head is refused with `error`.
fn refuse(stream: impl AsRef<[u8]>, error: Error) {
    refuse_after(stream, "", error);
}

/// A request with these field lines and no others is refused.
fn refuse_fields(lines: &str, error: Error) {
    refuse(format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n"), error);
}
