//! `Latencies`: how long the requests of a scenario took, in virtual time, to the nanosecond.
//!
//! Samples are kept and sorted, never put into buckets: virtual time is exact, so what is told of it is.

use core::fmt;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mainspring_executor::driver::Instant;
use mainspring_sim_allocator::Entered;

use crate::room::Room;

/// How long requests took, by the clock of the room: what a host's own clock shows does not matter, nor whether it moves during a
/// poll. Made by [`World::latencies`](crate::World::latencies); clones are handles to the same one.
///
/// A sample belongs to the moment at which its request began. So a stall shows in the requests that it met, also in those that were
/// answered long after it; and who would have begun some, and waited instead, is not seen: let them begin on a plan of time
/// ([`Latencies::measure_from`]), not one after the other.
///
/// ```
/// # use core::time::Duration;
/// # use mainspring_executor::{driver::Instant, time::sleep};
/// # use mainspring_sim::{World, WorldConfig};
/// let world = World::new(1, WorldConfig::calm());
/// let latencies = world.latencies();
/// let measured = latencies.clone();
/// world.host("client").run(async move {
///     for millis in 1..=100 {
///         measured.measure(sleep(Duration::from_millis(millis))).await;
///     }
/// });
/// world.run().expect("it ends well");
/// let all = latencies.all();
/// assert_eq!(all.percentile(99.0), Some(Duration::from_millis(99)));
/// assert_eq!(all.max(), Some(Duration::from_millis(100)));
/// let second = Instant::START + Duration::from_secs(1);
/// assert!(latencies.recovered_by(second, Duration::from_millis(100)));
/// ```
#[derive(Clone)]
pub struct Latencies {
    room: Rc<RefCell<Room>>,
    samples: Rc<RefCell<Vec<Sample>>>,
    given_up: Rc<Cell<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    began: Instant,
    took: Duration,
}

impl Latencies {
    pub(crate) fn new(room: &Rc<RefCell<Room>>) -> Self {
        Self { room: Rc::clone(room), samples: Rc::default(), given_up: Rc::default() }
    }

    /// Awaits `request`, and notes how long that took from its first poll on. One that is dropped half way is counted by
    /// [`Latencies::given_up_count`]. Cancel-safe where `request` is.
    pub async fn measure<F: Future>(&self, request: F) -> F::Output {
        self.measure_from(self.now(), request).await
    }

    /// As [`Latencies::measure`], of a request that was to begin at `planned`: what its own task was late by counts as well. Where a
    /// poll [spends](crate::spend) time the whole room is late, clients and all, and without this nobody would see it.
    ///
    /// # Panics
    /// When it ends before that.
    pub async fn measure_from<F: Future>(&self, planned: Instant, request: F) -> F::Output {
        let under_way = UnderWay(self);
        let output = request.await;
        core::mem::forget(under_way);
        self.record(planned, self.now());
        output
    }

    /// Notes a request that is over.
    ///
    /// # Panics
    /// When it ended before it began.
    pub fn record(&self, began: Instant, ended: Instant) {
        assert!(ended >= began, "a request that began at {began} did not end at {ended}");
        let _bookkeeping = Entered::nobody();
        self.samples.borrow_mut().push(Sample { began, took: ended - began });
    }

    /// Requests that were dropped before they ended. They are in no window: what they would have taken is not known.
    #[must_use]
    pub fn given_up_count(&self) -> u64 {
        self.given_up.get()
    }

    /// All requests.
    #[must_use]
    pub fn all(&self) -> Window {
        self.window(|_| true)
    }

    /// The requests that began at `from` or later, and before `until`.
    #[must_use]
    pub fn between(&self, from: Instant, until: Instant) -> Window {
        self.window(|began| began >= from && began < until)
    }

    /// Whether everything is as it should be from `instant` on: requests began then or later, and none of them took longer than
    /// `threshold`.
    #[must_use]
    pub fn recovered_by(&self, instant: Instant, threshold: Duration) -> bool {
        self.window(|began| began >= instant).max().is_some_and(|max| max <= threshold)
    }

