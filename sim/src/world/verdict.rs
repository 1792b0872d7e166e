//! What a world says of a run: its report, and why it failed.

use crate::failure::{Alive, Failure, FailureKind, Report};
use crate::host::Host;
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
        broken.map_or(Ok(()), |details| Err(self.failure(FailureKind::Promise, details)))
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
        let mut message = format!("leak: still alive after the end:\n  {}", leaks.join("\n  "));
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
        for (shard, task) in self.foreground.borrow().list() {
            alive.add_foreground(self.host_of(shard).name(), task);
        }
        let paused = self.room.borrow().paused();
        let paused: String = paused.iter().map(|name| format!("{name} is paused\n")).collect();
        for host in &*self.hosts.borrow() {
            alive.add_shard(host.name(), &host.seat.shard().dump(), kind);
        }
        let busiest = if kind == FailureKind::Livelock { self.busiest() } else { String::new() };
        self.failure(kind, paused + &busiest + &alive.text())
    }

    pub(super) fn failure(&self, kind: FailureKind, mut details: String) -> Failure {
        let room = self.room.borrow();
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
