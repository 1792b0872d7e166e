//! Timers that are set and given up again: what a server's deadlines mostly do.
//!
//! The timers wait in places that were pinned beforehand, because some peers' may not move once polled: no allocation
//! but the peer's own is timed.

use super::clock::{Clock, Samples, Watch};
use super::yields::Yield;
use crate::{in_one_poll, sleep};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

const LIVE: usize = 1_000_000;
const CHURN: usize = 2000;
/// None shall fire while it is watched.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
/// Due before all others.
const EARLIER: Duration = Duration::from_secs(30);
const SEED: u64 = 20_261_121;

/// Room for one timer.
type Place<F> = Pin<Box<Option<F>>>;

/// Room for so many timers of the type that `make` makes.
fn places<F: Future>(count: usize, _make: impl Fn(Duration) -> F) -> Vec<Place<F>> {
    (0..count).map(|_| Box::pin(None)).collect()
}

/// The same for all peers and in all runs: an hour at most.
fn durations(count: usize) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let range = (LONGEST - SHORTEST).as_nanos() as u64;
    (0..count).map(|_| SHORTEST + Duration::from_nanos(random.u64(..range))).collect()
}

fn set<F: Future>(place: &mut Place<F>, timer: F, cx: &mut Context<'_>) {
    place.set(Some(timer));
    let polled = place.as_mut().as_pin_mut().expect("just put there").poll(cx);
    assert!(polled.is_pending(), "no timer is due yet");
}

/// Makes a million timers, each polled once, then drops them: nanoseconds a timer, of each.
pub async fn create_and_cancel() -> (Samples, Samples) {
    let durations = durations(LIVE);
    let mut places = places(LIVE, sleep);
    let watch = Watch::of_thread();
    // One is there already, and the runtime has slept since: as in a program that runs. Else tokio takes each new timer
    // for the earliest of all, and wakes itself up for it by a system call.
    let mut earlier = pin!(sleep(EARLIER));
    let polled = poll_fn(|cx| Poll::Ready(earlier.as_mut().poll(cx).is_pending())).await;
    assert!(polled, "it is not due");
    sleep(Duration::from_millis(1)).await;
    let started = watch.now();
    in_one_poll(poll_fn(|cx| {
        for (place, duration) in places.iter_mut().zip(&durations) {
            set(place, sleep(*duration), cx);
        }
        Poll::Ready(())
    }))
    .await;
    let created = watch.now() - started;
    // The runtime has seen all of them before they go.
    sleep(Duration::from_millis(1)).await;
    let started = watch.now();
    for place in &mut places {
        place.set(None);
    }
    let cancelled = watch.now() - started;
    let each = |time: Duration| Samples::of_all(time.as_nanos() as f64 / LIVE as f64, LIVE);
    (each(created), each(cancelled))
}

/// Sets one timer and gives it up, over and over, with no other alive, so each is the earliest: nanoseconds for both.
pub async fn churn(samples: usize) -> Samples {
    let durations = durations(CHURN);
    let mut place = places(1, sleep).remove(0);
    let mut clock = Clock::new(samples, CHURN);
    while clock.runs() {
        in_one_poll(poll_fn(|cx| {
            for duration in &durations {
                set(&mut place, sleep(*duration), cx);
                place.set(None);
            }
            Poll::Ready(())
        }))
        .await;
        Yield::default().await;
    }
    clock.samples()
}
