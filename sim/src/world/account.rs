//! What a world tells of what has happened in it: its trace, and the calls past its drivers.

use mainspring_executor::driver::Instant;

use crate::bypass::Bypasses;
use crate::world::World;

impl World {
    /// The hash of everything that has happened: equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.room.borrow().trace.hash()
    }

    /// Everything that has happened, one line each: virtual time, host, what. Empty without [`WorldConfig::record`].
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.room.borrow().trace_lines(usize::MAX)
    }

    /// Each virtual instant at which something happened, in order. Empty without [`WorldConfig::record`].
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
}
