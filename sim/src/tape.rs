//! `Tape`: the choices of a run, to be made again. Data, and nothing else.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A run, as the choices that were not harmless in it; all others are 0. What the programs draw as entropy comes from the
/// seed.
///
/// Its text is JSON, on one line: `{"seed":7,"choices":{"server/task":{"17":2}}}` says that the 18th time a task of
/// `server` was to be chosen, the third of those that were ready was. A choice that is not made any more, or for which
/// there are fewer answers now, is no error: the run goes on with 0, or with the last answer there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Tape {
    seed: u64,
    /// Without zeros, and without streams that have nothing else.
    choices: BTreeMap<String, BTreeMap<u64, u64>>,
}

/// A tape, as somebody wrote it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    seed: u64,
    choices: BTreeMap<String, BTreeMap<u64, u64>>,
}

impl From<Written> for Tape {
    fn from(written: Written) -> Self {
        let mut choices = written.choices;
        choices.values_mut().for_each(|answers| answers.retain(|_, value| *value > 0));
        choices.retain(|_, answers| !answers.is_empty());
        Self { seed: written.seed, choices }
    }
}

impl Tape {
    /// A calm day: all choices are 0.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, choices: BTreeMap::new() }
    }

    /// Where the entropy comes from, and all else that is no choice.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many choices are not 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.choices.values().map(BTreeMap::len).sum()
    }

    /// Whether all choices are 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// The answer to a choice.
    #[must_use]
    pub fn get(&self, stream: &str, position: u64) -> u64 {
        let choices = self.choices.get(stream);
        choices.and_then(|choices| choices.get(&position)).copied().unwrap_or(0)
    }

    /// Sets the answer to a choice.
    pub fn set(&mut self, stream: &str, position: u64, value: u64) {
        if value > 0 {
            self.choices.entry(stream.to_owned()).or_default().insert(position, value);
        } else if let Some(choices) = self.choices.get_mut(stream) {
            choices.remove(&position);
            if choices.is_empty() {
                self.choices.remove(stream);
            }
        }
    }

    /// The choices that are not 0: stream, position, value; sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.choices.iter().flat_map(|(stream, choices)| {
            choices.iter().map(move |(position, value)| (stream.as_str(), *position, *value))
        })
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// What is wrong with the text of a tape, and where.
#[derive(Debug)]
pub struct TapeError(serde_json::Error);

impl fmt::Display for TapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a tape: {}", self.0)
    }
}

impl core::error::Error for TapeError {}

impl FromStr for Tape {
    type Err = TapeError;

    fn from_str(text: &str) -> Result<Self, TapeError> {
        serde_json::from_str(text).map_err(TapeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_one_line_and_comes_back() {
        let mut tape = Tape::new(7);
        tape.set("server/task", 17, 2);
        tape.set("server/short read", 0, 1);
        let text = r#"{"seed":7,"choices":{"server/short read":{"0":1},"server/task":{"17":2}}}"#;
        assert_eq!(tape.to_string(), text);
        assert_eq!(text.parse::<Tape>().unwrap(), tape);
        assert_eq!(tape.len(), 2);
    }

    #[test]
    fn zeros_are_not_kept() {
        let read: Tape = r#"{"seed":1,"choices":{"a/task":{"3":0}}}"#.parse().unwrap();
        assert_eq!(read, Tape::new(1));
        assert!(
            serde_json::from_str::<Tape>(r#"{"seed":1,"choices":{"a/task":{}}}"#)
                .unwrap()
                .is_empty()
        );
        let mut tape = Tape::new(1);
        tape.set("a/task", 3, 4);
        assert_eq!(
            (tape.get("a/task", 3), tape.get("a/task", 2), tape.get("b/task", 3)),
            (4, 0, 0)
        );
        tape.set("a/task", 3, 0);
        assert!(tape.is_empty());
    }

    #[test]
    fn what_is_no_tape_is_refused_with_a_place() {
        for text in ["", "{}", r#"{"seed":-1,"choices":{}}"#, r#"{"seed":1,"choices":{},"x":1}"#] {
            let error = text.parse::<Tape>().unwrap_err().to_string();
            assert!(error.starts_with("not a tape: ") && error.contains("line 1"), "{error}");
        }
    }
}
