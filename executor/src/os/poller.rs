//! `Poller`: edges of descriptors, by epoll where there is one, else by the `polling` crate.

use core::time::Duration;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::epoll::Epoll;
use super::portable::Portable;
use crate::driver::{Readiness, Token, Unpark};

/// The key by which a poller reports its own wake-up; no token has it, for it would take 2³² generations of 2³² places.
pub(super) const UNPARK_KEY: u64 = u64::MAX;

/// One of the ways to wait for descriptors.
pub(super) enum Poller {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Epoll(Epoll),
    Portable(Portable),
}

impl Poller {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn best() -> io::Result<Self> {
        Epoll::new().map(Self::Epoll)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn best() -> io::Result<Self> {
        Self::portable()
    }

    pub(super) fn portable() -> io::Result<Self> {
        Portable::new().map(Self::Portable)
    }

    /// Reports the edges of `fd` as `token` from now on; those that hold already are reported, too.
    pub(super) fn add(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(epoll) => epoll.add(fd, token),
            Self::Portable(portable) => portable.add(fd, token),
        }
    }

    /// Reports `fd` no longer. Called right before it is closed.
    pub(super) fn remove(&self, fd: BorrowedFd<'_>) {
        match self {
            // The kernel forgets a descriptor when it is closed; saying so first would be one system call more.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(_) => {}
            Self::Portable(portable) => portable.remove(fd),
        }
    }

    /// Reports `fd` no longer, though it stays open.
    pub(super) fn forget(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(epoll) => epoll.forget(fd),
            Self::Portable(portable) => portable.forget(fd),
        }
    }

    /// Appends edges, waiting up to `timeout` for the first.
    pub(super) fn wait(
        &self,
        events: &mut Vec<Readiness>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(epoll) => epoll.wait(events, timeout),
            Self::Portable(portable) => portable.wait(events, timeout),
        }
    }

    /// Whether a FIN makes an edge even if it came together with data. Only then may a short read count as the end of
    /// what is there: else a FIN behind it would never be found.
    pub(super) fn announces_fin(&self) -> bool {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(_) => true,
            Self::Portable(_) => false,
        }
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(epoll) => epoll.unparker(),
            Self::Portable(portable) => portable.unparker(),
        }
    }
}
