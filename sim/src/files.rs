//! `Files`: the file tree of a host, in memory.
//!
//! It knows no links, no owners and no clock. What each call gives and refuses is what Linux does; the conformance suite
//! compares them.
//!
//! Invariants: no path that a program gives leads out of the root it gives; whatever is in the tree lies in a folder that
//! is in the tree.

use core::time::Duration;
use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use mainspring_executor::driver::{Entry, EntryKind, Metadata, OpenMode};

use crate::inode::Inode;
use crate::tree::Tree;

/// What a path names. A file that is open lives on when its path is gone.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    File(Rc<RefCell<Inode>>),
    Folder,
}

impl Node {
    pub(crate) fn metadata(&self) -> Metadata {
        match self {
            Self::File(inode) => {
                let inode = inode.borrow();
                Metadata { is_folder: false, length: inode.length(), modified: inode.modified }
            }
            Self::Folder => Metadata { is_folder: true, length: 0, modified: Duration::ZERO },
        }
    }

    /// # Errors
    /// `NotADirectory`, for a file.
    pub(crate) fn check_folder(&self) -> Result<(), ErrorKind> {
        match self {
            Self::File(_) => Err(ErrorKind::NotADirectory),
            Self::Folder => Ok(()),
        }
    }

    /// The file.
    ///
    /// # Errors
    /// `IsADirectory`.
    pub(crate) fn file(&self) -> Result<&RefCell<Inode>, ErrorKind> {
        match self {
            Self::File(inode) => Ok(inode),
            Self::Folder => Err(ErrorKind::IsADirectory),
        }
    }
}

/// All files and folders of a host, by full path.
#[derive(Debug, Default)]
pub(crate) struct Files {
    tree: Tree,
}

/// Where a path leads, and how it ends: `Path` forgets that, and a kernel does not.
struct Target {
    full: PathBuf,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Name,
    /// A slash: what is there has to be a folder.
    Slash,
    /// A dot, or nothing at all: the folder itself.
    Dot,
}

/// What the scenario does.
impl Files {
    /// Puts a file in, in place of one that has the same path, with the folders that it lies in.
    pub(crate) fn add(&mut self, path: PathBuf, bytes: &[u8], modified: Duration) {
        self.add_folder(path.parent().expect("a file has a name"));
        let inode = Inode::synced(bytes.to_vec(), modified);
        self.tree.change([(path, Some(Node::File(Rc::new(RefCell::new(inode)))))]);
        self.tree.sync();
    }

    /// Puts a folder in, with those that it lies in. It is on the disk, and so is what came before.
    pub(crate) fn add_folder(&mut self, path: &Path) {
        for folder in path.ancestors() {
            match self.tree.nodes().get(folder) {
                None => self.tree.change([(folder.to_owned(), Some(Node::Folder))]),
                Some(Node::Folder) => {}
                Some(Node::File(_)) => panic!("{} is a file already", folder.display()),
            }
        }
        self.tree.sync();
    }

    /// What is at a full path.
    ///
    /// # Errors
    /// `NotFound`, and `NotADirectory` where it goes through a file.
    pub(crate) fn at(&self, path: &Path) -> Result<&Node, ErrorKind> {
        let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
        while let Some(folder) = folders.pop() {
            self.enter(folder)?;
        }
        self.tree.nodes().get(path).ok_or(ErrorKind::NotFound)
    }
}

/// What programs do.
impl Files {
    /// Where `path` leads below `root`.
    ///
    /// # Errors
    /// `PermissionDenied` for a path that is absolute or has `..` in it, even where that would not lead out: the kernel
    /// refuses some of these and a server all, so the simulator takes the strict side. `NotFound` and `NotADirectory`
    /// where it goes through what is no folder.
    fn walk(&self, root: &Path, path: &Path) -> Result<Target, ErrorKind> {
        let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !path.components().all(is_plain) {
            return Err(ErrorKind::PermissionDenied);
        }
        // Part by part: that drops the `.` parts, and an empty path is the root itself.
        let mut full: PathBuf = root.components().collect();
        let end = path.as_os_str().as_encoded_bytes();
        let mut end = match end {
            _ if end.ends_with(b"/") => End::Slash,
            _ if end.ends_with(b"/.") => End::Dot,
            _ => End::Name,
        };
        let mut parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
        let mut next = parts.next();
        if next.is_none() {
            end = End::Dot;
        }
        self.enter(&full)?;
        while let Some(part) = next {
            full.push(part);
            next = parts.next();
            if next.is_some() {
                self.enter(&full)?;
            }
        }
        Ok(Target { full, end })
    }

