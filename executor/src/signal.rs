//! SIGINT and SIGTERM for tasks.

use core::future::poll_fn;
use core::panic::Location;
use std::io;

use crate::current;
use crate::driver::Ready;
pub use crate::driver::Signal;
use crate::net::Socket;
use crate::reactor::{Interest, Kind};

/// A subscription to the signals that ask a program to end. While one exists, they do not kill the process.
pub struct Signals {
    socket: Socket,
}

impl Signals {
    /// Subscribes; every subscriber gets every signal from now on.
    ///
    /// # Errors
    /// Where the machine cannot watch signals.
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn subscribe() -> io::Result<Self> {
        let core = current::core();
        let token = core.driver.subscribe_signals()?;
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
