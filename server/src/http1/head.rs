//! The head of a request: found line by line, parsed when it is whole, judged here.
//!
//! A head that is there as a whole and raises no doubt, as nearly all do, is read at once
//! ([`plain_head`](super::plain_head)). All others go through
//! [`HeadScanner`], which sees every byte once and refuses what is wrong as early as the end of its
//! line; of the request line it keeps what it found.

use core::ops::Range;

use http::{Method, Version};

use super::error::Error;
use super::fields;
use super::framing::{self, BodyLength, Occurrence};
use super::grammar;
use super::lines::LineScanner;
use super::plain_head;
use super::request_head::{HeadParts, Span};
use super::target;
use crate::limits::{EMPTY_LINES_LIMIT, Limits};

/// What a head means for its connection.
pub(super) struct Meaning {
    pub(super) body: BodyLength,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    /// It asks for another protocol, and no body stands in the way.
    pub(super) asks_upgrade: bool,
}

/// Searches for the end of a head in bytes that arrive piecemeal.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    lines: LineScanner,
    empty_lines: u8,
    /// Once it is whole and good.
    request_line: Option<Box<RequestLine>>,
    /// Its method is HEAD, whose answers have no content.
    is_head: bool,
}

/// A head that is whole, and whose request line is good.
struct WholeHead<'i> {
    /// All its lines, from the request line to the empty one.
    bytes: &'i [u8],
    request_line: RequestLine,
    field_count: usize,
}

/// RFC 9112 §3.
#[derive(Debug)]
struct RequestLine {
    method: Method,
    /// Where in the head it stands.
    target: Range<usize>,
    version: Version,
    /// Bytes of the line, its CRLF included.
    length: usize,
}

impl HeadScanner {
    /// True once a byte of the request line is there.
    pub(super) fn has_begun(&self) -> bool {
        self.lines.has_begun()
    }

    /// True once it is known that the method is HEAD.
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// The head at the front of `input`, if it is whole, and the bytes that are done with.
    fn next_head<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<WholeHead<'i>>), Error> {
        let skipped = self.skip_empty_lines(input)?;
        let input = &input[skipped..];
        let Some(length) = self.scan(input, limits)? else { return Ok((skipped, None)) };
        let head = WholeHead {
            bytes: &input[..length],
            request_line: *self.request_line.take().expect("a head begins with its request line"),
            // All lines but the first and the last.
            field_count: self.lines.line_count() - 2,
        };
        Ok((skipped + length, Some(head)))
    }

    /// The bytes of empty lines that stand before the request line (RFC 9112 §2.2), to be dropped
    /// by the caller.
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<usize, Error> {
        let mut skipped = 0;
        while !self.has_begun() && input[skipped..].starts_with(b"\r\n") {
            if self.empty_lines == EMPTY_LINES_LIMIT {
                return Err(Error::RequestLine);
            }
            self.empty_lines += 1;
            skipped += 2;
        }
        Ok(skipped)
    }

    /// The length of the head at the front of `input`, its empty line included; `None` if it is not
    /// whole yet.
    ///
    /// Which error wins never depends on how the bytes were split: it is the one whose last byte
    /// comes first.
    fn scan(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        if self.request_line.is_none() && !self.scan_request_line(input, limits)? {
            return Ok(None);
        }
        let window = &input[..input.len().min(limits.head_bytes_max)];
        while let Some(line) = self.lines.next_line(window)? {
            if line.is_empty() {
                return Ok(Some(self.lines.bytes()));
            }
            if self.lines.line_count() - 1 > limits.header_count_max {
                return Err(Error::TooManyFields);
            }
        }
        if window.len() == limits.head_bytes_max { Err(Error::HeadTooLong) } else { Ok(None) }
    }

    /// True once the request line is whole and good.
    fn scan_request_line(&mut self, input: &[u8], limits: &Limits) -> Result<bool, Error> {
        match input {
            // The CR of an empty line, perhaps.
            [] | [b'\r'] => return Ok(false),
            // Another protocol (TLS begins with 0x16) is turned away at its first byte.
            [first, ..] if !grammar::is_token_byte(*first) => return Err(Error::RequestLine),
            _ => {}
        }
        let window = &input[..input.len().min(limits.request_line_bytes_max)];
        match self.lines.next_line(window)? {
            Some(line) => {
                self.is_head = line.starts_with(b"HEAD ");
                self.request_line = Some(Box::new(RequestLine::parse(line)?));
                Ok(true)
            }
            None if window.len() == limits.request_line_bytes_max => Err(Error::RequestLineTooLong),
            None => Ok(false),
        }
    }

    /// What is wrong with a head that ends after `input`, an incomplete one: an error of its own,
    /// or that it was cut off.
    pub(super) fn cut_off(&mut self, input: &[u8], limits: &Limits) -> Error {
        if let Err(error) = self.scan(input, limits) {
            return error;
        }
        let Some(request_line) = &self.request_line else {
            return RequestLine::cut_off(input.strip_suffix(b"\r").unwrap_or(input));
        };
        let field_count = self.lines.line_count() - 1;
        if fields::may_become_section(&input[request_line.length..], field_count) {
            Error::Incomplete
        } else {
            Error::Field
        }
    }
}

