//! What a task knows without being told: its deadline, its tracing span, and the values of task-local keys. A task has
//! them from the one that spawned it, and hands them on to the jobs that it gives away.
//!
//! Invariant: while a task is polled or dropped its own context is in force on its thread, and none while no task is. What
//! is added for a future is in force while that is polled or dropped.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll, ready};
use std::sync::Arc;

use pin_project_lite::pin_project;

use crate::instant::Instant;
use crate::task::TaskId;

thread_local! {
    /// What is in force: the context of the task which is polled, or of the job which runs.
    static IN_FORCE: RefCell<Option<Arc<Context>>> = const { RefCell::new(None) };
    /// A deadline that was added for a while. It is made part of a context only for whoever takes that away.
    static AT_MOST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A chain of what was added, the latest first. Shared by all tasks that have it, on any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    deadline: Option<Instant>,
    /// The span in which the task was spawned. Entered when the task is, so it is around whatever the task enters itself.
    span: Option<tracing::Span>,
    locals: Option<Arc<Local>>,
}

/// One value of one key.
struct Local {
    key: KeyId,
    value: Arc<dyn Any + Send + Sync>,
    outer: Option<Arc<Local>>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

/// Tells keys apart; nothing else is ever done with it.
type KeyId = core::any::TypeId;

/// The context in force.
pub(crate) fn current() -> Option<Arc<Context>> {
    let context = IN_FORCE.with_borrow(Clone::clone);
    if AT_MOST.get().is_none() {
        return context;
    }
    let own = context.as_deref().cloned().unwrap_or_default();
    Some(Arc::new(Context { deadline: in_force(), ..own }))
}

/// The earliest of the deadlines in force.
fn in_force() -> Option<Instant> {
    let own = IN_FORCE.with_borrow(|context| context.as_ref()?.deadline);
    own.into_iter().chain(AT_MOST.get()).min()
}

/// What becomes of the deadline when a task is spawned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// It stays.
    Inherited,
    /// This one, or an earlier one from further out.
    AtMost(Instant),
    /// This one, whatever is further out.
    Instead(Instant),
}

/// What a task that is spawned now starts with: the context in force, and the tracing span.
pub(crate) fn inherit(bound: Bound) -> Option<Arc<Context>> {
    let context = current();
    let before = context.as_deref();
    let own = before.and_then(|context| context.deadline);
    let deadline = match bound {
        Bound::Inherited => own,
        Bound::AtMost(bound) => Some(own.map_or(bound, |own| own.min(bound))),
        Bound::Instead(bound) => Some(bound),
    };
    let own = before.and_then(|context| context.span.as_ref());
    let entered = entered_span().filter(|entered| own != Some(entered));
    if entered.is_none() && deadline == before.and_then(|context| context.deadline) {
        return context;
    }
    let mut context = before.cloned().unwrap_or_default();
    context.deadline = deadline;
    context.span = entered.or(context.span);
    Some(Arc::new(context))
}

/// The tracing span that is entered, if there is one.
fn entered_span() -> Option<tracing::Span> {
    // Also true where a subscriber was only ever set for a while or for a thread. Not part of what that crate promises,
    // but it is what its own macros ask first.
    if !tracing::dispatcher::has_been_set() {
        return None;
    }
    let span = tracing::Span::current();
    (!span.is_none()).then_some(span)
}

/// Runs `body` as a task or a job does that has `context`: in its span, too.
pub(crate) fn enter<R>(context: Option<Arc<Context>>, body: impl FnOnce() -> R) -> R {
    let span = context.as_ref().and_then(|context| context.span.clone());
    let _entered = span.as_ref().map(tracing::Span::enter);
    within(context, body)
}

/// As [`inherit`], for a task: with a span of its own inside the current one, where somebody wants spans of tasks.
pub(crate) fn of_task(
    bound: Bound,
    id: impl FnOnce() -> TaskId,
    name: Option<&str>,
    origin: &'static Location<'static>,
) -> Option<Arc<Context>> {
    let context = inherit(bound);
    if !tracing::dispatcher::has_been_set() {
        return context;
    }
    // The fields are looked at only where it is wanted.
    let span =
        tracing::trace_span!(target: "mainspring::task", "task", task = id().0, name, %origin);
    if span.is_disabled() {
        return context;
    }
    let context = context.map_or_else(Context::default, |context| (*context).clone());
    Some(Arc::new(Context { span: Some(span), ..context }))
}

/// Runs `body` with `context` in force; the one before comes back then.
fn within<R>(context: Option<Arc<Context>>, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<Context>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let left = IN_FORCE.replace(self.0.take());
            // Dropped with nothing borrowed: the values are the user's.
            drop(left);
        }
    }
    let _at_most = RestoreAtMost(AT_MOST.take());
    let _context = Restore(IN_FORCE.replace(context));
    body()
}

/// Runs `body` with `deadline` in force, too: one further out that is earlier stays.
pub(crate) fn bounded<R>(deadline: Instant, body: impl FnOnce() -> R) -> R {
    let earliest = in_force().map_or(deadline, |further_out| further_out.min(deadline));
    let _at_most = RestoreAtMost(AT_MOST.replace(Some(earliest)));
    body()
}

