//! `Meter`: how long a peer has kept us waiting, and for how many bytes.

use core::time::Duration;

use mainspring_executor::{Instant, time};

use crate::timeouts::Pace;

/// One way of one exchange.
#[derive(Default)]
pub(crate) struct Meter {
    /// Since when the present wait lasts; `None` while there is none.
    since: Option<Instant>,
    /// All waits before it.
    waited: Duration,
    bytes: u64,
}

impl Meter {
    /// The moment at which the wait began, which is now if there was none.
    pub(crate) fn begin(&mut self) -> Instant {
        *self.since.get_or_insert_with(time::now)
    }

    /// Since when the present wait lasts.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The wait is over: so many bytes went through.
    pub(crate) fn end(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(time::now() - since);
        }
        self.bytes += bytes as u64;
    }

    /// Begins with another body.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// When the present wait, which begins now if there was none, has lasted too long: by itself, or with all others.
    pub(crate) fn deadline(&mut self, stall: Duration, pace: Pace) -> Instant {
        let left = pace.allowance(self.bytes).saturating_sub(self.waited);
        self.begin() + stall.min(left)
    }
}
