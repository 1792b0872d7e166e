//! `Body`: what runs beside the children of a scope, and ends with them. [`scope`] and [`try_scope`] are made of it.
//!
//! Invariant: a body is not polled after its scope failed; it is dropped then, at the next poll of its task, for which it
//! is woken.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::panic::resume_unwind;

use pin_project_lite::pin_project;

use super::children::{Children, Failure, Fate};
use super::{Scope, ScopeError};
use crate::time::Elapsed;
use crate::waiters::Place;
use crate::waits::Ticket;

/// Runs `body` with a scope, then waits for the children; gives what `body` gave.
///
/// A panic of a child that nobody joins ends its siblings and the body: the siblings where they stand, the body when its
/// task is polled next, which is soon, and it does not go on before that. Where a deadline or a child of
/// [`Scope::spawn_try`] ends the children, the body goes on, for it has to give something; [`Scope::join`] tells it.
///
/// Dropping this future drops the body, then the children. Cancel-safe where the body is.
///
/// # Panics
/// With the panic of a child that nobody joined; outside of a shard.
///
/// ```
/// # use mainspring_executor::{Shard, os::OsDriver, scope::scope, time::sleep};
/// # use core::time::Duration;
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let sum = scope(async |scope| {
///     let a = scope.spawn(async { 1 });
///     let b = scope.spawn(async { sleep(Duration::from_millis(1)).await; 2 });
///     a.await.expect("no panic") + b.await.expect("no panic")
/// })
/// .await;
/// assert_eq!(sum, 3);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn scope<T, Body>(body: Body) -> impl Future<Output = T>
where
    Body: AsyncFnOnce(&Scope) -> T,
{
    let origin = Location::caller();
    async move {
        let scope = Scope::<Elapsed>::of(Fate::OfAll);
        let output = run(&scope, body(&scope), Children::has_panicked, origin).await;
        scope.wait_at(origin).await;
        if let Some(payload) = scope.children.take_panic() {
            resume_unwind(payload);
        }
        output.expect("a body is dropped for a panic alone, and nobody else was told of it")
    }
}

/// Runs `body` with a scope, whose first failure ends everything in it: an error or a panic of a child of
/// [`Scope::spawn_try`], a panic of another child that nobody joins, an error of the body, the
/// [deadline](Scope::set_deadline).
///
/// The siblings are dropped where they stand, in the order in which they were spawned, after the child that failed; the
/// body when its task is polled next, which is soon, and it does not go on before that. Then that first failure is what
/// this gives: the error, or the panic again. Later ones, of destructors or of the body, are logged and counted.
///
/// Without a failure it waits for all children, then gives what `body` gave. In any case it waits for
/// [sections](crate::shield::shield) that were started inside.
///
/// Dropping this future drops the body, then the children. Cancel-safe where the body is.
///
/// # Errors
/// The first error, if nothing panicked before.
///
/// # Panics
/// With the first panic, if nothing failed before; outside of a shard.
///
/// ```
/// # use mainspring_executor::{Shard, os::OsDriver, scope::try_scope, time::sleep};
/// # use core::time::Duration;
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let outcome = try_scope(async |scope| {
///     let sum = scope.spawn_try(async { sleep(Duration::MAX).await; Ok(1) });
///     drop(scope.spawn_try(async { Err::<(), _>("no such user") }));
///     // Never more than asked: the failure of the second ends the first, and this.
///     Ok(sum.await.expect("not aborted"))
/// })
/// .await;
/// assert_eq!(outcome, Err("no such user"));
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn try_scope<T, E, Body>(body: Body) -> impl Future<Output = Result<T, E>>
where
    E: fmt::Debug + 'static,
    Body: AsyncFnOnce(&Scope<E>) -> Result<T, E>,
{
    let origin = Location::caller();
    async move {
        let scope = Scope::<E>::of(Fate::OfAll);
        scope.children.set_has_body(true);
        let output = run(&scope, body(&scope), Children::has_failed, origin).await;
        scope.children.set_has_body(false);
        let output = match output {
            Some(Ok(output)) => Some(output),
            Some(Err(error)) => {
                scope.children.fail(Failure::Error(Box::new(error)));
                scope.children.settle();
                None
            }
            None => None,
        };
        match scope.join_at(origin).await {
            Ok(()) => Ok(output.expect("without a failure the body gave something")),
            Err(ScopeError::Failed(error)) => Err(error),
            Err(ScopeError::Panicked(payload)) => resume_unwind(payload),
        }
    }
}

/// Runs a body to its end, or until `is_over` says that it has to end: `None` then.
async fn run<E, F: Future>(
    scope: &Scope<E>,
    future: F,
    is_over: fn(&Children) -> bool,
    origin: &'static Location<'static>,
) -> Option<F::Output> {
    let body = Body { future: Some(future), scope, is_over, place: None, origin };
    pin!(body).await
}

pin_project! {
    struct Body<'a, E, F> {
        #[pin]
        future: Option<F>,
        scope: &'a Scope<E>,
        is_over: fn(&Children) -> bool,
        place: Option<Place>,
        origin: &'static Location<'static>,
    }

    impl<E, F> PinnedDrop for Body<'_, E, F> {
        fn drop(this: Pin<&mut Self>) {
            this.end();
        }
    }
}

impl<E, F> Body<'_, E, F> {
    /// Drops the future, with its own scope around it: what its destructor starts belongs there.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        let children = &this.scope.children;
        children.waiters().leave(this.place);
        if this.future.is_some() {
            children.core().inside(children, || this.future.set(None));
        }
    }
}

impl<E, F: Future> Future for Body<'_, E, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let children = &this.scope.children;
        let is_over = *this.is_over;
        if !is_over(children) {
            let future = this.future.as_pin_mut().expect("a body gives its output once");
            let poll = children.core().inside(children, || future.poll(cx));
            if let Poll::Ready(output) = poll {
                self.end();
                return Poll::Ready(Some(output));
            }
        }
        // It may have failed in this very poll, by what the body did.
        if is_over(children) {
            self.end();
            return Poll::Ready(None);
        }
        let resource = children.resource();
        children.waiters().wait(this.place, cx, || {
            let ticket = Ticket::failure(resource, this.origin)?;
            Some(children.judge(ticket, cx.waker()))
        });
        Poll::Pending
    }
}