/// Brings back the deadline that was added before.
struct RestoreAtMost(Option<Instant>);

impl Drop for RestoreAtMost {
    fn drop(&mut self) {
        AT_MOST.set(self.0);
    }
}

/// The deadline that the current task has from itself and from those above it.
pub(crate) fn deadline() -> Option<Instant> {
    in_force().filter(|deadline| *deadline < Instant::FAR_FUTURE)
}

/// Something to add to the context in force.
#[derive(Debug)]
enum Addition {
    /// A deadline; one further out that is earlier stays.
    Deadline(Instant),
    Value(KeyId, Arc<dyn Any + Send + Sync>),
}

impl Addition {
    fn added(self) -> Arc<Context> {
        let context = current().map_or_else(Context::default, |context| (*context).clone());
        Arc::new(match self {
            Self::Deadline(deadline) => {
                let deadline = context.deadline.map_or(deadline, |outer| outer.min(deadline));
                Context { deadline: Some(deadline), ..context }
            }
            Self::Value(key, value) => {
                let outer = context.locals.clone();
                Context { locals: Some(Arc::new(Local { key, value, outer })), ..context }
            }
        })
    }
}

pin_project! {
    /// A future that is always polled, and dropped, with an addition to the context around it. Made at its first poll, for
    /// only then is it known what is around it.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Within<F> {
        // `None` once it has ended.
        #[pin]
        future: Option<F>,
        addition: Option<Addition>,
        context: Option<Arc<Context>>,
    }

    impl<F> PinnedDrop for Within<F> {
        fn drop(this: Pin<&mut Self>) {
            this.end();
        }
    }
}

impl<F> Within<F> {
    fn new(addition: Addition, future: F) -> Self {
        Self { future: Some(future), addition: Some(addition), context: None }
    }

    /// `future`, for which `deadline` is told as its own.
    pub(crate) fn deadline(deadline: Instant, future: F) -> Self {
        Self::new(Addition::Deadline(deadline), future)
    }

    /// Drops the future, with its context in force where it was ever polled.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        match this.context.take() {
            Some(context) => within(Some(context), || this.future.set(None)),
            None => this.future.set(None),
        }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.as_mut().project();
        if let Some(addition) = this.addition.take() {
            *this.context = Some(addition.added());
        }
        let future = this.future.as_pin_mut().expect("a future is polled until it is ready");
        let output = ready!(within(this.context.clone(), || future.poll(cx)));
        self.end();
        Poll::Ready(output)
    }
}

/// A key of task-local values. Made by [`task_local!`](crate::task_local).
///
/// A value set with [`LocalKey::scope`] is seen by the future in there, by each task that it spawns, and by each job
/// that it offloads: a request id, the user on whose behalf all this is done.
pub struct LocalKey<T: 'static> {
    #[doc(hidden)]
    pub id: fn() -> KeyId,
    #[doc(hidden)]
    pub name: &'static str,
    #[doc(hidden)]
    pub value: core::marker::PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> LocalKey<T> {
    /// `future` with `value` for this key. Cancel-safe where `future` is.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Within<F> {
        Within::new(Addition::Value((self.id)(), Arc::new(value)), future)
    }

    /// Calls `body` with the value, if there is one.
    pub fn with<R>(&'static self, body: impl FnOnce(Option<&T>) -> R) -> R {
        let value = self.find();
        body(value.as_deref().and_then(<dyn Any + Send + Sync>::downcast_ref))
    }

    /// A copy of the value, if there is one.
    #[must_use]
    pub fn try_get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        let value = self.find()?;
        <dyn Any + Send + Sync>::downcast_ref(&*value).cloned()
    }

    /// A copy of the value.
    ///
    /// # Panics
    /// Where none is set.
    #[must_use]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        let name = self.name;
        self.try_get().unwrap_or_else(|| panic!("the task-local {name} is not set here"))
    }

    fn find(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        let key = (self.id)();
        IN_FORCE.with_borrow(|context| {
            let mut next = context.as_ref()?.locals.as_ref();
            while let Some(local) = next {
                if local.key == key {
                    return Some(Arc::clone(&local.value));
                }
                next = local.outer.as_ref();
            }
            None
        })
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKey({})", self.name)
    }
}

/// Declares keys of task-local values; see [`LocalKey`].
///
/// ```
/// # use mainspring_executor::{Shard, os::OsDriver, spawn, task_local};
/// task_local! {
///     /// Which request this is done for.
///     static REQUEST_ID: u64;
/// }
///
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let seen = REQUEST_ID.scope(7, async { spawn(async { REQUEST_ID.get() }).await });
/// assert_eq!(seen.await.expect("no panic"), 7);
/// assert_eq!(REQUEST_ID.try_get(), None);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! task_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty;)+) => {$(
        $(#[$attribute])*
        $visibility static $name: $crate::LocalKey<$type> = {
            struct Key;
            $crate::LocalKey {
                id: || ::core::any::TypeId::of::<Key>(),
                name: ::core::stringify!($name),
                value: ::core::marker::PhantomData,
            }
        };
    )+};
}
