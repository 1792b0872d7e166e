//! `Budget`: the memory that a host has for the buffers of all its sockets.
//!
//! ```text
//!  write ── beyond ──► takes what it still may, else WouldBlock ── a quarter is free, or its own bytes got there ──► edge
//!  segment ── beyond ──► dropped ── 200 ms, 400 ms, … ── sent again
//!  datagram ── beyond ──► dropped where it arrives; where it is sent: ENOBUFS
//!  new socket ── nothing left ──► ENOBUFS; who waits to be accepted goes on to wait
//! ```
//! So do `tcp_mem` and `udp_mem` of Linux, which are two there, and count pages where this counts bytes. Each socket may have
//! [`GUARANTEED_BYTES`] in each direction all the same (`tcp_rmem`, `tcp_wmem`, `udp_rmem_min`), so nothing waits for ever for
//! memory that somebody else has. Unix sockets have no such budget in Linux: they are neither counted nor refused.
//!
//! What TCP counts: bytes that were written and are not acknowledged, until the end is reset; and bytes that arrived and are
//! not read, until the end is closed. So acknowledgements are events here also where nobody waits for them.
//!
//! Invariant: what is used is the sum of what the host's sockets have, each as it was last counted; that is done after everything
//! that happens to one. Nothing is left of a socket that is gone. Where there is no bound nothing is counted.

use std::collections::BTreeSet;
use std::io;

use mainspring_executor::driver::Ready;

#[cfg(test)]
use super::datagrams::Mailbox;
use super::datagrams::MailboxId;
use super::pipe::SEGMENT_BYTES;
use super::{Connection, Family, Owner, Side, State};
use crate::coverage::Fault;
use crate::event::{ConnectionId, HostId};
use crate::room::Room;

/// What each socket may have in each direction, whatever others have: the least of `tcp_rmem` and `tcp_wmem`.
const GUARANTEED_BYTES: u64 = 4096;

/// What `ENOBUFS` is on Linux: `io::ErrorKind` has no name for it.
const ENOBUFS: i32 = 105;

/// That a host has no memory for a socket or a datagram.
pub(crate) fn no_buffers() -> io::Error {
    io::Error::from_raw_os_error(ENOBUFS)
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Budget {
    /// `None`: there is no bound.
    bytes: Option<u64>,
    used: u64,
    /// Ends that were refused memory, and are owed an edge when there is some.
    waiting: BTreeSet<(ConnectionId, Side)>,
}

impl Budget {
    pub(crate) fn new(bytes: Option<usize>) -> Self {
        Self { bytes: bytes.map(|bytes| bytes as u64), used: 0, waiting: BTreeSet::new() }
    }

    fn is_bounded(&self) -> bool {
        self.bytes.is_some()
    }

    /// Bytes that are not used, not counting what is guaranteed.
    fn free(&self) -> u64 {
        self.bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(self.used))
    }

    /// Whether a socket with `queued` bytes may have so many more, as one piece.
    fn takes(&self, queued: usize, more: usize) -> bool {
        more as u64 <= self.free() || (queued as u64) < GUARANTEED_BYTES
    }

    /// How many bytes more a socket with `queued` bytes may have.
    fn room(&self, queued: u64) -> u64 {
        self.free().max(GUARANTEED_BYTES.saturating_sub(queued))
    }

    /// How many of `count` bytes more, that came in segments, a socket with `queued` bytes may have.
    fn room_for_segments(&self, queued: u64, count: u64) -> u64 {
        let free = self.free();
        if count <= free {
            return count;
        }
        let guaranteed = GUARANTEED_BYTES.saturating_sub(queued).next_multiple_of(SEGMENT_BYTES);
        count.min(guaranteed.max(free - free % SEGMENT_BYTES))
    }

    /// Whether so much is free that those who wait may go on. Some must be, lest they be woken for each byte.
    fn is_eased(&self) -> bool {
        self.bytes.is_none_or(|bytes| self.used <= bytes - bytes / 4)
    }
}

