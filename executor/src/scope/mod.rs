//! `Scope`: tasks whose lives are nested in that of their maker.
//!
//! ```text
//!                     spawn, spawn_try
//!   scope ──────────────────────────────► children ── shield ──► sections
//!     │ token: drain asks                   │
//!     │ failure: of spawn_try, or a panic ◄─┤ ends the siblings
//!     │ deadline ──────────────────────────►│ ends them all
//!     └ cancel, drop ──────────────────────►┘ at once, in the order of spawning
//! ```
//!
//! Invariant: when a scope is gone, all its tasks are. Waiting for them is the gentle way ([`Scope::join`]); dropping the
//! scope drops their futures on the spot, in the order in which they were spawned. Only a [section](crate::shield) goes
//! on, as it is made to; the scope around inherits it.
//!
//! Invariant: a failure is told once, or logged and counted.

mod alarm;
mod attempt;
mod body;
mod children;

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::borrow::Cow;
use std::rc::Rc;

pub(crate) use alarm::Alarms;
use attempt::Attempt;
pub use body::{scope, try_scope};
pub(crate) use children::Children;
use children::{Failure, Fate};

use crate::cancel::CancelToken;
use crate::context::Bound;
use crate::current;
use crate::instant::Instant;
use crate::metrics::CancelReason;
use crate::shard::Spawn;
use crate::task::{JoinHandle, panic_message};
use crate::time::{Elapsed, timeout};
use crate::waiters::Place;
use crate::waits::Ticket;

/// A place for child tasks that ends after they do.
///
/// A child may be any `'static` future; it need not be `Send`. There are three ways to have a scope:
///
/// - [`scope`] and [`try_scope`] run a body with one, and wait at its end. There all stand and fall together: a panic
///   that nobody joins ends the siblings and the body, and comes out.
/// - `Scope::new` makes one to hold, as a server holds its connections. There a panic is kept for [`Scope::join`], and the
///   siblings go on.
///
/// In each of them a child of [`Scope::spawn_try`] takes its siblings with it when it fails.
///
/// `E` is what such a child fails with. The plain scope has no other error than that its deadline passed.
///
/// Two exceptions to the invariant have to be. A child that drops the scope it runs in ends when that very poll is over.
/// A [section](crate::shield::shield) that a child started goes on until it ends or its time is over: [`Scope::join`] and
/// its like wait for it, a drop does not.
pub struct Scope<E = Elapsed> {
    children: Rc<Children>,
    error: PhantomData<fn() -> E>,
}

/// What went wrong in a scope: the first that did.
pub enum ScopeError<E = Elapsed> {
    /// A child of [`Scope::spawn_try`] failed with this, or the deadline passed.
    Failed(E),
    /// A child panicked with this, and nobody joined it.
    Panicked(Box<dyn Any + Send>),
}

impl Scope {
    /// An empty scope in the current shard.
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::of(Fate::OfEach)
    }

    /// An empty scope with a deadline: see [`Scope::set_deadline`].
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    #[track_caller]
    pub fn with_deadline(at: Instant) -> Self {
        let scope = Self::new();
        scope.set_deadline(at);
        scope
    }
}

impl<E: 'static> Default for Scope<E> {
    /// An empty scope in the current shard, for children that fail with an `E`.
    #[track_caller]
    fn default() -> Self {
        Self::of(Fate::OfEach)
    }
}

