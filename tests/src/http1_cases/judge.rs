//! Whether what happened is what the case says.

use http::{HeaderMap, Version};
use mainspring::http1::RequestHead;

use super::answers::{self, Answer};
use super::case::{Case, ExpectedAnswer, ExpectedRequest};

/// What happened on a connection.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seen: Vec<Seen>,
    /// All that the server said.
    pub(super) wire: Vec<u8>,
}

/// A request as the handler got it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: Version,
    /// Names in lower case.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
    /// The handler does not read its body.
    pub(super) is_ignored: bool,
    /// Its body came to its end.
    pub(super) is_whole: bool,
}

impl Seen {
    /// One whose body is still to come.
    pub(super) fn new(head: &RequestHead, is_read: bool) -> Self {
        Self {
            method: head.method().to_string(),
            target: head.uri().to_string(),
            version: head.version(),
            fields: fields(head.headers()),
            body: Vec::new(),
            trailers: Vec::new(),
            is_ignored: !is_read,
            is_whole: false,
        }
    }

    /// Its first line, as the case files write it.
    fn line(&self) -> String {
        let version = if self.version == Version::HTTP_10 { " HTTP/1.0" } else { "" };
        format!("{} {}{version}", self.method, self.target)
    }
}

/// Fields as the case files write them.
pub(super) fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let pairs = headers.iter();
    pairs.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// Compares what `case`, with its epilogue, expects.
///
/// # Errors
/// The first difference.
pub(super) fn judge(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let lines: Vec<String> = outcome.seen.iter().map(Seen::line).collect();
    let expected: Vec<&str> = case.requests.iter().map(|request| request.line.as_str()).collect();
    if lines != expected {
        let wire = outcome.wire.escape_ascii();
        return Err(format!("requests {lines:?}, not {expected:?}; the wire: {wire}"));
    }
    for (seen, expected) in outcome.seen.iter().zip(&case.requests) {
        judge_request(seen, expected).map_err(|what| format!("{}: {what}", expected.line))?;
    }
    let has_content = |index: usize, _| match outcome.seen.get(index) {
        Some(seen) => seen.method != "HEAD",
        // It was refused; as the first of its connection it can be told what it was.
        None => index > 0 || !case.begins_with(b"HEAD "),
    };
    let answers = answers::read(&outcome.wire, has_content)?;
    judge_answers(&answers, &case.answers)
}

fn judge_request(seen: &Seen, expected: &ExpectedRequest) -> Result<(), String> {
    judge_fields(&seen.fields, &expected.fields)?;
    if seen.is_ignored {
        return Ok(());
    }
    if seen.body != expected.body {
        return Err(format!(
            "body {:?}, not {:?}",
            seen.body.escape_ascii().to_string(),
            expected.body.escape_ascii().to_string()
        ));
    }
    if seen.trailers != expected.trailers {
        return Err(format!("trailers {:?}, not {:?}", seen.trailers, expected.trailers));
    }
    match (seen.is_whole, expected.is_broken) {
        (true, true) => Err("whole, though it is broken".to_owned()),
        (false, false) => Err("broken".to_owned()),
        (true, false) | (false, true) => Ok(()),
    }
}

fn judge_fields(
    fields: &[(String, Vec<u8>)],
    expected: &[(String, Vec<Vec<u8>>)],
) -> Result<(), String> {
    for (name, values) in expected {
        let found = fields.iter().filter(|(other, _)| other == name);
        let found: Vec<&[u8]> = found.map(|(_, value)| value.as_slice()).collect();
        if found != *values {
            let found: Vec<_> =
                found.iter().map(|value| value.escape_ascii().to_string()).collect();
            let values: Vec<_> =
                values.iter().map(|value| value.escape_ascii().to_string()).collect();
            return Err(format!("{name} is {found:?}, not {values:?}"));
        }
    }
    Ok(())
}

fn judge_answers(answers: &[Answer], expected: &[ExpectedAnswer]) -> Result<(), String> {
    let all = || {
        let texts: Vec<String> = answers.iter().map(Answer::summary).collect();
        let statuses: Vec<u16> = expected.iter().map(|answer| answer.status).collect();
        format!("answers {texts:?}, not {statuses:?}")
    };
    let mut left = answers.iter();
    for expected in expected {
        let next = left.as_slice().first().filter(|answer| answer.status == expected.status);
        match next {
            Some(answer) => {
                left.next();
                judge_answer(answer, expected)
                    .map_err(|what| format!("{}: {what}", expected.status))?;
            }
            None if expected.is_optional => {}
            None => return Err(all()),
        }
    }
    if left.next().is_some() { Err(all()) } else { Ok(()) }
}

fn judge_answer(answer: &Answer, expected: &ExpectedAnswer) -> Result<(), String> {
    if answer.version != 1 {
        return Err(format!("in {}: a version that is not 1.1", answer.summary()));
    }
    let options = answer.values("connection");
    if expected.closes != options.contains(&b"close".as_slice()) {
        return Err(format!("in {}: closes is not {}", answer.summary(), expected.closes));
    }
    let dates = answer.values("date").len();
    let dates_expected = usize::from(answer.status >= 200);
    if dates != dates_expected {
        return Err(format!("{dates} dates in it"));
    }
    judge_fields(&answer.fields, &expected.fields)?;
    if expected.body.as_ref().is_some_and(|body| *body != answer.body) {
        return Err(format!("in {}: another body", answer.summary()));
    }
    if answer.trailers != expected.trailers {
        return Err(format!("trailers {:?}, not {:?}", answer.trailers, expected.trailers));
    }
    Ok(())
}
