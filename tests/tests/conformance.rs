//! The conformance suite: each case on each machine, and the table of it in `docs/SIMULATION.md`.

use mainspring_tests::conformance::{CASES, Machine, Score, run, run_as_child, section};

/// Read when this is compiled: at run time, a case may be using up all descriptors.
const DOCUMENT: &str = include_str!("../../docs/SIMULATION.md");

/// Runs all cases on some machines, one after the other.
fn run_on(machines: &[Machine]) -> Score {
    let mut score = Score::default();
    for machine in machines {
        for case in CASES {
            score.add(*case, *machine, run(*case, *machine));
        }
    }
    score
}

/// The same programs see the same, on the operating system and in the simulator.
#[test]
#[expect(clippy::disallowed_methods, reason = "each machine is on one thread; they share nothing")]
fn every_case_on_every_machine() {
    // Those of the operating system share signals and descriptors: one after the other.
    let groups: [&[Machine]; 3] =
        [&[Machine::Epoll, Machine::Polling], &[Machine::Calm], &[Machine::Rough]];
    let score = std::thread::scope(|threads| {
        let runs = groups.map(|machines| threads.spawn(move || run_on(machines)));
        let mut score = Score::default();
        for run in runs {
            score.merge(run.join().expect("a failure is a result"));
        }
        score
    });
    println!("{score}");
    let failures = score.failures();
    assert!(failures.is_empty(), "{score}\n\n{}", failures.join("\n\n"));
}

/// Where a process runs that was started to die; see `run_as_child`.
#[test]
fn a_case_that_dies() {
    run_as_child();
}

/// The document says what is tested: the same cases, machines, differences and reasons. With `MAINSPRING_UPDATE_DOCS` set
/// it is written there.
#[test]
#[expect(clippy::disallowed_methods, reason = "a document of ours, and no program under test")]
fn the_document_holds_the_table() {
    let (begin, end) = ("<!-- conformance -->\n", "\n<!-- /conformance -->");
    let (before, rest) = DOCUMENT.split_once(begin).expect("the document has the mark");
    let (written, after) = rest.split_once(end).expect("the document has the other mark");
    let section = section();
    if std::env::var_os("MAINSPRING_UPDATE_DOCS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SIMULATION.md");
        std::fs::write(path, [before, begin, &section, end, after].concat()).expect("it is ours");
    } else {
        assert_eq!(
            written, section,
            "write it with MAINSPRING_UPDATE_DOCS=1 cargo test -p mainspring-tests --test conformance"
        );
    }
}

/// A name is a way to speak of a case.
#[test]
fn names_are_distinct() {
    let names: std::collections::BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
}
