//! Our server beside hyper's, on what the clients of the case files say; and "Beside hyper" in `docs/HTTP.md`, which says
//! why they differ where they do.
#![expect(
    clippy::disallowed_methods,
    reason = "it reads the case files and a document, not as part of a program under test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mainspring_tests::fuzz::differential::{compare, explained};
use mainspring_tests::http1_cases::{Case, parse};

/// Sizes of pieces, over and over; none: all at once.
const SIZES: [&[u8]; 4] = [&[], &[1], &[5, 1, 3], &[30, 2]];

/// A row of the document names so many errors at most; else it is about refusals of all kinds.
const ERRORS_NAMED_MAX: usize = 2;

/// The names of cases, without their variants, by what explains a difference in one of them.
type Explained = BTreeMap<&'static str, BTreeSet<String>>;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder().join("data/http1")).expect("the case files") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("text");
        cases.extend(parse(&path.display().to_string(), &text).expect("it is parsed elsewhere"));
    }
    cases
}

/// A case as the fuzzer would write it, in pieces of such sizes.
fn data(case: &Case, sizes: &[u8], hangs_up: bool) -> Vec<u8> {
    let count = u8::try_from(sizes.len()).expect("a few");
    [&[count | u8::from(hangs_up) << 5], sizes, &case.stream().0].concat()
}

/// Runs all cases in all ways, each twice; what explains the differences.
fn run_all() -> Explained {
    let (mut explained, mut failures) = (Explained::new(), Vec::new());
    let cases = cases();
    assert!(cases.len() > 300, "the cases are there");
    for case in &cases {
        let group = case.name.split('/').next().expect("a first part");
        for sizes in SIZES {
            for hangs_up in [false, true] {
                let data = data(case, sizes, hangs_up);
                match compare(&data) {
                    Ok(comparison) => {
                        let again = compare(&data).expect("it was right before");
                        assert_eq!(again, comparison, "{}: two runs differ", case.name);
                        if let Some(name) = comparison.explained {
                            explained.entry(name).or_default().insert(group.to_owned());
                        }
                    }
                    Err(report) => {
                        failures.push(format!("{}: {}\n{report}", case.place, case.name));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
    explained
}

/// What stands between backticks, in order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A row of "Beside hyper".
struct Row {
    name: String,
    /// Our errors.
    errors: Vec<String>,
    /// The cases that show it.
    cases: Vec<String>,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(folder().join("../docs/HTTP.md")).expect("the document");
    let section = text.split("\n## Beside hyper\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("a first part");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        let is_error = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
        Row {
            name: quoted(cells[0]).next().expect("a name").to_owned(),
            errors: quoted(cells[2]).filter(|name| is_error(name)).map(str::to_owned).collect(),
            cases: quoted(cells[3]).map(str::to_owned).collect(),
        }
    });
    rows.collect()
}

/// Nothing differs that is not explained, and two runs are the same. The cases that the document names for an
/// explanation are explained by it, and there are some.
#[test]
fn every_case_beside_hyper() {
    let found = run_all();
    for Row { name, cases, .. } in rows() {
        assert!(!cases.is_empty(), "{name}: no case shows it");
        let found = found.get(name.as_str()).unwrap_or_else(|| panic!("{name}: no case has it"));
        for case in cases {
            assert!(found.contains(&case), "{name} does not explain `{case}`, but {found:?}");
        }
    }
}

/// Each explanation is in the document, and no other; with our errors, unless they are many.
#[test]
fn the_document_explains_what_the_code_does() {
    let rows = rows();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, explained().map(|(name, _)| name).collect::<Vec<_>>());
    for (Row { name, errors, .. }, (_, in_code)) in rows.iter().zip(explained()) {
        let in_code: Vec<String> = in_code.iter().map(|error| format!("{error:?}")).collect();
        let is_same = *errors == in_code || (errors.is_empty() && in_code.len() > ERRORS_NAMED_MAX);
        assert!(is_same, "{name}: {errors:?} in the document, {in_code:?} in the code");
    }
}
