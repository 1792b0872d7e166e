//! Sockets between two shards of a machine: no program holds them, and the kernel keeps them.
//!
//! Invariant: a socket that was let go is taken in once, or closed.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use mainspring_executor::driver::{Detached, Ready, Token};

use crate::event::{HostId, ShardId};
use crate::room::Room;
use crate::tokens::{Handle, Place, Resource, Socket};
use crate::trace::Kind;

/// A socket that was let go.
#[derive(Debug)]
pub(crate) struct Loose {
    pub(crate) host: HostId,
    /// `None`: it went with a crash of its machine, and what a program handed over is worth nothing.
    pub(crate) socket: Option<Socket>,
}

/// What a program hands over: dropped, it tells the room to close the socket.
struct Ticket {
    /// The place of the socket in the room; `None` when it was taken in.
    place: Option<usize>,
    abandoned: Arc<Abandoned>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.abandoned.add(place);
        }
    }
}

/// The sockets that were dropped while no shard had them. Behind a lock, for what is handed over may cross threads; in a
/// run that is to be repeated, it does not.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    any: AtomicBool,
    places: Mutex<Vec<usize>>,
}

impl Abandoned {
    fn add(&self, place: usize) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Takes the places, in the order in which they were dropped.
    fn take(&self) -> Vec<usize> {
        if !self.any.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        core::mem::take(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Room {
    pub(crate) fn detach(&mut self, shard: ShardId, socket: Token) -> Detached {
        self.note(shard, Kind::Detach, socket.to_bits(), 0);
        let resource = self.shard_mut(shard).table.remove(socket).resource;
        let Resource::Socket(socket) = resource else {
            panic!("only sockets change shards, and this is a {}", resource.name())
        };
        self.let_go(self.host_of(shard), socket)
    }

    /// Lets a socket be nobody's until a shard of the machine takes it in.
    pub(crate) fn let_go(&mut self, host: HostId, socket: Socket) -> Detached {
        self.set_holder(socket, None);
        self.machine_mut(host).loose_count += 1;
        let place = self.loose.insert(Loose { host, socket: Some(socket) });
        Detached::new(Ticket { place: Some(place), abandoned: Arc::clone(&self.abandoned) })
    }

    /// # Errors
    /// `NotConnected` for a socket that was let go before its machine crashed.
    pub(crate) fn adopt(&mut self, shard: ShardId, socket: Detached) -> io::Result<Token> {
        let mut ticket: Ticket = socket.downcast().expect("it comes from a machine of a room");
        assert!(Arc::ptr_eq(&ticket.abandoned, &self.abandoned), "a socket stays in its room");
        let place = ticket.place.take().expect("a socket is taken in once");
        let Loose { host, socket } = self.loose.remove(place);
        assert_eq!(host, self.host_of(shard), "a socket does not leave its machine");
        let socket = socket.ok_or(ErrorKind::NotConnected)?;
        self.machine_mut(host).loose_count -= 1;
        // No limit is asked: it was a descriptor all the time.
        let token = self.take_in(shard, socket);
        self.note(shard, Kind::Adopt, token.to_bits(), 0);
        Ok(token)
    }

    /// Gives a shard a socket that is nobody's.
    pub(crate) fn take_in(&mut self, shard: ShardId, socket: Socket) -> Token {
        // How it ended makes its edge once more, as it does when Linux adds a socket to a poller.
        let ended = match socket {
            Socket::Connection(id, side) => self.ended(id, side),
            Socket::Listener(_) | Socket::Mailbox(_) => Ready::NONE,
        };
        let token = self.shard_mut(shard).table.insert(Place::new(Resource::Socket(socket)));
        let handle = Handle { shard, token };
        self.tie_opening(handle);
        self.set_holder(socket, Some(handle));
        if !ended.is_empty() {
            self.raise(handle, ended);
        }
        token
    }

    /// Says whom the edges of a socket are for; `None`: they are lost, for whoever takes it in tries first.
    fn set_holder(&mut self, socket: Socket, holder: Option<Handle>) {
        match socket {
            Socket::Connection(id, side) => self.set_connection_holder(id, side, holder),
            Socket::Listener(id) => self.listeners[id.index()].holder = holder,
            Socket::Mailbox(id) => self.mailbox(id).holder = holder,
        }
    }

    /// A crash takes the sockets of a machine that are between two shards. What programs handed over may still be dropped.
    pub(crate) fn lose_loose(&mut self, host: HostId) {
        for (_, loose) in &mut self.loose {
            if loose.host == host {
                loose.socket = None;
            }
        }
        self.machine_mut(host).loose_count = 0;
    }

    /// Closes what was dropped while no shard had it.
    pub(crate) fn close_abandoned(&mut self) {
        for place in self.abandoned.take() {
            let Loose { host, socket } = self.loose.remove(place);
            let Some(socket) = socket else { continue };
            self.machine_mut(host).loose_count -= 1;
            self.note_host(host, Kind::CloseDetached, 0, 0);
            self.close_socket(socket, false);
        }
    }
}