    fn enter(&self, folder: &Path) -> Result<(), ErrorKind> {
        self.tree.nodes().get(folder).ok_or(ErrorKind::NotFound)?.check_folder()
    }

    /// Opens `path` below `root`.
    pub(crate) fn open(
        &mut self,
        root: &Path,
        path: &Path,
        mode: OpenMode,
        now: Duration,
    ) -> Result<Node, ErrorKind> {
        let Target { full, end } = self.walk(root, path)?;
        let makes = mode.create || mode.create_new;
        if makes && end == End::Slash {
            return Err(ErrorKind::IsADirectory);
        }
        let Some(node) = self.tree.nodes().get(&full) else {
            if !makes || end == End::Dot {
                return Err(ErrorKind::NotFound);
            }
            let node = Node::File(Rc::new(RefCell::new(Inode::synced(Vec::new(), now))));
            self.tree.change([(full, Some(node.clone()))]);
            return Ok(node);
        };
        match node {
            Node::File(_) if end != End::Name => Err(ErrorKind::NotADirectory),
            _ if mode.create_new => Err(ErrorKind::AlreadyExists),
            Node::Folder if mode.writes() => Err(ErrorKind::IsADirectory),
            Node::Folder => Ok(Node::Folder),
            Node::File(inode) => {
                if mode.truncate {
                    inode.borrow_mut().set_length(0, now);
                }
                Ok(node.clone())
            }
        }
    }

    /// What `path` names.
    pub(crate) fn look(&self, root: &Path, path: &Path) -> Result<&Node, ErrorKind> {
        let Target { full, end } = self.walk(root, path)?;
        match self.tree.nodes().get(&full).ok_or(ErrorKind::NotFound)? {
            Node::File(_) if end != End::Name => Err(ErrorKind::NotADirectory),
            node => Ok(node),
        }
    }

    /// What is in a folder, by name; at most `count_max` entries.
    pub(crate) fn list(
        &self,
        root: &Path,
        path: &Path,
        count_max: usize,
    ) -> Result<Vec<Entry>, ErrorKind> {
        let Target { full, .. } = self.walk(root, path)?;
        self.enter(&full)?;
        let mut entries = Vec::new();
        // Paths compare part by part, so whatever is in a folder follows it directly, by name.
        for (path, node) in self.below(&full) {
            if path.parent() != Some(&full) {
                continue;
            }
            if entries.len() == count_max {
                return Err(ErrorKind::FileTooLarge);
            }
            let kind = match node {
                Node::File(_) => EntryKind::File,
                Node::Folder => EntryKind::Folder,
            };
            let name = path.file_name().expect("it is in a folder").to_owned();
            entries.push(Entry { name, kind });
        }
        Ok(entries)
    }

    /// What is below a folder, however deep.
    fn below(&self, folder: &Path) -> impl Iterator<Item = (&PathBuf, &Node)> {
        let from = self.tree.nodes().range(folder.to_owned()..);
        let below = from.take_while(move |(path, _)| path.starts_with(folder));
        below.skip_while(move |(path, _)| *path == folder)
    }

    fn is_empty_folder(&self, folder: &Path) -> bool {
        self.below(folder).next().is_none()
    }

    /// As [`Files::walk`], for a path that has a name at its end.
    fn walk_to_name(&self, root: &Path, path: &Path) -> Result<Target, ErrorKind> {
        let target = self.walk(root, path)?;
        let has_name = path.file_name().is_some();
        has_name.then_some(target).ok_or(ErrorKind::InvalidInput)
    }

    pub(crate) fn create_folder(&mut self, root: &Path, path: &Path) -> Result<(), ErrorKind> {
        let Target { full, .. } = self.walk_to_name(root, path)?;
        if self.tree.nodes().contains_key(&full) {
            return Err(ErrorKind::AlreadyExists);
        }
        self.tree.change([(full, Some(Node::Folder))]);
        Ok(())
    }

