//! `Shutdown`: how a server is told to end, in two steps.

use core::cell::Cell;
use core::fmt;
use std::io;
use std::rc::Rc;

use mainspring_executor::CancelToken;
use mainspring_executor::signal::Signals;

/// Two flags for one or more servers of a shard: finish what runs, and stop now. Clones share them.
#[derive(Clone, Default)]
pub struct Shutdown {
    drain: CancelToken,
    now: CancelToken,
    signals: Rc<Cell<Option<Signals>>>,
}

impl Shutdown {
    /// Nothing asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Obeys SIGINT and SIGTERM as well, from now until the end of the server that it is given to first: the first
    /// signal drains, the second stops now.
    ///
    /// # Errors
    /// Where the machine cannot watch signals.
    ///
    /// # Panics
    /// Outside of a shard.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        shutdown.signals.set(Some(Signals::subscribe()?));
        Ok(shutdown)
    }

    /// Turns signals into flags, if there is a subscription.
    pub(crate) async fn obey_signals(self) {
        let Some(mut signals) = self.signals.take() else { return };
        let mut is_first = true;
        while let Ok(signal) = signals.next().await {
            if is_first {
                tracing::debug!(?signal, "draining");
                self.drain();
            } else {
                tracing::warn!(?signal, "stopping now");
                self.stop_now();
            }
            is_first = false;
        }
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

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shutdown(drain: {:?}, now: {:?})", self.drain, self.now)
    }
}
