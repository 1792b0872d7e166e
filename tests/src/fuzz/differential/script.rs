//! `Script`: how the bytes of a client come over the wire, and how it ends.

use super::super::{cuts, script_and_stream};

/// Pieces beyond this are joined: each costs a packet, and what a server makes of a cut it makes of the first dozens.
const PIECES_MAX: usize = 32;

/// What a client does, besides what it says.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) pieces: Vec<Vec<u8>>,
    /// Its FIN comes right behind the last byte. Else it waits whether the server closes.
    pub(super) hangs_up: bool,
}

impl Script {
    /// Splits what the fuzzer gave into a script and the stream: the low bits of the first byte say how long the
    /// pieces' sizes are (see [`super::super`]), bit 5 that the client hangs up.
    pub(super) fn read(data: &[u8]) -> (Self, &[u8]) {
        let hangs_up = data.first().is_some_and(|first| first & 0x20 != 0);
        let (sizes, stream) = script_and_stream(data);
        // Without sizes the stream comes whole.
        let mut ends = if sizes.is_empty() { Vec::new() } else { cuts(sizes, stream.len()) };
        ends.truncate(PIECES_MAX - 1);
        let mut start = 0;
        let mut pieces = Vec::new();
        for end in ends.into_iter().chain([stream.len()]) {
            if start < end {
                pieces.push(stream[start..end].to_vec());
            }
            start = end;
        }
        (Self { pieces, hangs_up }, stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_stream() {
        let check = |data: &[u8], pieces: &[&[u8]], hangs_up| {
            let (script, stream) = Script::read(data);
            assert_eq!(script.pieces, pieces);
            assert_eq!(script.pieces.concat(), stream);
            assert_eq!(script.hangs_up, hangs_up);
        };
        check(b"", &[], false);
        check(b"\x00GET", &[b"GET"], false);
        check(b"\x20GET", &[b"GET"], true);
        check(b"\x02\x01\x02GET / H", &[b"G", b"ET", b" ", b"/ ", b"H"], false);
        let long = [b"\x21\x01".as_slice(), &[b'x'; 100]].concat();
        let (script, _) = Script::read(&long);
        assert_eq!(script.pieces.len(), PIECES_MAX);
        assert_eq!(script.pieces.concat(), [b'x'; 100]);
    }
}
