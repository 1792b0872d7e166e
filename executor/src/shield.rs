//! Shielded sections: the rare work that must finish once it has begun, whoever asked for it and is gone by then. A
//! rollback, the return of a lease, the last frame of a protocol.
//!
//! ```text
//!   shield ──► a section: a task of the shard, beside the children of its scope
//!                │ ready            ──► its output, to who awaits it
//!                │ duration_max     ──► dropped; Elapsed, to who awaits it
//!                │ awaiter dropped  ──► goes on
//!                │ scope dropped    ──► goes on; the scope around waits for it from now on
//!                └ shard shut down  ──► dropped
//! ```
//!
//! Invariant: a section ends before a [`join`](crate::Scope::join) of the scope in which it was started does, and before
//! [`Shard::run`](crate::Shard::run) returns. A *synchronous* end, a scope that is dropped, cannot wait for it.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::borrow::Cow;
use std::panic::resume_unwind;
use std::rc::Rc;

use pin_project_lite::pin_project;

use crate::context::Bound;
use crate::current;
use crate::shard::{Core, Spawn};
use crate::task::{JoinError, JoinHandle};
use crate::time::{Elapsed, Sleep};

/// Begins a section that goes on until it ends or `duration_max` is over, counted from now, whatever becomes of the
/// result of this call. Awaiting that gives the output.
///
/// What runs inside has the task-locals and the span of the caller, but not its deadline: `duration_max` takes its place.
///
/// The section belongs to the scope around: that of the child which calls this, or that of the body which does.
/// [`Scope::join`](crate::Scope::join), [`drain`](crate::Scope::drain) and [`scope`](crate::scope::scope) wait for it.
/// Dropping a scope does not; then the next scope further out waits. [`Shard::run`](crate::Shard::run) waits at its end for
/// the sections that live by then.
///
/// A destructor cannot await, but it can begin a section: so can a transaction roll back when it is dropped half way.
///
/// ```
/// # use mainspring_executor::{Shard, os::OsDriver, scope::scope, shield::shield, time::{sleep, timeout}};
/// # use core::time::Duration;
/// # use std::{cell::Cell, rc::Rc};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let rolled_back = Rc::new(Cell::new(false));
/// scope(async |scope| {
///     let seen = Rc::clone(&rolled_back);
///     let child = scope.spawn(async move {
///         let rollback = async move {
///             sleep(Duration::from_millis(2)).await;
///             seen.set(true);
///         };
///         shield(Duration::from_secs(1), rollback).await
///     });
///     sleep(Duration::from_millis(1)).await;
///     child.abort();
/// })
/// .await;
/// assert!(rolled_back.get());
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn shield<F: Future + 'static>(duration_max: Duration, future: F) -> Shielded<F::Output> {
    begin(Cow::Borrowed("shield"), Location::caller(), duration_max, future)
}

/// As [`shield`], with a name for the task dump and the log.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn shield_named<F: Future + 'static>(
    name: impl Into<Cow<'static, str>>,
    duration_max: Duration,
    future: F,
) -> Shielded<F::Output> {
    begin(name.into(), Location::caller(), duration_max, future)
}

fn begin<F: Future + 'static>(
    name: Cow<'static, str>,
    origin: &'static Location<'static>,
    duration_max: Duration,
    future: F,
) -> Shielded<F::Output> {
    let core = current::core();
    let bound = core.now() + duration_max;
    let sleep = Sleep::at(Rc::clone(&core), bound, origin);
    let core_of = Rc::clone(&core);
    let section =
        Section { future: Some(future), sleep, core: core_of, name: name.clone(), origin };
    let scope = core.scope_around();
    let spawn = Spawn {
        name: Some(name),
        scope: scope.clone(),
        bound: Bound::Instead(bound),
        is_section: true,
        ..Spawn::at(origin)
    };
    let mut handle = core.spawn(section, spawn);
    if let Some(scope) = scope {
        handle = handle.in_scope(&scope);
    }
    Shielded { handle, core }
}

/// Awaits the output of a section. Dropping it leaves the section alone.
///
/// Cancel-safe.
#[must_use = "a section goes on by itself, but somebody may want to know how it ended"]
pub struct Shielded<T> {
    handle: JoinHandle<Result<T, Elapsed>>,
    core: Rc<Core>,
}

pin_project! {
    /// The future of a section.
    struct Section<F> {
        // `None` once it has ended.
        #[pin]
        future: Option<F>,
        sleep: Sleep,
        core: Rc<Core>,
        name: Cow<'static, str>,
        origin: &'static Location<'static>,
    }
}

impl<F: Future> Future for Section<F> {
    type Output = Result<F::Output, Elapsed>;

    /// The future comes first: what is ready in time is not cut.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("a task is polled until it is ready");
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        ready!(Pin::new(this.sleep).poll(cx));
        this.core.metrics.shields_cut.add(1);
        tracing::warn!(
            name = &**this.name,
            begun_at = %this.origin,
            "a shielded section was cut: its time was over"
        );
        this.future.set(None);
        Poll::Ready(Err(Elapsed))
    }
}

impl<T> Future for Shielded<T> {
    type Output = Result<T, Elapsed>;

    /// # Errors
    /// When the section was cut: its time was over, or its shard was shut down.
    ///
    /// # Panics
    /// When the section did, with its panic; when polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.handle).poll(cx)) {
            Ok(output) => Poll::Ready(output),
            Err(JoinError::Panicked(payload)) => resume_unwind(payload),
            Err(JoinError::Cancelled) => Poll::Ready(Err(Elapsed)),
        }
    }
}

impl<T> Drop for Shielded<T> {
    fn drop(&mut self) {
        if !self.handle.is_finished() {
            self.core.metrics.shields_left.add(1);
        }
    }
}

impl<T> fmt::Debug for Shielded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shielded({}, begun at {})", self.handle.id(), self.handle.task().origin())
    }
}
