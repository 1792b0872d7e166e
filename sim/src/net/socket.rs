//! What a program may do with its end of a connection. Each answer is the one that Linux gives.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{self, ErrorKind, IoSlice};

use mainspring_executor::driver::{Ready, Token, Transfer};

use super::{Owner, Side, State, connecting};
use crate::choice::Label;
use crate::event::{ConnectionId, Event, HostId};
use crate::room::{Resource, Room};
use crate::trace::{FAILED, Kind, WOULD_BLOCK};

/// A short read or write happens once in so many, where it may.
const SHORT_ONE_IN: u64 = 4;

impl Room {
    pub(crate) fn connect(&mut self, host: HostId, address: SocketAddr) -> io::Result<Token> {
        let SocketAddr::V4(to) = address else {
            // The room has no IPv6: there is no route.
            return Err(ErrorKind::NetworkUnreachable.into());
        };
        let (server, local_ip) = self.route(host, *to.ip());
        let remote_ip = if to.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *to.ip() };
        self.check_token_limit(host)?;
        let port = self.machine_mut(host).ports.take().ok_or(ErrorKind::AddrNotAvailable)?;
        let client = (host, SocketAddr::from((local_ip, port)));
        let server = (server, SocketAddr::from((remote_ip, to.port())));
        let connection = connecting(&self.config, self.now, client, server, port);
        let id = ConnectionId::new(self.connections.insert(connection));
        let token = self.open_token(host, Resource::Socket(id, Side::Client))?;
        self.connection(id).end_mut(Side::Client).owner = Owner::Program(token);
        self.note(host, Kind::Connect, token.to_bits(), u64::from(to.port()));
        self.send_syn(id);
        Ok(token)
    }

    pub(crate) fn connect_outcome(&mut self, host: HostId, socket: Token) -> io::Result<()> {
        let (id, side) = self.socket(host, socket);
        let end = self.connection(id).end_mut(side);
        let outcome = match end.state {
            State::Connecting => Err(ErrorKind::WouldBlock),
            State::Established => Ok(()),
            State::Over => Err(end.error.take().unwrap_or(ErrorKind::NotConnected)),
        };
        self.note(host, Kind::ConnectOutcome, socket.to_bits(), u64::from(outcome.is_err()));
        outcome.map_err(io::Error::from)
    }

    pub(crate) fn read(
        &mut self,
        host: HostId,
        socket: Token,
        buffer: &mut [u8],
    ) -> io::Result<Transfer> {
        assert!(!buffer.is_empty(), "a read of nothing says nothing: it would look like a FIN");
        let (id, side) = self.socket(host, socket);
        let read = self.try_read(host, id, side, buffer);
        if matches!(read, Err(ErrorKind::WouldBlock)) {
            self.perhaps_spurious(host, socket, Ready::READABLE);
        }
        self.moved(host, Kind::Read, socket, read)
    }

    fn try_read(
        &mut self,
        host: HostId,
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
            count = self.shortened(host, Label::ShortRead, count);
        }
        let connection = self.connection(id);
        let is_established = connection.end(side).state == State::Established;
        let pipe = connection.incoming(side);
        pipe.read(&mut buffer[..count]);
        let exhausted = count == readable && is_established && !pipe.is_fin_arrived();
        if is_established && pipe.is_window_news() {
            self.acknowledge(id, side);
        }
        Ok(Transfer { count, exhausted })
    }

    /// What a read says when there are no bytes: a FIN hides a later reset, a reset is told once, and is a FIN then.
    fn read_nothing(&mut self, id: ConnectionId, side: Side) -> Result<Transfer, ErrorKind> {
        let connection = self.connection(id);
        let fin = Transfer { count: 0, exhausted: false };
        if connection.incoming(side).is_fin_arrived() {
            return Ok(fin);
        }
        let end = connection.end_mut(side);
        match (end.state, end.error.take()) {
            (State::Over, Some(error)) => Err(error),
            (State::Over, None) => Ok(fin),
            (State::Connecting | State::Established, error) => {
                assert!(error.is_none(), "an error ends the connection");
                Err(ErrorKind::WouldBlock)
            }
        }
    }

    pub(crate) fn write(
        &mut self,
        host: HostId,
        socket: Token,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<Transfer> {
        let (id, side) = self.socket(host, socket);
        let written = self.try_write(host, id, side, buffers);
        if matches!(written, Err(ErrorKind::WouldBlock)) {
            self.perhaps_spurious(host, socket, Ready::WRITABLE);
        }
        self.moved(host, Kind::Write, socket, written)
    }

    fn try_write(
        &mut self,
        host: HostId,
        id: ConnectionId,
        side: Side,
        buffers: &[IoSlice<'_>],
    ) -> Result<Transfer, ErrorKind> {
        let connection = self.connection(id);
        let has_ended = connection.outgoing(side).is_fin_queued();
        let end = connection.end_mut(side);
        match end.state {
            State::Connecting => return Err(ErrorKind::WouldBlock),
            State::Over => return Err(end.error.take().unwrap_or(ErrorKind::BrokenPipe)),
            State::Established if has_ended => return Err(ErrorKind::BrokenPipe),
            State::Established => {}
        }
        self.settle(id, side);
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum::<usize>();
        assert!(wanted > 0, "a write has something to write");
        let mut count = wanted.min(self.connection(id).outgoing(side).free());
        if self.config.short_writes && count > 0 {
            count = self.shortened(host, Label::ShortWrite, count);
        }
        let pipe = self.connection(id).outgoing(side);
        let mut left = count;
        for buffer in buffers {
            let part = left.min(buffer.len());
            pipe.write(&buffer[..part]);
            left -= part;
        }
        let exhausted = pipe.free() == 0;
        // Once refused, the edge is owed, though a later write may find space before it comes.
        pipe.write_refused |= exhausted;
        self.pump(id, side);
        self.arm_ack(id, side);
        if count == 0 { Err(ErrorKind::WouldBlock) } else { Ok(Transfer { count, exhausted }) }
    }

    /// All of `count`, or sometimes less; never nothing.
    fn shortened(&mut self, host: HostId, label: Label, count: usize) -> usize {
        match self.choices.chance(Some(host), label, SHORT_ONE_IN) {
            true => count - self.choices.index(Some(host), label, count),
            false => count,
        }
    }

    /// Notes the outcome of a read or write.
    fn moved(
        &mut self,
        host: HostId,
        kind: Kind,
        socket: Token,
        outcome: Result<Transfer, ErrorKind>,
    ) -> io::Result<Transfer> {
        let number = match outcome {
            Ok(transfer) => transfer.count as u64,
            Err(ErrorKind::WouldBlock) => WOULD_BLOCK,
            Err(_) => FAILED,
        };
        self.note(host, kind, socket.to_bits(), number);
        outcome.map_err(io::Error::from)
    }

    pub(crate) fn shutdown_write(&mut self, host: HostId, socket: Token) -> io::Result<()> {
        let (id, side) = self.socket(host, socket);
        let connection = self.connection(id);
        // Both FINs have arrived: nothing is left to shut. (Linux also waits for the acknowledgement of the second.)
        let is_connected =
            connection.end(side).state == State::Established && !connection.is_finished();
        if is_connected {
            connection.outgoing(side).queue_fin();
            self.settle(id, side);
            self.arm_ack(id, side);
        }
        self.note(host, Kind::ShutdownWrite, socket.to_bits(), u64::from(!is_connected));
        if is_connected { Ok(()) } else { Err(ErrorKind::NotConnected.into()) }
    }

    /// The program that owned an end is done with it.
    pub(crate) fn close_socket(&mut self, id: ConnectionId, side: Side, is_abort: bool) {
        let connection = self.connection(id);
        connection.end_mut(side).owner = Owner::Nobody;
        let is_unread = connection.incoming(side).readable() > 0;
        match connection.end(side).state {
            // The SYN is out, or its timer runs: whoever comes back with an answer finds nobody.
            State::Connecting => {}
            State::Over => connection.incoming(side).discard(),
            State::Established if (is_abort || is_unread) && !connection.is_finished() => {
                self.send_reset(id, side);
            }
            State::Established => {
                connection.outgoing(side).queue_fin();
                self.settle(id, side);
                self.arm_ack(id, side);
            }
        }
        self.release(id);
    }

    /// The connection behind a token.
    fn socket(&self, host: HostId, socket: Token) -> (ConnectionId, Side) {
        match &self.machine(host).table.get(socket).resource {
            Resource::Socket(id, side) => (*id, *side),
            other => panic!("{socket:?} is used as a connection, but it is a {}", other.name()),
        }
    }

    /// Whether the handshake of an end is still under way.
    pub(crate) fn is_connecting(&self, id: ConnectionId, side: Side) -> bool {
        self.connections[id.index()].end(side).state == State::Connecting
    }

    /// The address of an end.
    pub(crate) fn socket_address(&self, id: ConnectionId, side: Side) -> SocketAddr {
        self.connections[id.index()].end(side).address
    }

    pub(super) fn send_syn(&mut self, id: ConnectionId) {
        let connection = self.connection(id);
        connection.syn_count += 1;
        if connection.end(Side::Server).host.is_none() {
            // Nobody is there to drop it: straight on to the next try.
            self.await_syn_timer(id);
            return;
        }
        let at = self.arrival(id, Side::Client);
        self.push(at, id, Event::Syn(id));
    }
}
