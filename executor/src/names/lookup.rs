//! `Lookup`: one job for all who want to know one name.
//!
//! The driver's edge wakes whoever polled the job last. So one who goes away before the end wakes another, to take his
//! place; and when it is over, all are woken.
//!
//! Invariant: while somebody waits, the waker of one who waits is with the job.

use core::cell::{Cell, OnceCell, RefCell};
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::cache::{Answer, Failure};
use crate::driver::{Exhausted, Job, Outcome};
use crate::offload::JobFuture;
use crate::shard::Core;
use crate::waits::{Resource, Ticket};

/// How many may wait for one lookup; one more is refused. Each is a task that waits, so this is about whoever comes last:
/// something is wrong with a name that so many want.
const WAITERS_MAX: usize = 4096;

/// See the file. Whoever waits holds it; when nobody does, the job is taken back.
pub(super) struct Lookup {
    core: Rc<Core>,
    name: String,
    job: RefCell<JobFuture>,
    answer: OnceCell<Answer>,
    /// By the order in which they came.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    places: Cell<u64>,
    resource: Resource,
}

impl Lookup {
    pub(super) fn new(core: &Rc<Core>, name: &str, origin: &'static Location<'static>) -> Self {
        let name = name.to_owned();
        let job = JobFuture::new(Rc::clone(core), Job::Resolve { name: name.clone() }, origin);
        Self {
            core: Rc::clone(core),
            name,
            job: RefCell::new(job),
            answer: OnceCell::new(),
            waiting: RefCell::default(),
            places: Cell::new(0),
            resource: Resource::default(),
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Some(answer) = self.answer.get() {
            return Poll::Ready(answer.clone());
        }
        // Foreign code may run while the job is borrowed, for a waker may be dropped. It may come back to `waiting`, but
        // not here: nobody polls from inside a drop.
        let polled = Pin::new(&mut *self.job.borrow_mut()).poll(cx);
        polled.map(|outcome| self.answered(outcome))
    }

    fn answered(&self, outcome: io::Result<Outcome>) -> Answer {
        let answer = match outcome {
            Ok(Outcome::Addresses(addresses)) => {
                assert!(!addresses.is_empty(), "a name that is known has an address");
                Ok(addresses.into())
            }
            Ok(other) => unreachable!("the driver answers Resolve with Addresses, not {other:?}"),
            Err(error) => Err(Failure::from(error)),
        };
        self.core.names.cache.borrow_mut().put(&self.name, answer.clone(), self.core.now());
        // Who asks from here on asks the cache, or anew.
        self.core.names.lookups.borrow_mut().remove(&self.name);
        let is_first = self.answer.set(answer.clone()).is_ok();
        assert!(is_first, "a job ends once");
        let waiting: Vec<Waker> = self.waiting.borrow().values().cloned().collect();
        waiting.into_iter().for_each(Waker::wake);
        answer
    }

    /// Takes the place of one who waits. `None`: too many do.
    fn wait(&self, place: Option<u64>, waker: &Waker) -> Option<u64> {
        let mut waiting = self.waiting.borrow_mut();
        if place.is_none() && waiting.len() >= WAITERS_MAX {
            return None;
        }
        let place = place.unwrap_or_else(|| self.places.replace(self.places.get() + 1));
        let before = waiting.insert(place, waker.clone());
        drop(waiting);
        // A waker that is replaced may be the last reference to its task: dropped with nothing borrowed.
        drop(before);
        Some(place)
    }

    fn leave(&self, place: u64) {
        let waker = self.waiting.borrow_mut().remove(&place);
        drop(waker);
        if self.answer.get().is_none() {
            self.pass_on();
        }
    }

    /// Wakes one who waits, to have his waker with the job.
    fn pass_on(&self) {
        let next = self.waiting.borrow().first_key_value().map(|(_, waker)| waker.clone());
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if self.answer.get().is_none() {
            self.core.names.lookups.borrow_mut().remove(&self.name);
        }
    }
}

/// One who waits for a lookup.
pub(super) struct Waiter {
    lookup: Rc<Lookup>,
    place: Option<u64>,
    /// The reactor knows only him whose waker is with the job.
    ticket: Option<Ticket>,
    origin: &'static Location<'static>,
}

impl Waiter {
    pub(super) fn new(lookup: Rc<Lookup>, origin: &'static Location<'static>) -> Self {
        Self { lookup, place: None, ticket: None, origin }
    }

    /// Notes that the current task waits, to be woken by `waker`.
    fn note(&mut self, waker: &Waker) {
        if self.ticket.as_ref().is_none_or(|ticket| !ticket.still_holds(waker)) {
            let resource = &self.lookup.resource;
            self.ticket = Ticket::wait_by("the addresses of a name", resource, self.origin, waker);
        }
    }
}

impl Future for Waiter {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer = self.lookup.poll(cx);
        if answer.is_pending() {
            let place = self.lookup.wait(self.place, cx.waker());
            if place.is_none() {
                // The job has our waker now, and somebody else has to go on with it.
                self.lookup.pass_on();
                return Poll::Ready(Err(io::Error::from(Exhausted).into()));
            }
            self.place = place;
            self.note(cx.waker());
        }
        answer
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.lookup.leave(place);
        }
    }
}
