//! A whole connection: a scripted server reads a stream and answers; everything it wrote is read
//! again.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use mainspring::http1::{BodyLength, ChunkedDecoder, Connection, Decoded, Error, Event, Phase};
use mainspring::limits::Limits;

use super::{DATE, cuts, every_byte, script_and_stream};

const PAYLOAD: &[u8] = b"hello, payload";

/// Runs `data` (a script, then a stream; see [`super`]) through a server whose way of answering
/// each request the script chooses: before or after its body, with which status and framing,
/// closing or not. Asserts that the cuts between the bytes change neither what is read nor what is
/// written; that nothing is read after an error or a close; and that what was written is one
/// response a request, in order, each framed as HTTP says.
///
/// # Panics
/// If one of these does not hold.
pub fn connection(data: &[u8]) {
    let (script, stream) = script_and_stream(data);
    let whole = serve(script, stream, &[]);
    assert_eq!(serve(script, stream, &cuts(script, stream.len())), whole);
    assert_eq!(serve(script, stream, &every_byte(stream.len())), whole);
    check_responses(&whole);
}

/// What happened on a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    /// Requests, joined data and ends, as text.
    events: String,
    written: Vec<u8>,
    /// For each request: was it HEAD? Their answers follow in this order.
    asked_head: Vec<bool>,
    answers: usize,
    rejected: bool,
    error: Option<Error>,
}

/// How one request is answered: a byte of the script.
#[derive(Clone, Copy)]
struct Manner(u8);

impl Manner {
    fn before_the_body(self) -> bool {
        self.0 & 1 != 0
    }

    fn asks_to_continue(self) -> bool {
        self.0 & 2 != 0
    }

    fn closes(self) -> bool {
        self.0 & 0b1_1100 == 0b1_1100
    }

    fn status(self) -> StatusCode {
        [StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::NOT_FOUND, StatusCode::NOT_MODIFIED]
            [usize::from(self.0 >> 3 & 3)]
    }

    fn body(self) -> BodyLength {
        if self.0 & 4 != 0 { BodyLength::Unknown } else { BodyLength::Known(PAYLOAD.len() as u64) }
    }

    fn has_trailers(self) -> bool {
        self.0 & 32 != 0
    }
}

fn serve(script: &[u8], stream: &[u8], cuts: &[usize]) -> Record {
    let limits = Limits {
        request_line_bytes_max: 256,
        head_bytes_max: 512,
        header_count_max: 8,
        body_bytes_max: 1024,
        chunk_line_bytes_max: 32,
        chunk_extension_bytes_max: 64,
        trailer_bytes_max: 64,
    };
    let mut connection = Connection::new(Rc::new(limits));
    let mut record = Record::default();
    let mut start = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        let available = &stream[start..end];
        let (consumed, served) = serve_available(&mut connection, script, available, &mut record);
        start += consumed;
        if let Err(error) = served {
            reject(&mut connection, error, &stream[start..], &mut record);
            return record;
        }
    }
    if let Err(error) = connection.end_of_input(&stream[start..]) {
        reject(&mut connection, error, &stream[start..], &mut record);
    }
    record
}

/// Whether `rest`, in which something is wrong, may be a HEAD request: its refusal has no content.
fn may_be_head(mut rest: &[u8]) -> bool {
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        rest = after;
    }
    rest.starts_with(b"HEAD ")
}

/// Serves until more bytes are needed, or something is wrong; how many were consumed.
fn serve_available(
    connection: &mut Connection,
    script: &[u8],
    input: &[u8],
    record: &mut Record,
) -> (usize, Result<(), Error>) {
    let mut consumed = 0;
    loop {
        let was_closed = connection.phase() == Phase::Closed;
        let step = match connection.next_event(&input[consumed..]) {
            Ok(step) => step,
            Err(error) => return (consumed, Err(error)),
        };
        assert!(step.consumed <= input.len() - consumed);
        consumed += step.consumed;
        let Some(event) = step.event else { return (consumed, Ok(())) };
        assert!(!was_closed, "an event after the close");
        let index = record.asked_head.len() - usize::from(!matches!(event, Event::Request(_)));
        let manner = Manner(script.get(index % script.len().max(1)).copied().unwrap_or(0));
        match event {
            Event::Request(head) => {
                let request = head.into_request();
                record.events += &format!("{request:?} {:?}\n", connection.request_body_length());
                record.asked_head.push(*request.method() == Method::HEAD);
                assert!(!wants_close(&request) || connection.must_close());
                if manner.asks_to_continue() {
                    connection.send_continue(&mut record.written);
                }
                if manner.before_the_body() {
                    respond(connection, manner, record);
                }
            }
            Event::Data(data) => {
                assert!(!data.is_empty());
                assert_eq!(connection.phase() == Phase::Body, !connection.request_body_done());
                record.events.extend(data.iter().map(|&byte| char::from(byte)));
            }
            Event::End { trailers } => {
                record.events += &format!("\nend {trailers:?}\n");
                if !manner.before_the_body() {
                    respond(connection, manner, record);
                }
                assert_eq!(connection.phase(), Phase::Done);
                assert_eq!(connection.next_cycle(), !connection.must_close());
            }
        }
    }
}

