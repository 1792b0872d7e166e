//! Unix sockets: connections within a machine, which meet at a path.
//!
//! One kernel holds both ends, so there is no handshake, and no packet to lose: connecting is over when the call is,
//! and who writes to an end that is closed is told at once. What takes the time of the way back to oneself are bytes and
//! edges: a program that runs at the same time would see them so late.

use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use mainspring_executor::driver::{Address, Exhausted, ListenOptions, Ready, Token};

use super::pipe::Pipe;
use super::{Family, Owner, Side, State, connecting};
use crate::event::{ConnectionId, HostId, ListenerId, ShardId};
use crate::room::Room;
use crate::tokens::Handle;
use crate::trace::Kind;

/// The longest path of a socket: what `sun_path` of Linux holds, less the zero at its end.
const PATH_BYTES_MAX: usize = 107;

/// Bytes that are in a pipe at most, as on Linux.
const PIPE_BYTES: usize = 64 * 1024;

impl Room {
    pub(super) fn listen_unix(
        &mut self,
        shard: ShardId,
        path: &Path,
        options: ListenOptions,
    ) -> io::Result<Token> {
        if options.reuse_port {
            return Err(ErrorKind::Unsupported.into());
        }
        let place = place(path)?;
        self.check_token_limit(shard, 1)?;
        let host = self.host_of(shard);
        self.check_path_is_free(host, &place)?;
        let address = Address::Unix(path.to_owned());
        let (id, token) = self.add_listener(shard, address, options)?;
        self.machine_mut(host).sockets.paths.insert(place, Some(id));
        self.note(shard, Kind::ListenPath, token.to_bits(), 0);
        Ok(token)
    }

    /// Whether a socket can be made at `place`, in a folder that is there.
    fn check_path_is_free(&self, host: HostId, place: &Path) -> io::Result<()> {
        let machine = self.machine(host);
        if machine.sockets.paths.contains_key(place) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let folder = place.parent().filter(|folder| folder.parent().is_some());
        if let Some(folder) = folder {
            machine.files.at(folder)?.check_folder()?;
        }
        match machine.files.at(place) {
            Err(ErrorKind::NotFound) => Ok(()),
            _ => Err(ErrorKind::AddrInUse.into()),
        }
    }

    /// A listener is closed, and takes its path along. When its program is killed the path stays: nobody is left who
    /// would remove it.
    pub(super) fn leave_path(&mut self, host: HostId, id: ListenerId, path: &Path) {
        let place = place(path).expect("it was good when it was made");
        let machine = self.machine_mut(host);
        let owner = machine.sockets.paths.get_mut(&place).expect("a listener is at its path");
        assert_eq!(*owner, Some(id), "nobody takes a path that is taken");
        if machine.condition.is_killed() {
            *owner = None;
        } else {
            machine.sockets.paths.remove(&place);
        }
    }

    pub(super) fn connect_unix(&mut self, shard: ShardId, path: &Path) -> io::Result<Token> {
        let place = place(path)?;
        self.check_token_limit(shard, 1)?;
        let host = self.host_of(shard);
        let listener = self.listener_at(host, &place)?;
        if self.listener(listener).is_full() {
            return Err(Exhausted.into());
        }
        let server = Address::Unix(path.to_owned());
        let id = self.add_unix_connection(host, Address::Unnamed, server);
        let token = self.hold(shard, id, Side::Client)?;
        self.note(shard, Kind::ConnectPath, token.to_bits(), 0);
        self.enter_backlog(listener, id);
        self.raise(Handle { shard, token }, Ready::WRITABLE);
        Ok(token)
    }

    fn listener_at(&self, host: HostId, place: &Path) -> io::Result<ListenerId> {
        let machine = self.machine(host);
        if let Some(owner) = machine.sockets.paths.get(place) {
            return owner.ok_or(ErrorKind::ConnectionRefused.into());
        }
        match machine.files.at(place) {
            Err(ErrorKind::NotFound) => Err(ErrorKind::NotFound.into()),
            // Something is there, and it is no socket.
            _ => Err(ErrorKind::ConnectionRefused.into()),
        }
    }

    pub(crate) fn stream_pair(&mut self, shard: ShardId) -> io::Result<(Token, Token)> {
        self.check_token_limit(shard, 2)?;
        let host = self.host_of(shard);
        let id = self.add_unix_connection(host, Address::Unnamed, Address::Unnamed);
        let one = self.hold(shard, id, Side::Client)?;
        let other = self.hold(shard, id, Side::Server)?;
        self.note(shard, Kind::StreamPair, one.to_bits(), other.to_bits());
        Ok((one, other))
    }

    /// A pipe: both ends are nobody's as yet, and one way is never used. What it does where an end is closed is what a pipe
    /// does: an end behind what was written, and `BrokenPipe` for who writes to nobody.
    pub(crate) fn pipe(&mut self, host: HostId) -> ConnectionId {
        let id = self.add_unix_connection(host, Address::Unnamed, Address::Unnamed);
        let connection = self.connection(id);
        connection.pipes = [(), ()].map(|()| Pipe::within_a_machine(PIPE_BYTES));
        for side in [Side::Client, Side::Server] {
            connection.end_mut(side).owner = Owner::Detached;
        }
        id
    }

    fn add_unix_connection(
        &mut self,
        host: HostId,
        client: Address,
        server: Address,
    ) -> ConnectionId {
        let (client, server) = ((host, client), (Some(host), server));
        let mut connection = connecting(Family::Unix, &self.config, self.now, client, server);
        for side in [Side::Client, Side::Server] {
            connection.end_mut(side).state = State::Established;
        }
        self.add_connection(connection)
    }
}

/// The place that a path names, however it is spelled.
fn place(path: &Path) -> io::Result<PathBuf> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.len() > PATH_BYTES_MAX || bytes.contains(&0) {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok(path.components().filter(|part| !matches!(part, Component::CurDir)).collect())
}
