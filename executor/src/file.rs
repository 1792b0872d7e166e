//! Files for tasks, through the driver's jobs: opening and reading never stall the shard.

use core::future::poll_fn;
use core::panic::Location;
use core::time::Duration;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use crate::current;
use crate::driver::{Job, OpenedFile, Outcome, Ready};
use crate::net::Socket;
use crate::reactor::{Interest, Kind};
use crate::shard::Core;

/// An open file or folder. Dropping it closes it.
pub struct File {
    socket: Socket,
    opened: OpenedFile,
    origin: &'static Location<'static>,
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
        let core = current::core();
        let origin = Location::caller();
        async move {
            let outcome = run(&core, Job::Open { root, path }, origin).await?;
            let Outcome::Opened(opened) = outcome else {
                unreachable!("the driver answers Open with Opened, not {outcome:?}")
            };
            let socket = Socket::new(core, opened.token, Kind::File, Ready::NONE, origin);
            Ok(Self { socket, opened, origin })
        }
    }

    /// Whether it is a folder, which cannot be read.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.opened.is_folder
    }

    /// Bytes in the file when it was opened.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.opened.length
    }

    /// When the content last changed before it was opened, since 1970.
    #[must_use]
    pub fn modified(&self) -> Duration {
        self.opened.modified
    }

    /// Reads up to `length` bytes at `offset`; fewer than that, or none, at the end of the file. Cancel-safe.
    ///
    /// # Errors
    /// As [`File::open`].
    ///
    /// # Panics
    /// When the driver breaks its contract.
    pub async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let job = Job::ReadAt { file: self.socket.token(), offset, length };
        let outcome = run(&self.socket.core, job, self.origin).await?;
        let Outcome::Bytes(bytes) = outcome else {
            unreachable!("the driver answers ReadAt with Bytes, not {outcome:?}")
        };
        assert!(bytes.len() <= length, "a read gives at most what was asked for");
        Ok(bytes)
    }
}

/// Submits a job and waits for its outcome. Dropped half way, it tells the driver to throw the outcome away.
async fn run(core: &Rc<Core>, job: Job, origin: &'static Location<'static>) -> io::Result<Outcome> {
    let token = core.driver.submit(job)?;
    let mut socket = Socket::new(Rc::clone(core), token, Kind::Job, Ready::NONE, origin);
    let outcome =
        poll_fn(|cx| socket.poll_io(Interest::Read, cx, |driver, token| driver.collect(token)))
            .await;
    // The driver took the token back with the outcome, good or bad.
    socket.spend();
    outcome
}
