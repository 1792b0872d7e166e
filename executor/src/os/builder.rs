//! `OsDriverBuilder`: an [`OsDriver`] with choices.

use std::io;

use super::poller::Poller;
use super::{OsDriver, Pool};

/// How an [`OsDriver`] is to be made. See [`OsDriver::builder`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct OsDriverBuilder {
    is_portable: bool,
    pool: Option<Pool>,
}

impl OsDriverBuilder {
    /// Uses the `polling` crate where the system has epoll, too. See [`OsDriver::portable`].
    pub fn portable(mut self) -> Self {
        self.is_portable = true;
        self
    }

    /// Does its jobs on the threads of `pool`, which other drivers may share. Without this it has a pool of its own, of
    /// the default size.
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.pool = Some(pool.clone());
        self
    }

    /// Makes the driver.
    ///
    /// # Errors
    /// When the system gives no poller: out of descriptors or memory.
    pub fn build(self) -> io::Result<OsDriver> {
        let poller = if self.is_portable { Poller::portable()? } else { Poller::best()? };
        Ok(OsDriver::on(poller, self.pool.unwrap_or_default()))
    }
}
