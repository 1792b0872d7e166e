//! What the source itself must be like: the invariants of docs/ARCHITECTURE.md that no compiler checks.
#![expect(
    clippy::disallowed_methods,
    reason = "it reads the source, not as part of a program under test"
)]

use std::path::{Path, PathBuf};

use mainspring_tests::scenarios::ALL;

/// The top of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below `folder`, with paths relative to the top, in order.
fn rust_files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).expect("below the top");
                found.push(relative.to_str().expect("plain names").to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has Rust files");
    found
}

/// The lines of a file that are code, with their numbers, up to its unit tests.
fn code_lines(path: &str) -> Vec<(usize, String)> {
    let text = read(path);
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().expect("a first part");
    let lines = before_tests.lines().enumerate();
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(|(number, line)| (number + 1, line.to_owned())).collect()
}

/// No line of code in `folders`, but for `except`, may contain one of `words`.
fn ban(folders: &[&str], except: &[&str], words: &[&str]) {
    let mut found = Vec::new();
    for path in folders.iter().flat_map(|folder| rust_files(folder)) {
        if except.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        for (number, line) in code_lines(&path) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{path}:{number}: `{word}`: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Invariant 1: one program. Nothing in it asks whether it is simulated, or is built otherwise for tests.
#[test]
fn nothing_asks_whether_it_is_simulated() {
    let words = [
        "simulated",
        "is_sim",
        "cfg(sim",
        "feature = \"sim",
        "cfg!(test)",
        "cfg(not(test))",
        "madsim",
    ];
    ban(&["executor/src", "server/src"], &[], &words);
}

/// Invariant 2: nothing enters the program but through `Driver`.
#[test]
fn only_the_os_driver_names_the_operating_system() {
    let words = [
        "std::net",
        "std::thread",
        "std::fs",
        "std::process::Command",
        "std::process::exit",
        "std::env",
        "Instant::now",
        "SystemTime",
        "rustix",
        "libc",
        "polling",
        "signal_hook",
        "getrandom",
        "socket2",
        "thread_rng",
        "RandomState",
        "HashMap<",
        "HashSet<",
    ];
    // `main` and its log are the frame around the program: exit status, standard error.
    let frame =
        ["executor/src/os/", "server/src/main.rs", "server/src/cli.rs", "server/src/log.rs"];
    ban(&["executor/src", "server/src"], &frame, &words);
}

/// Invariant 4: the protocol core has no I/O, no clock and no tasks.
#[test]
fn the_protocol_core_is_sans_io() {
    let words = [
        "mainspring_executor",
        "std::io",
        "std::net",
        "std::time",
        "core::time",
        "async ",
        ".await",
        "Poll<",
        "RefCell",
    ];
    ban(&["server/src/http1"], &[], &words);
}

/// Invariant 4: the simulator never looks at HTTP, and what stands in for an HTTP server shares no code with ours.
#[test]
fn the_simulator_knows_no_http() {
    ban(&["sim/src"], &[], &["http", "HTTP"]);
    ban(&["sim/stand-ins/src"], &[], &["mainspring::"]);
}

/// The arrows between the crates, as docs/ARCHITECTURE.md draws them.
#[test]
fn crates_depend_in_one_direction() {
    let ours = [
        "mainspring",
        "mainspring-executor",
        "mainspring-sim",
        "mainspring-sim-allocator",
        "mainspring-sim-guard",
        "mainspring-sim-proptest",
        "mainspring-stand-ins",
        "mainspring-tests",
    ];
    let check = |package: &str, expected: &[&str]| {
        let manifest = read(&format!("{package}/Cargo.toml"));
        let section = manifest.split("[dependencies]").nth(1).expect("it has dependencies");
        let section = section.split("\n[").next().expect("a first part");
        let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        let found: Vec<&str> = names.filter(|name| ours.contains(name)).collect();
        assert_eq!(found, expected, "{package}");
    };
    check("executor", &[]);
    check("server", &["mainspring-executor"]);
    check("sim", &["mainspring-executor", "mainspring-sim-allocator"]);
    check("sim/allocator", &[]);
    check("sim/guard", &["mainspring-sim"]);
    check("sim/proptest", &["mainspring-executor", "mainspring-sim"]);
    check("sim/stand-ins", &["mainspring-executor", "mainspring-sim"]);
    check("tests", &["mainspring", "mainspring-executor", "mainspring-sim"]);
    check("tests/zoo", &["mainspring", "mainspring-executor", "mainspring-sim"]);
}

/// Unsafe code stays where docs/ARCHITECTURE.md says, whatever a crate allows itself.
#[test]
fn unsafe_code_has_four_homes() {
    let homes = ["executor/src/task/", "executor/src/os/", "sim/allocator/", "sim/guard/"];
    ban(
        &["executor", "server", "sim", "tests/src"],
        &homes,
        &["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe"],
    );
}

/// Every file says at its top what it is, and stays small enough to hold in the head.
#[test]
fn files_are_introduced_and_small() {
    const LINES_MAX: usize = 500;
    for path in ["executor", "server", "sim", "tests", "fuzz/fuzz_targets"]
        .iter()
        .flat_map(|folder| rust_files(folder))
    {
        let text = read(&path);
        assert!(text.starts_with("//!"), "{path} does not begin with `//!`");
        let code_lines = text.lines().filter(|line| !line.trim_start().starts_with("//")).count();
        let is_test = path.contains("tests");
        assert!(is_test || code_lines <= LINES_MAX, "{path} has {code_lines} lines of code");
    }
}

/// What is not done is an issue or a line in the docs, not a note in the code.
#[test]
fn nothing_is_left_for_later() {
    let words = ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "XX".to_owned() + "X"];
    for path in ["executor", "server", "sim", "tests", "fuzz/fuzz_targets"]
        .iter()
        .flat_map(|folder| rust_files(folder))
    {
        let text = read(&path);
        for word in &words {
            assert!(!text.contains(word.as_str()), "{path} has a {word}");
        }
    }
}

/// Sites are named by those who write them, and expected by those who test: a name with a slip of the pen would be missed in
/// each sweep.
#[test]
fn what_a_scenario_expects_a_program_says() {
    let programs: String = rust_files("server/src").iter().map(|path| read(path)).collect();
    let expected: Vec<_> = ALL.iter().flat_map(|scenario| scenario.expected).collect();
    assert!(!expected.is_empty(), "some scenario expects something");
    for name in expected {
        let says = |kind: &str| programs.contains(&format!("{kind}!(\"{name}\")"));
        let sometimes = programs
            .lines()
            .any(|line| line.contains("sometimes!(") && line.contains(&format!(", \"{name}\")")));
        assert!(says("reachable") || says("buggify") || sometimes, "nobody says \"{name}\"");
    }
}

/// The names of all tests in the workspace.
fn test_names() -> Vec<String> {
    let mut names = Vec::new();
    for path in ["executor", "server", "sim", "tests"].iter().flat_map(|folder| rust_files(folder))
    {
        let text = read(&path);
        for after in text.split("fn ").skip(1) {
            let name: String =
                after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(name);
        }
    }
    names
}

/// Whether a name in the docs can only be that of a test: words with underscores, and no metric.
fn is_test_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.contains('_') && name.chars().all(is_word) && !name.starts_with("mainspring_")
}

