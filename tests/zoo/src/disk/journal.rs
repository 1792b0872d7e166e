//! What the services with a disk have in common: a folder, files that are appended to, and a machine that crashes.

use core::cell::Cell;
use core::future::pending;
use std::io;
use std::path::PathBuf;

use mainspring_executor::file::{self, File, OpenOptions};
use mainspring_sim::harness::{Run, conclude};
use mainspring_sim::{Host, World};

/// Where the services keep their files.
pub(super) fn folder() -> PathBuf {
    "/data".into()
}

/// Opens a file to append to; makes it where there is none.
pub(super) async fn open(name: &str) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(folder(), name.into()).await
}

/// Puts the names of the files on the disk.
pub(super) async fn sync_folder() -> io::Result<()> {
    File::open(folder(), "".into()).await?.sync_all().await
}

/// What is in a file; nothing where there is none.
pub(super) async fn read(name: &str) -> String {
    let bytes = file::read(folder(), name.into(), 1 << 20).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The power of a machine, which goes at one of the moments at which it may, or does not.
#[derive(Debug)]
pub(super) struct Power {
    host: Host,
    /// Moments until then; 0 is never.
    left: Cell<u64>,
}

impl Power {
    /// Goes within so many moments, less one.
    pub(super) fn of(host: &Host, moments: u64) -> Self {
        Self {
            host: host.clone(),
            left: Cell::new(host.choose_named("moments before the power goes", moments)),
        }
    }

    /// Such a moment.
    pub(super) async fn may_go(&self) {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left == 1 {
            self.host.crash();
            pending::<()>().await;
        }
    }
}

/// Runs the service until its machine crashes, or it is at its end and its machine crashes then; and then what looks at what
/// is left.
pub(super) fn crash_and_look<F>(world: &World, host: &Host, look: F) -> Result<Run, String>
where
    F: Future<Output = ()> + 'static,
{
    world.run().map_err(|failure| failure.to_string())?;
    host.restart();
    host.run(look);
    conclude(world, 1)
}
