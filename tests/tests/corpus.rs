//! Replays the corpus of each fuzz target, so that a plain `cargo test` runs every input that ever
//! mattered.
#![expect(
    clippy::disallowed_methods,
    reason = "the corpus is read from the real disk, by a test that simulates nothing"
)]

use std::path::Path;

use mainspring_tests::fuzz;

/// Runs `target` on every file of its corpus, which has at least `count_min` of them.
fn replay(name: &str, count_min: usize, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(paths.len() >= count_min, "{} files in {}", paths.len(), folder.display());
    for path in paths {
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("a readable seed"));
    }
}

#[test]
fn request_head() {
    replay("request_head", 41, fuzz::request_head);
}

#[test]
fn chunked() {
    replay("chunked", 30, fuzz::chunked);
}

#[test]
fn connection() {
    replay("connection", 36, fuzz::connection);
}

#[test]
fn differential() {
    replay("differential", 61, fuzz::differential);
}

#[test]
fn response() {
    replay("response", 40, fuzz::response);
}

#[test]
fn room() {
    replay("room", 12, fuzz::room);
}

#[test]
fn tasks() {
    replay("tasks", 49, fuzz::tasks);
}
