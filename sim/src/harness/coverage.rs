//! `SweepCoverage`: what the runs of a sweep have reached, and what none of them has.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use mainspring_executor::driver::{Site, SiteKind};

use crate::{Coverage, Fault};

/// How often, and in how many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In all runs together.
    pub times: u64,
    /// Runs with at least one.
    pub runs: u64,
}

/// How often a site was passed. Of a `buggify!` it is how often it was asked, and how often it fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteCount {
    /// In any way.
    pub passed: Count,
    /// With what it says being so.
    pub held: Count,
}

/// What the runs that held have reached, in the first run of each seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepCoverage {
    run_count: u64,
    /// By the place in [`Fault::ALL`].
    faults: [Count; Fault::ALL.len()],
    sites: BTreeMap<&'static Site, SiteCount>,
}

impl Default for SweepCoverage {
    fn default() -> Self {
        let faults = [Count::default(); Fault::ALL.len()];
        Self { run_count: 0, faults, sites: BTreeMap::new() }
    }
}

impl SweepCoverage {
    /// Runs that are counted.
    #[must_use]
    pub fn run_count(&self) -> u64 {
        self.run_count
    }

    /// How often a fault happened.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> Count {
        self.faults[fault as usize]
    }

    /// The sites that were passed, in the order of their places.
    pub fn sites(&self) -> impl Iterator<Item = (&'static Site, SiteCount)> {
        self.sites.iter().map(|(site, count)| (*site, *count))
    }

    /// What no run has reached: each `sometimes!` that was passed and never held, and each of these names of which no site
    /// has held.
    #[must_use]
    pub fn findings(&self, expected: &[&str]) -> Vec<String> {
        let runs = self.run_count;
        let never_held = |(site, count): &(&'static Site, SiteCount)| {
            site.kind == SiteKind::Sometimes && count.held.times == 0
        };
        let idle: Vec<_> = self.sites().filter(never_held).collect();
        let mut findings: Vec<_> = idle
            .iter()
            .map(|(site, count)| {
                format!("{site} was passed in {} of {runs} runs, and never held", count.passed.runs)
            })
            .collect();
        for name in self.missed(expected) {
            if !idle.iter().any(|(site, _)| site.name == name) {
                findings
                    .push(format!("\"{name}\" is expected, and none of {runs} runs reached it"));
            }
        }
        findings
    }

    /// Those of these names of which no site has held in any run.
    #[must_use]
    pub fn missed<'n>(&self, expected: &[&'n str]) -> Vec<&'n str> {
        let has_held = |name: &str| {
            self.sites().any(|(site, count)| site.name == name && count.held.times > 0)
        };
        expected.iter().copied().filter(|name| !has_held(name)).collect()
    }

    /// Counts what one more run has reached: [`Run::coverage`](super::Run::coverage).
    pub fn add(&mut self, run: &Coverage) {
        self.run_count += 1;
        for fault in Fault::ALL {
            self.faults[*fault as usize].add(run.fault(*fault));
        }
        for (site, passes) in run.sites() {
            let count = self.sites.entry(site).or_default();
            count.passed.add(passes.passed);
            count.held.add(passes.held);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.run_count += other.run_count;
        for (count, more) in self.faults.iter_mut().zip(other.faults) {
            count.merge(more);
        }
        for (site, more) in other.sites {
            let count = self.sites.entry(site).or_default();
            count.passed.merge(more.passed);
            count.held.merge(more.held);
        }
    }

    /// For machines: faults by name, sites in the order of their places.
    pub(super) fn json(&self) -> serde_json::Value {
        let count = |count: Count| serde_json::json!({ "times": count.times, "runs": count.runs });
        let faults = Fault::ALL.iter().map(|it| (it.name().to_owned(), count(self.fault(*it))));
        let site = |(site, counts): (&Site, SiteCount)| {
            serde_json::json!({
                "kind": site.kind.name(),
                "name": site.name,
                "at": format!("{}:{}:{}", site.file, site.line, site.column),
                "passed": count(counts.passed),
                "held": count(counts.held),
            })
        };
        serde_json::json!({
            "runs": self.run_count,
            "faults": faults.collect::<serde_json::Map<_, _>>(),
            "sites": self.sites().map(site).collect::<Vec<_>>(),
        })
    }
}

impl SweepCoverage {
    /// What [`SweepCoverage::json`] has written; `known` has the sites that were read before, and those of this. `None`: it has not written
    /// that, or that of another program did.
    pub(super) fn read(
        value: &serde_json::Value,
        known: &mut BTreeSet<&'static Site>,
    ) -> Option<Self> {
        let count = |value: &serde_json::Value| {
            let number = |name: &str| value.get(name)?.as_u64();
            Some(Count { times: number("times")?, runs: number("runs")? })
        };
        let mut coverage = Self { run_count: value.get("runs")?.as_u64()?, ..Self::default() };
        for fault in Fault::ALL {
            let read = value.get("faults")?.get(fault.name())?;
            coverage.faults[*fault as usize] = count(read)?;
        }
        for site in value.get("sites")?.as_array()? {
            let text = |name: &str| site.get(name)?.as_str();
            let mut place = text("at")?.rsplitn(3, ':');
            let column = place.next()?.parse().ok()?;
            let line = place.next()?.parse().ok()?;
            let (file, name, kind_name) = (place.next()?, text("name")?, text("kind")?);
            let kind = SiteKind::ALL.into_iter().find(|kind| kind.name() == kind_name)?;
            let is_it = |site: &&&'static Site| {
                let place = (site.file, site.line, site.column);
                place == (file, line, column) && (site.kind, site.name) == (kind, name)
            };
            let site_of = known.iter().find(is_it).copied().unwrap_or_else(|| {
                // Once for each site, in a program that ends soon.
                let (file, name) = (file.to_owned().leak(), name.to_owned().leak());
                Box::leak(Box::new(Site { file, line, column, kind, name }))
            });
            known.insert(site_of);
            let counts =
                SiteCount { passed: count(site.get("passed")?)?, held: count(site.get("held")?)? };
            coverage.sites.insert(site_of, counts);
        }
        Some(coverage)
    }
}

