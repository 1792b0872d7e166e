//! Signals: who is told of one, and who dies of it.
//!
//! A program of several shards is started as `os::run_shards` does it: what asks it to end is held until each shard has
//! had a turn, so that one that starts late is told of what came before.

use std::io::{self, ErrorKind};

use mainspring_executor::driver::{Ready, Signal, Token};

use crate::event::{HostId, ShardId};
use crate::power::Condition;
use crate::room::Room;
use crate::tokens::{Handle, Resource};
use crate::trace::Kind;

/// What is held while shards start.
const HELD: [Signal; 2] = [Signal::Interrupt, Signal::Terminate];

/// What a program has subscribed to with one token.
#[derive(Debug)]
pub(crate) struct Subscription {
    signals: Vec<Signal>,
    /// Those that are pending; of each kind at most one, as in POSIX.
    pending: Vec<Signal>,
}

/// Signals that came while some shard had not had a turn yet.
#[derive(Debug, Default)]
pub(crate) struct HeldSignals {
    came: Vec<Signal>,
    /// Those of them that somebody was told of.
    told: Vec<Signal>,
}

impl Room {
    pub(crate) fn subscribe_signals(
        &mut self,
        shard: ShardId,
        signals: &[Signal],
    ) -> io::Result<Token> {
        assert!(!signals.is_empty(), "a subscription is to something");
        let host = self.host_of(shard);
        let came = &self.machine(host).held_signals.came;
        let pending: Vec<_> = came.iter().copied().filter(|came| signals.contains(came)).collect();
        let subscription = Subscription { signals: signals.to_vec(), pending: pending.clone() };
        let token = self.open_token(shard, Resource::Signals(subscription))?;
        self.shard_mut(shard).subscribers.push(token);
        self.note(shard, Kind::SubscribeSignals, token.to_bits(), 0);
        if !pending.is_empty() {
            self.raise(Handle { shard, token }, Ready::READABLE);
        }
        self.machine_mut(host).held_signals.told.extend(pending);
        Ok(token)
    }

    pub(crate) fn next_signal(&mut self, shard: ShardId, token: Token) -> io::Result<Signal> {
        let subscription = self.subscription(Handle { shard, token });
        let is_any = !subscription.pending.is_empty();
        let signal = is_any.then(|| subscription.pending.remove(0));
        self.note(shard, Kind::NextSignal, token.to_bits(), u64::from(signal.is_none()));
        signal.ok_or(ErrorKind::WouldBlock.into())
    }

    /// Sends a signal to the program of a host. One that has not subscribed to it, or no longer, dies of it.
    pub(crate) fn signal(&mut self, host: HostId, signal: Signal) {
        self.note_host(host, Kind::Signal, signal as u64, 0);
        match &mut self.machine_mut(host).condition {
            Condition::Up => self.deliver_signal(host, signal),
            Condition::Paused(signals) => signals.push(signal),
            Condition::Killed | Condition::Rising { .. } | Condition::Off => {}
        }
    }

    /// A program that is there, and goes on, is told of a signal or dies of it. It may have died of the last.
    pub(crate) fn deliver_signal(&mut self, host: HostId, signal: Signal) {
        if self.machine(host).condition.is_over() {
            return;
        }
        let shards = self.machine(host).shards.clone();
        let is_told = self.tell_shards(&shards, signal);
        if self.is_starting(host) && HELD.contains(&signal) {
            let held = &mut self.machine_mut(host).held_signals;
            held.came.push(signal);
            held.told.extend(is_told.then_some(signal));
        } else if !is_told {
            self.die(host);
        }
    }

    /// Tells those who have subscribed to a signal, and says whether there is one.
    pub(crate) fn tell_shards(&mut self, shards: &[ShardId], signal: Signal) -> bool {
        let subscribers = self.subscribers(shards, signal);
        for subscriber in &subscribers {
            let pending = &mut self.subscription(*subscriber).pending;
            if !pending.contains(&signal) {
                pending.push(signal);
            }
            self.raise(*subscriber, Ready::READABLE);
        }
        !subscribers.is_empty()
    }

    /// Who has subscribed to a signal, by shard and then in the order of the subscriptions.
    fn subscribers(&self, shards: &[ShardId], signal: Signal) -> Vec<Handle> {
        let all = shards.iter().flat_map(|shard| {
            let tokens = self.shard(*shard).subscribers.iter();
            tokens.map(|token| Handle { shard: *shard, token: *token })
        });
        let is_one = |handle: &Handle| match self.resource(handle.shard, handle.token) {
            Resource::Signals(subscription) => subscription.signals.contains(&signal),
            _ => unreachable!("a subscriber is a signal subscription"),
        };
        all.filter(is_one).collect()
    }

    fn subscription(&mut self, handle: Handle) -> &mut Subscription {
        let Handle { shard, token } = handle;
        match self.resource_mut(shard, token) {
            Resource::Signals(subscription) => subscription,
            other => panic!("{token:?} is used for signals, but it is a {}", other.name()),
        }
    }

    /// Whether some of the shards of a program have not had a turn yet.
    fn is_starting(&self, host: HostId) -> bool {
        let shards = &self.machine(host).shards;
        shards.len() > 1 && shards.iter().any(|shard| !self.shard(*shard).has_run)
    }

    /// A shard has had its first turn. After that of the last, signals that nobody was told of do what they do.
    pub(crate) fn shard_started(&mut self, shard: ShardId) {
        let host = self.host_of(shard);
        self.shard_mut(shard).has_run = true;
        if self.shard(shard).process.is_some() || self.is_starting(host) {
            return;
        }
        let HeldSignals { came, told } = core::mem::take(&mut self.machine_mut(host).held_signals);
        if came.iter().any(|signal| !told.contains(signal)) {
            self.die(host);
        }
    }

    fn die(&mut self, host: HostId) {
        self.note_host(host, Kind::Death, 0, 0);
        self.machine_mut(host).condition = Condition::Killed;
        for shard in self.machine(host).shards.clone() {
            self.want_nothing(shard);
            self.end_life(shard);
        }
    }
}
