//! The shard of this thread, for the constructors that take it from the air: `spawn`, `sleep`, `TcpListener::bind`; and
//! the test by which a waker knows that it is at home.
//!
//! Several shards may take turns on one thread, as a simulator's hosts do. What is made within a turn remembers its
//! shard, so steady work comes here only to wake.

use core::cell::Cell;
use core::ptr;
use std::any::Any;
use std::rc::Rc;

use crate::instant::Instant;
use crate::shard::Core;
use crate::task::{TaskRef, panic_message};

thread_local! {
    /// Not null while [`enter`] is on the stack below; then it points to the shard that was entered last. A plain
    /// pointer has no destructor, so it may be read at any time in the life of the thread, for the price of a load.
    static CURRENT: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

/// What one is told who asks for the current shard where there is none.
const OUTSIDE: &str =
    "this needs a running shard: call it inside Shard::run, Shard::enter or a task";

/// Makes `core` the current shard while `body` runs; the one before comes back then.
pub(crate) fn enter<R>(core: &Rc<Core>, body: impl FnOnce() -> R) -> R {
    struct Leave(*const Core);
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _leave = Leave(CURRENT.replace(Rc::as_ptr(core)));
    body()
}

/// Calls `body` with the current shard, if there is one.
#[inline]
pub(crate) fn with<R>(body: impl FnOnce(Option<&Core>) -> R) -> R {
    // SAFETY: null, or the referent of an `Rc` that `enter` has borrowed, further down on this very stack.
    body(unsafe { CURRENT.get().as_ref() })
}

/// As [`with`], where there is one.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub(crate) fn with_core<R>(body: impl FnOnce(&Core) -> R) -> R {
    // SAFETY: as in `with`.
    let core = unsafe { CURRENT.get().as_ref() };
    body(core.expect(OUTSIDE))
}

/// The current shard, if there is one.
pub(crate) fn try_core() -> Option<Rc<Core>> {
    let core = CURRENT.get();
    if core.is_null() {
        return None;
    }
    // SAFETY: `enter` took the pointer from an `Rc` that lives as long as this is current.
    unsafe { Rc::increment_strong_count(core) };
    // SAFETY: as above; this is the count just added.
    Some(unsafe { Rc::from_raw(core) })
}

/// The current shard.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub(crate) fn core() -> Rc<Core> {
    try_core().expect(OUTSIDE)
}

/// The present moment of the current shard; `None` outside of one.
pub(crate) fn now() -> Option<Instant> {
    with(|core| core.map(Core::now))
}

/// Tells of a panic that nobody joins, in the log and in the count of the task's own shard.
pub(crate) fn report_panic(task: &TaskRef, payload: &(dyn Any + Send)) {
    task.remote().metrics.panics_unjoined.add(1);
    tracing::error!(
        task = task.id().0,
        spawned_at = %task.origin(),
        "a task that nobody joins panicked: {}",
        panic_message(payload)
    );
}
