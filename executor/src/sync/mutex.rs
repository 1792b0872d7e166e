//! `Mutex`: one task at a time has the value, also across an await.

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::rc::Rc;

use super::TryLockError;
use super::permits::{Parts, Permits, Request, Source, hold};
use crate::waits::{Resource, Ticket};

const WHAT: &str = "a lock";

/// A value that one task at a time may use, and hold while it awaits. Within one poll a `Cell` or `RefCell` does as well.
///
/// First come, first served: unlocking hands the lock to the next in line, nobody can snatch it in between. A panic while
/// it is held unlocks it; the value stays as it was left.
///
/// While it is locked the guard has the value, and the mutex has none. So a guard that is leaked locks it for good.
///
/// ```
/// # use std::rc::Rc;
/// # use mainspring_executor::{Shard, os::OsDriver, scope::scope, sync::Mutex, time::yield_now};
/// # let shard = Shard::new(Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let account = Rc::new(Mutex::new(100));
/// scope(async |scope| {
///     for _ in 0..10 {
///         let account = account.clone();
///         scope.spawn(async move {
///             let mut balance = account.lock().await;
///             let before = *balance;
///             yield_now().await;
///             *balance = before + 1;
///         });
///     }
/// })
/// .await;
/// assert_eq!(*account.lock().await, 110);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Mutex<T> {
    lock: Permits,
    resource: Resource,
    /// The guard takes the box, so that a guard which holds an `Rc` of the mutex needs no lifetime. `None` while locked.
    value: Cell<Option<Box<T>>>,
}

/// The guard of a mutex that is borrowed.
pub type MutexGuard<'a, T> = MutexGuardOf<&'a Mutex<T>, T>;
/// A guard that holds its mutex.
pub type OwnedMutexGuard<T> = MutexGuardOf<Rc<Mutex<T>>, T>;
/// See [`Mutex::lock`].
pub type Lock<'a, T> = LockOf<&'a Mutex<T>>;
/// See [`Mutex::lock_owned`].
pub type OwnedLock<T> = LockOf<Rc<Mutex<T>>>;

impl<T> Mutex<T> {
    /// A mutex that is not locked.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self {
            lock: Permits::new(1),
            resource: Resource::default(),
            value: Cell::new(Some(Box::new(value))),
        }
    }

    /// Locks it. Cancel-safe: dropping it loses its place in line; a lock that it was given goes to the next.
    ///
    /// A task that locks it twice waits for itself, for ever.
    #[track_caller]
    pub fn lock(&self) -> Lock<'_, T> {
        LockOf(Request::new(self, 1, WHAT, Location::caller()))
    }

    /// As [`Mutex::lock`], with a guard that holds the mutex. Cancel-safe.
    #[track_caller]
    pub fn lock_owned(self: Rc<Self>) -> OwnedLock<T> {
        LockOf(Request::new(self, 1, WHAT, Location::caller()))
    }

    /// Locks it if it is free and nobody waits for it.
    ///
    /// # Errors
    /// When not.
    #[track_caller]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        MutexGuardOf::try_new(self, Location::caller())
    }

    /// As [`Mutex::try_lock`], with a guard that holds the mutex.
    ///
    /// # Errors
    /// As [`Mutex::try_lock`].
    #[track_caller]
    pub fn try_lock_owned(self: Rc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        MutexGuardOf::try_new(self, Location::caller())
    }

    /// The value, which nobody else can have meanwhile. `None` where a guard was leaked.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_deref_mut()
    }

    /// The value. `None` where a guard was leaked.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner().map(|value| *value)
    }
}

impl<T> Source for Mutex<T> {
    const IS_LOCK: bool = true;

    fn parts(&self) -> Parts<'_> {
        Parts { permits: &self.lock, resource: &self.resource }
    }
}

// Whatever the value is: it is never pinned here.
impl<T> Unpin for Mutex<T> {}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.lock.free() == 0 { "locked" } else { "free" };
        write!(f, "Mutex({state}, {} waiting)", self.lock.waiting())
    }
}

/// A request for the lock, in line. See [`Mutex::lock`].
#[must_use = "a future does nothing unless it is polled"]
pub struct LockOf<S: Source>(Request<S>);

impl<S, T> Future for LockOf<S>
where
    S: Source + Deref<Target = Mutex<T>>,
{
    type Output = MutexGuardOf<S, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mutex = ready!(self.0.poll(cx)).expect("the line for a lock is never closed");
        let held = self.0.hold(&mutex);
        Poll::Ready(MutexGuardOf::new(mutex, held))
    }
}

impl<S: Source> fmt::Debug for LockOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lock({:?})", self.0)
    }
}

/// The lock, and with it the value. Unlocks when it is dropped.
#[must_use = "a guard that is dropped unlocks"]
pub struct MutexGuardOf<S: Deref<Target = Mutex<T>>, T> {
    mutex: S,
    /// `None` only while it is dropped.
    value: Option<Box<T>>,
    held: Option<Ticket>,
}

impl<S: Deref<Target = Mutex<T>>, T> MutexGuardOf<S, T> {
    fn new(mutex: S, held: Option<Ticket>) -> Self {
        let value = mutex.value.take();
        assert!(value.is_some(), "the value is there while nobody has the lock");
        Self { mutex, value, held }
    }

    fn try_new(mutex: S, origin: &'static Location<'static>) -> Result<Self, TryLockError>
    where
        S: Source,
    {
        mutex.lock.try_take(1).map_err(|_| TryLockError)?;
        let held = hold(&mutex, WHAT, origin);
        Ok(Self::new(mutex, held))
    }
}

impl<S: Deref<Target = Mutex<T>>, T> Deref for MutexGuardOf<S, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard has the value until it is dropped")
    }
}

impl<S: Deref<Target = Mutex<T>>, T> DerefMut for MutexGuardOf<S, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_deref_mut().expect("a guard has the value until it is dropped")
    }
}

impl<S: Deref<Target = Mutex<T>>, T> Drop for MutexGuardOf<S, T> {
    fn drop(&mut self) {
        self.held = None;
        self.mutex.value.set(self.value.take());
        self.mutex.lock.put(1);
    }
}

impl<S: Deref<Target = Mutex<T>>, T: fmt::Debug> fmt::Debug for MutexGuardOf<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<S: Deref<Target = Mutex<T>>, T: fmt::Display> fmt::Display for MutexGuardOf<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
