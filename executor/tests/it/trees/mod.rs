//! Random trees of scopes, run by the executor and by a model that has neither tasks nor wakers, and compared: which task
//! ended when and how, what each scope gave, what each handle told, and every count.
//!
//! All moments of a program differ, so that what happens at one has one cause, and the order in which tasks are polled
//! within it does not show.

mod model;
mod runner;

use core::fmt;

use mainspring_executor::CancelReason;
use mainspring_executor::time::Elapsed;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::suspensions::Order;
use crate::worlds::rounds;

/// A moment, in nanoseconds since the start.
type Moment = u64;

/// When all is over that has not ended by itself.
const END: Moment = 1_000_000_000_000;

/// A scope of the tree as it is drawn: times are steps after the scope's begin.
#[derive(Clone, Debug)]
struct Tree {
    kind: Kind,
    children: Vec<Branch>,
    body_steps: u64,
    body_ends: Ends,
    deadline: Option<u64>,
    drain: Option<u64>,
}

/// A child as it is drawn.
#[derive(Clone, Debug)]
struct Branch {
    spawned_after: u64,
    is_try: bool,
    handle: Handle,
    aborted: Option<u64>,
    panics_when_dropped: bool,
    task: Task,
}

#[derive(Clone, Debug)]
enum Task {
    Leaf(Option<u64>, Ends),
    Asked(u64),
    Shielded(u64, u64),
    Inner(Box<Tree>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Held by a task, which joins it; it may drain it before.
    Each,
    Scope,
    TryScope,
}

/// Who has the handle of a child.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Handle {
    Nobody,
    /// The body, until it ends.
    Body,
    /// Somebody outside, who joins at the very end.
    Outside,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Ok,
    Fails,
    Panics,
}

/// The tree with its moments, laid out flat.
#[derive(Clone, Debug, Default)]
struct Program {
    scopes: Vec<ScopePlan>,
    children: Vec<ChildPlan>,
    moments: u64,
}

#[derive(Clone, Debug)]
struct ScopePlan {
    kind: Kind,
    /// The child whose work it is; `None` for the root.
    owner: Option<usize>,
    /// In the order of spawning.
    children: Vec<usize>,
    body_ends_at: Moment,
    body_ends: Ends,
    deadline: Option<Moment>,
    /// It is drained when the body ends, and cut then.
    drain_until: Option<Moment>,
}

#[derive(Clone, Debug)]
struct ChildPlan {
    scope: usize,
    spawned_at: Moment,
    is_try: bool,
    handle: Handle,
    aborted_at: Option<Moment>,
    panics_when_dropped: bool,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Leaf(Option<Moment>, Ends),
    /// Ends so long after its scope's token was cancelled.
    Asked(u64),
    /// Awaits a section that ends at the first of both: by itself, by its bound.
    Shielded(Moment, Moment),
    Inner(usize),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    Done,
    Dropped,
}

/// What a scope gave, or a handle: which failure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Ok,
    Err(Failed),
    Panic(usize),
    Cancelled,
    /// The failure is the scope's.
    Nothing,
}

/// What can be seen of a run.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// Of each child that was begun: when it ended, and how.
    children: Vec<Option<(Moment, Ended)>>,
    /// Of each section: when it ended, and whether by itself.
    sections: Vec<Option<(Moment, bool)>>,
    /// Of each scope that was not dropped.
    scopes: Vec<Option<(Moment, Outcome)>>,
    /// How many children a drain had to cancel.
    cut: Vec<Option<usize>>,
    /// Of each child whose handle was outside.
    joined: Vec<Option<Outcome>>,
    panics_unjoined: u64,
    errors_unheard: u64,
    shields_left: u64,
    shields_cut: u64,
    cancelled: [u64; CancelReason::ALL.len()],
}

impl Seen {
    fn nothing(program: &Program) -> Self {
        let (scopes, children) = (program.scopes.len(), program.children.len());
        Self {
            children: vec![None; children],
            sections: vec![None; children],
            scopes: vec![None; scopes],
            cut: vec![None; scopes],
            joined: vec![None; children],
            ..Self::default()
        }
    }
}

/// The error of a child, or of a body (those come after all children), or of a deadline.
#[derive(Clone, Copy, PartialEq)]
struct Failed(usize);

const LATE: Failed = Failed(usize::MAX);

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == LATE { f.write_str("late") } else { write!(f, "{}", self.0) }
    }
}

impl From<Elapsed> for Failed {
    fn from(_: Elapsed) -> Self {
        LATE
    }
}

/// For plain scopes, whose children can fail with nothing else.
impl From<Failed> for Elapsed {
    fn from(_: Failed) -> Self {
        Self
    }
}

impl Program {
    fn new(tree: &Tree) -> Self {
        let mut program = Self::default();
        program.place(tree, None, 0);
        assert!(program.moments < 1000, "the parts of a moment do not overlap");
        program
    }

    /// A moment of its own, so many steps after the start.
    fn moment(&mut self, steps: u64) -> Moment {
        self.moments += 1;
        steps * 1_000_000 + self.moments * 1000
    }

