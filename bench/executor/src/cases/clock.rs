//! Times short stretches of equal length, one behind the other.
//!
//! A program that has one core takes the time that its thread has run on it: what the machine's other work takes away
//! is not in that. With more cores, as for a peer of several threads, only the time on the wall says how long it took.
//! There stretches should be short, a millisecond or so: what takes a core away then meets few of them, and their
//! median is hardly moved.

use core::time::Duration;

use rustix::thread::sched_getaffinity;
use rustix::time::{ClockId, clock_gettime};

/// Stretches that come first and are not counted.
pub const WARM_UP: usize = 10;

/// Tells the time.
pub struct Watch(ClockId);

impl Watch {
    /// For work on this thread alone, that never waits.
    pub fn of_thread() -> Self {
        Self(ClockId::ThreadCPUTime)
    }

    /// For work on all cores that the program has.
    pub fn of_cores() -> Self {
        let cores = sched_getaffinity(None).expect("a thread may ask for its own cores");
        if cores.count() == 1 { Self::of_thread() } else { Self(ClockId::Monotonic) }
    }

    /// The time since some moment.
    pub fn now(&self) -> Duration {
        clock_gettime(self.0).try_into().expect("time goes forward")
    }
}

/// Each call of [`Clock::runs`] ends one stretch and starts the next.
pub struct Clock {
    watch: Watch,
    operations: usize,
    wanted: usize,
    started: Option<Duration>,
    samples: Vec<f64>,
}

impl Clock {
    /// For so many stretches, each of so many operations, and those that warm up.
    pub fn new(wanted: usize, operations: usize) -> Self {
        let wanted = WARM_UP + wanted;
        let samples = Vec::with_capacity(wanted);
        Self { watch: Watch::of_cores(), operations, wanted, started: None, samples }
    }

    /// Whether another stretch is wanted; it has begun when this returns.
    pub fn runs(&mut self) -> bool {
        if let Some(started) = self.started {
            let elapsed = self.watch.now() - started;
            self.samples.push(elapsed.as_nanos() as f64 / self.operations as f64);
        }
        self.started = Some(self.watch.now());
        self.samples.len() < self.wanted
    }

    /// Nanoseconds an operation, of each stretch that counts, and how many operations one is.
    pub fn samples(mut self) -> Samples {
        self.samples.drain(..WARM_UP);
        Samples { figures: self.samples, operations: self.operations }
    }
}

/// What a case has measured.
pub struct Samples {
    pub figures: Vec<f64>,
    /// Operations behind each figure.
    pub operations: usize,
}

impl Samples {
    /// One figure, of all operations together.
    pub fn of_all(figure: f64, operations: usize) -> Self {
        Self { figures: vec![figure], operations }
    }
}
