//! `Program`: bytes as a list of operations. Every list of bytes is a program.

/// Tasks that a program may spawn; more are not spawned.
pub(super) const TASKS_MAX: usize = 12;

/// Scopes that a program has from the start.
pub(super) const SCOPES: usize = 3;

/// Operations that use another thread; more are not done, for a thread takes a while to start.
const THREADS_MAX: usize = 4;

/// What a program does between turns. Tasks and scopes are named by number, which may be that of none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Spawns a task, in a scope or in none.
    Spawn(Option<usize>),
    /// What the task will do in a later poll, after what it was told before.
    Tell(usize, Act),
    Turn,
    /// Wakes a task within its shard.
    WakeAtHome(usize),
    /// Wakes it on its thread, while no shard is current.
    WakeOutside(usize),
    /// Wakes it on another thread.
    WakeOnThread(usize),
    DropWaker(usize),
    DropWakerOnThread(usize),
    Abort(usize),
    DropHandle(usize),
    CancelScope(usize),
}

/// What a task does in one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Wait,
    Yield,
    End,
    Panic,
    Wake(usize),
    Abort(usize),
    Join(usize),
    DropHandle(usize),
    CancelScope(usize),
    Spawn(Option<usize>),
}

/// What is seen of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Polled(usize),
    Dropped(usize),
    /// By the first, of the second.
    Joined(usize, usize, Outcome),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ended,
    Panicked,
    Cancelled,
}

pub(super) struct Program {
    pub(super) ops: Vec<Op>,
}

impl Program {
    /// Two bytes an operation, three for one that tells a task what to do.
    pub(super) fn parse(data: &[u8]) -> Self {
        let mut bytes = data.iter().copied();
        let mut ops = Vec::new();
        let mut threads = 0;
        while let (Some(kind), Some(which)) = (bytes.next(), bytes.next()) {
            let task = usize::from(which) % TASKS_MAX;
            let op = match kind % 16 {
                0 | 1 => Op::Spawn(scope(which)),
                2..=6 => Op::Tell(task, act(which / 16, bytes.next().unwrap_or(0))),
                7..=9 => Op::Turn,
                10 => Op::WakeAtHome(task),
                11 if which % 4 > 0 || threads == THREADS_MAX => Op::WakeOutside(task),
                11 => {
                    threads += 1;
                    Op::WakeOnThread(task)
                }
                12 if which % 4 > 0 || threads == THREADS_MAX => Op::DropWaker(task),
                12 => {
                    threads += 1;
                    Op::DropWakerOnThread(task)
                }
                13 => Op::Abort(task),
                14 => Op::DropHandle(task),
                _ => Op::CancelScope(usize::from(which) % SCOPES),
            };
            ops.push(op);
        }
        Self { ops }
    }
}

fn scope(which: u8) -> Option<usize> {
    let scope = usize::from(which) % (SCOPES + 1);
    (scope < SCOPES).then_some(scope)
}

fn act(kind: u8, which: u8) -> Act {
    let task = usize::from(which) % TASKS_MAX;
    match kind % 16 {
        0 => Act::Wait,
        1 | 2 => Act::Yield,
        3 | 4 => Act::End,
        5 => Act::Panic,
        6 | 7 => Act::Wake(task),
        8 => Act::Abort(task),
        9..=11 => Act::Join(task),
        12 => Act::DropHandle(task),
        13 | 14 => Act::CancelScope(usize::from(which) % SCOPES),
        _ => Act::Spawn(scope(which)),
    }
}
