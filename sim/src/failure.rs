//! `Failure` and `Report`: how a run ended.

use core::fmt;

use mainspring_executor::TaskDump;
use mainspring_executor::driver::{Instant, TaskId};

/// So many lines are told of what is alive.
const LINES_MAX: usize = 1000;

/// For programs that ask for the runtime of tokio, which is on no machine of a room.
const TOKIO_HINT: &str = "tokio's runtime is not in here: take spawn, time, net, offload of mainspring_executor in place of its \
                          tasks, timers, sockets, threads (docs/GUIDE.md: what works inside)\n";

/// Why a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Foreground tasks wait, and nothing is left that could wake them.
    Deadlock,
    /// A foreground task panicked.
    Panic,
    /// A foreground task was aborted before its end.
    Cancelled,
    /// The virtual time ran out.
    TimeLimit,
    /// The number of events ran out.
    EventLimit,
    /// Everybody is busy, and the clock stands still.
    Livelock,
    /// The shard itself failed.
    Shard,
    /// A program asked libc for a time or for entropy, and [`WorldConfig::is_strict`](crate::WorldConfig::is_strict).
    Bypass,
    /// A program has broken a promise of its own: `always!`, `never!`, `eventually!`.
    Promise,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock => "deadlock: tasks wait, and nothing is left that could wake them",
            Self::Panic => "a foreground task panicked",
            Self::Cancelled => "a foreground task was cancelled",
            Self::TimeLimit => "the virtual time ran out",
            Self::EventLimit => "the number of events ran out: the run goes round in circles",
            Self::Livelock => "livelock: much happens at one instant, and the clock stands still",
            Self::Shard => "a shard failed",
            Self::Bypass => "something went past the driver",
            Self::Promise => "a promise is broken",
        })
    }
}

/// A run that went wrong. `Display` prints all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In what way.
    pub kind: FailureKind,
    /// The virtual time.
    pub at: Instant,
    /// What replays the run.
    pub seed: u64,
    /// Events and turns so far.
    pub event_count: u64,
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// What there is to say about it, with what happened last where that is recorded; whole lines.
    pub details: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.kind)?;
        writeln!(
            f,
            "at {} s virtual time, seed {}, after {} events, trace {:016x}",
            self.at, self.seed, self.event_count, self.trace_hash
        )?;
        f.write_str(&self.details)
    }
}

impl core::error::Error for Failure {}

/// A line for a failure in which a panic of other people's code does not say what to do about it.
pub(crate) fn hint(details: &str) -> &'static str {
    match details.contains("of a Tokio 1.x runtime") {
        true => TOKIO_HINT,
        false => "",
    }
}

/// What is alive when nothing goes on: the tasks of each shard, and who waits for whom.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    lines: Vec<String>,
}

impl Alive {
    /// A task that the run waits for.
    pub(crate) fn add_foreground(&mut self, shard: &str, task: TaskId) {
        self.lines.push(format!("the run waits for {task} of {shard}"));
    }

    /// The tasks of a shard. In a deadlock nothing is to come any more, so each ring of them counts; the dump itself tells
    /// of those only that are certain in any case.
    pub(crate) fn add_shard(&mut self, name: &str, dump: &TaskDump, kind: FailureKind) {
        if dump.tasks.is_empty() {
            return;
        }
        let mut text = format!("{name}: {dump}");
        if kind == FailureKind::Deadlock {
            let told = dump.deadlocks();
            let all = dump.deadlocks_if_nothing_comes();
            let others = all.iter().filter(|cycle| !told.contains(cycle));
            text.extend(others.map(ToString::to_string));
        }
        text.extend(dump.futurelocks().iter().map(|lock| format!("{lock}\n")));
        let mut lines = text.lines();
        self.lines.extend(lines.next().map(str::to_owned));
        self.lines.extend(lines.map(|line| format!("  {line}")));
    }

    pub(crate) fn text(mut self) -> String {
        let more = self.lines.len().saturating_sub(LINES_MAX);
        self.lines.truncate(LINES_MAX);
        if more > 0 {
            self.lines.push(format!("and {more} lines more"));
        }
        self.lines.into_iter().map(|line| line + "\n").collect()
    }
}

/// A run that ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The virtual time at its end.
    pub at: Instant,
    /// What replays it.
    pub seed: u64,
    /// Events and turns.
    pub event_count: u64,
    /// Events and turns at the instant that had most of them.
    pub busiest_instant: u64,
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// Hosts that a signal killed, for they had not subscribed to signals; their foreground tasks count as ended.
    pub killed: Vec<String>,
}
