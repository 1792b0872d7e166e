//! `Alarm`: the deadline of a scope. It is a timer that no task waits for: the moment it fires, the children end, before
//! any task runs that became ready at that moment.
//!
//! A timer holds a waker, and wakers may cross threads, which a scope may not. So the waker knows its scope by an ordinal,
//! and the shard has the list of them.
//!
//! Invariant: a scope is listed while it has a deadline; so a timer that fires finds its scope.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Wake;

use super::children::{AnyError, Children};
use crate::current;
use crate::instant::Instant;
use crate::shard::Core;
use crate::time::Sleep;

/// The scopes of a shard that have deadlines.
#[derive(Default)]
pub(crate) struct Alarms {
    scopes: RefCell<BTreeMap<u64, Weak<Children>>>,
    /// How many there ever were.
    made: Cell<u64>,
}

/// See the file.
pub(super) struct Alarm {
    core: Rc<Core>,
    ordinal: u64,
    sleep: Sleep,
    waker: Waker,
    /// What the children would have failed with.
    error: fn() -> Box<dyn AnyError>,
}

/// Ends the children of a scope when it is woken.
struct Bell {
    ordinal: u64,
}

impl Alarm {
    /// To be [asked](Alarm::passed) at once: that sets the timer.
    pub(super) fn new(
        children: &Rc<Children>,
        at: Instant,
        error: fn() -> Box<dyn AnyError>,
        origin: &'static Location<'static>,
    ) -> Self {
        let core = Rc::clone(children.core());
        let alarms = &core.alarms;
        let ordinal = alarms.made.replace(alarms.made.get() + 1);
        alarms.scopes.borrow_mut().insert(ordinal, Rc::downgrade(children));
        let sleep = Sleep::at(Rc::clone(&core), at, origin);
        Self { core, ordinal, sleep, waker: Arc::new(Bell { ordinal }).into(), error }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.sleep.deadline()
    }

    /// Whether the deadline has come; gives what makes the error then. Sets the timer where it has not.
    pub(super) fn passed(&mut self) -> Option<fn() -> Box<dyn AnyError>> {
        match Pin::new(&mut self.sleep).poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(()) => Some(self.error),
            Poll::Pending => None,
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let listed = self.core.alarms.scopes.borrow_mut().remove(&self.ordinal);
        assert!(listed.is_some(), "a scope is listed while it has a deadline");
    }
}

impl Wake for Bell {
    /// Called by the shard whose timers hold it; on another thread it could only be a mistake, and finds nothing.
    fn wake(self: Arc<Self>) {
        let Some(core) = current::try_core() else { return };
        let scope = core.alarms.scopes.borrow().get(&self.ordinal).and_then(Weak::upgrade);
        if let Some(scope) = scope {
            scope.check_deadline();
        }
    }
}
