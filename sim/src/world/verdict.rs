//! What a world says of a run: its report, and why it failed.

use mainspring_executor::driver::TaskId;

use crate::condensed::condensed;
use crate::event::ShardId;
use crate::failure::{Alive, Failure, FailureKind, Report, hint};
use crate::host::Host;
use crate::quiet::{Heard, heard};
use crate::world::World;

/// So many events before a failure are told with it, where they are recorded.
const LAST_EVENTS: usize = 100;

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
