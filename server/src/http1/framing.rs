//! Where a message ends: the ladder of RFC 9112 §6.3, for requests that come and for responses that
//! go.
//!
//! Both ladders are pure functions of a head. This is where request smuggling is decided, so every
//! doubt is an error.

use http::{StatusCode, Version};

use super::error::{Error, UsageError};
use super::grammar;
use crate::limits::{CONTENT_LENGTH_DIGITS_LIMIT, Limits};

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Bytes, known before the first of them. No body at all is `Known(0)`.
    Known(u64),
    /// Only the end of the body will tell.
    Unknown,
}

/// How often a field that must be single stands in a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Occurrence<'h> {
    #[default]
    Absent,
    Once(&'h [u8]),
    Repeated,
}

impl<'h> Occurrence<'h> {
    pub(super) fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

/// RFC 9112 §6.3 for a request. Its steps 1 and 2 (responses to HEAD and CONNECT, and the like) are
/// about responses.
///
/// # Errors
/// What makes the end of the message doubtful, or a body beyond `body_bytes_max`.
pub(super) fn request_body_length(
    version: Version,
    transfer_encoding: Occurrence<'_>,
    content_length: Occurrence<'_>,
    limits: &Limits,
) -> Result<BodyLength, Error> {
    match announced_length(version, transfer_encoding, content_length)? {
        Some(BodyLength::Known(length)) if length > limits.body_bytes_max => {
            Err(Error::BodyTooLong)
        }
        Some(length) => Ok(length),
        // Step 7: a request with neither field has no body. Step 8 is about responses.
        None => Ok(BodyLength::Known(0)),
    }
}

/// Steps 3 to 6 of RFC 9112 §6.3, the same for requests and responses: what the fields say, if they
/// say anything.
///
/// # Errors
/// What makes the end of the message doubtful.
pub(super) fn announced_length(
    version: Version,
    transfer_encoding: Occurrence<'_>,
    content_length: Occurrence<'_>,
) -> Result<Option<BodyLength>, Error> {
    match (transfer_encoding, content_length) {
        // Step 3. RFC 9112 §6.3: both fields are an attempt at smuggling. The RFC lets a server
        // drop the length and close; we close without guessing.
        (
            Occurrence::Once(_) | Occurrence::Repeated,
            Occurrence::Once(_) | Occurrence::Repeated,
        ) => Err(Error::LengthConflict),
        // RFC 9112 §6.1: a Transfer-Encoding in HTTP/1.0 makes the framing faulty.
        (Occurrence::Once(_) | Occurrence::Repeated, _) if version == Version::HTTP_10 => {
            Err(Error::TransferEncoding)
        }
        // Step 4. RFC 9112 §6.3: a request whose final coding is not chunked has no certain end.
        (Occurrence::Repeated, _) => Err(Error::TransferEncoding),
        (Occurrence::Once(codings), _) => chunked_only(codings).map(|()| Some(BodyLength::Unknown)),
        // Step 5. RFC 9112 §6.3: an invalid length cannot be recovered from. The RFC forgives a
        // list of equal numbers; we do not.
        (_, Occurrence::Repeated) => Err(Error::ContentLength),
        // Step 6.
        (_, Occurrence::Once(value)) => {
            let length = decimal(value).ok_or(Error::ContentLength)?;
            Ok(Some(BodyLength::Known(length)))
        }
        (Occurrence::Absent, Occurrence::Absent) => Ok(None),
    }
}

/// Accepts the single coding `chunked`. Unknown codings in a well-formed list that ends with it are
/// 501, all else is 400.
fn chunked_only(codings: &[u8]) -> Result<(), Error> {
    if codings.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut chunked_seen = false;
    for coding in grammar::list_elements(codings) {
        // RFC 9112 §7: `chunked` has no parameters, stands once, and last. A coding after it breaks
        // one of the two.
        if chunked_seen || !grammar::is_token(coding) {
            return Err(Error::TransferEncoding);
        }
        chunked_seen = coding.eq_ignore_ascii_case(b"chunked");
    }
    // RFC 9112 §6.3: without `chunked` at the end nobody knows where the message ends, which must be 400.
    if !chunked_seen {
        return Err(Error::TransferEncoding);
    }
    // RFC 9112 §6.1: the answer to a coding that the server does not understand is 501.
    Err(Error::UnknownCoding)
}

/// A decimal number of digits only. Leading zeros do not change its value, but its length is
/// bounded.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > CONTENT_LENGTH_DIGITS_LIMIT {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// What follows the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseBody {
    /// A response to HEAD: what the handler writes is counted as written and goes nowhere.
    Discarded,
    /// The status has no body (204, 205, 304): writing one is the handler's mistake.
    Forbidden,
    /// So many bytes are still due.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The end of the connection is the end of the body.
    UntilClose,
}

