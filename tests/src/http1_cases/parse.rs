//! The case files, parsed: lines to [`Case`]s, or an error that names file and line.

use mainspring::limits::Limits;

use super::case::{Case, ExpectedAnswer, ExpectedRequest, Step};
use super::notation;

/// Lines of a case, with their numbers.
type Lines<'t> = Vec<(usize, &'t str)>;

/// All cases of `text`, which is the file `name`.
///
/// # Errors
/// The file, the line, and what is wrong there.
pub fn parse(name: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for lines in blocks(name, text)? {
        let (first, _) = lines[0];
        let place = format!("{name}:{first}");
        for (variant, lines) in variants(&lines) {
            let case = parse_case(&place, &variant, &lines);
            cases.push(case.map_err(|(line, error)| format!("{name}:{line}: {error}"))?);
        }
    }
    Ok(cases)
}

/// The lines of each case, without comments and empty lines.
fn blocks<'t>(name: &str, text: &'t str) -> Result<Vec<Lines<'t>>, String> {
    let mut blocks: Vec<Lines<'t>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.ends_with(char::is_whitespace) {
            return Err(format!(
                "{name}:{number}: white space at the end that nobody sees; write `\\s`"
            ));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with("case ") {
            blocks.push(Vec::new());
        }
        match blocks.last_mut() {
            Some(block) => block.push((number, line)),
            None => return Err(format!("{name}:{number}: before the first case")),
        }
    }
    Ok(blocks)
}

/// A case once for each of its `each` lines, with the suffix of its name; or as it is.
fn variants<'t>(lines: &Lines<'t>) -> Vec<(String, Vec<(usize, String)>)> {
    let is_each = |line: &str| line.starts_with("each ");
    let others: Lines<'t> = lines.iter().copied().filter(|(_, line)| !is_each(line)).collect();
    let owned = |replace: &dyn Fn(&str) -> String| {
        others.iter().map(|(number, line)| (*number, replace(line))).collect()
    };
    let mut variants = Vec::new();
    for (_, each) in lines.iter().filter(|(_, line)| is_each(line)) {
        let (label, value) = split(&each["each ".len()..]);
        variants.push((format!("/{label}"), owned(&|line| substitute(line, value))));
    }
    if variants.is_empty() {
        variants.push((String::new(), owned(&str::to_owned)));
    }
    variants
}

/// `value` for each `$` that is not escaped.
fn substitute(line: &str, value: &str) -> String {
    let mut result = String::new();
    let mut is_escaped = false;
    for letter in line.chars() {
        if letter == '$' && !is_escaped {
            result.push_str(value);
        } else {
            result.push(letter);
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    result
}

/// The first word, and the rest without the white space between.
fn split(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    (first, rest.trim_start())
}

fn parse_case(
    place: &str,
    variant: &str,
    lines: &[(usize, String)],
) -> Result<Case, (usize, String)> {
    let mut case = Case {
        name: String::new(),
        place: place.to_owned(),
        rfc: Vec::new(),
        pending: None,
        limits: Limits::default(),
        steps: Vec::new(),
        requests: Vec::new(),
        answers: Vec::new(),
        is_closed: false,
    };
    let (mut last, mut repeat) = (Last::None, 1);
    for (number, line) in lines {
        parse_line(&mut case, &mut last, &mut repeat, line).map_err(|error| (*number, error))?;
    }
    case.name.push_str(variant);
    case.requests = vec![case.requests; repeat].concat();
    case.answers = vec![case.answers; repeat].concat();
    let (first, _) = &lines[0];
    check(&case).map_err(|error| (*first, error))?;
    Ok(case)
}

/// What a line that begins with `=  ` or `<  ` belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    None,
    Request,
    Answer,
}

fn parse_line(
    case: &mut Case,
    last: &mut Last,
    repeat: &mut usize,
    line: &str,
) -> Result<(), String> {
    let (word, rest) = split(line);
    match word {
        "case" => name(rest).map(|name| case.name = name)?,
        "rfc" => case.rfc = rest.split(", ").map(str::to_owned).collect(),
        // For who reads the file.
        "why" => {}
        "pending" => case.pending = Some(rest.to_owned()),
        "limits" => rest.split(' ').try_for_each(|limit| set_limit(&mut case.limits, limit))?,
        ">" | ">-" => send(case, line)?,
        "wait" if rest == "100" => case.steps.push(Step::AwaitContinue),
        "fin" if rest.is_empty() => case.steps.push(Step::Fin),
        "closed" if rest.is_empty() => case.is_closed = true,
        "repeat" => *repeat = rest.parse().map_err(|_| format!("{rest:?} is no number"))?,
        "=" | "<" if line[1..].starts_with("   ") => match (word, *last) {
            ("=", Last::Request) => {
                let request = case.requests.last_mut().expect("it is the last");
                request_line(request, rest)?;
            }
            ("<", Last::Answer) => {
                let answer = case.answers.last_mut().expect("it is the last");
                answer_line(answer, rest)?;
            }
            _ => return Err("it belongs to nothing".to_owned()),
        },
        "=" => {
            let line = String::from_utf8(notation::bytes(rest)?).map_err(|_| "it is text")?;
            case.requests.push(ExpectedRequest { line, ..ExpectedRequest::default() });
            *last = Last::Request;
        }
        "<" => {
            case.answers.push(answer(rest)?);
            *last = Last::Answer;
        }
        _ => return Err(format!("unknown: {line:?}")),
    }
    Ok(())
}

fn name(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.contains('-') && text.bytes().all(is_part) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no name: small letters, digits, and at least one `-`"))
    }
}

