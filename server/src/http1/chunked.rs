//! The chunked transfer coding (RFC 9112 §7.1), decoded byte by byte where it is framing and by
//! slices where it is data.
//!
//! ```text
//!            hex                     ";"
//!  SizeStart ───► Size ─────────────────► ExtensionStart ──► ExtensionName ──"="──► ValueStart
//!      ▲           │ CR                        ▲                │ CR   │ ";"        │      │ DQUOTE
//!      │           ▼                           │                │      └──────┐     ▼      ▼
//!      │        SizeEnd ◄──────────────────────┼────────────────┘             │  Token   Quoted ⇄ Escaped
//!      │  LF, >0 │   │ LF, 0                   └──────────────────────────────┴────┴──"─► QuotedEnd
//!      │         ▼   ▼                              (Token and QuotedEnd: ";" or CR, like the name)
//!   DataLf ◄── Data  Trailers ──► Done
//!     ▲  CR      │
//!     └─ DataCr ◄┘
//! ```
//! Each framing byte is judged when it comes and consumed at once, so nothing depends on how the
//! bytes were split and nothing is ever looked at twice. No white space is allowed anywhere outside
//! quotes: the grammar has "bad" white space there, and every parser draws its line elsewhere.

use http::HeaderMap;

use super::error::Error;
use super::grammar;
use super::lines::LineScanner;
use super::trailers;
use crate::limits::{CHUNK_SIZE_DIGITS_LIMIT, Limits};

/// What was decoded.
#[derive(Debug)]
pub enum Decoded<'i> {
    /// The next bytes of the body, never empty, borrowed from the input.
    Data(&'i [u8]),
    /// The body and its trailer section are complete.
    End(Option<HeaderMap>),
}

/// Decodes one chunked body.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of the current chunk that are still to come; while its size is read, the size so far.
    remaining: u64,
    /// Bytes of the current chunk-size line.
    line_bytes: usize,
    /// Bytes of all extensions so far.
    extension_bytes: usize,
    /// Bytes of all chunks whose size has been read.
    body_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    SizeStart,
    Size,
    ExtensionStart,
    ExtensionName,
    ValueStart,
    Token,
    Quoted,
    Escaped,
    QuotedEnd,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailers(LineScanner),
    Done,
    Failed(Error),
}

impl ChunkedDecoder {
    /// A decoder that stands before the first chunk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes from the front of `input`: how many bytes are done with, and what they were. The
    /// caller drops these bytes and calls again; `None` means that more bytes are needed. `limits`
    /// must be the same at each call.
    ///
    /// # Errors
    /// What the peer did wrong; the same error again at each later call.
    pub fn decode<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Decoded<'i>>), Error> {
        let decoded = self.advance(input, limits);
        if let Err(error) = decoded {
            self.state = State::Failed(error);
        }
        decoded
    }

    /// True once `End` has been decoded.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many bytes of the current chunk are still to come, and come next.
    #[must_use]
    pub fn data_bytes_ahead(&self) -> u64 {
        if let State::Data = self.state { self.remaining } else { 0 }
    }

    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Decoded<'i>>), Error> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            match &mut self.state {
                State::Data => return Ok(self.data(rest, consumed)),
                State::Trailers(lines) => {
                    let Some((length, trailers)) = trailers::scan(lines, rest, limits)? else {
                        return Ok((consumed, None));
                    };
                    self.state = State::Done;
                    return Ok((consumed + length, Some(Decoded::End(trailers))));
                }
                State::Done => return Ok((consumed, None)),
                State::Failed(error) => return Err(*error),
                _ => {}
            }
            let Some(&byte) = rest.first() else { return Ok((consumed, None)) };
            self.state = self.framing_byte(byte, limits)?;
            consumed += 1;
        }
    }

    fn data<'i>(&mut self, rest: &'i [u8], consumed: usize) -> (usize, Option<Decoded<'i>>) {
        debug_assert!(self.remaining > 0);
        let length = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
        if length == 0 {
            return (consumed, None);
        }
        self.remaining -= length as u64;
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
        (consumed + length, Some(Decoded::Data(&rest[..length])))
    }

    /// The state after one byte of framing.
    fn framing_byte(&mut self, byte: u8, limits: &Limits) -> Result<State, Error> {
        match (self.state, byte) {
            (State::DataCr, b'\r') => return Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.line_bytes = 0;
                return Ok(State::SizeStart);
            }
            // RFC 9112 §7.1: exactly CRLF ends the data; a byte more is a byte of another message.
            (State::DataCr | State::DataLf, _) => return Err(Error::ChunkEnd),
            _ => {}
        }
        self.line_bytes += 1;
        if self.line_bytes > limits.chunk_line_bytes_max {
            return Err(Error::ChunkLineTooLong);
        }
        match self.state {
            State::SizeStart | State::Size => self.size_byte(byte),
            State::SizeEnd if byte == b'\n' => self.size_line_end(limits),
            State::SizeEnd => Err(Error::LineEnd),
            _ => self.extension_byte(byte, limits),
        }
    }

    fn size_byte(&mut self, byte: u8) -> Result<State, Error> {
        match (self.state, byte) {
            (State::Size, b'\r') => Ok(State::SizeEnd),
            (State::Size, b';') => Ok(State::ExtensionStart),
            // RFC 9112 §7.1: guard against a size that overflows. The bound on digits does, leading
            // zeros included.
            _ if self.line_bytes > CHUNK_SIZE_DIGITS_LIMIT => Err(Error::ChunkSize),
            _ => {
                let digit = grammar::hex_digit(byte).ok_or(Error::ChunkSize)?;
                self.remaining = self.remaining << 4 | u64::from(digit);
                Ok(State::Size)
            }
        }
    }

    /// RFC 9112 §7.1.1: unknown extensions are ignored, and we know none. They still have to be
    /// well-formed.
    fn extension_byte(&mut self, byte: u8, limits: &Limits) -> Result<State, Error> {
        self.extension_bytes += 1;
        if self.extension_bytes > limits.chunk_extension_bytes_max {
            return Err(Error::ChunkLineTooLong);
        }
        match (self.state, byte) {
            (State::ExtensionStart | State::ExtensionName, _) if grammar::is_token_byte(byte) => {
                Ok(State::ExtensionName)
            }
            (State::ExtensionName, b'=') => Ok(State::ValueStart),
            (State::ValueStart, b'"') => Ok(State::Quoted),
            (State::ValueStart | State::Token, _) if grammar::is_token_byte(byte) => {
                Ok(State::Token)
            }
            (State::Quoted, b'"') => Ok(State::QuotedEnd),
            (State::Quoted, b'\\') => Ok(State::Escaped),
            (State::Quoted, _) if grammar::is_quoted_text(byte) => Ok(State::Quoted),
            (State::Escaped, _) if grammar::is_quotable(byte) => Ok(State::Quoted),
            (State::ExtensionName | State::Token | State::QuotedEnd, b';') => {
                Ok(State::ExtensionStart)
            }
            (State::ExtensionName | State::Token | State::QuotedEnd, b'\r') => Ok(State::SizeEnd),
            _ => Err(Error::ChunkExtension),
        }
    }

    fn size_line_end(&mut self, limits: &Limits) -> Result<State, Error> {
        if self.remaining == 0 {
            return Ok(State::Trailers(LineScanner::default()));
        }
        self.body_bytes = self.body_bytes.saturating_add(self.remaining);
        if self.body_bytes > limits.body_bytes_max {
            Err(Error::BodyTooLong)
        } else {
            Ok(State::Data)
        }
    }
}
