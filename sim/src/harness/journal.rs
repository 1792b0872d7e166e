//! `Journal`: the file in which a sweep keeps what is done, so that it can go on after it was ended.
//!
//! A line of JSON for the sweep, and then one for each second or so: the seeds that were done since the line before, and what became of
//! them. A line that was not written whole is not there: its seeds are run again.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use mainspring_executor::driver::Site;
use serde::{Deserialize, Serialize};

use super::{Kind, Scenario, ScenarioFailure, Sweep, SweepCoverage};
use crate::choice::fnv1a;

/// So many failures are kept with their messages; of more of them the first of each kind, and how many there are.
const FAILURES_MAX: u64 = 1000;

/// What a file is of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    scenario: String,
    order: Option<String>,
    strict: bool,
    from: u64,
    to: u64,
    /// The hash of the program: what another one did is not what this one would do.
    program: String,
}

/// What was done since the line before.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    seeds: Vec<(u64, u64)>,
    requests: u64,
    events: u64,
    /// In hexadecimal: JSON has no integers of 64 bits that everybody reads.
    hash: String,
    coverage: serde_json::Value,
    failures: Vec<Failed>,
    /// Those that are not kept, by the first of each kind.
    more: Vec<(u64, Failed)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    seed: u64,
    message: String,
}

/// See the file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Seeds that are in `pending`.
    seeds: Vec<Range<u64>>,
    pending: Sweep,
    /// Failures that are in the file, with their messages.
    kept_count: u64,
}

impl Journal {
    /// Opens the file of a sweep, or makes it. Gives what was done before as well, and which seeds are left.
    ///
    /// # Errors
    /// When it cannot be read or written, is no such file, one of another sweep or another program, or in use.
    #[expect(clippy::disallowed_methods, reason = "a tool of its own, outside of any run")]
    pub(super) fn open(
        path: &str,
        scenario: &Scenario,
        seeds: Range<u64>,
    ) -> Result<(Self, Sweep, Vec<Range<u64>>), String> {
        let error = |error: io::Error| format!("{path}: {error}");
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path).map_err(error)?;
        file.try_lock().map_err(|reason| format!("{path} is in use by another sweep: {reason}"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(error)?;
        let header = Header {
            scenario: scenario.name.to_owned(),
            order: scenario.order.map(|order| order.to_string()),
            strict: scenario.is_strict,
            from: seeds.start,
            to: seeds.end,
            program: program().map_err(|error| format!("this program cannot be read: {error}"))?,
        };
        let first = serde_json::to_string(&header).expect("it is made of texts and numbers");
        // The last line may be half of one, and the first may be the last.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = core::str::from_utf8(&bytes[..whole])
            .map_err(|error| format!("{path}: not the journal of a sweep: {error}"))?;
        let mut lines = text.lines().enumerate();
        match lines.next() {
            Some((_, line)) => {
                let found: Header = serde_json::from_str(line)
                    .map_err(|error| format!("{path}:1: not the journal of a sweep: {error}"))?;
                if found != header {
                    return Err(format!(
                        "{path} is the journal of another sweep: {line}, and not of {first}"
                    ));
                }
            }
            None if first.as_bytes().starts_with(&bytes) => {}
            None => return Err(format!("{path}:1: not the journal of a sweep")),
        }
        let (mut done, mut left, mut known) = (Sweep::default(), vec![seeds], BTreeSet::new());
        let mut kept_count = 0;
        for (index, line) in lines {
            let entry: Entry = serde_json::from_str(line)
                .map_err(|error| format!("{path}:{}: not of a sweep: {error}", index + 1))?;
            kept_count += entry.failures.len() as u64;
            let sweep = entry
                .take_out(&mut left)
                .and_then(|()| entry.sweep(scenario, &mut known))
                .ok_or_else(|| format!("{path}:{}: not of this sweep", index + 1))?;
            done.merge(sweep);
        }
        file.set_len(whole as u64).map_err(error)?;
        if whole == 0 {
            write_line(&mut file, &header).map_err(error)?;
        }
        let journal = Self { file, seeds: Vec::new(), pending: Sweep::default(), kept_count };
        Ok((journal, done, left))
    }

    /// These seeds are done.
    pub(super) fn add(&mut self, seeds: Range<u64>, sweep: &Sweep) {
        self.seeds.push(seeds);
        self.pending.merge(sweep.clone());
    }

    /// Writes what was added since.
    ///
    /// # Errors
    /// When the system does not take it. Then half of it may be written, and nothing is to be written behind it.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.seeds.is_empty() {
            return Ok(());
        }
        let pending = core::mem::take(&mut self.pending);
        let seeds = merged(core::mem::take(&mut self.seeds));
        let kept = usize::try_from(FAILURES_MAX - self.kept_count.min(FAILURES_MAX));
        let entry = Entry::of(&seeds, &pending, kept.expect("1,000 at most"));
        self.kept_count += entry.failures.len() as u64;
        write_line(&mut self.file, &entry)
    }
}

