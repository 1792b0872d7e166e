//! Cuts a section of lines (a head, or trailers) at its CRLFs, however the bytes come in.
//!
//! Remembers how far it has looked, so that a section which arrives byte by byte is searched once
//! and not once a byte. Its verdict on a line depends on the bytes up to the end of that line and
//! on nothing after it: that is why splits never change what the parser says.

use super::error::Error;

/// Progress through the lines of one section. The caller shows it the same bytes again, and more of
/// them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineScanner {
    /// Bytes that hold no further line feed.
    scanned: usize,
    /// Where the current line starts.
    line_start: usize,
    /// Complete lines so far.
    line_count: usize,
}

impl LineScanner {
    /// Complete lines so far, the empty one at the end included.
    pub(super) fn line_count(&self) -> usize {
        self.line_count
    }

    /// True once it has looked at a byte.
    pub(super) fn has_begun(&self) -> bool {
        self.scanned > 0
    }

    /// Bytes of all complete lines.
    pub(super) fn bytes(&self) -> usize {
        self.line_start
    }

    /// The next complete line without its CRLF, or `None` if `window` ends before it does.
    ///
    /// # Errors
    /// [`Error::LineEnd`] for a line that ends with a bare LF. A bare CR inside the line is left to
    /// who parses it.
    #[inline]
    pub(super) fn next_line<'w>(&mut self, window: &'w [u8]) -> Result<Option<&'w [u8]>, Error> {
        debug_assert!(self.line_start <= self.scanned);
        assert!(self.scanned <= window.len(), "the caller must show the unconsumed bytes again");
        let rest = &window[self.scanned..];
        // Every section ends with an empty line: no need to search for the end of that.
        let line_feed =
            if rest.starts_with(b"\r\n") { Some(1) } else { memchr::memchr(b'\n', rest) };
        let Some(offset) = line_feed else {
            self.scanned = window.len();
            return Ok(None);
        };
        let line = &window[self.line_start..self.scanned + offset];
        // RFC 9112 §2.2 lets a recipient take a lone LF for a line end; one that does, and one that
        // does not, can be played off against each other.
        let line = line.strip_suffix(b"\r").ok_or(Error::LineEnd)?;
        self.scanned += offset + 1;
        self.line_start = self.scanned;
        self.line_count += 1;
        Ok(Some(line))
    }
}