    /// Removes a file or an empty folder.
    pub(crate) fn remove(&mut self, root: &Path, path: &Path) -> Result<(), ErrorKind> {
        let Target { full, end } = self.walk_to_name(root, path)?;
        match self.tree.nodes().get(&full).ok_or(ErrorKind::NotFound)? {
            Node::File(_) if end != End::Name => return Err(ErrorKind::NotADirectory),
            Node::Folder if !self.is_empty_folder(&full) => {
                return Err(ErrorKind::DirectoryNotEmpty);
            }
            Node::File(_) | Node::Folder => {}
        }
        self.tree.change([(full, None)]);
        Ok(())
    }

    /// Gives a file or folder another path.
    pub(crate) fn rename(&mut self, root: &Path, from: &Path, to: &Path) -> Result<(), ErrorKind> {
        let source = self.walk_to_name(root, from)?;
        let target = self.walk_to_name(root, to)?;
        let (from, to) = (&source.full, &target.full);
        let node = self.tree.nodes().get(from).ok_or(ErrorKind::NotFound)?;
        let is_folder = matches!(node, Node::Folder);
        let is_plain = source.end == End::Name && target.end == End::Name;
        if !is_folder && !is_plain {
            return Err(ErrorKind::NotADirectory);
        }
        if from == to {
            return Ok(());
        }
        if to.starts_with(from) {
            // Into itself; a file has nothing below it, so this is one.
            return Err(ErrorKind::InvalidInput);
        }
        match (self.tree.nodes().get(to), is_folder) {
            (Some(_), _) if from.starts_with(to) => return Err(ErrorKind::DirectoryNotEmpty),
            (Some(Node::Folder), false) => return Err(ErrorKind::IsADirectory),
            (Some(Node::File(_)), true) => return Err(ErrorKind::NotADirectory),
            (Some(Node::Folder), true) if !self.is_empty_folder(to) => {
                return Err(ErrorKind::DirectoryNotEmpty);
            }
            _ => {}
        }
        self.move_tree(from, to);
        Ok(())
    }

    fn move_tree(&mut self, from: &Path, to: &Path) {
        let moved: Vec<(PathBuf, Node)> = [from]
            .into_iter()
            .filter_map(|path| self.tree.nodes().get_key_value(path))
            .chain(self.below(from))
            .map(|(path, node)| (path.clone(), node.clone()))
            .collect();
        let gone = moved.iter().map(|(path, _)| (path.clone(), None));
        let come = moved.iter().map(|(path, node)| {
            let rest = path.strip_prefix(from).expect("it is below");
            // Joining nothing would add a slash.
            let path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            (path, Some(node.clone()))
        });
        self.tree.change(gone.chain(come));
    }

    /// All names are on the disk; what they name may not be.
    pub(crate) fn sync_names(&mut self) {
        self.tree.sync();
    }

    /// The power of the machine goes: changes of names and of files get to the disk, or not. Gives how many did not, or not
    /// whole.
    pub(crate) fn crash(&mut self, choose: &mut impl FnMut(u64) -> u64) -> u64 {
        let names = self.tree.crash(choose);
        let files = self.tree.nodes().values().filter_map(|node| node.file().ok());
        names + files.map(|inode| inode.borrow_mut().crash(choose)).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Files {
        let mut files = Files::default();
        files.add("/srv/www/a.txt".into(), b"A", Duration::ZERO);
        files.add("/srv/www/css/b.css".into(), b"B", Duration::ZERO);
        files.add("/srv/www2/secret".into(), b"S", Duration::ZERO);
        files
    }

    fn check(path: &str, expected: Result<&str, ErrorKind>) {
        let found =
            tree().open(Path::new("/srv/www"), Path::new(path), OpenMode::READ, Duration::ZERO);
        let found = found.map(|node| match node {
            Node::File(inode) => String::from_utf8(inode.borrow().read_at(0, 99)).unwrap(),
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

    #[test]
    fn a_folder_moves_with_all_below_it() {
        let mut files = tree();
        let root = Path::new("/srv");
        files.rename(root, Path::new("www"), Path::new("www3")).unwrap();
        let paths: Vec<_> = files.tree.nodes().keys().filter_map(|path| path.to_str()).collect();
        assert_eq!(
            paths,
            [
                "/",
                "/srv",
                "/srv/www2",
                "/srv/www2/secret",
                "/srv/www3",
                "/srv/www3/a.txt",
                "/srv/www3/css",
                "/srv/www3/css/b.css",
            ]
        );
    }
}