/// The hash of the program that runs.
#[expect(clippy::disallowed_methods, reason = "a tool of its own, outside of any run")]
fn program() -> io::Result<String> {
    let bytes = std::fs::read(std::env::current_exe()?)?;
    Ok(format!("{:016x}", fnv1a(&[&bytes])))
}

impl Entry {
    /// With so many failures, and of the others the first of each kind.
    fn of(seeds: &[Range<u64>], sweep: &Sweep, failures_max: usize) -> Self {
        let failed = |failure: &ScenarioFailure| Failed {
            seed: failure.seed,
            message: failure.message.clone(),
        };
        let kept = &sweep.failures[..failures_max.min(sweep.failures.len())];
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for failure in kept {
            *counts.entry(failure.signature()).or_default() += 1;
        }
        let more = |(signature, kind): (&str, &Kind)| {
            let count = kind.count - counts.get(signature).copied().unwrap_or(0);
            (count > 0).then(|| (count, failed(&kind.first)))
        };
        Self {
            seeds: seeds.iter().map(|range| (range.start, range.end)).collect(),
            requests: sweep.request_count,
            events: sweep.event_count,
            hash: format!("{:016x}", sweep.hash),
            coverage: sweep.coverage.json(),
            failures: kept.iter().map(failed).collect(),
            more: sweep.kinds.by_count().into_iter().filter_map(more).collect(),
        }
    }

    /// Takes its seeds out of those that are left. `None`: they are not all among them.
    fn take_out(&self, left: &mut Vec<Range<u64>>) -> Option<()> {
        for (from, to) in &self.seeds {
            let place = left.iter().position(|range| range.start <= *from && *to <= range.end)?;
            if from >= to {
                return None;
            }
            let range = left[place].clone();
            left.splice(place..=place, without(&range, *from..*to));
        }
        Some(())
    }

    /// What became of its seeds. `None`: it is not of this program.
    fn sweep(self, scenario: &Scenario, known: &mut BTreeSet<&'static Site>) -> Option<Sweep> {
        let failure = |failed: Failed| scenario.failure(failed.seed, None, failed.message);
        let mut sweep = Sweep {
            seed_count: self.seeds.iter().map(|(from, to)| to - from).sum(),
            request_count: self.requests,
            event_count: self.events,
            hash: u64::from_str_radix(&self.hash, 16).ok()?,
            coverage: SweepCoverage::read(&self.coverage, known)?,
            ..Sweep::default()
        };
        for failed in self.failures {
            sweep.add_failure(failure(failed));
        }
        for (count, failed) in self.more {
            let first = failure(failed);
            sweep.failure_count += count;
            sweep.kinds.add_many(first.signature(), Kind { count, first });
        }
        Some(sweep)
    }
}

fn write_line(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}

/// What is left of a range without another: up to two.
fn without(range: &Range<u64>, gone: Range<u64>) -> Vec<Range<u64>> {
    let before = range.start..gone.start.clamp(range.start, range.end);
    let after = gone.end.clamp(range.start, range.end)..range.end;
    if gone.is_empty() {
        return vec![range.clone()];
    }
    [before, after].into_iter().filter(|part| !part.is_empty()).collect()
}

/// The same seeds in as few ranges as there can be.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: Range<u64>, gone: Range<u64>, left: &[(u64, u64)]) {
        let found = without(&range, gone);
        let found: Vec<_> = found.into_iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(found, left);
    }

    #[test]
    fn what_is_done_is_taken_out() {
        check(0..10, 0..10, &[]);
        check(0..10, 3..5, &[(0, 3), (5, 10)]);
        check(0..10, 0..5, &[(5, 10)]);
        check(0..10, 8..20, &[(0, 8)]);
        check(5..10, 0..3, &[(5, 10)]);
        check(5..10, 12..20, &[(5, 10)]);
        check(5..10, 7..7, &[(5, 10)]);
        assert_eq!(merged(vec![8..16, 32..40, 0..8, 16..17]), [0..17, 32..40]);
    }
}
