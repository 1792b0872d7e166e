//! Listeners, and the handshake that fills their backlog.
//!
//! ```text
//!  connect ── SYN ──► listener with space: backlog ── SYN-ACK ──► established
//!                     listener full, or no such host: silence ── 1 s, 2 s, 4 s, … ── SYN again ──► timed out
//!                     no listener ── RST ──► refused
//! ```
//! An answer that gets lost is as good as none: the SYN is sent again. (In Linux the listener then remembers the first, which
//! no program can tell.) The client's word that ends the handshake never gets lost.
//!
//! A connection is in the backlog from the arrival of its SYN on. (In Linux it is there one round trip later; no program
//! can tell, but for a client that goes away in between.)

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use mainspring_executor::driver::{Address, ListenOptions, Ready, Token};

use super::{Family, Owner, Side, State};
use crate::choice::Label;
use crate::event::{ConnectionId, Event, HostId, ListenerId, ShardId};
use crate::room::Room;
use crate::tokens::{Handle, Resource, Socket};
use crate::trace::Kind;

/// The wait for the answer to the first SYN; each further one waits twice as long (RFC 6298 §2 and §5.5).
const SYN_TIMEOUT: Duration = Duration::from_secs(1);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) host: HostId,
    pub(crate) address: Address,
    /// Whom its edges are for.
    pub(crate) holder: Option<Handle>,
    reuse_port: bool,
    backlog_max: usize,
    backlog: VecDeque<ConnectionId>,
}

impl Listener {
    /// Linux takes one more than the backlog says.
    pub(super) fn is_full(&self) -> bool {
        self.backlog.len() > self.backlog_max
    }

    fn is_at(&self, address: SocketAddr) -> bool {
        self.address.ip() == Some(address)
    }

    /// Whether connections to `ip` are for this one. A listener takes one version of IP only.
    fn takes(&self, ip: IpAddr) -> bool {
        let own = self.address.ip().map(|address| address.ip());
        own.is_some_and(|own| own == ip || own.is_unspecified() && own.is_ipv4() == ip.is_ipv4())
    }

    fn conflicts_with(&self, ip: IpAddr, reuse_port: bool) -> bool {
        let own = self.address.ip().expect("who is at a port is at an IP address").ip();
        let overlaps = self.takes(ip) || ip.is_unspecified() && ip.is_ipv4() == own.is_ipv4();
        overlaps && !(self.reuse_port && reuse_port)
    }
}

