//! `Socket`: one token and its source, closed when dropped. What listeners, streams and files have in common.

use core::panic::Location;
use core::task::{Context, Poll, ready};
use std::io;
use std::rc::Rc;

use crate::driver::{Detached, Driver, Ready, Token};
use crate::reactor::{Interest, Kind, Source};
use crate::shard::Core;

/// An open token. Dropping it closes it.
pub(crate) struct Socket {
    pub(crate) core: Rc<Core>,
    source: Rc<Source>,
    /// The driver took the token back by itself; there is nothing to close.
    is_spent: bool,
}

impl Socket {
    /// Takes charge of a token that the driver just gave out.
    pub(crate) fn new(
        core: Rc<Core>,
        token: Token,
        kind: Kind,
        ready: Ready,
        origin: &'static Location<'static>,
    ) -> Self {
        let source = core.add_source(token, kind, ready, origin);
        Self { core, source, is_spent: false }
    }

    pub(crate) fn token(&self) -> Token {
        self.source.token
    }

    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.core.driver
    }

    /// Calls `operation` when `interest` is ready, and again after each edge until it says something other than
    /// `WouldBlock`. Spends from the budget of the poll.
    pub(crate) fn poll_io<T>(
        &self,
        interest: Interest,
        cx: &Context<'_>,
        mut operation: impl FnMut(&dyn Driver, Token) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.poll_ready(interest, cx));
            ready!(self.core.budget.poll_left(cx));
            match operation(self.driver(), self.token()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.would_block(interest);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    self.core.budget.spend();
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Calls `operation` now, whether an edge has been reported or not; `None`: it would block. Spends nothing.
    pub(crate) fn try_io<T>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&dyn Driver, Token) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        loop {
            match operation(self.driver(), self.token()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.would_block(interest);
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(Some),
            }
        }
    }

    /// The driver said that the same call would now block.
    pub(crate) fn exhaust(&self, interest: Interest) {
        self.source.exhaust(interest);
    }

    pub(crate) fn poll_ready(&self, interest: Interest, cx: &Context<'_>) -> Poll<()> {
        self.source.poll_ready(interest, cx, self.core.asker())
    }

    pub(crate) fn is_ready(&self, interest: Interest) -> bool {
        self.source.is_ready(interest)
    }

    /// Resets the connection instead of closing it.
    pub(crate) fn abort(mut self) {
        self.spend();
        self.driver().abort(self.token());
    }

    /// Takes the socket out of its shard.
    pub(crate) fn detach(mut self) -> io::Result<Detached> {
        self.spend();
        self.driver().detach(self.token())
    }

    /// Takes a socket into a shard; it is tried before its first edge.
    pub(crate) fn attach(
        core: Rc<Core>,
        socket: Detached,
        kind: Kind,
        origin: &'static Location<'static>,
    ) -> io::Result<Self> {
        let token = core.driver.adopt(socket)?;
        Ok(Self::new(core, token, kind, Ready::READABLE | Ready::WRITABLE, origin))
    }

    /// Notes that the driver took the token back.
    pub(crate) fn spend(&mut self) {
        assert!(!self.is_spent, "a token is given back once");
        self.is_spent = true;
        self.core.remove_source(self.token());
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.is_spent {
            self.spend();
            self.driver().close(self.token());
        }
    }
}
