//! `Score`: what became of each case on each machine, and the table of it that stands in `docs/SIMULATION.md`.

use core::fmt;

use super::{CASES, Case, Exception, Expectation, Machine};

/// What became of each case on each machine.
#[derive(Debug, Default)]
pub struct Score {
    results: Vec<(&'static str, Machine, Result<(), String>)>,
}

impl Score {
    /// Adds what [`run`](super::run) gave.
    pub fn add(&mut self, case: Case, machine: Machine, result: Result<(), String>) {
        self.results.push((case.name, machine, result));
    }

    /// Adds the results of another.
    pub fn merge(&mut self, other: Self) {
        self.results.extend(other.results);
    }

    /// What did not hold, one text each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let failed = self.results.iter().filter_map(|(case, machine, result)| {
            result.as_ref().err().map(|message| (case, machine.name(), message))
        });
        failed.map(|(case, machine, message)| format!("{case} on {machine}: {message}")).collect()
    }

    fn mark(&self, case: &Case, machine: Machine) -> &'static str {
        let result = self.results.iter().find(|(name, on, _)| *name == case.name && *on == machine);
        match result {
            None => "not run",
            Some((_, _, Err(_))) => "FAILED",
            Some((_, _, Ok(()))) => expected(case, machine),
        }
    }
}

/// The table, with what was found.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = CASES.iter().map(|case| case.name.len()).max().unwrap_or(0);
        write!(f, "{:<width$}", "")?;
        for machine in Machine::ALL {
            write!(f, "  {:<8}", machine.name())?;
        }
        writeln!(f)?;
        for case in CASES {
            write!(f, "{:<width$}", case.name)?;
            for machine in Machine::ALL {
                write!(f, "  {:<8}", self.mark(case, machine))?;
            }
            writeln!(f)?;
        }
        write!(f, "{}; {} failed", totals(), self.failures().len())
    }
}

/// The section of `docs/SIMULATION.md` that says what is tested, and what is to be expected of it.
#[must_use]
pub fn section() -> String {
    let mut lines = vec![totals() + ".", String::new()];
    lines.push("| case | epoll | polling | calm | rough | what it shows |".to_owned());
    lines.push("|---|---|---|---|---|---|".to_owned());
    for case in CASES {
        let marks = Machine::ALL.map(|machine| expected(case, machine)).join(" | ");
        lines.push(format!("| `{}` | {marks} | {} |", case.name, case.about));
    }
    lines.push(String::new());
    lines.extend(reasons());
    lines.join("\n")
}

/// Each exception once, with the cases that make it.
fn reasons() -> Vec<String> {
    let mut told: Vec<(Exception, Vec<String>)> = Vec::new();
    for case in CASES {
        for exception in case.exceptions {
            let name = format!("`{}`", case.name);
            match told.iter_mut().find(|(other, _)| other == exception) {
                Some((_, names)) => names.push(name),
                None => told.push((*exception, vec![name])),
            }
        }
    }
    let line = |(exception, names): &(Exception, Vec<String>)| {
        let machines: Vec<_> = exception.machines.iter().map(|machine| machine.name()).collect();
        format!("- {} on {}: {}", names.join(", "), machines.join(", "), exception.reason)
    };
    told.iter().map(line).collect()
}

fn totals() -> String {
    let count = |expectation| {
        let of = |case: &Case| {
            let is_it = |machine: &&Machine| case.expectation(**machine) == expectation;
            Machine::ALL.iter().filter(is_it).count()
        };
        CASES.iter().map(of).sum::<usize>()
    };
    format!(
        "{} cases on {} machines: {} hold, {} differ, {} absent",
        CASES.len(),
        Machine::ALL.len(),
        count(Expectation::Holds),
        count(Expectation::Differs),
        count(Expectation::Absent)
    )
}

fn expected(case: &Case, machine: Machine) -> &'static str {
    match case.expectation(machine) {
        Expectation::Holds => "holds",
        Expectation::Differs => "differs",
        Expectation::Absent => "absent",
    }
}
