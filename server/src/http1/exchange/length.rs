//! Where a response ends: the ladder of RFC 9112 §6.3, all eight steps. A pure function of what was
//! asked and of the head of the answer.

use http::{HeaderValue, Method, StatusCode, Version};

use super::super::error::Error;
use super::super::framing::{self, BodyLength};
use super::super::grammar;
use super::error::ResponseError;
use super::head::ProtocolFields;
use super::limits::ResponseLimits;

/// What the request was, as far as framing depends on it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: AskedMethod,
    /// The values of `Upgrade`.
    pub(super) upgrade: Vec<HeaderValue>,
}

/// The methods that change what an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedMethod {
    Head,
    Connect,
    Other,
}

impl From<&Method> for AskedMethod {
    fn from(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// What follows the head of a final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseLength {
    /// No body at all, and then the next response.
    None,
    /// No body, though the fields announce one: who sent this may send it as well, so nothing can
    /// follow.
    NoneAndClose,
    /// So many bytes.
    Known(u64),
    Chunked,
    /// The end of the connection is the end of the body.
    UntilClose,
}

/// RFC 9112 §6.3, for a response that neither switches protocols nor opens a tunnel.
pub(super) fn response_length(
    asked: AskedMethod,
    status: StatusCode,
    version: Version,
    fields: &ProtocolFields<'_>,
    limits: &ResponseLimits,
) -> Result<ResponseLength, ResponseError> {
    // Steps 3 to 6 come first, for their errors: a response that frames itself in two ways is not to be
    // trusted, even where it has no body.
    let announced =
        framing::announced_length(version, fields.transfer_encoding, fields.content_length)?;
    match (status, announced) {
        // Step 1. RFC 9112 §6.1, RFC 9110 §8.6: neither field belongs into a 1xx or 204.
        _ if status.is_informational() || status == StatusCode::NO_CONTENT => Ok(match announced {
            None | Some(BodyLength::Known(0)) => ResponseLength::None,
            Some(_) => ResponseLength::NoneAndClose,
        }),
        // Step 1. Here both fields tell of the response that was not sent.
        (StatusCode::NOT_MODIFIED, _) => Ok(ResponseLength::None),
        _ if asked == AskedMethod::Head => Ok(ResponseLength::None),
        // Steps 4 and 6.
        (_, Some(BodyLength::Unknown)) => Ok(ResponseLength::Chunked),
        (_, Some(BodyLength::Known(length))) if length > limits.body_bytes_max => {
            Err(Error::BodyTooLong.into())
        }
        (_, Some(BodyLength::Known(0))) => Ok(ResponseLength::None),
        (_, Some(BodyLength::Known(length))) => Ok(ResponseLength::Known(length)),
        // Step 8.
        (_, None) => Ok(ResponseLength::UntilClose),
    }
}

impl Asked {
    /// RFC 9110 §7.8: a server names what it switches to, and may switch only to what was offered.
    pub(super) fn offers<'v>(&self, answered: impl Iterator<Item = &'v HeaderValue>) -> bool {
        let is_offered = |protocol: &[u8]| {
            let offers =
                self.upgrade.iter().flat_map(|value| grammar::list_elements(value.as_bytes()));
            !protocol.is_empty()
                && offers.into_iter().any(|offer| offer.eq_ignore_ascii_case(protocol))
        };
        let mut count = 0;
        for protocol in answered.flat_map(|value| grammar::list_elements(value.as_bytes())) {
            if !is_offered(protocol) {
                return false;
            }
            count += 1;
        }
        count > 0
    }
}
