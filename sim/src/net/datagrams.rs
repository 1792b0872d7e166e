//! UDP: sockets that datagrams are put into, and the datagrams under way.
//!
//! ```text
//!  send_to ─┬─ another host: lost, or once, or twice; each has a latency of its own, so one may overtake another
//!           └─ the own host: never lost, in order
//!        arrival ─┬─ a socket with room: queued             ─ receive_from
//!                 ├─ a socket without: dropped
//!                 └─ no socket: an ICMP message goes back, and is told to a socket that is connected to there
//! ```
//!
//! Invariant: what is queued is bounded by bytes, counting for each datagram more than it holds, so that empty ones are
//! bounded, too.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use mainspring_executor::driver::{Instant, Ready, Received, Token};

use super::broken;
use crate::capture::Body;
use crate::choice::Label;
use crate::coverage::Fault;
use crate::event::{Event, HostId, LetterId, ShardId};
use crate::ports::Runs;
use crate::room::Room;
use crate::tokens::{Handle, Resource, Socket};
use crate::trace::{FAILED, Kind, WOULD_BLOCK};

/// What each datagram takes of a buffer beside its bytes.
const OVERHEAD_BYTES: usize = 512;

/// The most that fits into a packet, whose length has 16 bits, behind the headers that count to it: those of IPv4 and
/// UDP (RFC 791 §3.1, RFC 768).
const BYTES_MAX: usize = 65_507;

/// The same for IPv6, where only UDP's header counts (RFC 8200 §3).
const BYTES_MAX_V6: usize = 65_527;

/// A UDP socket, by how many were made before it: what it sent may still be under way when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MailboxId(u64);

/// A UDP socket.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(super) host: HostId,
    pub(crate) address: SocketAddr,
    peer: Option<SocketAddr>,
    /// Whom its edges are for.
    pub(crate) holder: Option<Handle>,
    queue: VecDeque<(SocketAddr, Rc<[u8]>)>,
    queued_bytes: usize,
    /// Of the send buffer: datagrams that have not arrived yet, or been lost.
    sending_bytes: usize,
    /// The program was refused room, and is owed an edge when there is some.
    is_send_refused: bool,
    /// Told once.
    error: Option<ErrorKind>,
    /// What its host has counted for it. See `budget`.
    pub(super) counted_bytes: u64,
}

/// What is under way to a host.
#[derive(Debug)]
pub(crate) struct Letter {
    serial: u64,
    /// Who sent it; for an ICMP message, who sent what it is about.
    sender: MailboxId,
    /// Where it goes.
    host: HostId,
    from: SocketAddr,
    to: SocketAddr,
    message: Message,
}

#[derive(Clone, Debug)]
enum Message {
    Datagram(Rc<[u8]>),
    /// ICMP: a datagram came, and nobody is at `from`.
    Unreachable(Rc<[u8]>),
    /// Was on its way from a machine to itself when that crashed.
    Lost,
}

impl Message {
    /// Its payload in bytes.
    fn length(&self) -> u64 {
        match self {
            Self::Datagram(bytes) => bytes.len() as u64,
            Self::Unreachable(_) | Self::Lost => 0,
        }
    }

    /// As a capture has it.
    fn body(&self) -> Body {
        match self {
            Self::Datagram(bytes) => Body::Udp((&**bytes).into()),
            Self::Unreachable(about) => Body::Unreachable((&**about).into()),
            Self::Lost => unreachable!("what is sent is not lost yet"),
        }
    }
}

impl Mailbox {
    /// What it has in both directions.
    pub(super) fn buffered_bytes(&self) -> u64 {
        (self.queued_bytes + self.sending_bytes) as u64
    }

    /// How well it fits for a datagram; the best gets it, as in Linux. `None`: not at all.
    fn score(&self, from: SocketAddr, to: SocketAddr) -> Option<u32> {
        let own = self.address.ip();
        let is_exact = own == to.ip();
        let is_any = own.is_unspecified() && own.is_ipv4() == to.ip().is_ipv4();
        let is_peer = self.peer == Some(from);
        let fits = (is_exact || is_any) && (is_peer || self.peer.is_none());
        fits.then_some(u32::from(is_peer) * 2 + u32::from(is_exact))
    }

