//! What tasks tell a tracing subscriber, and that it costs nothing to tell nobody. A binary of its own, with one test: which
//! subscribers want an event is cached for the whole process, and a thread without a subscriber can be the one that asks first.

#![expect(clippy::unwrap_used, reason = "a test: an unwrap asserts")]

use core::fmt;
use core::future::pending;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use mainspring_executor::os::OsDriver;
use mainspring_executor::{Shard, spawn, spawn_named};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Notes spans and events, one line each.
#[derive(Clone)]
struct Notes {
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
    /// Spans that are entered, outermost first, and the name of each span.
    entered: Arc<Mutex<Vec<u64>>>,
    names: Arc<Mutex<BTreeMap<u64, String>>>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "origin" {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

impl Notes {
    fn new(level: Level) -> Self {
        Self { level, lines: Arc::default(), entered: Arc::default(), names: Arc::default() }
    }

    fn note(&self, line: String) {
        let entered = self.entered.lock().expect("no panic inside");
        let names = self.names.lock().expect("no panic inside");
        let within: Vec<&str> = entered.iter().map(|id| names[id].as_str()).collect();
        self.lines
            .lock()
            .expect("no panic inside")
            .push(format!("{line} in [{}]", within.join(",")));
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic inside").clone()
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        let name = format!("{}{}", attributes.metadata().name(), fields.0);
        self.note(format!("new {} {name}", attributes.metadata().target()));
        let mut names = self.names.lock().expect("no panic inside");
        let id = names.len() as u64 + 1;
        names.insert(id, name);
        Id::from_u64(id)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.note(format!("event {}{}", event.metadata().target(), fields.0));
    }

    fn enter(&self, id: &Id) {
        self.entered.lock().expect("no panic inside").push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        assert_eq!(self.entered.lock().expect("no panic inside").pop(), Some(id.into_u64()));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}
}

fn noted(level: Level) -> Vec<String> {
    let notes = Notes::new(level);
    tracing::subscriber::with_default(notes.clone(), || {
        let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
        let main = async {
            let child = spawn_named("child", async {
                tracing::error!(target: "user", "hello");
                spawn(async {}).await.expect("no panic");
            });
            child.await.unwrap();
            let aborted = spawn(pending::<()>());
            aborted.abort();
            assert!(aborted.await.is_err());
        };
        shard.run(main).unwrap();
    });
    notes.lines()
}

#[test]
fn tasks_tell_of_themselves_at_the_finest_level_only() {
    each_task_has_a_span_inside_that_of_the_task_that_spawned_it();
    below_its_level_there_are_neither_spans_nor_events();
}

fn each_task_has_a_span_inside_that_of_the_task_that_spawned_it() {
    let expected = [
        "new mainspring::task task task=0 in []",
        "event mainspring::task message=spawned task=0 in []",
        "new mainspring::task task task=1 name=\"child\" in [task task=0]",
        "event mainspring::task message=spawned task=1 in [task task=0]",
        "event user message=hello in [task task=1 name=\"child\"]",
        "new mainspring::task task task=2 in [task task=1 name=\"child\"]",
        "event mainspring::task message=spawned task=2 in [task task=1 name=\"child\"]",
        "event mainspring::task message=ended task=2 in []",
        "event mainspring::task message=ended task=1 in []",
        "new mainspring::task task task=3 in [task task=0]",
        "event mainspring::task message=spawned task=3 in [task task=0]",
        "event mainspring::task message=cancelled task=3 reason=Aborted in []",
        "event mainspring::task message=ended task=0 in []",
    ];
    assert_eq!(noted(Level::TRACE), expected);
}

fn below_its_level_there_are_neither_spans_nor_events() {
    assert_eq!(noted(Level::DEBUG), ["event user message=hello in []"]);
}
