//! `Shutdown`: how a server is told to end, in two steps.

use std::io;

use mainspring_executor::signal::Signals;
use mainspring_executor::{CancelToken, spawn};

/// Two flags for one or more servers of a shard: finish what runs, and stop now. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancelToken,
    now: CancelToken,
}

impl Shutdown {
    /// Nothing asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Obeys SIGINT and SIGTERM: the first drains, the second stops now.
    ///
    /// # Errors
    /// Where the machine cannot watch signals.
    ///
    /// # Panics
    /// Outside of a shard.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals::subscribe()?;
        let flags = shutdown.clone();
        // It ends with its shard: there is no earlier moment from which signals should kill again.
        drop(spawn(async move {
            while let Ok(signal) = signals.next().await {
                if flags.drain.is_cancelled() {
                    tracing::warn!(?signal, "stopping now");
                    flags.stop_now();
                } else {
                    tracing::info!(?signal, "draining: no new connections, finishing what runs");
                    flags.drain();
                }
            }
        }));
        Ok(shutdown)
    }

    /// Asks for a drain: accept no more, close what is idle, finish what runs.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Asks for the end, whatever still runs.
    pub fn stop_now(&self) {
        self.drain.cancel();
        self.now.cancel();
    }

    pub(crate) fn draining(&self) -> &CancelToken {
        &self.drain
    }

    pub(crate) fn stopping(&self) -> &CancelToken {
        &self.now
    }
}