impl Connection {
    /// What the end at `side` has in its buffers, as its host counts it.
    fn buffered_bytes(&self, side: Side) -> u64 {
        let end = self.end(side);
        if self.family == Family::Unix || end.state == State::Ghost {
            return 0;
        }
        let sent = if end.state.is_over() { 0 } else { self.pipes[side as usize].unacknowledged() };
        let is_read = end.owner != Owner::Nobody;
        let received = if is_read { self.pipes[side.other() as usize].readable() } else { 0 };
        sent + received as u64
    }
}

/// What connections ask.
impl Room {
    /// How many bytes more the end at `side` may write, as far as its host is concerned.
    pub(super) fn write_room(&mut self, id: ConnectionId, side: Side) -> usize {
        let Some(host) = self.counting_host(id, side) else { return usize::MAX };
        self.recount(id);
        let queued = self.connection(id).outgoing(side).unacknowledged();
        usize::try_from(self.machine(host).budget.room(queued)).unwrap_or(usize::MAX)
    }

    /// How many of `count` bytes that arrive for the end at `side` its host has memory for.
    pub(super) fn arrival_room(&mut self, id: ConnectionId, side: Side, count: u64) -> u64 {
        let Some(host) = self.counting_host(id, side) else { return count };
        let queued = self.connection(id).incoming(side).readable() as u64;
        self.machine(host).budget.room_for_segments(queued, count)
    }

    /// The end at `side` was refused memory, and is told when there is some.
    pub(super) fn await_memory(&mut self, id: ConnectionId, side: Side) {
        let host = self.counting_host(id, side).expect("only who is counted is refused");
        self.machine_mut(host).budget.waiting.insert((id, side));
    }

    /// The host of an end, if that counts what the end has.
    #[inline]
    pub(super) fn counting_host(&self, id: ConnectionId, side: Side) -> Option<HostId> {
        if !self.counts_socket_memory {
            return None;
        }
        let connection = &self.connections[id.index()];
        let host = connection.end(side).host.filter(|_| connection.family == Family::Tcp)?;
        self.machine(host).budget.is_bounded().then_some(host)
    }

    /// Something happened to a connection: what its ends have is counted anew.
    #[inline]
    pub(super) fn recount(&mut self, id: ConnectionId) {
        if self.counts_socket_memory {
            self.recount_ends(id);
        }
    }

    fn recount_ends(&mut self, id: ConnectionId) {
        for side in [Side::Client, Side::Server] {
            self.recount_as(id, side, |connection| connection.buffered_bytes(side));
        }
    }

    /// A connection is forgotten.
    pub(super) fn discount(&mut self, id: ConnectionId) {
        if !self.counts_socket_memory {
            return;
        }
        for side in [Side::Client, Side::Server] {
            self.recount_as(id, side, |_| 0);
            if let Some(host) = self.connection(id).end(side).host {
                self.machine_mut(host).budget.waiting.remove(&(id, side));
            }
        }
    }

    fn recount_as(&mut self, id: ConnectionId, side: Side, bytes: impl FnOnce(&Connection) -> u64) {
        let connection = &self.connections[id.index()];
        let (Some(host), before) = (connection.end(side).host, connection.end(side).counted_bytes)
        else {
            return;
        };
        let is_bounded = self.machine(host).budget.is_bounded();
        let after = if is_bounded { bytes(connection) } else { 0 };
        if before != after {
            self.connection(id).end_mut(side).counted_bytes = after;
            self.count(host, before, after);
        }
    }
}

/// What UDP sockets ask.
impl Room {
    /// Whether a UDP socket with `queued` bytes in one direction may have so many more there.
    pub(super) fn has_memory(&self, host: HostId, queued: usize, more: usize) -> bool {
        self.machine(host).budget.takes(queued, more)
    }

    /// Something happened to a UDP socket: what it has is counted anew.
    pub(super) fn recount_mailbox(&mut self, id: MailboxId) {
        let Some(mailbox) = self.mailboxes.get(&id) else { return };
        let (host, before) = (mailbox.host, mailbox.counted_bytes);
        let is_bounded = self.machine(host).budget.is_bounded();
        let after = if is_bounded { mailbox.buffered_bytes() } else { 0 };
        if before != after {
            self.mailbox(id).counted_bytes = after;
            self.count(host, before, after);
        }
    }
}

