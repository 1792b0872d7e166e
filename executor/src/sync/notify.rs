//! `Notify`: tells tasks that something happened, without saying what.

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};

use super::wait_list::{Left, Reason, WaitList, Waiter};
use crate::budget;
use crate::waits::Resource;

/// Wakes one task, or all, that wait for it.
///
/// [`Notify::notify_one`] wakes the first in line; where nobody waits it is kept, once, for the next who comes.
/// [`Notify::notify_waiters`] wakes all who wait and keeps nothing. It also reaches each [`Notified`] that was made before,
/// polled or not, so a change between the look at a condition and the wait is not lost:
///
/// ```
/// # use std::{cell::Cell, rc::Rc};
/// # use mainspring_executor::{Shard, os::OsDriver, spawn, sync::Notify};
/// # let shard = Shard::new(Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let ready = Rc::new((Cell::new(false), Notify::new()));
/// let other = ready.clone();
/// spawn(async move {
///     other.0.set(true);
///     other.1.notify_waiters();
/// });
/// loop {
///     let notified = ready.1.notified();
///     if ready.0.get() {
///         break;
///     }
///     notified.await;
/// }
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Notify {
    /// A notification that nobody has taken.
    is_kept: Cell<bool>,
    /// How often all were notified.
    rounds: Cell<u64>,
    line: WaitList<(), Notification>,
    resource: Resource,
}

#[derive(Clone, Copy)]
enum Notification {
    /// For one: who does not take it passes it on.
    One,
    /// For each who waited.
    All,
}

impl Notify {
    /// Nobody was notified.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for a notification, or takes the one that is kept. Cancel-safe: dropping it loses its place in line; one of
    /// [`Notify::notify_one`] that it was given and has not taken goes to the next.
    #[track_caller]
    pub fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            round: self.rounds.get(),
            is_over: false,
            waiter: None,
            origin: Location::caller(),
        }
    }

    /// Notifies the first in line. Where nobody waits, the next who comes; any number of calls until then count as one.
    pub fn notify_one(&self) {
        if !self.line.give(Notification::One) {
            self.is_kept.set(true);
        }
    }

    /// Notifies all who wait, in the order in which they came, and each [`Notified`] that has not been polled. Who comes
    /// later, waits.
    pub fn notify_waiters(&self) {
        self.rounds.set(self.rounds.get() + 1);
        self.line.give_all(Notification::All);
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = if self.is_kept.get() { ", one kept" } else { "" };
        write!(f, "Notify({} waiting{kept})", self.line.len())
    }
}

/// See [`Notify::notified`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// The round in which it was made: a later one has notified it.
    round: u64,
    /// It was notified, and has taken that.
    is_over: bool,
    waiter: Option<Waiter>,
    origin: &'static Location<'static>,
}

impl Notified<'_> {
    /// Takes its place in line without being awaited, so that [`Notify::notify_one`] reaches it, too. True where it is
    /// notified already; the next poll is ready then.
    #[expect(clippy::must_use_candidate, reason = "most often it is called for what it does")]
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        if self.is_notified() {
            return true;
        }
        if self.waiter.is_none() {
            self.waiter = Some(self.notify.line.enlist((), Waker::noop().clone()));
        }
        false
    }

    /// Looks for a notification, and takes it.
    fn is_notified(&mut self) -> bool {
        if self.is_over {
            return true;
        }
        let line = &self.notify.line;
        let is_notified = match self.waiter.take_if(|waiter| line.is_given(waiter)) {
            Some(waiter) => line.leave(waiter).given.is_some(),
            None if self.waiter.is_some() => false,
            // Its first look.
            None => self.round != self.notify.rounds.get() || self.notify.is_kept.replace(false),
        };
        self.is_over = is_notified;
        is_notified
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(budget::poll_left(cx));
        if self.is_notified() {
            budget::spend();
            return Poll::Ready(());
        }
        let Notify { line, resource, .. } = self.notify;
        let reason =
            Reason { what: "a notification", resource, origin: self.origin, is_bound: false };
        if self.waiter.is_none() {
            self.waiter = Some(line.join((), cx, reason));
            return Poll::Pending;
        }
        line.poll_given(&mut self.waiter, cx, reason).map(|_: Notification| ())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let Left { given, waker, .. } = self.notify.line.leave(waiter);
        match given {
            Some(Notification::One) => self.notify.notify_one(),
            Some(Notification::All) | None => {}
        }
        drop(waker);
    }
}

impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notified(at {})", self.origin)
    }
}
