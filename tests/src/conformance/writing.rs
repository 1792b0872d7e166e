//! Cases of files that are changed: written, cut, made, moved and removed.

use std::io::ErrorKind::{
    self, AlreadyExists, DirectoryNotEmpty, FileTooLarge, InvalidInput, IsADirectory,
    NotADirectory, NotFound, PermissionDenied,
};
use std::path::PathBuf;

use futures::future::join_all;
use mainspring_executor::driver::Exhausted;
use mainspring_executor::file::{self, EntryKind, File, OpenOptions};
use mainspring_executor::time::wall_clock;

use super::pair::{kind, poll_once};
use super::stage::Stage;

fn options(flags: &str) -> OpenOptions {
    let has = |flag| flags.contains(flag);
    OpenOptions::new()
        .read(has('r'))
        .write(has('w'))
        .append(has('a'))
        .create(has('c'))
        .create_new(has('n'))
        .truncate(has('t'))
}

async fn open(stage: &Stage, path: &str, flags: &str) -> Result<File, ErrorKind> {
    kind(options(flags).open(stage.files.clone(), PathBuf::from(path)).await)
}

/// A whole small file.
async fn content(stage: &Stage, path: &str) -> Result<Vec<u8>, ErrorKind> {
    kind(file::read(stage.files.clone(), PathBuf::from(path), 1_000_000).await)
}

async fn names(stage: &Stage, path: &str) -> Vec<String> {
    let entries = file::list(stage.files.clone(), PathBuf::from(path), 100).await;
    let name = |entry: file::Entry| {
        let end = if entry.kind == EntryKind::Folder { "/" } else { "" };
        entry.name.into_string().expect("a plain name") + end
    };
    entries.expect("a folder").into_iter().map(name).collect()
}

pub(super) async fn write(stage: Stage) {
    let before = wall_clock().expect("inside of a shard");
    let new = open(&stage, "new", "rwcn").await.expect("it can be made");
    assert_eq!((new.length(), new.is_folder()), (0, false));
    new.write_at(0, "hello").await.unwrap();
    new.write_at(3, *b"p me").await.unwrap();
    new.write_at(4, Vec::new()).await.unwrap();
    assert_eq!(new.read_at(0, 100).await.unwrap(), b"help me");
    new.write_at(10, "gap").await.unwrap();
    assert_eq!(new.read_at(0, 100).await.unwrap(), b"help me\0\0\0gap");
    for (length, expected) in [(4, &b"help"[..]), (6, b"help\0\0"), (6, b"help\0\0"), (0, b"")] {
        new.set_length(length).await.unwrap();
        assert_eq!(new.read_at(0, 100).await.unwrap(), expected);
    }
    let large: Vec<u8> = super::pair::patterned(0, 300_000);
    new.write_at(1, large.clone()).await.unwrap();
    new.sync_data().await.unwrap();
    new.sync_all().await.unwrap();
    let metadata = new.metadata().await.unwrap();
    assert_eq!((metadata.length, metadata.is_folder), (300_001, false));
    assert!(metadata.modified.abs_diff(before).as_secs() < 60, "{:?}", metadata.modified);
    assert_eq!(new.length(), 0, "as it was when it was opened");
    // Another who opens it sees the same.
    let twin = open(&stage, "new", "r").await.unwrap();
    assert_eq!(twin.length(), 300_001);
    assert!(twin.read_at(1, 400_000).await.unwrap() == large);
    // Many at one time, each in its place.
    let pieces = large.chunks(10_000).enumerate();
    let writes = pieces.map(|(place, piece)| new.write_at(place as u64 * 10_000, piece));
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    assert!(twin.read_at(0, 300_000).await.unwrap() == large);
    let folder = open(&stage, "", "r").await.unwrap();
    folder.sync_all().await.expect("the names in a folder, too");
}

