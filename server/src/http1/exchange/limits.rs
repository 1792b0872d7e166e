//! The maxima of a response: what a client lets a server make it hold.

use crate::limits::Limits;

/// The maxima of one exchange. At each of them the response is refused and the connection closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of a status line, its CRLF included. Default 8 KiB, as for a request line: the reason
    /// is of no use to anybody.
    pub status_line_bytes_max: usize,
    /// Bytes of a head, from the status line up to and with the empty line. Default 32 KiB, as for
    /// requests.
    pub head_bytes_max: usize,
    /// Fields of a head, and again of a trailer section. Default 100, as for requests.
    pub header_count_max: usize,
    /// Bytes of a body without its chunk framing. Default: no bound. Bodies are streamed, so this
    /// bounds work and not memory, and whoever reads may stop.
    pub body_bytes_max: u64,
    /// Bytes of one chunk-size line, extensions and CRLF included. Default 4 KiB.
    pub chunk_line_bytes_max: usize,
    /// Bytes of all chunk extensions of one body together. Default 16 KiB.
    pub chunk_extension_bytes_max: usize,
    /// Bytes of a trailer section with its final empty line. Default 16 KiB.
    pub trailer_bytes_max: usize,
    /// Interim (1xx) responses before the final one. Default 16: one 100, a few 103; a server that
    /// sends them for ever never answers.
    pub interim_count_max: u32,
}

impl ResponseLimits {
    /// Asserts that the values can be honoured together.
    ///
    /// # Panics
    /// As [`Limits::check`], of which the maxima that both have are a part.
    pub fn check(&self) {
        self.of_messages().check();
    }

    /// Those that requests have as well.
    pub(super) fn of_messages(&self) -> Limits {
        Limits {
            request_line_bytes_max: self.status_line_bytes_max,
            head_bytes_max: self.head_bytes_max,
            header_count_max: self.header_count_max,
            body_bytes_max: self.body_bytes_max,
            chunk_line_bytes_max: self.chunk_line_bytes_max,
            chunk_extension_bytes_max: self.chunk_extension_bytes_max,
            trailer_bytes_max: self.trailer_bytes_max,
        }
    }
}

impl Default for ResponseLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            status_line_bytes_max: limits.request_line_bytes_max,
            head_bytes_max: limits.head_bytes_max,
            header_count_max: limits.header_count_max,
            body_bytes_max: u64::MAX,
            chunk_line_bytes_max: limits.chunk_line_bytes_max,
            chunk_extension_bytes_max: limits.chunk_extension_bytes_max,
            trailer_bytes_max: limits.trailer_bytes_max,
            interim_count_max: 16,
        }
    }
}
