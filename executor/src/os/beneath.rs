//! Paths below a root, which is never left: opened step by step by the kernel where it can, else resolved first.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens `path` below `root`; nothing leads out. The caller says for what, and whether to make it.
pub(super) fn open(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    check(path)?;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    // NONBLOCK: opening a pipe must not wait for a writer; a regular file does not care. One that is only looked at is
    // not opened, and the kernel takes no such flag.
    let waits = flags & (OFlags::PATH | OFlags::DIRECTORY);
    let nonblock = if waits.is_empty() { OFlags::NONBLOCK } else { OFlags::empty() };
    open_beneath(root, path, flags | OFlags::CLOEXEC | nonblock)
}

/// The folder that the last name of `path` is in, opened, and that name, to be used with calls that follow no link in it.
/// It ends with a slash where the path asks for a folder.
pub(super) fn parent(root: &Path, path: &Path) -> io::Result<(OwnedFd, OsString)> {
    check(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = open(root, parent, FOLDER)?;
    let mut name = name.to_owned();
    // `Path` forgets what stands at the end, and a kernel does not.
    let end = path.as_os_str().as_encoded_bytes();
    if end.ends_with(b"/") || end.ends_with(b"/.") {
        name.push("/");
    }
    Ok((parent.into(), name))
}

/// A folder to look things up in.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// What a file is made with; the process's mask takes from it.
const MODE: Mode = Mode::from_raw_mode(0o666);

fn check(path: &Path) -> io::Result<()> {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    match path.components().all(is_plain) {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// The kernel itself keeps every step of the path, links included, below `root`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_beneath(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    use rustix::fs::{ResolveFlags, openat2};
    let folder = openat(CWD, root, FOLDER | OFlags::CLOEXEC, Mode::empty())?;
    let mode = if flags.contains(OFlags::CREATE) { MODE } else { Mode::empty() };
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(&folder, path, flags, mode, beneath) {
        Ok(fd) => Ok(fd.into()),
        // The kernel's word for "this leads out of the folder".
        Err(rustix::io::Errno::XDEV) => Err(io::ErrorKind::PermissionDenied.into()),
        // A kernel before 5.6, or a sandbox that does not know the call.
        Err(rustix::io::Errno::NOSYS) => open_resolved(root, path, flags),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_beneath(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    open_resolved(root, path, flags)
}

/// Resolves all links first, and opens what they lead to if that is below `root`. Someone who can change links inside
/// `root` meanwhile could lead it out; who can do that can also put the content there.
fn open_resolved(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    let root = root.canonicalize()?;
    let full = root.join(path);
    let target = match full.canonicalize() {
        // To be made in a folder that is there; a link to nowhere is not followed.
        Err(error) if error.kind() == io::ErrorKind::NotFound && flags.contains(OFlags::CREATE) => {
            let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else {
                return Err(error);
            };
            if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            parent.canonicalize()?.join(name)
        }
        target => target?,
    };
    if !target.starts_with(&root) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(openat(CWD, target, flags | OFlags::NOFOLLOW, MODE)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a file, a folder, good links and some that lead out.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("mainspring-beneath-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(name);
            // One may be left of a run that was killed.
            drop(std::fs::remove_dir_all(&root));
            std::fs::create_dir_all(root.join("inside")).unwrap();
            std::fs::write(root.join("inside/a.txt"), "hello").unwrap();
            let links =
                [("inside/a.txt", "good"), ("/etc/passwd", "out"), ("..", "up"), ("inside", "in")];
            for (target, link) in links.into_iter().chain([("../made", "nowhere")]) {
                std::os::unix::fs::symlink(target, root.join(link)).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    type Open = fn(&Path, &Path, OFlags) -> io::Result<File>;
    const WAYS: [Open; 2] = [open_beneath, open_resolved];

    #[test]
    fn opens_below_the_root_only() {
        use io::ErrorKind::{NotFound, PermissionDenied};
        let folder = Folder::new("open");
        for way in WAYS {
            let check = |path: &str| {
                way(&folder.0, Path::new(path), OFlags::RDONLY).map(drop).map_err(|e| e.kind())
            };
            for path in ["inside/a.txt", "good", "in/a.txt"] {
                assert_eq!(check(path), Ok(()), "{path}");
            }
            for path in ["out", "up"] {
                assert_eq!(check(path), Err(PermissionDenied), "{path}");
            }
            assert!(check("up/missing").is_err());
            assert_eq!(check("missing"), Err(NotFound));
        }
        for path in ["../x", "inside/../../x", "/etc/passwd"] {
            let error = open(&folder.0, Path::new(path), OFlags::RDONLY).unwrap_err();
            assert_eq!(error.kind(), PermissionDenied, "{path}");
        }
        assert!(
            open(&folder.0, Path::new(""), OFlags::RDONLY).unwrap().metadata().unwrap().is_dir()
        );
    }

    #[test]
    fn makes_below_the_root_only() {
        let folder = Folder::new("make");
        let beside = folder.0.parent().unwrap().join("made");
        let flags = OFlags::WRONLY | OFlags::CREATE;
        for (number, way) in WAYS.into_iter().enumerate() {
            let make = |path: &str| way(&folder.0, Path::new(path), flags);
            make(&format!("in/new-{number}")).unwrap();
            assert!(folder.0.join(format!("inside/new-{number}")).is_file());
            for path in ["nowhere", "up/made", "missing/made", "made/"] {
                assert!(make(path).is_err(), "{path}");
            }
        }
        assert!(!beside.exists(), "nothing was made outside");
        assert!(!folder.0.join("made").exists());
    }

    #[test]
    fn a_parent_is_inside() {
        use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
        let folder = Folder::new("parent");
        let check = |path: &str, expected: Result<&str, io::ErrorKind>| {
            let found = parent(&folder.0, Path::new(path)).map_err(|error| error.kind());
            let name = found.map(|(_, name)| name.into_string().unwrap());
            assert_eq!(name, expected.map(str::to_owned), "{path}");
        };
        check("a", Ok("a"));
        check("inside/a/", Ok("a/"));
        check("in/a/.", Ok("a/"));
        // The link itself, which may be renamed or removed wherever it leads.
        check("out", Ok("out"));
        check("up/x", Err(PermissionDenied));
        check("../x", Err(PermissionDenied));
        check("/x", Err(PermissionDenied));
        check("inside/..", Err(PermissionDenied));
        check("missing/x", Err(NotFound));
        check("good/x", Err(NotADirectory));
        check("", Err(InvalidInput));
        check(".", Err(InvalidInput));
    }
}
