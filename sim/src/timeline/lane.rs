//! `Lane`: a line of the picture.

use std::sync::Arc;

/// Whose events are drawn on a line of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Of which kind.
    pub kind: LaneKind,
    /// The host, by its place in [`Timeline::hosts`](super::Timeline::hosts); `None` for the scenario.
    pub host: Option<usize>,
    /// What it is called: the name of the host or task, or the peer of a connection.
    pub name: Arc<str>,
    /// More of it: where a task was spawned, the addresses of a connection.
    pub place: Arc<str>,
    /// Of a connection: the lane of the task that used it most.
    pub owner: Option<usize>,
    /// The event with which it ended; `None`: it was there at the end.
    pub ended: Option<usize>,
}

/// Of which kind a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    /// What the scenario does.
    Scenario,
    /// What happens to a machine or to a program as a whole.
    Host,
    /// A task.
    Task,
    /// One end of a connection.
    Connection,
    /// A UDP socket.
    Datagrams,
}

impl LaneKind {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Host => "host",
            Self::Task => "task",
            Self::Connection => "connection",
            Self::Datagrams => "datagrams",
        }
    }
}
