//! The numbers of a process as text: for Prometheus, and for the page.

use core::fmt::Write;
use core::time::Duration;
use std::collections::BTreeMap;

use mainspring_executor::{CancelReason, HistogramSnapshot, MetricsSnapshot};
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
        (
            "connections_handed_over_total",
            "Connections that went to another shard than that which accepted them.",
            stats.connections_handed_over,
        ),
        ("requests_total", "Requests whose head was good.", stats.requests),
        ("requests_rejected_total", "Requests refused as malformed or slow.", stats.rejections),
        ("handler_panics_total", "Handlers or their bodies that panicked.", stats.handler_panics),
        ("handlers_cancelled_total", "Handlers whose client left.", stats.handlers_cancelled),
        ("handlers_detached_total", "Handlers that went on alone.", stats.handlers_detached),
        ("handlers_timed_out_total", "Handlers that took too long.", stats.handlers_timed_out),
        ("upgrades_total", "Connections gone to another protocol.", stats.upgrades),
        (
            "connections_refused_total",
            "Connections beyond what their peer may have.",
            stats.connections_refused,
        ),
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
        ("errors_unheard_total", "Errors of tasks that nobody asked for.", executor.errors_unheard),
        ("promises_broken_total", "Assertions that did not hold.", executor.promises_broken),
        ("shields_left_total", "Sections that went on alone.", executor.shields_left),
        ("shields_cut_total", "Sections whose time was over.", executor.shields_cut),
        ("budget_yields_total", "Polls that ended at their budget.", executor.budget_yields),
        ("stalls_total", "Polls that held up their shard beyond the budget.", executor.stalls),
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
    text.header("tasks_by_state", "Tasks alive, by what they do.", "gauge");
    for (state, count) in by_state(executor) {
        text.line(&format!("tasks_by_state{{state=\"{state}\"}}"), count as f64);
    }
    text.header("tasks_cancelled_total", "Tasks that ended before they were ready.", "counter");
    for (reason, count) in CancelReason::ALL.iter().zip(executor.cancelled) {
        let name = format!("tasks_cancelled_total{{reason=\"{}\"}}", reason.name());
        text.line(&name, count as f64);
    }
    let histograms = [
        (
            "loop_lag",
            "For how long each turn kept its thread away from new events.",
            &executor.loop_lag,
        ),
        (
            "schedule_delay",
            "For how long tasks were ready before they were polled.",
            &executor.schedule_delay,
        ),
        ("poll_time", "How long polls took, of one turn in sixteen.", &executor.poll_time),
    ];
    for (name, help, histogram) in histograms {
        text.histogram(&format!("{name}_seconds"), help, histogram);
    }
}

/// How many tasks do what.
fn by_state(executor: &MetricsSnapshot) -> [(&'static str, u64); 3] {
    [
        ("running", executor.tasks_running),
        ("ready", executor.tasks_ready),
        ("waiting", executor.tasks_waiting()),
    ]
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

    fn histogram(&mut self, name: &str, help: &str, histogram: &HistogramSnapshot) {
        self.header(name, help, "histogram");
        let mut cumulative = 0;
        for (bucket, count) in histogram.buckets.iter().enumerate() {
            cumulative += count;
            let bound = HistogramSnapshot::bound(bucket).map(|bound| bound.as_secs_f64());
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            self.line(&format!("{name}_bucket{{le=\"{bound}\"}}"), cumulative as f64);
        }
        self.line(&format!("{name}_sum"), histogram.sum.as_secs_f64());
        self.line(&format!("{name}_count"), cumulative as f64);
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
            "handed_over": stats.connections_handed_over,
        },
        "requests": {
            "total": stats.requests,
            "rejected": stats.rejections,
            "panicked": stats.handler_panics,
            "cancelled": stats.handlers_cancelled,
        },
        "responses": stats.responses,
        "tasks": {
            "live": executor.tasks_live,
            "spawned": executor.tasks_spawned,
            "by_state": by_state(&executor).into_iter().collect::<BTreeMap<_, _>>(),
        },
        "stalls": executor.stalls,
        "timers": executor.timers_armed,
        "sources": executor.sources_live,
        "polls": executor.polls,
        "loop_lag": histogram_json(&executor.loop_lag),
        "schedule_delay": histogram_json(&executor.schedule_delay),
        "poll_time": histogram_json(&executor.poll_time),
    })
    .to_string()
}

/// A histogram for the page: the last bound is missing, for the last bucket has none.
fn histogram_json(histogram: &HistogramSnapshot) -> serde_json::Value {
    let bounds = (0..histogram.buckets.len()).filter_map(HistogramSnapshot::bound);
    serde_json::json!({
        "last_us": histogram.last.as_secs_f64() * 1e6,
        "bounds_us": bounds.map(|bound| bound.as_secs_f64() * 1e6).collect::<Vec<_>>(),
        "counts": histogram.buckets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each metric has a HELP and a TYPE line before its first sample, and every sample is `name value`.
    #[test]
    fn exposition_is_well_formed() {
        let text = prometheus(&Telemetry::new(), Duration::from_millis(1500));
        assert!(text.contains("mainspring_uptime_seconds 1.5\n"));
        assert!(text.contains("mainspring_stalls_total 0\n"));
        assert!(text.contains("mainspring_tasks_by_state{state=\"waiting\"} 0\n"));
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
