//! `PropertyFailure`: how a property failed, before and after it was made small, in a text that is read in a minute.

use core::fmt::{self, Debug};

use mainspring_executor::Instant;
use mainspring_sim::harness::Story;
use mainspring_sim::{Chosen, Tape};

/// So many lines are told of how a run failed; a replay has all.
const MESSAGE_LINES_MAX: usize = 25;

/// So many of the choices that are left.
const CHOSEN_MAX: usize = 20;

/// So many characters of the first plan: the smallest is told in full.
const PLAN_CHARACTERS_MAX: usize = 500;

/// A plan and a run of it that did not hold. `Display` is the report, and ends with how it is repeated.
#[derive(Clone, Debug)]
pub struct PropertyFailure<P> {
    /// The property's name.
    pub property: &'static str,
    /// The first seed that fails.
    pub seed: u64,
    /// What makes it this failure and no other, as
    /// [`ScenarioFailure::signature`](mainspring_sim::harness::ScenarioFailure::signature) has it: both runs have it.
    pub signature: String,
    /// What went wrong in the first run.
    pub message: String,
    /// As it was drawn.
    pub plan: P,
    /// The smallest; or why there is none: it does not come back, or not from its tape.
    pub shrunk: Result<Shrunk<P>, String>,
}

/// The smallest plan and run that fail in the same way. [`Property::run`](crate::Property::run) repeats it from its plan and its
/// tape.
#[derive(Clone, Debug)]
pub struct Shrunk<P> {
    /// The plan.
    pub plan: P,
    /// What goes wrong.
    pub message: String,
    /// The run.
    pub tape: Tape,
    /// What is on the tape, in the order in which it is made.
    pub chosen: Vec<Chosen>,
    /// Of the first run.
    pub before: RunSize,
    /// Of the smallest.
    pub after: RunSize,
    /// Runs that the plan took.
    pub plan_attempt_count: u64,
    /// Runs that its tape took.
    pub tape_attempt_count: u64,
    /// Nothing was left to be tried; else the attempts or the rounds ran out.
    pub is_minimal: bool,
}

/// How much happens in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSize {
    /// Choices that were not harmless.
    pub choice_count: usize,
    /// Turns and network events.
    pub event_count: u64,
    /// When it ended.
    pub virtual_end: Instant,
}

impl RunSize {
    /// Of the run that a story begins with.
    pub(crate) fn first_of(story: &Story) -> Self {
        let (event_count, virtual_end) = (story.event_counts.0, story.virtual_ends.0);
        Self { choice_count: story.before_count, event_count, virtual_end }
    }

    /// Of the one that it ends with.
    pub(crate) fn last_of(story: &Story) -> Self {
        let (event_count, virtual_end) = (story.event_counts.1, story.virtual_ends.1);
        Self { choice_count: story.tape.len(), event_count, virtual_end }
    }
}

impl fmt::Display for RunSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { choice_count, event_count, virtual_end } = self;
        write!(f, "{choice_count} choices, {event_count} events, {virtual_end} s")
    }
}

impl<P: Debug> fmt::Display for PropertyFailure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { property, seed, plan, .. } = self;
        write!(f, "{property} failed with seed {seed}: ")?;
        let after = seed.saturating_add(1);
        match &self.shrunk {
            Ok(shrunk) => {
                write_some(f, &shrunk.message)?;
                let first = cut(&format!("{plan:?}"));
                writeln!(f, "\nbefore: {}\n{first}", shrunk.before)?;
                shrunk.write(f)?;
                write!(
                    f,
                    "replay: .check({seed}..{after}) makes it small again, .replay({seed}) runs the first plan, \
                     .run(&plan, tape) the smallest"
                )
            }
            Err(reason) => {
                write_some(f, &self.message)?;
                writeln!(f, "\nthe plan: {plan:#?}\nnot made small: {}", reason.trim_end())?;
                write!(f, "replay: .replay({seed})")
            }
        }
    }
}

impl<P: Debug> core::error::Error for PropertyFailure<P> {}

impl<P: Debug> Shrunk<P> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plans, tapes) = (self.plan_attempt_count, self.tape_attempt_count);
        let end = if self.is_minimal {
            ""
        } else {
            "; less may be left, for the attempts or the rounds ran out"
        };
        writeln!(f, "after: {}, in {plans} + {tapes} runs{end}\n{:#?}", self.after, self.plan)?;
        for chosen in self.chosen.iter().take(CHOSEN_MAX) {
            writeln!(f, "  {chosen}")?;
        }
        if let Some(more) = self.chosen.len().checked_sub(CHOSEN_MAX).filter(|more| *more > 0) {
            writeln!(f, "  and {more} choices more")?;
        }
        writeln!(f, "tape: {}", self.tape)
    }
}

/// The first lines of a message.
fn write_some(f: &mut fmt::Formatter<'_>, message: &str) -> fmt::Result {
    let mut lines = message.trim_end().lines();
    for line in lines.by_ref().take(MESSAGE_LINES_MAX) {
        writeln!(f, "{line}")?;
    }
    match lines.count() {
        0 => Ok(()),
        more => writeln!(f, "and {more} lines more"),
    }
}

/// The beginning of a text, and how much more there is.
fn cut(text: &str) -> String {
    match text.char_indices().nth(PLAN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{} … and {} bytes more", &text[..end], text.len() - end),
        None => text.to_owned(),
    }
}
