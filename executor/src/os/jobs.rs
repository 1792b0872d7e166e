//! What each job does, by calls that block: only the threads of the pool come here.

use std::io;
use std::sync::Arc;

use super::files::{self, OpenFile};
use super::names;
use super::process::{self, Started};
use crate::driver::{Job, Outcome};

/// A job with what it needs, ready to leave the shard's thread.
pub(super) struct Work {
    pub(super) job: Job,
    /// The file that the job's token names: closing that does not take it from a job under way.
    pub(super) file: Option<Arc<OpenFile>>,
}

/// What a job gave, before it has tokens of its own.
pub(super) enum Finished {
    Opened(OpenFile),
    Spawned(Started),
    /// All that needs no token.
    Plain(Outcome),
}

impl Work {
    pub(super) fn run(self) -> io::Result<Finished> {
        let Self { job, file } = self;
        match file {
            Some(file) => on_file(&file, job).map(Finished::Plain),
            None => on_paths(job),
        }
    }
}

/// A job that names no open file.
fn on_paths(job: Job) -> io::Result<Finished> {
    let outcome = match job {
        Job::Call { call, .. } => Outcome::Returned(call.run()),
        Job::Open { root, path, mode } => {
            return files::open(&root, &path, mode).map(Finished::Opened);
        }
        Job::Metadata { root, path } => Outcome::Metadata(files::metadata(&root, &path)?),
        Job::List { root, path, count_max } => {
            Outcome::Entries(files::list(&root, &path, count_max)?)
        }
        Job::CreateFolder { root, path } => done(files::create_folder(&root, &path)?),
        Job::Remove { root, path } => done(files::remove(&root, &path)?),
        Job::Rename { root, from, to } => done(files::rename(&root, &from, &to)?),
        Job::Spawn { spawn } => return process::spawn(&spawn).map(Finished::Spawned),
        Job::Resolve { name } => Outcome::Addresses(names::resolve(&name)?),
        Job::ReadAt { .. }
        | Job::WriteAt { .. }
        | Job::Append { .. }
        | Job::Sync { .. }
        | Job::SetLength { .. }
        | Job::FileMetadata { .. } => unreachable!("the driver looked up its file"),
    };
    Ok(Finished::Plain(outcome))
}

/// A job of an open file.
fn on_file(file: &OpenFile, job: Job) -> io::Result<Outcome> {
    match job {
        Job::ReadAt { offset, length, .. } => Ok(Outcome::Bytes(file.read_at(offset, length)?)),
        Job::WriteAt { offset, bytes, start, .. } => {
            let count = file.write_at(offset, &bytes[start..])?;
            Ok(Outcome::Written { count, bytes })
        }
        Job::Append { bytes, start, .. } => {
            let count = file.append(&bytes[start..])?;
            Ok(Outcome::Written { count, bytes })
        }
        Job::Sync { data_only, .. } => Ok(done(file.sync(data_only)?)),
        Job::SetLength { length, .. } => Ok(done(file.set_length(length)?)),
        Job::FileMetadata { .. } => Ok(Outcome::Metadata(file.metadata_now()?)),
        other => unreachable!("{other:?} names no file"),
    }
}

fn done((): ()) -> Outcome {
    Outcome::Done
}

/// A job's own error as `Driver::collect` may tell it. There `WouldBlock` and `Interrupted` say that the job still runs;
/// the system says them of files, too: of one under a lease, of a path that is renamed meanwhile, of a slow server.
pub(super) fn final_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => io::Error::other(error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever sees such an error of a call that it made asks again, and there is nothing to ask any more.
    #[test]
    fn the_error_of_a_job_never_says_ask_again() {
        for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
            assert_eq!(final_error(kind.into()).kind(), io::ErrorKind::Other);
        }
        assert_eq!(final_error(io::ErrorKind::NotFound.into()).kind(), io::ErrorKind::NotFound);
    }
}
