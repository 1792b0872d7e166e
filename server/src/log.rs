//! The log of the binary: lines for standard error, written by a thread of their own.
//!
//! The event loops never wait for it: when its queue is full, lines are dropped and counted.

use std::io;
use std::panic::PanicHookInfo;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Lines that may wait for a standard error that takes nothing; further ones are dropped.
const QUEUED_LINES_MAX: usize = 16 * 1024;

/// Keeps the log going; dropping it writes what is queued.
pub(crate) struct Log {
    guard: WorkerGuard,
    dropped: ErrorCounter,
}

/// Starts the log, and sends panics there.
pub(crate) fn start(format: LogFormat) -> Log {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_LINES_MAX);
    let (writer, guard) = builder.finish(io::stderr());
    let dropped = writer.error_counter();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.with_ansi(false).with_target(false).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    Log { guard, dropped }
}

/// One line for a panic, in the form of all others.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a panic without words");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%location, "panic: {message}");
}

impl Drop for Log {
    fn drop(&mut self) {
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            tracing::warn!("{dropped} lines of the log were dropped: standard error was too slow");
        }
        // The guard, dropped after this, writes what is queued.
        let _: &WorkerGuard = &self.guard;
    }
}
