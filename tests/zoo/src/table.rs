//! `Row`: how soon the bug of a specimen is found, and what is left of the failure when it is made small.

use core::fmt;
use core::ops::Range;
use std::rc::Rc;

use mainspring_executor::driver::Driver;
use mainspring_executor::os::OsDriver;
use mainspring_sim::Order;
use mainspring_sim::harness::{Scenario, Story};

use crate::Specimen;

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    specimen: &'static Specimen,
    /// Of each search that found it: seeds up to the first failure, and seconds.
    found: Vec<(u64, f64)>,
    search_count: u64,
    /// The failure of median size, made small; else why it was not.
    story: Result<Story, String>,
}

/// Whether a twin without a bug is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// In all of its runs.
    Kept,
    /// The first failure.
    Broken(String),
}

/// Searches for the bug, from several seeds, `seeds` of them at most each; and makes one failure small: of those that were found
/// the one with the median of events. `order` goes before that of the specimen.
///
/// # Panics
/// When the system has no clock.
#[must_use]
pub fn observe(
    specimen: &'static Specimen,
    order: Option<Order>,
    seeds: u64,
    searches: u64,
    attempts: u64,
) -> Row {
    let bug = Scenario { order, ..specimen.bug };
    let clock = Rc::new(OsDriver::new().expect("the system has a clock"));
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for search in 0..searches {
        let range = search * seeds..(search + 1) * seeds;
        let start = clock.now();
        if let Some(seed) = first_failure(&bug, range.clone()) {
            found.push((seed - range.start + 1, (clock.now() - start).as_secs_f64()));
            failures.push(seed);
        }
    }
    failures.sort_by_cached_key(|seed| bug.run_recorded(*seed).1.event_count());
    let story = match failures.get(failures.len() / 2) {
        Some(seed) => bug.minimise(*seed, attempts),
        None => Err(format!("not found in {searches} times {seeds} seeds")),
    };
    Row { specimen, found, search_count: searches, story }
}

fn first_failure(bug: &Scenario, mut seeds: Range<u64>) -> Option<u64> {
    seeds.find(|seed| bug.run(*seed, false).is_err())
}

/// Runs the twin without the bug, each seed twice.
#[must_use]
pub fn watch(specimen: &Specimen, seeds: u64) -> Silence {
    let sweep = specimen.fixed.sweep(0..seeds);
    sweep.failures.first().map_or(Silence::Kept, |failure| Silence::Broken(failure.to_string()))
}

/// The head of the table.
#[must_use]
pub fn header() -> &'static str {
    "| specimen | the bug | what shows it | found | seeds | seconds | choices | events | source |\n\
     |---|---|---|---:|---:|---:|---:|---:|---|"
}

/// All rows in a sentence.
#[must_use]
pub fn summary(rows: &[Row]) -> String {
    let found = rows.iter().filter(|row| row.is_found_always()).count();
    let mut seeds: Vec<u64> = rows.iter().filter_map(Row::median_seeds).collect();
    seeds.sort_unstable();
    let most = rows.iter().flat_map(|row| &row.found).map(|(seeds, _)| seeds).max();
    let stories = rows.iter().filter_map(|row| row.story().ok());
    let mut gone: Vec<f64> = stories
        .map(|story| 100.0 * (1.0 - story.event_counts.1 as f64 / story.event_counts.0 as f64))
        .collect();
    gone.sort_unstable_by(f64::total_cmp);
    let (Some(median), Some(most), Some(gone)) =
        (seeds.get(seeds.len() / 2), most, gone.get(gone.len() / 2))
    else {
        return format!("{} specimens, of which none was found", rows.len());
    };
    format!(
        "{found} of {} are found by each search; seeds to the first failure: {median} in the median of all medians, {most} in the \
         longest search; of the events of a failure {gone:.0} % go in the median.",
        rows.len()
    )
}

impl Row {
    /// Seeds up to the first failure.
    fn median_seeds(&self) -> Option<u64> {
        let mut seeds: Vec<u64> = self.found.iter().map(|(seeds, _)| *seeds).collect();
        seeds.sort_unstable();
        seeds.get(seeds.len() / 2).copied()
    }

    /// Each search has found it, and its failure was made small.
    #[must_use]
    pub fn is_found_always(&self) -> bool {
        self.found.len() as u64 == self.search_count && self.story.is_ok()
    }

    /// Its failure, made small; else why it was not.
    ///
    /// # Errors
    /// When it was not found, or does not come back from its tape.
    pub fn story(&self) -> Result<&Story, &str> {
        self.story.as_ref().map_err(String::as_str)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { specimen: Specimen { bug, search, source, .. }, found, search_count, story } =
            self;
        write!(
            f,
            "| `{}` | {} | {search} | {} of {search_count} | ",
            bug.name,
            bug.about,
            found.len()
        )?;
        let mut seconds: Vec<f64> = found.iter().map(|(_, seconds)| *seconds).collect();
        seconds.sort_unstable_by(f64::total_cmp);
        match (self.median_seeds(), seconds.get(seconds.len() / 2)) {
            (Some(seeds), Some(seconds)) => write!(f, "{seeds} | {seconds:.3} | ")?,
            _ => f.write_str("– | – | ")?,
        }
        match story {
            Ok(story) => {
                let (all, left) = story.event_counts;
                write!(f, "{} → {} | {all} → {left}", story.before_count, story.chosen.len())?;
            }
            Err(_) => f.write_str("– | –")?,
        }
        write!(f, " | {source} |")
    }
}
