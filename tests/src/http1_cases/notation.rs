//! How the case files write bytes: text, escapes, repetitions.

/// The bytes that `text` stands for.
///
/// # Errors
/// What is not an escape or a repetition.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        match next {
            '\\' => {
                let (byte, length) = escape(rest)?;
                bytes.push(byte);
                rest = &rest[length..];
            }
            '{' => match repetition(rest)? {
                Some((repeated, length)) => {
                    bytes.extend_from_slice(&repeated);
                    rest = &rest[length..];
                }
                None => {
                    bytes.push(b'{');
                    rest = &rest[1..];
                }
            },
            _ => {
                let length = next.len_utf8();
                bytes.extend_from_slice(&rest.as_bytes()[..length]);
                rest = &rest[length..];
            }
        }
    }
    Ok(bytes)
}

/// The byte of the escape at the front of `text`, and how long the escape is.
fn escape(text: &str) -> Result<(u8, usize), String> {
    let byte = match text.as_bytes().get(1) {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'0') => 0,
        Some(b's') => b' ',
        Some(byte @ (b'\\' | b'{' | b'$')) => *byte,
        Some(b'x') => {
            let digits = text.get(2..4).ok_or("`\\x` takes two digits")?;
            let byte = u8::from_str_radix(digits, 16);
            return Ok((byte.map_err(|_| format!("`\\x{digits}` is no byte"))?, 4));
        }
        _ => return Err(format!("unknown escape in {text:?}")),
    };
    Ok((byte, 2))
}

/// The bytes of a repetition at the front of `text`, which begins with a brace, and how long it is written.
fn repetition(text: &str) -> Result<Option<(Vec<u8>, usize)>, String> {
    let digits = text[1..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || text.as_bytes().get(1 + digits) != Some(&b'*') {
        return Ok(None);
    }
    let count: usize = text[1..=digits].parse().map_err(|_| "a repetition too many")?;
    let start = digits + 2;
    let length = text[start..].find('}').ok_or("a repetition without its end")?;
    let repeated = bytes(&text[start..start + length])?;
    Ok(Some((repeated.repeat(count), start + length + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_escapes_and_repetitions() {
        let check =
            |text: &str, expected: &[u8]| assert_eq!(bytes(text).unwrap(), expected, "{text}");
        check("", b"");
        check("GET / é", "GET / é".as_bytes());
        check(r"\r\n\t\0\s\\\{\$\x7f\xFF", b"\r\n\t\0 \\{$\x7f\xff");
        check(r"a{3*b\r}c", b"ab\rb\rb\rc");
        check("{x}{2*}|{0*a}", b"{x}|");
        for text in [r"\", r"\q", r"\x", r"\x4", r"\xzz", "{3*a", r"{2*\q}"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
