//! What a world says of a run: its report, and why it failed.

use std::collections::BTreeMap;

use mainspring_executor::driver::TaskId;

use crate::event::ShardId;
use crate::failure::{Alive, Failure, FailureKind, Report, hint};
use crate::host::Host;
use crate::quiet::{Heard, heard};
use crate::world::World;

/// So many events before a failure are told with it, where they are recorded.
const LAST_EVENTS: usize = 100;

/// So many lines are shown that differ in nothing but numbers.
const ALIKE_MAX: usize = 3;

/// The lines without those that are like others: the same but for numbers that are not of a place in the code.
fn condensed(lines: &[String]) -> Vec<String> {
    let mut kinds: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    let mut order = Vec::new();
    for line in lines {
        let kind = without_numbers(line);
        if !kinds.contains_key(&kind) {
            order.push(kind.clone());
        }
        kinds.entry(kind).or_default().push(line);
    }
    let mut shown = Vec::new();
    for kind in &order {
        let alike = &kinds[kind];
        shown.extend(alike.iter().take(ALIKE_MAX).map(|line| (*line).clone()));
        if let Some(more) = alike.len().checked_sub(ALIKE_MAX).filter(|more| *more > 0) {
            shown.push(format!("and {more} more like this"));
        }
    }
    shown
}

/// A line without its numbers, but those of a place in the code: `src/house.rs:138:31`.
fn without_numbers(line: &str) -> String {
    let mut kind = String::new();
    let mut is_of_a_place = false;
    for character in line.chars() {
        is_of_a_place = match character {
            ':' => is_of_a_place || kind.ends_with(".rs"),
            _ => is_of_a_place && character.is_ascii_digit(),
        };
        if is_of_a_place || !character.is_ascii_digit() {
            kind.push(character);
        }
    }
    kind
}

impl World {
    /// Where a program must not go past its driver, the first call that did.
    pub(super) fn check_bypasses(&self) -> Result<(), Failure> {
        let room = self.room.borrow();
        let call = room.bypasses.kept.first().filter(|_| room.config.is_strict);
        let Some(details) = call.map(|call| format!("{call}\n")) else { return Ok(()) };
        drop(room);
        Err(self.failure(FailureKind::Bypass, details))
    }

    /// Whether the programs have kept their promises so far.
    pub(super) fn check_promises(&self) -> Result<(), Failure> {
        let broken = self.room.borrow_mut().take_broken();
        let Some((shard, task, details)) = broken else { return Ok(()) };
        Err(self.failure_of(FailureKind::Promise, details, vec![(shard, task)]))
    }

    /// Runs it, and looks at what is left.
    ///
    /// # Errors
    /// Why it failed, or what is left, with the trace where that is recorded.
    pub(crate) fn run_to_end(&self) -> Result<Report, String> {
        let report = self.run().map_err(|failure| failure.to_string())?;
        let leaks = self.leaks();
        if leaks.is_empty() {
            return Ok(report);
        }
        let leaks = condensed(&leaks).join("\n  ");
        let mut message = format!("leak: still alive after the end:\n  {leaks}");
        for event in self.trace() {
            message.push('\n');
            message.push_str(&event);
        }
        Err(message)
    }

    pub(super) fn report(&self) -> Report {
        let room = self.room.borrow();
        let hosts = self.hosts.borrow();
        let is_killed = |host: &&Host| {
            room.machine(host.id).condition.is_killed()
                && room.first_shard(host.id) == host.shard_id
        };
        let killed = hosts.iter().filter(is_killed);
        Report {
            at: room.now,
            seed: room.choices.seed(),
            event_count: self.event_count.get(),
            busiest_instant: self.instants.borrow().count_max,
            trace_hash: room.trace.hash(),
            killed: killed.map(|host| host.name().to_owned()).collect(),
        }
    }

    /// A failure that is explained by what is alive, and who waits for whom.
    pub(super) fn stuck(&self, kind: FailureKind) -> Failure {
        let mut alive = Alive::default();
        let waited_for = self.foreground.borrow().list();
        let culprits = waited_for.iter().map(|(shard, task)| (*shard, Some(*task))).collect();
        for (shard, task) in waited_for {
            alive.add_foreground(self.host_of(shard).name(), task);
        }
        let paused = self.room.borrow().paused();
        let paused: String = paused.iter().map(|name| format!("{name} is paused\n")).collect();
        for host in &*self.hosts.borrow() {
            alive.add_shard(host.name(), &host.seat.shard().dump(), kind);
        }
        let busiest = if kind == FailureKind::Livelock { self.busiest() } else { String::new() };
        self.failure_of(kind, paused + &busiest + &alive.text(), culprits)
    }

    /// A failure of nobody in particular.
    pub(super) fn failure(&self, kind: FailureKind, details: String) -> Failure {
        self.failure_of(kind, details, Vec::new())
    }

    pub(super) fn failure_of(
        &self,
        kind: FailureKind,
        mut details: String,
        culprits: Vec<(ShardId, Option<TaskId>)>,
    ) -> Failure {
        let first_line = details.lines().next().unwrap_or_default();
        self.room.borrow_mut().tie_stop(&format!("{kind}\n{first_line}"), culprits);
        let room = self.room.borrow();
        for Heard { site, message } in heard() {
            if !details.contains(&message) {
                details.push_str(&format!("a panic before that, at {site}: {message}\n"));
            }
        }
        details.push_str(hint(&details));
        let last = room.trace_lines(LAST_EVENTS);
        if !last.is_empty() {
            details.push_str("what happened last:\n");
            details.extend(last.iter().map(|line| format!("  {line}\n")));
        }
        Failure {
            kind,
            at: room.now,
            seed: room.choices.seed(),
            event_count: self.event_count.get(),
            trace_hash: room.trace.hash(),
            details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_numbers_are_counted() {
        let task =
            |number: usize, line| format!("shop: task {number}, spawned at src/a.rs:{line}:14");
        let mut lines: Vec<String> = (0..12).map(|number| task(number, 7)).collect();
        lines.push(task(3, 8));
        lines.push("shop: timer for 1.5, made at src/a.rs:7:14".to_owned());
        lines.extend((0..5).map(|port| format!("shop: kernel: connection from 10.0.0.2:{port}")));
        let mut expected: Vec<String> = (0..3).map(|number| task(number, 7)).collect();
        expected.push("and 9 more like this".to_owned());
        expected.extend_from_slice(&lines[12..17]);
        expected.push("and 2 more like this".to_owned());
        assert_eq!(condensed(&lines), expected);
        assert_eq!(condensed(&lines[..3]), lines[..3]);
        assert_eq!(condensed(&lines[..4]).last().map(String::as_str), Some("and 1 more like this"));
    }
}
