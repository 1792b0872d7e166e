//! The differences between our server and hyper's that are meant: all of them. Each says when it holds as narrowly as it
//! can, by which error we refuse and by the bytes of the message; "Beside hyper" in `docs/HTTP.md` says why.

use mainspring::http1::Error;
use mainspring::limits::{CHUNK_SIZE_DIGITS_LIMIT, CONTENT_LENGTH_DIGITS_LIMIT};

use super::difference::{Difference, Fate};
use super::message::{Message, has_bare_carriage_return, has_bare_line_feed, is_finished};
use super::run::limits;

/// Whether the bytes, and what came of them, are such.
type Holds = fn(&Difference<'_>) -> bool;

/// A difference that is meant.
pub(super) struct Explained {
    /// As `docs/HTTP.md` calls it.
    pub(super) name: &'static str,
    taken_by: TakenBy,
    /// The errors of ours for which it may hold; none where it is not about them.
    pub(super) errors: &'static [Error],
    holds: Holds,
}

/// Who took the message for a request: whose handler got it.
#[derive(Clone, Copy)]
enum TakenBy {
    /// hyper. We refused it, at once or in its body.
    Hyper,
    /// Nobody took the whole of it.
    Nobody,
    /// We, or at least its head.
    Us,
    /// It does not matter: the connections are not the same any more.
    Anybody,
}

impl TakenBy {
    fn holds(self, difference: &Difference<'_>) -> bool {
        let Difference { ours, hyper, .. } = difference;
        match self {
            Self::Hyper => hyper.seen.is_some() && ours.refusal.is_some(),
            Self::Nobody => !hyper.is_served() && !ours.is_served(),
            Self::Us => ours.seen.is_some() && hyper.seen.is_none(),
            Self::Anybody => true,
        }
    }
}

impl Explained {
    /// What explains a difference.
    pub(super) fn of(difference: &Difference<'_>) -> Option<&'static Self> {
        if !difference.is_one_request() {
            return None;
        }
        EXPLAINED.iter().find(|explained| {
            let is_its_error = explained.errors.is_empty()
                || difference.error.is_some_and(|error| explained.errors.contains(&error));
            explained.taken_by.holds(difference) && is_its_error && (explained.holds)(difference)
        })
    }
}

/// All of them, in the order of the page.
pub(super) const EXPLAINED: &[Explained] = &[
    taken_by_hyper("empty-lines", &[Error::RequestLine], empty_lines),
    taken_by_hyper("lone-line-feed", &[Error::LineEnd], lone_line_feed),
    taken_by_hyper("odd-target", &[Error::Target], odd_target),
    taken_by_hyper("https-target", &[Error::Misdirected], https_target),
    taken_by_hyper("connect", &[Error::Connect], connect),
    taken_by_hyper("odd-host", &[Error::Host], odd_host),
    taken_by_hyper("repeated-length", &[Error::ContentLength], repeated_length),
    taken_by_hyper("long-length", &[Error::ContentLength], long_length),
    taken_by_hyper(
        "listed-codings",
        &[Error::TransferEncoding, Error::UnknownCoding],
        listed_codings,
    ),
    taken_by_hyper("length-and-coding", &[Error::LengthConflict], length_and_coding),
    taken_by_hyper("disguised-framing", &[Error::FramingDisguise], disguised_framing),
    taken_by_hyper("other-expectation", &[Error::Expectation], other_expectation),
    taken_by_hyper("long-body", &[Error::BodyTooLong], long_body),
    taken_by_hyper("odd-chunk-size", &[Error::ChunkSize], odd_chunk_size),
    taken_by_hyper("odd-chunk-extension", &[Error::ChunkExtension], odd_chunk_extension),
    taken_by_hyper("long-chunk-line", &[Error::ChunkLineTooLong], long_chunk_line),
    taken_by_hyper("forbidden-trailer", &[Error::Trailer], forbidden_trailer),
    taken_by_nobody("another-status", REFUSALS, another_status),
    taken_by_nobody("unfinished-head", HEAD_ERRORS, unfinished_head),
    taken_by_nobody("unfinished-body", &[Error::Incomplete], unfinished_body),
    taken_by_nobody(
        "unfinished-trailers",
        &[Error::Incomplete, Error::TrailersTooLong],
        unfinished_trailers,
    ),
    taken_by_nobody("http2-preface", &[Error::Version, Error::RequestLine], http2_preface),
    not_of_ours("empty-lines-in-a-limit", TakenBy::Us, empty_lines_in_a_limit),
    not_of_ours("options-beside-obs-text", TakenBy::Anybody, options_beside_obs_text),
];

const fn taken_by_hyper(name: &'static str, errors: &'static [Error], holds: Holds) -> Explained {
    Explained { name, taken_by: TakenBy::Hyper, errors, holds }
}

const fn taken_by_nobody(name: &'static str, errors: &'static [Error], holds: Holds) -> Explained {
    Explained { name, taken_by: TakenBy::Nobody, errors, holds }
}

const fn not_of_ours(name: &'static str, taken_by: TakenBy, holds: Holds) -> Explained {
    Explained { name, taken_by, errors: &[], holds }
}

/// Errors that are answered, and that are hyper's business too.
const REFUSALS: &[Error] = &[
    Error::RequestLine,
    Error::LineEnd,
    Error::Target,
    Error::Misdirected,
    Error::RequestLineTooLong,
    Error::Version,
    Error::Connect,
    Error::Field,
    Error::HeadTooLong,
    Error::TooManyFields,
    Error::Host,
    Error::ContentLength,
    Error::TransferEncoding,
    Error::UnknownCoding,
    Error::LengthConflict,
    Error::FramingDisguise,
    Error::Expectation,
    Error::BodyTooLong,
    Error::TrailersTooLong,
];

/// Errors that are seen before a head is whole, or that it never will be.
const HEAD_ERRORS: &[Error] = &[
    Error::RequestLine,
    Error::LineEnd,
    Error::Target,
    Error::Misdirected,
    Error::RequestLineTooLong,
    Error::Version,
    Error::Connect,
    Error::Field,
    Error::HeadTooLong,
    Error::TooManyFields,
    Error::Incomplete,
];

/// What trailers must not hold: RFC 9110 §6.5.1, and what imitates it.
const FORBIDDEN_TRAILERS: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "content_length",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "transfer_encoding",
    "upgrade",
    "vary",
    "www-authenticate",
];

/// More than two empty lines, or such that end with a lone LF.
fn empty_lines(difference: &Difference<'_>) -> bool {
    !matches!(difference.message.empty_lines, b"" | b"\r\n" | b"\r\n\r\n")
}

/// In the head; where that was taken, in the trailers.
fn lone_line_feed(difference: &Difference<'_>) -> bool {
    let message = &difference.message;
    match difference.ours.seen {
        None => has_bare_line_feed(message.head),
        Some(_) => message.trailers().is_some_and(has_bare_line_feed),
    }
}

fn odd_target(difference: &Difference<'_>) -> bool {
    let (method, target) = (difference.message.method(), difference.message.target());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_plain = target.iter().all(|byte| byte.is_ascii_graphic() && !b"\"#<>\\".contains(byte))
        && has_good_escapes(path)
        && !path.contains(&b'`');
    let has_form = match target {
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ => authority(target).is_some_and(is_plain_host),
    };
    !is_plain || !has_form
}

fn https_target(difference: &Difference<'_>) -> bool {
    let target = difference.message.target();
    target.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"https://"))
}

