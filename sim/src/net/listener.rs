//! Listeners, and the handshake that fills their backlog.
//!
//! ```text
//!  connect ── SYN ──► listener with space: backlog ── SYN-ACK ──► established
//!                     listener full, or no such host: silence ── 1 s, 2 s, 4 s, … ── SYN again ──► timed out
//!                     no listener ── RST ──► refused
//! ```
//!
//! A connection is in the backlog from the arrival of its SYN on. (In Linux it is there one round trip later; no program
//! can tell, but for a client that goes away in between.)

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use mainspring_executor::driver::{ListenOptions, Ready, Token};

use super::{Owner, Side, State};
use crate::choice::Label;
use crate::event::{ConnectionId, Event, HostId};
use crate::room::{Resource, Room};
use crate::trace::Kind;

/// The wait for the answer to the first SYN; each further one waits twice as long (RFC 6298 §2 and §5.5).
const SYN_TIMEOUT: Duration = Duration::from_secs(1);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddrV4,
    reuse_port: bool,
    backlog_max: usize,
    backlog: VecDeque<ConnectionId>,
}

impl Listener {
    /// Linux takes one more than the backlog says.
    fn is_full(&self) -> bool {
        self.backlog.len() > self.backlog_max
    }

    fn takes(&self, ip: Ipv4Addr) -> bool {
        self.address.ip().is_unspecified() || *self.address.ip() == ip
    }

    fn conflicts_with(&self, ip: Ipv4Addr, reuse_port: bool) -> bool {
        (self.takes(ip) || ip.is_unspecified()) && !(self.reuse_port && reuse_port)
    }
}

