//! Pipes to and from children: the system calls behind the driver's, non-blocking and closed on exec.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::driver::Transfer;

/// Our end of a pipe. `None`: it was shut down, though its token is still open.
pub(super) struct Pipe(Option<OwnedFd>);

impl Pipe {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    /// Gives up the descriptor, to be closed.
    pub(super) fn take(&mut self) -> Option<OwnedFd> {
        self.0.take()
    }

    /// A short read does not count as the end of what is there: not every poller tells of a writer who leaves right after.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Transfer> {
        let fd = self.fd().expect("who reads does not shut down");
        let count = rustix::io::read(fd, buffer)?;
        Ok(Transfer { count, exhausted: false })
    }

    /// `buffers` are as many as one call takes. SIGPIPE is the process's affair: the runtime of Rust ignores it, and so `EPIPE` is what is left.
    pub(super) fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<Transfer> {
        let fd = self.fd().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = rustix::io::writev(fd, buffers)?;
        Ok(Transfer { count, exhausted: false })
    }
}