fn connect(difference: &Difference<'_>) -> bool {
    difference.message.method() == b"CONNECT"
}

/// None, several, one that is not plainly a name or an address with perhaps a port, or one that is not the target's.
fn odd_host(difference: &Difference<'_>) -> bool {
    let message = &difference.message;
    match (message.values("host").as_slice(), authority(message.target())) {
        ([], _) => !message.is_one_zero(),
        ([host], Some(authority)) => !host.eq_ignore_ascii_case(authority) || !is_plain_host(host),
        ([host], None) => !is_plain_host(host),
        (_, _) => true,
    }
}

/// Several that are one number.
fn repeated_length(difference: &Difference<'_>) -> bool {
    let lengths = difference.message.values("content-length");
    let numbers: Vec<_> = lengths.iter().map(|digits| number(digits)).collect();
    numbers.len() > 1 && numbers[0].is_some() && numbers.iter().all(|number| *number == numbers[0])
}

/// One number, with zeros before it.
fn long_length(difference: &Difference<'_>) -> bool {
    match difference.message.values("content-length").as_slice() {
        [digits] => digits.len() > CONTENT_LENGTH_DIGITS_LIMIT && number(digits).is_some(),
        _ => false,
    }
}

/// Not just `chunked`, but with that as the last.
fn listed_codings(difference: &Difference<'_>) -> bool {
    let codings = difference.message.values("transfer-encoding");
    let is_single = codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked");
    ends_chunked(&codings) && !is_single && !difference.message.is_one_zero()
}