impl Room {
    pub(crate) fn listen(
        &mut self,
        host: HostId,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<Token> {
        let SocketAddr::V4(address) = address else {
            return Err(ErrorKind::AddrNotAvailable.into());
        };
        let ip = *address.ip();
        let is_ours = ip.is_unspecified() || ip.is_loopback() || ip == self.machine(host).ip;
        if !is_ours {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        self.check_token_limit(host)?;
        let address = SocketAddrV4::new(ip, self.listening_port(host, address, options)?);
        let listener = Listener {
            address,
            reuse_port: options.reuse_port,
            backlog_max: options.backlog.min(self.config.backlog_max) as usize,
            backlog: VecDeque::new(),
        };
        let token = self.open_token(host, Resource::Listener(Box::new(listener)))?;
        self.machine_mut(host).listeners.entry(address.port()).or_default().push(token);
        self.note(host, Kind::Listen, token.to_bits(), u64::from(address.port()));
        Ok(token)
    }

    /// The port to listen on: a free one for 0.
    fn listening_port(
        &mut self,
        host: HostId,
        address: SocketAddrV4,
        options: ListenOptions,
    ) -> io::Result<u16> {
        if address.port() == 0 {
            let port = self.machine_mut(host).ports.take();
            return port.ok_or(ErrorKind::AddrInUse.into());
        }
        let others = self.listeners_at(host, address.port());
        let is_conflict = |token: &Token| {
            self.listener(host, *token).conflicts_with(*address.ip(), options.reuse_port)
        };
        let is_taken = match others.is_empty() {
            true => !self.machine_mut(host).ports.take_named(address.port()),
            false => others.iter().any(is_conflict),
        };
        if is_taken { Err(ErrorKind::AddrInUse.into()) } else { Ok(address.port()) }
    }

    fn listeners_at(&self, host: HostId, port: u16) -> &[Token] {
        self.machine(host).listeners.get(&port).map_or(&[], Vec::as_slice)
    }

    fn listener(&self, host: HostId, token: Token) -> &Listener {
        match &self.machine(host).table.get(token).resource {
            Resource::Listener(listener) => listener,
            other => panic!("{token:?} is used as a listener, but it is a {}", other.name()),
        }
    }

    fn backlog(&mut self, host: HostId, token: Token) -> &mut VecDeque<ConnectionId> {
        match &mut self.machine_mut(host).table.get_mut(token).resource {
            Resource::Listener(listener) => &mut listener.backlog,
            other => panic!("{token:?} is used as a listener, but it is a {}", other.name()),
        }
    }

    pub(crate) fn accept(
        &mut self,
        host: HostId,
        listener: Token,
    ) -> io::Result<(Token, SocketAddr)> {
        // Linux takes a descriptor before it looks whether somebody waits: without one, it does not look.
        self.check_token_limit(host)?;
        let Some(id) = self.backlog(host, listener).front().copied() else {
            self.perhaps_spurious(host, listener, Ready::READABLE);
            return Err(ErrorKind::WouldBlock.into());
        };
        let token = self.open_token(host, Resource::Socket(id, Side::Server))?;
        self.backlog(host, listener).pop_front();
        self.connection(id).end_mut(Side::Server).owner = Owner::Program(token);
        let peer = self.connection(id).end(Side::Client).address;
        self.note(host, Kind::Accept, token.to_bits(), u64::from(peer.port()));
        // How it ended while nobody owned it makes its edge now, as it does when Linux adds a socket to a poller.
        let ended = self.connection(id).ended(Side::Server);
        if !ended.is_empty() {
            self.raise(host, token, ended);
        }
        Ok((token, peer))
    }

    /// A listener is closed: the connections that it has not handed out are reset.
    pub(crate) fn close_listener(&mut self, host: HostId, token: Token, listener: &Listener) {
        let port = listener.address.port();
        let machine = self.machine_mut(host);
        let tokens = machine.listeners.get_mut(&port).expect("a listener is at its port");
        tokens.retain(|other| *other != token);
        if tokens.is_empty() {
            machine.listeners.remove(&port);
            machine.ports.give_back(port);
        }
        for id in &listener.backlog {
            self.close_socket(*id, Side::Server, true);
        }
    }

    /// Waits for an answer to the SYN that was just sent, or lost.
    pub(super) fn await_syn_timer(&mut self, id: ConnectionId) {
        let now = self.now;
        let connection = self.connection(id);
        // The k-th SYN is given up 2^k - 1 seconds after the first was sent.
        let waited = SYN_TIMEOUT * ((1 << connection.syn_count.min(30)) - 1);
        let at = (connection.syn_sent + waited).max(now);
        self.push(at, id, Event::SynTimer(id));
    }

    pub(super) fn syn_timer_ran_out(&mut self, id: ConnectionId) -> ConnectionId {
        let attempt = self.connection(id).syn_count;
        self.popped(id, Side::Client, Kind::SynTimer, u64::from(attempt));
        if self.connection(id).end(Side::Client).owner == Owner::Nobody {
            return id;
        }
        if attempt > self.config.syn_retry_count {
            self.break_end(id, Side::Client, ErrorKind::TimedOut);
        } else {
            self.send_syn(id);
        }
        id
    }

    pub(super) fn syn_arrived(&mut self, id: ConnectionId) -> ConnectionId {
        let end = self.connection(id).end(Side::Server);
        let host = end.host.expect("a SYN arrives at a host");
        let SocketAddr::V4(address) = end.address else { unreachable!("the room has no IPv6") };
        self.popped(id, Side::Server, Kind::Syn, u64::from(address.port()));
        let Some(listener) = self.choose_listener(host, address) else {
            let at = self.arrival(id, Side::Server);
            self.push(at, id, Event::Refusal(id));
            return id;
        };
        if self.listener(host, listener).is_full() {
            let attempt = self.connection(id).syn_count;
            self.note(host, Kind::SynDropped, id.index() as u64, u64::from(attempt));
            self.await_syn_timer(id);
            return id;
        }
        self.backlog(host, listener).push_back(id);
        let arrival = self.arrival(id, Side::Server);
        let connection = self.connection(id);
        let end = connection.end_mut(Side::Server);
        end.owner = Owner::Backlog;
        end.state = State::Established;
        let at = connection.outgoing(Side::Server).in_order(arrival);
        self.push(at, id, Event::SynAck(id));
        self.raise(host, listener, Ready::READABLE);
        id
    }

    /// The listener for an address: one bound to it comes before those bound to all, as in Linux; among several of a
    /// kind it is drawn.
    fn choose_listener(&mut self, host: HostId, address: SocketAddrV4) -> Option<Token> {
        let matching = |is_match: &dyn Fn(&Listener) -> bool| -> Vec<Token> {
            let tokens = self.listeners_at(host, address.port()).iter().copied();
            tokens.filter(|token| is_match(self.listener(host, *token))).collect()
        };
        let mut tokens = matching(&|listener| listener.address == address);
        if tokens.is_empty() {
            tokens = matching(&|listener| listener.takes(*address.ip()));
        }
        if tokens.is_empty() {
            return None;
        }
        let index = self.choices.index(Some(host), Label::Listener, tokens.len());
        Some(tokens[index])
    }

    pub(super) fn syn_ack_arrived(&mut self, id: ConnectionId) -> ConnectionId {
        self.popped(id, Side::Client, Kind::SynAck, 0);
        let end = self.connection(id).end_mut(Side::Client);
        assert!(end.state == State::Connecting, "a handshake is answered once");
        end.state = State::Established;
        if end.owner == Owner::Nobody {
            self.send_reset(id, Side::Client);
        } else {
            self.raise_end(id, Side::Client, Ready::WRITABLE);
        }
        id
    }

    pub(super) fn refusal_arrived(&mut self, id: ConnectionId) -> ConnectionId {
        self.popped(id, Side::Client, Kind::Refusal, 0);
        self.break_end(id, Side::Client, ErrorKind::ConnectionRefused);
        id
    }
}
