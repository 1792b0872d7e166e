//! Target `room`: the choices of a whole simulated room, with what goes wrong when and who goes next, are the fuzzer's.

use mainspring_sim::Source;

use crate::scenarios::MIXED;

/// Runs the scenario `mixed` with choices from `data`: whatever they are, it holds.
///
/// # Panics
/// If it does not, with the tape that repeats it.
pub fn room(data: &[u8]) {
    if let (Err(failure), _) = MIXED.run_recorded(Source::bytes(data)) {
        panic!("{failure}");
    }
}