fn set_limit(limits: &mut Limits, limit: &str) -> Result<(), String> {
    let (name, value) = limit.split_once('=').ok_or("`name=value`")?;
    let value: usize = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    match name {
        "request_line_bytes_max" => limits.request_line_bytes_max = value,
        "head_bytes_max" => limits.head_bytes_max = value,
        "header_count_max" => limits.header_count_max = value,
        "body_bytes_max" => limits.body_bytes_max = value as u64,
        "chunk_line_bytes_max" => limits.chunk_line_bytes_max = value,
        "chunk_extension_bytes_max" => limits.chunk_extension_bytes_max = value,
        "trailer_bytes_max" => limits.trailer_bytes_max = value,
        _ => return Err(format!("{name:?} is no limit")),
    }
    Ok(())
}

/// A line, or bytes, to what is sent already.
fn send(case: &mut Case, line: &str) -> Result<(), String> {
    let (text, end): (&str, &[u8]) = match line.strip_prefix(">-") {
        Some(text) => (text, b""),
        None => (&line[1..], b"\r\n"),
    };
    let mut bytes = notation::bytes(text.strip_prefix(' ').unwrap_or(text))?;
    bytes.extend_from_slice(end);
    match case.steps.last_mut() {
        Some(Step::Send(sent)) => sent.extend_from_slice(&bytes),
        _ => case.steps.push(Step::Send(bytes)),
    }
    Ok(())
}

fn request_line(request: &mut ExpectedRequest, text: &str) -> Result<(), String> {
    match split(text) {
        ("body", body) => request.body = notation::bytes(body)?,
        ("trailer", field) => request.trailers.push(field_line(field)?),
        ("broken", "") => request.is_broken = true,
        ("no", name) => request.fields.push((name.to_owned(), Vec::new())),
        _ => add_value(&mut request.fields, field_line(text)?),
    }
    Ok(())
}

fn answer(text: &str) -> Result<ExpectedAnswer, String> {
    let (status, rest) = split(text);
    let digits = status.strip_suffix('?');
    let number =
        digits.unwrap_or(status).parse().map_err(|_| format!("{status:?} is no status"))?;
    let closes = match rest {
        "" => false,
        "close" => true,
        _ => return Err(format!("{rest:?} behind the status")),
    };
    let is_optional = digits.is_some();
    Ok(ExpectedAnswer { status: number, is_optional, closes, ..ExpectedAnswer::default() })
}

fn answer_line(answer: &mut ExpectedAnswer, text: &str) -> Result<(), String> {
    match split(text) {
        ("body", body) => answer.body = Some(notation::bytes(body)?),
        ("trailer", field) => answer.trailers.push(field_line(field)?),
        ("no", name) => answer.fields.push((name.to_owned(), Vec::new())),
        _ => add_value(&mut answer.fields, field_line(text)?),
    }
    Ok(())
}

fn field_line(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("{text:?} is no field"))?;
    if name.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b' ') {
        return Err(format!("{name:?}: names are in lower case"));
    }
    Ok((name.to_owned(), notation::bytes(value.strip_prefix(' ').unwrap_or(value))?))
}

