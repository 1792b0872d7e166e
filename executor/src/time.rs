//! Time for tasks: the current moment, sleeping, timeouts, intervals, yielding. All of it is the driver's time.

use core::fmt;
use core::future::{Future, poll_fn};
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::rc::Rc;

use pin_project_lite::pin_project;

use crate::current;
use crate::instant::Instant;
use crate::shard::Core;
use crate::timers::Waiter;

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
    let core = current::core();
    let deadline = core.now() + duration;
    Sleep { core, deadline, timer: Timer::Unset, origin: Location::caller() }
}

/// Waits until `deadline`; one that has passed is ready at once. Cancel-safe.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { core: current::core(), deadline, timer: Timer::Unset, origin: Location::caller() }
}

/// A deadline to wait for. See [`sleep`].
///
/// Moving the deadline later with [`Sleep::reset`] costs nothing: the timer stays where it is, and is set anew only if
/// the old moment ever comes. So one `Sleep` serves a connection for its life, however often its deadline moves.
#[must_use = "a future does nothing unless it is polled"]
pub struct Sleep {
    core: Rc<Core>,
    deadline: Instant,
    timer: Timer,
    origin: &'static Location<'static>,
}

/// The timer of a `Sleep`: its key, and for when it was set, which is at or before the deadline of the `Sleep`.
#[derive(Clone, Copy)]
enum Timer {
    Unset,
    Set { key: u32, set_for: Instant },
}

impl Sleep {
    /// A deadline to wait for in `core`, which need not be the current shard.
    pub(crate) fn at(
        core: Rc<Core>,
        deadline: Instant,
        origin: &'static Location<'static>,
    ) -> Self {
        Self { core, deadline, timer: Timer::Unset, origin }
    }

    /// When it will be ready.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline, also under a task that waits for it already. One that waits for [`Instant::FAR_FUTURE`] is the
    /// exception: no timer was set for it, so it has to poll again.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let Timer::Set { key, set_for } = self.timer
            && set_for > deadline
        {
            let mut timers = self.core.timers.borrow_mut();
            // Where it has fired, the task that waits is awake already.
            if !timers.has_fired(key) {
                timers.reset(key, deadline);
                self.timer = Timer::Set { key, set_for: deadline };
            }
        }
    }

    fn arm(&mut self, cx: &Context<'_>) {
        if self.deadline < Instant::FAR_FUTURE {
            let waiter = self.waiter(cx);
            let key = self.core.timers.borrow_mut().set(self.deadline, waiter);
            self.timer = Timer::Set { key, set_for: self.deadline };
        }
    }

    fn disarm(&mut self) {
        if let Timer::Set { key, .. } = core::mem::replace(&mut self.timer, Timer::Unset) {
            let waker = self.core.timers.borrow_mut().remove(key);
            // Dropped with nothing borrowed: it may be the last reference to its task.
            drop(waker);
        }
    }

    /// Made with nothing borrowed: the clone of a foreign waker is foreign code.
    fn waiter(&self, cx: &Context<'_>) -> Waiter {
        Waiter {
            waker: cx.waker().clone(),
            task: self.core.running(),
            since: self.core.now(),
            origin: self.origin,
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
        let Timer::Set { key, .. } = self.timer else {
            self.arm(cx);
            return Poll::Pending;
        };
        let timers = self.core.timers.borrow();
        let (has_fired, will_wake) = (timers.has_fired(key), timers.will_wake(key, cx.waker()));
        drop(timers);
        if has_fired {
            // For a deadline that was moved later since.
            self.disarm();
            self.arm(cx);
        } else if !will_wake {
            let waiter = self.waiter(cx);
            let before = self.core.timers.borrow_mut().set_waiter(key, waiter);
            drop(before);
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

/// Gives `future` time until `deadline`. See [`timeout`].
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(deadline) }
}

pin_project! {
    /// See [`timeout`] and [`timeout_at`]. Cancel-safe where its future is.
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

/// The time given to [`timeout`] or [`timeout_at`] was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over")
    }
}

impl core::error::Error for Elapsed {}

/// Ticks now, and then once each `period`.
///
/// # Panics
/// Outside of a shard; for a period of zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks at `start`, and then once each `period`.
///
/// # Panics
/// Outside of a shard; for a period of zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval is longer than zero");
    Interval { sleep: sleep_until(start), period, missed_tick: MissedTick::default() }
}

/// A clock that ticks, for work that comes back. See [`interval`] and [`interval_at`].
///
/// It keeps its schedule however late a tick is taken; [`Interval::set_missed_tick`] says how.
#[derive(Debug)]
#[must_use = "an interval does nothing unless its ticks are awaited"]
pub struct Interval {
    /// Until the next tick.
    sleep: Sleep,
    period: Duration,
    missed_tick: MissedTick,
}

/// What an [`Interval`] does about a tick that is taken late: when the next one comes.
///
/// An example: the period is 10 s, and the tick that is due at 10 s is taken at 35 s, all others as soon as they come.
///
/// | policy | ticks are taken at, in seconds |
/// |---|---|
/// | `Burst` | 0, 35, 35, 35, 40, 50, 60 |
/// | `Delay` | 0, 35, 45, 55, 65 |
/// | `Skip` | 0, 35, 40, 50, 60 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTick {
    /// One period after the moment the late one was due, even if that has passed: as many ticks at once as were missed,
    /// until the schedule is met again. Their count is right.
    #[default]
    Burst,
    /// One period after the late one was taken: two ticks are never closer than a period. The schedule moves, on a real
    /// clock with each tick, since each is taken a little late.
    Delay,
    /// At the next moment of the schedule that lies ahead. Those missed are left out.
    Skip,
}

impl MissedTick {
    /// The tick after the one that was due at `due` and taken at `now`.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            Self::Burst => due + period,
            Self::Delay => now + period,
            Self::Skip => {
                let beyond = (now - due).as_nanos() % period.as_nanos();
                let beyond = u64::try_from(beyond).expect("a span between two instants fits");
                now + (period - Duration::from_nanos(beyond))
            }
        }
    }
}

impl Interval {
    /// Waits for the next tick, and gives the moment it was due, which is before [`now`] where it is late. Cancel-safe:
    /// a tick is taken when this is ready, and not before.
    ///
    /// Many ticks that are due at once do not keep other tasks from running.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// [`Interval::tick`] for state machines that poll by hand.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.sleep.core.budget.poll_left(cx));
        ready!(Pin::new(&mut self.sleep).poll(cx));
        self.sleep.core.budget.spend();
        let due = self.sleep.deadline();
        let next = self.missed_tick.next(due, self.sleep.core.now(), self.period);
        self.sleep.reset(next);
        Poll::Ready(due)
    }

    /// Starts anew: the next tick comes one period from now.
    pub fn reset(&mut self) {
        self.sleep.reset(self.sleep.core.now() + self.period);
    }

    /// The time from tick to tick.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What it does about late ticks.
    #[must_use]
    pub fn missed_tick(&self) -> MissedTick {
        self.missed_tick
    }

    /// Says what to do about late ticks from the next one on. At first it is [`MissedTick::Burst`].
    pub fn set_missed_tick(&mut self, missed_tick: MissedTick) {
        self.missed_tick = missed_tick;
    }
}

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
