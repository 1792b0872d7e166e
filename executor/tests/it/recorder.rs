//! The smallest tracing subscriber: it notes in which spans each event happened, and which spans are still held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

/// Events and spans of this target only.
pub(crate) const TARGET: &str = "recorded";

/// Clones note in the same place.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    /// Each span that was made, and how many hold it.
    spans: Vec<(&'static Metadata<'static>, usize)>,
    entered: Vec<Id>,
    /// The names of the spans around each event, from the outside in.
    events: Vec<Vec<&'static str>>,
}

impl Recorder {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was noted since.
    pub(crate) fn take(&self) -> Vec<Vec<&'static str>> {
        std::mem::take(&mut self.notes().events)
    }

    /// How many spans somebody still holds, and how many are entered.
    pub(crate) fn left(&self) -> (usize, usize) {
        let notes = self.notes();
        (notes.spans.iter().filter(|(_, holders)| *holders > 0).count(), notes.entered.len())
    }
}

impl Notes {
    fn span(&mut self, id: &Id) -> &mut (&'static Metadata<'static>, usize) {
        let index = usize::try_from(id.into_u64()).expect("few spans") - 1;
        &mut self.spans[index]
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut notes = self.notes();
        notes.spans.push((span.metadata(), 1));
        Id::from_u64(notes.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        let mut notes = self.notes();
        let entered = notes.entered.clone();
        let names = entered.iter().map(|id| notes.span(id).0.name()).collect();
        notes.events.push(names);
    }

    fn enter(&self, id: &Id) {
        self.notes().entered.push(id.clone());
    }

    fn exit(&self, id: &Id) {
        let left = self.notes().entered.pop();
        assert_eq!(left.as_ref(), Some(id), "the innermost is left first");
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.notes().span(id).1 += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut notes = self.notes();
        let (_, holders) = notes.span(&id);
        *holders -= 1;
        *holders == 0
    }

    fn current_span(&self) -> Current {
        let mut notes = self.notes();
        match notes.entered.last().cloned() {
            Some(id) => {
                let metadata = notes.span(&id).0;
                Current::new(id, metadata)
            }
            None => Current::none(),
        }
    }
}
