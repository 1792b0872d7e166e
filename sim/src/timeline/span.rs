//! `Span`: what a task does for a while.

use std::sync::Arc;

use mainspring_executor::{Awaited, Wait};

/// A while of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The task.
    pub lane: usize,
    /// What it does.
    pub doing: Doing,
    /// The event that it begins with, and the one that it ends with.
    pub from: usize,
    /// `None`: it had not ended at the end of the run.
    pub to: Option<usize>,
    /// What it waits for, in words; empty where it does not.
    pub text: Arc<str>,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// It is polled.
    Runs,
    /// It is ready, and waits for its turn.
    Ready,
    /// It waits.
    Waits(Reason),
}

impl Doing {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Ready => "ready, waits for its turn",
            Self::Waits(reason) => reason.name(),
        }
    }
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Something to read.
    Bytes,
    /// Room to write, or the outcome of a connect.
    Room,
    /// A connection to accept.
    Connection,
    /// A moment.
    Timer,
    /// A lock, a channel, a permit.
    Sync,
    /// The end of other tasks.
    Tasks,
    /// A job, a file, a child process, a signal.
    Job,
    /// Nothing that the executor knows.
    Unknown,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Bytes,
        Self::Room,
        Self::Connection,
        Self::Timer,
        Self::Sync,
        Self::Tasks,
        Self::Job,
        Self::Unknown,
    ];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "waits for something to read",
            Self::Room => "waits for room to write, or to connect",
            Self::Connection => "waits for a connection",
            Self::Timer => "waits for a timer",
            Self::Sync => "waits for a lock, channel or permit",
            Self::Tasks => "waits for other tasks to end",
            Self::Job => "waits for a job, file, child or signal",
            Self::Unknown => "waits for something unknown",
        }
    }

    pub(super) fn of(wait: &Wait) -> Self {
        match &wait.on {
            Awaited::Source { kind: "listener", .. } => Self::Connection,
            Awaited::Source { kind: "stream" | "pipe" | "datagram socket", interest, .. } => {
                if *interest == "room to write" {
                    Self::Room
                } else {
                    Self::Bytes
                }
            }
            Awaited::Source { .. } => Self::Job,
            Awaited::Timer { .. } => Self::Timer,
            Awaited::Resource { .. } | Awaited::Elsewhere { .. } => Self::Sync,
            Awaited::Task(_) | Awaited::Children(_) | Awaited::Failure(_) => Self::Tasks,
        }
    }
}
