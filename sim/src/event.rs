//! `Events`: what will happen, in order. One heap for the whole room, so that an event costs O(log n) however many
//! hosts and links there are.
//!
//! Invariant: events of one instant come out in the order in which they were put in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use mainspring_executor::driver::{Instant, Ready, Token};

use crate::net::Side;

/// Makes a type for the places of one kind of thing in the room.
macro_rules! place {
    ($(#[$doc:meta])* $name:ident, $things:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(u32);

        impl $name {
            pub(crate) fn new(index: usize) -> Self {
                Self(u32::try_from(index).expect(concat!("fewer than 2^32 ", $things)))
            }

            pub(crate) const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

place! {
    /// A machine, by its place in the room.
    HostId, "hosts"
}

place! {
    /// A shard of some machine, by its place in the room. A machine has one, unless it was given more.
    ShardId, "shards"
}

place! {
    /// A connection, by its place in the room. Good for as long as an event or an end refers to it.
    ConnectionId, "connections"
}

place! {
    /// A listener, by its place in the room. Good until it is closed.
    ListenerId, "listeners"
}

place! {
    /// A datagram under way, by its place in the room. Good until it arrives.
    LetterId, "datagrams"
}

/// Something that happens at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The client's timer for a SYN without an answer runs out.
    SynTimer(ConnectionId),
    /// A SYN arrives at its host.
    Syn(ConnectionId),
    /// The answer to a SYN arrives at the client.
    SynAck(ConnectionId),
    /// The answer to a SYN that nobody listens for arrives.
    Refusal(ConnectionId),
    /// The first flight of the pipe arrives at the end opposite of this side.
    Flight(ConnectionId, Side),
    /// An acknowledgement arrives at this side, which waits for it.
    Ack(ConnectionId, Side),
    /// A reset sent by this side arrives at the other.
    Reset(ConnectionId, Side),
    /// The timer of a segment that this side sent, and that got lost, runs out.
    Resend(ConnectionId, Side),
    /// The timer of an answer to this side, that got lost, runs out.
    Answer(ConnectionId, Side),
    /// A segment that this side sent arrives at the other, which has it.
    Duplicate(ConnectionId, Side),
    /// A keep-alive probe sent by this side arrives at the other.
    Probe(ConnectionId, Side),
    /// This side acknowledges what it has held back.
    DelayedAck(ConnectionId, Side),
    /// What this side sent, and the other had no memory for, is sent again.
    Redelivery(ConnectionId, Side),
    /// A datagram arrives, or the news that it cannot.
    Letter(LetterId),
    /// A job of a shard has ended.
    Job(ShardId, Token),
    /// An edge for nothing.
    Spurious(ShardId, Token, Ready),
    /// A step of the scenario, by its place in the list of hooks.
    Hook(u32),
}

impl Event {
    /// Whether the room is not quiet while this is to come.
    const fn is_of_the_machines(self) -> bool {
        !matches!(self, Self::Hook(_))
    }
}

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Entry>,
    sequence: u64,
    of_the_machines: usize,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    sequence: u64,
    event: Event,
}

impl Events {
    /// Gives the number of the event, by which no other one goes.
    pub(crate) fn push(&mut self, at: Instant, event: Event) -> u64 {
        self.of_the_machines += usize::from(event.is_of_the_machines());
        let sequence = self.sequence;
        self.heap.push(Entry { at, sequence, event });
        self.sequence += 1;
        sequence
    }

    /// Takes the first event, if it is due at `now`, and its number.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(u64, Event)> {
        if self.next_instant()? > now {
            return None;
        }
        let Entry { sequence, event, .. } = self.heap.pop()?;
        self.of_the_machines -= usize::from(event.is_of_the_machines());
        Some((sequence, event))
    }

    pub(crate) fn next_instant(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Whether no packet is under way, no job runs and no timer of a kernel is armed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.of_the_machines == 0
    }
}

impl Ord for Entry {
    /// Reversed: the heap gives the largest first, and we want the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_come_out_as_they_went_in() {
        let mut events = Events::default();
        for hook in 0..100 {
            events.push(Instant::from_nanos(u64::from(hook % 2)), Event::Hook(hook));
        }
        let mut order = Vec::new();
        while let Some((_, Event::Hook(hook))) = events.pop_due(Instant::FAR_FUTURE) {
            order.push(hook);
        }
        let evens_then_odds = (0..100).step_by(2).chain((1..100).step_by(2));
        assert!(order.into_iter().eq(evens_then_odds));
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 32);
    }
}
