//! The network: streams, be they TCP or Unix sockets, and datagrams. Which packet exists, how long it is under way, and what it does
//! where it arrives. It never looks at the bytes.
//!
//! `pipe` is one direction of a connection, `side` one of its ends, `socket` what a shard may do with it, `listener` how connections
//! come to be, `pairs` which addresses they have, `keepalive` how one asks for the other, `manners` which small segments and
//! acknowledgements wait, `unix` how those of one machine come to be; `ghosts` is what a crash leaves of them; `datagrams` is UDP.
//! `wire` decides what gets lost and how long the rest is under way, `disorder` what comes late or twice; `flights` arrive,
//! `budget` decides what a host has memory for, and `dropped` is what it had none for. `tap` listens, where packets are to be
//! captured, and `flow` is a connection as packets show it.
//!
//! Invariant: a connection lives exactly as long as an owner or an event refers to it.

mod budget;
mod datagrams;
mod disorder;
mod dropped;
mod flights;
mod flow;
mod ghosts;
mod keepalive;
mod listener;
mod manners;
mod names;
mod pairs;
mod pipe;
mod side;
mod socket;
mod tap;
#[cfg(test)]
mod tests;
mod unix;
mod wire;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io::ErrorKind;

pub(crate) use budget::{Budget, no_buffers};
pub(crate) use datagrams::{Letter, Mailbox, MailboxId};
use keepalive::Asking;
pub(crate) use listener::Listener;
use mainspring_executor::driver::{Address, Instant, Ready};
use manners::Manners;
pub(crate) use names::Names;
use pairs::Pair;
use pipe::Pipe;
pub(crate) use pipe::SEGMENT_BYTES;
pub(crate) use side::Side;
pub(crate) use tap::Tap;
pub(crate) use wire::{Line, Link};

use crate::choice::Label;
use crate::config::WorldConfig;
use crate::coverage::Fault;
use crate::event::{ConnectionId, Event, HostId};
use crate::room::Room;
use crate::tokens::Handle;
use crate::trace::Kind;

/// Most pieces that one flight is split into.
const PIECES_MAX: u64 = 4;

/// Whose rules a connection keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Two kernels that learn of each other by packets.
    Tcp,
    /// One kernel: what one end does, the other end's calls know at once. Only bytes and edges are under way.
    Unix,
}

/// A connection: two ends, and a pipe from each to the other.
#[derive(Debug)]
pub(crate) struct Connection {
    family: Family,
    ends: [End; 2],
    pipes: [Pipe; 2],
    /// Events in the heap that refer to this.
    event_count: u32,
    /// When the first SYN was sent, and how often one was.
    syn_sent: Instant,
    syn_count: u32,
    /// The client's address pair is taken, for this connection.
    has_port: bool,
}

impl Connection {
    fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// What the end at `side` sends.
    fn outgoing(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    /// What the end at `side` receives.
    fn incoming(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side.other() as usize]
    }

    /// The edges that tell the end at `side` that the other has ended.
    fn ended(&self, side: Side) -> Ready {
        match self.end(side).state {
            State::Over | State::Ghost => broken(),
            _ if self.pipes[side.other() as usize].is_fin_arrived() => finished(),
            _ => Ready::NONE,
        }
    }

    /// The end at `side` sends no more than it has written.
    fn finish(&mut self, side: Side) {
        if !self.outgoing(side).is_fin_queued() {
            let is_first = !self.incoming(side).is_fin_arrived();
            self.end_mut(side).has_closed_first = is_first;
        }
        self.outgoing(side).queue_fin();
    }

    /// The addresses, as the end at `side` has them; of TCP only.
    fn pair(&self, side: Side) -> Pair {
        let ip = |side| -> SocketAddr {
            self.end(side).address.ip().expect("an end of a TCP connection is at an IP address")
        };
        Pair { local: ip(side), peer: ip(side.other()) }
    }

