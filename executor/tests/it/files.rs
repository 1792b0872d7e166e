//! Files on the operating system: jobs that threads do.

#![expect(
    clippy::disallowed_methods,
    reason = "a test makes the files that it reads, and looks at its own process"
)]

use core::pin::pin;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::future::join_all;
use futures::poll;
use mainspring_executor::Shard;
use mainspring_executor::file::{self, EntryKind, File, OpenOptions};
use mainspring_executor::os::OsDriver;

use crate::worlds::{on_both, rounds};

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("mainspring-it-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("inside")).expect("the folder of temporary files is ours");
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) {
        fs::write(self.0.join(name), content).expect("the folder is ours");
    }

    fn open(&self, name: &str) -> impl Future<Output = std::io::Result<File>> + use<> {
        File::open(self.0.clone(), name.into())
    }

    /// How many descriptors of this process are open on files of the folder.
    fn descriptors(&self) -> usize {
        let open = fs::read_dir("/proc/self/fd").expect("Linux says what a process has open");
        let target = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
        open.filter_map(target).filter(|target| target.starts_with(&self.0)).count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_opened_and_read() {
    // From the start, from the middle, across the end and behind it; several at once.
    on_both(|| async {
        let folder = Folder::new("read");
        folder.file("inside/ten", b"0123456789");
        let file = folder.open("inside/ten").await.unwrap();
        assert_eq!((file.length(), file.is_folder()), (10, false));
        assert!(file.modified().as_secs() > 1_500_000_000);
        let cases: [(u64, usize, &[u8]); 5] =
            [(0, 10, b"0123456789"), (3, 4, b"3456"), (8, 100, b"89"), (10, 5, b""), (99, 1, b"")];
        for (offset, length, expected) in cases {
            assert_eq!(file.read_at(offset, length).await.unwrap(), expected);
        }
        let places = (0..100_u64).map(|place| (place % 10, file.read_at(place % 10, 1)));
        let reads = places.map(|(place, read)| async move { (place, read.await.unwrap()) });
        for (place, byte) in join_all(reads).await {
            assert_eq!(u64::from(byte[0] - b'0'), place);
        }
        assert_eq!(folder.descriptors(), 1);
        drop(file);
        assert_eq!(folder.descriptors(), 0);
    });
}

#[test]
fn what_cannot_be_opened_is_an_error() {
    // Missing, out of the root; a folder opens but cannot be read.
    on_both(|| async {
        let folder = Folder::new("errors");
        let kind = |name: &str| {
            let opened = folder.open(name);
            async { opened.await.err().map(|error| error.kind()) }
        };
        assert_eq!(kind("missing").await, Some(ErrorKind::NotFound));
        assert_eq!(kind("../outside").await, Some(ErrorKind::PermissionDenied));
        assert_eq!(kind("/etc/passwd").await, Some(ErrorKind::PermissionDenied));
        let inside = folder.open("inside").await.unwrap();
        assert!(inside.is_folder());
        assert_eq!(inside.read_at(0, 1).await.unwrap_err().kind(), ErrorKind::IsADirectory);
    });
}

#[test]
fn a_read_that_no_memory_can_hold_is_an_error() {
    // Not a thread that dies and a reader that waits for ever; the pool works on afterwards.
    on_both(|| async {
        let folder = Folder::new("huge");
        folder.file("file", b"x");
        let file = folder.open("file").await.unwrap();
        for _ in 0..10 {
            assert!(file.read_at(0, usize::MAX).await.is_err());
        }
        assert_eq!(file.read_at(0, 1).await.unwrap(), b"x");
    });
}

#[test]
fn a_job_that_is_dropped_half_way_leaves_nothing() {
    // Whether it waits, runs or has ended: its token, its file and its bytes go.
    on_both(|| async {
        let folder = Folder::new("dropped");
        folder.file("file", b"content");
        folder.file("other", b"other");
        let file = folder.open("file").await.unwrap();
        for round in 0..rounds(100) {
            let [mut first, mut second] = [folder.open("file"), folder.open("file")].map(Box::pin);
            let mut third = pin!(file.read_at(0, 7));
            let begun = (poll!(first.as_mut()), poll!(second.as_mut()), poll!(third.as_mut()));
            assert!(begun.0.is_pending() && begun.1.is_pending() && begun.2.is_pending());
            drop(first);
            if round % 2 == 0 {
                // Others take the places of those that were dropped.
                assert_eq!(folder.open("other").await.unwrap().length(), 5);
            }
            drop(second);
        }
        drop(file);
        // Dropped jobs that still waited or ran open their file, and the driver closes it. A job takes its turn behind
        // them, so each look costs one, and is no busy loop.
        let mut all_closed = false;
        for _ in 0..100_000 {
            drop(folder.open("missing").await);
            all_closed = folder.descriptors() == 0;
            if all_closed {
                break;
            }
        }
        assert!(all_closed, "a file stayed open");
    });
}

#[test]
fn what_is_neither_file_nor_folder_is_left_alone() {
    // A pipe is not opened, for whatever; a link is listed as one, and goes where it lies.
    on_both(|| async {
        let folder = Folder::new("special");
        folder.file("file", b"content");
        let (root, path) = (|| folder.0.clone(), |name: &str| folder.0.join(name));
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path("out")).unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        let kinds = file::list(root(), "".into(), 9).await.unwrap();
        let kinds = kinds.iter().map(|entry| (entry.name.to_str().unwrap(), entry.kind));
        assert!(kinds.eq([
            ("file", EntryKind::File),
            ("inside", EntryKind::Folder),
            ("link", EntryKind::Link),
            ("out", EntryKind::Link),
            ("pipe", EntryKind::Other),
        ]));
        for (options, name) in [
            (OpenOptions::new().read(true), "pipe"),
            (OpenOptions::new().read(true).write(true), "pipe"),
            (OpenOptions::new().write(true).truncate(true), "out"),
            (OpenOptions::new().append(true).create(true), "out"),
        ] {
            let error = options.open(root(), name.into()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{name}");
        }
        let looked = file::metadata(root(), "pipe".into()).await.unwrap_err();
        assert_eq!(looked.kind(), ErrorKind::PermissionDenied);
        assert_eq!(file::metadata(root(), "link".into()).await.unwrap().length, 7);
        file::rename(root(), "out".into(), "inside/out".into()).await.unwrap();
        file::remove(root(), "link".into()).await.unwrap();
        file::remove(root(), "pipe".into()).await.unwrap();
        assert_eq!(
            fs::read(path("file")).unwrap(),
            b"content",
            "a link goes, not what it leads to"
        );
        assert!(path("inside/out").is_symlink());
    });
}

#[test]
fn the_ledger_names_jobs_and_files() {
    // With the line of the program that opened the file.
    let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
    let twin = shard.clone();
    shard
        .run(async move {
            let folder = Folder::new("ledger");
            folder.file("file", b"x");
            let (root, name) = (folder.0.clone(), Path::new("file").to_path_buf());
            let check = |kinds: &[&str], line: u32| {
                let ledger = twin.ledger();
                let open: Vec<_> = ledger.resources.iter().map(|open| open.kind.as_str()).collect();
                assert_eq!(open, kinds);
                for resource in &ledger.resources {
                    assert!(resource.origin.file().ends_with("tests/it/files.rs"), "{ledger}");
                    assert_eq!(resource.origin.line(), line);
                }
            };
            let (opening, line) = (File::open(root, name), line!());
            check(&[], line);
            let mut opening = pin!(opening);
            assert!(poll!(opening.as_mut()).is_pending());
            check(&["job"], line);
            let file = opening.await.unwrap();
            check(&["file"], line);
            let mut reading = Box::pin(file.read_at(0, 1));
            assert!(poll!(reading.as_mut()).is_pending());
            check(&["file", "job"], line);
            drop(reading);
            check(&["file"], line);
        })
        .unwrap();
    assert!(shard.ledger().is_empty(), "{}", shard.ledger());
}
