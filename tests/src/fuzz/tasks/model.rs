//! `Model`: what the executor promises, in the plainest words there are for it. It knows no wakers and no memory.

use std::collections::VecDeque;

use mainspring_executor::CancelReason;

use super::program::{Act, Event, Op, Outcome, TASKS_MAX};

/// As in the executor: polls between two looks at what came from outside.
const POLLS_PER_TURN_MAX: usize = 64;

/// A shard.
#[derive(Default)]
pub(super) struct Model {
    tasks: Vec<Task>,
    queue: VecDeque<usize>,
    injected: VecDeque<usize>,
    running: Option<usize>,
    pub(super) log: Vec<Event>,
    pub(super) panics_unjoined: u64,
    pub(super) cancelled: [u64; CancelReason::ALL.len()],
}

/// A task.
struct Task {
    scope: Option<usize>,
    acts: VecDeque<Act>,
    is_scheduled: bool,
    is_injected: bool,
    is_aborted: bool,
    cancel_reason: Option<CancelReason>,
    /// A waker of it is kept.
    has_waker: bool,
    has_handle: bool,
    outcome: Option<Outcome>,
    joiner: Option<usize>,
}

impl Model {
    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Spawn(scope) => self.spawn(scope),
            Op::Tell(task, act) => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.acts.push_back(act);
                }
            }
            Op::Turn => self.turn(),
            Op::WakeAtHome(task) if self.has_waker(task) => self.wake(task),
            Op::WakeOutside(task) | Op::WakeOnThread(task) if self.has_waker(task) => {
                self.inject(task);
            }
            Op::DropWaker(task) | Op::DropWakerOnThread(task) if self.has_waker(task) => {
                self.tasks[task].has_waker = false;
            }
            Op::WakeAtHome(_) | Op::WakeOutside(_) | Op::WakeOnThread(_) => {}
            Op::DropWaker(_) | Op::DropWakerOnThread(_) => {}
            Op::Abort(task) => self.abort(task),
            Op::DropHandle(task) => self.drop_handle(task),
            Op::CancelScope(scope) => self.cancel_scope(scope),
        }
    }

    /// The shard is shut down, then everything is dropped.
    pub(super) fn end(&mut self) {
        for task in 0..self.tasks.len() {
            self.cancel(task, CancelReason::Shutdown);
        }
        for task in 0..self.tasks.len() {
            self.drop_handle(task);
        }
    }

    fn has_waker(&self, task: usize) -> bool {
        self.tasks.get(task).is_some_and(|task| task.has_waker)
    }

    fn spawn(&mut self, scope: Option<usize>) {
        if self.tasks.len() == TASKS_MAX {
            return;
        }
        self.queue.push_back(self.tasks.len());
        self.tasks.push(Task {
            scope,
            acts: VecDeque::new(),
            is_scheduled: true,
            is_injected: false,
            is_aborted: false,
            cancel_reason: None,
            has_waker: false,
            has_handle: true,
            outcome: None,
            joiner: None,
        });
    }

    fn wake(&mut self, task: usize) {
        let state = &mut self.tasks[task];
        if state.outcome.is_some() || state.is_scheduled {
            return;
        }
        state.is_scheduled = true;
        // One that runs goes back into the queue when its poll is over.
        if self.running != Some(task) {
            self.queue.push_back(task);
        }
    }

    fn inject(&mut self, task: usize) {
        if !self.tasks[task].is_injected {
            self.tasks[task].is_injected = true;
            self.injected.push_back(task);
        }
    }

    fn abort(&mut self, task: usize) {
        if self.tasks.get(task).is_some_and(|task| task.has_handle) {
            self.tasks[task].is_aborted = true;
            self.wake(task);
        }
    }

    fn turn(&mut self) {
        while let Some(task) = self.injected.pop_front() {
            self.tasks[task].is_injected = false;
            self.wake(task);
        }
        for _ in 0..POLLS_PER_TURN_MAX {
            let Some(task) = self.queue.pop_front() else { return };
            if self.tasks[task].outcome.is_some() {
                continue;
            }
            self.tasks[task].is_scheduled = false;
            if self.tasks[task].is_aborted {
                self.finish(task, Outcome::Cancelled);
            } else {
                self.poll(task);
            }
        }
    }

    fn poll(&mut self, task: usize) {
        self.log.push(Event::Polled(task));
        self.tasks[task].has_waker = true;
        self.running = Some(task);
        let act = self.tasks[task].acts.pop_front().unwrap_or(Act::Wait);
        let outcome = self.act(task, act);
        if let Some(outcome) = outcome {
            self.finish(task, outcome);
        }
        self.running = None;
        if outcome.is_none() && self.tasks[task].is_scheduled {
            self.queue.push_back(task);
        }
    }

    /// What a task does; gives its outcome if that is its end.
    fn act(&mut self, task: usize, act: Act) -> Option<Outcome> {
        match act {
            Act::Wait => {}
            Act::Yield => self.wake(task),
            Act::End => return Some(Outcome::Ended),
            Act::Panic => return Some(Outcome::Panicked),
            Act::Wake(other) if self.has_waker(other) => self.wake(other),
            Act::Wake(_) => {}
            Act::Abort(other) => self.abort(other),
            Act::Join(other) => self.join(task, other),
            Act::DropHandle(other) => self.drop_handle(other),
            Act::CancelScope(scope) => self.cancel_scope(scope),
            Act::Spawn(scope) => self.spawn(scope),
        }
        None
    }

    fn join(&mut self, task: usize, other: usize) {
        if !self.tasks.get(other).is_some_and(|other| other.has_handle) {
            return;
        }
        match self.tasks[other].outcome {
            Some(outcome) => {
                // The output is taken, and with it the handle is used up.
                self.tasks[other].has_handle = false;
                self.log.push(Event::Joined(task, other, outcome));
            }
            None => self.tasks[other].joiner = Some(task),
        }
    }

    fn drop_handle(&mut self, task: usize) {
        let Some(state) = self.tasks.get_mut(task).filter(|task| task.has_handle) else { return };
        state.has_handle = false;
        state.joiner = None;
        if state.outcome == Some(Outcome::Panicked) {
            self.panics_unjoined += 1;
        }
    }

    fn cancel_scope(&mut self, scope: usize) {
        let children: Vec<usize> = (0..self.tasks.len())
            .filter(|task| self.tasks[*task].scope == Some(scope))
            .filter(|task| self.tasks[*task].outcome.is_none())
            .collect();
        for child in children {
            self.cancel(child, CancelReason::Scope);
        }
    }

    fn cancel(&mut self, task: usize, reason: CancelReason) {
        let state = &mut self.tasks[task];
        if state.outcome.is_some() {
            return;
        }
        state.cancel_reason.get_or_insert(reason);
        if self.running == Some(task) {
            state.is_aborted = true;
            state.is_scheduled = true;
        } else {
            self.finish(task, Outcome::Cancelled);
        }
    }

    fn finish(&mut self, task: usize, outcome: Outcome) {
        self.log.push(Event::Dropped(task));
        let state = &mut self.tasks[task];
        state.outcome = Some(outcome);
        match outcome {
            Outcome::Cancelled => {
                let reason = state.cancel_reason.unwrap_or(CancelReason::Aborted);
                self.cancelled[reason as usize] += 1;
            }
            // A scope keeps the first panic of each, and tells of the rest; at its end of that as well.
            Outcome::Panicked if !state.has_handle => self.panics_unjoined += 1,
            Outcome::Panicked | Outcome::Ended => {}
        }
        if let Some(joiner) = self.tasks[task].joiner.take() {
            self.wake(joiner);
        }
    }
}
