//! Child processes as they cross the seam: which program to start, what is known of one that was, how it ended. Part of
//! the contract of [`Driver`](crate::driver::Driver), and public there; what programs use is [`process`](crate::process).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::driver::Token;

/// A program to be started, and what it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spawn {
    /// Its path, or a name without a slash, which is looked for where the machine keeps programs (`PATH`).
    pub program: OsString,
    /// Its arguments, without its own name in front.
    pub args: Vec<OsString>,
    /// Whether it starts without the variables of its parent.
    pub is_env_cleared: bool,
    /// Variables that it gets, or, by `None`, does not get.
    pub env: BTreeMap<OsString, Option<OsString>>,
    /// The folder that it starts in; else that of its parent.
    pub current_dir: Option<PathBuf>,
    /// What it reads.
    pub stdin: Stdio,
    /// What it writes.
    pub stdout: Stdio,
    /// What it complains to.
    pub stderr: Stdio,
}

/// What one of the three standard streams of a child is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// That of its parent.
    #[default]
    Inherit,
    /// Nothing to read; what is written is thrown away.
    Null,
    /// A pipe, whose other end the parent gets.
    Piped,
}

/// A child that was started. All tokens are the caller's to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spawned {
    /// For [`Driver::process_exit`](crate::driver::Driver::process_exit) and
    /// [`Driver::signal_process`](crate::driver::Driver::signal_process). Closed, it kills the child.
    pub process: Token,
    /// The number by which the machine calls it.
    pub id: u32,
    /// To write to, where [`Spawn::stdin`] is piped.
    pub stdin: Option<Token>,
    /// To read from, where [`Spawn::stdout`] is piped.
    pub stdout: Option<Token>,
    /// To read from, where [`Spawn::stderr`] is piped.
    pub stderr: Option<Token>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code, of which the machine keeps eight bits: 0 is success.
    Exited(i32),
    /// By the signal with this number: 9 is SIGKILL, 15 SIGTERM.
    Signaled(i32),
}

impl ExitStatus {
    /// Whether it ended by itself, with 0.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// The code, of one that ended by itself.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            Self::Signaled(_) => None,
        }
    }

    /// The number of the signal, of one that a signal killed.
    #[must_use]
    pub const fn signal(self) -> Option<i32> {
        match self {
            Self::Exited(_) => None,
            Self::Signaled(number) => Some(number),
        }
    }
}