impl<E: 'static> Scope<E> {
    #[track_caller]
    fn of(fate: Fate) -> Self {
        Self { children: Children::new(current::core(), fate), error: PhantomData }
    }

    /// Spawns a child.
    ///
    /// Its panic goes to the handle while there is one. Where that is dropped without having told of it, before or after
    /// the panic, it goes to the scope.
    ///
    /// In a scope that failed, or whose deadline passed, it is dropped before its first poll.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.spawn_as(None, Location::caller(), future)
    }

    /// As [`Scope::spawn`], with a name for the task dump.
    #[track_caller]
    pub fn spawn_named<F: Future + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> JoinHandle<F::Output> {
        self.spawn_as(Some(name.into()), Location::caller(), future)
    }

    /// Spawns a child whose failure, an error or a panic, is that of the scope: its siblings are dropped where they stand,
    /// in the order of spawning, and so is the body of [`try_scope`]. The first failure is what comes out there, or in
    /// [`Scope::join`]; later ones are logged and counted.
    ///
    /// The failure belongs to the scope, whoever holds the handle, for the scope cannot wait until somebody looks: the
    /// handle gives `None` then.
    #[track_caller]
    pub fn spawn_try<F, T>(&self, future: F) -> JoinHandle<Option<T>>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: fmt::Debug,
    {
        self.spawn_as(None, Location::caller(), Attempt::new(&self.children, future))
    }

    fn spawn_as<F: Future + 'static>(
        &self,
        name: Option<Cow<'static, str>>,
        origin: &'static Location<'static>,
        future: F,
    ) -> JoinHandle<F::Output> {
        let bound = self.deadline().map_or(Bound::Inherited, Bound::AtMost);
        let scope = Some(Rc::clone(&self.children));
        let spawn = Spawn { name, scope, bound, ..Spawn::at(origin) };
        let handle = self.children.core().spawn(future, spawn).in_scope(&self.children);
        self.children.refuse_if_over(handle.task());
        handle
    }

    /// How many children are alive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.len()
    }

    /// Whether no child is alive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A token for the children to watch: [`Scope::drain`] cancels it, and so does the end of the scope. It is a child of
    /// the token of the scope around, so a drain out there asks in here as well.
    ///
    /// The scope around is that whose child made this one, or whose body did.
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.children.token()
    }

    /// When the deadline is, if there is one.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.children.deadline()
    }

    /// Sets or moves the deadline of the scope. When it comes the children that live are dropped where they stand, before
    /// any task that became ready at that moment runs; so is the body of [`try_scope`], but not that of [`scope`]. What
    /// is told is the error that `E` makes of [`Elapsed`].
    ///
    /// The children that are spawned from now on know of it by [`deadline::current`](crate::deadline::current). One that
    /// has passed ends them at once. [`Instant::FAR_FUTURE`] is none.
    #[track_caller]
    pub fn set_deadline(&self, at: Instant)
    where
        E: From<Elapsed> + fmt::Debug,
    {
        let error = || Box::new(E::from(Elapsed)) as _;
        self.children.set_deadline(at, error, Location::caller());
    }

    /// Waits until no child is alive, nor any [section](crate::shield::shield) that they started. Any number may wait.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The first failure, told once, to who is first to learn of it. After that the scope can be used again, unless its
    /// deadline passed.
    #[track_caller]
    pub fn join(&self) -> Join<'_, E> {
        self.join_at(Location::caller())
    }

    fn join_at(&self, origin: &'static Location<'static>) -> Join<'_, E> {
        Join { wait: self.wait_at(origin), error: PhantomData }
    }

    fn wait_at(&self, origin: &'static Location<'static>) -> Wait<'_> {
        Wait { children: &self.children, place: None, origin }
    }

    /// Asks the children to end, now, by way of [`Scope::token`]; then waits for them as [`Scope::join`] does. What is
    /// spawned meanwhile is waited for, too.
    ///
    /// Cancel-safe; who was asked stays so.
    ///
    /// # Errors
    /// As for [`Scope::join`].
    #[track_caller]
    pub fn drain(&self) -> Join<'_, E> {
        self.token().cancel();
        self.join()
    }

    /// As [`Scope::drain`], but cancels what has not ended after `duration`. Gives how many children those were. What went
    /// wrong is for [`Scope::join`] to tell, which is ready at once then.
    ///
    /// Sections that children started have their own bounds: it waits for them after that.
    ///
    /// Cancel-safe; who was asked stays so.
    #[track_caller]
    pub fn drain_for(&self, duration: Duration) -> impl Future<Output = usize> + use<'_, E> {
        self.token().cancel();
        let origin = Location::caller();
        let (gently, sections) = (timeout(duration, self.wait_at(origin)), self.wait_at(origin));
        async move {
            let ended = gently.await;
            let cancelled_count = if ended.is_ok() { 0 } else { self.len() };
            self.cancel();
            sections.await;
            cancelled_count
        }
    }

    /// Ends all children now: their futures are dropped before this returns, but for one that is being polled. What their
    /// destructors spawn here meanwhile ends, too.
    ///
    /// Called by one of these destructors it does nothing: the call that is under way goes on.
    ///
    /// # Panics
    /// When the destructors of children spawn children without end.
    pub fn cancel(&self) {
        self.children.end_all(CancelReason::Scope);
    }
}

impl<E> Drop for Scope<E> {
    fn drop(&mut self) {
        self.children.close();
    }
}

impl<E> fmt::Debug for Scope<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({} children)", self.children.len())
    }
}

/// Waits until nothing of a scope is alive.
struct Wait<'a> {
    children: &'a Children,
    place: Option<Place>,
    origin: &'static Location<'static>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { children, place, origin } = &mut *self;
        let waiters = children.waiters();
        if children.is_over() {
            waiters.leave(place);
            return Poll::Ready(());
        }
        waiters.wait(place, cx, || {
            let ticket = Ticket::children(children.resource(), origin)?;
            Some(children.judge(ticket, cx.waker()))
        });
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.children.waiters().leave(&mut self.place);
    }
}

/// See [`Scope::join`] and [`Scope::drain`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Join<'a, E = Elapsed> {
    wait: Wait<'a>,
    error: PhantomData<fn() -> E>,
}

impl<E: 'static> Future for Join<'_, E> {
    type Output = Result<(), ScopeError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = Pin::new(&mut self.wait).poll(cx);
        ended.map(|()| self.wait.children.tell().map_or(Ok(()), |failure| Err(failure.into())))
    }
}

impl<E> fmt::Debug for Join<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Join({} children, at {})", self.wait.children.len(), self.wait.origin)
    }
}

impl<E: 'static> From<Failure> for ScopeError<E> {
    fn from(failure: Failure) -> Self {
        let error: Box<dyn Any> = match failure {
            Failure::Panicked(payload) => return Self::Panicked(payload),
            Failure::Error(error) => error,
            Failure::Elapsed(make) => make(),
        };
        let error = error.downcast().expect("a scope has children and a deadline of one error");
        Self::Failed(*error)
    }
}

impl<E: fmt::Display> fmt::Display for ScopeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked(payload) => {
                write!(f, "a task of the scope panicked: {}", panic_message(&**payload))
            }
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for ScopeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::Panicked(payload) => {
                f.debug_tuple("Panicked").field(&panic_message(&**payload)).finish()
            }
        }
    }
}

impl<E: core::error::Error> core::error::Error for ScopeError<E> {}
