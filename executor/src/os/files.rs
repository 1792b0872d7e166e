//! Files and folders, by calls that block: only the threads of the pool come here.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath;
use crate::driver::{Entry, EntryKind, Metadata, OpenMode};

/// An open file or folder.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    /// As it was when it was opened.
    pub(super) metadata: Metadata,
}

/// Opens `path` below `root`; nothing leads out.
pub(super) fn open(root: &Path, path: &Path, mode: OpenMode) -> io::Result<OpenFile> {
    let file = beneath::open(root, path, flags(mode))?;
    let metadata = metadata_of(&file)?;
    Ok(OpenFile { file, metadata })
}

fn flags(mode: OpenMode) -> OFlags {
    let mut flags = match (mode.read, mode.writes()) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    flags.set(OFlags::APPEND, mode.append);
    flags.set(OFlags::CREATE, mode.create || mode.create_new);
    flags.set(OFlags::EXCL, mode.create_new);
    flags.set(OFlags::TRUNC, mode.truncate);
    flags
}

/// # Errors
/// `PermissionDenied` for a pipe or a device: that may block for ever, or have effects when read.
fn metadata_of(file: &File) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let modified = metadata.modified().ok();
    let modified = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(Metadata {
        is_folder: metadata.is_dir(),
        length: metadata.len(),
        modified: modified.unwrap_or_default(),
    })
}

impl OpenFile {
    /// Reads up to `length` bytes at `offset`; fewer only at the end of the file.
    pub(super) fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes some of `bytes` at `offset`, at least one.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        taken(|| self.file.write_at(bytes, offset))
    }

    /// Writes some of `bytes` at the end, at least one.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        taken(|| (&self.file).write(bytes))
    }

    pub(super) fn sync(&self, data_only: bool) -> io::Result<()> {
        if data_only { self.file.sync_data() } else { self.file.sync_all() }
    }

    pub(super) fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    pub(super) fn metadata_now(&self) -> io::Result<Metadata> {
        metadata_of(&self.file)
    }
}

/// How much a write took.
fn taken(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What `path` names.
pub(super) fn metadata(root: &Path, path: &Path) -> io::Result<Metadata> {
    metadata_of(&beneath::open(root, path, LOOK)?)
}

/// To look at, no more. Elsewhere than on Linux that takes the right to read.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LOOK: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LOOK: OFlags = OFlags::RDONLY;

/// What is in a folder, sorted; at most `count_max` entries.
pub(super) fn list(root: &Path, path: &Path, count_max: usize) -> io::Result<Vec<Entry>> {
    let folder = beneath::open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entries.len() == count_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let kind = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => kind_of(&folder, name)?,
            known => kind(known),
        };
        entries.push(Entry { name: OsStringExt::from_vec(name.to_bytes().to_vec()), kind });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn kind_of(folder: impl AsFd, name: &core::ffi::CStr) -> io::Result<EntryKind> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(kind(FileType::from_raw_mode(stat.st_mode)))
}

fn kind(of: FileType) -> EntryKind {
    match of {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

/// What a folder is made with; the process's mask takes from it.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

pub(super) fn create_folder(root: &Path, path: &Path) -> io::Result<()> {
    let (parent, name) = beneath::parent(root, path)?;
    Ok(rustix::fs::mkdirat(parent, name, FOLDER_MODE)?)
}

/// Removes a file, a link or an empty folder.
pub(super) fn remove(root: &Path, path: &Path) -> io::Result<()> {
    let (parent, name) = beneath::parent(root, path)?;
    let removed = rustix::fs::unlinkat(&parent, &name, AtFlags::empty());
    // A folder: Linux says the first, POSIX the second.
    let (Err(Errno::ISDIR | Errno::PERM), refused) = (removed, removed) else {
        return Ok(removed?);
    };
    match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTDIR) => Ok(refused?),
        removed => Ok(removed?),
    }
}

pub(super) fn rename(root: &Path, from: &Path, to: &Path) -> io::Result<()> {
    let (from_parent, from_name) = beneath::parent(root, from)?;
    let (to_parent, to_name) = beneath::parent(root, to)?;
    Ok(rustix::fs::renameat(from_parent, from_name, to_parent, to_name)?)
}
