//! The sockets of a recording: whose a token is, and what is under way between two of them.

use std::collections::BTreeMap;

use mainspring_executor::driver::{Address, Token};

use super::reader::{Reader, lane};
use super::{Fate, Lane, LaneKind, Message, words};
use crate::coverage::Fault;
use crate::event::{ConnectionId, Event, HostId, ShardId};
use crate::net::Side;
use crate::ties::{Launch, NewConnection, Opening};
use crate::trace::{Entry, Kind};

/// See the file.
#[derive(Default)]
pub(super) struct Sockets {
    connections: Vec<Connection>,
    /// By the place in the room, which others have later.
    current: BTreeMap<ConnectionId, usize>,
    tokens: BTreeMap<(ShardId, Token), (usize, Side)>,
    datagrams: BTreeMap<(ShardId, Token), usize>,
    ports: BTreeMap<(usize, u64), usize>,
    messages: Vec<UnderWay>,
    by_sequence: BTreeMap<u64, usize>,
    /// Connections whose next flight will be late.
    late: Vec<ConnectionId>,
    /// How often a task used a socket, by their lanes.
    uses: BTreeMap<(usize, usize), u64>,
}

struct Connection {
    ends: [(Option<HostId>, Address); 2],
    lanes: [Option<usize>; 2],
}

struct UnderWay {
    /// That of what sent it.
    act: u64,
    /// The last event before it was sent.
    before: usize,
    /// `None` for the lane of the event that sent it.
    from: Option<usize>,
    message: Message,
}

impl Sockets {
    pub(super) fn connect(&mut self, new: &NewConnection) {
        self.current.insert(new.id, self.connections.len());
        self.connections.push(Connection { ends: new.ends.clone(), lanes: [None; 2] });
    }

    pub(super) fn open(&mut self, opening: &Opening) {
        let Some(connection) = self.current.get(&opening.connection) else { return };
        let key = (opening.handle.shard, opening.handle.token);
        self.tokens.insert(key, (*connection, opening.side));
    }

    pub(super) fn datagram_lane(&self, host: usize, port: u64) -> Option<usize> {
        self.ports.get(&(host, port)).copied()
    }

    /// A task did something with a socket.
    pub(super) fn used(&mut self, socket: usize, task: usize) {
        if socket != task {
            *self.uses.entry((socket, task)).or_default() += 1;
        }
    }

    /// Says which task each socket is of.
    pub(super) fn own(&self, lanes: &mut [Lane]) {
        for (index, lane) in lanes.iter_mut().enumerate() {
            if matches!(lane.kind, LaneKind::Connection | LaneKind::Datagrams) {
                let uses = self.uses.range((index, 0)..=(index, usize::MAX));
                let most =
                    uses.max_by_key(|((_, task), count)| (**count, core::cmp::Reverse(*task)));
                lane.owner = most.map(|((_, task), _)| *task);
            }
        }
    }

    fn fate(&self, connection: ConnectionId) -> Fate {
        if self.late.contains(&connection) { Fate::Late } else { Fate::UnderWay }
    }
}

