//! Field lines (RFC 9112 §5), of heads and of trailers: taken apart, checked, and put into a map.
//!
//! The types of `http` do the checking: a name that is no token and a value with a control byte in
//! it cannot be made into one.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::Error;
use super::grammar;

/// Name and value of a field line, the value without the white space around it.
///
/// RFC 9112 §5.1: no white space before the colon; it would be a part of the name here, and no name
/// has any. RFC 9112 §5.2: a folded line is refused in the same way.
pub(super) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Error::Field)?;
    Ok((&line[..colon], grammar::trim_white_space(&line[colon + 1..])))
}

/// Appends a field whose value is a part of `shared`, and shares it.
pub(super) fn append(
    headers: &mut HeaderMap,
    name: &[u8],
    value: &[u8],
    shared: &Bytes,
) -> Result<(), Error> {
    let name = HeaderName::from_bytes(name).map_err(|_| Error::Field)?;
    let value =
        HeaderValue::from_maybe_shared(shared.slice_ref(value)).map_err(|_| Error::Field)?;
    headers.try_append(name, value).map_err(|_| Error::TooManyFields)?;
    Ok(())
}

/// True if bytes may follow that make a field line of `start`.
pub(super) fn may_become_line(start: &[u8]) -> bool {
    let name_end = start.iter().position(|&byte| !grammar::is_token_byte(byte));
    match name_end.map(|end| start.split_at(end)) {
        None => true,
        Some((name, [b':', value @ ..])) => !name.is_empty() && grammar::is_field_value(value),
        Some(_) => false,
    }
}
