//! Cases of closures that run elsewhere: what they give, how they end, and queues that are full.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Waker};
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex};

use futures::future::{join, join_all};
use mainspring_executor::driver::Lane;
use mainspring_executor::offload::{self, OffloadError, Offloaded};

use super::pair::poll_once;
use super::stage::{COMPUTE_THREADS, JOBS_WAITING_MAX, Stage};

/// Holds closures up until it is opened. They must not be waited for before: in the simulator they run on this thread,
/// at the instant at which they end.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(super) fn pass(&self) {
        let is_open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

/// Computes behind a gate, and counts itself.
fn gated(gate: &Gate, ran: &Arc<AtomicUsize>) -> Offloaded<usize> {
    let (gate, ran) = (gate.clone(), Arc::clone(ran));
    offload::compute(move || {
        gate.pass();
        ran.fetch_add(1, Ordering::SeqCst)
    })
}

/// Begins closures behind `gate` until the queue is full.
async fn fill(gate: &Gate, ran: &Arc<AtomicUsize>) -> Vec<Offloaded<usize>> {
    let mut begun = Vec::new();
    loop {
        let mut next = gated(gate, ran);
        match poll_once(&mut next).await {
            None => begun.push(next),
            Some(Err(OffloadError::Full)) => return begun,
            Some(other) => panic!("a closure takes time, and this one waits: {other:?}"),
        }
    }
}

pub(super) async fn gives() {
    let word = String::from("there and back");
    let moved = offload::blocking(move || word.to_uppercase()).await;
    assert_eq!(moved.unwrap(), "THERE AND BACK");
    let failed = offload::compute(|| "x".parse::<u32>()).await.expect("it ran");
    assert!(failed.is_err(), "an error is an output like any other");
    let lanes = [offload::blocking as fn(_) -> _, offload::compute];
    for lane in lanes {
        let squares = join_all((0..200_u64).map(|number| lane(square(number)))).await;
        let squares: Vec<u64> = squares.into_iter().map(Result::unwrap).collect();
        assert!(squares.into_iter().eq((0..200).map(|number| number * number)));
    }
}

fn square(number: u64) -> Box<dyn FnOnce() -> u64 + Send> {
    Box::new(move || number * number)
}

pub(super) async fn panics() {
    for round in 0..10 {
        // As a panic, without a word on standard error.
        let failed = offload::compute(move || -> () { resume_unwind(Box::new(round)) }).await;
        let Err(OffloadError::Panicked(payload)) = failed else { panic!("it panics: {failed:?}") };
        assert_eq!(payload.downcast_ref(), Some(&round));
        // Its thread goes on.
        assert_eq!(offload::compute(move || round).await.unwrap(), round);
    }
}

pub(super) async fn dropped() {
    let (gate, ran) = (Gate::default(), Arc::default());
    let mut begun = fill(&gate, &ran).await;
    let count = begun.len();
    // Behind so many others that no thread has come to them.
    let waiting = begun.split_off(count - 100);
    let held = Arc::strong_count(&ran);
    drop(waiting);
    assert_eq!(Arc::strong_count(&ran), held - 100, "what a closure holds goes with it");
    // Those that threads have begun go on; the others do not begin.
    drop(begun);
    gate.open();
    // The queue has room again, and whoever is behind the last that runs sees its end.
    while Arc::strong_count(&ran) > 1 {
        offload::compute(|| ()).await.expect("there is room");
    }
    let ran = ran.load(Ordering::SeqCst);
    assert!(ran <= COMPUTE_THREADS, "{ran} ran, and there are {COMPUTE_THREADS} threads");
}

/// What is returned to nobody is dropped.
pub(super) async fn returned_to_nobody() {
    let held = Arc::new(());
    for _ in 0..20 {
        let returned = Arc::clone(&held);
        let mut running = offload::blocking(move || returned);
        assert!(poll_once(&mut running).await.is_none(), "a closure takes time");
        drop(running);
    }
    while Arc::strong_count(&held) > 1 {
        offload::blocking(|| ()).await.expect("there is room");
    }
}

pub(super) async fn full() {
    let (gate, ran) = (Gate::default(), Arc::default());
    let begun = fill(&gate, &ran).await;
    let count = begun.len();
    // Threads take theirs out of the queue when they come to it.
    let expected = JOBS_WAITING_MAX..=JOBS_WAITING_MAX + COMPUTE_THREADS;
    assert!(expected.contains(&count), "{count} closures were taken");
    let mut other = offload::blocking(|| "another lane");
    assert!(poll_once(&mut other).await.is_none(), "it takes time, but it is not refused");
    let metrics = offload::metrics().snapshot();
    let lane = metrics.lane(Lane::Compute);
    assert_eq!((lane.submitted, lane.under_way, lane.refused), (count as u64, count as u64, 1));
    gate.open();
    assert_eq!(other.await.unwrap(), "another lane");
    let outputs = join_all(begun).await;
    let mut outputs: Vec<usize> = outputs.into_iter().map(Result::unwrap).collect();
    outputs.sort_unstable();
    assert!(outputs.into_iter().eq(0..count), "each ran once");
    let metrics = offload::metrics().snapshot();
    let lane = metrics.lane(Lane::Compute);
    assert_eq!((lane.ended, lane.under_way, lane.cancelled), (count as u64, 0, 0));
    assert!(lane.wait_sum >= lane.wait_max && lane.wait_max > core::time::Duration::ZERO);
}

pub(super) async fn patient() {
    let (gate, ran) = (Gate::default(), Arc::default());
    let begun = fill(&gate, &ran).await;
    let count = begun.len();
    let mut in_line: Vec<_> = (0..50).map(|_| gated(&gate, &ran).patient()).collect();
    for waiting in &mut in_line {
        assert!(poll_once(waiting).await.is_none(), "there is no place");
    }
    // Some give up, the first among them; who is behind them moves up.
    let mut number = 0;
    in_line.retain(|_| {
        number += 1;
        number % 3 != 1
    });
    let left = in_line.len();
    let hasty = gated(&gate, &ran).await;
    assert!(matches!(hasty, Err(OffloadError::Full)), "nobody comes before those in line");
    let (all, waited) = join(
        async {
            gate.open();
            join_all(begun).await
        },
        join_all(in_line),
    )
    .await;
    assert!(all.iter().chain(&waited).all(Result::is_ok));
    assert_eq!(ran.load(Ordering::SeqCst), count + left, "each ran once, those that gave up never");
}

/// A closure that is made and never polled, or polled outside of its turn, is no job.
pub(super) async fn lazy(stage: Stage) {
    let open_before = stage.witness.open().len();
    let ran = Arc::new(AtomicUsize::new(0));
    drop(gated(&Gate::default(), &ran));
    assert_eq!(Arc::strong_count(&ran), 1);
    assert_eq!(stage.witness.open().len(), open_before);
    let mut early = offload::compute(|| 7);
    // Someone else's waker first; the last to poll is the one who is told.
    let polled = core::pin::Pin::new(&mut early);
    assert!(Future::poll(polled, &mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(stage.witness.open().len(), open_before + 1);
    assert_eq!(early.await.unwrap(), 7);
    assert_eq!(stage.witness.open().len(), open_before);
}