/// The field that announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FramingField {
    None,
    ContentLength(u64),
    Chunked,
}

/// What the request of a response was, as far as framing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) version: Version,
}

/// RFC 9112 §6.3 from the side of the sender. `declared` is the `Content-Length` that the handler
/// set.
pub(super) fn response_framing(
    asked: Asked,
    status: StatusCode,
    length: BodyLength,
    declared: Option<u64>,
) -> Result<(ResponseBody, FramingField), UsageError> {
    let has_bytes = matches!(length, BodyLength::Known(1..));
    match status {
        _ if status.is_informational() => Err(UsageError::InformationalStatus),
        // RFC 9110 §8.6: no Content-Length with 204.
        StatusCode::NO_CONTENT if has_bytes || declared.is_some() => Err(UsageError::BodyForbidden),
        StatusCode::NO_CONTENT => Ok((ResponseBody::Forbidden, FramingField::None)),
        // RFC 9110 §8.6: a length in a 304 is that of the 200 it stands for, so only the handler
        // can know it.
        StatusCode::NOT_MODIFIED if has_bytes => Err(UsageError::BodyForbidden),
        StatusCode::NOT_MODIFIED => Ok((ResponseBody::Forbidden, length_field(declared))),
        // RFC 9110 §15.3.6: a 205 has no content, but it is framed like any other response.
        StatusCode::RESET_CONTENT if has_bytes || matches!(declared, Some(1..)) => {
            Err(UsageError::BodyForbidden)
        }
        StatusCode::RESET_CONTENT => Ok((ResponseBody::Forbidden, FramingField::ContentLength(0))),
        _ if asked.is_head => head_framing(length, declared),
        _ => body_framing(asked.version, length, declared),
    }
}

/// RFC 9110 §9.3.2: HEAD gets the fields that GET would get, or fewer. An empty body says nothing
/// about GET's.
fn head_framing(
    length: BodyLength,
    declared: Option<u64>,
) -> Result<(ResponseBody, FramingField), UsageError> {
    let known = if let BodyLength::Known(bytes @ 1..) = length { Some(bytes) } else { None };
    if let (Some(known), Some(declared)) = (known, declared)
        && known != declared
    {
        return Err(UsageError::ContentLengthMismatch);
    }
    Ok((ResponseBody::Discarded, length_field(declared.or(known))))
}

fn body_framing(
    version: Version,
    length: BodyLength,
    declared: Option<u64>,
) -> Result<(ResponseBody, FramingField), UsageError> {
    match (length, declared) {
        (BodyLength::Known(bytes), Some(declared)) if bytes != declared => {
            Err(UsageError::ContentLengthMismatch)
        }
        // A handler that streams, and says how much, is held to it.
        (BodyLength::Known(bytes), _) | (BodyLength::Unknown, Some(bytes)) => {
            Ok((ResponseBody::Length(bytes), FramingField::ContentLength(bytes)))
        }
        // RFC 9112 §6.1: no Transfer-Encoding to a peer that did not say HTTP/1.1.
        (BodyLength::Unknown, None) if version == Version::HTTP_10 => {
            Ok((ResponseBody::UntilClose, FramingField::None))
        }
        (BodyLength::Unknown, None) => Ok((ResponseBody::Chunked, FramingField::Chunked)),
    }
}

fn length_field(length: Option<u64>) -> FramingField {
    length.map_or(FramingField::None, FramingField::ContentLength)
}

/// The `Content-Length` that a handler set, held to the same grammar as a peer's.
pub(super) fn declared_length(value: &[u8]) -> Result<u64, UsageError> {
    decimal(value).ok_or(UsageError::ContentLengthInvalid)
}
