//! `Divergence`: where two traces part that should be one.

use core::fmt;

/// The first place where two traces that should be one differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The number of the first event that differs, from 0.
    pub index: usize,
    /// What both did just before.
    pub before: Vec<String>,
    /// What the first did then.
    pub left: Vec<String>,
    /// What the second did then.
    pub right: Vec<String>,
}

/// Events shown before and from the difference on.
const CONTEXT: usize = 5;

/// Finds the first event in which two traces differ, with what came before and after it; `None` if they are equal.
///
/// ```
/// let trace = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
/// let divergence = mainspring_sim::first_divergence(&trace("a b c"), &trace("a b d"));
/// assert_eq!(divergence.expect("they differ").index, 2);
/// ```
#[must_use]
pub fn first_divergence(left: &[String], right: &[String]) -> Option<Divergence> {
    let common = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    if common == left.len() && common == right.len() {
        return None;
    }
    let after = |trace: &[String]| trace.iter().skip(common).take(CONTEXT).cloned().collect();
    Some(Divergence {
        index: common,
        before: left[common.saturating_sub(CONTEXT)..common].to_vec(),
        left: after(left),
        right: after(right),
    })
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the runs part at event {}; before it, both:", self.index)?;
        for line in &self.before {
            writeln!(f, "    {line}")?;
        }
        for (name, lines) in [("the first", &self.left), ("the second", &self.right)] {
            writeln!(f, "then {name}:")?;
            for line in lines {
                writeln!(f, "    {line}")?;
            }
            if lines.is_empty() {
                writeln!(f, "    nothing more")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn check(left: &str, right: &str, expected: Option<usize>) {
        let found = first_divergence(&trace(left), &trace(right));
        assert_eq!(found.map(|found| found.index), expected, "{left} | {right}");
    }

    #[test]
    fn the_first_divergence_is_found() {
        check("", "", None);
        check("a b", "a b", None);
        check("a b", "a c", Some(1));
        check("x b", "a b", Some(0));
        check("a", "a b", Some(1));
        check("a b", "", Some(0));
    }

    #[test]
    fn a_divergence_shows_both_sides() {
        let found = first_divergence(&trace("a b c"), &trace("a b")).expect("they differ");
        assert_eq!(
            found.to_string(),
            "the runs part at event 2; before it, both:\n    a\n    b\n\
             then the first:\n    c\nthen the second:\n    nothing more\n"
        );
    }
}
