//! `Files`: the file tree of a host, in memory. Read-only for programs; a scenario puts files in.
//!
//! Invariant: no path that a program gives leads out of the root it gives.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// A file as it was when it was put in.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) bytes: Rc<[u8]>,
    /// Since 1970.
    pub(crate) modified: Duration,
}

/// What a path names.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    File(File),
    Folder,
}

/// All files of a host, by full path. A folder is there when a file below it is.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<PathBuf, File>,
}

impl Files {
    /// Puts a file in, in place of one that has the same path.
    pub(crate) fn add(&mut self, path: PathBuf, bytes: &[u8], modified: Duration) {
        self.files.insert(path, File { bytes: bytes.into(), modified });
    }

    /// Looks up `path` below `root`.
    ///
    /// `PermissionDenied` for a path that is absolute or has `..` in it, even where that would not lead out: the
    /// kernel refuses some of these and a server all, so the simulator takes the strict side. `NotFound` for one that
    /// is not there, `NotADirectory` for one that goes through a file.
    pub(crate) fn open(&self, root: &Path, path: &Path) -> Result<Node, ErrorKind> {
        let is_inside =
            path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_inside {
            return Err(ErrorKind::PermissionDenied);
        }
        // Pushed part by part: that drops the `.` parts, and an empty path is the root itself.
        let mut full = root.to_path_buf();
        full.extend(path.components().filter(|part| matches!(part, Component::Normal(_))));
        // `Path` forgets what stands at the end, and a kernel does not: it asks for a folder, as a root does.
        let end = path.as_os_str().as_encoded_bytes();
        let asks_for_folder = full == root || end.ends_with(b"/") || end.ends_with(b"/.");
        if let Some(file) = self.files.get(&full) {
            return match asks_for_folder {
                true => Err(ErrorKind::NotADirectory),
                false => Ok(Node::File(file.clone())),
            };
        }
        if full.ancestors().skip(1).any(|folder| self.files.contains_key(folder)) {
            return Err(ErrorKind::NotADirectory);
        }
        // Paths compare part by part, so whatever is below a folder follows it directly.
        let below = self.files.range(full.clone()..).next();
        match below.is_some_and(|(path, _)| path.starts_with(&full)) {
            true => Ok(Node::Folder),
            false => Err(ErrorKind::NotFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<&str, ErrorKind>) {
        let mut files = Files::default();
        files.add("/srv/www/a.txt".into(), b"A", Duration::ZERO);
        files.add("/srv/www/css/b.css".into(), b"B", Duration::ZERO);
        files.add("/srv/www2/secret".into(), b"S", Duration::ZERO);
        let found = files.open(Path::new("/srv/www"), Path::new(path)).map(|node| match node {
            Node::File(file) => String::from_utf8(file.bytes.to_vec()).unwrap(),
            Node::Folder => "folder".into(),
        });
        assert_eq!(found, expected.map(str::to_owned), "{path}");
    }

    #[test]
    fn paths_stay_inside() {
        check("a.txt", Ok("A"));
        check("./css/./b.css", Ok("B"));
        check("css", Ok("folder"));
        check("", Ok("folder"));
        check("nothing", Err(ErrorKind::NotFound));
        check("cs", Err(ErrorKind::NotFound));
        check("a.txt/b", Err(ErrorKind::NotADirectory));
        check("a.txt/", Err(ErrorKind::NotADirectory));
        check("a.txt/.", Err(ErrorKind::NotADirectory));
        check("css/", Ok("folder"));
        check("../www2/secret", Err(ErrorKind::PermissionDenied));
        check("css/../a.txt", Err(ErrorKind::PermissionDenied));
        check("/srv/www/a.txt", Err(ErrorKind::PermissionDenied));
    }
}