impl Count {
    fn add(&mut self, times: u64) {
        self.merge(Self { times, runs: u64::from(times > 0) });
    }

    fn merge(&mut self, other: Self) {
        self.times += other.times;
        self.runs += other.runs;
    }
}

impl fmt::Display for SweepCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults in {} runs: how often, and in how many of them", self.run_count)?;
        let (happened, never): (Vec<Fault>, Vec<_>) =
            Fault::ALL.iter().partition(|fault| self.fault(**fault).times > 0);
        for fault in happened {
            let Count { times, runs } = self.fault(fault);
            writeln!(f, "  {:<24} {times:>9} {runs:>7}", fault.name())?;
        }
        let never: Vec<_> = never.into_iter().map(Fault::name).collect();
        if !never.is_empty() {
            writeln!(f, "  never: {}", never.join(", "))?;
        }
        writeln!(f, "sites: how often passed, and held, and in how many runs")?;
        for (site, SiteCount { passed, held }) in self.sites() {
            writeln!(
                f,
                "  {:>9} {:>7} {:>9} {:>7}  {}!(\"{}\") at {}:{}",
                passed.times,
                passed.runs,
                held.times,
                held.runs,
                site.kind.name(),
                site.name,
                site.file,
                site.line
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn site(line: u32, kind: SiteKind, name: &'static str) -> Site {
        Site { file: "a.rs", line, column: 1, kind, name }
    }

    static RARE: Site = site(1, SiteKind::Sometimes, "rare");
    static USUAL: Site = site(2, SiteKind::Sometimes, "usual");
    static PLACE: Site = site(3, SiteKind::Reachable, "place");
    static TROUBLE: Site = site(4, SiteKind::FaultPoint, "trouble");

    fn run(passes: &[(&'static Site, bool)]) -> Coverage {
        let mut coverage = Coverage::default();
        for (site, holds) in passes {
            coverage.add_pass(site, *holds);
        }
        coverage
    }

    fn sweep(runs: &[&[(&'static Site, bool)]]) -> SweepCoverage {
        let mut sweep = SweepCoverage::default();
        for passes in runs {
            sweep.add(&run(passes));
        }
        sweep
    }

    #[test]
    fn times_and_runs_are_two_things() {
        let sweep = sweep(&[&[(&USUAL, true), (&USUAL, false), (&USUAL, true)], &[]]);
        let [(site, count)] = sweep.sites().collect::<Vec<_>>()[..] else { panic!("one site") };
        assert_eq!(site, &USUAL);
        assert_eq!(count.passed, Count { times: 3, runs: 1 });
        assert_eq!(count.held, Count { times: 2, runs: 1 });
    }

    #[test]
    fn parts_add_up_to_the_whole_in_any_order() {
        let runs: [&[_]; 3] = [&[(&RARE, false)], &[(&USUAL, true)], &[(&RARE, true)]];
        let mut left = sweep(&runs[..1]);
        left.merge(sweep(&runs[1..]));
        let mut right = sweep(&runs[1..]);
        right.merge(sweep(&runs[..1]));
        assert_eq!(left, sweep(&runs));
        assert_eq!(right, sweep(&runs));
    }

    #[test]
    fn what_no_run_reaches_is_found() {
        let sweep =
            sweep(&[&[(&RARE, false), (&USUAL, true)], &[(&RARE, false), (&TROUBLE, false)]]);
        let expected = ["rare", "usual", "place", "trouble"];
        assert_eq!(sweep.missed(&expected), ["rare", "place", "trouble"]);
        assert_eq!(
            sweep.findings(&expected),
            [
                "sometimes!(\"rare\") at a.rs:1:1 was passed in 2 of 2 runs, and never held",
                "\"place\" is expected, and none of 2 runs reached it",
                "\"trouble\" is expected, and none of 2 runs reached it",
            ]
        );
    }

    #[test]
    fn one_run_is_enough() {
        let sweep = sweep(&[&[(&RARE, false)], &[(&RARE, true), (&PLACE, true)]]);
        assert!(sweep.findings(&["rare", "place"]).is_empty());
    }

    #[test]
    fn a_table_tells_what_never_happened() {
        let mut coverage = run(&[(&PLACE, true)]);
        coverage.add_fault(Fault::Reset);
        let mut sweep = SweepCoverage::default();
        sweep.add(&coverage);
        let text = sweep.to_string();
        assert!(text.contains("  resets                           1       1\n"), "{text}");
        assert!(text.contains("never: segments lost, "), "{text}");
        assert!(
            text.contains("1       1         1       1  reachable!(\"place\") at a.rs:3\n"),
            "{text}"
        );
    }
}