fn length_and_coding(difference: &Difference<'_>) -> bool {
    let message = &difference.message;
    let has_length = !message.values("content-length").is_empty();
    has_length && ends_chunked(&message.values("transfer-encoding")) && !message.is_one_zero()
}

/// A name with `_` for `-`, or an option of `Connection` that is a name which must stay.
fn disguised_framing(difference: &Difference<'_>) -> bool {
    let message = &difference.message;
    let names = ["content_length", "transfer_encoding"];
    let is_named = |option: &[u8]| {
        [&b"host"[..], b"content-length"].iter().any(|name| option.eq_ignore_ascii_case(name))
    };
    names.iter().any(|name| !message.values(name).is_empty())
        || message.values("connection").iter().any(|value| elements(value).any(is_named))
}

fn other_expectation(difference: &Difference<'_>) -> bool {
    match difference.message.values("expect").as_slice() {
        [] => false,
        [expectation] => !expectation.eq_ignore_ascii_case(b"100-continue"),
        [_, ..] => true,
    }
}

/// Its length, or its chunks together.
fn long_body(difference: &Difference<'_>) -> bool {
    let message = &difference.message;
    let bytes_max = limits().body_bytes_max;
    let lengths = message.values("content-length");
    let sizes = message.chunk_lines().0;
    let sizes =
        sizes.iter().map(|line| number_of_radix(chunk_digits(line), 16).unwrap_or(u64::MAX));
    lengths.iter().any(|digits| number(digits).is_none_or(|length| length > bytes_max))
        || sizes.fold(0, u64::saturating_add) > bytes_max
}

/// White space behind it, or zeros before it.
fn odd_chunk_size(difference: &Difference<'_>) -> bool {
    difference.message.chunk_lines().0.iter().any(|line| {
        let digits = chunk_digits(line);
        let has_space = matches!(line.get(digits.len()), Some(b' ' | b'\t'));
        !digits.is_empty() && (has_space || digits.len() > CHUNK_SIZE_DIGITS_LIMIT)
    })
}

fn odd_chunk_extension(difference: &Difference<'_>) -> bool {
    let lines = difference.message.chunk_lines().0;
    lines.iter().any(|line| line.get(chunk_digits(line).len()) == Some(&b';'))
}

fn long_chunk_line(difference: &Difference<'_>) -> bool {
    let lines = difference.message.chunk_lines().0;
    lines.iter().any(|line| line.len() + 2 > limits().chunk_line_bytes_max)
}

fn forbidden_trailer(difference: &Difference<'_>) -> bool {
    let trailers = difference.hyper.seen.map(|seen| seen.trailers.as_slice());
    let is_forbidden = |name: &String| FORBIDDEN_TRAILERS.contains(&name.as_str());
    trailers.unwrap_or_default().iter().any(|(name, _)| is_forbidden(name))
}

/// Both refuse. hyper knows 400, and 431 for what is too large.
fn another_status(difference: &Difference<'_>) -> bool {
    let Difference { ours, hyper, message, .. } = difference;
    let is_hypers = match hyper.refusal {
        Some(400) => true,
        Some(431) => is_too_large(message),
        _ => false,
    };
    let is_alike = ours.seen.is_some() == hyper.seen.is_some() && ours.is_open == hyper.is_open;
    ours.refusal.is_some() && is_hypers && is_alike
}

/// More than a head may be, or a length that is a number of 64 bits and one of the last that are.
fn is_too_large(message: &Message<'_>) -> bool {
    let length_max = u64::MAX - 2;
    message.empty_lines.len() + message.head.len() >= limits().head_bytes_max
        || message.field_count() > limits().header_count_max
        || message
            .values("content-length")
            .iter()
            .any(|digits| number(digits).is_some_and(|length| length > length_max))
}

