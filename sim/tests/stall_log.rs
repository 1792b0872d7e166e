//! What the log tells of a stall. A binary of its own, with one test: which subscribers want an event is cached for the whole
//! process, and a thread without a subscriber can be the one that asks first.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use mainspring_executor::spawn_named;
use mainspring_sim::{World, WorldConfig, spend};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The fields of each event about a stall, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mainspring::stall"
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("no panic inside").push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn the_log_names_the_task_and_in_the_end_the_total() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let world = World::new(1, WorldConfig::calm());
        world.host("slow").run(async {
            let slow = async {
                spend(Duration::from_millis(150));
                spend(Duration::from_millis(30));
            };
            spawn_named("glutton", slow).await.unwrap();
        });
        world.run().unwrap();
    });
    let lines = log.0.lock().unwrap().clone();
    let [report, ended] = &lines[..] else { panic!("two lines: {lines:#?}") };
    let check = |line: &str, parts: &[&str]| {
        assert!(parts.iter().all(|part| line.contains(part)), "{line} has not all of {parts:?}");
    };
    let place = "origin=sim/tests/stall_log.rs:";
    check(
        report,
        &["a poll holds up its shard", "shard=\"slow\"", "task=1", place, "elapsed=150ms"],
    );
    check(ended, &["has ended", "name=\"glutton\"", "task=1", place, "elapsed=180ms"]);
}
