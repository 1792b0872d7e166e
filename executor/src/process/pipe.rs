//! `PipeReader` and `PipeWriter`: the ends of pipes between this program and another one.
//!
//! Each is a [`ByteStream`] with one half: the other half has ended from the start. So what is written for streams, the
//! adapters for other people's crates included, reads and writes pipes, too.

use core::fmt;
use core::future::poll_fn;
use core::panic::Location;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use crate::current;
use crate::driver::Detached;
use crate::net::byte_stream::{byte_receiving, byte_sending};
use crate::net::connection::{Connection, receiving, sending};
use crate::net::{ByteStream, Socket};
use crate::reactor::Kind;

/// The end of a pipe that bytes come out of. Dropped, whoever writes into it is told by `BrokenPipe`.
pub struct PipeReader {
    connection: Connection,
}

impl PipeReader {
    pub(super) fn new(socket: Socket) -> Self {
        Self { connection: Connection::new(socket) }
    }

    /// Takes in an end that the machine of this shard hands over: a simulated machine does so to the programs that it
    /// starts.
    ///
    /// # Errors
    /// As [`Driver::adopt`](crate::driver::Driver::adopt).
    ///
    /// # Panics
    /// Outside of a shard, and as [`Driver::adopt`](crate::driver::Driver::adopt).
    #[track_caller]
    pub fn attach(pipe: Detached) -> io::Result<Self> {
        Ok(Self::new(Socket::attach(current::core(), pipe, Kind::Pipe, Location::caller())?))
    }

    receiving!();

    /// Reads to the end, behind what is in `target`: no bound but memory. Not cancel-safe for the caller who drops
    /// `target`, too; what is in `target` was read.
    ///
    /// # Errors
    /// As `poll_fill`.
    pub async fn read_to_end(&mut self, target: &mut Vec<u8>) -> io::Result<()> {
        loop {
            target.extend_from_slice(self.buffered());
            self.consume(self.buffered().len());
            if self.fill().await? == 0 {
                return Ok(());
            }
        }
    }
}

/// The end of a pipe that bytes go into. Dropped, whoever reads from it finds the end behind what was written.
pub struct PipeWriter {
    connection: Connection,
}

impl PipeWriter {
    pub(super) fn new(socket: Socket) -> Self {
        Self { connection: Connection::new(socket) }
    }

    /// As [`PipeReader::attach`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn attach(pipe: Detached) -> io::Result<Self> {
        Ok(Self::new(Socket::attach(current::core(), pipe, Kind::Pipe, Location::caller())?))
    }

    sending!();
}

impl ByteStream for PipeReader {
    byte_receiving!();

    /// Says `BrokenPipe`: nothing goes this way.
    fn poll_write(&mut self, _: &Context<'_>, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_shutdown_write(&mut self, _: &Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl ByteStream for PipeWriter {
    /// Says 0: nothing comes this way.
    fn poll_fill(&mut self, _: &Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn buffered(&self) -> &[u8] {
        &[]
    }

    fn consume(&mut self, count: usize) {
        assert_eq!(count, 0, "nothing was received");
    }

    byte_sending!();
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeReader({:?})", self.connection)
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeWriter({:?})", self.connection)
    }
}
