//! Tasks that let each other run.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::clock::{Clock, Samples};
use crate::{join, spawn};

/// Wakes its task and is ready at its next poll. The same for all peers: a peer's own may do more, as tokio's does,
/// which sends the task behind a look at the sockets. monoio puts a task that wakes itself before all others, so there
/// its tasks run one after the other.
#[derive(Default)]
pub struct Yield {
    yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nanoseconds a yield, of so many tasks that yield so often each and do nothing else; spawning and joining them is in it.
pub async fn measure(tasks: usize, yields: usize, samples: usize) -> Samples {
    let mut clock = Clock::new(samples, tasks * yields);
    let mut handles = Vec::with_capacity(tasks);
    while clock.runs() {
        for _ in 0..tasks {
            handles.push(spawn(async move {
                for _ in 0..yields {
                    Yield::default().await;
                }
            }));
        }
        for handle in handles.drain(..) {
            join(handle).await;
        }
    }
    clock.samples()
}
