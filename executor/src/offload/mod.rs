//! Work that would hold up the shard, done elsewhere: closures that compute or block, and the way that files and names go,
//! too.
//!
//! ```text
//!             refused, and patient
//!          ┌────────► in line ─────────┐ its turn, and one of the shard's own jobs is over
//!  Offloaded ─ submit ◄────────────────┘
//!          └────────► under way ── edge ── collect ─► output
//! ```
//!
//! The machine's queues are bounded. One who finds his queue full is refused at once, so that load is shed where it comes
//! in; one who is patient, for he has begun something that only this ends, waits in line for a place. Who is in line
//! goes first, in the order in which they came.
//!
//! `job_future` walks this way, `line` is who waits in it, `metrics` counts.

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

mod job_future;
mod line;
mod metrics;

pub(crate) use job_future::JobFuture;
pub use line::IN_LINE_MAX;
pub(crate) use line::Line;
pub use metrics::{LaneSnapshot, OffloadMetrics, OffloadSnapshot};

use crate::current;
use crate::driver::{Call, Exhausted, Job, Lane, Outcome};
use crate::task::panic_message;

/// The jobs of a shard: who waits for a place in each lane, and what is counted.
#[derive(Default)]
pub(crate) struct Offload {
    lines: [Line; Lane::ALL.len()],
    pub(crate) metrics: OffloadMetrics,
}

impl Offload {
    fn line(&self, lane: Lane) -> &Line {
        &self.lines[lane as usize]
    }
}

/// What the current shard has offloaded: files, names and processes included. May be kept and read from any thread.
///
/// # Panics
/// Outside of a shard.
#[must_use]
#[track_caller]
pub fn metrics() -> OffloadMetrics {
    current::core().offload.metrics.clone()
}

/// Runs `f` on a thread that may block: for libraries that wait by themselves. Sixty-four threads at most do so for all
/// shards of a process.
///
/// Nothing happens before the first poll. Cancel-safe: dropped before a thread has begun, `f` never runs; dropped later,
/// it runs to its end, and what it returns is dropped.
///
/// # Panics
/// Outside of a shard.
///
/// ```
/// # use mainspring_executor::{Shard, offload, os::OsDriver};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let words = offload::blocking(|| String::from("from far away")).await?;
/// assert_eq!(words, "from far away");
/// # Ok::<(), offload::OffloadError>(())
/// # })?.expect("it does not panic, and there is room");
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn blocking<F, T>(f: F) -> Offloaded<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Offloaded::new(Lane::Blocking, f)
}

/// Runs `f` on a thread for work that computes; no more of them than cores, so that shards still get their turns.
/// Otherwise as [`blocking`].
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn compute<F, T>(f: F) -> Offloaded<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Offloaded::new(Lane::Compute, f)
}

/// Why a closure gave nothing.
pub enum OffloadError {
    /// Too many wait already: it did not run. Shed load, or be [patient](Offloaded::patient).
    Full,
    /// It panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// The machine has no thread for it, and it did not run.
    Failed(io::Error),
}

impl fmt::Debug for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OffloadError({self})")
    }
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many offloaded closures wait already"),
            Self::Panicked(payload) => {
                write!(f, "an offloaded closure panicked: {}", panic_message(&**payload))
            }
            Self::Failed(error) => write!(f, "a closure cannot be offloaded: {error}"),
        }
    }
}

impl core::error::Error for OffloadError {}

impl From<OffloadError> for io::Error {
    /// `Full` becomes [`Exhausted`].
    fn from(error: OffloadError) -> Self {
        match error {
            OffloadError::Full => Exhausted.into(),
            OffloadError::Failed(error) => error,
            OffloadError::Panicked(_) => Self::other(error.to_string()),
        }
    }
}

/// A closure on its way. See [`blocking`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Offloaded<T> {
    job: JobFuture,
    output: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> Offloaded<T> {
    #[track_caller]
    fn new(lane: Lane, f: impl FnOnce() -> T + Send + 'static) -> Self {
        let call = Call::new(move || Box::new(catch_unwind(AssertUnwindSafe(f))));
        let job = Job::Call { lane, call };
        let core = current::core();
        Self { job: JobFuture::new(core, job, Location::caller()), output: PhantomData }
    }

    /// Waits for a place where there is none, instead of being refused; up to [`IN_LINE_MAX`] may. For work whose caller
    /// has begun what he cannot take back.
    pub fn patient(mut self) -> Self {
        self.job = self.job.patient();
        self
    }
}

impl<T: Send + 'static> Future for Offloaded<T> {
    type Output = Result<T, OffloadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match ready!(Pin::new(&mut self.job).poll(cx)) {
            Ok(outcome) => outcome,
            Err(error) if Exhausted::is(&error) => return Poll::Ready(Err(OffloadError::Full)),
            Err(error) => return Poll::Ready(Err(OffloadError::Failed(error))),
        };
        let Outcome::Returned(returned) = outcome else {
            unreachable!("the driver answers Call with Returned, not {outcome:?}")
        };
        let returned: Box<Result<T, Box<dyn Any + Send>>> =
            returned.downcast().expect("the driver gives what the closure returned");
        Poll::Ready(returned.map_err(OffloadError::Panicked))
    }
}

impl<T> fmt::Debug for Offloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offloaded({})", self.job.lane().name())
    }
}