    /// Whether both directions have ended in order.
    fn is_finished(&self) -> bool {
        self.pipes.iter().all(Pipe::is_fin_arrived)
    }
}

/// One end of a connection, as its host's kernel sees it.
#[derive(Debug)]
struct End {
    /// `None`: no such host. Packets to it vanish.
    host: Option<HostId>,
    address: Address,
    owner: Owner,
    state: State,
    /// Why it broke; told once.
    error: Option<ErrorKind>,
    /// It was done before it knew that the other was: it is the one to wait (RFC 9293 §3.6).
    has_closed_first: bool,
    /// When something came the last time, acknowledgements aside.
    heard_at: Instant,
    /// It asks whether the peer is still there.
    asking: Option<Asking>,
    /// How it acknowledges what comes.
    manners: Manners,
    /// What its host has counted for it. See `budget`.
    counted_bytes: u64,
}

/// Who holds an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// A program.
    Program(Handle),
    /// A program that hands it from one shard to another.
    Detached,
    /// A listener, until it is accepted.
    Backlog,
    /// Nobody, or nobody any more: what is left is the kernel's.
    Nobody,
}

/// What may move over an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing yet: the SYN has no answer.
    Connecting,
    /// Bytes.
    Established,
    /// Nothing any more: it was reset from here or from there, or never came to be.
    Over,
    /// Nothing: its machine has crashed, and nobody there knows of it. See `ghosts`.
    Ghost,
}

impl State {
    const fn is_over(self) -> bool {
        matches!(self, Self::Over | Self::Ghost)
    }
}

impl Room {
    fn connection(&mut self, id: ConnectionId) -> &mut Connection {
        &mut self.connections[id.index()]
    }

    fn add_connection(&mut self, connection: Connection) -> ConnectionId {
        let id = ConnectionId::new(self.connections.vacant_key());
        let ends = || {
            let end = |side| {
                let end = connection.end(side);
                (end.host, end.address.clone())
            };
            [Side::Client, Side::Server].map(end)
        };
        self.tie_connection(id, ends);
        self.connections.insert(connection);
        id
    }

    /// Schedules an event that refers to a connection.
    fn push(&mut self, at: Instant, id: ConnectionId, event: Event) {
        self.connection(id).event_count += 1;
        self.schedule(at, event);
    }

    /// One event of a connection is about to be handled.
    fn popped(&mut self, id: ConnectionId, side: Side, kind: Kind, number: u64) {
        let connection = &mut self.connections[id.index()];
        connection.event_count -= 1;
        let shard = connection.end(side).host.map(|host| self.first_shard(host));
        self.note_of(shard, kind, id.index() as u64, number);
    }

    /// Handles an event of the network.
    pub(crate) fn handle_packet(&mut self, event: Event) {
        if let Event::Letter(id) = event {
            self.letter_arrived(id);
            return;
        }
        let id = match event {
            Event::SynTimer(id) => self.syn_timer_ran_out(id),
            Event::Syn(id) => self.syn_arrived(id),
            Event::SynAck(id) => self.syn_ack_arrived(id),
            Event::Refusal(id) => self.refusal_arrived(id),
            Event::Flight(id, side) => self.flight_arrived(id, side),
            Event::Ack(id, side) => self.ack_arrived(id, side),
            Event::Reset(id, side) => self.reset_arrived(id, side),
            Event::Resend(id, side) => self.resend_due(id, side),
            Event::Answer(id, side) => self.answer_due(id, side),
            Event::Duplicate(id, side) => self.old_news_arrived(id, side, Kind::Duplicate),
            Event::Probe(id, side) => self.old_news_arrived(id, side, Kind::Probe),
            Event::DelayedAck(id, side) => self.delayed_ack_due(id, side),
            Event::Redelivery(id, side) => self.redelivery_due(id, side),
            Event::Letter(_) | Event::Job(..) | Event::Spurious(..) | Event::Hook(_) => {
                unreachable!("not of the network: {event:?}")
            }
        };
        self.recount(id);
        self.release(id);
    }