impl Reader<'_> {
    /// The lane of an end; `None` where it is on no host.
    fn end_lane(&mut self, connection: usize, side: Side) -> Option<usize> {
        let it = &self.sockets.connections[connection];
        if let Some(lane) = it.lanes[side as usize] {
            return Some(lane);
        }
        let host = it.ends[side as usize].0?;
        let (peer_host, peer) = &it.ends[side.other() as usize];
        let arrow = if side == Side::Client { "→" } else { "←" };
        let peer_name = match peer {
            Address::Ip(ip) => {
                let port = ip.port();
                peer_host.map_or_else(
                    || ip.to_string(),
                    |host| format!("{}:{port}", self.host_name(host)),
                )
            }
            Address::Unix(path) => path.display().to_string(),
            Address::Unnamed => "local pair".to_owned(),
        };
        let place = format!("{} to {}", it.ends[0].1, it.ends[1].1);
        let mut new =
            lane(LaneKind::Connection, Some(host.index()), &format!("{arrow} {peer_name}"));
        new.place = place.into();
        let index = self.lanes.len();
        self.lanes.push(new);
        self.sockets.connections[connection].lanes[side as usize] = Some(index);
        Some(index)
    }

    /// Of an entry about a token: the lane of its socket, if it has one.
    pub(super) fn socket_lane(&mut self, shard: ShardId, entry: &Entry) -> Option<usize> {
        let token = words::token(entry)?;
        if entry.kind == Kind::BindDatagram {
            let host = self.host_of(shard);
            let name = format!("UDP port {}", entry.number);
            let index = self.lanes.len();
            self.lanes.push(lane(LaneKind::Datagrams, Some(host), &name));
            self.sockets.datagrams.insert((shard, token), index);
            self.sockets.ports.insert((host, entry.number), index);
            return Some(index);
        }
        if let Some((connection, side)) = self.sockets.tokens.get(&(shard, token)).copied() {
            return self.end_lane(connection, side);
        }
        self.sockets.datagrams.get(&(shard, token)).copied()
    }

    /// Of an entry about a connection: the lane of the end at which it happens.
    pub(super) fn connection_lane(&mut self, entry: &Entry, launch: Option<&Launch>) -> usize {
        let index = usize::try_from(entry.subject).expect("a place in the room");
        let id = ConnectionId::new(index);
        let host = entry.shard.map(|shard| self.room.host_of(shard));
        let fallback = host.map_or(0, |host| Self::host_lane(host.index()));
        let Some(connection) = self.sockets.current.get(&id).copied() else { return fallback };
        let of_launch = launch.and_then(|launch| {
            let (of, side) = launch.connection().filter(|(of, _)| *of == id)?;
            debug_assert_eq!(of, id);
            Some(if launch.is_packet() { side.other() } else { side })
        });
        let is_client = self.sockets.connections[connection].ends[0].0 == host;
        let by_host = if is_client { Side::Client } else { Side::Server };
        self.end_lane(connection, of_launch.unwrap_or(by_host)).unwrap_or(fallback)
    }

    /// Something is under way from now on.
    pub(super) fn send(&mut self, launch: &Launch) {
        if !launch.is_packet() {
            return;
        }
        let (text, is_control) = match launch.event {
            Event::Syn(_) => ("SYN", true),
            Event::SynAck(_) => ("SYN-ACK", true),
            Event::Refusal(_) => ("refused", true),
            Event::Ack(..) => ("ACK", true),
            Event::Reset(..) => ("RST", true),
            Event::Probe(..) => ("keep-alive probe", true),
            Event::Duplicate(..) => ("a segment once more", true),
            Event::Letter(_) => ("datagram", false),
            _ => ("bytes", false),
        };
        let mut ends = (None, None);
        let mut fate = Fate::UnderWay;
        if let Some((id, side)) = launch.connection() {
            let Some(connection) = self.sockets.current.get(&id).copied() else { return };
            ends = (self.end_lane(connection, side), self.end_lane(connection, side.other()));
            if matches!(launch.event, Event::Flight(..)) {
                fate = self.sockets.fate(id);
                self.sockets.late.retain(|late| *late != id);
            }
        }
        let before = self.events.len().saturating_sub(1);
        let message = Message {
            from: 0,
            to: ends.1,
            sent: before,
            arrived: None,
            due: launch.due,
            fate,
            text: text.into(),
            is_control,
        };
        self.sockets.by_sequence.insert(launch.sequence, self.sockets.messages.len());
        let (act, from) = (launch.act, ends.0);
        self.sockets.messages.push(UnderWay { act, before, from, message });
    }

    /// What was under way is there.
    pub(super) fn arrive(&mut self, launch: &Launch, entry: &Entry, event: usize) {
        let Some(place) = self.sockets.by_sequence.get(&launch.sequence).copied() else { return };
        let lane = self.events[event].lane;
        let message = &mut self.sockets.messages[place].message;
        message.arrived = Some(event);
        message.to = Some(lane);
        message.fate = match (entry.kind, message.fate) {
            (Kind::Unheard | Kind::DatagramLost | Kind::DatagramDropped, _) => Fate::Lost,
            (Kind::Reset | Kind::Refusal, _) => Fate::Reset,
            (Kind::Duplicate, _) => Fate::Again,
            (_, Fate::Late) => Fate::Late,
            _ => Fate::Arrives,
        };
        match entry.kind {
            Kind::Bytes => message.text = words::bytes(entry.number).into(),
            Kind::Fin => {
                message.is_control = entry.number == 0;
                let bytes = format!("{}, FIN", words::bytes(entry.number));
                message.text = if entry.number == 0 { "FIN".into() } else { bytes.into() };
            }
            _ => {}
        }
    }

    /// What got lost before it was under way; and what will be late.
    pub(super) fn note_loss(&mut self, entry: &Entry, event: usize) {
        let text = match entry.kind {
            Kind::SegmentLost => "a segment",
            Kind::AnswerLost => "ACK or RST",
            Kind::SynLost => "SYN or SYN-ACK",
            Kind::SegmentLate => {
                let index = usize::try_from(entry.subject).expect("a place in the room");
                self.sockets.late.push(ConnectionId::new(index));
                return;
            }
            Kind::DatagramLost if self.events[event].cause.is_none() => "a datagram",
            _ => return,
        };
        let from = self.events[event].lane;
        let index = usize::try_from(entry.subject).expect("a place in the room");
        let connection = self.sockets.current.get(&ConnectionId::new(index));
        let to = connection.and_then(|connection| {
            let lanes = self.sockets.connections[*connection].lanes;
            lanes.into_iter().flatten().find(|lane| *lane != from)
        });
        let to = to.filter(|_| entry.kind != Kind::DatagramLost);
        let message = Message {
            from,
            to,
            sent: event,
            arrived: None,
            due: entry.at,
            fate: Fate::Lost,
            text: text.into(),
            is_control: entry.kind != Kind::SegmentLost && entry.kind != Kind::DatagramLost,
        };
        // Of a datagram the call behind this tells from where.
        let from = Some(from).filter(|_| entry.kind != Kind::DatagramLost);
        // No act of its own sends what does not get anywhere.
        self.sockets.messages.push(UnderWay { act: u64::MAX, before: event, from, message });
    }

    /// A datagram that got lost is of the socket that sent it, as the call says that is its cause.
    pub(super) fn place_loss(&mut self, event: usize) {
        let cause = self.events[event].cause.map(|cause| self.events[cause].lane);
        let socket = cause.filter(|lane| self.lanes[*lane].kind == LaneKind::Datagrams);
        if let Some(socket) =
            socket.filter(|_| self.events[event].fault == Some(Fault::DatagramLost))
        {
            self.events[event].lane = socket;
        }
    }

    /// All that was under way.
    pub(super) fn finish_messages(&mut self) -> Vec<Message> {
        let messages = core::mem::take(&mut self.sockets.messages);
        let finished = messages.into_iter().filter_map(|it| {
            let UnderWay { act, before, from, mut message } = it;
            let sent = self.main_of(act).unwrap_or(before);
            let sender = self.events.get(sent)?;
            message.from = from.unwrap_or(sender.lane);
            message.sent = sent;
            Some(message)
        });
        finished.collect()
    }
}