/// No empty line ends it, so that nobody has to judge it; each finds some things out before.
fn unfinished_head(difference: &Difference<'_>) -> bool {
    let Difference { ours, hyper, message, .. } = difference;
    message.rest.is_none() && ours.seen.is_none() && hyper.seen.is_none()
}

/// The client ends it before it is whole. We have nothing to say to that, and hyper's handler says 400.
fn unfinished_body(difference: &Difference<'_>) -> bool {
    let Difference { ours, hyper, .. } = difference;
    ours.seen.is_some()
        && ours.refusal.is_none()
        && hyper.seen.is_some()
        && !hyper.is_served()
        && hyper.refusal == Some(400)
        && ours.is_open == hyper.is_open
}

/// No empty line ends them: hyper stops at a CR without an LF, and a byte later than we do where they are too long.
fn unfinished_trailers(difference: &Difference<'_>) -> bool {
    let Some(trailers) = difference.message.trailers() else { return false };
    let is_bad = match difference.error {
        Some(Error::TrailersTooLong) => trailers.len() == limits().trailer_bytes_max,
        _ => has_bare_carriage_return(trailers),
    };
    let both = difference.ours.seen.is_some() && difference.hyper.seen.is_some();
    both && is_bad && !is_finished(trailers)
}

/// hyper says nothing to it, where it came in one piece; nor behind empty lines that we refuse before it.
fn http2_preface(difference: &Difference<'_>) -> bool {
    let head = difference.message.head;
    head == b"PRI * HTTP/2.0\r\n\r\n" && difference.hyper.is_nothing()
}

/// An option of `Connection` next to a byte beyond ASCII: we see it, hyper does not.
fn options_beside_obs_text(difference: &Difference<'_>) -> bool {
    let Some(before) = difference.before else { return false };
    let is_hidden = |value: &[u8]| {
        let is_option = |option: &[u8]| {
            option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive")
        };
        !value.is_ascii() && elements(value).any(is_option)
    };
    // One has closed behind the request before, and nobody there got anything more.
    let has_closed = |fate: &Fate<'_>| fate.is_nothing() && fate.is_open != Some(true);
    before.values("connection").any(is_hidden)
        && (has_closed(&difference.ours) || has_closed(&difference.hyper))
}

/// They count for hyper, and not for us.
fn empty_lines_in_a_limit(difference: &Difference<'_>) -> bool {
    let message = &difference.message;
    let with_them = message.empty_lines.len() + message.head.len();
    difference.hyper.refusal == Some(431) && with_them > limits().head_bytes_max
}

/// The authority of a target in absolute-form of http.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = target.split_at_checked(b"http://".len())?;
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    scheme.eq_ignore_ascii_case(b"http://").then_some(&rest[..end])
}

/// Letters, digits, points and hyphens, with perhaps a port: what nobody refuses.
fn is_plain_host(host: &[u8]) -> bool {
    let colon = host.iter().position(|byte| *byte == b':');
    let (name, port) = host.split_at(colon.unwrap_or(host.len()));
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let has_port = match port {
        [] => true,
        [_, port @ ..] => port.len() <= 5 && number(port).is_some_and(|port| port <= 65_535),
    };
    !name.is_empty() && name.iter().all(is_name) && has_port
}

/// Whether two hexadecimal digits are behind each `%`.
fn has_good_escapes(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'%').skip(1);
    parts.all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit))
}

/// Whether the last coding of the last line is `chunked`: by that hyper goes.
fn ends_chunked(codings: &[&[u8]]) -> bool {
    let last = codings.last().and_then(|value| elements(value).last());
    last.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
}

/// The elements of a list.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The digits that a line in front of a chunk begins with.
fn chunk_digits(line: &[u8]) -> &[u8] {
    let count = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    &line[..count]
}

fn number(digits: &[u8]) -> Option<u64> {
    number_of_radix(digits, 10)
}

/// A number of digits only, if it is one of 64 bits.
fn number_of_radix(digits: &[u8], radix: u32) -> Option<u64> {
    let are_digits = digits.iter().all(|byte| char::from(*byte).is_digit(radix));
    let digits = str::from_utf8(digits).ok().filter(|_| are_digits)?;
    u64::from_str_radix(digits, radix).ok()
}
