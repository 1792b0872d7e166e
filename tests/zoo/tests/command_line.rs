//! The command line, as a user has it: sweeps that are interrupted and go on, parts of sweeps, lines of JSON, kinds of failures.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is outside of the program under test: a process of its own, and files"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn zoo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zoo"));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    said(zoo(arguments).output().expect("it runs"))
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The sweeps of a run, and its failures.
fn lines(text: &str) -> (Vec<serde_json::Value>, serde_json::Value) {
    let mut lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let sweep = lines.pop().expect("the sweep comes last");
    assert_eq!(sweep["type"], "sweep");
    assert!(lines.iter().all(|line| line["type"] == "failure"), "{lines:?}");
    (lines, sweep)
}

/// A file that is not there, and is gone in the end.
struct Journal(PathBuf);

impl Journal {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}.journal", std::process::id()));
        std::fs::remove_file(&path).ok();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in plain text")
    }

    fn lines(&self) -> usize {
        std::fs::read_to_string(&self.0).map_or(0, |text| text.lines().count())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Waits for the first seconds of a sweep to be in its journal, and interrupts it.
fn interrupt(child: &Child, journal: &Journal) {
    let begin = Instant::now();
    while journal.lines() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing comes into the journal");
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(child), Signal::INT).expect("it is there");
}

#[test]
fn a_sweep_that_is_interrupted_goes_on() {
    // What it prints is not read before it was interrupted: that must not keep it from ending, nor its journal from being written.
    let (scenario, count) = ("lost-message", "40000");
    let journal = Journal::new("goes-on");
    let sweep = ["sweep", "--scenario", scenario, "--count", count, "--json"];
    let with_journal = [&sweep[..], &["--resume", journal.path()]].concat();

    let child = zoo(&with_journal).spawn().expect("it runs");
    interrupt(&child, &journal);
    let (code, first, error) = said(child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130), "{error}");
    let (_, first) = lines(&first);
    assert_eq!(first["is_interrupted"], true);
    let (done, left) = (first["count"].as_u64().unwrap(), first["left"].as_u64().unwrap());
    assert!(done > 0 && left > 0, "{done} were done, and {left} left");
    assert_eq!(done + left, 40_000);

    let (code, second, _) = run(&with_journal);
    assert_eq!(code, Some(1), "its bug is found");
    let (_, second) = lines(&second);
    let (_, whole) = lines(&run(&sweep).1);
    for name in ["count", "left", "requests", "events", "hash", "failures", "kinds", "coverage"] {
        assert_eq!(second[name], whole[name], "{name}");
    }
    // Nothing is left, and it says the same once more.
    let (_, third) = lines(&run(&with_journal).1);
    assert_eq!(third["hash"], whole["hash"]);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let journal = Journal::new("at-once");
    let sweep = ["sweep", "--scenario", "lost-message", "--count", "1000000000", "--json"];
    let mut child =
        zoo(&[&sweep[..], &["--resume", journal.path()]].concat()).spawn().expect("it runs");
    interrupt(&child, &journal);
    let begin = Instant::now();
    // Nobody reads what it prints, so its workers do not come to an end.
    let code = loop {
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status.code();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(code, Some(130));
}

#[test]
fn who_does_not_want_to_hear_more_is_told_no_more() {
    let sweep = ["sweep", "--scenario", "lost-message", "--count", "1000000000", "--json"];
    let mut child = zoo(&sweep).spawn().expect("it runs");
    drop(child.stdout.take());
    let (code, _, error) = said(child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("error: standard output: "), "{error}");
}

