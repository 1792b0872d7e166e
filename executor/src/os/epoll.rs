//! epoll, edge-triggered: one registration for the life of a descriptor, one system call a wait.
//!
//! The `polling` crate would take five calls a wait, and never asks for EPOLLRDHUP, without which a FIN that comes
//! together with data makes no edge of its own.

use core::cell::RefCell;
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

use super::poller::UNPARK_KEY;
use crate::driver::{Readiness, Ready, Token, Unpark};

/// Edges taken in one call. More wait in the kernel for the next.
const EVENTS_MAX: usize = 1024;

pub(super) struct Epoll {
    epoll: OwnedFd,
    unparker: Arc<Eventfd>,
    events: RefCell<Vec<epoll::Event>>,
}

/// Wakes the poller by a write. It is never read: each write is a new edge, and its counter takes 2⁶⁴ of them.
struct Eventfd(OwnedFd);

impl Unpark for Eventfd {
    fn unpark(&self) {
        // The only failure is a full counter, and then there is an edge already.
        let written = rustix::io::write(&self.0, &1u64.to_ne_bytes());
        debug_assert!(written.is_ok(), "an eventfd takes a write: {written:?}");
    }
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let key = EventData::new_u64(UNPARK_KEY);
        epoll::add(&epoll, &wake, key, EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            epoll,
            unparker: Arc::new(Eventfd(wake)),
            events: RefCell::new(Vec::with_capacity(EVENTS_MAX)),
        })
    }

    pub(super) fn add(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.to_bits()), interest)?)
    }

    pub(super) fn forget(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    pub(super) fn wait(
        &self,
        events: &mut Vec<Readiness>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut reported = self.events.borrow_mut();
        reported.clear();
        match epoll::wait(self.epoll.as_fd(), spare_capacity(&mut reported), timeout.as_ref()) {
            Ok(_) => {}
            // A signal handler ran. What it has to say comes as an edge of its own.
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in reported.iter() {
            let key = event.data.u64();
            if key != UNPARK_KEY {
                events.push(Readiness { token: Token::from_bits(key), ready: ready(event.flags) });
            }
        }
        Ok(())
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::<Eventfd>::clone(&self.unparker)
    }
}

/// What the kernel's flags say in our words.
fn ready(flags: EventFlags) -> Ready {
    let mut ready = Ready::NONE;
    if flags.contains(EventFlags::IN) {
        ready |= Ready::READABLE;
    }
    if flags.contains(EventFlags::OUT) {
        ready |= Ready::WRITABLE;
    }
    if flags.contains(EventFlags::RDHUP) {
        ready |= Ready::READABLE | Ready::READ_CLOSED;
    }
    // HUP alone means that both directions are shut, in good order; ERR that the connection broke.
    if flags.contains(EventFlags::HUP) {
        ready |= Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED;
    }
    if flags.contains(EventFlags::ERR) {
        ready |= Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED | Ready::BROKEN;
    }
    ready
}
