//! `Children`: what a scope and the shard share: the live tasks of the scope, and how it stands with them. It does not
//! know the type of the error; the handle of the scope does.
//!
//! Invariant: nothing is borrowed while a task ends or a waker wakes, for both run foreign code, which may come back here.

use core::any::Any;
use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use core::panic::Location;
use core::task::Waker;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::alarm::Alarm;
use crate::cancel::CancelToken;
use crate::current;
use crate::instant::Instant;
use crate::metrics::CancelReason;
use crate::shard::Core;
use crate::task::{TaskId, TaskRef, panic_message};
use crate::waiters::Waiters;
use crate::waits::{Resource, ResourceId, Ticket};

/// Destructors of children may spawn children, and so on. Beyond so many rounds it is a loop.
const CANCEL_ROUNDS_MAX: usize = 100;

/// Who else ends when a child panics and nobody joins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody: the panic is kept for `join`.
    OfEach,
    /// All children, and the body.
    OfAll,
}

/// What went wrong.
pub(super) enum Failure {
    Panicked(Box<dyn Any + Send>),
    /// The `E` of the scope.
    Error(Box<dyn AnyError>),
    /// The deadline passed. Makes the `E` that says so: made only when it is told, for that is foreign code.
    Elapsed(fn() -> Box<dyn AnyError>),
}

/// An error whose type only the scope knows.
pub(super) trait AnyError: Any + fmt::Debug {}

impl<E: Any + fmt::Debug> AnyError for E {}

/// The live tasks of a scope. The shard tells it of each end.
pub(crate) struct Children {
    core: Rc<Core>,
    /// The scope in which this one was made.
    around: Option<Rc<Children>>,
    fate: Fate,
    tasks: RefCell<BTreeMap<TaskId, TaskRef>>,
    /// The sections that were started in here.
    sections: RefCell<BTreeMap<TaskId, TaskRef>>,
    /// A body runs that the deadline is to end.
    has_body: Cell<bool>,
    waiters: Waiters,
    resource: Resource,
    /// The first, until it is told.
    failure: Cell<Option<Failure>>,
    /// Why nobody is let in any more.
    over: Cell<Option<CancelReason>>,
    is_ending: Cell<bool>,
    /// The scope is gone: nobody will ask for `failure`. A child that dropped it may still run.
    is_closed: Cell<bool>,
    token: OnceCell<CancelToken>,
    alarm: RefCell<Option<Alarm>>,
}

impl Children {
    pub(super) fn new(core: Rc<Core>, fate: Fate) -> Rc<Self> {
        Rc::new(Self {
            around: core.scope_around(),
            core,
            fate,
            tasks: RefCell::default(),
            sections: RefCell::default(),
            has_body: Cell::default(),
            waiters: Waiters::default(),
            resource: Resource::default(),
            failure: Cell::default(),
            over: Cell::default(),
            is_ending: Cell::default(),
            is_closed: Cell::default(),
            token: OnceCell::new(),
            alarm: RefCell::default(),
        })
    }

    pub(super) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(super) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// What those wait for who wait for the scope, once somebody did. The wait graph goes on from there to each live task of
    /// the scope, a section included, without a record for each of them.
    pub(crate) fn awaited_as(&self) -> Option<ResourceId> {
        self.resource.known_id()
    }

