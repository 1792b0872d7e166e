//! `Kinds`: failures, told apart by what makes them what they are.

use core::fmt;
use std::collections::BTreeMap;

use super::ScenarioFailure;

/// So many are told apart: where a message has a text that differs each time, each failure is a kind.
const KINDS_MAX: usize = 1000;

/// The failures of many seeds, by their [signature](ScenarioFailure::signature): thousands of seeds that meet one bug are one kind. The
/// first 1,000 that are found are kept.
#[derive(Clone, Debug, Default)]
pub struct Kinds(BTreeMap<String, Kind>);

/// The failures with one signature.
#[derive(Clone, Debug)]
pub struct Kind {
    /// How many there are.
    pub count: u64,
    /// The one with the least seed.
    pub first: ScenarioFailure,
}

impl Kinds {
    pub(super) fn add(&mut self, failure: &ScenarioFailure) {
        self.add_many(failure.signature(), Kind { count: 1, first: failure.clone() });
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (signature, kind) in other.0 {
            self.add_many(signature, kind);
        }
    }

    pub(super) fn add_many(&mut self, signature: String, more: Kind) {
        let is_full = self.0.len() >= KINDS_MAX;
        match self.0.get_mut(&signature) {
            None if is_full => {}
            None => {
                self.0.insert(signature, more);
            }
            Some(kind) => {
                kind.count += more.count;
                if more.first.seed < kind.first.seed {
                    kind.first = more.first;
                }
            }
        }
    }

    /// How many kinds there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With their signatures, the most frequent one first.
    #[must_use]
    pub fn by_count(&self) -> Vec<(&str, &Kind)> {
        let mut kinds: Vec<_> = self.0.iter().map(|(name, kind)| (name.as_str(), kind)).collect();
        kinds.sort_by_key(|(_, kind)| (core::cmp::Reverse(kind.count), kind.first.seed));
        kinds
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "{}", self.first),
            count => write!(f, "{count} seeds fail so; the first of them:\n{}", self.first),
        }
    }
}
