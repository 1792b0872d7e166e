//! The catalogue in `docs/STAND-INS.md`: every behaviour is in it, in the order of the code, and has a test.
#![expect(clippy::disallowed_methods, reason = "it reads the source, outside of any simulation")]

use std::fs::read_to_string;
use std::path::Path;

/// The enums, where they are, and which file has their tests.
const ENUMS: &[(&str, &str, &str)] = &[
    ("Behaviour", "behaviour.rs", "line.rs"),
    ("HttpBehaviour", "http/mod.rs", "http.rs"),
    ("PostgresBehaviour", "postgres/mod.rs", "postgres.rs"),
    ("RedisBehaviour", "redis/mod.rs", "redis.rs"),
    ("FeedBehaviour", "feed/mod.rs", "feed.rs"),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the variants of an enum.
fn variants(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).expect("it is there");
    let (body, _) = body.split_once("\n}\n").expect("it ends");
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names =
        lines.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().expect("a first part"));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether a source has this path, whole: `Behaviour::Reset` is not in `Behaviour::ResetLate`, nor in `HttpBehaviour::Reset`.
fn names(source: &str, path: &str) -> bool {
    source.match_indices(path).any(|(at, _)| {
        let before = source[..at].chars().next_back();
        let after = source[at + path.len()..].chars().next();
        ![before, after].iter().flatten().any(|c| c.is_alphanumeric())
    })
}

#[test]
fn every_behaviour_is_told_and_tested() {
    let document = read("../../docs/STAND-INS.md");
    for (name, source, tests) in ENUMS {
        let variants = variants(&read(&format!("src/{source}")), name);
        assert!(variants.len() > 10, "{name}: {variants:?}");
        let (_, section) = document.split_once(&format!(": `{name}`\n")).expect("a section");
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let told: Vec<&str> =
            rows.map(|row| row.split(|c: char| !c.is_alphanumeric()).next().unwrap()).collect();
        assert_eq!(told, variants, "{name} in docs/STAND-INS.md");
        let tests = read(&format!("tests/it/{tests}"));
        for variant in variants {
            let is_tested =
                ["Is", name].iter().any(|path| names(&tests, &format!("{path}::{variant}")));
            assert!(is_tested, "{name}::{variant} has no test");
        }
    }
}
