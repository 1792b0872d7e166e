//! Signals for tasks.

use core::fmt;
use core::future::poll_fn;
use core::panic::Location;
use std::io;

use crate::current;
use crate::driver::Ready;
pub use crate::driver::Signal;
use crate::net::Socket;
use crate::reactor::{Interest, Kind};

/// A subscription to signals. While there is one for a kind of signal, that kind does not kill the process; when the
/// last one ends, it does so again.
pub struct Signals {
    socket: Socket,
}

impl Signals {
    /// Subscribes to what asks a program to end, [`Signal::Interrupt`] and [`Signal::Terminate`].
    ///
    /// # Errors
    /// As [`Signals::subscribe_to`].
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn subscribe() -> io::Result<Self> {
        Self::subscribe_to(&[Signal::Interrupt, Signal::Terminate])
    }

    /// Subscribes to some kinds of signals. Every subscriber gets every signal of its kinds from now on. Those of one
    /// kind that come before it asks are one.
    ///
    /// # Errors
    /// Where the machine cannot watch signals.
    ///
    /// # Panics
    /// Outside of a shard; without any signal.
    #[track_caller]
    pub fn subscribe_to(signals: &[Signal]) -> io::Result<Self> {
        assert!(!signals.is_empty(), "a subscription is to something");
        let core = current::core();
        let token = core.driver.subscribe_signals(signals)?;
        let socket = Socket::new(core, token, Kind::Signals, Ready::NONE, Location::caller());
        Ok(Self { socket })
    }

    /// Waits for the next signal. Cancel-safe.
    ///
    /// # Errors
    /// Where the machine fails to watch.
    pub async fn next(&mut self) -> io::Result<Signal> {
        poll_fn(|cx| {
            self.socket.poll_io(Interest::Read, cx, |driver, token| driver.next_signal(token))
        })
        .await
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signals({:?})", self.socket.token())
    }
}