impl Room {
    pub(crate) fn listen(
        &mut self,
        shard: ShardId,
        address: &Address,
        options: ListenOptions,
    ) -> io::Result<Token> {
        match address {
            Address::Ip(ip) => self.listen_ip(shard, *ip, options),
            Address::Unix(path) => self.listen_unix(shard, path, options),
            Address::Unnamed => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn listen_ip(
        &mut self,
        shard: ShardId,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<Token> {
        let host = self.host_of(shard);
        if !self.is_own(host, address.ip()) {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        self.check_token_limit(shard, 1)?;
        self.check_socket_memory(host)?;
        let port = self.listening_port(host, address, options)?;
        let address = SocketAddr::new(address.ip(), port);
        let (id, token) = self.add_listener(shard, address.into(), options)?;
        self.machine_mut(host).sockets.listeners.entry(port).or_default().push(id);
        self.note(shard, Kind::Listen, token.to_bits(), u64::from(port));
        Ok(token)
    }

    /// Makes a listener at an address that is free.
    pub(super) fn add_listener(
        &mut self,
        shard: ShardId,
        address: Address,
        options: ListenOptions,
    ) -> io::Result<(ListenerId, Token)> {
        let id = ListenerId::new(self.listeners.vacant_key());
        let token = self.open_token(shard, Resource::Socket(Socket::Listener(id)))?;
        self.listeners.insert(Listener {
            host: self.host_of(shard),
            address,
            holder: Some(Handle { shard, token }),
            reuse_port: options.reuse_port,
            backlog_max: options.backlog.min(self.config.backlog_max) as usize,
            backlog: VecDeque::new(),
        });
        Ok((id, token))
    }

    /// The port to listen on: a free one for 0.
    fn listening_port(
        &mut self,
        host: HostId,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<u16> {
        if address.port() == 0 {
            let now = self.now;
            let port = self.machine_mut(host).sockets.pairs.bind_any(now);
            return port.ok_or(ErrorKind::AddrInUse.into());
        }
        let now = self.now;
        let others = self.listeners_at(host, address.port());
        let is_conflict =
            |id: &ListenerId| self.listener(*id).conflicts_with(address.ip(), options.reuse_port);
        let is_taken = match others.is_empty() {
            true => !self.machine_mut(host).sockets.pairs.bind(now, address.port()),
            false => others.iter().any(is_conflict),
        };
        if is_taken { Err(ErrorKind::AddrInUse.into()) } else { Ok(address.port()) }
    }

    fn listeners_at(&self, host: HostId, port: u16) -> &[ListenerId] {
        self.machine(host).sockets.listeners.get(&port).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn listener(&self, id: ListenerId) -> &Listener {
        &self.listeners[id.index()]
    }

    /// The listener behind a token.
    fn listener_of(&self, shard: ShardId, token: Token) -> ListenerId {
        match self.resource(shard, token) {
            Resource::Socket(Socket::Listener(id)) => *id,
            other => panic!("{token:?} is used as a listener, but it is a {}", other.name()),
        }
    }

    pub(crate) fn accept(
        &mut self,
        shard: ShardId,
        listener: Token,
    ) -> io::Result<(Token, Address)> {
        let listener_id = self.listener_of(shard, listener);
        // Linux takes a descriptor before it looks whether somebody waits: without one, it does not look.
        self.check_token_limit(shard, 1)?;
        let Some(id) = self.listener(listener_id).backlog.front().copied() else {
            self.perhaps_spurious(shard, listener, Ready::READABLE);
            return Err(ErrorKind::WouldBlock.into());
        };
        if self.connection(id).family == Family::Tcp {
            self.check_socket_memory(self.host_of(shard))?;
        }
        let token =
            self.open_token(shard, Resource::Socket(Socket::Connection(id, Side::Server)))?;
        self.listeners[listener_id.index()].backlog.pop_front();
        let handle = Handle { shard, token };
        self.connection(id).end_mut(Side::Server).owner = Owner::Program(handle);
        let peer = self.connection(id).end(Side::Client).address.clone();
        let port = peer.ip().map_or(0, |peer| peer.port());
        self.note(shard, Kind::Accept, token.to_bits(), u64::from(port));
        // How it ended while nobody owned it makes its edge now, as it does when Linux adds a socket to a poller.
        let ended = self.ended(id, Side::Server);
        if !ended.is_empty() {
            self.raise(handle, ended);
        }
        Ok((token, peer))
    }

    /// A listener is closed: the connections that it has not handed out are reset.
    pub(crate) fn close_listener(&mut self, id: ListenerId) {
        let listener = self.listeners.remove(id.index());
        match &listener.address {
            Address::Ip(address) => self.leave_port(listener.host, id, address.port()),
            Address::Unix(path) => self.leave_path(listener.host, id, path),
            Address::Unnamed => unreachable!("a listener has a name"),
        }
        for connection in listener.backlog {
            self.close_connection(connection, Side::Server, true);
        }
    }

    fn leave_port(&mut self, host: HostId, id: ListenerId, port: u16) {
        let sockets = &mut self.machine_mut(host).sockets;
        let ids = sockets.listeners.get_mut(&port).expect("a listener is at its port");
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            sockets.listeners.remove(&port);
            sockets.pairs.unbind(port);
        }
    }

    /// A connection waits to be accepted from now on.
    pub(super) fn enter_backlog(&mut self, listener: ListenerId, id: ConnectionId) {
        let now = self.now;
        let end = self.connection(id).end_mut(Side::Server);
        end.owner = Owner::Backlog;
        end.heard_at = now;
        end.state = State::Established;
        let listener = &mut self.listeners[listener.index()];
        listener.backlog.push_back(id);
        let holder = listener.holder;
        self.raise_to(holder, Ready::READABLE);
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

    /// A SYN that `side` sent, or its answer, got lost: the client waits in vain.
    pub(super) fn handshake_lost(&mut self, id: ConnectionId, side: Side) {
        let connection = self.connection(id);
        let attempt = connection.syn_count;
        let host = connection.end(side).host.expect("only hosts send packets");
        self.note_host(host, Kind::SynLost, id.index() as u64, u64::from(attempt));
        self.await_syn_timer(id);
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
        let address = end.address.ip().expect("a SYN is for an IP address");
        let is_ghost = end.state == State::Ghost;
        if is_ghost || self.is_off(host) {
            self.popped(id, Side::Server, Kind::Unheard, u64::from(address.port()));
            if !is_ghost {
                self.await_syn_timer(id);
            }
            return id;
        }
        self.popped(id, Side::Server, Kind::Syn, u64::from(address.port()));
        let Some(listener) = self.choose_listener(host, address) else {
            let arrival = self.arrival(id, Side::Server, 0);
            self.tap_refusal(id, arrival);
            match arrival {
                Some(at) => self.push(at, id, Event::Refusal(id)),
                None => self.handshake_lost(id, Side::Server),
            }
            return id;
        };
        if self.listener(listener).is_full() {
            let attempt = self.connection(id).syn_count;
            self.note_host(host, Kind::SynDropped, id.index() as u64, u64::from(attempt));
            self.await_syn_timer(id);
            return id;
        }
        let arrival = self.arrival(id, Side::Server, 0);
        self.tap_syn_ack(id, arrival);
        let Some(arrival) = arrival else {
            self.handshake_lost(id, Side::Server);
            return id;
        };
        let at = self.connection(id).outgoing(Side::Server).in_order(arrival);
        self.push(at, id, Event::SynAck(id));
        self.take_over_pair(id);
        self.enter_backlog(listener, id);
        id
    }

    /// The listener for an address: one bound to it comes before those bound to all, as in Linux; among several of a
    /// kind it is drawn.
    fn choose_listener(&mut self, host: HostId, address: SocketAddr) -> Option<ListenerId> {
        let matching = |is_match: &dyn Fn(&Listener) -> bool| -> Vec<ListenerId> {
            let ids = self.listeners_at(host, address.port()).iter().copied();
            ids.filter(|id| is_match(self.listener(*id))).collect()
        };
        let mut ids = matching(&|listener| listener.is_at(address));
        if ids.is_empty() {
            ids = matching(&|listener| listener.takes(address.ip()));
        }
        if ids.is_empty() {
            return None;
        }
        let owner = Some(self.first_shard(host));
        let index = self.choices.index(owner, Label::Listener, ids.len());
        Some(ids[index])
    }

    pub(super) fn syn_ack_arrived(&mut self, id: ConnectionId) -> ConnectionId {
        if self.connection(id).end(Side::Client).state == State::Ghost {
            self.ghost_hears(id, Side::Client, Kind::SynAck, 0);
            return id;
        }
        self.popped(id, Side::Client, Kind::SynAck, 0);
        let now = self.now;
        let end = self.connection(id).end_mut(Side::Client);
        assert!(end.state == State::Connecting, "a handshake is answered once");
        end.state = State::Established;
        end.heard_at = now;
        if end.owner == Owner::Nobody {
            self.send_reset(id, Side::Client);
        } else {
            self.tap_nod(id, Side::Client);
            self.raise_end(id, Side::Client, Ready::WRITABLE);
        }
        id
    }

    pub(super) fn refusal_arrived(&mut self, id: ConnectionId) -> ConnectionId {
        let is_ghost = self.connection(id).end(Side::Client).state == State::Ghost;
        let kind = if is_ghost { Kind::Unheard } else { Kind::Refusal };
        self.popped(id, Side::Client, kind, 0);
        if is_ghost {
            return id;
        }
        self.break_end(id, Side::Client, ErrorKind::ConnectionRefused);
        id
    }
}