impl RequestLine {
    /// RFC 9112 §3: `method SP request-target SP HTTP-version`, with single spaces and nothing else
    /// between.
    fn parse(line: &[u8]) -> Result<Self, Error> {
        const VERSION_BYTES: usize = b" HTTP/1.1".len();
        let (before, version) =
            line.split_last_chunk::<VERSION_BYTES>().ok_or(Error::RequestLine)?;
        let space = before.iter().position(|&byte| byte == b' ').ok_or(Error::RequestLine)?;
        let (method, target) = (&before[..space], &before[space + 1..]);
        let method = Method::from_bytes(method).map_err(|_| Error::RequestLine)?;
        let version = match version {
            b" HTTP/1.1" => Version::HTTP_11,
            b" HTTP/1.0" => Version::HTTP_10,
            // RFC 9112 §2.3: one digit, a dot, one digit. RFC 9110 §15.6.6: 505 for a major version
            // we do not speak. For 1.2 and above we might answer as 1.1, but nobody sends that who
            // means it.
            [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']
                if !target.contains(&b' ') =>
            {
                return Err(Error::Version);
            }
            _ => return Err(Error::RequestLine),
        };
        match target::check(&method, target) {
            Ok(()) => {}
            // No form of a target has a space: it is the line that has too many parts.
            Err(_) if target.contains(&b' ') => return Err(Error::RequestLine),
            Err(error) => return Err(error),
        }
        Ok(Self { method, target: space + 1..before.len(), version, length: line.len() + 2 })
    }

    /// What is wrong with a request line of which there is only `start`.
    fn cut_off(start: &[u8]) -> Error {
        let mut parts = start.split(|&byte| byte == b' ');
        if !parts.next().is_none_or(grammar::is_token) {
            return Error::RequestLine;
        }
        match parts.next() {
            None | Some([]) => Error::Incomplete,
            Some(target) if grammar::is_target(target) => Error::Incomplete,
            Some(_) => Error::Target,
        }
    }
}

/// Reads the head at the front of `input` into `parts`, which are empty: the bytes that are done with, and what it means
/// if it is whole. `parts` are of no use if it is not.
pub(super) fn read(
    scanner: &mut HeadScanner,
    input: &[u8],
    limits: &Limits,
    parts: &mut HeadParts,
) -> Result<(usize, Option<Meaning>), Error> {
    if !scanner.has_begun() {
        if let Some((consumed, meaning)) = plain_head::read(input, limits, parts) {
            return Ok((consumed, Some(meaning)));
        }
        parts.clear();
    }
    let (consumed, whole) = scanner.next_head(input, limits)?;
    let meaning = whole.map(|head| head.read(limits, parts)).transpose()?;
    Ok((consumed, meaning))
}

impl WholeHead<'_> {
    /// Judges the fields, and puts all into `parts`.
    fn read(self, limits: &Limits, parts: &mut HeadParts) -> Result<Meaning, Error> {
        let Self { bytes, request_line, field_count } = self;
        let RequestLine { method, target, version, length } = request_line;
        let text = &bytes[target.clone()];
        let path_length = text.starts_with(b"/").then(|| target::path_length(text));
        parts.begin(method, target, path_length, version);
        parts.set_bytes(bytes);
        let mut fields = ProtocolFields::default();
        fields::for_each(&bytes[length..], field_count, |field| {
            fields.note(field.name.as_bytes(), field.value)?;
            parts.add_field(Span::of(bytes, field.name.as_bytes()), Span::of(bytes, field.value));
            Ok(())
        })?;
        let host = fields.host(version)?;
        target::check_authority(text, host)?;
        fields.meaning(version, limits)
    }
}

