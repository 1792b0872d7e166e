//! Time for tasks: the current moment, sleeping, timeouts, yielding. All of it is the driver's time.

use core::fmt;
use core::future::{Future, poll_fn};
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::rc::Rc;

use pin_project_lite::pin_project;

use crate::current;
use crate::instant::Instant;
use crate::shard::Core;

/// The present moment, as sampled when this turn of the shard began: the same for all who ask within one turn.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn now() -> Instant {
    current::now().expect("time is asked of a running shard")
}

/// The date, as time since 1970-01-01T00:00:00Z; `None` outside of a shard. To print, not to measure.
#[must_use]
pub fn wall_clock() -> Option<Duration> {
    current::try_core().map(|core| core.driver.wall_clock())
}

/// Waits for `duration`. Cancel-safe.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Waits until `deadline`; one that has passed is ready at once. Cancel-safe.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { core: current::core(), deadline, armed: None, origin: Location::caller() }
}

/// A deadline to wait for. See [`sleep`].
///
/// Moving the deadline later with [`Sleep::reset`] costs nothing: the timer stays where it is, and is set anew only if
/// the old moment ever comes. So one `Sleep` serves a connection for its life, however often its deadline moves.
#[must_use = "a future does nothing unless it is polled"]
pub struct Sleep {
    core: Rc<Core>,
    deadline: Instant,
    /// The timer that is set, and for when: at or before `deadline`.
    armed: Option<(usize, Instant)>,
    origin: &'static Location<'static>,
}

impl Sleep {
    /// When it will be ready.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline. Takes effect for the task that waits when it polls again.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if self.armed.is_some_and(|(_, armed_for)| armed_for > deadline) {
            self.disarm();
        }
    }

    fn disarm(&mut self) {
        if let Some((key, _)) = self.armed.take() {
            let waker = self.core.timers.borrow_mut().remove(key);
            // Dropped with nothing borrowed: it may be the last reference to its task.
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.core.now() >= self.deadline {
            self.disarm();
            return Poll::Ready(());
        }
        if let Some((key, _)) = self.armed {
            let mut timers = self.core.timers.borrow_mut();
            if !timers.has_fired(key) {
                let before = (!timers.will_wake(key, cx.waker()))
                    .then(|| timers.set_waker(key, cx.waker().clone()));
                drop(timers);
                drop(before);
                return Poll::Pending;
            }
            drop(timers);
            // It fired for a deadline that was moved later since.
            self.disarm();
        }
        let deadline = self.deadline;
        if deadline < Instant::FAR_FUTURE {
            let waker = cx.waker().clone();
            let key = self.core.timers.borrow_mut().set(deadline, waker, self.origin);
            self.armed = Some((key, deadline));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sleep(until {}, made at {})", self.deadline, self.origin)
    }
}

/// Gives `future` so much time. When that is over the future is dropped, and with it what it was doing.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(duration) }
}

pin_project! {
    /// See [`timeout`]. Cancel-safe where its future is.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    /// The future comes first: what is ready in time is not thrown away.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed))
    }
}

/// The time given to [`timeout`] was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over")
    }
}

impl core::error::Error for Elapsed {}

/// Lets the other ready tasks run first. Cancel-safe.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
