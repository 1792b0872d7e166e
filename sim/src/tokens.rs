//! Tokens: what the shards have open, and the edges that they are owed.
//!
//! Invariant: an edge is told to the shard that holds the token when it is told, or to nobody.

use core::time::Duration;
use std::io;

use mainspring_executor::driver::{Address, Readiness, Ready, Token};

use crate::choice::{Label, Span};
use crate::coverage::Fault;
use crate::event::{ConnectionId, Event, ListenerId, ShardId};
use crate::files::Node;
use crate::jobs::{JobState, Left};
use crate::net::{MailboxId, Side};
use crate::process::ProcessId;
use crate::room::Room;
use crate::signals::Subscription;
use crate::trace::Kind;

/// A call that would block is followed by an edge for nothing once in so many times, where that may be; less than each
/// time, or it would go on for ever.
const SPURIOUS_ONE_IN: u64 = 16;

/// How late such an edge comes.
const SPURIOUS_DELAY: Duration = Duration::from_millis(1);

/// What `EMFILE` is on Linux: `io::ErrorKind` has no name for it.
const EMFILE: i32 = 24;

/// That a program has as many descriptors as it may.
pub(crate) fn out_of_tokens() -> io::Error {
    io::Error::from_raw_os_error(EMFILE)
}

/// A token of a certain shard: whom to tell of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle {
    pub(crate) shard: ShardId,
    pub(crate) token: Token,
}

/// A place in the table of a shard.
#[derive(Debug)]
pub(crate) struct Place {
    /// Edges that the program was not yet told of.
    pending: Ready,
    pub(crate) resource: Resource,
}

impl Place {
    pub(crate) const fn new(resource: Resource) -> Self {
        Self { pending: Ready::NONE, resource }
    }
}

/// A socket of any kind, by its place in the room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Socket {
    Connection(ConnectionId, Side),
    Listener(ListenerId),
    Mailbox(MailboxId),
}

/// What a token names.
#[derive(Debug)]
pub(crate) enum Resource {
    Socket(Socket),
    Signals(Subscription),
    Job(JobState),
    File(Node),
    Process(ProcessId),
}

impl Resource {
    /// What it is, in a word or two.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Socket(Socket::Connection(..)) => "connection",
            Self::Socket(Socket::Listener(_)) => "listener",
            Self::Socket(Socket::Mailbox(_)) => "datagram socket",
            Self::Signals(_) => "signal subscription",
            Self::Job(_) => "job",
            Self::File(_) => "file",
            Self::Process(_) => "child",
        }
    }
}

impl Room {
    pub(crate) fn resource(&self, shard: ShardId, token: Token) -> &Resource {
        &self.shard(shard).table.get(token).resource
    }

    pub(crate) fn resource_mut(&mut self, shard: ShardId, token: Token) -> &mut Resource {
        &mut self.shard_mut(shard).table.get_mut(token).resource
    }

    /// # Errors
    /// When the host has as many descriptors as it may, or would have with `count` more.
    pub(crate) fn check_token_limit(&mut self, shard: ShardId, count: usize) -> io::Result<()> {
        match self.descriptors(shard) + count <= self.config.tokens_max {
            true => Ok(()),
            false => {
                self.coverage.add_fault(Fault::OutOfTokens);
                Err(out_of_tokens())
            }
        }
    }

    /// Those of the program that a shard is of.
    fn descriptors(&self, shard: ShardId) -> usize {
        let of = |shard: &ShardId| {
            let shard = self.shard(*shard);
            shard.table.len() - shard.jobs_open
        };
        if self.shard(shard).process.is_some() {
            return of(&shard);
        }
        let machine = self.machine(self.host_of(shard));
        machine.loose_count + machine.shards.iter().map(of).sum::<usize>()
    }

    pub(crate) fn open_token(&mut self, shard: ShardId, resource: Resource) -> io::Result<Token> {
        self.check_token_limit(shard, 1)?;
        let token = self.shard_mut(shard).table.insert(Place::new(resource));
        self.tie_opening(Handle { shard, token });
        Ok(token)
    }

    /// Owes the program an edge. Edges of one token that were not yet told are told as one.
    pub(crate) fn raise(&mut self, handle: Handle, ready: Ready) {
        self.tie_raise(handle);
        let state = self.shard_mut(handle.shard);
        let place = state.table.get_mut(handle.token);
        let is_first = place.pending.is_empty();
        place.pending |= ready;
        if is_first {
            state.edges.push(handle.token);
            self.wake(handle.shard);
        }
    }

