//! `Shutdown`: how a server is told to end, in steps.

use core::cell::Cell;
use core::fmt;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use futures::future::FutureExt;
use mainspring_executor::CancelToken;
use mainspring_executor::signal::Signals;
use mainspring_executor::time::sleep;

/// Three flags for one or more servers of a shard: the end is near, finish what runs, and stop now. Clones share them.
#[derive(Clone, Default)]
pub struct Shutdown {
    leaving: CancelToken,
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
    pub(crate) async fn obey_signals(self, lame_duck: Duration) {
        let Some(mut signals) = self.signals.take() else { return };
        let Ok(signal) = signals.next().await else { return };
        tracing::debug!(?signal, "draining");
        self.leave();
        if lame_duck > Duration::ZERO {
            let mut second = pin!(signals.next().fuse());
            futures::select_biased! {
                _ = second => self.stop_now(),
                () = pin!(sleep(lame_duck).fuse()) => {}
            }
        }
        self.drain();
        while let Ok(signal) = signals.next().await {
            tracing::warn!(?signal, "stopping now");
            self.stop_now();
        }
    }

    /// False once the end is near: whoever sends requests here should send them elsewhere. For the endpoint that a load
    /// balancer asks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.leaving.is_cancelled()
    }

    /// Says that the end is near, and goes on serving.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Asks for a drain: accept no more, close what is idle, finish what runs.
    pub fn drain(&self) {
        self.leaving.cancel();
        self.drain.cancel();
    }

    /// Asks for the end, whatever still runs.
    pub fn stop_now(&self) {
        self.drain();
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