/// RFC 9112 §9.3, without a thought for speed.
fn wants_close(request: &Request<()>) -> bool {
    let has_option = |wanted: &str| {
        let values = request.headers().get_all(header::CONNECTION).iter();
        let mut options = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    has_option("close") || (request.version() == Version::HTTP_10 && !has_option("keep-alive"))
}

fn respond(connection: &mut Connection, manner: Manner, record: &mut Record) {
    let (status, out) = (manner.status(), &mut record.written);
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut headers = HeaderMap::new();
    if manner.closes() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if bodiless { BodyLength::Known(0) } else { manner.body() };
    let unasked = connection.expects_continue();
    connection.start_response(status, &headers, body, DATE, out).expect("a valid response");
    assert!(!connection.expects_continue());
    assert!(!(unasked || manner.closes()) || connection.must_close());
    if !bodiless {
        let (copied, uncopied) = PAYLOAD.split_at(5);
        connection.send_data(copied, out).expect("within the length");
        connection.data_prefix(uncopied.len(), out).expect("within the length");
        if connection.writes_body() {
            out.extend_from_slice(uncopied);
        }
        connection.data_suffix(out);
    }
    let trailers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("x"))]);
    connection.finish(manner.has_trailers().then_some(&trailers), out).expect("the whole length");
    record.answers += 1;
}

/// The end by an error in `rest`: nothing is read after it, and at most one thing is written.
fn reject(connection: &mut Connection, error: Error, rest: &[u8], record: &mut Record) {
    record.error = Some(error);
    assert_eq!(connection.phase(), Phase::Closed);
    assert!(connection.must_close());
    let length = record.written.len();
    record.rejected = connection.reject(error, DATE, &mut record.written);
    let refusal = &record.written[length..];
    assert_eq!(record.rejected, !refusal.is_empty());
    if record.rejected && record.asked_head.len() == record.answers {
        // The request has not been recorded: something is wrong with its head.
        let has_content = !refusal.ends_with(b"\r\n\r\n");
        assert!(has_content || may_be_head(rest), "only to HEAD there is no content");
        record.asked_head.push(!has_content);
    }
    assert!(connection.must_close() && !connection.next_cycle());
    assert_eq!(connection.phase(), Phase::Closed);
    assert_eq!(connection.next_event(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(error));
    assert!(!connection.reject(error, DATE, &mut record.written));
}

/// Reads everything that was written, as a client would.
fn check_responses(record: &Record) {
    assert!(record.answers <= record.asked_head.len());
    let mut rest = record.written.as_slice();
    let mut finals = 0;
    while !rest.is_empty() {
        let (code, closes, after) = read_response(rest, &record.asked_head, finals);
        rest = after;
        if code != 100 {
            finals += 1;
            assert!(!closes || rest.is_empty(), "bytes after a response that closes");
        }
    }
    assert_eq!(finals, record.answers + usize::from(record.rejected));
}

/// One response at the front of `bytes`: its status, whether it closes, and the bytes after it.
fn read_response<'w>(bytes: &'w [u8], asked_head: &[bool], index: usize) -> (u16, bool, &'w [u8]) {
    let mut slots = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut slots);
    let Ok(httparse::Status::Complete(length)) = response.parse(bytes) else {
        panic!("not a response: {}", bytes.escape_ascii());
    };
    let code = response.code.expect("a whole response has a status");
    let field = |name: &str| {
        let mut fields = response.headers.iter().filter(|field| field.name == name);
        let value = fields
            .next()
            .map(|field| str::from_utf8(field.value).expect("our own fields are ASCII"));
        assert!(fields.next().is_none(), "{name} twice");
        value
    };
    assert_eq!(field("date").is_some(), code != 100);
    let closes = field("connection") == Some("close");
    let after = &bytes[length..];
    let is_head = asked_head.get(index).copied().unwrap_or(false);
    let bodiless = is_head || matches!(code, 100 | 204 | 304);
    let after = match (field("content-length"), field("transfer-encoding")) {
        (Some(_), Some(_)) => panic!("two ways to find the end of a response"),
        _ if bodiless => after,
        (Some(length), None) => &after[length.parse().expect("a length")..],
        (None, Some(coding)) => {
            assert_eq!(coding, "chunked");
            after_chunks(after)
        }
        (None, None) => {
            assert!(closes, "only the close ends this body");
            assert_eq!(after, PAYLOAD);
            &[]
        }
    };
    (code, closes, after)
}

fn after_chunks(mut bytes: &[u8]) -> &[u8] {
    let mut decoder = ChunkedDecoder::new();
    let mut payload = Vec::new();
    loop {
        let (consumed, decoded) =
            decoder.decode(bytes, &Limits::default()).expect("our own chunks");
        bytes = &bytes[consumed..];
        match decoded.expect("our own body is whole") {
            Decoded::Data(data) => payload.extend_from_slice(data),
            Decoded::End(_) => {
                assert_eq!(payload, PAYLOAD);
                return bytes;
            }
        }
    }
}
