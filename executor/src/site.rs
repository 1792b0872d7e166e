//! `Site`: a place in the code that says something of the program, or where something may go wrong; and `Observer`, who
//! is told. It knows no shards: [`check`](crate::check) brings the two together.

use core::fmt;

use crate::task::TaskId;

/// What a [`Site`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteKind {
    /// Whenever it is passed, its condition holds: [`always!`](crate::always).
    Always,
    /// It is not passed: [`never!`](crate::never).
    Never,
    /// Its condition holds within some time: [`eventually!`](crate::eventually).
    Eventually,
    /// In some runs it is passed with its condition: [`sometimes!`](crate::sometimes).
    Sometimes,
    /// In some runs it is passed: [`reachable!`](crate::reachable).
    Reachable,
    /// Something goes wrong here in some runs: [`buggify!`](crate::buggify).
    FaultPoint,
}

impl SiteKind {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Always,
        Self::Never,
        Self::Eventually,
        Self::Sometimes,
        Self::Reachable,
        Self::FaultPoint,
    ];

    /// The macro that makes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::Eventually => "eventually",
            Self::Sometimes => "sometimes",
            Self::Reachable => "reachable",
            Self::FaultPoint => "buggify",
        }
    }
}

/// A place in the code. In order of places; equal where all of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The file, as the compiler was given it.
    pub file: &'static str,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// What it says.
    pub kind: SiteKind,
    /// What it is called; several places may have one name.
    pub name: &'static str,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, kind, name } = self;
        write!(f, "{}!(\"{name}\") at {file}:{line}:{column}", kind.name())
    }
}

/// Who is told what a program says of itself, and decides what goes wrong in it. A driver has one, or none:
/// [`Driver::observer`](crate::driver::Driver::observer).
///
/// Called on the thread of the shard, while a task runs as a rule. It must neither panic nor call the shard.
pub trait Observer {
    /// A site was passed, by this task, and `holds` is what it said: for [`SiteKind::Reachable`] always true, for
    /// [`SiteKind::Never`] never. Of [`SiteKind::FaultPoint`] it is not told.
    fn passed(&self, site: &'static Site, task: Option<TaskId>, holds: bool);

    /// Whether something goes wrong at a [`SiteKind::FaultPoint`] now; `permille` is how often it would be, in the runs in
    /// which it may.
    fn fires(&self, site: &'static Site, permille: u32) -> bool;
}
