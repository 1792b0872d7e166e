//! Tracing spans follow tasks, where the subscriber is that of the whole process. It can be set once, so this is a test
//! binary of its own.

use std::rc::Rc;

use mainspring_executor::Shard;
use mainspring_executor::os::OsDriver;

#[path = "it/recorder.rs"]
mod recorder;
#[path = "it/spans.rs"]
mod spans;

#[test]
fn spans_follow_tasks_under_a_global_subscriber() {
    let recorder = recorder::Recorder::default();
    tracing::subscriber::set_global_default(recorder.clone()).expect("nobody else sets one");
    let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
    spans::check_spans(&shard, &recorder);
}
