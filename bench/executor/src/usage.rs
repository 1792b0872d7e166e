//! How long the threads of a process have run, and how long they had to wait for a core, as the kernel counts it.

use std::{fs, io};

/// Of all threads alive, in nanoseconds since each was made.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub ran: u64,
    /// Could have run, but had no core.
    pub waited: u64,
}

impl Usage {
    pub fn of(process: u32) -> io::Result<Self> {
        let mut sum = Self::default();
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            // A thread that has ended meanwhile has taken its count along.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let mut fields = text.split_whitespace().map_while(|field| field.parse::<u64>().ok());
            sum.ran += fields.next().unwrap_or(0);
            sum.waited += fields.next().unwrap_or(0);
        }
        Ok(sum)
    }

    /// What came to it since `before`.
    pub fn since(self, before: Self) -> Self {
        let difference = |now: u64, before: u64| now.saturating_sub(before);
        Self {
            ran: difference(self.ran, before.ran),
            waited: difference(self.waited, before.waited),
        }
    }
}
