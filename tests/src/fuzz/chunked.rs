//! One chunked body: decoded in three ways that must agree, and encoded in one that must be undone.

use http::HeaderMap;
use mainspring::http1::{ChunkedDecoder, Decoded, Error};
use mainspring::limits::Limits;

use super::{cuts, every_byte, script_and_stream};

/// What a stream decodes to.
#[derive(Debug, PartialEq, Eq)]
struct Decoding {
    data: Vec<u8>,
    /// The trailers, and how long the coded body was, if it is complete.
    end: Option<(Option<HeaderMap>, usize)>,
    error: Option<Error>,
}

/// Decodes `data` (a script of cuts, then a stream; see [`super`]) whole, cut by the script and
/// byte by byte, with limits that short inputs can meet, and asserts that the three agree. Then
/// takes the stream for a payload, encodes it and asserts that it decodes to itself.
///
/// # Panics
/// If one of these does not hold.
pub fn chunked(data: &[u8]) {
    let (script, stream) = script_and_stream(data);
    let limits = Limits {
        body_bytes_max: 64 * 1024,
        chunk_line_bytes_max: 64,
        chunk_extension_bytes_max: 128,
        trailer_bytes_max: 256,
        header_count_max: 8,
        ..Limits::default()
    };
    let whole = decode(stream, &[], &limits);
    assert_eq!(decode(stream, &cuts(script, stream.len()), &limits), whole);
    assert_eq!(decode(stream, &every_byte(stream.len()), &limits), whole);
    assert!(whole.data.len() as u64 <= limits.body_bytes_max);
    if let Some((_, length)) = &whole.end {
        // "0", two line ends, and five bytes around every chunk but the last.
        assert!(whole.data.len() + 5 <= *length && *length <= stream.len());
        assert!(stream[..*length].ends_with(b"\r\n"));
        assert_eq!(plain_reading(stream), whole.data);
    }

    let limits = Limits::default();
    let coded = encode(stream, script);
    let expect = Decoding { data: stream.to_vec(), end: Some((None, coded.len())), error: None };
    assert_eq!(decode(&coded, &[], &limits), expect);
    assert_eq!(decode(&coded, &cuts(script, coded.len()), &limits), expect);
}

/// What a valid coded body means, read with no care at all for invalid ones.
fn plain_reading(mut stream: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = stream.windows(2).position(|two| two == b"\r\n").expect("the end of a size line");
        let line =
            str::from_utf8(stream[..end].split(|&byte| byte == b';').next().unwrap_or_default());
        let size = usize::from_str_radix(line.expect("ASCII"), 16).expect("a size");
        if size == 0 {
            return data;
        }
        let (chunk, rest) = stream[end + 2..].split_at(size);
        data.extend_from_slice(chunk);
        stream = rest.strip_prefix(b"\r\n").expect("the end of a chunk");
    }
}

fn decode(stream: &[u8], cuts: &[usize], limits: &Limits) -> Decoding {
    let mut decoder = ChunkedDecoder::new();
    let mut decoding = Decoding { data: Vec::new(), end: None, error: None };
    let mut start = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        loop {
            let (consumed, decoded) = match decoder.decode(&stream[start..end], limits) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(decoder.decode(b"0\r\n\r\n", limits).err(), Some(error));
                    return Decoding { error: Some(error), ..decoding };
                }
            };
            start += consumed;
            assert!(start <= end);
            match decoded {
                None => break,
                Some(Decoded::Data(data)) => {
                    assert!(!data.is_empty() && data.len() <= consumed);
                    decoding.data.extend_from_slice(data);
                }
                Some(Decoded::End(trailers)) => {
                    assert!(decoder.is_done());
                    decoding.end = Some((trailers, start));
                    return decoding;
                }
            }
        }
        assert!(!decoder.is_done());
    }
    decoding
}

/// Chunks of the script's sizes.
fn encode(payload: &[u8], script: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut start = 0;
    for end in cuts(script, payload.len()).into_iter().chain([payload.len()]) {
        if end > start {
            coded.extend_from_slice(format!("{:X}\r\n", end - start).as_bytes());
            coded.extend_from_slice(&payload[start..end]);
            coded.extend_from_slice(b"\r\n");
        }
        start = end;
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}
