//! Random responses, valid and broken, cut at random: the cuts never show. And random requests: our
//! server reads what was meant.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::http1::{Connection, Event};

/// Small limits, so that random streams meet them.
fn limits() -> ResponseLimits {
    ResponseLimits {
        status_line_bytes_max: 32,
        head_bytes_max: 120,
        header_count_max: 5,
        body_bytes_max: 40,
        chunk_line_bytes_max: 12,
        chunk_extension_bytes_max: 20,
        trailer_bytes_max: 30,
        interim_count_max: 2,
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
    let until_close = "[a-z\r\n]{0,50}".prop_map(|data| format!("\r\n{data}"));
    prop_oneof![Just("\r\n".to_owned()), chunked, counted, until_close]
}

fn response() -> impl Strategy<Value = String> {
    let interim = select(vec!["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 \r\nA: b\r\n\r\n"]);
    let start = select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 500 Internal Server Error",
        "HTTP/1.0 200",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 ",
        "HTTP/1.1 101 Switching",
    ]);
    let field = select(vec![
        "A: b\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Upgrade: u\r\n",
        "B:\r\n",
    ]);
    let interims = prop::collection::vec(interim, 0..3);
    (interims, start, prop::collection::vec(field, 0..4), body()).prop_map(
        |(interims, start, fields, body)| {
            format!("{}{start}\r\n{}{body}", interims.concat(), fields.concat())
        },
    )
}

/// A response and what stands behind it; then, perhaps, a few bytes of it are replaced by bytes that
/// mean something.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = select(b"\r\n\0 :;,\"\\0aZ\x80".to_vec());
    let damage = prop::collection::vec((any::<Index>(), meaningful), 0..3);
    (response(), "[A-Z]{0,3}", damage).prop_map(|(response, rest, damage)| {
        let mut stream = format!("{response}{rest}").into_bytes();
        for (index, byte) in damage {
            let at = index.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

fn method() -> impl Strategy<Value = Method> {
    select(vec![Method::GET, Method::GET, Method::HEAD, Method::CONNECT])
}

fn sorted(cuts: &[Index], length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> =
        cuts.iter().map(|cut| cut.index(length.max(1)).min(length)).collect();
    cuts.sort_unstable();
    cuts
}

/// A request that may be sent: method, path, fields, pieces of its body, whether its length is told.
type Asked = (Method, String, Vec<(String, String)>, Vec<Vec<u8>>, bool);

fn request() -> impl Strategy<Value = Asked> {
    let method = select(vec![Method::GET, Method::POST, Method::PUT, Method::DELETE]);
    let name = "x-[a-z]{1,5}".boxed();
    let value = "([!-~]([ !-~]{0,8}[!-~])?)?".boxed();
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5);
    let path = "/[a-zA-Z0-9._~!$&'()*+,;=:@/?-]{0,12}".boxed();
    (method, path, prop::collection::vec((name, value), 0..6), pieces, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_never_show(
        stream in stream(),
        method in method(),
        upgrade in select(vec!["", "u"]),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let make = || ask(&method, upgrade, &limits());
        let whole = transcript(make(), &stream, &[]);
        prop_assert_eq!(&transcript(make(), &stream, &sorted(&cuts, stream.len())), &whole);
        let bytes: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(&transcript(make(), &stream, &bytes), &whole);
    }

    #[test]
    fn noise_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        is_http in any::<bool>(),
        cuts in prop::collection::vec(any::<Index>(), 0..5),
    ) {
        let start: &[u8] = if is_http { b"HTTP/1.1 200 OK\r\n" } else { b"" };
        let noise = [start, &noise].concat();
        let make = || ask(&Method::GET, "", &limits());
        let cuts = sorted(&cuts, noise.len());
        prop_assert_eq!(transcript(make(), &noise, &cuts), transcript(make(), &noise, &[]));
    }

    #[test]
    fn a_server_reads_what_was_meant((method, path, fields, pieces, is_known) in request()) {
        let uri: Uri = format!("http://a{path}").parse().expect("a URI");
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(
                http::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                value.parse().expect("a value"),
            );
        }
        let content = pieces.concat();
        let body = if is_known { BodyLength::Known(content.len() as u64) } else { BodyLength::Unknown };
        let (form, mut out) = (TargetForm::Origin, Vec::new());
        let request = RequestParts { method: &method, uri: &uri, headers: &headers, body, form };
        let mut exchange = Exchange::start(Rc::default(), &request, &mut out).expect("it may be sent");
        for piece in &pieces {
            exchange.send_data(piece, &mut out).expect("as long as was said");
        }
        exchange.finish(None, &mut out).expect("as long as was said");

        let mut server = Connection::new(Rc::default());
        let (mut at, mut read) = (0, Vec::new());
        loop {
            let step = server.next_event(&out[at..]).expect("a request without fault");
            at += step.consumed;
            match step.event.expect("all of it is there") {
                Event::Request(request) => {
                    prop_assert_eq!(request.method(), &method);
                    prop_assert_eq!(request.uri().to_string(), path.clone());
                    for name in headers.keys() {
                        let (sent, got) = (headers.get_all(name), request.headers().get_all(name));
                        prop_assert!(sent.iter().eq(got.iter()), "{}", name);
                    }
                }
                Event::Data(data) => read.extend_from_slice(data),
                Event::End { .. } => break,
            }
        }
        prop_assert_eq!((at, read), (out.len(), content));
    }
}
