//! `Regressions`: the file beside a test with the seeds that have failed.
//!
//! One line each: the test's path in its crate, and the seed. What is behind `#` is for people.
#![expect(clippy::disallowed_methods, reason = "outside of any run")]

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const EXTENSION: &str = "seeds";

/// See the file.
#[derive(Debug)]
pub(super) struct Regressions(PathBuf);

impl Regressions {
    /// That of a source file, as the compiler names it: from the folder of the workspace.
    pub(super) fn beside(source: &str) -> Self {
        let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from);
        let mut folders = package.ancestors().map(|folder| folder.join(source));
        let source = folders.find(|path| path.exists()).unwrap_or_else(|| source.into());
        Self(source.with_extension(EXTENSION))
    }

    /// The seeds of a test, in the order of the file.
    ///
    /// # Panics
    /// When the file cannot be read, or a line is none of it.
    pub(super) fn of(&self, test: &str) -> Vec<u64> {
        let path = self.0.display();
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("{path}: {error}"),
        };
        seeds(&text, test).unwrap_or_else(|line| {
            panic!(
                "{path}:{line}: expected is the path of a test, and the seed with which it failed"
            )
        })
    }

    /// Keeps a seed that has failed. Gives what is to be said of that: an error is not what the test is about.
    pub(super) fn keep(&self, test: &str, seed: u64) -> String {
        let path = self.0.display();
        match add(&self.0, test, seed) {
            Ok(true) => format!("{path} has the seed now; keep it in version control"),
            Ok(false) => format!("{path} has the seed"),
            Err(error) => format!("the seed could not be kept in {path}: {error}"),
        }
    }
}

/// The seeds of a test, or the number of the first line that is wrong.
fn seeds(text: &str, test: &str) -> Result<Vec<u64>, usize> {
    let mut found = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (name, seed) = line.split_once(' ').ok_or(number)?;
        let seed: u64 = seed.trim().parse().map_err(|_| number)?;
        if name == test && !found.contains(&seed) {
            found.push(seed);
        }
    }
    Ok(found)
}

/// Whether it was not there.
fn add(path: &Path, test: &str, seed: u64) -> io::Result<bool> {
    // Other tests may do the same, in this process or in others: each line is one write, behind what is there.
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let text = fs::read_to_string(path)?;
    if seeds(&text, test).is_ok_and(|seeds| seeds.contains(&seed)) {
        return Ok(false);
    }
    let before = match text.chars().next_back() {
        None => {
            "# Seeds with which tests have failed: they are run first. Keep this file in version control.\n"
        }
        Some('\n') => "",
        // Somebody has ended it without.
        Some(_) => "\n",
    };
    file.write_all(format!("{before}{test} {seed}\n").as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_test() {
        let text = "# a remark\n\nshop::pays 7 # lost\nshop::ships 8\nshop::pays 9\nshop::pays 7\n";
        assert_eq!(seeds(text, "shop::pays"), Ok(vec![7, 9]));
        assert_eq!(seeds(text, "shop::ships"), Ok(vec![8]));
        assert_eq!(seeds(text, "pays"), Ok(vec![]));
        assert_eq!(seeds("shop::pays 7\nshop::pays\n", "shop::pays"), Err(2));
        assert_eq!(seeds("shop::pays seven", "shop::ships"), Err(1));
        assert_eq!(seeds("shop::pays 7shop::ships 8", "shop::ships"), Err(1));
    }
}
