//! The watchdog on the operating system: who holds up a shard is named, and is not disturbed.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tasks that block are what this is about"
)]
#![expect(clippy::unwrap_used, reason = "a test: an unwrap asserts")]

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use mainspring_executor::os::OsDriver;
use mainspring_executor::{MetricsSnapshot, Shard, metrics, spawn_named};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const BUDGET: Duration = Duration::from_millis(20);

/// No test takes so long, unless the watchdog is blind.
const TIME_MAX: Duration = Duration::from_secs(60);

/// The fields of an event by name.
type Fields = BTreeMap<&'static str, String>;

/// What was logged about stalls, by any thread.
struct Log(Mutex<Vec<Fields>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mainspring::stall"
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Taken::default();
        event.record(&mut fields);
        LOG.0.lock().unwrap().push(fields.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Taken(Fields);

impl Visit for Taken {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// What was logged with `message` of the poll that `shard` or a task with this name was in.
fn logged(message: &str, name: &str) -> Vec<Fields> {
    let log = LOG.0.lock().unwrap_or_else(PoisonError::into_inner);
    let is_meant = |fields: &&Fields| {
        let names = [fields.get("shard"), fields.get("name")];
        fields["message"] == message && names.into_iter().flatten().any(|found| found == name)
    };
    log.iter().filter(is_meant).cloned().collect()
}

fn reports(shard: &str) -> Vec<Fields> {
    logged("a poll holds up its shard", shard)
}

/// Runs a task on a watched shard on a thread of its own; both are called `name`. Gives the place where it is spawned, and
/// the counters at its end.
fn run(name: &'static str, body: impl FnOnce() + Send + 'static) -> (String, MetricsSnapshot) {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| tracing::subscriber::set_global_default(Collector).unwrap());
    let run = move || {
        let driver = OsDriver::new().and_then(|driver| driver.watchdog(BUDGET)).unwrap();
        let shard = Shard::new(Rc::new(driver));
        let (place, task) = (line!() + 2, async move { body() });
        let main = async move {
            spawn_named(name, task).await.unwrap();
            metrics().snapshot()
        };
        let metrics = shard.run(main).unwrap();
        (format!("executor/tests/watchdog.rs:{place}:"), metrics)
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).unwrap().join().unwrap()
}

/// Sleeps, in small pieces, until the shard of this thread was reported so often.
#[inline(never)]
fn a_function_that_sleeps_until_reported(count: usize) {
    let started = std::time::Instant::now();
    let shard = thread::current().name().unwrap().to_owned();
    while reports(&shard).len() < count {
        assert!(started.elapsed() < TIME_MAX, "nobody noticed");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_task_that_sleeps_is_named_with_its_spawn_site_and_stack() {
    let name = "sleeps once";
    let (place, metrics) = run(name, || a_function_that_sleeps_until_reported(1));
    let report = &reports(name)[0];
    assert_eq!(report["task"], "1", "{report:?}");
    assert!(report["origin"].starts_with(&place), "{report:?} is not of {place}");
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let stack = &report["stack"];
        assert!(stack.contains("a_function_that_sleeps_until_reported at "), "{stack}");
        for foreign in ["signal_hook", "backtrace::", "restore_rt", "mainspring_executor::shard"] {
            assert!(!stack.contains(foreign), "{foreign} is not of the task: {stack}");
        }
    }
    assert_eq!(metrics.stalls, 1);
    let ended = logged("the poll that held up its shard has ended", name);
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0]["task"], &ended[0]["origin"]), (&report["task"], &report["origin"]));
    assert!(millis(&ended[0]) >= BUDGET.as_millis() as f64, "{ended:?}");
    assert!(millis(&ended[0]) >= millis(report), "{ended:?} and {report:?}");
}

/// What it says of the time, in milliseconds.
fn millis(fields: &Fields) -> f64 {
    let text = &fields["elapsed"];
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s').unwrap(), 1000.0),
    };
    number.parse::<f64>().unwrap() * scale
}

#[test]
fn a_poll_that_goes_on_is_told_at_each_doubling_and_counted_once() {
    let name = "sleeps on";
    let (_, metrics) = run(name, || a_function_that_sleeps_until_reported(3));
    let told: Vec<f64> = reports(name).iter().map(millis).collect();
    assert!(told.len() >= 3, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1] >= 2.0 * pair[0]), "{told:?}");
    assert_eq!(metrics.stalls, 1);
    assert_eq!(logged("the poll that held up its shard has ended", name).len(), 1);
}

/// The signal that takes the stack neither ends a read nor cuts a sleep short.
#[test]
fn a_call_that_blocks_is_not_disturbed() {
    let name = "reads";
    let (mut reader, mut writer) = UnixStream::pair().unwrap();
    let writing = thread::spawn(move || {
        while reports(name).len() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        writer.write_all(b"x").unwrap();
    });
    run(name, move || assert_eq!(reader.read(&mut [0; 9]).unwrap(), 1, "it was interrupted"));
    writing.join().unwrap();

    let name = "sleeps in one piece";
    run(name, move || {
        let started = std::time::Instant::now();
        thread::sleep(10 * BUDGET);
        assert!(started.elapsed() >= 10 * BUDGET, "the signal ended the sleep");
    });
    assert!(!reports(name).is_empty());
}
