//! The head of a request: the caller's fields, checked, and those that only the connection can set.
//!
//! What goes out is what our own server lets in: whatever it would refuse is refused here, before a
//! byte is written.

use http::{HeaderMap, HeaderValue, Method, Uri};

use super::super::encode;
use super::super::error::UsageError;
use super::super::framing::{self, BodyLength, FramingField};
use super::super::grammar;
use super::error::RequestError;

/// All that a request head is made of.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'r> {
    /// Any but `CONNECT` takes a target from the path of `uri`; `CONNECT` its authority.
    pub method: &'r Method,
    /// With an authority. A path of `*` is the asterisk-form, for `OPTIONS`. A fragment is not sent.
    pub uri: &'r Uri,
    /// The caller's. `Host` is made from the URI where it is not there; `Content-Length` is checked
    /// against `body`; `Upgrade` and `TE` are named in `Connection` without being told to; of
    /// `Connection` only `close` means something.
    pub headers: &'r HeaderMap,
    /// How much follows.
    pub body: BodyLength,
    /// How the target is written.
    pub form: TargetForm,
}

/// RFC 9112 §3.2: how a target is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// Path and query, for the server itself.
    Origin,
    /// The whole URI, for a proxy.
    Absolute,
}

/// What follows the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestBody {
    /// So many bytes are still due.
    Length(u64),
    Chunked,
}

/// What a head means for its exchange.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) body: RequestBody,
    pub(super) close: bool,
    pub(super) expects_continue: bool,
    pub(super) upgrade: Vec<HeaderValue>,
}

/// What the caller's fields say about matters of the connection.
#[derive(Default)]
struct CallerFields {
    content_length: Option<u64>,
    close: bool,
    te: bool,
    expects_continue: bool,
    upgrade: Vec<HeaderValue>,
}

