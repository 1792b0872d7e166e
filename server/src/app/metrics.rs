//! The numbers of a process as text: for Prometheus, and for the page.

use core::fmt::Write;
use core::time::Duration;

use mainspring_executor::{LAG_BOUNDS, MetricsSnapshot};
use serde_json::json;

use crate::{StatsSnapshot, Telemetry};

/// All counters in Prometheus' text format, version 0.0.4.
pub(super) fn prometheus(telemetry: &Telemetry, uptime: Duration) -> String {
    let (stats, executor, shards) = telemetry.snapshot();
    let mut text = Exposition(String::with_capacity(4096));
    text.gauge("uptime_seconds", "Time since the process began to serve.", uptime.as_secs_f64());
    text.gauge("shards", "Shards, one thread each.", shards as f64);
    write_stats(&mut text, &stats);
    write_executor(&mut text, &executor);
    text.0
}

fn write_stats(text: &mut Exposition, stats: &StatsSnapshot) {
    let counters = [
        ("connections_accepted_total", "Connections accepted.", stats.connections_accepted),
        ("requests_total", "Requests whose head was good.", stats.requests),
        ("requests_rejected_total", "Requests refused as malformed or slow.", stats.rejections),
        ("handler_panics_total", "Handlers or their bodies that panicked.", stats.handler_panics),
        ("handlers_cancelled_total", "Handlers whose client left.", stats.handlers_cancelled),
    ];
    for (name, help, value) in counters {
        text.counter(name, help, value);
    }
    text.gauge("connections_open", "Connections open now.", stats.connections_open as f64);
    text.header("responses_total", "Responses begun, by class of status.", "counter");
    for (class, count) in (1..).zip(stats.responses) {
        text.line(&format!("responses_total{{class=\"{class}xx\"}}"), count as f64);
    }
}

fn write_executor(text: &mut Exposition, executor: &MetricsSnapshot) {
    let counters = [
        ("tasks_spawned_total", "Tasks spawned.", executor.tasks_spawned),
        ("polls_total", "Polls of tasks.", executor.polls),
        ("turns_total", "Turns of the event loops.", executor.turns),
        ("panics_unjoined_total", "Panics of tasks that nobody joined.", executor.panics_unjoined),
    ];
    for (name, help, value) in counters {
        text.counter(name, help, value);
    }
    let gauges = [
        ("tasks", "Tasks alive.", executor.tasks_live),
        ("sources", "Open sockets, files and jobs.", executor.sources_live),
        ("timers", "Timers armed.", executor.timers_armed),
        ("ready_queue_depth", "Tasks ready when the last turns began.", executor.ready_depth),
    ];
    for (name, help, value) in gauges {
        text.gauge(name, help, value as f64);
    }
    let help = "For how long each turn kept its thread away from new events.";
    text.header("loop_lag_seconds", help, "histogram");
    let mut cumulative = 0;
    for (bound, count) in LAG_BOUNDS.iter().zip(executor.lag_buckets) {
        cumulative += count;
        let name = format!("loop_lag_seconds_bucket{{le=\"{}\"}}", bound.as_secs_f64());
        text.line(&name, cumulative as f64);
    }
    let all: u64 = executor.lag_buckets.iter().sum();
    text.line("loop_lag_seconds_bucket{le=\"+Inf\"}", all as f64);
    text.line("loop_lag_seconds_sum", executor.lag_sum.as_secs_f64());
    text.line("loop_lag_seconds_count", all as f64);
}

/// Metrics as they are written one below the other.
struct Exposition(String);

impl Exposition {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.header(name, help, "counter");
        self.line(name, value as f64);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.header(name, help, "gauge");
        self.line(name, value);
    }

    fn header(&mut self, name: &str, help: &str, kind: &str) {
        self.write(format_args!(
            "# HELP mainspring_{name} {help}\n# TYPE mainspring_{name} {kind}\n"
        ));
    }

    fn line(&mut self, name: &str, value: f64) {
        self.write(format_args!("mainspring_{name} {value}\n"));
    }

    fn write(&mut self, arguments: core::fmt::Arguments<'_>) {
        self.0.write_fmt(arguments).expect("a String takes all text");
    }
}

/// What the page shows.
pub(super) fn json(telemetry: &Telemetry, uptime: Duration) -> String {
    let (stats, executor, shards) = telemetry.snapshot();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime.as_secs_f64(),
        "shards": shards,
        "connections": {
            "open": stats.connections_open,
            "accepted": stats.connections_accepted,
        },
        "requests": {
            "total": stats.requests,
            "rejected": stats.rejections,
            "panicked": stats.handler_panics,
            "cancelled": stats.handlers_cancelled,
        },
        "responses": stats.responses,
        "tasks": { "live": executor.tasks_live, "spawned": executor.tasks_spawned },
        "timers": executor.timers_armed,
        "sources": executor.sources_live,
        "polls": executor.polls,
        "loop_lag": {
            "last_us": executor.lag_last.as_secs_f64() * 1e6,
            "bounds_us": LAG_BOUNDS.map(|bound| bound.as_secs_f64() * 1e6),
            "turns": executor.lag_buckets,
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each metric has a HELP and a TYPE line before its first sample, and every sample is `name value`.
    #[test]
    fn exposition_is_well_formed() {
        let text = prometheus(&Telemetry::new(), Duration::from_millis(1500));
        assert!(text.contains("mainspring_uptime_seconds 1.5\n"));
        let mut announced = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                announced.push(rest.split(' ').next().unwrap());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let family = announced.last().unwrap();
                assert!(name.starts_with(family), "{line} stands under {family}");
            }
        }
    }
}
