//! Deadlines: until when a piece of work makes sense to whoever asked for it.
//!
//! A deadline goes on by itself to all that is done for its sake: to what a future awaits, and to the tasks that it
//! spawns, which keep it when their parent is gone. Deeper down it can only come earlier. So a client's patience, stated
//! once, bounds the query that is made for it five calls further in.
//!
//! A deadline ends the future that it was set for. A task that inherited one is not ended by it, it knows of it: whatever
//! it does [`within`] or [`until`] some time ends at the earlier of both moments, and [`current`] says what to send along
//! to another machine. A task that is to be ended belongs into a scope, which ends with the future that holds it, or has
//! a deadline of its own ([`Scope::set_deadline`](crate::Scope::set_deadline)). A [shield](crate::shield::shield) keeps a
//! deadline out.
//!
//! ```
//! # use mainspring_executor::{Shard, os::OsDriver, deadline, spawn, time::{now, sleep}};
//! # use core::time::Duration;
//! # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! # shard.run(async {
//! let started = now();
//! let outcome = deadline::within(Duration::from_millis(5), async {
//!     let task = spawn(deadline::within(Duration::MAX, sleep(Duration::MAX)));
//!     assert_eq!(deadline::current(), Some(started + Duration::from_millis(5)));
//!     task.await
//! });
//! assert!(outcome.await.is_err());
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use pin_project_lite::pin_project;

use crate::context::{self, Within};
use crate::instant::Instant;
use crate::time::{Elapsed, Sleep, now, sleep_until};

/// The deadline of whoever asks: its own, or one from further out that is earlier.
#[must_use]
pub fn current() -> Option<Instant> {
    context::deadline()
}

/// How long it is until [`current`]; zero once that has passed.
///
/// # Panics
/// Outside of a shard, where there is a deadline: a job has one, but no clock.
#[must_use]
#[track_caller]
pub fn remaining() -> Option<Duration> {
    current().map(|deadline| deadline - now())
}

/// Gives `future` so much time, counted from now. See [`until`].
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn within<F: Future>(duration: Duration, future: F) -> Until<F> {
    until(now() + duration, future)
}

/// Gives `future` time until `deadline`, or until the deadline around it where that is earlier. Then the future is
/// dropped, before this gives [`Elapsed`]. It is not even begun where the time is over already; once begun it comes first,
/// so that what is ready in time is not thrown away.
///
/// [`time::timeout`](crate::time::timeout) is the plain sister of this: nothing below knows of it.
///
/// Cancel-safe where `future` is.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn until<F: Future>(deadline: Instant, future: F) -> Until<F> {
    let future = Some(Within::deadline(deadline, future));
    Until { future, sleep: sleep_until(deadline), has_begun: false }
}

/// Runs `body` with `deadline` as the deadline around it, unless an earlier one is: what is awaited, spawned or offloaded
/// in there knows of it. For code that polls, once a poll. It only tells: whoever calls has to see to it that what goes
/// on beyond is dropped.
pub fn enter<R>(deadline: Instant, body: impl FnOnce() -> R) -> R {
    context::bounded(deadline, body)
}

pin_project! {
    /// See [`until`] and [`within`].
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Until<F> {
        // `None` once it has ended.
        #[pin]
        future: Option<Within<F>>,
        sleep: Sleep,
        has_begun: bool,
    }
}

impl<F: Future> Future for Until<F> {
    type Output = Result<F::Output, Elapsed>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut may_poll = true;
        if !*this.has_begun {
            *this.has_begun = true;
            if let Some(around) = current() {
                let deadline = this.sleep.deadline().min(around);
                this.sleep.reset(deadline);
            }
            may_poll = now() < this.sleep.deadline();
        }
        let future = this.future.as_mut().as_pin_mut().expect("polled until it is ready");
        if may_poll && let Poll::Ready(output) = future.poll(cx) {
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        ready!(Pin::new(this.sleep).poll(cx));
        this.future.set(None);
        Poll::Ready(Err(Elapsed))
    }
}

impl<F> fmt::Debug for Until<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Until({})", self.sleep.deadline())
    }
}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}
