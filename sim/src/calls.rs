//! `Calls`: what the programs of one machine ask of it, counted; and one call that fails, as it may on a real machine.

use std::io::{self, ErrorKind};

use mainspring_executor::driver::Exhausted;
use mainspring_sim_allocator::Entered;

use crate::coverage::Fault;
use crate::event::{HostId, ShardId};
use crate::net::no_buffers;
use crate::room::Room;
use crate::tokens::out_of_tokens;

/// A call that may fail, whatever it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Listen,
    Accept,
    Connect,
    ConnectOutcome,
    StreamPair,
    Read,
    Write,
    ShutdownWrite,
    SetNodelay,
    SetKeepalive,
    LocalAddr,
    BindDatagram,
    ConnectDatagram,
    ReceiveFrom,
    SendTo,
    Detach,
    Adopt,
    SubscribeSignals,
    Submit,
    ProcessExit,
    SignalProcess,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    Kind(ErrorKind),
    /// `EMFILE`.
    OutOfTokens,
    /// `ENOBUFS`.
    NoBuffers,
    /// What [`Exhausted::is`], and has no number.
    Exhausted,
}

impl Error {
    fn to_io(self) -> io::Error {
        match self {
            Self::Kind(kind) => kind.into(),
            Self::OutOfTokens => out_of_tokens(),
            Self::NoBuffers => no_buffers(),
            Self::Exhausted => Exhausted.into(),
        }
    }
}

impl Call {
    /// How it may fail: what the contract of [`Driver`](mainspring_executor::driver::Driver) has, and Linux knows.
    pub(crate) const fn errors(self) -> &'static [Error] {
        use Error::{Exhausted, Kind, NoBuffers, OutOfTokens};
        match self {
            Self::Listen => &[
                Kind(ErrorKind::AddrInUse),
                Kind(ErrorKind::AddrNotAvailable),
                Kind(ErrorKind::PermissionDenied),
                OutOfTokens,
                NoBuffers,
            ],
            Self::Accept => &[Kind(ErrorKind::ConnectionAborted), OutOfTokens, NoBuffers],
            Self::Connect => &[
                Kind(ErrorKind::AddrNotAvailable),
                Kind(ErrorKind::NetworkUnreachable),
                OutOfTokens,
                NoBuffers,
            ],
            Self::ConnectOutcome => &[
                Kind(ErrorKind::ConnectionRefused),
                Kind(ErrorKind::TimedOut),
                Kind(ErrorKind::HostUnreachable),
            ],
            Self::Read => &[
                Kind(ErrorKind::ConnectionReset),
                Kind(ErrorKind::TimedOut),
                Kind(ErrorKind::Interrupted),
            ],
            Self::Write => &[
                Kind(ErrorKind::ConnectionReset),
                Kind(ErrorKind::BrokenPipe),
                Kind(ErrorKind::TimedOut),
                Kind(ErrorKind::Interrupted),
            ],
            Self::ShutdownWrite | Self::LocalAddr => &[Kind(ErrorKind::NotConnected)],
            Self::SetNodelay | Self::SetKeepalive => &[Kind(ErrorKind::InvalidInput)],
            Self::BindDatagram => &[Kind(ErrorKind::AddrInUse), OutOfTokens, NoBuffers],
            Self::ConnectDatagram => &[Kind(ErrorKind::NetworkUnreachable)],
            Self::ReceiveFrom => {
                &[Kind(ErrorKind::ConnectionRefused), Kind(ErrorKind::Interrupted)]
            }
            Self::SendTo => &[
                Kind(ErrorKind::ConnectionRefused),
                Kind(ErrorKind::NetworkUnreachable),
                Kind(ErrorKind::Interrupted),
                NoBuffers,
            ],
            Self::StreamPair | Self::SubscribeSignals => &[OutOfTokens],
            Self::Detach | Self::Adopt => &[Kind(ErrorKind::OutOfMemory)],
            Self::Submit => &[Exhausted],
            Self::ProcessExit => &[Kind(ErrorKind::NotFound)],
            Self::SignalProcess => &[Kind(ErrorKind::PermissionDenied)],
        }
    }
}

/// The calls of the programs of one machine.
#[derive(Debug)]
pub(crate) struct Calls {
    host: HostId,
    made: Vec<Call>,
    /// Which fails, by its number, and how.
    fails: Option<(usize, Error)>,
}

impl Calls {
    pub(crate) fn of(host: HostId, fails: Option<(usize, Error)>) -> Self {
        Self { host, made: Vec::new(), fails }
    }

    /// In the order in which they were made.
    pub(crate) fn made(&self) -> &[Call] {
        &self.made
    }
}

impl Room {
    /// A program makes a call. It fails if it is the one that is to.
    pub(crate) fn call(&mut self, shard: ShardId, call: Call) -> io::Result<()> {
        let host = self.host_of(shard);
        let Some(calls) = self.calls.as_mut().filter(|calls| calls.host == host) else {
            return Ok(());
        };
        let number = calls.made.len();
        let _bookkeeping = Entered::nobody();
        calls.made.push(call);
        match calls.fails {
            Some((index, error)) if index == number => {
                self.coverage.add_fault(Fault::CallFailed);
                Err(error.to_io())
            }
            _ => Ok(()),
        }
    }
}
