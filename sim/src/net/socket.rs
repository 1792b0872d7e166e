//! What a program may do with its end of a connection. Each answer is the one that Linux gives.

use core::net::SocketAddr;
use std::io::{self, ErrorKind, IoSlice};

use mainspring_executor::driver::{Address, Ready, Token, Transfer};

use super::{Connection, Family, Owner, Side, State, connecting};
use crate::choice::Label;
use crate::coverage::Fault;
use crate::event::{ConnectionId, Event, ShardId};
use crate::room::Room;
use crate::tokens::{Handle, Resource, Socket};
use crate::trace::{FAILED, Kind, WOULD_BLOCK};

/// A short read or write happens once in so many, where it may.
const SHORT_ONE_IN: u64 = 4;

impl Room {
    pub(crate) fn connect(&mut self, shard: ShardId, address: &Address) -> io::Result<Token> {
        match address {
            Address::Ip(ip) => self.connect_ip(shard, *ip),
            Address::Unix(path) => self.connect_unix(shard, path),
            Address::Unnamed => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn connect_ip(&mut self, shard: ShardId, to: SocketAddr) -> io::Result<Token> {
        let host = self.host_of(shard);
        let route = self.route(host, to.ip());
        self.check_token_limit(shard, 1)?;
        self.check_socket_memory(host)?;
        let (now, peer) = (self.now, SocketAddr::new(route.target, to.port()));
        let port = self.machine_mut(host).sockets.pairs.connect(now, route.source, peer);
        let port = port.ok_or(ErrorKind::AddrNotAvailable)?;
        let client = (host, SocketAddr::new(route.source, port).into());
        let server = (route.to, peer.into());
        let mut connection = connecting(Family::Tcp, &self.config, now, client, server);
        connection.has_port = true;
        let id = self.add_connection(connection);
        let token = self.hold(shard, id, Side::Client)?;
        self.note(shard, Kind::Connect, token.to_bits(), u64::from(to.port()));
        self.send_syn(id);
        Ok(token)
    }

    /// Gives a shard an end of a connection that nobody holds.
    pub(super) fn hold(
        &mut self,
        shard: ShardId,
        id: ConnectionId,
        side: Side,
    ) -> io::Result<Token> {
        let token = self.open_token(shard, Resource::Socket(Socket::Connection(id, side)))?;
        self.connection(id).end_mut(side).owner = Owner::Program(Handle { shard, token });
        Ok(token)
    }

    pub(crate) fn connect_outcome(&mut self, shard: ShardId, socket: Token) -> io::Result<()> {
        let (id, side) = self.socket(shard, socket);
        let end = self.connection(id).end_mut(side);
        let outcome = match end.state {
            State::Connecting => Err(ErrorKind::WouldBlock),
            State::Established => Ok(()),
            State::Over | State::Ghost => Err(end.error.take().unwrap_or(ErrorKind::NotConnected)),
        };
        self.note(shard, Kind::ConnectOutcome, socket.to_bits(), u64::from(outcome.is_err()));
        outcome.map_err(io::Error::from)
    }

    pub(crate) fn read(
        &mut self,
        shard: ShardId,
        socket: Token,
        buffer: &mut [u8],
    ) -> io::Result<Transfer> {
        assert!(!buffer.is_empty(), "a read of nothing says nothing: it would look like a FIN");
        let (id, side) = self.socket(shard, socket);
        let read = self.try_read(shard, id, side, buffer);
        self.recount(id);
        if matches!(read, Err(ErrorKind::WouldBlock)) {
            self.perhaps_spurious(shard, socket, Ready::READABLE);
        }
        self.moved(shard, Kind::Read, socket, read)
    }

    fn try_read(
        &mut self,
        shard: ShardId,
        id: ConnectionId,
        side: Side,
        buffer: &mut [u8],
    ) -> Result<Transfer, ErrorKind> {
        let readable = self.connection(id).incoming(side).readable();
        if readable == 0 {
            return self.read_nothing(id, side);
        }
        let mut count = readable.min(buffer.len());
        if self.config.short_reads {
            count = self.shortened(shard, (Label::ShortRead, Fault::ShortRead), count);
        }
        let connection = self.connection(id);
        let is_established = connection.end(side).state == State::Established;
        let pipe = connection.incoming(side);
        pipe.read(&mut buffer[..count]);
        let exhausted = count == readable && is_established && !pipe.is_fin_arrived();
        if is_established && pipe.is_window_news() {
            self.acknowledge(id, side);
        } else if is_established {
            self.acknowledge_read(id, side);
        }
        Ok(Transfer { count, exhausted })
    }

    /// What a read says when there are no bytes: a reset is told once, and is a FIN then. Where two kernels are apart, a
    /// FIN hides a later reset.
    fn read_nothing(&mut self, id: ConnectionId, side: Side) -> Result<Transfer, ErrorKind> {
        let connection = self.connection(id);
        let fin = Transfer { count: 0, exhausted: false };
        if connection.incoming(side).is_fin_arrived() {
            let is_hidden = connection.family == Family::Tcp;
            let error = connection.end_mut(side).error.take_if(|_| !is_hidden);
            return error.map_or(Ok(fin), Err);
        }
        let end = connection.end_mut(side);
        match (end.state, end.error.take()) {
            (State::Over | State::Ghost, Some(error)) => Err(error),
            (State::Over | State::Ghost, None) => Ok(fin),
            (State::Connecting | State::Established, error) => {
                assert!(error.is_none(), "an error ends the connection");
                Err(ErrorKind::WouldBlock)
            }
        }
    }

    pub(crate) fn write(
        &mut self,
        shard: ShardId,
        socket: Token,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<Transfer> {
        let (id, side) = self.socket(shard, socket);
        let written = self.try_write(shard, id, side, buffers);
        self.recount(id);
        if matches!(written, Err(ErrorKind::WouldBlock)) {
            self.perhaps_spurious(shard, socket, Ready::WRITABLE);
        }
        self.moved(shard, Kind::Write, socket, written)
    }

    fn try_write(
        &mut self,
        shard: ShardId,
        id: ConnectionId,
        side: Side,
        buffers: &[IoSlice<'_>],
    ) -> Result<Transfer, ErrorKind> {
        self.connection(id).check_writable(side)?;
        self.settle(id, side);
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum::<usize>();
        assert!(wanted > 0, "a write has something to write");
        let (room, free) = (self.write_room(id, side), self.connection(id).outgoing(side).free());
        if room < wanted.min(free) {
            self.coverage.add_fault(Fault::WriteWithoutMemory);
        }
        let mut count = wanted.min(free).min(room);
        if self.config.short_writes && count > 0 {
            count = self.shortened(shard, (Label::ShortWrite, Fault::ShortWrite), count);
        }
        let pipe = self.connection(id).outgoing(side);
        let mut left = count;
        for buffer in buffers {
            let part = left.min(buffer.len());
            pipe.write(&buffer[..part]);
            left -= part;
        }
        self.tap_write(id, side, buffers, count);
        let pipe = self.connection(id).outgoing(side);
        let exhausted = pipe.free() == 0 || count == room;
        // Once refused, the edge is owed, though a later write may find space before it comes.
        pipe.write_refused |= exhausted;
        if count == room {
            self.await_memory(id, side);
        }
        self.pump(id, side);
        self.arm_ack(id, side);
        if count == 0 { Err(ErrorKind::WouldBlock) } else { Ok(Transfer { count, exhausted }) }
    }

    /// All of `count`, or sometimes less; never nothing.
    fn shortened(&mut self, shard: ShardId, (label, fault): (Label, Fault), count: usize) -> usize {
        match self.choices.chance(Some(shard), label, SHORT_ONE_IN) {
            true => {
                let left_out = self.choices.index(Some(shard), label, count);
                if left_out > 0 {
                    self.coverage.add_fault(fault);
                }
                count - left_out
            }
            false => count,
        }
    }

    /// Notes the outcome of a read or write.
    fn moved(
        &mut self,
        shard: ShardId,
        kind: Kind,
        socket: Token,
        outcome: Result<Transfer, ErrorKind>,
    ) -> io::Result<Transfer> {
        let number = match outcome {
            Ok(transfer) => transfer.count as u64,
            Err(ErrorKind::WouldBlock) => WOULD_BLOCK,
            Err(_) => FAILED,
        };
        self.note(shard, kind, socket.to_bits(), number);
        outcome.map_err(io::Error::from)
    }

    pub(crate) fn shutdown_write(&mut self, shard: ShardId, socket: Token) -> io::Result<()> {
        let (id, side) = self.socket(shard, socket);
        let connection = self.connection(id);
        let is_established = connection.end(side).state == State::Established;
        // Both FINs have arrived: nothing is left to shut. (Linux also waits for the acknowledgement of the second.) A
        // Unix socket does not look.
        let is_connected = match connection.family {
            Family::Tcp => is_established && !connection.is_finished(),
            Family::Unix => true,
        };
        if is_established && is_connected {
            connection.finish(side);
            self.settle(id, side);
            self.arm_ack(id, side);
            self.recount(id);
        }
        self.note(shard, Kind::ShutdownWrite, socket.to_bits(), u64::from(!is_connected));
        if is_connected { Ok(()) } else { Err(ErrorKind::NotConnected.into()) }
    }

    /// The program that owned an end is done with it.
    pub(crate) fn close_connection(&mut self, id: ConnectionId, side: Side, is_abort: bool) {
        let connection = self.connection(id);
        let is_reset = connection.is_reset_by_close(side, is_abort);
        connection.end_mut(side).owner = Owner::Nobody;
        self.stop_asking(id, side);
        let connection = self.connection(id);
        match connection.end(side).state {
            // The SYN is out, or its timer runs: whoever comes back with an answer finds nobody.
            State::Connecting => self.free_pair(id, side),
            State::Over | State::Ghost => connection.incoming(side).discard(),
            State::Established if is_reset => self.send_reset(id, side),
            State::Established => {
                connection.finish(side);
                self.settle(id, side);
                self.arm_ack(id, side);
            }
        }
        self.recount(id);
        self.release(id);
    }

    /// The connection behind a token.
    pub(super) fn socket(&self, shard: ShardId, socket: Token) -> (ConnectionId, Side) {
        match self.resource(shard, socket) {
            Resource::Socket(Socket::Connection(id, side)) => (*id, *side),
            other => panic!("{socket:?} is used as a connection, but it is a {}", other.name()),
        }
    }

    /// Another shard holds an end, or none does for a while.
    pub(crate) fn set_connection_holder(
        &mut self,
        id: ConnectionId,
        side: Side,
        holder: Option<Handle>,
    ) {
        self.connection(id).end_mut(side).owner = holder.map_or(Owner::Detached, Owner::Program);
    }

    /// The edges that tell the end at `side` that the other has ended.
    pub(crate) fn ended(&mut self, id: ConnectionId, side: Side) -> Ready {
        self.connection(id).ended(side)
    }

    /// Whether the handshake of an end is still under way.
    pub(crate) fn is_connecting(&self, id: ConnectionId, side: Side) -> bool {
        self.connections[id.index()].end(side).state == State::Connecting
    }

    /// The address of an end.
    pub(crate) fn end_address(&self, id: ConnectionId, side: Side) -> &Address {
        &self.connections[id.index()].end(side).address
    }

    pub(super) fn send_syn(&mut self, id: ConnectionId) {
        let connection = self.connection(id);
        connection.syn_count += 1;
        if connection.end(Side::Server).host.is_none() {
            // Nobody is there to drop it: straight on to the next try.
            self.tap_syn(id, None);
            self.await_syn_timer(id);
            return;
        }
        let arrival = self.arrival(id, Side::Client, 0);
        self.tap_syn(id, arrival);
        match arrival {
            Some(at) => self.push(at, id, Event::Syn(id)),
            None => self.handshake_lost(id, Side::Client),
        }
    }
}

impl Connection {
    /// Whether the end at `side` may write.
    fn check_writable(&mut self, side: Side) -> Result<(), ErrorKind> {
        let has_ended = self.outgoing(side).is_fin_queued();
        let is_peer_gone = self.end(side.other()).owner == Owner::Nobody;
        let family = self.family;
        let end = self.end_mut(side);
        match (end.state, family) {
            (State::Connecting, _) => Err(ErrorKind::WouldBlock),
            (State::Established, _) if has_ended => Err(ErrorKind::BrokenPipe),
            (State::Established, Family::Unix) if is_peer_gone => Err(ErrorKind::BrokenPipe),
            (State::Established, _) => Ok(()),
            (State::Over | State::Ghost, Family::Tcp) => {
                Err(end.error.take().unwrap_or(ErrorKind::BrokenPipe))
            }
            // What broke it is told to who reads.
            (State::Over | State::Ghost, Family::Unix) => Err(ErrorKind::BrokenPipe),
        }
    }

    /// Whether the peer is told of a reset, and not of a FIN, when the end at `side` is closed.
    fn is_reset_by_close(&mut self, side: Side, is_abort: bool) -> bool {
        match self.family {
            Family::Tcp => {
                let is_lost = is_abort || self.incoming(side).readable() > 0;
                is_lost && !self.is_finished()
            }
            // A peer that was never accepted has talked to nobody. What one that was has written is here as soon as
            // it is written; there is nothing that an abort could drop.
            Family::Unix => {
                self.end(side).owner == Owner::Backlog || self.incoming(side).is_unread()
            }
        }
    }
}
