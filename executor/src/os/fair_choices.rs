//! `FairChoices`: draws for fairness. A generator of two dozen instructions, for it is asked at each poll of a `select!`;
//! nobody must rely on it for secrets.

use core::cell::Cell;

/// The generator xorshift64* (Marsaglia, "Xorshift RNGs", 2003; the multiplier is Vigna's, 2016). Its state is never 0;
/// it is seeded from the system's entropy at the first draw, so that a driver which never draws costs no system call.
#[derive(Default)]
pub(super) struct FairChoices(Cell<Option<u64>>);

impl FairChoices {
    /// A number below `count`.
    pub(super) fn choose(&self, count: usize) -> usize {
        assert!(count > 0, "a choice has at least one answer");
        // The high half of the product: the high bits of this generator are the good ones, and there is no division.
        let product = u128::from(self.next()) * count as u128;
        usize::try_from(product >> 64).expect("less than a usize")
    }

    fn next(&self) -> u64 {
        let mut state = self.0.get().unwrap_or_else(seed);
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(Some(state));
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn seed() -> u64 {
    getrandom::u64().expect("the system has entropy").max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_comes_up_about_as_often() {
        // By chance a count is this far off less than once in 10^15 runs.
        let choices = FairChoices::default();
        let mut counts = [0; 5];
        for _ in 0..50_000 {
            counts[choices.choose(5)] += 1;
        }
        assert!(counts.iter().all(|count| (9_200..10_800).contains(count)), "{counts:?}");
        assert_eq!(choices.choose(1), 0);
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // From its definition, computed by other means, for the seed 1.
        let choices = FairChoices(Cell::new(Some(1)));
        assert_eq!(choices.next(), 0x47e4_ce4b_896c_dd1d);
        assert_eq!(choices.next(), 0xabcf_a6a8_e079_651d);
    }
}