    /// What a wait for this scope proves: nothing where a deadline may end it, whatever the children do.
    pub(super) fn judge(&self, wait: Ticket, waker: &Waker) -> Ticket {
        if self.deadline().is_none() { wait.woken_by(waker) } else { wait }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Whether nothing of the scope is alive.
    pub(super) fn is_over(&self) -> bool {
        self.tasks.borrow().is_empty() && self.sections.borrow().is_empty()
    }

    /// This scope, or the next one around it that is not gone.
    pub(crate) fn open(self: &Rc<Self>) -> Option<Rc<Self>> {
        let mut next = Some(self);
        while let Some(scope) = next.filter(|scope| scope.is_closed.get()) {
            next = scope.around.as_ref();
        }
        next.cloned()
    }

    pub(crate) fn add(&self, task: TaskRef) {
        self.tasks.borrow_mut().insert(task.id(), task);
    }

    pub(crate) fn add_section(&self, task: TaskRef) {
        self.sections.borrow_mut().insert(task.id(), task);
    }

    /// Nobody is let in after a failure or the deadline. Not dropped on the spot: who spawns may hold borrows that the
    /// destructor wants.
    pub(super) fn refuse_if_over(&self, task: &TaskRef) {
        if let Some(reason) = self.over.get() {
            self.core.abort(task, reason);
        }
    }

    /// A task of the scope has ended, and is out of the registry. Gives the panic back if nobody will tell of it here.
    pub(crate) fn task_ended(
        &self,
        id: TaskId,
        panic: Option<Box<dyn Any + Send>>,
    ) -> Option<Box<dyn Any + Send>> {
        let child = self.tasks.borrow_mut().remove(&id);
        let ended = child.or_else(|| self.sections.borrow_mut().remove(&id));
        assert!(ended.is_some(), "a task of a scope ends once");
        let unheard = panic.and_then(|payload| self.keep_panic(payload));
        self.settle();
        unheard
    }

    /// The handle of a child was dropped without having told of its panic. Gives that back as [`Children::task_ended`].
    pub(crate) fn panic_unjoined(
        &self,
        payload: Box<dyn Any + Send>,
    ) -> Option<Box<dyn Any + Send>> {
        let unheard = self.keep_panic(payload);
        self.settle();
        unheard
    }

    fn keep_panic(&self, payload: Box<dyn Any + Send>) -> Option<Box<dyn Any + Send>> {
        if self.fate == Fate::OfAll {
            self.end_for(CancelReason::Sibling);
        }
        match self.keep(Failure::Panicked(payload)) {
            Some(Failure::Panicked(payload)) => Some(payload),
            Some(_) => unreachable!("what was not kept comes back"),
            None => None,
        }
    }

    /// A child or the body failed. The others end when [`Children::settle`] is called, which the end of the child does.
    pub(super) fn fail(&self, failure: Failure) {
        self.end_for(CancelReason::Sibling);
        let unheard = self.keep(failure);
        self.report(unheard, "a task of a scope failed after another one had");
    }

    /// Keeps the first failure; gives back one that nobody will ask for.
    fn keep(&self, failure: Failure) -> Option<Failure> {
        let first = self.failure.take();
        if first.is_some() || self.is_closed.get() {
            self.failure.set(first);
            return Some(failure);
        }
        self.failure.set(Some(failure));
        None
    }

    fn report(&self, unheard: Option<Failure>, how: &str) {
        match unheard {
            Some(Failure::Panicked(payload)) => {
                self.core.metrics.panics_unjoined.add(1);
                tracing::error!("{how}: it panicked: {}", panic_message(&*payload));
            }
            Some(Failure::Error(error)) => {
                self.core.metrics.errors_unheard.add(1);
                tracing::error!("{how}: {error:?}");
            }
            // The children that it ended are counted as such.
            Some(Failure::Elapsed(_)) | None => {}
        }
    }

    fn end_for(&self, reason: CancelReason) {
        self.over.set(Some(self.over.get().unwrap_or(reason)));
    }

    /// Does what follows from a change: ends the children of a scope that failed, and wakes who waits.
    pub(super) fn settle(&self) {
        if let Some(reason) = self.over.get() {
            self.end_all(reason);
        }
        // A body that is to end need not know it before that: a child that is left then runs right now, and ends soon.
        if self.tasks.borrow().is_empty() {
            self.waiters.take().for_each(Waker::wake);
        }
    }

    /// Whether a failure waits to be told.
    pub(super) fn has_failed(&self) -> bool {
        let failure = self.failure.take();
        let has_failed = failure.is_some();
        self.failure.set(failure);
        has_failed
    }

    /// Whether that is a panic.
    pub(super) fn has_panicked(&self) -> bool {
        let failure = self.failure.take();
        let has_panicked = matches!(failure, Some(Failure::Panicked(_)));
        self.failure.set(failure);
        has_panicked
    }

    /// The panic, if the failure is one.
    pub(super) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        match self.failure.take() {
            Some(Failure::Panicked(payload)) => Some(payload),
            other => {
                self.failure.set(other);
                None
            }
        }
    }

    /// The failure. After one of a child the scope is as new; a deadline that passed stays so.
    pub(super) fn tell(&self) -> Option<Failure> {
        let failure = self.failure.take();
        if self.over.get() == Some(CancelReason::Sibling) {
            self.over.set(None);
        }
        failure
    }

