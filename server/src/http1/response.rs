//! The head of a response: the handler's fields, checked, and those that only the connection can
//! set.

use http::{HeaderMap, StatusCode};

use super::encode::{self, Date};
use super::error::UsageError;
use super::framing::{self, Asked, BodyLength, ResponseBody};

/// All that a response head is made of.
pub(super) struct ResponseHead<'r> {
    pub(super) status: StatusCode,
    pub(super) headers: &'r HeaderMap,
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
    let handler = write_handler_fields(head.headers, out)?;
    let (body, framing_field) =
        framing::response_framing(head.asked, head.status, head.body, handler.content_length)?;
    let close = head.close || handler.close || body == ResponseBody::UntilClose;
    encode::framing_field(framing_field, out);
    if close {
        // RFC 9112 §9.6: who is about to close says so.
        out.extend_from_slice(b"connection: close\r\n");
    } else if head.asked.version == http::Version::HTTP_10 {
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

/// Writes the handler's fields in its order, without those that the connection writes itself.
fn write_handler_fields(
    headers: &HeaderMap,
    out: &mut Vec<u8>,
) -> Result<HandlerFields, UsageError> {
    let mut fields = HandlerFields::default();
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
            "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "proxy-connection" => {
                return Err(UsageError::ConnectionField);
            }
            "date" => fields.has_date = true,
            "server" => fields.has_server = true,
            _ => {}
        }
        encode::field(name, value, out);
    }
    Ok(fields)
}