#[test]
fn a_journal_is_for_one_sweep() {
    let journal = Journal::new("one-sweep");
    let sweep = |scenario, count| {
        run(&["sweep", "--scenario", scenario, "--count", count, "--resume", journal.path()])
    };
    assert_eq!(sweep("lost-message-fixed", "10").0, Some(0));
    for (scenario, count) in [("lost-message", "10"), ("lost-message-fixed", "11")] {
        let (code, _, error) = sweep(scenario, count);
        assert_eq!(code, Some(2));
        assert!(error.contains("is the journal of another sweep"), "{error}");
    }
    // Half a line, as who is killed leaves it; and half a character.
    let text = std::fs::read_to_string(journal.path()).expect("it is there");
    let halves = [text.trim_end().as_bytes().to_vec(), [text.as_bytes(), b"\"\xc2"].concat()];
    for half in halves {
        std::fs::write(journal.path(), half).expect("it can be written");
        assert_eq!(sweep("lost-message-fixed", "10").0, Some(0));
        assert_eq!(std::fs::read_to_string(journal.path()).expect("it is there"), text);
    }
    // What is done cannot be done twice.
    let last = text.lines().last().expect("two lines");
    std::fs::write(journal.path(), format!("{text}{last}\n")).expect("it can be written");
    let (code, _, error) = sweep("lost-message-fixed", "10");
    assert_eq!(code, Some(2));
    assert!(error.contains(".journal:3: not of this sweep"), "{error}");
    std::fs::write(journal.path(), &text[..20]).expect("it can be written");
    assert_eq!(sweep("lost-message-fixed", "10").0, Some(0));
    for other in ["something else\n", "something else", "{}\nsomething"] {
        std::fs::write(journal.path(), other).expect("it can be written");
        let (code, _, error) = sweep("lost-message-fixed", "10");
        assert_eq!(code, Some(2));
        assert!(error.contains(".journal:1: not the journal of a sweep"), "{error}");
        let kept = std::fs::read_to_string(journal.path()).expect("it is there");
        assert_eq!(kept, other, "what is no journal stays as it is");
    }
}

#[test]
fn parts_make_a_whole() {
    let sweep = ["sweep", "--scenario", "stale-cache", "--from", "5", "--count", "101", "--json"];
    let (_, whole) = lines(&run(&sweep).1);
    let parts = ["1/3", "2/3", "3/3"].map(|part| {
        let (failures, part) = lines(&run(&[&sweep[..], &["--shard", part]].concat()).1);
        assert_eq!(part["failures"], failures.len());
        part
    });
    let sum = |name: &str| parts.iter().map(|part| part[name].as_u64().unwrap()).sum::<u64>();
    for name in ["count", "failures", "requests", "events"] {
        assert_eq!(whole[name], sum(name), "{name}");
    }
    assert_eq!(parts[1]["from"], 5 + 33);
    for part in ["0/3", "4/3", "1", "a/b", "1/0"] {
        let (code, _, error) = run(&[&sweep[..], &["--shard", part]].concat());
        assert_eq!(code, Some(2));
        assert!(error.contains("expected is I/N"), "{error}");
    }
}

#[test]
fn it_may_end_with_the_first_failure() {
    let (code, text, _) =
        run(&["sweep", "--scenario", "stale-cache", "--count", "100000", "--fail-fast"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("stale-cache failed with seed "), "{text}");
    assert!(text.contains("replay: cargo run --release --bin zoo -- replay "), "{text}");
    assert!(text.contains(" seeds were not run"), "{text}");
}

#[test]
fn a_failure_that_is_in_the_journal_is_the_first() {
    let journal = Journal::new("first");
    let sweep = ["sweep", "--scenario", "stale-cache", "--count", "1000", "--fail-fast", "--json"];
    let sweep = [&sweep[..], &["--resume", journal.path()]].concat();
    let (first, again) = (lines(&run(&sweep).1).1, lines(&run(&sweep).1).1);
    assert_eq!((&first["count"], &first["failures"]), (&again["count"], &again["failures"]));
    assert_eq!(again["before"], first["count"], "nothing was run");
}

#[test]
fn one_run_is_told_with_what_has_to_go_wrong() {
    let (code, text, _) = run(&["run", "--scenario", "lost-wake-fixed", "--seed", "3"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("lost-wake-fixed held with seed 3: "), "{text}");
    let (code, text, _) = run(&["sweep", "--scenario", "lost-wake", "--fail-fast", "--json"]);
    assert_eq!(code, Some(1));
    let (failures, _) = lines(&text);
    let seed = failures[0]["seed"].to_string();
    let (code, text, _) = run(&["run", "--scenario", "lost-wake", "--seed", &seed]);
    assert_eq!(code, Some(1), "{text}");
    for expected in ["deadlock: tasks wait", "what has to go wrong for it:\n  1. at ", "\nreplay: "]
    {
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
    // Its tape is another way to say so.
    let tape =
        text.split_once("--tape '").and_then(|(_, rest)| rest.split_once('\'')).expect("a tape").0;
    let (code, again, _) = run(&["run", "--scenario", "lost-wake", "--tape", tape]);
    assert_eq!(code, Some(1), "{again}");
    assert!(again.contains("deadlock: tasks wait") && again.contains("\nfound in "), "{again}");
}

#[test]
fn who_has_no_victims_is_told_so() {
    let (code, _, error) = run(&["cancel", "--scenario", "lost-wake-fixed"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("lost-wake-fixed has no victims that wait"), "{error}");
}
