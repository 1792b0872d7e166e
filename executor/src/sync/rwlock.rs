//! `RwLock`: many tasks at a time read the value, or one writes it.

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

/// More readers at a time than memory has room for. A writer takes the place of all of them.
const READERS_MAX: usize = u32::MAX as usize;

const WHAT_READ: &str = "a read lock";
const WHAT_WRITE: &str = "a write lock";

/// A value that many tasks may read at a time, or one may write, also while they await.
///
/// First come, first served: a writer waits for the readers before it, and readers that come after it wait for the writer,
/// so neither starves the other. For the same reason a task that reads must not read again while it does: a writer may
/// have come in between, and both wait for ever. A panic while it is held unlocks it; the value stays as it was left.
///
/// ```
/// # use std::rc::Rc;
/// # use mainspring_executor::{Shard, os::OsDriver, sync::RwLock};
/// # let shard = Shard::new(Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let limits = RwLock::new(vec![1, 2]);
/// {
///     let one = limits.read().await;
///     let other = limits.read().await;
///     assert_eq!(one.len() + other.len(), 4);
///     assert!(limits.try_write().is_err());
/// }
/// limits.write().await.push(3);
/// assert_eq!(*limits.read().await, [1, 2, 3]);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RwLock<T> {
    lock: Permits,
    resource: Resource,
    /// Readers have a reference each, the writer takes this one: so no guard needs the lifetime of the lock. `None` while
    /// it is written.
    value: Cell<Option<Rc<T>>>,
}

/// The guard of a reader that borrows the lock.
pub type RwLockReadGuard<'a, T> = RwLockReadGuardOf<&'a RwLock<T>, T>;
/// The guard of a reader that holds the lock.
pub type OwnedRwLockReadGuard<T> = RwLockReadGuardOf<Rc<RwLock<T>>, T>;
/// The guard of a writer that borrows the lock.
pub type RwLockWriteGuard<'a, T> = RwLockWriteGuardOf<&'a RwLock<T>, T>;
/// The guard of a writer that holds the lock.
pub type OwnedRwLockWriteGuard<T> = RwLockWriteGuardOf<Rc<RwLock<T>>, T>;
/// See [`RwLock::read`].
pub type Read<'a, T> = ReadOf<&'a RwLock<T>>;
/// See [`RwLock::read_owned`].
pub type OwnedRead<T> = ReadOf<Rc<RwLock<T>>>;
/// See [`RwLock::write`].
pub type Write<'a, T> = WriteOf<&'a RwLock<T>>;
/// See [`RwLock::write_owned`].
pub type OwnedWrite<T> = WriteOf<Rc<RwLock<T>>>;

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self {
            lock: Permits::new(READERS_MAX),
            resource: Resource::default(),
            value: Cell::new(Some(Rc::new(value))),
        }
    }

    /// Locks it for reading. Cancel-safe: dropping it loses its place in line; a lock that it was given goes to the next.
    #[track_caller]
    pub fn read(&self) -> Read<'_, T> {
        ReadOf(Request::new(self, 1, WHAT_READ, Location::caller()))
    }

    /// As [`RwLock::read`], with a guard that holds the lock. Cancel-safe.
    #[track_caller]
    pub fn read_owned(self: Rc<Self>) -> OwnedRead<T> {
        ReadOf(Request::new(self, 1, WHAT_READ, Location::caller()))
    }

    /// Locks it for writing. Cancel-safe, as [`RwLock::read`].
    #[track_caller]
    pub fn write(&self) -> Write<'_, T> {
        WriteOf(Request::new(self, READERS_MAX, WHAT_WRITE, Location::caller()))
    }

    /// As [`RwLock::write`], with a guard that holds the lock. Cancel-safe.
    #[track_caller]
    pub fn write_owned(self: Rc<Self>) -> OwnedWrite<T> {
        WriteOf(Request::new(self, READERS_MAX, WHAT_WRITE, Location::caller()))
    }

    /// Locks it for reading if nobody writes or waits.
    ///
    /// # Errors
    /// When somebody does.
    #[track_caller]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        RwLockReadGuardOf::try_new(self, Location::caller())
    }

    /// As [`RwLock::try_read`], with a guard that holds the lock.
    ///
    /// # Errors
    /// As [`RwLock::try_read`].
    #[track_caller]
    pub fn try_read_owned(self: Rc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        RwLockReadGuardOf::try_new(self, Location::caller())
    }

    /// Locks it for writing if nobody reads, writes or waits.
    ///
    /// # Errors
    /// When somebody does.
    #[track_caller]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        RwLockWriteGuardOf::try_new(self, Location::caller())
    }

    /// As [`RwLock::try_write`], with a guard that holds the lock.
    ///
    /// # Errors
    /// As [`RwLock::try_write`].
    #[track_caller]
    pub fn try_write_owned(self: Rc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        RwLockWriteGuardOf::try_new(self, Location::caller())
    }

    /// The value, which nobody else can have meanwhile. `None` where a guard was leaked.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut().and_then(Rc::get_mut)
    }

    /// The value. `None` where a guard was leaked.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner().and_then(Rc::into_inner)
    }

    /// One more reference to the value, for a reader.
    fn share(&self) -> Rc<T> {
        let value = self.value.take().expect("the value is there while nobody writes");
        let shared = Rc::clone(&value);
        self.value.set(Some(value));
        shared
    }
}

