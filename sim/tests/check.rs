//! `check` as a user has it: this binary runs tests of its own that fail, as processes, with a folder for their files.
#![expect(clippy::disallowed_methods, reason = "processes and files, outside of any run")]

use core::time::Duration;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::{Check, World, WorldConfig, check};

/// A service that takes the last reading to arrive for the newest.
fn takes_the_last_for_the_newest(world: &World) {
    let service = world.host("service");
    let address = service.address(80);
    service.run(async move {
        let socket = UdpSocket::bind(address).expect("a free port");
        let mut newest = 0;
        for _ in 0..10 {
            let mut reading = [0];
            // Some get lost.
            let came = timeout(Duration::from_secs(1), socket.recv_from(&mut reading)).await;
            if came.is_ok() {
                assert!(reading[0] >= newest, "a reading is taken back");
                newest = reading[0];
            }
        }
    });
    world.host("sensor").run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        // Not before it listens.
        for reading in 1..=10 {
            sleep(Duration::from_millis(5)).await;
            socket.send_to(&[reading], address).await.expect("there is room");
        }
    });
}

/// A room in which nothing but latencies differs.
fn late() -> WorldConfig {
    let latency = Duration::from_millis(1)..=Duration::from_millis(20);
    WorldConfig { latency, ..WorldConfig::calm() }
}

#[test]
#[ignore = "it fails, for others to see how"]
fn planted() {
    check(late(), takes_the_last_for_the_newest);
}

mod inner {
    #[test]
    #[ignore = "it holds"]
    fn holds() {
        super::check(super::late(), |world| {
            world.host("sleeper").run(async {
                super::sleep(super::Duration::from_secs(1)).await;
            });
        });
    }

    #[test]
    #[ignore = "it fails, for others to see how"]
    fn is_late() {
        super::Check::new(super::late()).seeds(1).run(|world| {
            world.host("sleeper").run(async {
                super::sleep(super::Duration::from_secs(2)).await;
            });
            |world: &super::World| assert!(world.now().as_nanos() < 2_000_000_000, "late")
        });
    }

    #[test]
    #[ignore = "it fails, for others to see how"]
    fn leaks() {
        super::Check::new(super::late()).seeds(1).run(|world| {
            drop(world.host("server").spawn(core::future::pending::<()>()));
        });
    }
}

