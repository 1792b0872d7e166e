//! SIGINT and SIGTERM as descriptors that become readable.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::driver::Signal;

/// A subscription: the handler of each signal writes a byte into a pipe of its own.
pub(super) struct SignalPipes {
    pipes: [SignalPipe; 2],
}

struct SignalPipe {
    signal: Signal,
    reader: UnixStream,
    handler: SigId,
}

impl SignalPipes {
    pub(super) fn subscribe() -> io::Result<Self> {
        let interrupt = SignalPipe::open(Signal::Interrupt, SIGINT)?;
        let terminate = SignalPipe::open(Signal::Terminate, SIGTERM)?;
        Ok(Self { pipes: [interrupt, terminate] })
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().map(|pipe| pipe.reader.as_fd())
    }

    /// One signal that arrived; two of different kind have no order that anyone could know.
    pub(super) fn next(&self) -> io::Result<Signal> {
        for pipe in &self.pipes {
            match (&pipe.reader).read(&mut [0]) {
                Ok(_) => return Ok(pipe.signal),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl SignalPipe {
    fn open(signal: Signal, number: i32) -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let handler = signal_hook::low_level::pipe::register(number, writer)?;
        Ok(Self { signal, reader, handler })
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.handler);
    }
}