/// docs/REQUIREMENTS.md has one line for each of R1 to R86, with a status that is one of three, and the tests that it
/// names exist.
#[test]
fn requirements_are_listed_and_their_tests_exist() {
    let text = read("docs/REQUIREMENTS.md");
    let names = test_names();
    let rows = text.lines().filter(|line| line.starts_with("| R"));
    let mut expected = 1;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells[0], format!("R{expected}"), "{row}");
        assert!(["done", "part", "open"].contains(&cells[2]), "{row}");
        let tests: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(
            cells[2] != "done" || !tests.is_empty(),
            "a line is done when a test shows it: {row}"
        );
        for test in tests.iter().filter(|name| is_test_name(name)) {
            assert!(names.iter().any(|name| name == test), "{test} is no test: {row}");
        }
        expected += 1;
    }
    assert_eq!(expected, 87, "R1 to R86");
}

/// Each invariant of docs/ARCHITECTURE.md names the tests that hold it, and they exist.
#[test]
fn invariants_name_tests_that_exist() {
    let text = read("docs/ARCHITECTURE.md");
    let names = test_names();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| I")).collect();
    assert!(rows.len() >= 7, "the invariants of the design");
    for row in rows {
        let held_by = row.trim_matches('|').rsplit('|').next().expect("a last cell");
        let tests: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{row}");
        for test in tests {
            assert!(names.iter().any(|name| name == test), "{test} is no test: {row}");
        }
    }
}

/// Each source of nondeterminism in docs/SIMULATION.md is what the table says, and what is controlled has a test.
#[test]
fn the_control_matrix_names_tests_that_exist() {
    let text = read("docs/SIMULATION.md");
    let names = test_names();
    let matrix = text.split("<!-- control -->").nth(1).expect("the document has the matrix");
    let matrix = matrix.split("<!-- /control -->").next().expect("a first part");
    let rows: Vec<&str> = matrix.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() >= 20, "the sources that are known");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        let kinds = ["controlled", "constrained", "audited", "known leak"];
        assert!(kinds.contains(&cells[1]), "{row}");
        let tests: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(cells[1] != "controlled" || !tests.is_empty(), "no test shows it: {row}");
        for test in tests {
            assert!(names.iter().any(|name| name == test), "{test} is no test: {row}");
        }
    }
}