/// Writes the head.
///
/// # Errors
/// What the caller did wrong; `out` is then as it was.
pub(super) fn write_head(
    head: &RequestParts<'_>,
    out: &mut Vec<u8>,
) -> Result<Meaning, RequestError> {
    let start = out.len();
    let outcome = try_write_head(head, out);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

fn try_write_head(head: &RequestParts<'_>, out: &mut Vec<u8>) -> Result<Meaning, RequestError> {
    let authority = authority(head.uri)?;
    request_line(head, authority, out)?;
    // RFC 9110 §7.2: Host goes first.
    encode::field("host", host(head, authority)?, out);
    let fields = write_caller_fields(head.headers, out)?;
    let (body, framing_field) = request_framing(head.method, head.body, fields.content_length)?;
    encode::framing_field(framing_field, out);
    connection_field(&fields, out);
    out.extend_from_slice(b"\r\n");
    // RFC 9110 §10.1.1: no such expectation without content.
    if fields.expects_continue && body == RequestBody::Length(0) {
        return Err(RequestError::Expectation);
    }
    let CallerFields { close, expects_continue, upgrade, .. } = fields;
    Ok(Meaning { body, close, expects_continue, upgrade })
}

/// RFC 9110 §4.2.4: a URI with user information is not sent; `is_host` has no `@`.
fn authority(uri: &Uri) -> Result<&str, RequestError> {
    let authority = uri.authority().ok_or(RequestError::Target)?.as_str();
    if grammar::is_host(authority.as_bytes()) { Ok(authority) } else { Err(RequestError::Target) }
}

/// RFC 9112 §3.
fn request_line(
    head: &RequestParts<'_>,
    authority: &str,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let start = out.len();
    let path = head.uri.path();
    if *head.method == Method::CONNECT {
        // RFC 9112 §3.2.3: a tunnel's target has a port, always.
        if head.uri.port_u16().is_none() {
            return Err(RequestError::Target);
        }
        out.extend_from_slice(authority.as_bytes());
    } else {
        if head.form == TargetForm::Absolute {
            out.extend_from_slice(head.uri.scheme_str().ok_or(RequestError::Target)?.as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(authority.as_bytes());
        }
        match path {
            // RFC 9112 §3.2.4: the last proxy makes an asterisk of an empty path.
            "*" if *head.method == Method::OPTIONS && head.form == TargetForm::Absolute => {}
            "*" if *head.method == Method::OPTIONS => out.push(b'*'),
            _ if path.starts_with('/') => out.extend_from_slice(path.as_bytes()),
            _ => return Err(RequestError::Target),
        }
        if let Some(query) = head.uri.query() {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        if !grammar::is_percent_encoded(path.as_bytes()) {
            return Err(RequestError::Target);
        }
    }
    if !grammar::is_target(&out[start..]) {
        return Err(RequestError::Target);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// RFC 9110 §7.2: that of the URI, or the one that the caller wants, as a gateway does.
fn host<'h>(head: &RequestParts<'h>, authority: &'h str) -> Result<&'h [u8], RequestError> {
    let mut values = head.headers.get_all(http::header::HOST).iter();
    let Some(host) = values.next() else { return Ok(authority.as_bytes()) };
    let names_host = head.form == TargetForm::Absolute || *head.method == Method::CONNECT;
    let is_good = values.next().is_none()
        && grammar::is_host(host.as_bytes())
        // RFC 9112 §3.2.2: the target decides there, and Host says the same.
        && (!names_host || host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
    if is_good { Ok(host.as_bytes()) } else { Err(RequestError::Host) }
}

/// Writes the caller's fields in its order, without those that are written elsewhere.
fn write_caller_fields(
    headers: &HeaderMap,
    out: &mut Vec<u8>,
) -> Result<CallerFields, RequestError> {
    let mut fields = CallerFields::default();
    for (name, value) in headers {
        let (name, bytes) = (name.as_str(), value.as_bytes());
        match name {
            "host" => continue,
            "content-length" if fields.content_length.is_some() => {
                return Err(UsageError::ContentLengthInvalid.into());
            }
            "content-length" => {
                fields.content_length = Some(framing::declared_length(bytes)?);
                continue;
            }
            "connection" => {
                fields.note_connection(bytes)?;
                continue;
            }
            // RFC 9110 §7.6.1: fields about this hop, of which the caller knows nothing; and what
            // others read as such.
            "transfer-encoding" | "keep-alive" | "proxy-connection" | "content_length"
            | "transfer_encoding" => return Err(UsageError::ConnectionField.into()),
            "expect" if fields.expects_continue || !bytes.eq_ignore_ascii_case(b"100-continue") => {
                return Err(RequestError::Expectation);
            }
            "expect" => fields.expects_continue = true,
            // RFC 9110 §10.1.4: we read no other coding than chunked, so there is none to ask for.
            "te" if !bytes.eq_ignore_ascii_case(b"trailers") => return Err(RequestError::Te),
            "te" => fields.te = true,
            "upgrade" => fields.upgrade.push(value.clone()),
            _ => {}
        }
        encode::field(name, bytes, out);
    }
    Ok(fields)
}

impl CallerFields {
    fn note_connection(&mut self, value: &[u8]) -> Result<(), RequestError> {
        for option in grammar::list_elements(value) {
            match option.to_ascii_lowercase().as_slice() {
                b"close" => self.close = true,
                // What the connection writes itself, or what 1.1 means anyway.
                b"keep-alive" | b"upgrade" | b"te" => {}
                // RFC 9110 §7.6.1: a field that is meant for this hop alone; a gateway takes it out.
                _ => return Err(UsageError::ConnectionField.into()),
            }
        }
        Ok(())
    }
}

/// RFC 9110 §7.8, §10.1.4: `Upgrade` and `TE` are named, so that no intermediary passes them on.
fn connection_field(fields: &CallerFields, out: &mut Vec<u8>) {
    let options =
        [(fields.close, "close"), (!fields.upgrade.is_empty(), "upgrade"), (fields.te, "te")];
    let mut is_first = true;
    for (_, option) in options.iter().filter(|(is_set, _)| *is_set) {
        out.extend_from_slice(if is_first { b"connection: " } else { b", " });
        out.extend_from_slice(option.as_bytes());
        is_first = false;
    }
    if !is_first {
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 9112 §6.1, §6.2 and RFC 9110 §8.6 from the side of the sender. `declared` is the
/// `Content-Length` that the caller set.
fn request_framing(
    method: &Method,
    length: BodyLength,
    declared: Option<u64>,
) -> Result<(RequestBody, FramingField), UsageError> {
    let is_bare = matches!(*method, Method::TRACE | Method::CONNECT);
    match (length, declared) {
        // RFC 9110 §9.3.8: no content in TRACE; §9.3.6: that of CONNECT has no meaning.
        (BodyLength::Known(1..) | BodyLength::Unknown, _) | (_, Some(_)) if is_bare => {
            Err(UsageError::BodyForbidden)
        }
        (BodyLength::Known(bytes), Some(declared)) if bytes != declared => {
            Err(UsageError::ContentLengthMismatch)
        }
        // RFC 9110 §8.6: a length of 0 is said where the method would have content.
        (BodyLength::Known(0), None)
            if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) =>
        {
            Ok((RequestBody::Length(0), FramingField::None))
        }
        // A caller that streams, and says how much, is held to it.
        (BodyLength::Known(bytes), _) | (BodyLength::Unknown, Some(bytes)) => {
            Ok((RequestBody::Length(bytes), FramingField::ContentLength(bytes)))
        }
        (BodyLength::Unknown, None) => Ok((RequestBody::Chunked, FramingField::Chunked)),
    }
}
