//! `Resource`: what a token of the driver stands for. It does not know its own token.

use core::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::datagrams::DatagramSocket;
use super::files::OpenFile;
use super::pipes::Pipe;
use super::pool::Done;
use super::process::Process;
use super::signals::SignalPipe;
use super::sockets;
use super::unix::BoundPath;
use crate::driver::{Lane, Token, Transfer};

/// What a token stands for.
pub(super) enum Resource {
    Listener(Listener),
    Stream(Stream),
    Datagrams(DatagramSocket),
    Signals(SignalPipe),
    Job(JobState),
    File(Arc<OpenFile>),
    Pipe(Pipe),
    Process(Process),
}

impl Resource {
    /// The child that it is, as whoever used `token` expects.
    pub(super) fn child(&mut self, token: Token) -> &mut Process {
        match self {
            Self::Process(process) => process,
            _ => panic!("token {token:?} is not a child"),
        }
    }
}

pub(super) struct Listener {
    /// Removed when dropped, and so before the socket is closed: whoever binds it anew has another.
    pub(super) path: Option<BoundPath>,
    pub(super) fd: OwnedFd,
}

pub(super) struct Stream {
    pub(super) fd: OwnedFd,
    pub(super) is_tcp: bool,
    /// A short read took all there was, and whatever comes later makes an edge.
    ///
    /// Not so where a FIN that comes with data has no edge of its own (see `Poller::announces_fin`), and no longer once
    /// the poller has told of the peer's end. Never at a Unix socket: there a read also ends at bytes that came with a
    /// descriptor or out of band.
    pub(super) short_reads_drain: Cell<bool>,
}

impl Stream {
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Transfer> {
        let count = sockets::receive(self.fd.as_fd(), buffer)?;
        let is_short = count > 0 && count < buffer.len();
        Ok(Transfer { count, exhausted: is_short && self.short_reads_drain.get() })
    }

    /// A short write filled the send buffer; the kernel notes that someone waits for room.
    pub(super) fn write(&self, buffers: &[IoSlice<'_>], wanted: usize) -> io::Result<Transfer> {
        let count = sockets::send(self.fd.as_fd(), buffers)?;
        Ok(Transfer { count, exhausted: count < wanted })
    }
}

/// A socket on its way to another driver. Dropping it closes it.
pub(super) enum Loose {
    Listener(Listener),
    Stream(Stream),
    Datagrams(DatagramSocket),
}

impl AsFd for Loose {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(Listener { fd, .. }) | Self::Stream(Stream { fd, .. }) => fd.as_fd(),
            Self::Datagrams(socket) => socket.as_fd(),
        }
    }
}

/// Where a job stands.
pub(super) enum JobState {
    /// It waits or runs; by its ticket it can be taken back as long as it waits.
    Pending {
        lane: Lane,
        ticket: u64,
    },
    Ended(Done),
}
