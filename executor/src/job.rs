//! Jobs: work that would block a shard, as it crosses the seam. Part of the contract of
//! [`Driver`](crate::driver::Driver), and public there.
//!
//! It knows neither who does a job nor how. What programs use are [`offload`](crate::offload),
//! [`file`](crate::file), [`names`](crate::names) and [`process`](crate::process).

use core::any::Any;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::driver::Token;
use crate::spawn::{Spawn, Spawned};

/// Work that would block the shard.
///
/// Paths of files come as a `root` and a `path` below it, which is relative: neither `..` nor a link leads out of `root`.
/// One that would is refused with `PermissionDenied`, and so is a file that is neither a regular one nor a folder.
#[derive(Debug)]
pub enum Job {
    /// Runs a closure. Gives [`Outcome::Returned`].
    Call {
        /// Where it queues.
        lane: Lane,
        /// What to run.
        call: Call,
    },
    /// Opens a file or folder. Gives [`Outcome::Opened`].
    Open {
        /// The folder that is not left.
        root: PathBuf,
        /// What to open, relative to it.
        path: PathBuf,
        /// For what, and what to do where it is missing.
        mode: OpenMode,
    },
    /// Reads up to `length` bytes of an open file, fewer at its end only. Gives [`Outcome::Bytes`].
    ReadAt {
        /// From [`Outcome::Opened`].
        file: Token,
        /// Where to start, in bytes.
        offset: u64,
        /// At most so many bytes.
        length: usize,
    },
    /// Writes bytes from `start` on of `bytes` into an open file: at least one, perhaps not all. A file that ends before
    /// `offset` is filled with zeros up to it. Gives [`Outcome::Written`].
    WriteAt {
        /// From [`Outcome::Opened`], opened for writing, not for appending.
        file: Token,
        /// Where to in the file, in bytes.
        offset: u64,
        /// They come back with the outcome.
        bytes: Vec<u8>,
        /// The first byte of `bytes` to write; there is at least one.
        start: usize,
    },
    /// As [`Job::WriteAt`], at the end that the file has when it is done, whoever else appends.
    Append {
        /// From [`Outcome::Opened`], opened for appending.
        file: Token,
        /// They come back with the outcome.
        bytes: Vec<u8>,
        /// The first byte of `bytes` to write; there is at least one.
        start: usize,
    },
    /// Waits until what was written to a file would survive a loss of power. Gives [`Outcome::Done`].
    Sync {
        /// From [`Outcome::Opened`].
        file: Token,
        /// Its content and what is needed to read it; else its other metadata, too (`fdatasync`, `fsync`).
        data_only: bool,
    },
    /// Cuts a file, or fills it with zeros. Gives [`Outcome::Done`].
    SetLength {
        /// From [`Outcome::Opened`], opened for writing or appending.
        file: Token,
        /// How long it is then, in bytes.
        length: u64,
    },
    /// Asks what an open file is like by now. Gives [`Outcome::Metadata`].
    FileMetadata {
        /// From [`Outcome::Opened`].
        file: Token,
    },
    /// Asks what a path names. Gives [`Outcome::Metadata`].
    Metadata {
        /// The folder that is not left.
        root: PathBuf,
        /// What to look at, relative to it.
        path: PathBuf,
    },
    /// Lists a folder. Gives [`Outcome::Entries`], or `FileTooLarge` where there are more than `count_max`.
    List {
        /// The folder that is not left.
        root: PathBuf,
        /// The folder to list, relative to it.
        path: PathBuf,
        /// At most so many entries.
        count_max: usize,
    },
    /// Makes a folder. Gives [`Outcome::Done`].
    CreateFolder {
        /// The folder that is not left.
        root: PathBuf,
        /// The one to make, relative to it; the folder that it lies in is there.
        path: PathBuf,
    },
    /// Removes a file, a link or an empty folder. Gives [`Outcome::Done`].
    Remove {
        /// The folder that is not left.
        root: PathBuf,
        /// What to remove, relative to it.
        path: PathBuf,
    },
    /// Gives a file or folder another path, in one step: in place of a file, or of an empty folder if it is a folder.
    /// Gives [`Outcome::Done`].
    Rename {
        /// The folder that is not left, neither from nor to.
        root: PathBuf,
        /// The path that it has, relative to it.
        from: PathBuf,
        /// The path that it gets, relative to it.
        to: PathBuf,
    },
    /// Looks up the addresses of a name. Gives [`Outcome::Addresses`], of which there is at least one; `NotFound` where
    /// the resolver gives none, be it that the name does not exist or that the resolver cannot tell.
    Resolve {
        /// The name of a host, as a user would write it; no address.
        name: String,
    },
    /// Starts a child. Gives [`Outcome::Spawned`]; `NotFound` where the program or its folder is missing,
    /// `PermissionDenied` for what cannot be run. A child that nobody collects is killed.
    Spawn {
        /// What to start.
        spawn: Box<Spawn>,
    },
}

impl Job {
    /// Where it queues.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Call { lane, .. } => *lane,
            Self::Resolve { .. } => Lane::Names,
            _ => Lane::Blocking,
        }
    }

    /// The open file that it is about, where it is about one.
    #[must_use]
    pub const fn file(&self) -> Option<Token> {
        match self {
            Self::ReadAt { file, .. }
            | Self::WriteAt { file, .. }
            | Self::Append { file, .. }
            | Self::Sync { file, .. }
            | Self::SetLength { file, .. }
            | Self::FileMetadata { file } => Some(*file),
            _ => None,
        }
    }
}

