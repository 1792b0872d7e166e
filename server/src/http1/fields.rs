//! Field lines (RFC 9112 §5), of heads and of trailers: taken apart by `httparse`, put into a map.
//!
//! The types of `http` check once more: a name that is no token and a value with a control byte in
//! it cannot be made into one.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Header};

use super::error::Error;
use crate::limits::HEADER_COUNT_LIMIT;

/// Sections of up to so many fields are parsed into a small array: clearing the large one would
/// cost more than parsing most heads.
const FEW: usize = 16;

/// Calls `each` with the name and the value of each line of a whole section of `count` lines, its
/// empty line included.
///
/// RFC 9112 §5.1, §5.2: white space before a colon and folded lines are refused. That every line
/// ends with CRLF was seen to before: `httparse` would take a bare LF.
pub(super) fn for_each<'s>(
    section: &'s [u8],
    count: usize,
    each: impl FnMut(&Header<'s>) -> Result<(), Error>,
) -> Result<(), Error> {
    if count <= FEW {
        for_each_in(section, &mut [EMPTY_HEADER; FEW], each)
    } else {
        for_each_in(section, &mut [EMPTY_HEADER; HEADER_COUNT_LIMIT], each)
    }
}

fn for_each_in<'s>(
    section: &'s [u8],
    slots: &mut [Header<'s>],
    each: impl FnMut(&Header<'s>) -> Result<(), Error>,
) -> Result<(), Error> {
    match httparse::parse_headers(section, slots) {
        Ok(httparse::Status::Complete((length, fields))) if length == section.len() => {
            fields.iter().try_for_each(each)
        }
        _ => Err(Error::Field),
    }
}

/// True if bytes may follow that make a section of `start`, which has `count` whole lines.
pub(super) fn may_become_section(start: &[u8], count: usize) -> bool {
    let mut slots = [EMPTY_HEADER; HEADER_COUNT_LIMIT + 1];
    assert!(count < slots.len(), "the lines were counted against the limit");
    httparse::parse_headers(start, &mut slots).is_ok()
}

/// Appends a field whose value is a part of `shared`, and shares it.
pub(super) fn append(
    headers: &mut HeaderMap,
    field: &Header<'_>,
    shared: &Bytes,
) -> Result<(), Error> {
    let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Error::Field)?;
    let value =
        HeaderValue::from_maybe_shared(shared.slice_ref(field.value)).map_err(|_| Error::Field)?;
    headers.try_append(name, value).map_err(|_| Error::TooManyFields)?;
    Ok(())
}