    /// The same for a socket that may be between two shards.
    pub(crate) fn raise_to(&mut self, holder: Option<Handle>, ready: Ready) {
        if let Some(handle) = holder {
            self.raise(handle, ready);
        }
    }

    /// Tells a shard of its edges.
    pub(crate) fn take_edges(&mut self, shard: ShardId, events: &mut Vec<Readiness>) {
        let mut edges = core::mem::take(&mut self.shard_mut(shard).edges);
        for token in edges.drain(..) {
            let state = self.shard_mut(shard);
            if state.table.try_get(token).is_none() {
                continue;
            }
            let ready = core::mem::take(&mut state.table.get_mut(token).pending);
            self.note(shard, Kind::Edge, token.to_bits(), u64::from(ready.bits()));
            events.push(Readiness { token, ready });
        }
        // Put back for its memory.
        self.shard_mut(shard).edges = edges;
    }

    /// Gives what is to be dropped with nothing borrowed.
    #[must_use]
    pub(crate) fn close(&mut self, shard: ShardId, token: Token, is_abort: bool) -> Option<Left> {
        let kind = if is_abort { Kind::Abort } else { Kind::Close };
        self.note(shard, kind, token.to_bits(), 0);
        let place = self.shard_mut(shard).table.remove(token);
        match place.resource {
            Resource::Socket(socket) => self.close_socket(socket, is_abort),
            Resource::Signals(_) => {
                self.shard_mut(shard).subscribers.retain(|other| *other != token);
            }
            Resource::Job(state) => {
                return self.job_closed(shard, state);
            }
            Resource::File(_) => {}
            Resource::Process(process) => self.close_process(shard, process),
        }
        None
    }

    pub(crate) fn close_socket(&mut self, socket: Socket, is_abort: bool) {
        match socket {
            Socket::Connection(id, side) => self.close_connection(id, side, is_abort),
            Socket::Listener(id) => self.close_listener(id),
            Socket::Mailbox(id) => self.close_mailbox(id),
        }
    }

    /// Sometimes makes an edge for nothing, after a call that would block.
    pub(crate) fn perhaps_spurious(&mut self, shard: ShardId, token: Token, ready: Ready) {
        let owner = Some(shard);
        if !self.config.spurious || !self.choices.chance(owner, Label::Spurious, SPURIOUS_ONE_IN) {
            return;
        }
        let span = Span::from(&(Duration::ZERO..=SPURIOUS_DELAY));
        let delay = self.choices.duration(shard, Label::Spurious, span);
        self.schedule(self.now + delay, Event::Spurious(shard, token, ready));
    }

    pub(crate) fn spurious(&mut self, shard: ShardId, token: Token, ready: Ready) {
        self.note(shard, Kind::Spurious, token.to_bits(), u64::from(ready.bits()));
        let Some(place) = self.shard(shard).table.try_get(token) else { return };
        // The first edge of a socket that connects is a promise: there the contract forbids one for nothing.
        let is_connecting = match place.resource {
            Resource::Socket(Socket::Connection(id, side)) => self.is_connecting(id, side),
            _ => false,
        };
        if !is_connecting {
            self.raise(Handle { shard, token }, ready);
        }
    }

    /// What a leak says of a resource.
    pub(crate) fn describe(&self, resource: &Resource) -> String {
        let name = resource.name();
        match resource {
            Resource::Socket(Socket::Connection(id, side)) => {
                let peer = self.socket_address(Socket::Connection(*id, side.other()));
                format!("{name} {} to {peer}", self.socket_address(Socket::Connection(*id, *side)))
            }
            Resource::Socket(socket) => format!("{name} at {}", self.socket_address(*socket)),
            Resource::Signals(_) | Resource::Job(_) | Resource::File(_) | Resource::Process(_) => {
                name.to_owned()
            }
        }
    }

    /// The address of a socket.
    pub(crate) fn socket_address(&self, socket: Socket) -> Address {
        match socket {
            Socket::Connection(id, side) => self.end_address(id, side).clone(),
            Socket::Listener(id) => self.listener(id).address.clone(),
            Socket::Mailbox(id) => self.mailboxes[&id].address.into(),
        }
    }
}