/// The fields that decide about framing, routing and the life of the connection.
#[derive(Debug, Default)]
pub(super) struct ProtocolFields<'h> {
    host: Occurrence<'h>,
    content_length: Occurrence<'h>,
    transfer_encoding: Occurrence<'h>,
    expect: Occurrence<'h>,
    close: bool,
    keep_alive: bool,
    /// `Connection` names it; and it is there.
    upgrade: bool,
    has_upgrade: bool,
}

impl<'h> ProtocolFields<'h> {
    /// Notes a field; its name is a token. Most names are told apart by their length.
    pub(super) fn note(&mut self, name: &[u8], value: &'h [u8]) -> Result<(), Error> {
        match name.len() {
            4 if grammar::is_word(name, b"host") => self.host.add(value),
            6 if grammar::is_word(name, b"expect") => self.expect.add(value),
            7 if grammar::is_word(name, b"upgrade") => self.has_upgrade = true,
            10 if grammar::is_word(name, b"connection") => self.note_connection(value)?,
            14 if grammar::is_word(name, b"content-length") => self.content_length.add(value),
            17 if grammar::is_word(name, b"transfer-encoding") => self.transfer_encoding.add(value),
            // Servers in the CGI tradition read `_` as `-`: behind a gateway these two would be
            // framing again.
            14 if grammar::is_word(name, b"content_length") => return Err(Error::FramingDisguise),
            17 if grammar::is_word(name, b"transfer_encoding") => {
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
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            // RFC 9110 §7.6.1: a field for all recipients must not be named here. A gateway that
            // obeyed would drop the length or the host of the message.
            if option.eq_ignore_ascii_case(b"content-length")
                || option.eq_ignore_ascii_case(b"host")
            {
                return Err(Error::FramingDisguise);
            }
        }
        Ok(())
    }

    /// RFC 9112 §3.2: exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0.
    pub(super) fn host(&self, version: Version) -> Result<Option<&'h [u8]>, Error> {
        match self.host {
            Occurrence::Once(host) if grammar::is_host(host) => Ok(Some(host)),
            Occurrence::Absent if version == Version::HTTP_10 => Ok(None),
            Occurrence::Absent | Occurrence::Once(_) | Occurrence::Repeated => Err(Error::Host),
        }
    }

    /// What the fields say together.
    pub(super) fn meaning(&self, version: Version, limits: &Limits) -> Result<Meaning, Error> {
        let (codings, length) = (self.transfer_encoding, self.content_length);
        let body = framing::request_body_length(version, codings, length, limits)?;
        let expects_continue = self.expects_continue(version)? && body != BodyLength::Known(0);
        // RFC 9110 §7.8: to be ignored in HTTP/1.0. A body would have to be read before the protocol changes.
        let asks_upgrade = self.upgrade && self.has_upgrade && version == Version::HTTP_11;
        let asks_upgrade = asks_upgrade && body == BodyLength::Known(0);
        Ok(Meaning { body, keep_alive: self.keep_alive(version), expects_continue, asks_upgrade })
    }

    /// RFC 9112 §9.3: `close` beats everything; without it 1.1 persists, and 1.0 only on request.
    fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    /// RFC 9110 §10.1.1: `100-continue` is the only expectation there is, and HTTP/1.0 does not
    /// have it.
    fn expects_continue(&self, version: Version) -> Result<bool, Error> {
        match self.expect {
            Occurrence::Absent => Ok(false),
            Occurrence::Once(value) if value.eq_ignore_ascii_case(b"100-continue") => {
                Ok(version == Version::HTTP_11)
            }
            Occurrence::Once(_) | Occurrence::Repeated => Err(Error::Expectation),
        }
    }
}