    /// When the first request began from which on none took longer than `threshold`. `None` where the last one did, or there was
    /// none.
    #[must_use]
    pub fn recovered_at(&self, threshold: Duration) -> Option<Instant> {
        let samples = self.samples.borrow();
        let late = samples.iter().filter(|sample| sample.took > threshold);
        let last_late = late.map(|sample| sample.began).max();
        let began = samples.iter().map(|sample| sample.began);
        began.filter(|began| last_late.is_none_or(|late| *began > late)).min()
    }

    fn window(&self, is_in: impl Fn(Instant) -> bool) -> Window {
        let samples = self.samples.borrow();
        let inside = samples.iter().filter(|sample| is_in(sample.began));
        let mut sorted: Vec<Duration> = inside.map(|sample| sample.took).collect();
        sorted.sort_unstable();
        Window { sorted }
    }

    fn now(&self) -> Instant {
        self.room.borrow().now
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latencies({}, {} given up)", self.all(), self.given_up_count())
    }
}

/// Counts a request as given up, unless it is forgotten.
struct UnderWay<'a>(&'a Latencies);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.given_up.set(self.0.given_up.get() + 1);
    }
}

/// Some of the requests, sorted by what they took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    sorted: Vec<Duration>,
}

/// Percentiles are told apart by so many parts of one percent.
const PARTS_PER_PERCENT: u16 = 1000;

impl Window {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest time that at least `percent` of a hundred requests did not exceed: one of the samples, never a value between
    /// two. `None` where there is no request. A thousandth of a percent is the finest difference that counts.
    ///
    /// # Panics
    /// When `percent` is below 0 or above 100.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        assert!((0.0..=100.0).contains(&percent), "{percent} is not between 0 and 100");
        // In whole numbers, or the 99.9th of 1,000 would be the last.
        #[expect(clippy::cast_possible_truncation, reason = "it is between 0 and 100,000")]
        #[expect(clippy::cast_sign_loss, reason = "as above")]
        let parts = (percent * f64::from(PARTS_PER_PERCENT)).round() as usize;
        let rank = (parts * self.count()).div_ceil(100 * usize::from(PARTS_PER_PERCENT));
        self.sorted.get(rank.saturating_sub(1)).copied()
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.sorted.last().copied()
    }

    /// The shortest.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        self.sorted.first().copied()
    }
}

/// The count, and what is asked for most often.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(max), of) = (self.max(), |percent| self.percentile(percent).unwrap_or_default())
        else {
            return f.write_str("no requests");
        };
        let (p50, p99, p999) = (of(50.0), of(99.0), of(99.9));
        let count = self.count();
        write!(f, "{count} requests: p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}, max {max:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(count: u64) -> Window {
        Window { sorted: (1..=count).map(Duration::from_nanos).collect() }
    }

    #[track_caller]
    fn check(count: u64, percent: f64, expected: Option<u64>) {
        let expected = expected.map(Duration::from_nanos);
        assert_eq!(window(count).percentile(percent), expected, "{percent} of {count}");
    }

    /// By nearest rank: the n-th of N is the percentile up to 100 n / N.
    #[test]
    fn percentiles_are_samples() {
        check(0, 50.0, None);
        check(1, 0.0, Some(1));
        check(1, 100.0, Some(1));
        check(2, 50.0, Some(1));
        check(2, 50.001, Some(2));
        check(100, 99.0, Some(99));
        check(100, 99.001, Some(100));
        check(1000, 99.9, Some(999));
        check(1000, 99.0, Some(990));
        check(10_000, 99.99, Some(9999));
        check(3, 33.3, Some(1));
        check(3, 33.4, Some(2));
    }

    #[test]
    #[should_panic(expected = "101 is not between 0 and 100")]
    fn a_percentile_is_of_a_hundred() {
        let _ = window(1).percentile(101.0);
    }

    #[test]
    fn a_window_tells_what_is_asked_for_most() {
        assert_eq!(window(0).to_string(), "no requests");
        let text = "1000 requests: p50 500ns, p99 990ns, p99.9 999ns, max 1µs";
        assert_eq!(window(1000).to_string(), text);
    }
}
