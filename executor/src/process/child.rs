//! `Child`: a process that this program started, and its end.

use core::fmt;
use core::future::poll_fn;
use core::panic::Location;
use core::task::{Context, Poll, ready};
use std::io;
use std::rc::Rc;

use super::{ExitStatus, PipeReader, PipeWriter};
use crate::driver::{Ready, Signal, Spawned};
use crate::net::Socket;
use crate::reactor::{Interest, Kind};
use crate::shard::Core;
use crate::try_join;

/// A child process. Dropped before its end, it is killed (SIGKILL), and nothing is left of it in the tables of the machine.
///
/// What a child starts by itself is not killed with it.
pub struct Child {
    /// What goes to it, where that is piped. It reads the end when this is dropped.
    pub stdin: Option<PipeWriter>,
    /// What comes from it, where that is piped.
    pub stdout: Option<PipeReader>,
    /// What it complains about, where that is piped.
    pub stderr: Option<PipeReader>,
    process: Socket,
    id: u32,
    status: Option<ExitStatus>,
}

impl Child {
    pub(super) fn new(
        core: &Rc<Core>,
        spawned: Spawned,
        origin: &'static Location<'static>,
    ) -> Self {
        let Spawned { process, id, stdin, stdout, stderr } = spawned;
        let socket = |token, kind, ready| Socket::new(Rc::clone(core), token, kind, ready, origin);
        let pipe = |token| socket(token, Kind::Pipe, Ready::READABLE | Ready::WRITABLE);
        Self {
            process: socket(process, Kind::Process, Ready::NONE),
            stdin: stdin.map(|token| PipeWriter::new(pipe(token))),
            stdout: stdout.map(|token| PipeReader::new(pipe(token))),
            stderr: stderr.map(|token| PipeReader::new(pipe(token))),
            id,
            status: None,
        }
    }

    /// The number by which the machine calls it. Another process may have it once this one's end was waited for.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits for its end, and closes what goes to it first: a child that reads to the end would wait for us. May be called
    /// again, and gives the same.
    ///
    /// What it wrote is still to be read afterwards. One who does not read while he waits may wait for ever: a child
    /// cannot end while it has more to write than a pipe holds. Cancel-safe, but for the closed pipe.
    ///
    /// # Errors
    /// Where somebody else has waited for it already.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        poll_fn(|cx| self.poll_exit(cx)).await
    }

    /// Waits for its end, as [`Child::wait`] does, and closes nothing.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn poll_exit(&mut self, cx: &Context<'_>) -> Poll<io::Result<ExitStatus>> {
        if let Some(status) = self.status {
            return Poll::Ready(Ok(status));
        }
        let exit =
            self.process.poll_io(Interest::Read, cx, |driver, token| driver.process_exit(token));
        let status = ready!(exit)?;
        self.status = Some(status);
        Poll::Ready(Ok(status))
    }

    /// Kills it (SIGKILL). Its end is still to be waited for; until then it may run on for a moment.
    ///
    /// # Errors
    /// `PermissionDenied`, for a child that has become somebody else's.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.driver().signal_process(self.process.token(), None)
    }

    /// Sends it a signal, which kills it unless it handles that. Does nothing when it has ended.
    ///
    /// # Errors
    /// As [`Child::kill`].
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        self.process.driver().signal_process(self.process.token(), Some(signal))
    }

    /// Gathers what it writes, and waits for its end.
    pub(super) async fn output(mut self, bytes_max: usize) -> io::Result<Output> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr, status) =
            try_join!(gather(stdout, bytes_max), gather(stderr, bytes_max), self.wait())?;
        Ok(Output { status, stdout, stderr })
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({}, {:?})", self.id, self.status)
    }
}

/// How a child ended, and what it had written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote; empty where that was not piped.
    pub stdout: Vec<u8>,
    /// What it complained about; empty where that was not piped.
    pub stderr: Vec<u8>,
}

/// Reads to the end, where there is something to read from.
async fn gather(pipe: Option<PipeReader>, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut pipe) = pipe else { return Ok(bytes) };
    while pipe.fill().await? > 0 {
        let count = pipe.buffered().len();
        if bytes.len() + count > bytes_max {
            let text = format!("a child wrote more than {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        bytes.extend_from_slice(pipe.buffered());
        pipe.consume(count);
    }
    Ok(bytes)
}
