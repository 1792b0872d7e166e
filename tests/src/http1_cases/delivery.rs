//! `Delivery`: how the bytes of a case come over the wire.

/// In which pieces a client says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In one.
    Whole,
    /// Byte by byte.
    Bytes,
    /// Cut at places that a seed decides.
    Split(u64),
}

impl Delivery {
    /// `bytes` in pieces, none of them empty.
    pub(super) fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => bytes.chunks(bytes.len().max(1)).collect(),
            Self::Bytes => bytes.chunks(1).collect(),
            Self::Split(seed) => split(seed, bytes),
        }
    }
}

/// Pieces of which many are very small, and a few long.
fn split(seed: u64, bytes: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut rest, mut state) = (Vec::new(), bytes, seed);
    while !rest.is_empty() {
        let drawn = splitmix(&mut state);
        let size_max = match drawn % 4 {
            0 | 1 => 4,
            2 => 32,
            _ => rest.len(),
        };
        let size = (drawn >> 8) % (size_max as u64) + 1;
        let size = usize::try_from(size).expect("not above a length").min(rest.len());
        let (piece, after) = rest.split_at(size);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The generator of that name by Steele, Lea and Flood ("Fast splittable pseudorandom number generators", 2014).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        for delivery in (0..50).map(Delivery::Split).chain([Delivery::Whole, Delivery::Bytes]) {
            let pieces = delivery.pieces(&bytes);
            assert_eq!(pieces.concat(), bytes);
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            assert!(delivery.pieces(b"").is_empty());
        }
        assert_ne!(split(1, &bytes), split(2, &bytes));
    }
}