/// One of the queues for jobs, each with threads of its own, so that one kind of work does not keep another waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Work that mostly waits: files, processes, libraries that block. More threads than cores.
    Blocking,
    /// Work that computes. At most as many threads as cores.
    Compute,
    /// Lookups of names: apart from the rest, for a resolver that does not answer takes its threads for seconds.
    Names,
}

impl Lane {
    /// All of them, in the order of their numbers (`lane as usize`).
    pub const ALL: [Self; 3] = [Self::Blocking, Self::Compute, Self::Names];

    /// By which it is called in metrics and in the names of threads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Compute => "compute",
            Self::Names => "names",
        }
    }
}

/// A closure on its way to another thread. It must not panic: who makes it catches what may ([`offload`](crate::offload)
/// does).
pub struct Call(Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>);

impl Call {
    /// Wraps a closure.
    pub fn new(closure: impl FnOnce() -> Box<dyn Any + Send> + Send + 'static) -> Self {
        Self(Box::new(closure))
    }

    /// Runs it.
    #[must_use]
    pub fn run(self) -> Box<dyn Any + Send> {
        (self.0)()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

/// For what a file is opened. At least one of `read`, `write` and `append`; the others need `write` or `append`, and
/// `truncate` does not go with `append`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the flags of open(2)")]
pub struct OpenMode {
    /// To read from it.
    pub read: bool,
    /// To write anywhere in it.
    pub write: bool,
    /// To write at its end.
    pub append: bool,
    /// Makes an empty file where there is none.
    pub create: bool,
    /// Makes an empty file, and fails with `AlreadyExists` where there is anything. Takes the place of `create`.
    pub create_new: bool,
    /// Drops what is in it.
    pub truncate: bool,
}

impl OpenMode {
    /// To read what is there.
    pub const READ: Self = Self {
        read: true,
        write: false,
        append: false,
        create: false,
        create_new: false,
        truncate: false,
    };

    /// Whether anything may be changed.
    #[must_use]
    pub const fn writes(self) -> bool {
        self.write || self.append
    }

    /// Whether it makes sense.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        let changes = self.create || self.create_new || self.truncate;
        (self.read || self.writes())
            && (self.writes() || !changes)
            && !(self.append && (self.truncate || self.write))
    }
}

/// What a [`Job`] gave.
#[derive(Debug)]
pub enum Outcome {
    /// What a closure returned.
    Returned(Box<dyn Any + Send>),
    /// An open file or folder; the token is the caller's to close.
    Opened(OpenedFile),
    /// What was read; empty at the end of the file.
    Bytes(Vec<u8>),
    /// What was written.
    Written {
        /// Bytes that were, from the `start` of the job on; at least one.
        count: usize,
        /// What the job was given.
        bytes: Vec<u8>,
    },
    /// It is done; there is nothing to tell.
    Done,
    /// What a file or folder is like.
    Metadata(Metadata),
    /// What is in a folder, sorted by the bytes of the names.
    Entries(Vec<Entry>),
    /// Addresses, in the order of the resolver, each once.
    Addresses(Vec<IpAddr>),
    /// A child.
    Spawned(Spawned),
}

/// A job that has ended: what it gave, and how long that took.
#[derive(Debug)]
pub struct Ended {
    /// What it gave, or why it failed.
    pub outcome: io::Result<Outcome>,
    /// For how long it waited for a thread.
    pub waited: Duration,
    /// For how long a thread was at it.
    pub ran: Duration,
}

/// A job that was not taken.
#[derive(Debug)]
pub struct Refused {
    /// It, to be tried again or dropped.
    pub job: Job,
    /// Why: an error of [`Exhausted::is`](crate::driver::Exhausted::is) where trying again makes sense.
    pub error: io::Error,
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// An open file or folder, as it was when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedFile {
    /// For the jobs of an open file, and [`Driver::close`](crate::driver::Driver::close).
    pub token: Token,
    /// What it was like.
    pub metadata: Metadata,
}

/// What a file or folder is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Whether it is a folder, which cannot be read or written.
    pub is_folder: bool,
    /// Bytes in the file; of a folder, a number without meaning.
    pub length: u64,
    /// When its content last changed, since 1970; zero where the machine does not know.
    pub modified: Duration,
}

/// What lies in a folder under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: no path, neither `.` nor `..`.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What an [`Entry`] is; a link is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_numbered_in_order() {
        for (number, lane) in Lane::ALL.into_iter().enumerate() {
            assert_eq!(lane as usize, number);
        }
    }

    #[test]
    fn open_modes_make_sense_or_not() {
        let check = |flags: &str, expected: bool| {
            let has = |flag| flags.contains(flag);
            let mode = OpenMode {
                read: has('r'),
                write: has('w'),
                append: has('a'),
                create: has('c'),
                create_new: has('n'),
                truncate: has('t'),
            };
            assert_eq!(mode.is_valid(), expected, "{flags}");
        };
        for valid in ["r", "w", "a", "rw", "ra", "wc", "wt", "wct", "rwn", "ac", "an", "wcn"] {
            check(valid, true);
        }
        for invalid in ["", "c", "t", "rc", "rn", "rt", "at", "wa", "act"] {
            check(invalid, false);
        }
    }
}