/// What each way to open finds in a file, a folder and nothing.
pub(super) async fn open_modes(stage: Stage) {
    let cases: [(&str, [Result<u64, ErrorKind>; 3]); 12] = [
        ("r", [Ok(12), Ok(0), Err(NotFound)]),
        ("w", [Ok(12), Err(IsADirectory), Err(NotFound)]),
        ("a", [Ok(12), Err(IsADirectory), Err(NotFound)]),
        ("rw", [Ok(12), Err(IsADirectory), Err(NotFound)]),
        ("wc", [Ok(12), Err(IsADirectory), Ok(0)]),
        ("rac", [Ok(12), Err(IsADirectory), Ok(0)]),
        ("wn", [Err(AlreadyExists), Err(AlreadyExists), Ok(0)]),
        ("wcn", [Err(AlreadyExists), Err(AlreadyExists), Ok(0)]),
        ("an", [Err(AlreadyExists), Err(AlreadyExists), Ok(0)]),
        ("wct", [Ok(0), Err(IsADirectory), Ok(0)]),
        ("rc", [Err(InvalidInput), Err(InvalidInput), Err(InvalidInput)]),
        ("at", [Err(InvalidInput), Err(InvalidInput), Err(InvalidInput)]),
    ];
    for (flags, expected) in cases {
        for (path, expected) in ["hello.txt", "folder", "missing"].into_iter().zip(expected) {
            let opened = open(&stage, path, flags).await;
            let found = opened.map(|file| if file.is_folder() { 0 } else { file.length() });
            assert_eq!(found, expected, "{path}, opened to {flags}");
        }
        drop(file::remove(stage.files.clone(), "missing".into()).await);
        file::write(stage.files.clone(), "hello.txt".into(), "hello, files").await.unwrap();
    }
    for (path, flags, expected) in [
        ("new/", "wc", IsADirectory),
        ("hello.txt/", "wc", IsADirectory),
        ("hello.txt/", "w", NotADirectory),
        ("hello.txt/.", "wc", NotADirectory),
        ("hello.txt/x", "wc", NotADirectory),
        ("missing/x", "wc", NotFound),
        ("missing/.", "wc", NotFound),
        ("folder/", "wn", IsADirectory),
        ("folder/.", "wc", IsADirectory),
        ("folder/.", "wn", AlreadyExists),
        ("", "wc", IsADirectory),
        ("", "w", IsADirectory),
        ("../made", "wc", PermissionDenied),
        ("folder/../made", "wn", PermissionDenied),
        ("/tmp/made", "ac", PermissionDenied),
    ] {
        assert_eq!(open(&stage, path, flags).await.err(), Some(expected), "{path} to {flags}");
    }
    // What a file was not opened for, it does not do.
    let read = open(&stage, "hello.txt", "r").await.unwrap();
    let write = open(&stage, "hello.txt", "w").await.unwrap();
    let append = open(&stage, "hello.txt", "a").await.unwrap();
    for file in [&read, &append] {
        assert_eq!(kind(file.write_at(0, "x").await), Err(InvalidInput));
    }
    for file in [&read, &write] {
        assert_eq!(kind(file.append("x").await), Err(InvalidInput));
    }
    for file in [&write, &append] {
        assert_eq!(kind(file.read_at(0, 1).await), Err(InvalidInput));
    }
    assert_eq!(kind(read.set_length(0).await), Err(InvalidInput));
    assert_eq!(content(&stage, "hello.txt").await.unwrap(), b"hello, files");
}

pub(super) async fn append(stage: Stage) {
    let one = open(&stage, "log", "ac").await.unwrap();
    let other = open(&stage, "log", "ra").await.unwrap();
    for round in 0..20_u8 {
        one.append([b'a' + round]).await.unwrap();
        other.append([b'A' + round]).await.unwrap();
    }
    let written = other.read_at(0, 100).await.unwrap();
    assert_eq!(written, b"aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStT");
    one.set_length(2).await.unwrap();
    other.append("end").await.unwrap();
    assert_eq!(content(&stage, "log").await.unwrap(), b"aAend");
    // At one time: each line whole, in whatever order.
    one.set_length(0).await.unwrap();
    let line = |number: usize| format!("{}\n", "x".repeat(number)).into_bytes();
    let appends = (0..40).map(|number| {
        let file = if number % 2 == 0 { &one } else { &other };
        file.append(line(number))
    });
    assert!(join_all(appends).await.iter().all(Result::is_ok));
    let written = String::from_utf8(content(&stage, "log").await.unwrap()).unwrap();
    let mut lengths: Vec<usize> = written.lines().map(str::len).collect();
    lengths.sort_unstable();
    assert!(lengths.into_iter().eq(0..40), "{written}");
}

