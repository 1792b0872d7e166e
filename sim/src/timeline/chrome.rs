//! A timeline in the trace event format of Chrome, as Perfetto and `chrome://tracing` open it: a process for each host, a thread for
//! each lane, slices for what tasks do, flows for what is under way, instants for what goes wrong.
//!
//! The format is that of "Trace Event Format" (Google, 2016). Its times are microseconds; ours are kept to the nanosecond as fractions.

use serde_json::{Value, json};

use super::{Doing, Fate, LaneKind, Message, Span, Timeline};

/// Slices of no length are drawn by nobody, so what takes no time is so long: a nanosecond.
const LEAST_NANOS: u64 = 1;

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1_000.0
}

impl Timeline {
    /// It as JSON for Perfetto, or for `chrome://tracing`.
    #[must_use]
    pub fn chrome(&self) -> String {
        let names = self.names();
        let mut events: Vec<Value> = Vec::new();
        events.extend(self.spans.iter().map(|span| self.slice(span)));
        events.extend(self.happenings());
        for (number, message) in self.messages.iter().enumerate() {
            events.extend(self.flow(number, message).into_iter().flatten());
        }
        events.extend(self.stops.iter().map(|stop| {
            let at = stop.event.map_or(self.end, |event| self.events[event].at);
            let name = stop.text.lines().next().unwrap_or_default();
            json!({ "ph": "i", "s": "g", "name": name, "cat": "failure", "pid": 0, "tid": 0, "ts": micros(at.as_nanos()) })
        }));
        // By time, and a slice before those within it.
        let number = |event: &Value, key: &str| event[key].as_f64().unwrap_or_default();
        events.sort_by(|one, other| {
            let by_time = number(one, "ts").total_cmp(&number(other, "ts"));
            by_time.then_with(|| number(other, "dur").total_cmp(&number(one, "dur")))
        });
        let events: Vec<Value> = names.into_iter().chain(events).collect();
        json!({ "displayTimeUnit": "ns", "traceEvents": events, "otherData": { "seed": self.seed.to_string() } }).to_string()
    }

    /// The process and the thread of a lane.
    fn place(&self, lane: usize) -> (usize, usize) {
        (self.lanes[lane].host.map_or(0, |host| host + 1), lane)
    }

    fn names(&self) -> Vec<Value> {
        let named = |name: &str, pid: usize, tid: usize, args: Value| json!({ "ph": "M", "name": name, "pid": pid, "tid": tid, "args": args });
        let mut events = vec![named("process_name", 0, 0, json!({ "name": "scenario" }))];
        for (host, name) in self.hosts.iter().enumerate() {
            events.push(named("process_name", host + 1, 0, json!({ "name": &**name })));
            events.push(named(
                "process_sort_index",
                host + 1,
                0,
                json!({ "sort_index": host + 1 }),
            ));
        }
        for (lane, it) in self.lanes.iter().enumerate() {
            let (pid, tid) = self.place(lane);
            let name = match it.kind {
                LaneKind::Scenario | LaneKind::Host => "what happens to it".to_owned(),
                LaneKind::Task => it.name.to_string(),
                LaneKind::Connection | LaneKind::Datagrams => format!("socket {}", it.name),
            };
            events.push(named("thread_name", pid, tid, json!({ "name": name })));
            events.push(named("thread_sort_index", pid, tid, json!({ "sort_index": lane })));
        }
        events
    }

    fn slice(&self, span: &Span) -> Value {
        let (pid, tid) = self.place(span.lane);
        let from = self.events[span.from].at.as_nanos();
        let to = span.to.map_or(self.end, |to| self.events[to].at).as_nanos();
        let length = to.saturating_sub(from).max(LEAST_NANOS);
        let cat = match span.doing {
            Doing::Runs => "runs",
            Doing::Ready => "ready",
            Doing::Waits(_) => "waits",
        };
        json!({
            "ph": "X", "name": span.doing.name(), "cat": cat, "pid": pid, "tid": tid,
            "ts": micros(from), "dur": micros(length), "args": { "for": &*span.text },
        })
    }

    /// What happens on lanes of sockets and hosts, as slices of no length, for flows begin and end in slices; and all that goes wrong.
    fn happenings(&self) -> impl Iterator<Item = Value> {
        self.events.iter().flat_map(|event| {
            let (pid, tid) = self.place(event.lane);
            let ts = micros(event.at.as_nanos());
            let fault = event.fault.map(|fault| {
                json!({
                    "ph": "i", "s": "p", "name": &*event.text, "cat": "fault", "pid": pid, "tid": tid, "ts": ts,
                    "args": { "fault": fault.name() },
                })
            });
            let is_of_task = self.lanes[event.lane].kind == LaneKind::Task;
            let slice = (!is_of_task).then(|| {
                json!({
                    "ph": "X", "name": &*event.text, "cat": event.kind, "pid": pid, "tid": tid, "ts": ts,
                    "dur": micros(LEAST_NANOS),
                })
            });
            slice.into_iter().chain(fault)
        })
    }

    /// The two ends of an arrow, where it arrives.
    fn flow(&self, number: usize, message: &Message) -> Option<[Value; 2]> {
        let arrived = message.arrived.filter(|_| message.fate != Fate::Lost)?;
        let end = |event: usize, phase: &str| {
            let (pid, tid) = self.place(self.events[event].lane);
            let ts = micros(self.events[event].at.as_nanos());
            let mut end = json!({
                "ph": phase, "id": number, "name": &*message.text, "cat": "message", "pid": pid, "tid": tid, "ts": ts,
            });
            if phase == "f" {
                end["bp"] = "e".into();
            }
            end
        };
        Some([end(message.sent, "s"), end(arrived, "f")])
    }
}