    fn conflicts_with(&self, address: SocketAddr) -> bool {
        let (own, other) = (self.address.ip(), address.ip());
        own.is_ipv4() == other.is_ipv4()
            && (own == other || own.is_unspecified() || other.is_unspecified())
    }
}

/// The calls.
impl Room {
    pub(crate) fn bind_datagram(
        &mut self,
        shard: ShardId,
        address: SocketAddr,
    ) -> io::Result<Token> {
        let host = self.host_of(shard);
        self.check_token_limit(shard, 1)?;
        if !self.is_own(host, address.ip()) {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        self.check_socket_memory(host)?;
        let port = self.datagram_port(host, address)?;
        let address = SocketAddr::new(address.ip(), port);
        let id = MailboxId(self.mailbox_count);
        self.mailbox_count += 1;
        let token = self.open_token(shard, Resource::Socket(Socket::Mailbox(id)))?;
        self.mailboxes.insert(
            id,
            Mailbox {
                host,
                address,
                peer: None,
                holder: Some(Handle { shard, token }),
                queue: VecDeque::new(),
                queued_bytes: 0,
                sending_bytes: 0,
                is_send_refused: false,
                error: None,
                counted_bytes: 0,
            },
        );
        self.machine_mut(host).sockets.mailboxes.entry(port).or_default().push(id);
        self.note(shard, Kind::BindDatagram, token.to_bits(), u64::from(port));
        Ok(token)
    }

    /// The port to bind: a free one for 0.
    fn datagram_port(&mut self, host: HostId, address: SocketAddr) -> io::Result<u16> {
        if address.port() == 0 {
            let port = self.machine_mut(host).sockets.udp_ports.take(&Runs::default());
            return port.ok_or(ErrorKind::AddrInUse.into());
        }
        let others = self.mailboxes_at(host, address.port());
        let is_taken = match others.is_empty() {
            true => !self
                .machine_mut(host)
                .sockets
                .udp_ports
                .take_named(address.port(), &Runs::default()),
            false => others.iter().any(|id| self.mailboxes[id].conflicts_with(address)),
        };
        if is_taken { Err(ErrorKind::AddrInUse.into()) } else { Ok(address.port()) }
    }

    fn mailboxes_at(&self, host: HostId, port: u16) -> &[MailboxId] {
        self.machine(host).sockets.mailboxes.get(&port).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn connect_datagram(
        &mut self,
        shard: ShardId,
        socket: Token,
        peer: SocketAddr,
    ) -> io::Result<()> {
        let id = self.mailbox_of(shard, socket);
        let (host, own) = (self.mailbox(id).host, self.mailbox(id).address.ip());
        if own.is_ipv4() != peer.is_ipv4() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let route = self.route(host, peer.ip());
        let mailbox = self.mailbox(id);
        mailbox.peer = Some(SocketAddr::new(route.target, peer.port()));
        if own.is_unspecified() {
            mailbox.address.set_ip(route.source);
        }
        self.note(shard, Kind::ConnectDatagram, socket.to_bits(), u64::from(peer.port()));
        Ok(())
    }

    pub(crate) fn receive_from(
        &mut self,
        shard: ShardId,
        socket: Token,
        buffer: &mut [u8],
    ) -> io::Result<Received> {
        let mailbox = self.mailbox_of(shard, socket);
        let received = self.try_receive(mailbox, buffer);
        self.recount_mailbox(mailbox);
        if matches!(received, Err(ErrorKind::WouldBlock)) {
            self.perhaps_spurious(shard, socket, Ready::READABLE);
        }
        let number = outcome(received.as_ref().map(|received| received.count));
        self.note(shard, Kind::ReceiveFrom, socket.to_bits(), number);
        received.map_err(io::Error::from)
    }

    fn try_receive(&mut self, id: MailboxId, buffer: &mut [u8]) -> Result<Received, ErrorKind> {
        let mailbox = self.mailbox(id);
        if let Some(error) = mailbox.error.take() {
            return Err(error);
        }
        let (peer, bytes) = mailbox.queue.pop_front().ok_or(ErrorKind::WouldBlock)?;
        mailbox.queued_bytes -= bytes.len() + OVERHEAD_BYTES;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(Received { count, is_truncated: count < bytes.len(), peer })
    }

    pub(crate) fn send_to(
        &mut self,
        shard: ShardId,
        socket: Token,
        datagram: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<()> {
        let mailbox = self.mailbox_of(shard, socket);
        let sent = self.try_send(mailbox, datagram, to);
        self.recount_mailbox(mailbox);
        let kind = sent.as_ref().map_err(io::Error::kind);
        if matches!(kind, Err(ErrorKind::WouldBlock)) {
            self.perhaps_spurious(shard, socket, Ready::WRITABLE);
        }
        let number = outcome(kind.as_ref().map(|_| datagram.len()));
        self.note(shard, Kind::SendTo, socket.to_bits(), number);
        sent
    }

    fn try_send(
        &mut self,
        id: MailboxId,
        datagram: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<()> {
        let send_buffer_bytes = self.config.send_buffer_bytes;
        let mailbox = self.mailbox(id);
        let (host, own) = (mailbox.host, mailbox.address);
        let to = to.or(mailbox.peer).ok_or(ErrorKind::NotConnected)?;
        let bytes_max = if own.is_ipv4() { BYTES_MAX } else { BYTES_MAX_V6 };
        let is_possible = to.is_ipv4() == own.is_ipv4() && to.port() != 0;
        if !is_possible || datagram.len() > bytes_max {
            return Err(ErrorKind::InvalidInput.into());
        }
        if let Some(error) = mailbox.error.take() {
            return Err(error.into());
        }
        // As Linux has it: what has room for one byte has room for a datagram.
        if mailbox.sending_bytes >= send_buffer_bytes {
            mailbox.is_send_refused = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let sending_bytes = mailbox.sending_bytes;
        if !self.has_memory(host, sending_bytes, datagram.len() + OVERHEAD_BYTES) {
            return Err(self.out_of_buffers());
        }
        let route = self.route(host, to.ip());
        let source = if own.ip().is_unspecified() { route.source } else { own.ip() };
        if source.is_loopback() && route.to != Some(host) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let from = SocketAddr::new(source, own.port());
        let to = SocketAddr::new(route.target, to.port());
        self.post(host, route.to, id, from, to, Message::Datagram(datagram.into()));
        Ok(())
    }

    fn mailbox_of(&self, shard: ShardId, socket: Token) -> MailboxId {
        match self.resource(shard, socket) {
            Resource::Socket(Socket::Mailbox(id)) => *id,
            other => panic!("{socket:?} is used for datagrams, but it is a {}", other.name()),
        }
    }

    pub(crate) fn mailbox(&mut self, id: MailboxId) -> &mut Mailbox {
        self.mailboxes.get_mut(&id).expect("a token names a socket that is open")
    }

    /// A socket is closed: what it has not received is dropped, what it has sent arrives.
    pub(crate) fn close_mailbox(&mut self, id: MailboxId) {
        let mailbox = self.mailboxes.remove(&id).expect("a socket is closed once");
        self.count(mailbox.host, mailbox.counted_bytes, 0);
        let port = mailbox.address.port();
        let sockets = &mut self.machine_mut(mailbox.host).sockets;
        let ids = sockets.mailboxes.get_mut(&port).expect("a socket is at its port");
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            sockets.mailboxes.remove(&port);
            sockets.udp_ports.give_back(port);
        }
    }
}

/// What happens on the way.
impl Room {
    /// Gives a message to the network, which may lose it or bring it twice.
    fn post(
        &mut self,
        source: HostId,
        target: Option<HostId>,
        sender: MailboxId,
        from: SocketAddr,
        to: SocketAddr,
        message: Message,
    ) {
        let serial = self.letter_count;
        self.letter_count += 1;
        let copies = match target {
            Some(target) if target == source => 1,
            Some(target) if self.is_cut(source, target) => 0,
            _ => self.copies(source),
        };
        let (Some(host), 1..) = (target, copies) else {
            self.tap_letter(source, from, to, || message.body(), [None; 2]);
            self.note_host(source, Kind::DatagramLost, serial, u64::from(to.port()));
            return;
        };
        let mut arrivals = [None; 2];
        for arrival in &mut arrivals[..copies] {
            *arrival = self.letter_arrival(source, host, message.length());
            let Some(at) = *arrival else {
                self.note_host(source, Kind::DatagramLost, serial, u64::from(to.port()));
                continue;
            };
            let letter = Letter { serial, sender, host, from, to, message: message.clone() };
            if let Some(mailbox) = self.mailboxes.get_mut(&sender) {
                mailbox.sending_bytes += letter.charge();
            }
            let id = LetterId::new(self.letters.insert(letter));
            self.schedule(at, Event::Letter(id));
        }
        self.tap_letter(source, from, to, || message.body(), arrivals);
    }

    /// How often a message that leaves `source` arrives.
    fn copies(&mut self, source: HostId) -> usize {
        let shard = self.first_shard(source);
        let (loss, duplication) =
            (self.config.datagram_loss_permille, self.config.datagram_duplication_permille);
        if self.choices.chance_permille(shard, Label::Loss, loss) {
            return 0;
        }
        let is_twice = self.choices.chance_permille(shard, Label::Duplication, duplication);
        if is_twice {
            self.coverage.add_fault(Fault::DatagramTwice);
        }
        1 + usize::from(is_twice)
    }

    /// When a message that is sent now arrives; `None`: the link has no room for it. Those that stay on their host keep their
    /// order: it is one queue.
    fn letter_arrival(
        &mut self,
        source: HostId,
        target: HostId,
        payload_bytes: u64,
    ) -> Option<Instant> {
        let at = self.departure(source, target, payload_bytes)? + self.delay(source, Some(target));
        if source != target {
            return Some(at);
        }
        let last = &mut self.machine_mut(source).sockets.last_loopback_arrival;
        *last = at.max(*last);
        Some(*last)
    }

    pub(crate) fn letter_arrived(&mut self, id: LetterId) {
        let letter = self.letters.remove(id.index());
        if let Message::Datagram(_) = &letter.message {
            self.make_room(letter.sender, letter.charge());
        }
        match &letter.message {
            Message::Datagram(bytes) if !self.is_off(letter.host) => {
                self.datagram_arrived(&letter, bytes);
            }
            Message::Unreachable(_) if !self.is_off(letter.host) => {
                self.unreachable_arrived(&letter);
            }
            Message::Datagram(_) | Message::Unreachable(_) | Message::Lost => {
                let Letter { host, serial, to, .. } = letter;
                self.note_host(host, Kind::DatagramLost, serial, u64::from(to.port()));
            }
        }
    }

    /// A crash takes the sockets of a machine, and what is under way from it to itself.
    pub(super) fn lose_mailboxes(&mut self, host: HostId) {
        let is_lost = |_: &MailboxId, mailbox: &mut Mailbox| mailbox.host == host;
        let lost: Vec<_> = self.mailboxes.extract_if(.., is_lost).collect();
        for (_, mailbox) in lost {
            self.count(host, mailbox.counted_bytes, 0);
        }
        let machine = self.machine(host);
        let own: [IpAddr; 2] = [machine.ip.into(), machine.ip_v6.into()];
        for (_, letter) in &mut self.letters {
            let source = letter.from.ip();
            if letter.host == host && (source.is_loopback() || own.contains(&source)) {
                letter.message = Message::Lost;
            }
        }
    }

    /// A datagram is no longer the sender's to keep.
    fn make_room(&mut self, sender: MailboxId, bytes: usize) {
        let send_buffer_bytes = self.config.send_buffer_bytes;
        // Its socket may be closed by now.
        let Some(mailbox) = self.mailboxes.get_mut(&sender) else { return };
        mailbox.sending_bytes -= bytes;
        if mailbox.is_send_refused && mailbox.sending_bytes <= send_buffer_bytes / 2 {
            mailbox.is_send_refused = false;
            let holder = mailbox.holder;
            self.raise_to(holder, Ready::WRITABLE);
        }
        self.recount_mailbox(sender);
    }

    fn datagram_arrived(&mut self, letter: &Letter, bytes: &Rc<[u8]>) {
        let Letter { serial, sender, host, from, to, .. } = *letter;
        let Some(id) = self.choose_mailbox(host, from, to) else {
            self.note_host(host, Kind::DatagramUnwanted, serial, u64::from(to.port()));
            let source = self.host_at_or_own(from, host);
            let about = Rc::clone(bytes);
            self.post(host, source, sender, to, from, Message::Unreachable(about));
            return;
        };
        let recv_buffer_bytes = self.config.recv_buffer_bytes;
        let queued_bytes = self.mailbox(id).queued_bytes;
        let has_memory = self.has_memory(host, queued_bytes, bytes.len() + OVERHEAD_BYTES);
        if queued_bytes >= recv_buffer_bytes || !has_memory {
            self.note_host(host, Kind::DatagramDropped, serial, u64::from(to.port()));
            return;
        }
        let mailbox = self.mailbox(id);
        mailbox.queued_bytes += bytes.len() + OVERHEAD_BYTES;
        mailbox.queue.push_back((from, Rc::clone(bytes)));
        let holder = mailbox.holder;
        self.recount_mailbox(id);
        self.note_host(host, Kind::Datagram, serial, u64::from(to.port()));
        self.raise_to(holder, Ready::READABLE);
    }

    /// Of several that fit as well as each other, which cannot be, the first.
    fn choose_mailbox(&self, host: HostId, from: SocketAddr, to: SocketAddr) -> Option<MailboxId> {
        let ids = self.mailboxes_at(host, to.port()).iter().rev();
        let scored = ids.filter_map(|id| Some((self.mailboxes[id].score(from, to)?, *id)));
        scored.max_by_key(|(score, _)| *score).map(|(_, id)| id)
    }

    fn unreachable_arrived(&mut self, letter: &Letter) {
        self.note_host(
            letter.host,
            Kind::Unreachable,
            letter.serial,
            u64::from(letter.from.port()),
        );
        let Some(mailbox) = self.mailboxes.get_mut(&letter.sender) else { return };
        // Linux keeps it from sockets that are not connected: they would not know whom it is about.
        if mailbox.peer == Some(letter.from) {
            mailbox.error = Some(ErrorKind::ConnectionRefused);
            let holder = mailbox.holder;
            self.raise_to(holder, broken());
        }
    }

    /// The host that a datagram came from.
    fn host_at_or_own(&self, from: SocketAddr, own: HostId) -> Option<HostId> {
        if from.ip().is_loopback() { Some(own) } else { self.host_at(from.ip()) }
    }
}

impl Letter {
    /// What it takes of its sender's buffer.
    fn charge(&self) -> usize {
        match &self.message {
            Message::Datagram(bytes) => bytes.len() + OVERHEAD_BYTES,
            Message::Unreachable(_) | Message::Lost => 0,
        }
    }
}

/// The outcome of a call as the trace has it.
fn outcome(outcome: Result<usize, &ErrorKind>) -> u64 {
    match outcome {
        Ok(count) => count as u64,
        Err(ErrorKind::WouldBlock) => WOULD_BLOCK,
        Err(_) => FAILED,
    }
}
