//! `Semaphore`: so many may do a thing at a time.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::rc::Rc;

use super::permits::{Parts, Permits, Request, Source, hold};
use super::{Closed, TryAcquireError};
use crate::waits::{Resource, Ticket};

const WHAT: &str = "permits";

/// A number of permits, which tasks take and give back.
///
/// First come, first served, whatever each wants: a request for many is not starved by small ones, they wait behind it.
///
/// ```
/// # use std::{cell::Cell, rc::Rc};
/// # use mainspring_executor::{Shard, os::OsDriver, scope::scope, sync::Semaphore, time::yield_now};
/// # let shard = Shard::new(Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let semaphore = Rc::new(Semaphore::new(2));
/// let (busy, busy_max) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
/// scope(async |scope| {
///     for _ in 0..5 {
///         let (semaphore, busy) = (semaphore.clone(), busy.clone());
///         let busy_max = busy_max.clone();
///         scope.spawn(async move {
///             let _permit = semaphore.acquire().await.expect("nobody closes it");
///             busy.set(busy.get() + 1);
///             busy_max.set(busy_max.get().max(busy.get()));
///             yield_now().await;
///             busy.set(busy.get() - 1);
///         });
///     }
/// })
/// .await;
/// assert_eq!(busy_max.get(), 2);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Semaphore {
    permits: Permits,
    resource: Resource,
}

/// A permit of a semaphore that is borrowed. Given back when it is dropped.
pub type SemaphorePermit<'a> = SemaphorePermitOf<&'a Semaphore>;
/// A permit that holds its semaphore.
pub type OwnedSemaphorePermit = SemaphorePermitOf<Rc<Semaphore>>;
/// See [`Semaphore::acquire`] and [`Semaphore::acquire_many`].
pub type Acquire<'a> = AcquireOf<&'a Semaphore>;
/// See [`Semaphore::acquire_owned`] and [`Semaphore::acquire_many_owned`].
pub type OwnedAcquire = AcquireOf<Rc<Semaphore>>;

impl Semaphore {
    /// A semaphore of so many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { permits: Permits::new(permits), resource: Resource::default() }
    }

    /// Takes one permit. Cancel-safe: dropping it loses its place in line; a permit that it was given goes to the next.
    ///
    /// # Errors
    /// When the semaphore is closed, before or meanwhile.
    #[track_caller]
    pub fn acquire(&self) -> Acquire<'_> {
        self.acquire_many(1)
    }

    /// Takes `count` permits at once. More than there ever will be: waits for ever, and with it who comes later.
    /// Cancel-safe, as [`Semaphore::acquire`].
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Acquire<'_> {
        AcquireOf(Request::new(self, count, WHAT, Location::caller()))
    }

    /// As [`Semaphore::acquire`], with a permit that holds the semaphore. Cancel-safe.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire_owned(self: Rc<Self>) -> OwnedAcquire {
        self.acquire_many_owned(1)
    }

    /// As [`Semaphore::acquire_many`], with a permit that holds the semaphore. Cancel-safe.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire_many_owned(self: Rc<Self>, count: usize) -> OwnedAcquire {
        AcquireOf(Request::new(self, count, WHAT, Location::caller()))
    }

    /// Takes one permit if it is there and nobody waits for it.
    ///
    /// # Errors
    /// When not.
    #[track_caller]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// As [`Semaphore::try_acquire`], for `count` permits.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire`].
    #[track_caller]
    pub fn try_acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        try_acquire(self, count, Location::caller())
    }

    /// As [`Semaphore::try_acquire`], with a permit that holds the semaphore.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire`].
    #[track_caller]
    pub fn try_acquire_owned(self: Rc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// As [`Semaphore::try_acquire_many`], with a permit that holds the semaphore.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire`].
    #[track_caller]
    pub fn try_acquire_many_owned(
        self: Rc<Self>,
        count: usize,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        try_acquire(self, count, Location::caller())
    }

    /// Adds permits, and wakes those for whom it is enough now.
    ///
    /// # Panics
    /// When there would be more than `usize::MAX`.
    pub fn add_permits(&self, count: usize) {
        self.permits.put(count);
    }

    /// Takes up to `count` of the free permits away for good, past those who wait. Says how many it were.
    pub fn forget_permits(&self, count: usize) -> usize {
        self.permits.forget(count)
    }

    /// How many permits are free.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// From now on nobody gets a permit, also not who waits: they get an error, in their order. Permits that are out
    /// stay what they are.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

fn try_acquire<S: Source>(
    source: S,
    count: usize,
    origin: &'static Location<'static>,
) -> Result<SemaphorePermitOf<S>, TryAcquireError> {
    source.parts().permits.try_take(count)?;
    let held = hold(&source, WHAT, origin);
    Ok(SemaphorePermitOf { source, count, held })
}

impl Source for Semaphore {
    const IS_LOCK: bool = false;

    fn parts(&self) -> Parts<'_> {
        Parts { permits: &self.permits, resource: &self.resource }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = if self.is_closed() { ", closed" } else { "" };
        let (free, waiting) = (self.permits.free(), self.permits.waiting());
        write!(f, "Semaphore({free} free, {waiting} waiting{closed})")
    }
}

/// A request for permits, in line. See [`Semaphore::acquire`].
#[must_use = "a future does nothing unless it is polled"]
pub struct AcquireOf<S: Source>(Request<S>);

impl<S: Source> Future for AcquireOf<S> {
    type Output = Result<SemaphorePermitOf<S>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let acquired = ready!(self.0.poll(cx));
        Poll::Ready(acquired.map(|source| {
            let held = self.0.hold(&source);
            SemaphorePermitOf { source, count: self.0.wanted(), held }
        }))
    }
}

impl<S: Source> fmt::Debug for AcquireOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acquire({:?})", self.0)
    }
}

/// One or more permits, taken. Given back when dropped, all at once.
#[must_use = "a permit that is dropped is given back"]
pub struct SemaphorePermitOf<S: Source> {
    source: S,
    count: usize,
    held: Option<Ticket>,
}

impl<S: Source> SemaphorePermitOf<S> {
    /// How many permits this is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Does not give them back: the semaphore has so many less for good.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl<S: Source> Drop for SemaphorePermitOf<S> {
    fn drop(&mut self) {
        self.held = None;
        self.source.parts().permits.put(self.count);
    }
}

impl<S: Source> fmt::Debug for SemaphorePermitOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SemaphorePermit({})", self.count)
    }
}
