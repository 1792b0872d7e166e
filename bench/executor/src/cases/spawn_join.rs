//! Tasks that end at their first poll: a batch is spawned, then joined.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::clock::{Clock, Samples};
use crate::{join, spawn};

const BATCH: usize = 1000;
const BATCHES: usize = 5;

/// A future of 64 bytes that is ready at once.
struct Sum([u64; 8]);

const _: () = assert!(size_of::<Sum>() == 64);

impl Future for Sum {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        Poll::Ready(self.0.iter().sum())
    }
}

/// Nanoseconds a task.
pub async fn measure(samples: usize) -> Samples {
    let mut clock = Clock::new(samples, BATCH * BATCHES);
    let mut handles = Vec::with_capacity(BATCH);
    while clock.runs() {
        for _ in 0..BATCHES {
            for number in 0..BATCH as u64 {
                handles.push(spawn(Sum([number; 8])));
            }
            let mut sum = 0;
            for handle in handles.drain(..) {
                sum += join(handle).await;
            }
            assert_eq!(sum, 8 * (0..BATCH as u64).sum::<u64>(), "each task has run once");
        }
    }
    clock.samples()
}
