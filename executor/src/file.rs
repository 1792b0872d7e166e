//! Files for tasks, through the driver's jobs: no call on a disk stalls the shard.
//!
//! A file is named by a `root` and a `path` below it. The machine sees to it that neither `..` nor a link leads out of
//! `root`: such a path is refused with `PermissionDenied`, and so is whatever is neither a regular file nor a folder.
//!
//! Where too many jobs wait already, those that begin something are refused at once with an error of
//! [`Exhausted::is`](crate::driver::Exhausted::is), so that load is shed: opening, [`read`], [`metadata`], [`list`]. What
//! goes on with an open file, or changes a folder, waits in line ([`Offloaded::patient`](crate::offload::Offloaded::patient)),
//! and is refused only when even the line is full.

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use crate::current;
pub use crate::driver::{Entry, EntryKind, Metadata};
use crate::driver::{Job, OpenMode, OpenedFile, Outcome, Ready};
use crate::net::Socket;
use crate::offload::JobFuture;
use crate::reactor::Kind;

/// How much [`read`] reads at a time of a file that is longer than it was when it was opened.
const READ_BYTES: usize = 64 * 1024;

/// An open file or folder. Dropping it closes it.
pub struct File {
    socket: Socket,
    opened: OpenedFile,
    mode: OpenMode,
    origin: &'static Location<'static>,
}

/// For what a file is opened, and what to do where it is missing. As [`std::fs::OpenOptions`], but for `append`, which
/// does not go with `write`: in a file that is appended to, nothing is written elsewhere.
///
/// ```no_run
/// # use mainspring_executor::file::OpenOptions;
/// # async fn log() -> std::io::Result<()> {
/// let log = OpenOptions::new().append(true).create(true).open("/var/log".into(), "it".into()).await?;
/// log.append("it works\n").await?;
/// log.sync_data().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they open"]
pub struct OpenOptions {
    mode: OpenMode,
}

impl OpenOptions {
    /// Nothing is wanted as yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// To read.
    pub fn read(mut self, read: bool) -> Self {
        self.mode.read = read;
        self
    }

    /// To write anywhere.
    pub fn write(mut self, write: bool) -> Self {
        self.mode.write = write;
        self
    }

    /// To write at the end.
    pub fn append(mut self, append: bool) -> Self {
        self.mode.append = append;
        self
    }

    /// Makes an empty file where there is none.
    pub fn create(mut self, create: bool) -> Self {
        self.mode.create = create;
        self
    }

    /// Makes an empty file, and fails where there is anything. Takes the place of `create`.
    pub fn create_new(mut self, create_new: bool) -> Self {
        self.mode.create_new = create_new;
        self
    }

    /// Drops what is in it.
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.mode.truncate = truncate;
        self
    }

    /// Opens `path` below the folder `root`. See [`File::open`].
    ///
    /// # Errors
    /// `InvalidInput` for options that contradict each other; `AlreadyExists` with `create_new`; `IsADirectory` for a
    /// folder that is to be written; otherwise as [`File::open`].
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn open(
        self,
        root: PathBuf,
        path: PathBuf,
    ) -> impl Future<Output = io::Result<File>> + use<> {
        let (core, origin, mode) = (current::core(), Location::caller(), self.mode);
        async move {
            if !mode.is_valid() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let job = Job::Open { root, path, mode };
            let opened = match JobFuture::new(Rc::clone(&core), job, origin).await? {
                Outcome::Opened(opened) => opened,
                other => unreachable!("the driver answers Open with Opened, not {other:?}"),
            };
            let socket = Socket::new(core, opened.token, Kind::File, Ready::NONE, origin);
            Ok(File { socket, opened, mode, origin })
        }
    }
}

impl File {
    /// Opens `path` below the folder `root` for reading; neither `..` nor a link leads out of it.
    ///
    /// Cancel-safe: a file opened for a future that is gone is closed by the driver.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied` (also for a path that leads out), an error of
    /// [`Exhausted::is`](crate::driver::Exhausted::is) when too many jobs wait, and the others of the machine.
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn open(root: PathBuf, path: PathBuf) -> impl Future<Output = io::Result<Self>> {
        OpenOptions { mode: OpenMode::READ }.open(root, path)
    }

