//! `HyperExecutor`: tasks for hyper, which HTTP/2 needs.

use core::future::Future;
use std::rc::{Rc, Weak};

use hyper::rt;

use crate::{Scope, spawn};

/// hyper's [`Executor`](rt::Executor): what hyper spawns becomes a task of the current shard. Nothing need be `Send`.
///
/// ```
/// use hyper::rt::Executor;
/// use mainspring_executor::{Scope, compat::HyperExecutor};
/// # use mainspring_executor::{Shard, os::OsDriver};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let scope = std::rc::Rc::new(Scope::new());
/// // As in `hyper::server::conn::http2::Builder::new(HyperExecutor::within(&scope))`.
/// HyperExecutor::within(&scope).execute(async {});
/// assert_eq!(scope.len(), 1);
/// scope.join().await.expect("no child panics");
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// Executing does outside of a shard. The panic of a task is told to its scope, or logged and counted by the shard.
#[derive(Clone, Debug, Default)]
pub struct HyperExecutor {
    /// Weak, for the tasks themselves hold clones of this: they must not keep alive what is to end them.
    scope: Option<Weak<Scope>>,
}

impl HyperExecutor {
    /// Spawns tasks that live as long as their shard lets them.
    #[must_use]
    pub const fn new() -> Self {
        Self { scope: None }
    }

    /// Spawns children of `scope`, which end with it. Once it is gone, futures are dropped instead of spawned.
    #[must_use]
    pub fn within(scope: &Rc<Scope>) -> Self {
        Self { scope: Some(Rc::downgrade(scope)) }
    }
}

impl<F: Future + 'static> rt::Executor<F> for HyperExecutor {
    #[track_caller]
    fn execute(&self, future: F) {
        // Handles are dropped: the tasks run on, and hyper hears of their ends by its own channels.
        match &self.scope {
            None => drop(spawn(future)),
            Some(scope) => drop(scope.upgrade().map(|scope| scope.spawn(future))),
        }
    }
}