pub(super) async fn whole(stage: Stage) {
    let root = || stage.files.clone();
    let read = async |path: &str, max| kind(file::read(root(), path.into(), max).await);
    file::write(root(), "whole".into(), "first, and longer").await.unwrap();
    file::write(root(), "whole".into(), "second").await.unwrap();
    assert_eq!(read("whole", 6).await.unwrap(), b"second");
    assert_eq!(read("whole", usize::MAX).await.unwrap(), b"second");
    assert_eq!(read("whole", 5).await, Err(FileTooLarge));
    assert_eq!(read("empty.txt", 0).await.unwrap(), b"");
    assert_eq!(read("folder", 10).await, Err(IsADirectory));
    assert_eq!(read("missing", 10).await, Err(NotFound));
    assert!(read("folder/large.bin", 200_000).await.unwrap() == super::stage::LARGE);
    assert_eq!(read("folder/large.bin", 199_999).await, Err(FileTooLarge));
    let metadata = async |path: &str| {
        let metadata = file::metadata(root(), path.into()).await;
        kind(metadata.map(|metadata| (metadata.is_folder, metadata.length)))
    };
    assert_eq!(metadata("whole").await, Ok((false, 6)));
    for path in ["folder", "folder/", "", "."] {
        assert!(metadata(path).await.unwrap().0, "{path}");
    }
    for (path, expected) in [
        ("missing", NotFound),
        ("whole/", NotADirectory),
        ("whole/x", NotADirectory),
        ("../whole", PermissionDenied),
    ] {
        assert_eq!(metadata(path).await, Err(expected), "{path}");
    }
}

pub(super) async fn folders(stage: Stage) {
    let root = || stage.files.clone();
    assert_eq!(names(&stage, "").await, ["empty.txt", "folder/", "hello.txt"]);
    assert_eq!(names(&stage, "folder/.").await, ["inner.txt", "large.bin"]);
    let create = async |path: &str| kind(file::create_folder(root(), path.into()).await);
    for path in ["new", "new/b", "new/a/", "./new/./c/."] {
        assert_eq!(create(path).await, Ok(()), "{path}");
    }
    for (path, expected) in [
        ("new", AlreadyExists),
        ("hello.txt", AlreadyExists),
        ("missing/x", NotFound),
        ("hello.txt/x", NotADirectory),
        ("", InvalidInput),
        (".", InvalidInput),
        ("..", PermissionDenied),
        ("new/../x", PermissionDenied),
        ("/tmp/x", PermissionDenied),
    ] {
        assert_eq!(create(path).await, Err(expected), "{path}");
    }
    // By the bytes of the names: upper case first, and no path comes between.
    for path in ["new/B", "new/b.txt", "new/b/deep", "new/a b"] {
        file::write(root(), path.into(), "x").await.unwrap();
    }
    assert_eq!(names(&stage, "new").await, ["B", "a/", "a b", "b/", "b.txt", "c/"]);
    assert_eq!(names(&stage, "new/a").await, [""; 0]);
    let list = async |path: &str, max| kind(file::list(root(), path.into(), max).await).err();
    assert_eq!(list("new", 6).await, None);
    assert_eq!(list("new", 5).await, Some(FileTooLarge));
    assert_eq!(list("new/a", 0).await, None);
    for (path, expected) in
        [("missing", NotFound), ("hello.txt", NotADirectory), ("..", PermissionDenied)]
    {
        assert_eq!(list(path, 9).await, Some(expected), "{path}");
    }
}

pub(super) async fn remove(stage: Stage) {
    let remove = async |path: &str| kind(file::remove(stage.files.clone(), path.into()).await);
    for (path, expected) in [
        ("missing", NotFound),
        ("missing/x", NotFound),
        ("hello.txt/", NotADirectory),
        ("hello.txt/x", NotADirectory),
        ("folder", DirectoryNotEmpty),
        ("folder/", DirectoryNotEmpty),
        ("", InvalidInput),
        ("..", PermissionDenied),
        ("folder/../hello.txt", PermissionDenied),
    ] {
        assert_eq!(remove(path).await, Err(expected), "{path}");
    }
    // What is open lives on.
    let inner = open(&stage, "folder/inner.txt", "rw").await.unwrap();
    for path in ["folder/inner.txt", "folder/large.bin", "folder", "hello.txt"] {
        assert_eq!(remove(path).await, Ok(()), "{path}");
        assert!(remove(path).await.is_err(), "{path} is gone");
    }
    assert_eq!(names(&stage, "").await, ["empty.txt"]);
    inner.write_at(5, " self").await.unwrap();
    assert_eq!(inner.read_at(0, 99).await.unwrap(), b"inner self");
    assert_eq!(inner.metadata().await.unwrap().length, 10);
    // Another one in its place is another one.
    file::create_folder(stage.files.clone(), "folder/".into()).await.unwrap();
    file::write(stage.files.clone(), "folder/inner.txt".into(), "new").await.unwrap();
    assert_eq!(inner.read_at(0, 5).await.unwrap(), b"inner");
    assert_eq!(content(&stage, "folder/inner.txt").await.unwrap(), b"new");
}

