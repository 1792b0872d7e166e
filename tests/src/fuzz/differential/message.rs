//! `Message`: the bytes of a message, taken apart as the laxest reader would. It judges nothing, and shares nothing with
//! either server: what is explained is explained by the bytes.

/// A message, and all that comes behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Message<'s> {
    /// CRs and LFs in front of it.
    pub(super) empty_lines: &'s [u8],
    /// Its first line, without its end.
    line: &'s [u8],
    /// Names, and values without the white space around them.
    fields: Vec<(&'s [u8], &'s [u8])>,
    /// From the first line to the empty line, if there is one.
    pub(super) head: &'s [u8],
    /// What is behind the empty line; `None` where there is none.
    pub(super) rest: Option<&'s [u8]>,
}

impl<'s> Message<'s> {
    /// The message at the front of `bytes`.
    pub(super) fn read(bytes: &'s [u8]) -> Self {
        let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
        let (empty_lines, bytes) = bytes.split_at(begin);
        let mut message = Self { empty_lines, ..Self::default() };
        let mut at = 0;
        while let Some((line, length)) = line(&bytes[at..]) {
            at += length;
            if line.is_empty() {
                message.rest = Some(&bytes[at..]);
                break;
            }
            if message.line.is_empty() {
                message.line = line;
            } else {
                let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
                let value = line.get(colon + 1..).unwrap_or_default();
                message.fields.push((&line[..colon], value.trim_ascii()));
            }
        }
        message.head = if message.rest.is_some() { &bytes[..at] } else { bytes };
        message
    }

    /// The parts of the first line between its spaces: method, target, version.
    fn part(&self, index: usize) -> &'s [u8] {
        self.line.split(|byte| *byte == b' ').nth(index).unwrap_or_default()
    }

    pub(super) fn method(&self) -> &'s [u8] {
        self.part(0)
    }

    pub(super) fn target(&self) -> &'s [u8] {
        self.part(1)
    }

    pub(super) fn is_one_zero(&self) -> bool {
        self.line.ends_with(b" HTTP/1.0")
    }

    /// All values of a name.
    pub(super) fn values(&self, name: &str) -> Vec<&'s [u8]> {
        let named =
            self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| *value).collect()
    }

    /// Fields of the head.
    pub(super) fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The lines in front of the chunks of a body behind the head, and what is behind the last of them. One that has no
    /// end goes on to that of the stream.
    pub(super) fn chunk_lines(&self) -> (Vec<&'s [u8]>, &'s [u8]) {
        let (mut lines, mut rest) = (Vec::new(), self.rest.unwrap_or_default());
        while !rest.is_empty() {
            let (line, length) = line(rest).unwrap_or((rest, rest.len()));
            lines.push(line);
            rest = &rest[length..];
            let size = chunk_size(line);
            if size == 0 {
                break;
            }
            rest = rest.get(size.saturating_add(2)..).unwrap_or_default();
        }
        (lines, rest)
    }

    /// All that is behind the last chunk, if there is one.
    pub(super) fn trailers(&self) -> Option<&'s [u8]> {
        let (lines, rest) = self.chunk_lines();
        lines.last().filter(|line| chunk_size(line) == 0).map(|_| rest)
    }
}

/// The line at the front of `bytes` without its end, be that CRLF or LF; and its length with it.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// The size that a line in front of a chunk begins with; 0 where it has none.
fn chunk_size(line: &[u8]) -> usize {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = str::from_utf8(&line[..digits]).expect("digits are text").trim_start_matches('0');
    if digits.is_empty() { 0 } else { usize::from_str_radix(digits, 16).unwrap_or(usize::MAX) }
}

/// Whether an LF without a CR in front of it is in `bytes`.
pub(super) fn has_bare_line_feed(bytes: &[u8]) -> bool {
    let is_bare = |at: usize| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r');
    (0..bytes.len()).any(is_bare)
}

/// Whether a CR without an LF behind it is in `bytes`. The last byte may yet get one.
pub(super) fn has_bare_carriage_return(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
}

/// Whether an empty line ends the section of lines at the front of `bytes`.
pub(super) fn is_finished(mut bytes: &[u8]) -> bool {
    while let Some((line, length)) = line(bytes) {
        if line.is_empty() {
            return true;
        }
        bytes = &bytes[length..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let message = Message::read(b"\r\n\nPOST /a HTTP/1.0\r\nA : \tb \nHOST:c\r\n\r\nrest");
        assert_eq!(message.empty_lines, b"\r\n\n");
        assert_eq!((message.method(), message.target()), (&b"POST"[..], &b"/a"[..]));
        assert!(message.is_one_zero());
        assert_eq!(message.values("a "), [b"b"]);
        assert_eq!(message.values("host"), [b"c"]);
        assert_eq!(message.field_count(), 2);
        assert_eq!(message.head, b"POST /a HTTP/1.0\r\nA : \tb \nHOST:c\r\n\r\n");
        assert_eq!(message.rest, Some(b"rest".as_slice()));
        let cut_off = Message::read(b"GET / HTTP/1.1\r\nHost: a\r\n\r");
        assert_eq!((cut_off.rest, cut_off.field_count()), (None, 1));
        assert_eq!(cut_off.head, b"GET / HTTP/1.1\r\nHost: a\r\n\r");
        assert_eq!(Message::read(b"").line, b"");
    }

    #[test]
    fn chunks() {
        let message = Message::read(
            b"P / HTTP/1.1\n\n5 ;x\r\nhello\r\n00000000000000000001\nx\r\n0\r\nA: b\r\n\r\n",
        );
        let (lines, rest) = message.chunk_lines();
        assert_eq!(lines, [&b"5 ;x"[..], b"00000000000000000001", b"0"]);
        assert_eq!(rest, b"A: b\r\n\r\n");
        assert_eq!(message.trailers(), Some(rest));
        let huge = Message::read(b"P / HTTP/1.1\n\nfffffffffffffffffffff\r\nx");
        assert_eq!(huge.chunk_lines(), (vec![&b"fffffffffffffffffffff"[..]], &b""[..]));
        let cut_off = Message::read(b"P / HTTP/1.1\n\n1\nx\r\n2;a");
        assert_eq!(cut_off.chunk_lines(), (vec![&b"1"[..], b"2;a"], &b""[..]));
        assert_eq!(cut_off.trailers(), None);
    }

    #[test]
    fn ends_of_sections() {
        for finished in [&b"\n"[..], b"\r\nA", b"A: b\r\n\r\n", b"A\n\nB"] {
            assert!(is_finished(finished), "{}", finished.escape_ascii());
        }
        for unfinished in [&b""[..], b"\r", b"A: b\r\n", b"A: b\r\n\r", b"A\r\r\n"] {
            assert!(!is_finished(unfinished), "{}", unfinished.escape_ascii());
        }
        assert!(has_bare_carriage_return(b"a\rb") && !has_bare_carriage_return(b"a\r\nb\r"));
    }

    #[test]
    fn bare_line_feeds() {
        assert!(!has_bare_line_feed(b"a\r\nb\r\n\r\n"));
        assert!(
            has_bare_line_feed(b"\n")
                && has_bare_line_feed(b"a\r\n\n")
                && has_bare_line_feed(b"a\nb")
        );
    }
}
