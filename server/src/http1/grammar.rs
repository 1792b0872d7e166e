//! The byte classes and small words of RFC 9110, RFC 9112 and RFC 3986 that the parser decides by.
//!
//! Pure functions of bytes: no state, no limits, no verdicts. Who calls them knows what a `false`
//! means.

use core::net::Ipv6Addr;

/// RFC 9110 §5.6.2: the bytes of a token (method, field name, coding, extension name).
pub(super) const TOKEN: u8 = 1;

/// Bytes of a request target: the URI characters of RFC 3986, and the few others that browsers send
/// as they are (WHATWG URL: `[ ] ^ ` { | }`). Left out on purpose: controls and 8-bit bytes, `"`,
/// `<` and `>`; `#`, because a fragment never travels; and the backslash, which some parsers behind
/// us read as a slash.
pub(super) const TARGET: u8 = 2;

/// RFC 3986 §3.2.2: bytes of a registered name, without `,`, which only a joined list of two hosts
/// has.
const REG_NAME: u8 = 4;

/// Bytes that mean the same wherever they stand in a target: all but `%` (RFC 3986 §2.1), and the backtick, which browsers
/// send in a query and nobody in a path.
pub(super) const UNESCAPED: u8 = 8;

/// All bytes but `?`, which ends the path of a target in origin-form (RFC 9112 §3.2.1).
pub(super) const PATH: u8 = 16;

/// The classes of each byte, so that one look at a byte tells all of them.
const CLASSES: [u8; 256] = {
    let mut classes = [UNESCAPED | PATH; 256];
    classes[b'?' as usize] = UNESCAPED;
    classes[b'%' as usize] = PATH;
    classes[b'`' as usize] = PATH;
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            classes[byte as usize] |= TOKEN | TARGET | REG_NAME;
        }
        byte += 1;
    }
    let classes = with(classes, TOKEN, b"!#$%&'*+-.^_`|~");
    let classes = with(classes, TARGET, b"-._~!$&'()*+,;=:@%/?[]^`{|}");
    with(classes, REG_NAME, b"-._~!$&'()*+;=%")
};

const fn with(mut classes: [u8; 256], class: u8, members: &[u8]) -> [u8; 256] {
    let mut index = 0;
    while index < members.len() {
        classes[members[index] as usize] |= class;
        index += 1;
    }
    classes
}

/// The classes that all bytes of `text` are in. Looks at every byte: a loop that may end early costs
/// more than the end of a short text.
pub(super) fn common_classes(text: &[u8]) -> u8 {
    let (fours, rest) = text.as_chunks::<4>();
    let common = fours.iter().fold(u8::MAX, |common, four| common & common_classes_of_four(*four));
    rest.iter().fold(common, |common, &byte| common & classes(byte))
}

/// Whether `token` is `word` without regard to case. In a token no two bytes but a letter and its other case differ in
/// that one bit only: the counterpart of `-` is a CR, that of `_` is DEL.
#[inline]
pub(super) fn is_word<const LENGTH: usize>(token: &[u8], word: &[u8; LENGTH]) -> bool {
    const CASE: u8 = b'a' ^ b'A';
    let differing = |token: &[u8; LENGTH]| {
        token.iter().zip(word).fold(0, |all, (one, other)| all | ((one ^ other) & !CASE))
    };
    token.as_array::<LENGTH>().is_some_and(|token| differing(token) == 0)
}

/// True for a byte that a token may hold.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// The classes that four bytes have in common.
#[inline]
pub(super) const fn common_classes_of_four(text: [u8; 4]) -> u8 {
    classes(text[0]) & classes(text[1]) & classes(text[2]) & classes(text[3])
}

/// The classes of a byte.
#[inline]
pub(super) const fn classes(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

/// True for a token: at least one byte, all of them token bytes.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && common_classes(text) & TOKEN != 0
}

/// True if `text` is not empty and holds only what a request target may hold, whatever its form.
pub(super) fn is_target(text: &[u8]) -> bool {
    !text.is_empty() && common_classes(text) & TARGET != 0
}

/// RFC 9110 §5.6.4: a byte that stands for itself between quotes.
pub(super) const fn is_quoted_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' | 0x80..)
}

