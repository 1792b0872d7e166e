//! `Sweep`: what waits in the backlog of a listener that is about to be closed.

use core::fmt;
use core::panic::Location;

use super::{TcpListener, TcpStream};
use crate::driver::Exhausted;
use crate::time::yield_now;

/// Connections that are taken at most; those beyond are reset with the listener.
const CONNECTIONS_MAX: usize = 1024;

/// So many are taken before other tasks run.
const BURST_MAX: usize = 64;

/// The connections that wait in the backlog of a listener: closing that would reset them. Made by [`TcpListener::sweep`].
pub struct Sweep<'a> {
    listener: &'a TcpListener,
    /// Who sweeps.
    origin: &'static Location<'static>,
    /// Tries so far.
    count: usize,
}

impl<'a> Sweep<'a> {
    pub(super) fn of(listener: &'a TcpListener, origin: &'static Location<'static>) -> Self {
        Self { listener, origin, count: 0 }
    }

    /// The next of them; `None` when none is left, when the machine has no socket for it, and after 1,024. Cancel-safe.
    pub async fn next(&mut self) -> Option<TcpStream> {
        while self.count < CONNECTIONS_MAX {
            if self.count > 0 && self.count.is_multiple_of(BURST_MAX) {
                yield_now().await;
            }
            self.count += 1;
            match self.listener.try_accept_at(self.origin) {
                Ok(accepted) => return accepted.map(|(stream, _peer)| stream),
                // What waits for sockets that the machine does not have cannot be taken, and nobody waits for those.
                Err(error) if Exhausted::is(&error) => return None,
                // That peer gave up.
                Err(error) => tracing::debug!("accept failed: {error}"),
            }
        }
        None
    }
}

impl fmt::Debug for Sweep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sweep({} of {:?})", self.count, self.listener)
    }
}
