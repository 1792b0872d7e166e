//! Power: machines that crash, come back, and programs that stand still for a while.
//!
//! ```text
//!            ┌─ pause ──► paused ── resume ─┐                ┌──── crash ────┐
//!            │                              ▼                │               ▼
//!   up ──────┴──────── a signal ──────────► killed ── restart ─► rising     off ── restart ─► up
//!    └──────────────── crash ──────────────────────────────────────────────► off
//! ```
//! A crash takes all that is in memory, the kernel included, and says nothing to anybody. The disk keeps what was synced,
//! and of the rest what the choice leaves. A restart begins a new life of each shard; the tasks of the old one are dropped
//! by the world before time goes on, whatever has become of the machine.
//!
//! Invariant: a life that was cut off has no kernel any more, so nothing that its destructors ask for has an effect.

use std::rc::Rc;

use mainspring_executor::driver::Signal;

use crate::choice::Label;
use crate::coverage::Fault;
use crate::event::{HostId, ShardId};
use crate::jobs::Jobs;
use crate::room::Room;
use crate::signals::HeldSignals;
use crate::spend::Spent;
use crate::tokens::Resource;
use crate::trace::Kind;

/// How a machine and its program are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The program runs when it has something to do.
    Up,
    /// It does not, and these signals wait for it.
    Paused(Vec<Signal>),
    /// A signal killed it. The kernel is there.
    Killed,
    /// The same, and its next life begins when the tasks of the last are gone; standing still, where that was asked for.
    Rising { is_paused: bool },
    /// The machine has no power.
    Off,
}

impl Condition {
    pub(crate) const fn is_killed(&self) -> bool {
        matches!(self, Self::Killed | Self::Rising { .. })
    }

    /// Whether the program has ended, of whatever cause.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_killed() || matches!(self, Self::Off)
    }
}

/// A life of a shard, from the start of a program on a machine to its end: the n-th, from 0.
pub(crate) type LifeNumber = u32;

/// What was in the memory of a machine that crashed: to be dropped with nothing borrowed, for it may hold anything of a
/// program's.
#[derive(Debug)]
#[expect(dead_code, reason = "it is only dropped")]
pub(crate) struct Debris {
    resources: Vec<Resource>,
    jobs: Jobs,
}

impl Room {
    /// Whether a machine has no power.
    pub(crate) fn is_off(&self, host: HostId) -> bool {
        self.machine(host).condition == Condition::Off
    }

    /// Whether the program of a shard has ended, and no next one is to begin.
    pub(crate) fn is_program_over(&self, shard: ShardId) -> bool {
        let is_rising = matches!(self.condition_of(shard), Condition::Rising { .. });
        self.is_dead(shard) && !is_rising
    }

    /// Whether a shard has no turn, whatever it has to do.
    pub(crate) fn is_still(&self, shard: ShardId) -> bool {
        let is_paused = || matches!(self.condition_of(shard), Condition::Paused(_));
        self.is_dead(shard) || self.shard(shard).process.is_none() && is_paused()
    }

    fn condition_of(&self, shard: ShardId) -> &Condition {
        &self.machine(self.host_of(shard)).condition
    }

    /// The power of a machine goes, if it has any.
    pub(crate) fn crash(&mut self, host: HostId) {
        if self.is_off(host) {
            return;
        }
        let lost = self.crash_files(host);
        self.note_host(host, Kind::Crash, lost, 0);
        let machine = self.machine_mut(host);
        machine.condition = Condition::Off;
        machine.is_crashing = false;
        machine.held_signals = HeldSignals::default();
        let jobs = core::mem::take(&mut machine.jobs);
        let mut resources = Vec::new();
        for shard in self.living_shards(host) {
            resources.extend(self.cut_off(shard));
        }
        self.lose_processes(host);
        self.lose_loose(host);
        self.lose_sockets(host);
        self.debris.push(Debris { resources, jobs });
    }

    /// Of a turn that is over: the crash that one of its tasks asked for.
    pub(crate) fn crash_if_asked(&mut self, shard: ShardId) {
        let host = self.host_of(shard);
        if self.machine(host).is_crashing {
            self.crash(host);
        }
    }

