//! A random program of tasks, wakers, handles and scopes, run on the executor and on a plain model of it: both must see
//! the same polls, drops and outcomes, in the same order.

mod model;
mod program;
mod real;

use model::Model;
use program::Program;
use real::Real;

/// Reads `data` as a program, runs it on both sides, and asserts that they agree after each step.
///
/// # Panics
/// If they do not.
pub fn tasks(data: &[u8]) {
    let program = Program::parse(data);
    let (mut model, real) = (Model::default(), Real::new());
    for op in &program.ops {
        model.apply(*op);
        real.apply(*op);
        assert_eq!(real.log(), model.log, "after {op:?} of {:?}", program.ops);
    }
    model.end();
    let (log, panics_unjoined, cancelled) = real.end();
    assert_eq!(log, model.log, "at the end of {:?}", program.ops);
    assert_eq!(panics_unjoined, model.panics_unjoined, "{:?}", program.ops);
    assert_eq!(cancelled, model.cancelled, "{:?}", program.ops);
}

#[cfg(test)]
mod tests {
    use super::tasks;

    /// Programs without coverage to guide them still reach every operation many times.
    #[test]
    fn random_programs_agree_with_the_model() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let bytes = (0..120).map(|_| {
                // SplitMix64.
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut bits = state;
                bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (bits ^ (bits >> 31)).to_le_bytes()[0]
            });
            tasks(&bytes.collect::<Vec<u8>>());
        }
    }
}
