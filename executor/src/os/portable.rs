//! The `polling` crate, in its edge mode, for systems without epoll.
#![expect(
    unsafe_code,
    reason = "polling wants to be told that a descriptor leaves before it is closed"
)]

use core::cell::RefCell;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use polling::{Event, Events, PollMode};

use crate::driver::{Readiness, Ready, Token, Unpark};

/// Edges taken in one call. More wait in the kernel for the next.
const EVENTS_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

pub(super) struct Portable {
    poller: Arc<Notifier>,
    events: RefCell<Events>,
}

struct Notifier(polling::Poller);

impl Unpark for Notifier {
    fn unpark(&self) {
        // It can fail only where the poller itself is broken, and then `wait` fails, too.
        let notified = self.0.notify();
        debug_assert!(notified.is_ok(), "a poller can be notified: {notified:?}");
    }
}

impl Portable {
    pub(super) fn new() -> io::Result<Self> {
        let poller = polling::Poller::new()?;
        if !poller.supports_edge() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this poller knows no edges"));
        }
        Ok(Self {
            poller: Arc::new(Notifier(poller)),
            events: RefCell::new(Events::with_capacity(EVENTS_MAX)),
        })
    }

    pub(super) fn add(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let key = usize::try_from(token.to_bits())
            .map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "needs pointers of 64 bits"))?;
        // SAFETY: `OsDriver` calls `remove` before it closes the descriptor and `forget` before it lets go of it, and drops
        // the poller after all.
        unsafe { self.poller.0.add_with_mode(fd.as_raw_fd(), Event::all(key), PollMode::Edge) }
    }

    pub(super) fn remove(&self, fd: BorrowedFd<'_>) {
        let removed = self.poller.0.delete(fd);
        debug_assert!(removed.is_ok(), "a descriptor was added before it is removed: {removed:?}");
    }

    pub(super) fn forget(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.0.delete(fd)
    }

    pub(super) fn wait(
        &self,
        events: &mut Vec<Readiness>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut reported = self.events.borrow_mut();
        reported.clear();
        self.poller.0.wait(&mut reported, timeout)?;
        for event in reported.iter() {
            let token = Token::from_bits(event.key as u64);
            events.push(Readiness { token, ready: ready(&event) });
        }
        Ok(())
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::<Notifier>::clone(&self.poller)
    }
}

fn ready(event: &Event) -> Ready {
    let mut ready = Ready::NONE;
    if event.readable {
        ready |= Ready::READABLE;
    }
    if event.writable {
        ready |= Ready::WRITABLE;
    }
    if event.is_interrupt() {
        ready |= Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED;
    }
    if event.is_err() == Some(true) {
        ready |= Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED | Ready::BROKEN;
    }
    ready
}
