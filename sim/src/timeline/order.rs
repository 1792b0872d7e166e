//! The order of what is in a timeline: events by time, lanes by host.

use super::{LaneKind, Timeline};

impl Timeline {
    /// Sorts the events by time. What a turn notes may be stamped later than what others note behind it.
    pub(super) fn sort_events(&mut self) {
        let mut order: Vec<usize> = (0..self.events.len()).collect();
        order.sort_by_key(|event| self.events[*event].at);
        let mut places = vec![0; order.len()];
        for (place, event) in order.iter().enumerate() {
            places[*event] = place;
        }
        let mut sorted: Vec<_> = order.iter().map(|event| self.events[*event].clone()).collect();
        for (place, event) in sorted.iter_mut().enumerate() {
            event.cause = event.cause.map(|cause| places[cause]).filter(|cause| *cause < place);
        }
        self.events = sorted;
        for span in &mut self.spans {
            span.from = places[span.from];
            span.to = span.to.map(|to| places[to].max(span.from));
        }
        for message in &mut self.messages {
            message.sent = places[message.sent];
            message.arrived = message.arrived.map(|event| places[event].max(message.sent));
        }
        for lane in &mut self.lanes {
            lane.ended = lane.ended.map(|event| places[event]);
        }
        for stop in &mut self.stops {
            stop.event = stop.event.map(|event| places[event]);
        }
        self.spans.sort_by_key(|span| (span.from, span.lane));
        self.messages.sort_by_key(|message| (message.sent, message.from));
    }

    /// Sorts the lanes: hosts, and on each its tasks as they were met, behind each the connections that it used most.
    pub(super) fn sort_lanes(&mut self) {
        let key = |lane: usize| {
            let it = &self.lanes[lane];
            let group = match it.kind {
                LaneKind::Scenario | LaneKind::Host => 0,
                LaneKind::Task => 1 + lane,
                LaneKind::Connection | LaneKind::Datagrams => {
                    1 + it.owner.unwrap_or(self.lanes.len())
                }
            };
            (it.host, group, it.kind, lane)
        };
        let mut order: Vec<usize> = (0..self.lanes.len()).collect();
        order.sort_by_key(|lane| key(*lane));
        let mut places = vec![0; order.len()];
        for (place, lane) in order.iter().enumerate() {
            places[*lane] = place;
        }
        self.lanes = order.iter().map(|lane| self.lanes[*lane].clone()).collect();
        for lane in &mut self.lanes {
            lane.owner = lane.owner.map(|owner| places[owner]);
        }
        for event in &mut self.events {
            event.lane = places[event.lane];
            event.task = event.task.map(|task| places[task]);
        }
        for span in &mut self.spans {
            span.lane = places[span.lane];
        }
        for message in &mut self.messages {
            message.from = places[message.from];
            message.to = message.to.map(|to| places[to]);
        }
        for stop in &mut self.stops {
            for lane in &mut stop.lanes {
                *lane = places[*lane];
            }
        }
    }
}