    /// Each unsynced change of a file gets to the disk, or not. Gives how many did not, or not whole.
    fn crash_files(&mut self, host: HostId) -> u64 {
        let owner = Some(self.first_shard(host));
        let mut files = core::mem::take(&mut self.machine_mut(host).files);
        let lost = files.crash(&mut |bound| self.choices.choose(owner, Label::Crash, bound));
        self.machine_mut(host).files = files;
        if lost > 0 {
            self.coverage.add_fault(Fault::ChangesLost);
        }
        lost
    }

    /// Ends the life of a shard, and takes what it had open.
    fn cut_off(&mut self, shard: ShardId) -> Vec<Resource> {
        self.want_nothing(shard);
        self.end_life(shard);
        let state = self.shard_mut(shard);
        state.cut = state.life + 1;
        state.edges.clear();
        state.subscribers.clear();
        state.jobs_open = 0;
        let tokens: Vec<_> = state.table.iter().map(|(token, _)| token).collect();
        // One by one: so none of them is ever given out again, and an event that names one finds nothing.
        tokens.into_iter().map(|token| state.table.remove(token).resource).collect()
    }

    /// The tasks of the life that a shard has now are to be dropped.
    pub(crate) fn end_life(&mut self, shard: ShardId) {
        let grave = (shard, self.shard(shard).life);
        if !self.dying.contains(&grave) {
            self.dying.push_back(grave);
        }
    }

    /// Begins a life of a machine's program. A machine that is up loses its power first; one whose program was killed does
    /// not.
    pub(crate) fn restart(&mut self, host: HostId) {
        if !self.machine(host).condition.is_over() {
            self.crash(host);
        }
        self.note_host(host, Kind::Restart, 0, 0);
        for shard in self.machine(host).shards.clone() {
            self.end_life(shard);
            let state = self.shard_mut(shard);
            state.life += 1;
            state.has_run = false;
            state.spent = Spent::default();
            self.want_nothing(shard);
        }
        let machine = self.machine_mut(host);
        machine.held_signals = HeldSignals::default();
        // What the kernel of a killed program is still asked to close is for the old one to close.
        let is_killed = machine.condition.is_killed();
        let rising = Condition::Rising { is_paused: false };
        machine.condition = if is_killed { rising } else { Condition::Up };
    }

    /// The tasks of a shard of a machine's own program are gone. After the last of them the next life begins.
    pub(crate) fn rise(&mut self, host: HostId) {
        let machine = self.machine(host);
        let is_left = self.dying.iter().any(|(shard, _)| machine.shards.contains(shard));
        let Condition::Rising { is_paused } = machine.condition else { return };
        if !is_left {
            let paused = Condition::Paused(Vec::new());
            self.machine_mut(host).condition = if is_paused { paused } else { Condition::Up };
            self.wake_program(host);
        }
    }

    /// The program stands still from now on.
    pub(crate) fn pause(&mut self, host: HostId) {
        let condition = match self.machine(host).condition {
            Condition::Up => Condition::Paused(Vec::new()),
            Condition::Rising { is_paused: false } => Condition::Rising { is_paused: true },
            _ => return,
        };
        self.note_host(host, Kind::Pause, 0, 0);
        self.machine_mut(host).condition = condition;
    }

    /// The program goes on, with all that came meanwhile.
    pub(crate) fn resume(&mut self, host: HostId) {
        let condition = &mut self.machine_mut(host).condition;
        let signals = match condition {
            Condition::Paused(signals) => core::mem::take(signals),
            Condition::Rising { is_paused: true } => {
                *condition = Condition::Rising { is_paused: false };
                self.note_host(host, Kind::Resume, 0, 0);
                return;
            }
            _ => return,
        };
        *condition = Condition::Up;
        self.note_host(host, Kind::Resume, 0, 0);
        self.wake_program(host);
        for signal in signals {
            self.deliver_signal(host, signal);
        }
    }

    /// The names of the machines whose program is paused.
    pub(crate) fn paused(&self) -> Vec<Rc<str>> {
        let all = (0..self.host_count()).map(|index| self.machine(HostId::new(index)));
        let paused = all.filter(|machine| matches!(machine.condition, Condition::Paused(_)));
        paused.map(|machine| Rc::clone(&machine.name)).collect()
    }

    fn wake_program(&mut self, host: HostId) {
        for shard in self.machine(host).shards.clone() {
            self.wake(shard);
        }
    }
}
