//! The plain head: one that is there as a whole, in the form that nearly all clients send. It is read in one pass.
//!
//! This is a shortcut and no authority: what it takes, [`head`](super::head) would take with the same result, and where
//! there is any doubt it takes nothing. So it may refuse what is right, but never take what is wrong; the tests cut
//! each head in two, which only the long way can read, and compare.

use http::{Method, Version};

use super::grammar;
use super::head::{Meaning, ProtocolFields};
use super::request_head::{HeadParts, Span};
use super::target;
use crate::limits::Limits;

/// Reads the plain head at the front of `input` into `parts`, which are empty: its length and its meaning. After `None`
/// they have to be cleared.
///
/// Plain is a head of one target that begins with `/`, of lines that end with CRLF, of fields with no white space but
/// single spaces, or none, in front of their values.
pub(super) fn read(
    input: &[u8],
    limits: &Limits,
    parts: &mut HeadParts,
) -> Option<(usize, Meaning)> {
    let window = &input[..input.len().min(limits.head_bytes_max)];
    let mut line_start = read_request_line(window, limits, parts)?;
    let mut fields = ProtocolFields::default();
    let mut field_count = 0;
    while !window.get(line_start..)?.starts_with(b"\r\n") {
        if field_count == limits.header_count_max {
            return None;
        }
        field_count += 1;
        let line = &window[line_start..];
        let colon = token_length(line);
        if colon == 0 || *line.get(colon)? != b':' {
            return None;
        }
        let value_start = colon + 1 + usize::from(*line.get(colon + 1)? == b' ');
        let value_end = value_start + text_length(&line[value_start..]);
        let value = &line[value_start..value_end];
        if !line[value_end..].starts_with(b"\r\n") || matches!(value, [b' ', ..] | [.., b' ']) {
            return None;
        }
        fields.note(&line[..colon], value).ok()?;
        parts.add_field(
            Span::new(line_start, colon),
            Span::new(line_start + value_start, value.len()),
        );
        line_start += value_end + 2;
    }
    fields.host(parts.version()).ok()?;
    let meaning = fields.meaning(parts.version(), limits).ok()?;
    let length = line_start + 2;
    parts.set_bytes(&window[..length]);
    Some((length, meaning))
}

/// The length of the request line, its CRLF included.
fn read_request_line(window: &[u8], limits: &Limits, parts: &mut HeadParts) -> Option<usize> {
    let (method, target_start) = read_method(window)?;
    let target = &window[target_start..];
    let (target_length, path_length) =
        target::lengths(target).filter(|_| target.starts_with(b"/"))?;
    let behind = &target[target_length..];
    let version = if behind.starts_with(b" HTTP/1.1\r\n") {
        Version::HTTP_11
    } else if behind.starts_with(b" HTTP/1.0\r\n") {
        Version::HTTP_10
    } else {
        return None;
    };
    let target_end = target_start + target_length;
    let line_length = target_end + b" HTTP/1.1\r\n".len();
    if line_length > limits.request_line_bytes_max {
        return None;
    }
    parts.begin(method, target_start..target_end, Some(path_length), version);
    Some(line_length)
}

/// The method, and where what follows its space starts. CONNECT is not plain.
fn read_method(window: &[u8]) -> Option<(Method, usize)> {
    // Most are this one.
    if window.starts_with(b"GET ") {
        return Some((Method::GET, 4));
    }
    let length = token_length(window);
    let method = Method::from_bytes(&window[..length]).ok()?;
    let is_plain = window.get(length) == Some(&b' ') && method != Method::CONNECT;
    is_plain.then_some((method, length + 1))
}

/// How many token bytes `text` begins with.
#[inline]
fn token_length(text: &[u8]) -> usize {
    let (fours, _) = text.as_chunks::<4>();
    let is_token = |four: &&[u8; 4]| grammar::common_classes_of_four(**four) & grammar::TOKEN != 0;
    let mut length = 4 * fours.iter().take_while(is_token).count();
    while length < text.len() && grammar::is_token_byte(text[length]) {
        length += 1;
    }
    length
}

/// How many bytes `text` begins with that are no control: what a field value is made of but for tabs.
///
/// Eight at a time: a byte below 32 borrows from its highest bit when 32 is taken from it, and one that is 127 is zero
/// when it is inverted in its seven lower bits. (The highest bits of bytes behind such a one may be wrong; the first is
/// right.)
fn text_length(text: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 255;
    let below = |word: u64, bound: u64| word.wrapping_sub(EACH * bound) & !word & (EACH << 7);
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let controls = below(word, 0x20) | below(word ^ (EACH * 0x7f), 1);
        if controls != 0 {
            return 8 * index + controls.trailing_zeros() as usize / 8;
        }
    }
    let is_text = |byte: &&u8| !byte.is_ascii_control();
    text.len() - rest.len() + rest.iter().take_while(is_text).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_end_a_text_wherever_they_stand() {
        for control in (0..0x20).chain([0x7f]) {
            for length in 0..20 {
                let mut text = [b'a', 0x80, 0xff, b' ', b'~', 0xa0, 0x9f].repeat(3);
                text[length] = control;
                // One more behind it does not matter.
                text[length + 1] = b'\n';
                assert_eq!(text_length(&text), length, "{control:#x}");
            }
        }
        for length in 0..40 {
            assert_eq!(text_length(&vec![0xe9; length]), length);
        }
    }
}
