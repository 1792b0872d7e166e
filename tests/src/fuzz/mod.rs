//! The bodies of the fuzz targets: functions of bytes that assert what must hold for all bytes.
//!
//! `fuzz/fuzz_targets/` calls them with what libFuzzer finds, `tests/tests/corpus.rs` with the
//! seeds in `fuzz/corpus/`, so that a plain `cargo test` replays everything that was ever found.
//! They know no more of the protocol, or of the executor, than its public types.

mod chunked;
mod connection;
pub mod differential;
mod request_head;
mod response;
mod room;
mod tasks;

pub use chunked::chunked;
pub use connection::connection;
pub use differential::differential;
pub use request_head::request_head;
pub use response::response;
pub use room::room;
pub use tasks::tasks;

/// Some date, for responses.
const DATE: &mainspring::http1::Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Splits what the fuzzer gave into a script and a stream: the first byte says how long the script
/// is, at most 31 bytes.
fn script_and_stream(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(first % 32).min(rest.len()))
}

/// Where to cut a stream of `length` bytes: pieces of the script's sizes, over and over.
fn cuts(script: &[u8], length: usize) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut at = 0;
    for index in 0..length {
        let piece = script.get(index % script.len().max(1)).copied().unwrap_or(1);
        at += usize::from(piece).max(1);
        if at >= length {
            break;
        }
        cuts.push(at);
    }
    cuts
}

/// One cut after every byte.
fn every_byte(length: usize) -> Vec<usize> {
    (1..length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_cuts() {
        assert_eq!(script_and_stream(b""), (b"".as_slice(), b"".as_slice()));
        assert_eq!(script_and_stream(b"\x02abcd"), (b"ab".as_slice(), b"cd".as_slice()));
        assert_eq!(script_and_stream(b"\x1fab"), (b"ab".as_slice(), b"".as_slice()));
        assert_eq!(cuts(&[3, 1], 10), [3, 4, 7, 8]);
        assert_eq!(cuts(&[0], 3), [1, 2]);
        assert_eq!(cuts(&[], 3), [1, 2]);
        assert_eq!(every_byte(3), [1, 2]);
    }
}
