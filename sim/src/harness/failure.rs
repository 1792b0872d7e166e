//! `ScenarioFailure`: a run that did not hold, and how to repeat it.

use core::fmt;

use crate::{Order, Tape};

/// A run that did not hold. Its text ends with the line that repeats it.
#[derive(Clone, Debug)]
pub struct ScenarioFailure {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What it is repeated by, up to the subcommand.
    pub command: &'static str,
    /// The seed that shows it.
    pub seed: u64,
    /// Its choices, where the seed alone does not decide them.
    pub tape: Option<Tape>,
    /// What goes past the driver fails it.
    pub is_strict: bool,
    /// Who goes next in its worlds, where that is not left to them.
    pub order: Option<Order>,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for ScenarioFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        write!(f, "replay: {} {}", self.command, self.replay())
    }
}

impl core::error::Error for ScenarioFailure {}

impl ScenarioFailure {
    /// What failed, with which seed, and how.
    pub(super) fn headline(&self) -> String {
        let Self { scenario, seed, message, .. } = self;
        format!("{scenario} failed with seed {seed}: {}", message.trim_end())
    }

    /// The subcommand that repeats it.
    pub(super) fn replay(&self) -> String {
        let Self { scenario, seed, tape, .. } = self;
        let strict = if self.is_strict { " --strict" } else { "" };
        let order = self.order.map_or_else(String::new, |order| format!(" --order {order}"));
        let flags = format!("--trace{strict}{order}");
        match tape {
            Some(tape) => format!("replay --scenario {scenario} --tape '{tape}' {flags}"),
            None => format!("replay --scenario {scenario} --seed {seed} {flags}"),
        }
    }

    /// What makes it this failure and no other: its first two lines, without the instant and all numbers.
    #[must_use]
    pub fn signature(&self) -> String {
        let lines = self.message.lines().filter(|line| !line.starts_with("at ")).take(2);
        let mut signature = lines.collect::<Vec<_>>().join("\n");
        signature.retain(|character| !character.is_ascii_digit());
        signature
    }
}
