//! Random streams, valid and broken, cut at random: the cuts never show. And random field lines:
//! another parser takes the same ones, and reads the same in them.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Small limits, so that random streams meet them.
fn limits() -> Limits {
    Limits {
        request_line_bytes_max: 64,
        head_bytes_max: 160,
        header_count_max: 5,
        body_bytes_max: 40,
        chunk_line_bytes_max: 12,
        chunk_extension_bytes_max: 20,
        trailer_bytes_max: 30,
    }
}

fn body() -> impl Strategy<Value = String> {
    let extension = select(vec!["", "", ";a", ";a=b", ";a=\"\\\"\"", ";"]);
    let chunk = ("[a-z\r\n]{1,9}", extension)
        .prop_map(|(data, extension)| format!("{:X}{extension}\r\n{data}\r\n", data.len()));
    let trailers =
        select(vec!["", "", "A: b\r\n", "Host: a\r\n", "A: long enough to be over the limit\r\n"]);
    let chunked = (prop::collection::vec(chunk, 0..5), trailers).prop_map(|(chunks, trailers)| {
        format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n{trailers}\r\n", chunks.concat())
    });
    let counted =
        "[a-z\r\n]{0,20}".prop_map(|data| format!("Content-Length: {}\r\n\r\n{data}", data.len()));
    prop_oneof![Just("\r\n".to_owned()), chunked, counted]
}

fn request() -> impl Strategy<Value = String> {
    let start = select(vec![
        "GET / HTTP/1.1",
        "POST /a?b HTTP/1.1",
        "HEAD /%41 HTTP/1.1",
        "GET / HTTP/1.0",
        "OPTIONS * HTTP/1.1",
    ]);
    let field = select(vec![
        "A: b\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Expect: 100-continue\r\n",
        "B:\r\n",
    ]);
    let before = select(vec!["", "", "", "\r\n"]);
    (before, start, prop::collection::vec(field, 0..4), body()).prop_map(
        |(before, start, fields, body)| {
            format!("{before}{start}\r\nHost: a\r\n{}{body}", fields.concat())
        },
    )
}

/// A pipeline of requests; then, perhaps, a few bytes of it are replaced by bytes that mean
/// something.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = select(b"\r\n\0 :;,\"\\0aZ\x80".to_vec());
    let damage = prop::collection::vec((any::<Index>(), meaningful), 0..3);
    (prop::collection::vec(request(), 1..5), damage).prop_map(|(requests, damage)| {
        let mut stream = requests.concat().into_bytes();
        for (index, byte) in damage {
            let at = index.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_never_show(stream in stream(), cuts in prop::collection::vec(any::<Index>(), 0..12)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let whole = transcript(&stream, &[], &limits());
        prop_assert_eq!(&transcript(&stream, &cuts, &limits()), &whole);
        let bytes: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(&transcript(&stream, &bytes, &limits()), &whole);
    }

    #[test]
    fn field_lines_are_those_of_httparse(
        line in prop::collection::vec(select(b"aZ1-_:: \t\r\0\x0b\x7f\x80\xff\"(,".to_vec()), 1..12),
    ) {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", line.as_slice(), b"\r\n\r\n"].concat();
        let mut slots = [httparse::EMPTY_HEADER; 3];
        let mut theirs = httparse::Request::new(&mut slots);
        let they_accept = theirs.parse(&head) == Ok(httparse::Status::Complete(head.len()));
        let ours = Connection::new(Rc::default()).next_event(&head).map(|step| step.event);
        match ours {
            Ok(Some(Event::Request(request))) => {
                prop_assert!(they_accept);
                let field = &theirs.headers[1];
                prop_assert_eq!(request.headers()[field.name].as_bytes(), field.value);
            }
            refused => {
                prop_assert!(matches!(refused, Err(Error::Field)), "{:?}", refused);
                prop_assert!(!they_accept);
            }
        }
    }

    #[test]
    fn noise_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        cuts in prop::collection::vec(any::<Index>(), 0..5),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(noise.len().max(1)).min(noise.len())).collect();
        cuts.sort_unstable();
        prop_assert_eq!(transcript(&noise, &cuts, &limits()), transcript(&noise, &[], &limits()));
    }
}
