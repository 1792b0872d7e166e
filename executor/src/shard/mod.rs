//! `Shard`: one executor, one reactor and one set of timers on one thread, on top of one driver.

mod census;
pub mod channel;
mod frame;
mod handle;
mod peers;
mod registry;
mod sections;
mod turn;

use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::borrow::Cow;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

pub use handle::{RemoteJoinHandle, ShardGone, ShardHandle};
pub use peers::Peers;
pub(crate) use turn::{Core, Spawn};

use crate::current;
use crate::driver::Driver;
use crate::dump::{DumpedTask, TaskDump};
use crate::instant::Instant;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::task::{JoinError, JoinHandle, TaskId};
use crate::waits::LongestWait;

/// Whether a turn may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Looks at what there is, and does not wait.
    Poll,
    /// Waits if nothing is ready.
    Wait,
}

/// An executor with its reactor and timers. Clones are handles to the same one; the last one dropped ends all tasks.
#[derive(Clone)]
pub struct Shard {
    owner: Rc<Owner>,
}

/// Ends the tasks when the last handle goes. Tasks themselves hold `Core`, so its own drop would never come.
struct Owner {
    core: Rc<Core>,
}

impl Shard {
    /// An executor on top of `driver`.
    #[must_use]
    pub fn new(driver: Rc<dyn Driver>) -> Self {
        Self { owner: Rc::new(Owner { core: Rc::new(Core::new(driver)) }) }
    }

    fn core(&self) -> &Rc<Core> {
        &self.owner.core
    }

    /// Runs `future` to its end on this thread, and all other tasks of the shard meanwhile. Then it waits for the
    /// [shielded sections](crate::shield) that live at that moment, each of which has its bound. Other tasks that are left
    /// stay, for another `run`.
    ///
    /// # Errors
    /// Where the driver fails for good.
    ///
    /// # Panics
    /// When `future` does, with its panic; when called inside a task.
    #[track_caller]
    pub fn run<F: Future + 'static>(&self, future: F) -> io::Result<F::Output> {
        let mut main = self.spawn(future);
        while !main.is_finished() {
            self.turn(Turn::Wait)?;
        }
        for section in self.core().sections.live() {
            while !section.is_complete() {
                self.turn(Turn::Wait)?;
            }
        }
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut main).poll(&mut cx) {
            Poll::Ready(Ok(output)) => Ok(output),
            Poll::Ready(Err(JoinError::Panicked(payload))) => resume_unwind(payload),
            Poll::Ready(Err(JoinError::Cancelled)) | Poll::Pending => {
                unreachable!("nobody else holds the handle that could abort the main task")
            }
        }
    }

    /// Spawns a task of no scope: it lives until it ends or the shard does.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.core().spawn(future, Spawn::at(Location::caller()))
    }

    /// A handle by which other threads send work here.
    #[must_use]
    pub fn handle(&self) -> ShardHandle {
        ShardHandle::new(self.core())
    }

    /// Makes this the current shard while `body` runs, for constructors such as `TcpListener::bind`.
    pub fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        current::enter(self.core(), body)
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// Where the driver fails for good.
    ///
    /// # Panics
    /// When called inside a task.
    pub fn turn(&self, mode: Turn) -> io::Result<()> {
        self.core().turn(mode)
    }

    /// When this shard has something to do by itself: [`Instant::START`] if at once, else at its next deadline.
    /// Later or `None`: before that only an edge or a wake from elsewhere brings it on, and from here to the next turn
    /// such a wake calls [`Unpark::unpark`](crate::driver::Unpark::unpark).
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.core().next_wake()
    }

    /// Everything that is alive in this shard.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.core().ledger()
    }

    /// All tasks of this shard, what each waits for, and who holds that. Polls nothing. May be called inside a task; the
    /// one that calls is then the one that runs.
    #[must_use]
    pub fn dump(&self) -> TaskDump {
        self.core().dump()
    }

    /// Those of these tasks that have not ended, by id, as [`Shard::dump`] has them.
    #[must_use]
    pub fn dump_tasks(&self, ids: &[TaskId]) -> Vec<DumpedTask> {
        self.core().dump_tasks(|id| ids.contains(&id))
    }

    /// The longest time that somebody stood in line for a lock, for permits, for room in a channel or for a notification to one,
    /// and was served: one for each of these kinds that somebody has waited for. Who waits still is in [`Shard::dump`].
    #[must_use]
    pub fn longest_waits(&self) -> Vec<LongestWait> {
        self.core().waits.longest()
    }

    /// The live counters of this shard.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.core().metrics)
    }

    /// Ends all tasks: their futures are dropped, by id. [Shielded sections](crate::shield) are cut with the others. The
    /// shard can be used again. Also happens when the last handle is dropped.
    ///
    /// # Panics
    /// When called inside a task; when destructors keep spawning tasks without end.
    pub fn shutdown(&self) {
        let is_running = self.core().running().is_some();
        assert!(!is_running, "a shard is not ended from inside one of its tasks");
        self.core().shutdown();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.shutdown();
        // From here on nobody takes what foreign threads wake; and what the last closures hold may spawn once more.
        current::enter(&self.core, || drop(self.core.remote.inject.close()));
        self.core.shutdown();
    }
}

/// Spawns a task on the current shard, of no scope: it lives until it ends or the shard does. Prefer
/// [`Scope::spawn`](crate::Scope::spawn), which ties it to its maker.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    let spawn = Spawn::at(Location::caller());
    current::with_core(|core| core.spawn(future, spawn))
}

/// As [`spawn`], with a name for the task dump.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn spawn_named<F: Future + 'static>(
    name: impl Into<Cow<'static, str>>,
    future: F,
) -> JoinHandle<F::Output> {
    let spawn = Spawn { name: Some(name.into()), ..Spawn::at(Location::caller()) };
    current::with_core(|core| core.spawn(future, spawn))
}

/// A handle to the current shard, by which other threads send work here.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn handle() -> ShardHandle {
    ShardHandle::new(&current::core())
}

/// Sixty-four random bits from the current shard's driver: unpredictable on the operating system, a matter of the seed
/// in the simulator.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn random() -> u64 {
    current::core().driver.entropy()
}

/// As [`Shard::dump`], of the current shard.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn dump() -> TaskDump {
    current::core().dump()
}

/// The live counters of the current shard.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn metrics() -> Arc<Metrics> {
    Arc::clone(&current::core().metrics)
}
