//! Bytes in which one that is lost, doubled or swapped is seen.

/// The byte of each position of a stream.
#[expect(clippy::cast_possible_truncation, reason = "below 251")]
fn pattern(position: usize) -> u8 {
    (position % 251) as u8
}

/// The bytes of `count` positions from `start` on.
pub(crate) fn patterned(start: usize, count: usize) -> Vec<u8> {
    (start..start + count).map(pattern).collect()
}