impl<T> Source for RwLock<T> {
    const IS_LOCK: bool = true;

    fn parts(&self) -> Parts<'_> {
        Parts { permits: &self.lock, resource: &self.resource }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.lock.waiting();
        match READERS_MAX - self.lock.free() {
            READERS_MAX => write!(f, "RwLock(written, {waiting} waiting)"),
            readers => write!(f, "RwLock({readers} reading, {waiting} waiting)"),
        }
    }
}

/// A request to read, in line. See [`RwLock::read`].
#[must_use = "a future does nothing unless it is polled"]
pub struct ReadOf<S: Source>(Request<S>);

impl<S, T> Future for ReadOf<S>
where
    S: Source + Deref<Target = RwLock<T>>,
{
    type Output = RwLockReadGuardOf<S, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lock = ready!(self.0.poll(cx)).expect("the line for a lock is never closed");
        let held = self.0.hold(&lock);
        Poll::Ready(RwLockReadGuardOf::new(lock, held))
    }
}

impl<S: Source> fmt::Debug for ReadOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Read({:?})", self.0)
    }
}

/// A request to write, in line. See [`RwLock::write`].
#[must_use = "a future does nothing unless it is polled"]
pub struct WriteOf<S: Source>(Request<S>);

impl<S, T> Future for WriteOf<S>
where
    S: Source + Deref<Target = RwLock<T>>,
{
    type Output = RwLockWriteGuardOf<S, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lock = ready!(self.0.poll(cx)).expect("the line for a lock is never closed");
        let held = self.0.hold(&lock);
        Poll::Ready(RwLockWriteGuardOf::new(lock, held))
    }
}

impl<S: Source> fmt::Debug for WriteOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Write({:?})", self.0)
    }
}

/// The right to read. Unlocks when it is dropped.
#[must_use = "a guard that is dropped unlocks"]
pub struct RwLockReadGuardOf<S: Deref<Target = RwLock<T>>, T> {
    lock: S,
    /// `None` only while it is dropped.
    value: Option<Rc<T>>,
    held: Option<Ticket>,
}

impl<S: Deref<Target = RwLock<T>>, T> RwLockReadGuardOf<S, T> {
    fn new(lock: S, held: Option<Ticket>) -> Self {
        let value = Some(lock.share());
        Self { lock, value, held }
    }

    fn try_new(lock: S, origin: &'static Location<'static>) -> Result<Self, TryLockError>
    where
        S: Source,
    {
        lock.lock.try_take(1).map_err(|_| TryLockError)?;
        let held = hold(&lock, WHAT_READ, origin);
        Ok(Self::new(lock, held))
    }
}

impl<S: Deref<Target = RwLock<T>>, T> Deref for RwLockReadGuardOf<S, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard has the value until it is dropped")
    }
}

impl<S: Deref<Target = RwLock<T>>, T> Drop for RwLockReadGuardOf<S, T> {
    fn drop(&mut self) {
        self.held = None;
        // Before the lock is given on: the next may be a writer, which must be alone.
        self.value = None;
        self.lock.lock.put(1);
    }
}

impl<S: Deref<Target = RwLock<T>>, T: fmt::Debug> fmt::Debug for RwLockReadGuardOf<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<S: Deref<Target = RwLock<T>>, T: fmt::Display> fmt::Display for RwLockReadGuardOf<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The right to write. Unlocks when it is dropped.
#[must_use = "a guard that is dropped unlocks"]
pub struct RwLockWriteGuardOf<S: Deref<Target = RwLock<T>>, T> {
    lock: S,
    /// The only reference while it is written. `None` only while it is dropped.
    value: Option<Rc<T>>,
    held: Option<Ticket>,
}

impl<S: Deref<Target = RwLock<T>>, T> RwLockWriteGuardOf<S, T> {
    fn new(lock: S, held: Option<Ticket>) -> Self {
        let value = lock.value.take();
        let references = value.as_ref().map(Rc::strong_count);
        assert_eq!(references, Some(1), "a writer is alone");
        Self { lock, value, held }
    }

    fn try_new(lock: S, origin: &'static Location<'static>) -> Result<Self, TryLockError>
    where
        S: Source,
    {
        lock.lock.try_take(READERS_MAX).map_err(|_| TryLockError)?;
        let held = hold(&lock, WHAT_WRITE, origin);
        Ok(Self::new(lock, held))
    }
}

impl<S: Deref<Target = RwLock<T>>, T> Deref for RwLockWriteGuardOf<S, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard has the value until it is dropped")
    }
}

impl<S: Deref<Target = RwLock<T>>, T> DerefMut for RwLockWriteGuardOf<S, T> {
    fn deref_mut(&mut self) -> &mut T {
        let value = self.value.as_mut().expect("a guard has the value until it is dropped");
        Rc::get_mut(value).expect("a writer is alone")
    }
}

impl<S: Deref<Target = RwLock<T>>, T> Drop for RwLockWriteGuardOf<S, T> {
    fn drop(&mut self) {
        self.held = None;
        self.lock.value.set(self.value.take());
        self.lock.lock.put(READERS_MAX);
    }
}

impl<S: Deref<Target = RwLock<T>>, T: fmt::Debug> fmt::Debug for RwLockWriteGuardOf<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<S: Deref<Target = RwLock<T>>, T: fmt::Display> fmt::Display for RwLockWriteGuardOf<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
