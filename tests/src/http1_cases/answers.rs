//! What came over the wire, read as a client reads it. It shares nothing with the server's protocol code.

use core::fmt::Write;

/// One answer, interim ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The minor version of HTTP.
    pub(crate) version: u8,
    pub(crate) status: u16,
    /// Names in lower case, in order.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

impl Answer {
    /// All values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// Status and what matters of its fields, for a message.
    pub(crate) fn summary(&self) -> String {
        let mut text = self.status.to_string();
        for (name, value) in &self.fields {
            if name != "date" && name != "server" {
                write!(text, " {name}={}", value.escape_ascii()).expect("a string takes all");
            }
        }
        write!(text, " |{}|", self.body.escape_ascii()).expect("a string takes all");
        text
    }
}

/// All answers on a connection that has ended; `has_content` says for each that is not interim, by its number and its status,
/// whether content comes behind its head (RFC 9112 §6.3, 1 and 2).
///
/// # Errors
/// What is no whole answer.
pub(crate) fn read(
    mut wire: &[u8],
    has_content: impl Fn(usize, u16) -> bool,
) -> Result<Vec<Answer>, String> {
    let (mut answers, mut finals) = (Vec::new(), 0);
    while !wire.is_empty() {
        let (answer, length) = read_one(wire, |status| has_content(finals, status))?;
        finals += usize::from(answer.status >= 200);
        answers.push(answer);
        wire = &wire[length..];
    }
    Ok(answers)
}

/// Whether so many interim answers came, and nothing behind the last.
pub(crate) fn has_interims(wire: &[u8], count: usize) -> bool {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let came = wire.windows(CONTINUE.len()).filter(|window| *window == CONTINUE).count();
    came == count && wire.ends_with(CONTINUE)
}

fn read_one(wire: &[u8], has_content: impl FnOnce(u16) -> bool) -> Result<(Answer, usize), String> {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut slots);
    let length = match head.parse(wire) {
        Ok(httparse::Status::Complete(length)) => length,
        other => return Err(format!("no head ({other:?}): {}", wire.escape_ascii())),
    };
    let version = head.version.ok_or("no version")?;
    let status = head.code.ok_or("no status")?;
    let fields = fields(head.headers);
    let mut answer = Answer { version, status, fields, ..Answer::default() };
    let rest = &wire[length..];
    let body_length = if has_content(status) { body(&mut answer, rest)? } else { 0 };
    Ok((answer, length + body_length))
}

fn fields(parsed: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    parsed.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect()
}

/// RFC 9112 §6.3, for a client: how many bytes the body takes on the wire.
fn body(answer: &mut Answer, rest: &[u8]) -> Result<usize, String> {
    if answer.status < 200 || matches!(answer.status, 204 | 304) {
        return Ok(0);
    }
    match (
        answer.values("transfer-encoding").as_slice(),
        answer.values("content-length").as_slice(),
    ) {
        ([b"chunked"], []) => chunks(answer, rest),
        ([], [length]) => {
            let length = str::from_utf8(length).ok().and_then(|length| length.parse().ok());
            let length: usize = length.ok_or("a Content-Length that is no number")?;
            let body = rest.get(..length).ok_or("a body that is cut off")?;
            answer.body = body.to_vec();
            Ok(length)
        }
        ([], []) => {
            answer.body = rest.to_vec();
            Ok(rest.len())
        }
        other => Err(format!("framing fields {other:?}")),
    }
}

fn chunks(answer: &mut Answer, wire: &[u8]) -> Result<usize, String> {
    let mut at = 0;
    loop {
        let line = line(&wire[at..]).ok_or("a chunk line that is cut off")?;
        let size = str::from_utf8(line).ok().and_then(|line| usize::from_str_radix(line, 16).ok());
        let size = size.ok_or_else(|| format!("the chunk size {}", line.escape_ascii()))?;
        at += line.len() + 2;
        if size == 0 {
            break;
        }
        answer.body.extend_from_slice(wire.get(at..at + size).ok_or("a chunk that is cut off")?);
        at += size;
        if wire.get(at..at + 2) != Some(b"\r\n") {
            return Err("a chunk without its end".to_owned());
        }
        at += 2;
    }
    let mut slots = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(&wire[at..], &mut slots) {
        Ok(httparse::Status::Complete((length, parsed))) => {
            answer.trailers = fields(parsed);
            Ok(at + length)
        }
        other => Err(format!("no trailer section: {other:?}")),
    }
}

/// The line at the front, without its CRLF.
fn line(wire: &[u8]) -> Option<&[u8]> {
    wire.windows(2).position(|pair| pair == b"\r\n").map(|end| &wire[..end])
}
