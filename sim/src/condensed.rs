//! `condensed`: many lines that say the same, as a few.

use std::collections::BTreeMap;

/// So many lines are shown that differ in nothing but numbers.
const ALIKE_MAX: usize = 3;

/// The lines without those that are like others: the same but for numbers that are not of a place in the code.
pub(crate) fn condensed(lines: &[String]) -> Vec<String> {
    let mut kinds: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    let mut order = Vec::new();
    for line in lines {
        let kind = without_numbers(line);
        if !kinds.contains_key(&kind) {
            order.push(kind.clone());
        }
        kinds.entry(kind).or_default().push(line);
    }
    let mut shown = Vec::new();
    for kind in &order {
        let alike = &kinds[kind];
        shown.extend(alike.iter().take(ALIKE_MAX).map(|line| (*line).clone()));
        if let Some(more) = alike.len().checked_sub(ALIKE_MAX).filter(|more| *more > 0) {
            shown.push(format!("and {more} more like this"));
        }
    }
    shown
}

/// A line without its numbers, but those of a place in the code: `src/house.rs:138:31`.
fn without_numbers(line: &str) -> String {
    let mut kind = String::new();
    let mut is_of_a_place = false;
    for character in line.chars() {
        is_of_a_place = match character {
            ':' => is_of_a_place || kind.ends_with(".rs"),
            _ => is_of_a_place && character.is_ascii_digit(),
        };
        if is_of_a_place || !character.is_ascii_digit() {
            kind.push(character);
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_numbers_are_counted() {
        let task =
            |number: usize, line| format!("shop: task {number}, spawned at src/a.rs:{line}:14");
        let mut lines: Vec<String> = (0..12).map(|number| task(number, 7)).collect();
        lines.push(task(3, 8));
        lines.push("shop: timer for 1.5, made at src/a.rs:7:14".to_owned());
        lines.extend((0..5).map(|port| format!("shop: kernel: connection from 10.0.0.2:{port}")));
        let mut expected: Vec<String> = (0..3).map(|number| task(number, 7)).collect();
        expected.push("and 9 more like this".to_owned());
        expected.extend_from_slice(&lines[12..17]);
        expected.push("and 2 more like this".to_owned());
        assert_eq!(condensed(&lines), expected);
        assert_eq!(condensed(&lines[..3]), lines[..3]);
        assert_eq!(condensed(&lines[..4]).last().map(String::as_str), Some("and 1 more like this"));
    }
}
