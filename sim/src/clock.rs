//! `Clock`: how the clock of a machine goes, too fast or too slow, and how wrong its date is.
//!
//! Invariant: it never goes back, whatever is changed about it; a change counts from the instant at which it is made.

use core::time::Duration;

use mainspring_executor::driver::Instant;

/// The date at which each world starts: 2026-01-01T00:00:00Z, since 1970.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// A second that is right, in millionths.
const MILLION: u32 = 1_000_000;

/// See the file.
#[derive(Debug)]
pub(crate) struct Clock {
    /// How many millionths of a second pass here in each second of the room.
    pace: u32,
    /// Since when it goes so, in the time of the room.
    since: Instant,
    /// What it showed then.
    shown: Instant,
    error: DateError,
}

/// How wrong a date is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DateError {
    Ahead(Duration),
    Behind(Duration),
}

impl Clock {
    /// One that is right.
    pub(crate) fn new() -> Self {
        let error = DateError::Ahead(Duration::ZERO);
        Self { pace: MILLION, since: Instant::START, shown: Instant::START, error }
    }

    /// Goes at another pace from `now` on.
    ///
    /// # Panics
    /// When it would stand still, or go back.
    pub(crate) fn set_drift(&mut self, now: Instant, millionths: i32) {
        let pace = MILLION.checked_add_signed(millionths).filter(|pace| *pace > 0);
        self.shown = self.shows(now);
        self.since = now;
        self.pace = pace.expect("a clock that drifts goes forward");
    }

    pub(crate) fn set_date_error(&mut self, error: DateError) {
        self.error = error;
    }

    /// What it shows when it is `now` in the room.
    pub(crate) fn shows(&self, now: Instant) -> Instant {
        // A task that changes it may be ahead of the room.
        let passed = now.as_nanos().saturating_sub(self.since.as_nanos());
        match self.pace {
            // Most are right, and asked often.
            MILLION => later(self.shown, passed.into()),
            pace => later(self.shown, u128::from(passed) * u128::from(pace) / u128::from(MILLION)),
        }
    }

    /// The first instant in the room at which it shows `shown`, or later.
    pub(crate) fn when(&self, shown: Instant) -> Instant {
        let ahead = u128::from(shown.as_nanos().saturating_sub(self.shown.as_nanos()));
        match self.pace {
            MILLION => later(self.since, ahead),
            pace => later(self.since, (ahead * u128::from(MILLION)).div_ceil(pace.into())),
        }
    }

    /// The date that it shows, since 1970.
    pub(crate) fn date(&self, now: Instant) -> Duration {
        let right = EPOCH + (self.shows(now) - Instant::START);
        match self.error {
            DateError::Ahead(by) => right.saturating_add(by),
            DateError::Behind(by) => right.saturating_sub(by),
        }
    }
}

/// So many nanoseconds later; at the end of time, if that comes first.
fn later(instant: Instant, nanos: u128) -> Instant {
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    Instant::from_nanos(instant.as_nanos().saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_that_is_right_shows_the_time_of_the_room() {
        let clock = Clock::new();
        for nanos in [0, 1, 7, 1_000_000_007, u64::MAX] {
            let instant = Instant::from_nanos(nanos);
            assert_eq!((clock.shows(instant), clock.when(instant)), (instant, instant));
        }
    }

    proptest! {
        /// `when` is the first instant at which `shows` is there; what was shown is never shown again.
        #[test]
        fn it_goes_forward_and_timers_are_never_early(
            paces in prop::collection::vec((0_u64..10_000_000_000, -999_999_i32..3_000_000), 1..5),
            ahead in 0_u64..100_000_000_000,
        ) {
            let (mut clock, mut now) = (Clock::new(), Instant::START);
            for (later, drift) in paces {
                now += Duration::from_nanos(later);
                let before = clock.shows(now);
                clock.set_drift(now, drift);
                prop_assert_eq!(clock.shows(now), before);
                let wanted = before + Duration::from_nanos(ahead);
                let when = clock.when(wanted);
                prop_assert!(when >= now && clock.shows(when) >= wanted);
                if when > now {
                    let just_before = Instant::from_nanos(when.as_nanos() - 1);
                    prop_assert!(clock.shows(just_before) < wanted);
                }
            }
        }
    }
}
