//! `Real`: the same program on the executor.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::rc::Rc;

use mainspring_executor::{CancelReason, JoinError, JoinHandle, Scope, Shard, Turn, spawn};
use mainspring_sim::{Host, World, WorldConfig};

use super::program::{Act, Event, Op, Outcome, SCOPES, TASKS_MAX};

/// A shard on a quiet simulated machine.
pub(super) struct Real {
    shared: Rc<Shared>,
    shard: Shard,
    _host: Host,
    _world: World,
}

/// What the tasks reach.
struct Shared {
    tasks: RefCell<Vec<Task>>,
    scopes: RefCell<Vec<Rc<Scope>>>,
    log: RefCell<Vec<Event>>,
}

#[derive(Default)]
struct Task {
    acts: VecDeque<Act>,
    waker: Option<Waker>,
    handle: Option<JoinHandle<()>>,
}

/// Lies in the future of a task.
struct Noted(usize, Rc<Shared>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.log.borrow_mut().push(Event::Dropped(self.0));
    }
}

impl Real {
    pub(super) fn new() -> Self {
        let world = World::new(0, WorldConfig::calm());
        let host = world.host("fuzz");
        let shard = host.shard();
        let scopes = shard.enter(|| (0..SCOPES).map(|_| Rc::new(Scope::new())).collect());
        let shared = Shared {
            tasks: RefCell::default(),
            scopes: RefCell::new(scopes),
            log: RefCell::default(),
        };
        Self { shared: Rc::new(shared), shard, _host: host, _world: world }
    }

    pub(super) fn log(&self) -> Vec<Event> {
        self.shared.log.borrow().clone()
    }

    pub(super) fn apply(&self, op: Op) {
        let shared = &self.shared;
        match op {
            Op::Spawn(scope) => self.shard.enter(|| shared.spawn(scope)),
            Op::Tell(task, act) => {
                if let Some(task) = shared.tasks.borrow_mut().get_mut(task) {
                    task.acts.push_back(act);
                }
            }
            Op::Turn => self.shard.turn(Turn::Poll).expect("this driver does not fail"),
            Op::WakeAtHome(task) => self.shard.enter(|| shared.wake(task)),
            Op::WakeOutside(task) => shared.wake(task),
            Op::WakeOnThread(task) => {
                if let Some(waker) = shared.waker(task) {
                    on_thread(|| waker.wake());
                }
            }
            Op::DropWaker(task) => drop(shared.take_waker(task)),
            Op::DropWakerOnThread(task) => {
                let waker = shared.take_waker(task);
                on_thread(|| drop(waker));
            }
            Op::Abort(task) => self.shard.enter(|| shared.abort(task)),
            Op::DropHandle(task) => drop(shared.take_handle(task)),
            Op::CancelScope(scope) => self.shard.enter(|| shared.cancel_scope(scope)),
        }
    }

    /// The log, the panics that nobody heard, and the cancellations by reason, when all is dropped.
    pub(super) fn end(self) -> (Vec<Event>, u64, [u64; CancelReason::ALL.len()]) {
        self.shard.shutdown();
        let ledger = self.shard.ledger();
        assert!(ledger.is_empty(), "left behind:\n{ledger}");
        let tasks = self.shared.tasks.take();
        for task in tasks {
            drop(task.handle);
        }
        drop(self.shared.scopes.take());
        self.shard.turn(Turn::Poll).expect("this driver does not fail");
        let metrics = self.shard.metrics().snapshot();
        (self.log(), metrics.panics_unjoined, metrics.cancelled)
    }
}

#[expect(clippy::disallowed_methods, reason = "a wake from elsewhere, one at a time")]
fn on_thread(act: impl FnOnce() + Send) {
    std::thread::scope(|threads| threads.spawn(act).join()).expect("a wake does not panic");
}

impl Shared {
    fn spawn(self: &Rc<Self>, scope: Option<usize>) {
        let task = self.tasks.borrow().len();
        if task == TASKS_MAX {
            return;
        }
        self.tasks.borrow_mut().push(Task::default());
        let noted = Noted(task, Rc::clone(self));
        let future = async move {
            poll_fn(|cx| noted.1.poll(noted.0, cx)).await;
        };
        let handle = match scope {
            Some(scope) => self.scope(scope).spawn(future),
            None => spawn(future),
        };
        self.tasks.borrow_mut()[task].handle = Some(handle);
    }

    fn scope(&self, scope: usize) -> Rc<Scope> {
        Rc::clone(&self.scopes.borrow()[scope])
    }

    fn poll(self: &Rc<Self>, task: usize, cx: &mut Context<'_>) -> Poll<()> {
        self.log.borrow_mut().push(Event::Polled(task));
        let before = self.tasks.borrow_mut()[task].waker.replace(cx.waker().clone());
        drop(before);
        let act = self.tasks.borrow_mut()[task].acts.pop_front().unwrap_or(Act::Wait);
        match act {
            Act::Wait => {}
            Act::Yield => cx.waker().wake_by_ref(),
            Act::End => return Poll::Ready(()),
            // Without the hook, which would end a fuzzer.
            Act::Panic => resume_unwind(Box::new("planned")),
            Act::Wake(other) => self.wake(other),
            Act::Abort(other) => self.abort(other),
            Act::Join(other) => self.join(task, other, cx),
            Act::DropHandle(other) => drop(self.take_handle(other)),
            Act::CancelScope(scope) => self.cancel_scope(scope),
            Act::Spawn(scope) => self.spawn(scope),
        }
        Poll::Pending
    }

    fn waker(&self, task: usize) -> Option<Waker> {
        self.tasks.borrow().get(task)?.waker.clone()
    }

    fn take_waker(&self, task: usize) -> Option<Waker> {
        self.tasks.borrow_mut().get_mut(task)?.waker.take()
    }

    fn take_handle(&self, task: usize) -> Option<JoinHandle<()>> {
        self.tasks.borrow_mut().get_mut(task)?.handle.take()
    }

    fn wake(&self, task: usize) {
        if let Some(waker) = self.waker(task) {
            waker.wake();
        }
    }

    fn abort(&self, task: usize) {
        let handle = self.take_handle(task);
        if let Some(handle) = handle {
            handle.abort();
            self.tasks.borrow_mut()[task].handle = Some(handle);
        }
    }

    fn join(&self, task: usize, other: usize, cx: &mut Context<'_>) {
        let Some(mut handle) = self.take_handle(other) else { return };
        let outcome = match Pin::new(&mut handle).poll(cx) {
            Poll::Pending => {
                self.tasks.borrow_mut()[other].handle = Some(handle);
                return;
            }
            Poll::Ready(Ok(())) => Outcome::Ended,
            Poll::Ready(Err(JoinError::Panicked(_))) => Outcome::Panicked,
            Poll::Ready(Err(JoinError::Cancelled)) => Outcome::Cancelled,
        };
        self.log.borrow_mut().push(Event::Joined(task, other, outcome));
    }

    fn cancel_scope(&self, scope: usize) {
        self.scope(scope).cancel();
    }
}
