//! A program as tasks.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use mainspring_executor::scope::{scope, try_scope};
use mainspring_executor::shield::shield;
use mainspring_executor::time::{Elapsed, now, sleep, sleep_until, timeout};
use mainspring_executor::{
    CancelToken, Instant, JoinError, JoinHandle, Scope, ScopeError, deadline, spawn,
};

use super::{END, Ended, Ends, Failed, Handle, Kind, Moment, Outcome, Program, Seen, Work};
use crate::suspensions::Order;
use crate::ticking::World;

/// What all tasks of a run share.
#[derive(Clone)]
struct Stage {
    program: Rc<Program>,
    seen: Rc<RefCell<Seen>>,
    /// The handles that are outside.
    outside: Rc<RefCell<BTreeMap<usize, Kept>>>,
}

/// A handle of either kind of child.
enum Kept {
    Plain(JoinHandle<Result<(), Failed>>),
    Try(JoinHandle<Option<()>>),
}

/// A panic says which child or body it was.
struct Panicked(usize);

fn panic_as(name: usize) -> ! {
    // Not by `panic!`: that would fill the log of the test.
    resume_unwind(Box::new(Panicked(name)))
}

fn outcome_of_panic(payload: &(dyn core::any::Any + Send)) -> Outcome {
    Outcome::Panic(payload.downcast_ref::<Panicked>().expect("nothing else panics").0)
}

fn moment() -> Moment {
    now().as_nanos()
}

async fn until(moment: Moment) {
    sleep_until(Instant::from_nanos(moment)).await;
}

/// Runs a program to its end, and gives what was seen.
pub(super) fn run(program: &Program, order: Order) -> Seen {
    let world = World::with_schedule(order);
    let stage = Stage {
        seen: Rc::new(RefCell::new(Seen::nothing(program))),
        program: Rc::new(program.clone()),
        outside: Rc::default(),
    };
    world.run(main(stage.clone()));
    let mut seen = stage.seen.take();
    let metrics = world.metrics();
    seen.panics_unjoined = metrics.panics_unjoined;
    seen.errors_unheard = metrics.errors_unheard;
    (seen.shields_left, seen.shields_cut) = (metrics.shields_left, metrics.shields_cut);
    seen.cancelled = metrics.cancelled;
    assert_eq!(metrics.shields_live, 0);
    assert!(world.shard.ledger().is_empty(), "{}", world.shard.ledger());
    drop(stage);
    world.end();
    seen
}

async fn main(stage: Stage) {
    let aborts: Vec<_> =
        (0..stage.program.children.len()).map(|child| spawn(abort(stage.clone(), child))).collect();
    let root = timeout(Duration::from_nanos(END), run_scope(stage.clone(), 0));
    drop(AssertUnwindSafe(root).catch_unwind().await);
    for abort in aborts {
        abort.await.expect("it only aborts");
    }
    let outside = stage.outside.take();
    for (child, handle) in outside {
        let outcome = handle.join().await;
        stage.seen.borrow_mut().joined[child] = Some(outcome);
    }
}

/// Aborts a child when its moment comes, if it was spawned by then.
async fn abort(stage: Stage, child: usize) {
    let Some(aborted_at) = stage.program.children[child].aborted_at else { return };
    until(aborted_at).await;
    if let Some(handle) = stage.outside.borrow().get(&child) {
        handle.abort();
    }
}

impl Kept {
    fn abort(&self) {
        match self {
            Self::Plain(handle) => handle.abort(),
            Self::Try(handle) => handle.abort(),
        }
    }

    async fn join(self) -> Outcome {
        let outcome = match self {
            Self::Plain(handle) => handle.await.map(|_| Outcome::Ok),
            Self::Try(handle) => handle
                .await
                .map(|output| if output.is_some() { Outcome::Ok } else { Outcome::Nothing }),
        };
        match outcome {
            Ok(outcome) => outcome,
            Err(JoinError::Cancelled) => Outcome::Cancelled,
            Err(JoinError::Panicked(payload)) => outcome_of_panic(&*payload),
        }
    }
}

/// A scope with its body, and what it gave.
fn run_scope(stage: Stage, index: usize) -> LocalBoxFuture<'static, Result<(), Failed>> {
    async move {
        let run = async {
            match stage.program.scopes[index].kind {
                Kind::Each => each(&stage, index).await,
                Kind::Scope => scope(async |scope| body(&stage, index, scope).await).await,
                Kind::TryScope => {
                    try_scope(async |scope: &Scope<Failed>| body(&stage, index, scope).await).await
                }
            }
        };
        let ended = AssertUnwindSafe(run).catch_unwind().await;
        let outcome = match &ended {
            Ok(Ok(())) => Outcome::Ok,
            Ok(Err(failed)) => Outcome::Err(*failed),
            Err(payload) => outcome_of_panic(&**payload),
        };
        stage.seen.borrow_mut().scopes[index] = Some((moment(), outcome));
        ended.unwrap_or_else(|payload| resume_unwind(payload))
    }
    .boxed_local()
}

