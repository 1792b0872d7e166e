//! What a task costs in memory: tasks of 64 bytes of state that wait for ever.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll};
use core::time::Duration;

use super::clock::Samples;
use crate::{allocator, sleep, spawn};

/// A little less than 2^16: tables that double have hardly any room left over then.
const TASKS: usize = 65_000;
/// So many are new at a time: the queue of ready tasks stays short, as it is in a program that is not overloaded.
const BATCH: usize = 1000;

static POLLED: AtomicUsize = AtomicUsize::new(0);

struct Never {
    _state: [u64; 8],
}

const _: () = assert!(size_of::<Never>() == 64);

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        POLLED.fetch_add(1, Relaxed);
        Poll::Pending
    }
}

/// Bytes asked of the allocator and still held, and calls of it, a task; tables of tasks and queues included.
pub async fn measure() -> (Samples, Samples) {
    let mut handles = Vec::with_capacity(TASKS);
    allocator::start();
    while handles.len() < TASKS {
        for _ in 0..BATCH {
            handles.push(spawn(Never { _state: [7; 8] }));
        }
        while POLLED.load(Relaxed) < handles.len() {
            // Not a yield: monoio runs a task that wakes itself before all others.
            sleep(Duration::from_millis(1)).await;
        }
    }
    let (bytes, allocations) = allocator::stop();
    // To here they live: some peers end a task whose handle is dropped.
    assert_eq!(handles.len(), TASKS);
    let each = |sum: f64| Samples::of_all(sum / TASKS as f64, TASKS);
    (each(bytes as f64), each(allocations as f64))
}