    fn place(&mut self, tree: &Tree, owner: Option<usize>, begin: u64) -> usize {
        let index = self.scopes.len();
        let last_spawn = tree.children.iter().map(|child| child.spawned_after).max();
        let body_ends_at = self.moment(begin + last_spawn.unwrap_or(0) + tree.body_steps);
        let deadline = tree.deadline.map(|steps| self.moment(begin + steps));
        let is_drained = tree.kind == Kind::Each;
        let drain_until = tree.drain.filter(|_| is_drained).map(|steps| {
            self.moments += 1;
            body_ends_at + steps * 1_000_000 + self.moments
        });
        self.scopes.push(ScopePlan {
            kind: tree.kind,
            owner,
            children: Vec::new(),
            body_ends_at,
            body_ends: tree.body_ends,
            deadline,
            drain_until,
        });
        let mut children = tree.children.clone();
        children.sort_by_key(|child| child.spawned_after);
        // Those that are spawned at the begin are so at the moment at which their owner is.
        let at_begin = owner.map_or(0, |owner| self.children[owner].spawned_at);
        for branch in children {
            let steps = begin + branch.spawned_after;
            let spawned_at = if branch.spawned_after == 0 { at_begin } else { self.moment(steps) };
            let child = self.children.len();
            self.scopes[index].children.push(child);
            let aborted_at = branch.aborted.map(|after| self.moment(steps + after));
            self.children.push(ChildPlan {
                scope: index,
                spawned_at,
                is_try: branch.is_try,
                handle: branch.handle,
                aborted_at: aborted_at.filter(|_| branch.handle == Handle::Outside),
                panics_when_dropped: branch.panics_when_dropped,
                work: Work::Leaf(None, Ends::Ok),
            });
            self.children[child].work = match &branch.task {
                Task::Leaf(after, ends) => {
                    Work::Leaf(after.map(|after| self.moment(steps + after)), *ends)
                }
                Task::Asked(after) => {
                    self.moments += 1;
                    Work::Asked(after * 1_000_000 + self.moments)
                }
                Task::Shielded(after, bound) => {
                    Work::Shielded(self.moment(steps + after), self.moment(steps + bound))
                }
                Task::Inner(tree) => Work::Inner(self.place(tree, Some(child), steps)),
            };
        }
        index
    }

    /// The name of a failure of the body of a scope.
    fn body_name(&self, scope: usize) -> usize {
        self.children.len() + scope
    }
}

fn steps() -> impl Strategy<Value = u64> {
    1..40_u64
}

fn ends() -> impl Strategy<Value = Ends> {
    prop_oneof![4 => Just(Ends::Ok), 2 => Just(Ends::Fails), 1 => Just(Ends::Panics)]
}

fn task(depth: u32) -> BoxedStrategy<Task> {
    let simple = prop_oneof![
        4 => (option::weighted(0.7, steps()), ends()).prop_map(|(at, ends)| Task::Leaf(at, ends)),
        2 => steps().prop_map(Task::Asked),
        2 => (steps(), steps()).prop_map(|(ends, bound)| Task::Shielded(ends, bound)),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    prop_oneof![2 => simple, 1 => tree(depth - 1).prop_map(|tree| Task::Inner(Box::new(tree)))]
        .boxed()
}

fn branch(depth: u32) -> impl Strategy<Value = Branch> {
    let handle = prop_oneof![
        3 => Just(Handle::Nobody),
        1 => Just(Handle::Body),
        1 => Just(Handle::Outside),
    ];
    let spawned_after = prop_oneof![3 => Just(0), 1 => steps()];
    let rare = prop::bool::weighted(0.15);
    (spawned_after, any::<bool>(), handle, option::of(steps()), rare, task(depth)).prop_map(
        |(spawned_after, is_try, handle, aborted, panics_when_dropped, task)| Branch {
            spawned_after,
            is_try,
            handle,
            aborted,
            panics_when_dropped,
            task,
        },
    )
}

fn tree(depth: u32) -> impl Strategy<Value = Tree> {
    let kind =
        prop_oneof![2 => Just(Kind::TryScope), 1 => Just(Kind::Scope), 1 => Just(Kind::Each)];
    let deadline = option::weighted(0.2, steps());
    let drain = option::weighted(0.6, steps());
    (kind, vec(branch(depth), 0..5), steps(), ends(), deadline, drain).prop_map(
        |(kind, children, body_steps, body_ends, deadline, drain)| Tree {
            kind,
            children,
            body_steps,
            body_ends,
            deadline,
            drain,
        },
    )
}

/// How many trees.
fn cases() -> u32 {
    u32::try_from(rounds(1000)).expect("a few")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// See the file.
    #[test]
    fn a_tree_does_as_its_model_says(tree in tree(3), seed in any::<u64>()) {
        let program = Program::new(&tree);
        let expected = model::run(&program);
        for order in [Order::FirstReady, Order::Random(seed)] {
            let seen = runner::run(&program, order);
            prop_assert_eq!(&seen, &expected, "{:?} {:#?}", order, program);
        }
    }
}