/// A folder in which this source file seems to be, for the file beside it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("mainspring-check-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("sim/tests")).expect("there is room");
        fs::write(path.join("sim/tests/check.rs"), "").expect("there is room");
        Self(path)
    }

    fn seeds(&self) -> PathBuf {
        self.0.join("sim/tests/check.seeds")
    }

    /// Runs a test; gives whether it held, and what it said.
    fn run(&self, test: &str, variables: &[(&str, &str)]) -> (bool, String) {
        let output = Command::new(env::current_exe().expect("it has a name"))
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env("CARGO_MANIFEST_DIR", self.0.join("sim"))
            .env("CARGO_PKG_NAME", "shop")
            .env("RUST_BACKTRACE", "0")
            .env_remove("MAINSPRING_SEEDS")
            .env_remove("MAINSPRING_REPLAY")
            .envs(variables.iter().copied())
            .output()
            .expect("it starts");
        let text = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), text.concat())
    }

    fn fails(&self, test: &str, variables: &[(&str, &str)]) -> String {
        let (held, text) = self.run(test, variables);
        assert!(!held, "{text}");
        text
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What stands between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} behind {before:?} in {text}")).0
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn a_failure_is_told_once_small_and_can_be_repeated() {
    let folder = Folder::new("story");
    let text = folder.fails("planted", &[]);
    assert_eq!(text.matches("panicked at").count(), 1, "{text}");
    let seed = between(&text, "planted fails with seed ", ":");
    for expected in [
        "panicked at sim/tests/check.rs:",
        "a reading is taken back",
        "what has to go wrong for it:\n  1. at 0.0",
        " s, sensor: a packet takes ",
        "choices -> 1, ",
        "2 hosts -> 2\n",
        &format!("MAINSPRING_REPLAY={seed} cargo test -p shop planted -- --exact --nocapture"),
        "check.seeds has the seed now; keep it in version control",
    ] {
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
    let kept = fs::read_to_string(folder.seeds()).expect("it is kept");
    assert!(kept.ends_with(&format!("control.\nplanted {seed}\n")), "{kept}");

    // The same again: by itself, for the file has it; by its seed; and by its tape.
    let again = folder.fails("planted", &[("MAINSPRING_SEEDS", "0")]);
    assert!(again.contains(&format!("planted fails with seed {seed}:")), "{again}");
    assert!(again.contains("check.seeds has the seed\n"), "{again}");
    let tape = between(&text, "that run: MAINSPRING_REPLAY='", "' cargo test");
    for source in [seed, tape] {
        let replayed = folder.fails("planted", &[("MAINSPRING_REPLAY", source)]);
        assert!(replayed.contains("a reading is taken back"), "{replayed}");
        assert!(replayed.contains("sensor send to"), "what happened last: {replayed}");
    }
    assert_eq!(fs::read_to_string(folder.seeds()).expect("it is there"), kept, "once");
}

#[test]
fn the_least_seed_is_told_whoever_is_faster() {
    let seeds = [(); 3].map(|()| {
        let folder = Folder::new("least");
        between(&folder.fails("planted", &[]), "fails with seed ", ":").to_owned()
    });
    assert!(seeds.iter().all(|seed| *seed == seeds[0]), "{seeds:?}");
    let folder = Folder::new("fewer");
    assert!(folder.run("planted", &[("MAINSPRING_SEEDS", &seeds[0])]).0, "none below fails");
    assert!(!exists(&folder.seeds()), "nothing is to be kept");
}

#[test]
fn one_that_holds_says_nothing_and_shows_what_happens() {
    let folder = Folder::new("holds");
    let (held, text) = folder.run("inner::holds", &[("MAINSPRING_SEEDS", "20")]);
    assert!(held && !text.contains("MAINSPRING"), "{text}");
    let (held, text) = folder.run("inner::holds", &[("MAINSPRING_REPLAY", "7")]);
    assert!(held, "{text}");
    assert!(text.contains("1.000000000 sleeper poll task 0\n"), "{text}");
    assert!(text.contains("inner::holds holds with 7, to 1.000000000 s\n"), "{text}");
    assert!(!exists(&folder.seeds()));
}

#[test]
fn what_is_left_fails_it() {
    let folder = Folder::new("leaks");
    let text = folder.fails("inner::leaks", &[]);
    assert!(
        text.contains("inner::leaks fails with seed 0: leak: still alive after the end:"),
        "{text}"
    );
    assert!(text.contains("nothing that is drawn has to go wrong for it\n"), "{text}");
}

#[test]
fn what_is_seen_in_the_end_counts() {
    let text = Folder::new("late").fails("inner::is_late", &[]);
    assert!(text.contains("inner::is_late fails with seed 0: panic: late\n"), "{text}");
}

#[test]
fn what_is_not_understood_is_told() {
    let folder = Folder::new("wrong");
    let text = folder.fails("planted", &[("MAINSPRING_SEEDS", "many")]);
    assert!(
        text.contains(
            "MAINSPRING_SEEDS is \"many\": expected is how many seeds are to be run, a number"
        ),
        "{text}"
    );
    let text = folder.fails("planted", &[("MAINSPRING_REPLAY", "no such file")]);
    assert!(text.contains("MAINSPRING_REPLAY is \"no such file\": expected is a seed, a tape, or a file with a tape: "), "{text}");
    fs::write(folder.seeds(), "# seeds\nplanted 7\nplanted\n").expect("there is room");
    let text = folder.fails("planted", &[]);
    assert!(
        text.contains(
            "check.seeds:3: expected is the path of a test, and the seed with which it failed"
        ),
        "{text}"
    );
}

#[test]
#[should_panic(expected = "a strict check needs the guard")]
fn strict_needs_the_guard() {
    Check::new(late()).strict().run(|_| {});
}