    /// Whether it is a folder, which cannot be read.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.opened.metadata.is_folder
    }

    /// Bytes in the file when it was opened.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.opened.metadata.length
    }

    /// When the content last changed before it was opened, since 1970.
    #[must_use]
    pub fn modified(&self) -> Duration {
        self.opened.metadata.modified
    }

    /// What the file is like by now. Cancel-safe.
    ///
    /// # Errors
    /// Those of the machine.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        metadata_of(self.run(Job::FileMetadata { file: self.socket.token() }).await?)
    }

    /// Reads up to `length` bytes at `offset`; fewer than that, or none, at the end of the file. Cancel-safe.
    ///
    /// # Errors
    /// `InvalidInput` for a file that was not opened for reading, `IsADirectory` for a folder; those of the machine.
    ///
    /// # Panics
    /// When the driver breaks its contract.
    pub async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.check(self.mode.read)?;
        let job = Job::ReadAt { file: self.socket.token(), offset, length };
        let bytes = match self.run(job).await? {
            Outcome::Bytes(bytes) => bytes,
            other => unreachable!("the driver answers ReadAt with Bytes, not {other:?}"),
        };
        assert!(bytes.len() <= length, "a read gives at most what was asked for");
        Ok(bytes)
    }

    /// Writes all of `bytes` at `offset`. Behind the end of the file, the gap is filled with zeros.
    ///
    /// Not cancel-safe, as no write is: nobody learns how much was written of one that is dropped or fails. What was
    /// written is in the hands of the machine, and survives a loss of power only after [`File::sync_data`].
    ///
    /// # Errors
    /// `InvalidInput` for a file that was not opened for writing; `StorageFull` and the others of the machine.
    ///
    /// # Panics
    /// When the driver breaks its contract.
    pub async fn write_at(&self, offset: u64, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
        self.check(self.mode.write)?;
        let file = self.socket.token();
        self.write_all(bytes.into(), |bytes, start| Job::WriteAt {
            file,
            offset: offset.saturating_add(start as u64),
            bytes,
            start,
        })
        .await
    }

    /// Writes all of `bytes` at the end that the file has by then. They stay together as long as the machine takes all at
    /// once, which it does unless it runs out of room; bytes that others append come before or after.
    ///
    /// Not cancel-safe; see [`File::write_at`].
    ///
    /// # Errors
    /// `InvalidInput` for a file that was not opened for appending; `StorageFull` and the others of the machine.
    ///
    /// # Panics
    /// When the driver breaks its contract.
    pub async fn append(&self, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
        self.check(self.mode.append)?;
        let file = self.socket.token();
        self.write_all(bytes.into(), |bytes, start| Job::Append { file, bytes, start }).await
    }

    /// Waits until content and metadata of the file would survive a loss of power. For the names in a folder, sync the
    /// folder. Cancel-safe, but for that nobody learns whether it was done.
    ///
    /// # Errors
    /// Those of the machine. What was written before may then be lost, whatever a second try says.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.run(Job::Sync { file: self.socket.token(), data_only: false }).await.map(done)
    }

    /// As [`File::sync_all`], without the metadata that is not needed to read the content.
    ///
    /// # Errors
    /// As [`File::sync_all`].
    pub async fn sync_data(&self) -> io::Result<()> {
        self.run(Job::Sync { file: self.socket.token(), data_only: true }).await.map(done)
    }

    /// Cuts the file to `length` bytes, or fills it with zeros up to there.
    ///
    /// # Errors
    /// `InvalidInput` for a file that was not opened for writing or appending; those of the machine.
    pub async fn set_length(&self, length: u64) -> io::Result<()> {
        self.check(self.mode.writes())?;
        self.run(Job::SetLength { file: self.socket.token(), length }).await.map(done)
    }

    fn check(&self, is_allowed: bool) -> io::Result<()> {
        // A folder says so itself: it is opened for reading at most.
        if is_allowed { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Submits one job after the other until all is written; `job` makes the one for all from a start on.
    async fn write_all(
        &self,
        mut bytes: Vec<u8>,
        job: impl Fn(Vec<u8>, usize) -> Job,
    ) -> io::Result<()> {
        let mut start = 0;
        while start < bytes.len() {
            let left = bytes.len() - start;
            let count = match self.run(job(bytes, start)).await? {
                Outcome::Written { count, bytes: given_back } => {
                    bytes = given_back;
                    count
                }
                other => unreachable!("the driver answers a write with Written, not {other:?}"),
            };
            assert!((1..=left).contains(&count), "a write takes something, and no more than all");
            start += count;
        }
        Ok(())
    }

    async fn run(&self, job: Job) -> io::Result<Outcome> {
        JobFuture::new(Rc::clone(&self.socket.core), job, self.origin).patient().await
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({:?})", self.socket.token())
    }
}

/// Reads a whole file of at most `length_max` bytes. Cancel-safe.
///
/// # Errors
/// `FileTooLarge` for a longer one, `IsADirectory` for a folder; otherwise as [`File::open`] and [`File::read_at`].
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn read(
    root: PathBuf,
    path: PathBuf,
    length_max: usize,
) -> impl Future<Output = io::Result<Vec<u8>>> {
    let opening = File::open(root, path);
    async move {
        let file = opening.await?;
        // One byte more than is expected: fewer mean the end.
        let expected = usize::try_from(file.length()).unwrap_or(usize::MAX).min(length_max);
        let mut wanted = expected.saturating_add(1);
        let mut bytes = Vec::new();
        loop {
            let piece = file.read_at(bytes.len() as u64, wanted).await?;
            let is_end = piece.len() < wanted;
            bytes.extend(piece);
            if bytes.len() > length_max {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if is_end {
                return Ok(bytes);
            }
            // It has grown since it was opened.
            wanted = READ_BYTES.min(length_max - bytes.len()).saturating_add(1);
        }
    }
}

/// Writes a whole file: makes it where there is none, and drops what was in it before. Not cancel-safe; others may see a
/// part of it meanwhile, and a crash may leave one. To replace a file in one step, write and sync another beside it, then
/// [`rename`] that.
///
/// # Errors
/// As [`OpenOptions::open`] and [`File::write_at`].
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn write(
    root: PathBuf,
    path: PathBuf,
    bytes: impl Into<Vec<u8>>,
) -> impl Future<Output = io::Result<()>> {
    let opening = OpenOptions::new().write(true).create(true).truncate(true).open(root, path);
    let bytes = bytes.into();
    async move { opening.await?.write_at(0, bytes).await }
}

/// What `path` names. Cancel-safe.
///
/// # Errors
/// As [`File::open`].
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn metadata(root: PathBuf, path: PathBuf) -> impl Future<Output = io::Result<Metadata>> {
    let looked = begin(Job::Metadata { root, path });
    async { metadata_of(looked.await?) }
}

/// What is in a folder, sorted by the bytes of the names. Cancel-safe.
///
/// # Errors
/// `FileTooLarge` where there are more than `count_max` entries; `NotADirectory`; otherwise as [`File::open`].
///
/// # Panics
/// Outside of a shard; when the driver breaks its contract.
#[track_caller]
pub fn list(
    root: PathBuf,
    path: PathBuf,
    count_max: usize,
) -> impl Future<Output = io::Result<Vec<Entry>>> {
    let listed = begin(Job::List { root, path, count_max });
    async move {
        let entries = match listed.await? {
            Outcome::Entries(entries) => entries,
            other => unreachable!("the driver answers List with Entries, not {other:?}"),
        };
        assert!(entries.len() <= count_max, "a list is as long as it may be");
        assert!(entries.is_sorted_by(|one, next| one.name < next.name), "and sorted");
        Ok(entries)
    }
}

/// Makes a folder; the one that it lies in is there. Dropped half way, nobody learns whether it was made.
///
/// # Errors
/// `AlreadyExists`, `NotFound`, `InvalidInput` for a path without a name at its end, and the others of the machine.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn create_folder(root: PathBuf, path: PathBuf) -> impl Future<Output = io::Result<()>> {
    let created = begin(Job::CreateFolder { root, path }).patient();
    async { created.await.map(done) }
}

/// Removes a file or an empty folder; a link, not what it leads to. A file that is open stays readable until it is closed.
/// Dropped half way, nobody learns whether it was removed.
///
/// # Errors
/// `NotFound`, `DirectoryNotEmpty`, `InvalidInput` for a path without a name at its end, and the others of the machine.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn remove(root: PathBuf, path: PathBuf) -> impl Future<Output = io::Result<()>> {
    let removed = begin(Job::Remove { root, path }).patient();
    async { removed.await.map(done) }
}

/// Gives a file or folder another path below the same `root`, in one step: nobody ever sees neither or both. A file takes
/// the place of a file, a folder that of an empty folder. Dropped half way, nobody learns whether it was renamed.
///
/// # Errors
/// `NotFound`, `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`, `InvalidInput` for a folder that would go into itself
/// or a path without a name at its end, and the others of the machine.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn rename(root: PathBuf, from: PathBuf, to: PathBuf) -> impl Future<Output = io::Result<()>> {
    let renamed = begin(Job::Rename { root, from, to }).patient();
    async { renamed.await.map(done) }
}

#[track_caller]
fn begin(job: Job) -> JobFuture {
    JobFuture::new(current::core(), job, Location::caller())
}

fn done(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Done), "the driver answers with Done, not {outcome:?}");
}

fn metadata_of(outcome: Outcome) -> io::Result<Metadata> {
    match outcome {
        Outcome::Metadata(metadata) => Ok(metadata),
        other => unreachable!("the driver answers with Metadata, not {other:?}"),
    }
}