fn add_value(fields: &mut Vec<(String, Vec<Vec<u8>>)>, (name, value): (String, Vec<u8>)) {
    match fields.iter_mut().find(|(other, _)| *other == name) {
        Some((_, values)) => values.push(value),
        None => fields.push((name, vec![value])),
    }
}

/// What a case needs as a whole.
fn check(case: &Case) -> Result<(), String> {
    if case.rfc.is_empty() {
        return Err("it does not say which section it is about".to_owned());
    }
    let is_section = |text: &String| {
        let rest = ["9110 §", "9112 §", "3986 §"].iter().find_map(|rfc| text.strip_prefix(rfc));
        rest.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    if let Some(rfc) = case.rfc.iter().find(|rfc| !is_section(rfc)) {
        return Err(format!("{rfc:?} is no section: `9112 §6.3`"));
    }
    if case.steps.is_empty() {
        return Err("nothing is said".to_owned());
    }
    let mut finals = case.answers.iter().rev();
    finals.next();
    if finals.any(|answer| answer.closes) {
        return Err("an answer behind one that closes".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_all_that_it_says() {
        let text = "# about\n\ncase a-b\nrfc 9112 §3, 9110 §8.6\nwhy so\nlimits body_bytes_max=7\n\
                    each x X\neach empty\n> GET /$ HTTP/1.1\n>\n>- \\$$\nwait 100\nfin\n\
                    = GET /$\n=   a: 1\n=   a: 2\n=   no b\n=   body $\n=   trailer t: $\n\
                    < 100?\n< 200 close\n<   c: d\n<   body $\n";
        let cases = parse("file", text).unwrap();
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["a-b/x", "a-b/empty"]);
        let [case, empty] = &cases[..] else { panic!() };
        assert_eq!(case.place, "file:3");
        assert_eq!(case.rfc, ["9112 §3", "9110 §8.6"]);
        assert_eq!(case.limits.body_bytes_max, 7);
        let sent = b"GET /X HTTP/1.1\r\n\r\n$X".to_vec();
        assert_eq!(case.steps, [Step::Send(sent), Step::AwaitContinue, Step::Fin]);
        assert_eq!(empty.steps[0], Step::Send(b"GET / HTTP/1.1\r\n\r\n$".to_vec()));
        let request = &case.requests[0];
        assert_eq!(request.line, "GET /X");
        let values = |name: &str, values: &[&[u8]]| {
            (name.to_owned(), values.iter().map(|value| value.to_vec()).collect())
        };
        assert_eq!(request.fields, [values("a", &[b"1", b"2"]), values("b", &[])]);
        assert_eq!((&*request.body, &*request.trailers[0].1), (&b"X"[..], &b"X"[..]));
        let [interim, last] = &case.answers[..] else { panic!() };
        assert!(interim.is_optional && last.closes && !last.is_optional);
        assert_eq!((last.status, last.body.as_deref()), (200, Some(&b"X"[..])));
        assert!(case.ends() && case.epilogue().is_none());
    }

    #[test]
    fn errors_name_file_and_line() {
        let head = "case a-b\nrfc 9112 §3\n> x\n";
        for (text, expected) in [
            ("x\n", "f:1: before the first case"),
            ("case a-b\n", "f:1: it does not say"),
            ("case ab\n", "f:1: \"ab\" is no name"),
            ("case a-b\nrfc 9112 §3\n", "f:1: nothing is said"),
            ("case a-b\nrfc 2616 §3\n> x\n", "f:1: \"2616 §3\" is no section"),
            (&format!("{head}> a \n"), "f:4: white space"),
            (&format!("{head}what\n"), "f:4: unknown"),
            (&format!("{head}> \\q\n"), "f:4: unknown escape"),
            (&format!("{head}=   body x\n"), "f:4: it belongs to nothing"),
            (&format!("{head}< abc\n"), "f:4: \"abc\" is no status"),
            (&format!("{head}< 200 closes\n"), "f:4: \"closes\" behind"),
            (&format!("{head}< 400 close\n< 200\n"), "f:1: an answer behind"),
            (&format!("{head}limits x=1\n"), "f:4: \"x\" is no limit"),
        ] {
            let error = parse("f", text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