/// The host's affairs.
impl Room {
    /// # Errors
    /// `ENOBUFS` when a host has no memory left for one more socket.
    pub(super) fn check_socket_memory(&mut self, host: HostId) -> io::Result<()> {
        match self.machine(host).budget.free() {
            0 => Err(self.out_of_buffers()),
            _ => Ok(()),
        }
    }

    /// A call fails for want of memory.
    pub(super) fn out_of_buffers(&mut self) -> io::Error {
        self.coverage.add_fault(Fault::NoBuffers);
        no_buffers()
    }

    /// What a socket of a host has is `after` now, and was `before`.
    pub(super) fn count(&mut self, host: HostId, before: u64, after: u64) {
        let budget = &mut self.machine_mut(host).budget;
        let others = budget.used.checked_sub(before).expect("what a socket has is part of the sum");
        budget.used = others + after;
        if after < before {
            self.tell_of_memory(host);
        }
    }

    /// Tells those who wait, if there is memory for them.
    fn tell_of_memory(&mut self, host: HostId) {
        let budget = &mut self.machine_mut(host).budget;
        if budget.waiting.is_empty() || !budget.is_eased() {
            return;
        }
        for (id, side) in core::mem::take(&mut budget.waiting) {
            let connection = &mut self.connections[id.index()];
            let end = connection.end(side);
            let (Owner::Program(holder), State::Established) = (end.owner, end.state) else {
                continue;
            };
            connection.outgoing(side).write_refused = false;
            // A program that dies, or whose machine crashes, loses its tokens first, and then its sockets, one by one.
            if self.shard(holder.shard).table.try_get(holder.token).is_some() {
                self.raise(holder, Ready::WRITABLE);
            }
        }
    }

    /// A host has so much memory from now on. Looks at all connections of the room: a scenario does this rarely.
    pub(crate) fn set_socket_memory(&mut self, host: HostId, bytes: Option<usize>) {
        self.counts_socket_memory |= bytes.is_some();
        self.machine_mut(host).budget.bytes = bytes.map(|bytes| bytes as u64);
        let ids: Vec<_> =
            self.connections.iter().map(|(index, _)| ConnectionId::new(index)).collect();
        for id in ids {
            for side in [Side::Client, Side::Server] {
                let end = self.connection(id).end(side);
                if end.host == Some(host) && end.state == State::Established {
                    // Acknowledgements that nobody waited for.
                    self.settle(id, side);
                    self.arm_ack(id, side);
                }
            }
            self.recount(id);
        }
        let ids: Vec<_> = self.mailboxes.keys().copied().collect();
        for id in ids {
            self.recount_mailbox(id);
        }
        self.tell_of_memory(host);
    }

    /// A crash has taken all sockets of a host.
    pub(super) fn lose_buffers(&mut self, host: HostId) {
        let budget = &mut self.machine_mut(host).budget;
        budget.waiting.clear();
        assert_eq!(budget.used, 0, "a machine without sockets has nothing in their buffers");
    }

    /// What a host has used: as it was counted, and as one who looks at all sockets finds it.
    #[cfg(test)]
    pub(super) fn used_bytes(&self, host: HostId) -> (u64, u64) {
        let sides = [Side::Client, Side::Server];
        let ends = self.connections.iter().flat_map(|(_, connection)| {
            let its = sides.into_iter().filter(|side| connection.end(*side).host == Some(host));
            its.map(|side| connection.buffered_bytes(side))
        });
        let mailboxes = self.mailboxes.values().filter(|mailbox| mailbox.host == host);
        let all = ends.sum::<u64>() + mailboxes.map(Mailbox::buffered_bytes).sum::<u64>();
        let budget = &self.machine(host).budget;
        (budget.used, if budget.is_bounded() { all } else { 0 })
    }
}
