//! What a world has reached, and sent: its coverage, its counts, its packets.

use super::World;
use crate::{Capture, Coverage, PollCounts};

impl World {
    /// Each packet that was sent so far. Empty without [`WorldConfig::captures_packets`](crate::WorldConfig::captures_packets).
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.room.borrow().capture().unwrap_or_default()
    }

    /// How often the tasks of each spawn site were polled so far. Empty without [`WorldConfig::counts_polls`](crate::WorldConfig::counts_polls).
    #[must_use]
    pub fn poll_counts(&self) -> PollCounts {
        let mut counts = PollCounts::default();
        for counter in &self.room.borrow().poll_counters {
            counter.borrow().add_to(&mut counts);
        }
        counts
    }

    /// What has been reached so far: faults that happened, and what the programs said of themselves.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.room.borrow().coverage.clone()
    }
}
