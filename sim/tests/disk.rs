//! The disk of a simulated host: what is on it, and what goes wrong.

use std::io::ErrorKind;
use std::path::PathBuf;

use mainspring_executor::file::{self, File, OpenOptions};
use mainspring_sim::{Host, World, WorldConfig};

const ROOT: &str = "/srv";

fn root() -> PathBuf {
    ROOT.into()
}

async fn writable(path: &str) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).open(root(), path.into()).await
}

/// Runs one program in a room with a file of five bytes, to its end; nothing may be left. Gives the hash of the run.
fn run<F: Future<Output = ()> + 'static>(
    seed: u64,
    config: WorldConfig,
    program: impl FnOnce(Host) -> F,
) -> u64 {
    let world = World::new(seed, config);
    let host = world.host("host");
    host.add_file(ROOT, "five", b"12345");
    host.run(program(host.clone()));
    let report = world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
    report.trace_hash
}

#[test]
fn what_was_not_synced_is_not_on_the_disk() {
    run(1, WorldConfig::calm(), |host| async move {
        let file = writable("five").await.unwrap();
        let check = |content: &str, on_disk: &str| {
            assert_eq!(host.file("/srv/five").unwrap(), content.as_bytes());
            assert_eq!(host.file_on_disk("/srv/five").unwrap(), on_disk.as_bytes());
        };
        check("12345", "12345");
        file.write_at(3, "xyz").await.unwrap();
        check("123xyz", "12345");
        file.set_length(2).await.unwrap();
        check("12", "12345");
        file.sync_data().await.unwrap();
        check("12", "12");
        file.write_at(0, "new").await.unwrap();
        check("new", "12");
        // It is the file that is synced, by whatever handle.
        File::open(root(), "five".into()).await.unwrap().sync_all().await.unwrap();
        check("new", "new");
        // A name is there at once; what it names is another thing.
        file::write(root(), "other".into(), "content").await.unwrap();
        assert_eq!(host.file_on_disk("/srv/other").unwrap(), b"");
        assert_eq!(host.file("/srv/missing"), None);
        assert_eq!(host.file(ROOT), None, "a folder has no content");
    });
}

#[test]
fn a_folder_may_be_there_without_files() {
    run(1, WorldConfig::calm(), |host| async move {
        let write = async || file::write("/var".into(), "x".into(), "x").await;
        assert_eq!(write().await.unwrap_err().kind(), ErrorKind::NotFound);
        host.add_folder("/var");
        write().await.unwrap();
        assert_eq!(host.file("/var/x").unwrap(), b"x");
    });
}

#[test]
fn a_broken_disk_fails_everything() {
    let config = WorldConfig { disk_error_one_in: 1, ..WorldConfig::calm() };
    run(1, config, |host| async move {
        let eio = |result: std::io::Result<()>| {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(5));
        };
        eio(File::open(root(), "five".into()).await.map(drop));
        eio(file::read(root(), "five".into(), 10).await.map(drop));
        eio(file::write(root(), "five".into(), "x").await);
        eio(file::list(root(), "".into(), 10).await.map(drop));
        eio(file::create_folder(root(), "x".into()).await);
        eio(file::rename(root(), "five".into(), "x".into()).await);
        eio(file::remove(root(), "five".into()).await);
        assert_eq!(host.file("/srv/five").unwrap(), b"12345");
    });
}

#[test]
fn a_full_disk_takes_nothing_more() {
    let config = WorldConfig { disk_full_one_in: 1, ..WorldConfig::calm() };
    run(1, config, |host| async move {
        let full = |result: std::io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::StorageFull);
        };
        let file = OpenOptions::new().read(true).write(true).open(root(), "five".into()).await;
        let file = file.unwrap();
        full(writable("new").await.map(drop));
        full(file.set_length(6).await);
        full(file::create_folder(root(), "x".into()).await);
        assert_eq!(file.read_at(0, 10).await.unwrap(), b"12345");
        // What takes no room is done.
        file.set_length(4).await.unwrap();
        file.sync_all().await.unwrap();
        // Some of a write that fails may be there, from its start on.
        full(file.write_at(4, "abcdefgh").await);
        let content = host.file("/srv/five").unwrap();
        assert!(b"1234abcdefgh".starts_with(&content) && content.len() < 12, "{content:?}");
        file::remove(root(), "five".into()).await.unwrap();
    });
}

#[test]
fn a_write_may_be_torn_where_it_fails() {
    // Nothing, a part, or all of it: over some seeds each happens, and the same seed gives the same.
    let config = || WorldConfig { disk_full_one_in: 3, short_writes: true, ..WorldConfig::calm() };
    let (mut whole, mut torn, mut none) = (0, 0, 0);
    for seed in 0..200 {
        let seen = std::rc::Rc::new(core::cell::Cell::new(None));
        let run = || {
            let seen = std::rc::Rc::clone(&seen);
            run(seed, config(), |host| async move {
                let opened = OpenOptions::new().append(true).open(root(), "five".into()).await;
                let result = opened.unwrap().append(*b"abc").await;
                seen.set(Some((result.is_ok(), host.file("/srv/five").unwrap().len() - 5)));
            })
        };
        assert_eq!(run(), run());
        match seen.get().expect("the program ran") {
            (true, 3) => whole += 1,
            (false, 0) => none += 1,
            (false, 1 | 2) => torn += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(whole > 80 && none > 10 && torn > 10, "{whole} {none} {torn}");
}