    /// Tells the program that owns an end, if one does.
    fn raise_end(&mut self, id: ConnectionId, side: Side, ready: Ready) {
        if let Owner::Program(handle) = self.connections[id.index()].end(side).owner {
            self.raise(handle, ready);
        }
    }

    /// Sends what may be sent from `side`.
    fn pump(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        if self.is_ahead() {
            // What waits may be let go before its sender's time has come; it is not there before.
            self.connection(id).outgoing(side).in_order(now);
        }
        let Some(mut left) = self.connection(id).outgoing(side).sendable() else { return };
        let piece = if self.has_line(id, side) {
            SEGMENT_BYTES
        } else {
            let pieces = self.pieces(id, side);
            if pieces == 1 && self.connection(id).outgoing(side).join_flight(now, left) {
                let at = self.connection(id).outgoing(side).last_arrival;
                self.carry_ack(id, side, at);
                self.tap_flight(id, side, left, at);
                return;
            }
            // Whole segments, all of one size but the last.
            left.div_ceil(pieces).next_multiple_of(SEGMENT_BYTES)
        };
        loop {
            let count = left.min(piece);
            let Some(arrival) = self.arrival(id, side, count) else {
                self.segment_lost(id, side, left);
                return;
            };
            let arrival = self.perhaps_late(id, side, arrival, left - count);
            let at = self.connection(id).outgoing(side).launch(now, arrival, count);
            self.push(at, id, Event::Flight(id, side));
            self.perhaps_twice(id, side, at);
            self.carry_ack(id, side, at);
            self.tap_flight(id, side, count, at);
            left -= count;
            if left == 0 {
                break;
            }
        }
    }

    /// In how many pieces the next flight arrives; 1 also lets it join one that just left.
    fn pieces(&mut self, id: ConnectionId, side: Side) -> u64 {
        if !self.config.split_flights {
            return 1;
        }
        let host = self.connections[id.index()].end(side).host;
        let shard = host.map(|host| self.first_shard(host));
        let more = self.choices.choose(shard, Label::Pieces, PIECES_MAX);
        if more > 0 {
            self.coverage.add_fault(Fault::SplitFlight);
        }
        1 + more
    }

    /// Both FINs have arrived: who closed first keeps the addresses for a while. (Where both did, one of them waits for the
    /// acknowledgement of its own first; that is not looked at.)
    fn ended_in_order(&mut self, id: ConnectionId) {
        let now = self.now;
        for side in [Side::Client, Side::Server] {
            let connection = self.connection(id);
            let end = connection.end(side);
            let is_waiting = end.has_closed_first && !end.state.is_over();
            let Some(host) = end.host.filter(|_| is_waiting) else { continue };
            let pair = connection.pair(side);
            let has_port = side == Side::Client && core::mem::take(&mut connection.has_port);
            self.machine_mut(host).sockets.pairs.wait(now, pair, has_port);
        }
        self.retire(id, Side::Client);
        self.retire(id, Side::Server);
    }

    /// An end is of no more use to anybody: it asks for nobody, and its address pair is free, if it is one that was taken.
    fn retire(&mut self, id: ConnectionId, side: Side) {
        self.stop_asking(id, side);
        self.free_pair(id, side);
    }

    fn free_pair(&mut self, id: ConnectionId, side: Side) {
        let connection = self.connection(id);
        if side == Side::Client && core::mem::take(&mut connection.has_port) {
            let host = connection.end(side).host.expect("a client is on a host");
            let pair = connection.pair(side);
            self.machine_mut(host).sockets.pairs.disconnect(pair);
        }
    }

