//! How tasks of one shard wait for each other: channels, locks, permits, notifications.
//!
//! Everything here belongs to one thread: it is made of `Rc` and cells, has neither locks nor atomics, and cannot be sent
//! to another thread. Values need not be `Send`. The names and the semantics are those that users of tokio know, where
//! nothing else is said.
//!
//! - **Order.** Whoever waits is served first come, first served, in the order in which the futures were first polled.
//!   Nobody overtakes: a `try_` method fails while others wait for the same.
//! - **Cancel-safety.** Every future here may be dropped at any time. What it was given and had not taken yet, a permit, a
//!   lock, a notification, goes on to the next in line. What it would have sent is dropped with it.
//! - **Fairness.** What can be ready at once counts against the budget of the poll: after so many operations in a row the
//!   future is pending once, and its task goes to the end of the run queue. So a task with a full channel starves nobody,
//!   and a future that could be ready may say that it is not. Where a [`Schedule`](crate::driver::Schedule) draws the
//!   tasks, the end of the queue means nothing: others may go next, and who goes next is a matter of chance.
//! - **Who waits for whom.** The shard knows each wait and each lock that is held, with the place in the program.
//! - **Elsewhere.** All of it works outside of a shard, too, under any executor of this thread; only the budget and the
//!   records are missing there.
//!
//! ```
//! use mainspring_executor::{Shard, os::OsDriver, spawn, sync::mpsc};
//!
//! let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! let sum = shard.run(async {
//!     let (sender, mut receiver) = mpsc::channel(2);
//!     for worker in 1..=3 {
//!         let sender = sender.clone();
//!         spawn(async move { sender.send(worker * 10).await });
//!     }
//!     drop(sender);
//!     let mut sum = 0;
//!     while let Some(number) = receiver.recv().await {
//!         sum += number;
//!     }
//!     sum
//! })?;
//! assert_eq!(sum, 60);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! That nothing of it crosses threads is known to the compiler:
//!
//! ```compile_fail,E0277
//! let (sender, receiver) = mainspring_executor::sync::mpsc::channel::<u8>(1);
//! std::thread::spawn(move || drop(sender));
//! ```
//! ```compile_fail,E0277
//! let mutex = mainspring_executor::sync::Mutex::new(1);
//! std::thread::spawn(move || drop(mutex));
//! ```
//! ```compile_fail,E0277
//! let semaphore = std::sync::Arc::new(mainspring_executor::sync::Semaphore::new(1));
//! std::thread::spawn(move || drop(semaphore));
//! ```

mod barrier;
mod bell;
pub mod broadcast;
mod ends;
pub mod mpsc;
mod mutex;
mod notify;
pub mod oneshot;
mod permits;
mod ring;
mod rwlock;
mod semaphore;
mod wait_list;
mod waker_slot;
pub mod watch;

#[cfg(test)]
mod tests;

use core::fmt;

pub use barrier::{Barrier, BarrierWait, BarrierWaitResult};
pub use mutex::{Lock, LockOf, Mutex, MutexGuard, MutexGuardOf, OwnedLock, OwnedMutexGuard};
pub use notify::{Notified, Notify};
pub use rwlock::{
    OwnedRead, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedWrite, Read, ReadOf, RwLock,
    RwLockReadGuard, RwLockReadGuardOf, RwLockWriteGuard, RwLockWriteGuardOf, Write, WriteOf,
};
pub use semaphore::{
    Acquire, AcquireOf, OwnedAcquire, OwnedSemaphorePermit, Semaphore, SemaphorePermit,
    SemaphorePermitOf,
};

/// Nothing more will come: the other side of a channel is gone or has closed it, or a semaphore was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed")
    }
}

impl core::error::Error for Closed {}

/// The value that nobody will receive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody receives any more")
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> core::error::Error for SendError<T> {}

/// Why a [`Semaphore`] gave no permit at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// There are not as many, or others wait for them.
    NoPermits,
    /// The semaphore was closed.
    Closed,
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPermits => "no permits for now",
            Self::Closed => "closed",
        })
    }
}

impl core::error::Error for TryAcquireError {}

/// A lock was not to be had at once: somebody holds it, or waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryLockError;

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is taken")
    }
}

impl core::error::Error for TryLockError {}
