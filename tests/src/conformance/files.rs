//! Cases of files, and of jobs that nobody waits for any more.

use std::io::ErrorKind;
use std::path::PathBuf;

use core::time::Duration;
use futures::future::join_all;
use mainspring_executor::file::File;
use mainspring_executor::time::wall_clock;

use super::pair::{kind, poll_once};
use super::stage::{FILES, LARGE, Stage};

async fn open(stage: &Stage, path: &str) -> Result<File, ErrorKind> {
    kind(File::open(stage.files.clone(), PathBuf::from(path)).await)
}

pub(super) async fn read(stage: Stage) {
    let before = wall_clock().expect("inside of a shard");
    for (path, bytes) in FILES {
        let file = open(&stage, path).await.expect("it is there");
        assert!(!file.is_folder());
        assert_eq!(file.length(), bytes.len() as u64);
        assert!(file.read_at(0, 1_000_000).await.unwrap() == bytes, "{path}");
        // Some seconds of grace: file systems are of their own opinion about the time.
        let age = before.abs_diff(file.modified());
        assert!(age < Duration::from_secs(60), "{path} was just made, but is {age:?} old");
    }
    let large = open(&stage, "./folder/../folder/large.bin").await;
    assert_eq!(large.err(), Some(ErrorKind::PermissionDenied));
    let large = open(&stage, "./folder/./large.bin").await.expect("it is there");
    assert!(large.read_at(70_000, 5).await.unwrap() == LARGE[70_000..70_005]);
    assert!(large.read_at(199_998, 5).await.unwrap() == LARGE[199_998..], "less at the end");
    assert_eq!(large.read_at(200_000, 5).await.unwrap(), b"");
    assert_eq!(large.read_at(u64::from(u32::MAX), 5).await.unwrap(), b"");
    assert_eq!(large.read_at(0, 0).await.unwrap(), b"");
    let parts = join_all((0..20).map(|part| large.read_at(part * 10_000, 10_000))).await;
    let parts: Vec<u8> = parts.into_iter().flat_map(Result::unwrap).collect();
    assert!(parts == LARGE, "reads at one time do not share a position");
}

pub(super) async fn paths(stage: Stage) {
    let error = async |path| open(&stage, path).await.err();
    for path in ["..", "../x", "folder/../hello.txt", "/etc/passwd", "/"] {
        assert_eq!(error(path).await, Some(ErrorKind::PermissionDenied), "{path}");
    }
    for path in ["missing", "folder/missing", "missing/hello.txt", "hello", "HELLO.TXT"] {
        assert_eq!(error(path).await, Some(ErrorKind::NotFound), "{path}");
    }
    for path in ["hello.txt/x", "hello.txt/", "hello.txt/."] {
        assert_eq!(error(path).await, Some(ErrorKind::NotADirectory), "{path}");
    }
    let root = stage.files.join("missing");
    let opened = kind(File::open(root, PathBuf::from("hello.txt")).await);
    assert_eq!(opened.err(), Some(ErrorKind::NotFound));
    for path in ["", "."] {
        let root = stage.files.join("hello.txt");
        let opened = kind(File::open(root, PathBuf::from(path)).await);
        assert_eq!(opened.err(), Some(ErrorKind::NotADirectory), "the root is a folder");
    }
}

pub(super) async fn folders(stage: Stage) {
    for path in ["", ".", "folder", "folder/", "./folder/."] {
        let folder = open(&stage, path).await.expect("it is there");
        assert!(folder.is_folder(), "{path}");
        let read = kind(folder.read_at(0, 10).await);
        assert_eq!(read, Err(ErrorKind::IsADirectory), "{path}");
    }
}

pub(super) async fn jobs_dropped(stage: Stage) {
    let open_before = stage.witness.open().len();
    for _ in 0..50 {
        let mut opening = Box::pin(open(&stage, "folder/large.bin"));
        assert!(poll_once(&mut opening).await.is_none(), "a job takes time");
        drop(opening);
        let file = open(&stage, "folder/large.bin").await.expect("it is there");
        let mut reading = Box::pin(file.read_at(0, LARGE.len()));
        assert!(poll_once(&mut reading).await.is_none(), "a job takes time");
        drop(reading);
        // The file goes while a read of it may still run.
        drop(file);
        assert_eq!(stage.witness.open().len(), open_before);
    }
    let many = join_all((0..200).map(|_| open(&stage, "hello.txt"))).await;
    assert!(many.iter().all(Result::is_ok), "jobs wait for each other");
}
