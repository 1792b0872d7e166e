//! What a world tells of what has happened in it: its trace, its packets, what it has reached, and the calls past its drivers.

use mainspring_executor::driver::Instant;

use crate::bypass::Bypasses;
use crate::world::World;
use crate::{Capture, Coverage, PollCounts};

impl World {
    /// The hash of everything that has happened: equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.room.borrow().trace.hash()
    }

    /// Everything that has happened, one line each: virtual time, host, what. Empty without [`WorldConfig::record`](crate::WorldConfig::record).
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.room.borrow().trace_lines(usize::MAX)
    }

    /// Each virtual instant at which something happened, in order. Empty without [`WorldConfig::record`](crate::WorldConfig::record).
    #[must_use]
    pub fn instants(&self) -> Vec<Instant> {
        self.room.borrow().trace.instants()
    }

    /// What programs asked libc for, past their drivers, in this world so far. Needs the guard: see
    /// [`bypass`](crate::bypass).
    #[must_use]
    pub fn bypasses(&self) -> Bypasses {
        self.room.borrow().bypasses.clone()
    }

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
