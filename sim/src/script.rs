//! `Script`: answers to the choices of one world that do not come from its seed, and the note of all answers. It decides
//! nothing else.

use std::sync::{Arc, PoisonError};

use mainspring_executor::driver::Instant;

use crate::choice::Label;
use crate::recording::{Chosen, Recording};
use crate::source::Answers;

/// What [`Choices`](crate::choice::Choices) asks before it draws.
#[derive(Debug)]
pub(crate) struct Script {
    answers: Answers,
    recording: Option<Recording>,
    /// How many worlds its source has made before.
    world: u32,
    /// One for each stream, in the order of the streams.
    lines: Vec<Line>,
    now: Instant,
    /// What the next choice is called.
    pub(crate) name: Option<&'static str>,
}

/// A stream of choices.
#[derive(Debug)]
struct Line {
    name: Arc<str>,
    /// It is about the order of things.
    is_order: bool,
    /// How many were made.
    made: u64,
}

impl Script {
    pub(crate) fn new(answers: Answers, recording: Option<Recording>, world: u32) -> Self {
        let (lines, now, name) = (Vec::new(), Instant::START, None);
        Self { answers, recording, world, lines, now, name }
    }

    /// Streams of the first world of a source are named `owner/label`, those of the second `1:owner/label`.
    pub(crate) fn add_stream(&mut self, owner: &str, label: Label) {
        let name = match self.world {
            0 => format!("{owner}/{}", label.name()),
            world => format!("{world}:{owner}/{}", label.name()),
        };
        let is_order = matches!(label, Label::Host | Label::Task | Label::Branch);
        self.lines.push(Line { name: name.into(), is_order, made: 0 });
    }

    pub(crate) fn advance_to(&mut self, instant: Instant) {
        self.now = instant;
    }

    /// How many choices of a line were made.
    pub(crate) fn made(&self, line: usize) -> u64 {
        self.lines[line].made
    }

    /// The next answer of a line, below `bound`; `draw` has that of the seed.
    pub(crate) fn answer(&mut self, line: usize, bound: u64, draw: impl FnOnce() -> u64) -> u64 {
        let (line, name) = (&mut self.lines[line], self.name.take());
        let position = line.made;
        line.made += 1;
        let value = match &self.answers {
            Answers::Seed => draw(),
            Answers::Tape(tape) => tape.get(&line.name, position).min(bound - 1),
            Answers::Bytes(bytes) => {
                bytes.lock().unwrap_or_else(PoisonError::into_inner).below(bound)
            }
            Answers::Orders(orders) if line.is_order => {
                orders.lock().unwrap_or_else(PoisonError::into_inner).below(bound)
            }
            Answers::Orders(_) => draw(),
            Answers::Prefix(prefix) => match prefix.next() {
                Some(tape) => tape.get(&line.name, position).min(bound - 1),
                None => draw(),
            },
        };
        if let Some(recording) = &self.recording {
            let stream = &line.name;
            recording.add(value, |number| Chosen {
                at: self.now,
                number,
                stream: Arc::clone(stream),
                position,
                value,
                bound,
                name,
            });
        }
        value
    }
}