    /// A body begins or ends that fails when the deadline passes.
    pub(super) fn set_has_body(&self, has_body: bool) {
        self.has_body.set(has_body);
    }

    /// Ends all children, in the order in which they were spawned. Where some destructor came back here, the call that
    /// runs it goes on with the others.
    pub(super) fn end_all(&self, reason: CancelReason) {
        if !self.is_ending.get() {
            self.end_in_rounds(reason);
        }
    }

    fn end_in_rounds(&self, reason: CancelReason) {
        let _ending = Ending { before: self.is_ending.replace(true), flag: &self.is_ending };
        // A scope may be dropped outside of its shard; the destructors of its children belong inside.
        current::enter(&self.core, || {
            for round in 0.. {
                assert!(
                    round < CANCEL_ROUNDS_MAX,
                    "destructors of children spawn children without end"
                );
                // One that runs is told in the first round, and ends by itself. One that has ended may be telling so, by
                // code that came here.
                let is_left =
                    |task: &&TaskRef| !task.is_complete() && (round == 0 || !task.is_running());
                let left: Vec<TaskRef> =
                    self.tasks.borrow().values().filter(is_left).cloned().collect();
                if left.is_empty() {
                    break;
                }
                for task in &left {
                    self.core.cancel(task, reason);
                }
            }
        });
    }

    /// The scope is dropped.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        drop(self.alarm.take());
        if let Some(token) = self.token.get() {
            token.cancel();
        }
        // Also where a destructor of a child drops the scope: by then all others are to be gone.
        self.end_in_rounds(CancelReason::Scope);
        self.leave_sections();
        self.report(self.failure.take(), "a task of a scope that was dropped failed");
    }

    /// Hands the sections that go on to the scope around, which waits for them in its turn.
    fn leave_sections(&self) {
        let sections = self.sections.take();
        if sections.is_empty() {
            return;
        }
        let heir = self.around.as_ref().and_then(Self::open);
        for section in sections.into_values() {
            self.core.hand_over(section, heir.as_ref());
        }
    }

    /// See [`Scope::token`](super::Scope::token).
    pub(super) fn token(&self) -> CancelToken {
        // Outwards to the first that has one, then inwards again: a loop, for scopes may be nested deeply.
        let mut without = Vec::new();
        let mut next = Some(self);
        while let Some(scope) = next.filter(|scope| scope.token.get().is_none()) {
            without.push(scope);
            next = scope.around.as_deref();
        }
        let mut token = next.and_then(|scope| scope.token.get().cloned());
        for scope in without.into_iter().rev() {
            let own = token.as_ref().map_or_else(CancelToken::new, CancelToken::child);
            if scope.is_closed.get() {
                own.cancel();
            }
            token = Some(scope.token.get_or_init(|| own).clone());
        }
        token.expect("the loop gave one at least to this scope")
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadline = self.alarm.borrow().as_ref().map(Alarm::deadline);
        deadline.filter(|deadline| *deadline < Instant::FAR_FUTURE)
    }

    /// See [`Scope::set_deadline`](super::Scope::set_deadline).
    pub(super) fn set_deadline(
        self: &Rc<Self>,
        at: Instant,
        error: fn() -> Box<dyn AnyError>,
        origin: &'static Location<'static>,
    ) {
        let before = self.alarm.replace(Some(Alarm::new(self, at, error, origin)));
        drop(before);
        if self.over.get() == Some(CancelReason::Deadline) {
            self.over.set(None);
        }
        self.check_deadline();
        // Who waits notes anew what that proves.
        self.waiters.take().for_each(Waker::wake);
    }

    /// Ends the children if the deadline has come.
    pub(super) fn check_deadline(&self) {
        let passed = self.alarm.borrow_mut().as_mut().and_then(Alarm::passed);
        let Some(error) = passed else { return };
        self.end_for(CancelReason::Deadline);
        if self.has_body.get() || !self.tasks.borrow().is_empty() {
            let unheard = self.keep(Failure::Elapsed(error));
            drop(unheard);
        }
        self.settle();
    }
}

/// Puts the flag back, also when a foreign waker panics.
struct Ending<'a> {
    before: bool,
    flag: &'a Cell<bool>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}
