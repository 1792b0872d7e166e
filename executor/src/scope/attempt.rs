//! `Attempt`: a child whose failure is that of its scope.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use pin_project_lite::pin_project;

use super::children::{Children, Failure};

pin_project! {
    /// Gives `None` where the scope has the failure.
    pub(super) struct Attempt<F> {
        #[pin]
        future: F,
        children: Rc<Children>,
    }
}

impl<F> Attempt<F> {
    pub(super) fn new(children: &Rc<Children>, future: F) -> Self {
        Self { future, children: Rc::clone(children) }
    }
}

impl<F, T, E> Future for Attempt<F>
where
    F: Future<Output = Result<T, E>>,
    E: fmt::Debug + 'static,
{
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.project();
        // Caught here and not at the task's edge: there it would go to who holds the handle. The future is not polled
        // again, so nobody sees it half changed.
        let failure = match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(output))) => return Poll::Ready(Some(output)),
            Ok(Poll::Ready(Err(error))) => Failure::Error(Box::new(error)),
            Err(payload) => Failure::Panicked(payload),
        };
        this.children.fail(failure);
        Poll::Ready(None)
    }
}
