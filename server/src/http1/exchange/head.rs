//! The head of a response: found line by line, parsed when it is whole.
//!
//! [`HeadScanner`] sees every byte once and refuses what is wrong as early as the end of its line;
//! [`parse`] sees only whole heads. Neither keeps bytes; the field values of the finished response
//! share one copy of its head.

use bytes::Bytes;
use http::{Response, StatusCode, Version};

use super::super::error::Error;
use super::super::fields;
use super::super::framing::Occurrence;
use super::super::grammar;
use super::super::lines::LineScanner;
use super::error::ResponseError;
use super::limits::ResponseLimits;

/// What every status line begins with, whatever its version.
const NAME: &[u8] = b"HTTP/";

/// Searches for the end of a head in bytes that arrive piecemeal.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    lines: LineScanner,
    /// Once it is whole and good.
    status_line: Option<StatusLine>,
}

/// A head that is whole, and whose status line is good.
pub(super) struct WholeHead<'i> {
    /// All its lines, from the status line to the empty one.
    pub(super) bytes: &'i [u8],
    status_line: StatusLine,
    field_count: usize,
}

/// RFC 9112 §4.
#[derive(Debug)]
struct StatusLine {
    version: Version,
    status: StatusCode,
    /// Bytes of the line, its CRLF included.
    length: usize,
}

/// The fields of a response that decide about framing and the life of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProtocolFields<'h> {
    pub(super) content_length: Occurrence<'h>,
    pub(super) transfer_encoding: Occurrence<'h>,
    close: bool,
    keep_alive: bool,
}

impl HeadScanner {
    /// The head at the front of `input`, if it is whole.
    ///
    /// Which error wins never depends on how the bytes were split: it is the one whose last byte
    /// comes first.
    pub(super) fn next_head<'i>(
        &mut self,
        input: &'i [u8],
        limits: &ResponseLimits,
    ) -> Result<Option<WholeHead<'i>>, ResponseError> {
        if self.status_line.is_none() && !self.scan_status_line(input, limits)? {
            return Ok(None);
        }
        let window = &input[..input.len().min(limits.head_bytes_max)];
        while let Some(line) = self.lines.next_line(window)? {
            if line.is_empty() {
                return Ok(Some(WholeHead {
                    bytes: &input[..self.lines.bytes()],
                    status_line: self.status_line.take().expect("a head begins with it"),
                    // All lines but the first and the last.
                    field_count: self.lines.line_count() - 2,
                }));
            }
            if self.lines.line_count() - 1 > limits.header_count_max {
                return Err(Error::TooManyFields.into());
            }
        }
        match window.len() == limits.head_bytes_max {
            true => Err(Error::HeadTooLong.into()),
            false => Ok(None),
        }
    }

    /// True once the status line is whole and good.
    fn scan_status_line(
        &mut self,
        input: &[u8],
        limits: &ResponseLimits,
    ) -> Result<bool, ResponseError> {
        // Another protocol is turned away at its first byte. RFC 9112 §2.2 allows empty lines before
        // a request line only.
        if !input.iter().zip(NAME).all(|(byte, expected)| byte == expected) {
            return Err(ResponseError::StatusLine);
        }
        let window = &input[..input.len().min(limits.status_line_bytes_max)];
        match self.lines.next_line(window)? {
            Some(line) => {
                self.status_line = Some(StatusLine::parse(line)?);
                Ok(true)
            }
            None if window.len() == limits.status_line_bytes_max => Err(Error::HeadTooLong.into()),
            None => Ok(false),
        }
    }
}

impl StatusLine {
    fn parse(line: &[u8]) -> Result<Self, ResponseError> {
        let rest = line.strip_prefix(NAME).ok_or(ResponseError::StatusLine)?;
        let (version, rest) = rest.split_first_chunk().ok_or(ResponseError::StatusLine)?;
        let version = match version {
            b"1.1" => Version::HTTP_11,
            b"1.0" => Version::HTTP_10,
            [b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Error::Version.into()),
            _ => return Err(ResponseError::StatusLine),
        };
        let rest = rest.strip_prefix(b" ").ok_or(ResponseError::StatusLine)?;
        let (code, reason) = rest.split_first_chunk::<3>().ok_or(ResponseError::StatusLine)?;
        let status = StatusCode::from_bytes(code).map_err(|_| ResponseError::StatusLine)?;
        // RFC 9112 §4: the space is there even if the reason is not. Some servers leave both out.
        let reason = match reason {
            [] => reason,
            [b' ', reason @ ..] => reason,
            _ => return Err(ResponseError::StatusLine),
        };
        if !reason.iter().all(|&byte| is_reason_byte(byte)) {
            return Err(ResponseError::StatusLine);
        }
        Ok(Self { version, status, length: line.len() + 2 })
    }
}

/// RFC 9112 §4.
const fn is_reason_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Parses a whole head, of which `shared` is a copy.
pub(super) fn parse<'h>(
    head: &WholeHead<'_>,
    shared: &'h Bytes,
) -> Result<(Response<()>, ProtocolFields<'h>), ResponseError> {
    let StatusLine { version, status, length } = head.status_line;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    response.headers_mut().reserve(head.field_count);
    let mut fields = ProtocolFields::default();
    fields::for_each(&shared[length..], head.field_count, |field| {
        fields.note(field.name.as_bytes(), field.value)?;
        fields::append(response.headers_mut(), field, shared)
    })?;
    Ok((response, fields))
}

impl<'h> ProtocolFields<'h> {
    fn note(&mut self, name: &[u8], value: &'h [u8]) -> Result<(), Error> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.note_connection(value)?,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length.add(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding.add(value);
            }
            // What reads `_` as `-` behind us would see framing again.
            14 if name.eq_ignore_ascii_case(b"content_length") => {
                return Err(Error::FramingDisguise);
            }
            17 if name.eq_ignore_ascii_case(b"transfer_encoding") => {
                return Err(Error::FramingDisguise);
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9110 §7.6.1: connection options, case-insensitive; unknown ones are ignored.
    fn note_connection(&mut self, value: &[u8]) -> Result<(), Error> {
        for option in grammar::list_elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            // RFC 9110 §7.6.1: a field for all recipients must not be named here.
            if option.eq_ignore_ascii_case(b"content-length") {
                return Err(Error::FramingDisguise);
            }
        }
        Ok(())
    }

    /// RFC 9112 §9.3: `close` beats everything; without it 1.1 persists, and 1.0 only where it says
    /// so.
    pub(super) fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }
}
