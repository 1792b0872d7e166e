//! The case files of HTTP/1.1: each case on the protocol core, through the server in the simulator and through the server
//! on the operating system; and `docs/HTTP.md`, which says what each of them is for.
#![expect(
    clippy::disallowed_methods,
    reason = "it reads the case files and a document, not as part of a program under test"
)]

use std::collections::BTreeSet;
use std::path::Path;

use mainspring_tests::http1_cases::{
    Case, Delivery, Room, check_codec, check_on_os, check_simulated, parse,
};

/// Seeds of the places at which the bytes of a case are cut.
const SPLITS: [u64; 4] = [1, 2, 3, 5];

/// The files with their names, in order.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/http1");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the case files") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("a file").to_str().expect("a plain name").to_owned();
        files.push((name, std::fs::read_to_string(&path).expect("text")));
    }
    files.sort();
    files
}

fn cases() -> Vec<Case> {
    let parsed = files().into_iter().map(|(name, text)| parse(&name, &text));
    let parsed: Result<Vec<_>, _> = parsed.collect();
    parsed.unwrap_or_else(|error| panic!("{error}")).concat()
}

/// Fails with all that did not hold, and with all that holds though it is said to be pending.
fn judge(results: &[(Case, Result<(), String>)]) {
    assert!(results.len() > 300, "the cases are there");
    let mut failures = Vec::new();
    for (case, result) in results {
        let (name, place) = (&case.name, &case.place);
        match (result, &case.pending) {
            (Err(error), None) => failures.push(format!("{place}: {name}: {error}")),
            (Ok(()), Some(_)) => failures.push(format!("{place}: {name}: it is no longer pending")),
            (Ok(()), None) | (Err(_), Some(_)) => {}
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        results.len(),
        failures.join("\n")
    );
}

fn run_all(run: impl Fn(&Case) -> Result<(), String>) {
    let results = cases().into_iter().map(|case| {
        let result = run(&case);
        (case, result)
    });
    judge(&results.collect::<Vec<_>>());
}

fn deliveries() -> Vec<Delivery> {
    let splits = SPLITS.map(Delivery::Split);
    [Delivery::Whole, Delivery::Bytes].into_iter().chain(splits).collect()
}

#[test]
fn every_case_on_the_protocol_core() {
    run_all(|case| {
        deliveries().into_iter().try_for_each(|delivery| {
            check_codec(case, delivery).map_err(|what| format!("{delivery:?}: {what}"))
        })
    });
}

#[test]
fn every_case_in_a_calm_room() {
    run_all(|case| {
        deliveries().into_iter().try_for_each(|delivery| {
            let ran = check_simulated(case, delivery, Room::Calm);
            ran.map_err(|what| format!("{delivery:?}: {what}"))
        })
    });
}

#[test]
fn every_case_in_rough_rooms() {
    run_all(|case| {
        SPLITS.into_iter().try_for_each(|seed| {
            let ran = check_simulated(case, Delivery::Split(seed), Room::Rough(seed));
            ran.map_err(|what| format!("seed {seed}: {what}"))
        })
    });
}

#[test]
fn every_case_on_the_operating_system() {
    let cases = cases();
    let results = check_on_os(&cases, &[Delivery::Whole, Delivery::Split(SPLITS[0])]);
    judge(&cases.into_iter().zip(results).collect::<Vec<_>>());
}

#[test]
fn names_are_distinct() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "a name is a way to speak of one case");
}

/// What stands between backticks, in order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `docs/HTTP.md`, and its rows of requirements: section, requirement, place, cases.
fn document() -> (String, Vec<[String; 4]>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/HTTP.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let rows = text.lines().filter(|line| line.starts_with("| 91")).map(|line| {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        <[String; 4]>::try_from(cells).unwrap_or_else(|_| panic!("four cells: {line}"))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 100, "the requirements are there");
    (text, rows)
}

/// The names of cases without their variants.
fn groups() -> BTreeSet<String> {
    let first = |name: &str| name.split('/').next().expect("a first part").to_owned();
    cases().iter().map(|case| first(&case.name)).collect()
}

/// All Rust files below `folder`, joined.
fn source(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            text.push_str(&source(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("text"));
        }
    }
    text
}

fn is_case_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.contains('-') && name.bytes().all(is_part)
}

/// `docs/HTTP.md` names all files and all cases, and none that there is not.
#[test]
fn the_document_names_the_cases() {
    let (text, rows) = document();
    let groups = groups();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tests = source(&top.join("tests/tests")) + &source(&top.join("server/src"));
    for (file, _) in files() {
        assert!(text.contains(&format!("| `{file}` |")), "{file} is not in the table of files");
    }
    for [section, requirement, place, shown] in &rows {
        let is_ours = place.contains("::");
        assert!(!is_ours || shown != "—", "{section}: {requirement}: nothing shows it");
        for name in quoted(shown) {
            let is_test = name.contains('_') && tests.contains(&format!("fn {name}()"));
            assert!(groups.contains(name) || is_test, "{section}: `{name}` is no case and no test");
        }
    }
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let last = row.trim_matches('|').rsplit('|').next().expect("a last cell");
        for name in quoted(last).filter(|name| is_case_name(name)) {
            assert!(groups.contains(name), "`{name}` is no case: {row}");
        }
    }
    let named: BTreeSet<&str> = quoted(&text).collect();
    let missing: Vec<&String> =
        groups.iter().filter(|name| !named.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/HTTP.md: {missing:?}");
}

/// The places that `docs/HTTP.md` names exist.
#[test]
fn the_document_names_places_that_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src");
    for [section, _, place, _] in document().1 {
        if ["handler", "gateway", "client"].contains(&place.as_str()) {
            continue;
        }
        let (file, function) = quoted(&place)
            .next()
            .and_then(|place| place.split_once("::"))
            .unwrap_or_else(|| panic!("{section}: {place:?} is no place"));
        let text = std::fs::read_to_string(folder.join(file));
        let text = text.unwrap_or_else(|error| panic!("{section}: {file}: {error}"));
        let begin = format!("fn {function}");
        let is_there = text.split(&begin).skip(1).any(|after| after.starts_with(['(', '<']));
        assert!(is_there, "{section}: {file} has no function {function}");
    }
}

/// The section of a case is one that its file, and the document, are about.
#[test]
fn sections_are_listed() {
    let (text, _) = document();
    for case in cases() {
        for section in case.rfc.iter().filter(|section| section.starts_with("91")) {
            let (rfc, number) = section.split_once(" §").expect("checked by the parser");
            let rows = text.lines().filter(|line| line.starts_with(&format!("| {rfc} ")));
            let mut cells = rows.filter_map(|line| line.split('|').nth(1));
            let is_listed = cells.any(|cell| {
                cell.split(", ").any(|part| part.trim().rsplit('§').next() == Some(number))
            });
            assert!(is_listed, "{}: {}: {section} has no row", case.place, case.name);
        }
    }
}
