//! The head of a response: the handler's fields, checked, and those that only the connection can
//! set.

use http::{HeaderMap, StatusCode};

use super::encode::{self, Date};
use super::error::UsageError;
use super::framing::{self, Asked, BodyLength, ResponseBody};

/// The fields of a response, as its handler has them.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFields<'r> {
    /// What the handler has set.
    pub headers: &'r HeaderMap,
    /// The `Content-Type`, unless the handler has set one: visible ASCII.
    pub media_type: Option<&'static str>,
}

impl<'r> From<&'r HeaderMap> for ResponseFields<'r> {
    fn from(headers: &'r HeaderMap) -> Self {
        Self { headers, media_type: None }
    }
}

/// All that a response head is made of.
pub(super) struct ResponseHead<'r> {
    pub(super) status: StatusCode,
    pub(super) fields: ResponseFields<'r>,
    pub(super) body: BodyLength,
    pub(super) asked: Asked,
    /// The connection closes after this response, for reasons of its own.
    pub(super) close: bool,
    pub(super) date: &'r Date,
}

/// What the handler's fields say about matters of the connection.
#[derive(Default)]
struct HandlerFields {
    content_length: Option<u64>,
    close: bool,
    has_date: bool,
    has_server: bool,
    has_type: bool,
    has_upgrade: bool,
}

/// Writes the head; says how the body is framed, and whether the connection closes after it.
///
/// # Errors
/// What the handler did wrong; `out` is then as it was.
pub(super) fn write_head(
    head: &ResponseHead<'_>,
    out: &mut Vec<u8>,
) -> Result<(ResponseBody, bool), UsageError> {
    let start = out.len();
    let outcome = try_write_head(head, out);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

fn try_write_head(
    head: &ResponseHead<'_>,
    out: &mut Vec<u8>,
) -> Result<(ResponseBody, bool), UsageError> {
    encode::status_line(head.status, out);
    let handler = write_handler_fields(head.fields.headers, out)?;
    if let Some(media_type) = head.fields.media_type
        && !handler.has_type
    {
        encode::content_type_field(media_type, out);
    }
    let (body, framing_field) =
        framing::response_framing(head.asked, head.status, head.body, handler.content_length)?;
    let close = head.close || handler.close || body == ResponseBody::UntilClose;
    encode::framing_field(framing_field, out);
    if close {
        // RFC 9112 §9.6: who is about to close says so.
        out.extend_from_slice(b"connection: close\r\n");
    }
    if handler.has_upgrade {
        // RFC 9110 §7.8: who sends `Upgrade` says that it is about this hop.
        out.extend_from_slice(b"connection: upgrade\r\n");
    }
    if !close && head.asked.version == http::Version::HTTP_10 {
        // RFC 9112 §9.3: an HTTP/1.0 client that asked for it learns in this way that it was
        // granted.
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    if !handler.has_date {
        // RFC 9110 §6.6.1: an origin server with a clock sends the date.
        encode::date_field(head.date, out);
    }
    let end: &[u8] = if handler.has_server { b"\r\n" } else { b"server: mainspring\r\n\r\n" };
    out.extend_from_slice(end);
    Ok((body, close))
}

/// Writes 101 (Switching Protocols).
///
/// # Errors
/// What the handler did wrong; `out` is then as it was.
pub(super) fn write_upgrade(headers: &HeaderMap, out: &mut Vec<u8>) -> Result<(), UsageError> {
    let start = out.len();
    encode::status_line(StatusCode::SWITCHING_PROTOCOLS, out);
    let outcome = write_handler_fields(headers, out).and_then(|fields| match fields {
        // RFC 9110 §15.2: no 1xx has a Content-Length.
        HandlerFields { content_length: Some(_), .. } => Err(UsageError::BodyForbidden),
        HandlerFields { has_upgrade: false, .. } => Err(UsageError::Upgrade),
        _ => Ok(()),
    });
    match outcome {
        Ok(()) => out.extend_from_slice(b"connection: upgrade\r\n\r\n"),
        Err(_) => out.truncate(start),
    }
    outcome
}

/// Writes the handler's fields in its order, without those that the connection writes itself.
fn write_handler_fields(
    headers: &HeaderMap,
    out: &mut Vec<u8>,
) -> Result<HandlerFields, UsageError> {
    let mut fields = HandlerFields::default();
    // As most are: an iterator that finds nothing costs more.
    if headers.is_empty() {
        return Ok(fields);
    }
    for (name, value) in headers {
        let (name, value) = (name.as_str(), value.as_bytes());
        match name {
            "content-length" if fields.content_length.is_some() => {
                return Err(UsageError::ContentLengthInvalid);
            }
            "content-length" => {
                fields.content_length = Some(framing::declared_length(value)?);
                continue;
            }
            "connection" if value.eq_ignore_ascii_case(b"close") => {
                fields.close = true;
                continue;
            }
            // RFC 9110 §7.6.1: fields about this hop. A handler, or an upstream behind it, knows
            // nothing of this hop.
            "connection" | "transfer-encoding" | "keep-alive" | "proxy-connection" => {
                return Err(UsageError::ConnectionField);
            }
            "upgrade" => fields.has_upgrade = true,
            "content-type" => fields.has_type = true,
            "date" => fields.has_date = true,
            "server" => fields.has_server = true,
            _ => {}
        }
        encode::field(name, value, out);
    }
    Ok(fields)
}
