//! Futures that are polled by hand, outside of a shard, with their wakes noted in order.

use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use futures::future::LocalBoxFuture;

/// Which futures were woken.
#[derive(Clone, Default)]
pub(crate) struct WakeLog(Arc<Mutex<Vec<usize>>>);

impl WakeLog {
    /// The ids of those that were woken since this was asked last, in order.
    pub(crate) fn take(&self) -> Vec<usize> {
        core::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }

    /// Makes `future` one that is noted as `id`.
    pub(crate) fn future<'a, T>(
        &self,
        id: usize,
        future: impl Future<Output = T> + 'a,
    ) -> Polled<'a, T> {
        let current = Arc::<AtomicUsize>::default();
        let noted = Noted { id, generation: 0, current: Arc::clone(&current), log: self.clone() };
        Polled { id, future: Box::pin(future), current, waker: Waker::from(Arc::new(noted)) }
    }
}

struct Noted {
    id: usize,
    /// Which of the wakers of the future this is.
    generation: usize,
    /// The one that it was polled with last.
    current: Arc<AtomicUsize>,
    log: WakeLog,
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        let current = self.current.load(Ordering::Relaxed);
        assert_eq!(self.generation, current, "the waker of the last poll is woken");
        self.log.0.lock().expect("nobody panics with it").push(self.id);
    }
}

/// See the file.
pub(crate) struct Polled<'a, T> {
    pub(crate) id: usize,
    future: LocalBoxFuture<'a, T>,
    current: Arc<AtomicUsize>,
    waker: Waker,
}

impl<T> Polled<'_, T> {
    pub(crate) fn poll(&mut self) -> Poll<T> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// From now on it is polled with another waker, to be followed by such a poll.
    pub(crate) fn change_waker(&mut self, log: &WakeLog) {
        let generation = self.current.fetch_add(1, Ordering::Relaxed) + 1;
        let current = Arc::clone(&self.current);
        let noted = Noted { id: self.id, generation, current, log: log.clone() };
        self.waker = Waker::from(Arc::new(noted));
    }
}