/// RFC 9110 §5.6.4: a byte that may follow a backslash between quotes.
pub(super) const fn is_quotable(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// The value of a hexadecimal digit.
pub(super) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986 §2.1: true if each `%` is followed by two hexadecimal digits.
pub(super) fn is_percent_encoded(text: &[u8]) -> bool {
    let is_hex = |index: usize| text.get(index).is_some_and(u8::is_ascii_hexdigit);
    memchr::memchr_iter(b'%', text).all(|index| is_hex(index + 1) && is_hex(index + 2))
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1) without the optional white space around
/// them. An empty element is handed out as such: some lists forgive it, others do not.
pub(super) fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_white_space)
}

/// Drops SP and HTAB, and no other byte, at both ends: what another parser might take for space,
/// must stay visible.
pub(super) fn trim_white_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// RFC 9110 §7.2: true for `uri-host [":" port]` with a host that is not empty and a port of 16
/// bits.
///
/// Stricter than the grammar where two parsers could differ: an empty port, an `IPvFuture` literal
/// and a comma are refused, as is an empty host (RFC 9110 §4.2.1: no http URI has one).
pub(super) fn is_host(value: &[u8]) -> bool {
    if let Some(literal) = value.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', literal) else { return false };
        return is_ipv6(&literal[..end]) && is_port_suffix(&literal[end + 1..]);
    }
    // Most hosts have no port, and then there is nothing to search for.
    if is_reg_name(value) {
        return true;
    }
    let end = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
    is_reg_name(&value[..end]) && is_port_suffix(&value[end..])
}

fn is_ipv6(literal: &[u8]) -> bool {
    str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_reg_name(name: &[u8]) -> bool {
    let classes = common_classes(name);
    let is_in_class = !name.is_empty() && classes & REG_NAME != 0;
    is_in_class && (classes & UNESCAPED != 0 || is_percent_encoded(name))
}

fn is_port_suffix(suffix: &[u8]) -> bool {
    match suffix {
        [] => true,
        // Digits only (`u16::from_str` would take a plus sign), and few enough for the sum to fit.
        [b':', port @ ..]
            if (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit) =>
        {
            let number =
                port.iter().fold(0, |number, &digit| number * 10 + u32::from(digit - b'0'));
            number <= u32::from(u16::MAX)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let accepted =
            ["a", "a.b:80", "127.0.0.1", "[::1]", "[::1]:8080", "a_b", "a%20b", "a:0", "A-1.x."];
        for host in accepted {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        let refused = [
            "",
            ":80",
            "a:",
            "a:+1",
            "a:65536",
            "a:000080",
            "a:80:80",
            "a b",
            "a/b",
            "u@a",
            "http://a",
            "a,b",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[]",
            "a%2",
            "a%zz",
            "a\\b",
            "a?b",
            "a#b",
            "a\0",
            "é",
        ];
        for host in refused {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn classes_of_all_bytes() {
        for byte in 0..=255u8 {
            // The `http` crate keeps the same classes: a difference is a request that we parse and
            // cannot build.
            assert_eq!(is_token_byte(byte), http::Method::from_bytes(&[byte]).is_ok(), "{byte:#x}");
            assert_eq!(
                is_token_byte(byte),
                http::HeaderName::from_bytes(&[byte]).is_ok(),
                "{byte:#x}"
            );
            let digit =
                (byte as char).to_digit(16).map(|digit| u8::try_from(digit).expect("one digit"));
            assert_eq!(hex_digit(byte), digit, "{byte:#x}");
        }
        for byte in (0..=255u8).filter(|&byte| is_token_byte(byte)) {
            for letter in *b"az-_" {
                assert_eq!(
                    is_word(&[byte], &[letter]),
                    byte.eq_ignore_ascii_case(&letter),
                    "{byte:#x} {letter:#x}"
                );
            }
        }
        assert!(
            is_word(b"Host", b"host") && !is_word(b"Hosts", b"host") && !is_word(b"Hos", b"host")
        );
        for byte in *b"\0\t\n\r \"#<>\\\x7f\x80\xff" {
            assert!(!is_target(&[byte]), "{byte:#x}");
        }
        assert!(!is_token(b"") && !is_target(b""));
    }

    #[test]
    fn lists() {
        let elements: Vec<&[u8]> = list_elements(b" a ,\tb,,c\x0b").collect();
        assert_eq!(elements, [b"a".as_slice(), b"b", b"", b"c\x0b"]);
        assert!(
            is_percent_encoded(b"/%41%ff/x")
                && !is_percent_encoded(b"/%4")
                && !is_percent_encoded(b"%%41")
        );
    }
}
