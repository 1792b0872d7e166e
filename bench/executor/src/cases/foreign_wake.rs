//! A thread that knows nothing of the runtime wakes a task on it, and the task wakes the thread.
//!
//! Each side has a core to itself and sleeps while the other works: the wake-up of an idle core is in it twice, and in a
//! virtual machine that is most of it.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::clock::{Samples, WARM_UP};
use crate::{Runtime, join, spawn};

const ROUND_TRIPS: usize = 100;
const RUNTIME_CORE: usize = 0;
const THREAD_CORE: usize = 1;

/// Pins this thread, and those that it will start.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("there are two cores");
}

/// The median nanoseconds a round trip, of so many stretches, and those that warm up.
pub fn measure(variant: &str, samples: usize) -> Samples {
    let (request, requests) = async_channel::bounded::<()>(1);
    let answered = Arc::new(AtomicBool::new(false));
    let ask = {
        let answered = Arc::clone(&answered);
        move || {
            pin(THREAD_CORE);
            let stretch = |_| median((0..ROUND_TRIPS).map(|_| round_trip(&request, &answered)));
            (0..WARM_UP + samples).map(stretch).skip(WARM_UP).collect()
        }
    };
    // Before the thread is pinned elsewhere: the runtime's own threads go where this one is.
    pin(RUNTIME_CORE);
    let runtime = Runtime::new(variant);
    let thread = thread::spawn(ask);
    let asker = thread.thread().clone();
    runtime.block_on(async move {
        let answers = spawn(async move {
            while requests.recv().await.is_ok() {
                answered.store(true, Release);
                asker.unpark();
            }
        });
        join(answers).await;
    });
    let figures = thread.join().expect("the thread does not panic");
    Samples { figures, operations: ROUND_TRIPS }
}

fn round_trip(request: &async_channel::Sender<()>, answered: &AtomicBool) -> f64 {
    let started = Instant::now();
    request.try_send(()).expect("one request at a time");
    while !answered.swap(false, Acquire) {
        thread::park();
    }
    started.elapsed().as_nanos() as f64
}

fn median(samples: impl Iterator<Item = f64>) -> f64 {
    let mut samples: Vec<f64> = samples.collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