pub(super) async fn rename(stage: Stage) {
    let root = || stage.files.clone();
    let rename =
        async |from: &str, to: &str| kind(file::rename(root(), from.into(), to.into()).await);
    for path in ["full", "full/a", "bare"] {
        file::create_folder(root(), path.into()).await.unwrap();
    }
    for (from, to, expected) in [
        ("missing", "x", NotFound),
        ("hello.txt", "missing/x", NotFound),
        ("hello.txt", "empty.txt/x", NotADirectory),
        ("hello.txt", "bare", IsADirectory),
        ("hello.txt", "x/", NotADirectory),
        ("hello.txt/", "x", NotADirectory),
        ("bare", "hello.txt", NotADirectory),
        ("bare", "full", DirectoryNotEmpty),
        ("folder", "folder/x", InvalidInput),
        ("full/a", "full", DirectoryNotEmpty),
        ("folder/inner.txt", "folder", DirectoryNotEmpty),
        ("", "x", InvalidInput),
        ("hello.txt", ".", InvalidInput),
        ("../x", "x", PermissionDenied),
        ("hello.txt", "../x", PermissionDenied),
        ("hello.txt", "/tmp/x", PermissionDenied),
    ] {
        assert_eq!(rename(from, to).await, Err(expected), "{from} to {to}");
    }
    for (from, to) in [
        ("hello.txt", "hello.txt"),
        ("hello.txt", "folder/inner.txt"),
        ("folder/inner.txt", "bare/hello"),
        ("folder", "bare/folder/"),
        ("full", "new/"),
        ("bare", "new/a"),
    ] {
        assert_eq!(rename(from, to).await, Ok(()), "{from} to {to}");
    }
    assert_eq!(names(&stage, "").await, ["empty.txt", "new/"]);
    assert_eq!(names(&stage, "new/a").await, ["folder/", "hello"]);
    assert_eq!(content(&stage, "new/a/hello").await.unwrap(), b"hello, files");
    assert_eq!(names(&stage, "new/a/folder").await, ["large.bin"]);
    // Who has it open reads on, wherever it is.
    let old = open(&stage, "empty.txt", "r").await.unwrap();
    file::write(root(), "next".into(), "next").await.unwrap();
    assert_eq!(rename("next", "empty.txt").await, Ok(()));
    assert_eq!(old.read_at(0, 9).await.unwrap(), b"");
    assert_eq!(content(&stage, "empty.txt").await.unwrap(), b"next");
}

/// A write that is dropped was done, in part or not at all; nothing else is harmed.
pub(super) async fn dropped(stage: Stage) {
    let open_before = stage.witness.open().len();
    let file = open(&stage, "file", "rwc").await.unwrap();
    for round in 0..20 {
        let mut writing = Box::pin(file.write_at(round * 10_000, vec![b'x'; 10_000]));
        assert!(poll_once(&mut writing).await.is_none(), "a write takes time");
        drop(writing);
        let mut cutting = Box::pin(file::remove(stage.files.clone(), "missing".into()));
        assert!(poll_once(&mut cutting).await.is_none(), "a job takes time");
        drop(cutting);
        assert_eq!(stage.witness.open().len(), open_before + 1);
    }
    file.write_at(200_000, "end").await.unwrap();
    let content = content(&stage, "file").await.unwrap();
    assert_eq!(&content[200_000..], b"end");
    assert!(content[..200_000].iter().all(|byte| matches!(byte, 0 | b'x')));
}

/// More than the queue takes: what has begun waits for its turn, what begins may be refused.
pub(super) async fn queued(stage: Stage) {
    let file = open(&stage, "file", "rwc").await.unwrap();
    let writes = (0..3000_u64).map(|place| file.write_at(place, [pattern(place)]));
    assert!(join_all(writes).await.iter().all(Result::is_ok), "each waits for a place");
    let bytes = file.read_at(0, 9999).await.unwrap();
    assert!(bytes.iter().zip(0..).all(|(byte, place)| *byte == pattern(place)));
    let opens = join_all((0..3000).map(|_| {
        let opening = File::open(stage.files.clone(), "missing".into());
        async { opening.await.expect_err("it is not there") }
    }))
    .await;
    // How many are depends on how fast the threads are.
    let is_known = |error: &std::io::Error| error.kind() == NotFound || Exhausted::is(error);
    assert!(opens.iter().all(is_known));
}

fn pattern(place: u64) -> u8 {
    super::pair::pattern(usize::try_from(place).expect("a small number"))
}
