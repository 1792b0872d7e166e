//! Opening and reading files, by calls that block: only the threads of the job pool come here.

use core::time::Duration;
use std::fs::File;
use std::io;
use std::path::{Component, Path};
use std::time::SystemTime;

/// An open file or folder.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    pub(super) is_folder: bool,
    pub(super) length: u64,
    pub(super) modified: Duration,
}

/// Opens `path` below `root`; nothing leads out.
pub(super) fn open(root: &Path, path: &Path) -> io::Result<OpenFile> {
    let leads_out =
        path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    if leads_out {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let file = open_beneath(root, path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        // A pipe or a device may block for ever, or have effects when read.
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let modified = metadata.modified().ok();
    let modified = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(OpenFile {
        file,
        is_folder: metadata.is_dir(),
        length: metadata.len(),
        modified: modified.unwrap_or_default(),
    })
}

/// Reads up to `length` bytes at `offset`; fewer only at the end of the file.
pub(super) fn read_at(file: &OpenFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The kernel itself keeps every step of the path, links included, below `root`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_beneath(root: &Path, path: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    let folder =
        openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // NONBLOCK: opening a pipe must not wait for a writer; a regular file does not care.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(&folder, path, flags, Mode::empty(), beneath) {
        Ok(fd) => Ok(fd.into()),
        // The kernel's word for "this leads out of the folder".
        Err(rustix::io::Errno::XDEV) => Err(io::ErrorKind::PermissionDenied.into()),
        // A kernel before 5.6, or a sandbox that does not know the call.
        Err(rustix::io::Errno::NOSYS) => open_resolved(root, path),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_beneath(root: &Path, path: &Path) -> io::Result<File> {
    open_resolved(root, path)
}

/// Resolves all links first, and opens what they lead to if that is below `root`. Someone who can change links inside
/// `root` meanwhile could lead it out; who can do that can also put the content there.
fn open_resolved(root: &Path, path: &Path) -> io::Result<File> {
    let root = root.canonicalize()?;
    let target = root.join(path).canonicalize()?;
    if !target.starts_with(&root) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    File::open(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a file, a folder, a good link and one that leads out.
    fn folder(name: &str) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("mainspring-{name}-{}", std::process::id()));
        std::fs::create_dir_all(root.join("inside")).unwrap();
        std::fs::write(root.join("inside/a.txt"), "hello").unwrap();
        for (target, link) in [("inside/a.txt", "good"), ("/etc/passwd", "out"), ("..", "up")] {
            let link = root.join(link);
            if !link.is_symlink() {
                std::os::unix::fs::symlink(target, link).unwrap();
            }
        }
        root
    }

    #[test]
    fn opens_below_the_root_only() {
        type Open = fn(&Path, &Path) -> io::Result<File>;
        let root = folder("files");
        let ways: [Open; 2] = [open_beneath, open_resolved];
        for way in ways {
            let check = |path: &str| way(&root, Path::new(path)).map(|_| ()).map_err(|e| e.kind());
            assert_eq!(check("inside/a.txt"), Ok(()));
            assert_eq!(check("good"), Ok(()));
            assert_eq!(check("out"), Err(io::ErrorKind::PermissionDenied));
            assert_eq!(check("up"), Err(io::ErrorKind::PermissionDenied));
            assert_eq!(check("missing"), Err(io::ErrorKind::NotFound));
        }
        for path in ["../x", "inside/../../x", "/etc/passwd"] {
            let error = open(&root, Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{path}");
        }
        let file = open(&root, Path::new("inside/a.txt")).unwrap();
        assert_eq!(read_at(&file, 1, 100).unwrap(), b"ello");
        assert!(open(&root, Path::new("")).unwrap().is_folder);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