    /// A SYN is taken whose address pair may be in `TIME_WAIT`: its sequence number is beyond the old ones, as RFC 6191 asks.
    fn take_over_pair(&mut self, id: ConnectionId) {
        let now = self.now;
        let connection = self.connection(id);
        let host = connection.end(Side::Server).host.expect("a SYN is taken by a host");
        let pair = connection.pair(Side::Server);
        if self.machine_mut(host).sockets.pairs.take_over(now, pair) {
            self.note_host(host, Kind::TimeWaitCut, id.index() as u64, u64::from(pair.peer.port()));
        }
    }

    /// Sends an acknowledgement and the state of the window from `receiver`.
    fn acknowledge(&mut self, id: ConnectionId, receiver: Side) {
        self.connection(id).end_mut(receiver).manners.acknowledge();
        let arrival = self.arrival(id, receiver, 0);
        self.tap_ack(id, receiver, arrival);
        let Some(at) = arrival else {
            self.answer_lost(id, receiver);
            return;
        };
        self.answered(id, receiver);
        let sender = receiver.other();
        if self.connection(id).end(sender).state == State::Ghost {
            // Whoever is there then may have something to say to it.
            self.push(at, id, Event::Ack(id, sender));
            return;
        }
        self.connection(id).incoming(receiver).acknowledge(at);
        self.arm_ack(id, sender);
    }

    /// Makes the event of an acknowledgement that `sender` waits for, if it does, or whose host counts what it gives back. All
    /// others are taken when it next writes: most acknowledgements cost no event.
    fn arm_ack(&mut self, id: ConnectionId, sender: Side) {
        let is_over = self.connection(id).end(sender).state.is_over();
        let is_counted = !is_over && self.counting_host(id, sender).is_some();
        if let Some(at) = self.connection(id).outgoing(sender).arm_ack(is_counted) {
            self.push(at, id, Event::Ack(id, sender));
        }
        self.arm_answer(id, sender);
    }

    fn ack_arrived(&mut self, id: ConnectionId, sender: Side) -> ConnectionId {
        self.connection(id).outgoing(sender).ack_event = false;
        if self.connection(id).end(sender).state == State::Ghost {
            self.ghost_is_acknowledged(id, sender);
            return id;
        }
        self.popped(id, sender, Kind::Ack, 0);
        if self.connection(id).end(sender).state.is_over() {
            return id;
        }
        self.settle(id, sender);
        let pipe = self.connection(id).outgoing(sender);
        if pipe.write_refused && pipe.is_worth_writing() {
            pipe.write_refused = false;
            self.raise_end(id, sender, Ready::WRITABLE);
        }
        self.arm_ack(id, sender);
        id
    }

    /// Takes the acknowledgements that are there, and sends what they allow.
    fn settle(&mut self, id: ConnectionId, sender: Side) {
        let now = self.now;
        self.connection(id).outgoing(sender).settle(now);
        self.pump(id, sender);
    }

    /// Breaks the connection from `side`: what is unsent is dropped, what is under way still arrives before the reset.
    fn send_reset(&mut self, id: ConnectionId, side: Side) {
        let arrival = self.arrival(id, side, 0);
        self.tap_reset(id, side, arrival);
        self.retire(id, side);
        let connection = self.connection(id);
        connection.end_mut(side).state = State::Over;
        connection.incoming(side).discard();
        let pipe = connection.outgoing(side);
        pipe.drop_unsent();
        let Some(arrival) = arrival else {
            self.answer_lost(id, side);
            return;
        };
        let at = pipe.in_order(arrival);
        self.answered(id, side);
        self.push(at, id, Event::Reset(id, side));
    }

    fn reset_arrived(&mut self, id: ConnectionId, sender: Side) -> ConnectionId {
        let receiver = sender.other();
        self.popped(id, receiver, Kind::Reset, 0);
        let connection = self.connection(id);
        connection.outgoing(sender).forget_dropped();
        assert!(connection.outgoing(sender).is_landed(), "a reset overtakes nothing");
        if connection.end(receiver).state.is_over() {
            return id;
        }
        // Linux: after the peer's FIN, a reset means that nobody hears us; before it, that we miss something.
        let is_late = connection.incoming(receiver).is_fin_arrived();
        let error = match connection.family {
            Family::Tcp if is_late => ErrorKind::BrokenPipe,
            Family::Tcp | Family::Unix => ErrorKind::ConnectionReset,
        };
        self.break_end(id, receiver, error);
        id
    }

