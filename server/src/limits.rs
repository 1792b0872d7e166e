//! Every maximum of the server, in one place: its default, whose practice it follows, what happens
//! at the bound.
//!
//! This file knows numbers only. The protocol core reads them through [`Limits`]; the `*_LIMIT`
//! constants bound what an operator may set, because arrays and integer widths inside the program
//! are sized by them.

/// Most bytes a head may ever be allowed to have. `http::Uri` keeps its offsets in 16 bits.
pub const HEAD_BYTES_LIMIT: usize = 64 * 1024 - 2;

/// Most fields a head or a trailer section may ever be allowed to have: the parser's array on the
/// stack has this many slots, uninitialised, so a request pays for the fields it has and not for
/// those it might have.
pub const HEADER_COUNT_LIMIT: usize = 100;

/// Empty lines that may stand before a request line. RFC 9112 §2.2 asks for at least one (old
/// clients end a `POST` with a CRLF that nobody counted); more is a peer that has lost its place.
pub const EMPTY_LINES_LIMIT: u8 = 2;

/// Heads of requests whose memory a server keeps for the next ones, a shard: as many requests as are being handled at
/// once on a busy one. Beyond it a head is freed.
pub const HEADS_KEPT_MAX: usize = 256;

/// Bytes of a head whose memory is kept. Most heads are below 1 KiB; the memory of a big one is freed with it.
pub const HEAD_BYTES_KEPT_MAX: usize = 4096;

/// Places for exchanges that a server keeps for the next ones, a shard: as many requests as are being handled at once on a
/// busy one. Each is as big as the future of the handler.
pub const EXCHANGES_KEPT_MAX: usize = 256;

/// Hexadecimal digits of a chunk size: 16 digits are a whole `u64`, a 17th could only wrap it.
pub const CHUNK_SIZE_DIGITS_LIMIT: usize = 16;

/// Decimal digits of a `Content-Length`: 20 digits hold `u64::MAX`.
pub const CONTENT_LENGTH_DIGITS_LIMIT: usize = 20;

/// Bytes of a request body that are read and thrown away after the handler answered without
/// reading it, so that the connection can go on. Beyond it the connection closes. Go reads as much.
pub const DISCARD_BYTES_MAX: usize = 256 * 1024;

/// Exchanges on one connection without ever having to wait. After these the other tasks of the
/// shard run first: a client that pipelines without end does not starve them.
pub const BURST_MAX: u64 = 64;

/// Reads and writes of one connection without ever having to wait. After these the other tasks of
/// the shard run first: a client that sends, or takes, faster than we do does not starve them. A
/// request, its answer and the look for the next request are three; at 64 KiB each they take two
/// milliseconds at most for a body that is made of lines.
pub const MOVES_MAX: u32 = 3;

/// Connections of one shard, unless told otherwise. Who comes then waits in the kernel's backlog.
/// actix allows 25,000 a worker; at a few KiB each this many take some 100 MiB.
pub const CONNECTIONS_MAX: usize = 25_000;

/// The maxima of one connection.
///
/// ```
/// use mainspring::limits::Limits;
/// let limits = Limits { body_bytes_max: 1024 * 1024, ..Limits::default() };
/// limits.check();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request line, its CRLF included. At the bound: 414 and close.
    ///
    /// Default 8 KiB: RFC 9112 §3 recommends at least 8000 octets; nginx and Apache stop at about 8
    /// KiB too.
    pub request_line_bytes_max: usize,
    /// Bytes of a head, from the request line up to and with the empty line. At the bound: 431 and
    /// close.
    ///
    /// Default 32 KiB: what nginx's four buffers of 8 KiB come to; twice node, half of Envoy.
    pub head_bytes_max: usize,
    /// Fields of a head, and again of a trailer section. At the bound: 431 and close.
    ///
    /// Default 100: the number of Apache, Envoy, h2o and hyper.
    pub header_count_max: usize,
    /// Bytes of a request body without its chunk framing. At the bound: 413 and close, as soon as
    /// the `Content-Length` or the chunk size that goes beyond it has been read, not after the
    /// bytes themselves.
    ///
    /// Default 1 GiB, as in Apache and h2o. Bodies are streamed, so this bounds work and not
    /// memory.
    pub body_bytes_max: u64,
    /// Bytes of one chunk-size line, extensions and CRLF included. At the bound: 400 and close.
    ///
    /// Default 4 KiB, as in Go.
    pub chunk_line_bytes_max: usize,
    /// Bytes of all chunk extensions of one body together (RFC 9112 §7.1.1 asks for such a limit).
    /// At the bound: 400 and close.
    ///
    /// Default 16 KiB, as in hyper and Go: a flood of small extensions ends as surely as one big
    /// one.
    pub chunk_extension_bytes_max: usize,
    /// Bytes of a trailer section with its final empty line. At the bound: 431 and close.
    ///
    /// Default 16 KiB, as in hyper.
    pub trailer_bytes_max: usize,
}

impl Limits {
    /// Asserts that the values can be honoured together.
    ///
    /// # Panics
    /// When a maximum is beyond the program's own bound for it, or a part may be longer than its
    /// whole.
    pub fn check(&self) {
        assert!(
            self.head_bytes_max <= HEAD_BYTES_LIMIT,
            "head_bytes_max is beyond HEAD_BYTES_LIMIT"
        );
        assert!(
            self.request_line_bytes_max <= self.head_bytes_max,
            "a request line is a part of its head"
        );
        assert!(
            self.header_count_max <= HEADER_COUNT_LIMIT,
            "header_count_max is beyond HEADER_COUNT_LIMIT"
        );
        assert!(self.request_line_bytes_max >= 16, "no request line fits into the limit");
        assert!(self.chunk_line_bytes_max >= 3, "no chunk-size line fits into the limit");
        assert!(self.trailer_bytes_max >= 2, "the empty line after the last chunk must fit");
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line_bytes_max: 8 * 1024,
            head_bytes_max: 32 * 1024,
            header_count_max: 100,
            body_bytes_max: 1024 * 1024 * 1024,
            chunk_line_bytes_max: 4 * 1024,
            chunk_extension_bytes_max: 16 * 1024,
            trailer_bytes_max: 16 * 1024,
        }
    }
}

const _: () = assert!(HEAD_BYTES_LIMIT < u16::MAX as usize);
const _: () = assert!(CHUNK_SIZE_DIGITS_LIMIT * 4 == u64::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_consistent() {
        Limits::default().check();
    }

    #[test]
    #[should_panic(expected = "a part of its head")]
    fn a_part_longer_than_its_whole_is_refused() {
        Limits { head_bytes_max: 100, request_line_bytes_max: 101, ..Limits::default() }.check();
    }
}
