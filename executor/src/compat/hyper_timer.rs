//! `HyperTimer`: the driver's time for hyper.
#![expect(
    clippy::disallowed_types,
    reason = "hyper's trait speaks of the standard library's `Instant`"
)]

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant as StdInstant;

use hyper::rt;

use super::OnThread;
use crate::Instant;
use crate::os::std_epoch;
use crate::time::{self, Sleep, sleep_until};

/// hyper's [`Timer`](rt::Timer) on the clock of the current shard's driver.
///
/// # The clock
/// hyper asks for the present moment and for deadlines in `std::time::Instant`, which cannot be made but by reading
/// the system's clock. It is read once a process, and what comes of it stands for the start of every driver's clock.
/// All that hyper gets from [`now`](rt::Timer::now) is that moment plus the driver's time, and of what hyper gives back
/// only the distance to that moment counts. hyper itself adds, subtracts and compares, where the moment cancels out:
/// a run in a simulator stays its seed's alone, to the nanosecond.
///
/// What remains:
/// - An instant from anywhere else, such as a reading of the system's clock, means nothing here: in a simulator it
///   would bring the age of the process into the run.
/// - Whoever prints such an instant, or hashes it, sees something else in each process.
/// - hyper without a timer asks the system itself: give it one wherever it takes one.
///
/// ```
/// use core::time::Duration;
/// use hyper::rt::Timer;
/// use mainspring_executor::compat::HyperTimer;
/// # use mainspring_executor::{Shard, os::OsDriver};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// // As in `hyper::server::conn::http1::Builder::new().timer(HyperTimer)`.
/// let start = HyperTimer.now();
/// HyperTimer.sleep(Duration::from_millis(2)).await;
/// assert!(HyperTimer.now() - start >= Duration::from_millis(2));
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// Each of its functions does outside of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperTimer;

impl rt::Timer for HyperTimer {
    #[track_caller]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(HyperSleep::new(time::now() + duration))
    }

    #[track_caller]
    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(HyperSleep::new(from_std(deadline)))
    }

    #[track_caller]
    fn now(&self) -> StdInstant {
        std_epoch() + (time::now() - Instant::START)
    }

    /// Moves the deadline of the same timer: later costs nothing.
    #[track_caller]
    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: StdInstant) {
        match sleep.as_mut().downcast_mut_pin::<HyperSleep>() {
            Some(sleep) => sleep.get_mut().sleep.inner_mut().reset(from_std(deadline)),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// The driver's moment for one that [`HyperTimer`] gave out, or that was reckoned from such.
fn from_std(instant: StdInstant) -> Instant {
    Instant::START + instant.saturating_duration_since(std_epoch())
}

/// A deadline that hyper waits for; made by [`HyperTimer`]. It is `Send` and `Sync` as hyper will have it, and as
/// [`OnThread`] is: used on its shard's thread only. Cancel-safe.
pub struct HyperSleep {
    sleep: OnThread<Sleep>,
}

impl HyperSleep {
    #[track_caller]
    fn new(deadline: Instant) -> Self {
        Self { sleep: OnThread::new(sleep_until(deadline)) }
    }
}

impl Future for HyperSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.sleep).poll(cx)
    }
}

impl rt::Sleep for HyperSleep {}

impl fmt::Debug for HyperSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.sleep, f)
    }
}
