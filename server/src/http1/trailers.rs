//! The fields after the last chunk (RFC 9112 §7.1.2): parsed whole, and kept from doing harm.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};

use super::error::Error;
use super::fields;
use super::lines::LineScanner;
use crate::limits::Limits;

/// RFC 9110 §6.5.1: what frames, routes, authenticates or modifies a message, or says how to read
/// its content, has had its effect before the body came and must not come after it.
const FORBIDDEN: [HeaderName; 34] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::EXPIRES,
    header::FORWARDED,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    HeaderName::from_static("keep-alive"),
    header::LOCATION,
    header::MAX_FORWARDS,
    header::PRAGMA,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::RANGE,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

/// True for a field that must not stand in a trailer section, whoever sends it; also for one that imitates a framing
/// field, which servers in the CGI tradition cannot tell from it.
pub(super) fn is_forbidden(name: &HeaderName) -> bool {
    FORBIDDEN.contains(name) || matches!(name.as_str(), "content_length" | "transfer_encoding")
}

/// The trailer section at the front of `input`: its length, with the empty line, and its fields if
/// it has any. `None` if it is not whole yet.
pub(super) fn scan(
    lines: &mut LineScanner,
    input: &[u8],
    limits: &Limits,
) -> Result<Option<(usize, Option<HeaderMap>)>, Error> {
    let window = &input[..input.len().min(limits.trailer_bytes_max)];
    while let Some(line) = lines.next_line(window)? {
        if line.is_empty() {
            let length = lines.bytes();
            let field_count = lines.line_count() - 1;
            let trailers = parse(&window[..length], field_count)?;
            return Ok(Some((length, trailers)));
        }
        if lines.line_count() > limits.header_count_max {
            return Err(Error::TooManyFields);
        }
    }
    if window.len() == limits.trailer_bytes_max { Err(Error::TrailersTooLong) } else { Ok(None) }
}

/// Parses a whole section of `field_count` lines.
fn parse(section: &[u8], field_count: usize) -> Result<Option<HeaderMap>, Error> {
    if field_count == 0 {
        return Ok(None);
    }
    let shared = Bytes::copy_from_slice(section);
    let mut trailers = HeaderMap::new();
    fields::for_each(&shared, field_count, |field| fields::append(&mut trailers, field, &shared))?;
    if trailers.keys().any(is_forbidden) { Err(Error::Trailer) } else { Ok(Some(trailers)) }
}