    /// An end is told that there is no connection.
    fn break_end(&mut self, id: ConnectionId, side: Side, error: ErrorKind) {
        let connection = self.connection(id);
        let end = connection.end_mut(side);
        end.state = State::Over;
        end.error = Some(error);
        connection.outgoing(side).drop_unsent();
        connection.outgoing(side).discard();
        self.retire(id, side);
        self.raise_end(id, side, broken());
    }

    /// Forgets a connection that nobody refers to.
    fn release(&mut self, id: ConnectionId) {
        let connection = &self.connections[id.index()];
        let is_held = connection.ends.iter().any(|end| end.owner != Owner::Nobody);
        if is_held || connection.event_count > 0 {
            return;
        }
        let is_done = |side: Side| {
            connection.end(side).state.is_over() || !connection.pipes[side as usize].has_work()
        };
        assert!(
            is_done(Side::Client) && is_done(Side::Server),
            "bytes of a closed connection wait for an event that never comes: {connection:?}"
        );
        self.free_pair(id, Side::Client);
        self.discount(id);
        self.untap(id);
        self.connections.remove(id.index());
    }

    /// Which way packets to an address take, seen from `from`.
    fn route(&self, from: HostId, ip: IpAddr) -> Route {
        let loopback: IpAddr = match ip {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        // Linux takes the unspecified address for the own host.
        if ip.is_unspecified() {
            return Route { to: Some(from), source: loopback, target: loopback };
        }
        if ip.is_loopback() {
            return Route { to: Some(from), source: loopback, target: ip };
        }
        let source = match ip {
            IpAddr::V4(_) => self.machine(from).ip.into(),
            IpAddr::V6(_) => self.machine(from).ip_v6.into(),
        };
        Route { to: self.host_at(ip), source, target: ip }
    }

    /// Whether a socket of a host may be bound to an address.
    fn is_own(&self, host: HostId, ip: IpAddr) -> bool {
        let machine = self.machine(host);
        ip.is_unspecified() || ip.is_loopback() || ip == machine.ip || ip == machine.ip_v6
    }
}

/// The way that packets to an address take.
struct Route {
    /// `None`: nobody is there.
    to: Option<HostId>,
    /// The address that they come from, unless the socket is bound to another.
    source: IpAddr,
    /// The address that they go to.
    target: IpAddr,
}

/// What a FIN makes possible.
fn finished() -> Ready {
    Ready::READABLE | Ready::READ_CLOSED
}

/// What a reset makes possible: everything, for whatever is tried next tells of it.
fn broken() -> Ready {
    finished() | Ready::WRITABLE | Ready::BROKEN
}

/// A new connection that nobody holds, and that nothing has happened to.
fn connecting(
    family: Family,
    config: &WorldConfig,
    now: Instant,
    client: (HostId, Address),
    server: (Option<HostId>, Address),
) -> Connection {
    let pipe = || match family {
        Family::Tcp => Pipe::new(config.send_buffer_bytes, config.recv_buffer_bytes),
        Family::Unix => Pipe::within_a_machine(config.send_buffer_bytes),
    };
    let end = |(host, address)| End {
        host,
        address,
        owner: Owner::Nobody,
        state: State::Connecting,
        error: None,
        has_closed_first: false,
        heard_at: now,
        asking: None,
        manners: Manners::default(),
        counted_bytes: 0,
    };
    Connection {
        family,
        ends: [end((Some(client.0), client.1)), end(server)],
        pipes: [pipe(), pipe()],
        event_count: 0,
        syn_sent: now,
        syn_count: 0,
        has_port: false,
    }
}
