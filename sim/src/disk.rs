//! The disk: what jobs of files do at the instant at which they end, and what may go wrong.

use std::cell::RefCell;
use std::io::{self, ErrorKind};

use mainspring_executor::driver::{Job, Outcome};

use crate::choice::Label;
use crate::coverage::Fault;
use crate::event::ShardId;
use crate::files::Node;
use crate::inode::Inode;
use crate::jobs::Finished;
use crate::room::Room;

/// What `EIO` and `ENOSPC` are on Linux.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl Room {
    /// Does a job that names no open file.
    pub(crate) fn do_on_paths(&mut self, shard: ShardId, job: Job) -> io::Result<Finished> {
        let takes_room = match &job {
            Job::Open { mode, .. } => mode.create || mode.create_new,
            Job::CreateFolder { .. } => true,
            _ => false,
        };
        self.check_disk(shard, takes_room)?;
        let host = self.host_of(shard);
        let now = self.wall_clock(host);
        let files = &mut self.machine_mut(host).files;
        let outcome = match job {
            Job::Open { root, path, mode } => {
                return Ok(Finished::Opened(files.open(&root, &path, mode, now)?));
            }
            Job::Metadata { root, path } => Outcome::Metadata(files.look(&root, &path)?.metadata()),
            Job::List { root, path, count_max } => {
                Outcome::Entries(files.list(&root, &path, count_max)?)
            }
            Job::CreateFolder { root, path } => done(files.create_folder(&root, &path)?),
            Job::Remove { root, path } => done(files.remove(&root, &path)?),
            Job::Rename { root, from, to } => done(files.rename(&root, &from, &to)?),
            other => unreachable!("{other:?} is of an open file, or of none"),
        };
        Ok(Finished::Plain(outcome))
    }

    /// Does a job of an open file.
    pub(crate) fn do_on_file(
        &mut self,
        shard: ShardId,
        node: &Node,
        job: Job,
    ) -> io::Result<Outcome> {
        if let Job::FileMetadata { .. } = job {
            self.check_disk(shard, false)?;
            return Ok(Outcome::Metadata(node.metadata()));
        }
        if let (Job::Sync { .. }, Node::Folder) = (&job, node) {
            self.check_disk(shard, false)?;
            let host = self.host_of(shard);
            self.machine_mut(host).files.sync_names();
            return Ok(Outcome::Done);
        }
        let file = node.file()?;
        match job {
            Job::ReadAt { offset, length, .. } => {
                self.check_disk(shard, false)?;
                i64::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
                Ok(Outcome::Bytes(file.borrow().read_at(offset, length)))
            }
            Job::WriteAt { offset, bytes, start, .. } => {
                let count = self.write_file(shard, file, offset, &bytes[start..], true)?;
                Ok(Outcome::Written { count, bytes })
            }
            Job::Append { bytes, start, .. } => {
                let end = file.borrow().length();
                let count = self.write_file(shard, file, end, &bytes[start..], false)?;
                Ok(Outcome::Written { count, bytes })
            }
            Job::Sync { .. } => {
                self.check_disk(shard, false)?;
                file.borrow_mut().sync();
                Ok(Outcome::Done)
            }
            Job::SetLength { length, .. } => {
                Inode::check_room(length, 0)?;
                self.check_disk(shard, length > file.borrow().length())?;
                let now = self.wall_clock(self.host_of(shard));
                file.borrow_mut().set_length(length, now);
                Ok(Outcome::Done)
            }
            other => unreachable!("{other:?} names no file"),
        }
    }

    /// Writes `bytes` or a part of them. One that fails may have written some, too.
    fn write_file(
        &mut self,
        shard: ShardId,
        file: &RefCell<Inode>,
        offset: u64,
        bytes: &[u8],
        may_be_short: bool,
    ) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "a write of nothing says nothing");
        Inode::check_room(offset, bytes.len())?;
        let checked = self.check_disk(shard, true);
        let owner = Some(shard);
        let count = match &checked {
            Ok(()) if may_be_short && self.config.short_writes => {
                let left_out = self.choices.index(owner, Label::DiskWrite, bytes.len());
                if left_out > 0 {
                    self.coverage.add_fault(Fault::ShortFileWrite);
                }
                bytes.len() - left_out
            }
            Ok(()) => bytes.len(),
            Err(_) => self.choices.index(owner, Label::DiskWrite, bytes.len()),
        };
        if count > 0 {
            let now = self.wall_clock(self.host_of(shard));
            file.borrow_mut().write_at(offset, &bytes[..count], now);
        }
        checked.map(|()| count)
    }

    /// Whether the disk does what it should, this time.
    fn check_disk(&mut self, shard: ShardId, takes_room: bool) -> io::Result<()> {
        if self.fails(shard, (Label::DiskError, Fault::DiskError), self.config.disk_error_one_in) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let full = (Label::DiskFull, Fault::DiskFull);
        if takes_room && self.fails(shard, full, self.config.disk_full_one_in) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    /// Whether the disk or the resolver fails in this way, as it does once in `one_in` times; with 0, never.
    pub(crate) fn fails(
        &mut self,
        shard: ShardId,
        (label, fault): (Label, Fault),
        one_in: u64,
    ) -> bool {
        let fails = one_in > 0 && self.choices.chance(Some(shard), label, one_in);
        if fails {
            self.coverage.add_fault(fault);
        }
        fails
    }
}

fn done((): ()) -> Outcome {
    Outcome::Done
}