/// A scope that is held.
async fn each(stage: &Stage, index: usize) -> Result<(), Failed> {
    let plan = &stage.program.scopes[index];
    let scope = Scope::<Failed>::default();
    let handles = spawn_all(stage, index, &scope).await;
    until(plan.body_ends_at).await;
    drop(handles);
    if let Some(drain_until) = plan.drain_until {
        let cut = scope.drain_for(Duration::from_nanos(drain_until - moment())).await;
        stage.seen.borrow_mut().cut[index] = Some(cut);
    }
    let told = scope.join().await;
    scope.join().await.expect("there is one failure to tell");
    match told {
        Ok(()) => Ok(()),
        Err(ScopeError::Failed(failed)) => Err(failed),
        Err(ScopeError::Panicked(payload)) => resume_unwind(payload),
    }
}

/// What runs in `scope` and `try_scope`.
async fn body<E>(stage: &Stage, index: usize, scope: &Scope<E>) -> Result<(), Failed>
where
    E: From<Elapsed> + From<Failed> + core::fmt::Debug + 'static,
{
    let plan = &stage.program.scopes[index];
    let handles = spawn_all(stage, index, scope).await;
    until(plan.body_ends_at).await;
    drop(handles);
    let name = stage.program.body_name(index);
    match plan.body_ends {
        Ends::Ok => Ok(()),
        Ends::Fails => Err(Failed(name)),
        Ends::Panics => panic_as(name),
    }
}

/// Spawns the children, each at its moment. Gives the handles that the body holds.
async fn spawn_all<E>(stage: &Stage, index: usize, scope: &Scope<E>) -> Vec<Kept>
where
    E: From<Elapsed> + From<Failed> + core::fmt::Debug + 'static,
{
    let plan = &stage.program.scopes[index];
    if let Some(deadline) = plan.deadline {
        scope.set_deadline(Instant::from_nanos(deadline));
    }
    let mut handles = Vec::new();
    for child in &plan.children {
        let child = *child;
        let of_child = &stage.program.children[child];
        until(of_child.spawned_at).await;
        let run = run_child(stage.clone(), child, scope.token());
        let handle = if of_child.is_try {
            Kept::Try(scope.spawn_try(async move { Ok(run.await?) }))
        } else {
            Kept::Plain(scope.spawn(run))
        };
        match of_child.handle {
            Handle::Nobody => drop(handle),
            Handle::Body => handles.push(handle),
            Handle::Outside => drop(stage.outside.borrow_mut().insert(child, handle)),
        }
    }
    handles
}

/// Tells when and how a child or a section ends.
struct Mark {
    stage: Stage,
    child: usize,
    is_section: bool,
    is_done: bool,
}

impl Mark {
    fn done(&mut self) {
        self.is_done = true;
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let plan = &self.stage.program.children[self.child];
        let seen = &mut *self.stage.seen.borrow_mut();
        if self.is_section {
            seen.sections[self.child] = Some((moment(), self.is_done));
            return;
        }
        let ended = if self.is_done { Ended::Done } else { Ended::Dropped };
        seen.children[self.child] = Some((moment(), ended));
        if !self.is_done && plan.panics_when_dropped {
            panic_as(self.child);
        }
    }
}

/// A child.
async fn run_child(stage: Stage, child: usize, token: CancelToken) -> Result<(), Failed> {
    let mut mark = Mark { stage: stage.clone(), child, is_section: false, is_done: false };
    let ends = match stage.program.children[child].work {
        Work::Leaf(None, _) => pending().await,
        Work::Leaf(Some(at), ends) => {
            until(at).await;
            ends
        }
        Work::Asked(after) => {
            token.cancelled().await;
            sleep(Duration::from_nanos(after)).await;
            Ends::Ok
        }
        Work::Shielded(at, bound) => {
            let mut mark = Mark { stage: stage.clone(), child, is_section: true, is_done: false };
            let section = async move {
                assert_eq!(deadline::current(), Some(Instant::from_nanos(bound)));
                until(at).await;
                mark.done();
            };
            let ended = shield(Duration::from_nanos(bound - moment()), section).await;
            assert_eq!(ended.is_ok(), at < bound);
            Ends::Ok
        }
        Work::Inner(inner) => {
            let ended = AssertUnwindSafe(run_scope(stage.clone(), inner)).catch_unwind().await;
            mark.done();
            return ended.unwrap_or_else(|payload| resume_unwind(payload));
        }
    };
    mark.done();
    match ends {
        Ends::Ok => Ok(()),
        Ends::Fails => Err(Failed(child)),
        Ends::Panics => panic_as(child),
    }
}
