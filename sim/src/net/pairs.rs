//! `Pairs`: the address pairs of a machine's TCP connections, and for how long one is not used again.
//!
//! ```text
//!  connect ── a port that no pair with this peer has ──► in use ──┬─ reset, or the peer closed first ──► free
//!                                                                 └─ we closed first ──► TIME_WAIT ── 60 s ──► free
//! ```
//! As in Linux, connections to different peers may have the same port, so that what is exhausted is a pair of addresses; but a
//! port that a program is bound to is nobody else's. Who closed first waits (RFC 9293 §3.6.1), for late segments of the old
//! connection are not to be taken for those of a new one; an answer to a SYN may end that early (§3.6.1 as well, RFC 6191).
//!
//! Invariant: nothing here is an event. Who has waited long enough is forgotten when somebody next asks, so what is kept is never
//! more than what ended in the minute before the last end.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mainspring_executor::driver::Instant;

use crate::ports::{Ports, Runs};

/// How long an address pair is not used again (`TCP_TIMEWAIT_LEN` of Linux).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// The same on the way back to oneself, where Linux lets who connects have it sooner (`tcp_tw_reuse` is 2).
const LOOPBACK_TIME_WAIT: Duration = Duration::from_secs(1);

/// The address of a connection on this machine, and that of its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// A pair in `TIME_WAIT`.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    until: Instant,
    /// It came from `connect`, and keeps its port from others.
    has_port: bool,
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Pairs {
    /// Those that programs are bound to.
    ports: Ports,
    /// The ports that pairs from one address to one peer have, where `connect` chose them.
    routes: BTreeMap<(IpAddr, SocketAddr), Runs>,
    /// How many pairs have each of them, and all of them together.
    users: BTreeMap<u16, u32>,
    used: Runs,
    waiting: BTreeMap<Pair, Waiting>,
    /// The same, by when they are over.
    ends: BTreeSet<(Instant, Pair)>,
}

impl Pairs {
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        Self {
            ports: Ports::new(range),
            routes: BTreeMap::new(),
            users: BTreeMap::new(),
            used: Runs::default(),
            waiting: BTreeMap::new(),
            ends: BTreeSet::new(),
        }
    }

    /// A port for a connection from `source` to `peer`. `None`: there is none left.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        source: IpAddr,
        peer: SocketAddr,
    ) -> Option<u16> {
        self.forget(now);
        let none = Runs::default();
        let taken = self.routes.get(&(source, peer)).unwrap_or(&none);
        let port = self.ports.pass_next(taken)?;
        self.routes.entry((source, peer)).or_default().insert(port);
        *self.users.entry(port).or_default() += 1;
        self.used.insert(port);
        Some(port)
    }

    /// A connection of [`Pairs::connect`] has ended, and its pair is free.
    pub(super) fn disconnect(&mut self, pair: Pair) {
        let (route, port) = ((pair.local.ip(), pair.peer), pair.local.port());
        let taken = self.routes.get_mut(&route).expect("a route has the ports that it was given");
        taken.remove(port);
        if taken.is_empty() {
            self.routes.remove(&route);
        }
        let users = self.users.get_mut(&port).expect("a port that is used has users");
        *users -= 1;
        if *users == 0 {
            self.users.remove(&port);
            self.used.remove(port);
        }
    }

    /// A connection has ended whose end here closed first. `has_port`: it is one of [`Pairs::connect`].
    pub(super) fn wait(&mut self, now: Instant, pair: Pair, has_port: bool) {
        self.forget(now);
        let is_loopback = pair.local.ip().is_loopback();
        let until = now + if is_loopback { LOOPBACK_TIME_WAIT } else { TIME_WAIT };
        let before = self.waiting.insert(pair, Waiting { until, has_port });
        assert!(before.is_none(), "{pair:?} was given out while it was in TIME_WAIT");
        self.ends.insert((until, pair));
    }

    /// A SYN was answered: a pair that waited for old segments does so no longer. False: it did not.
    pub(super) fn take_over(&mut self, now: Instant, pair: Pair) -> bool {
        self.forget(now);
        let Some(waiting) = self.waiting.remove(&pair) else { return false };
        self.ends.remove(&(waiting.until, pair));
        if waiting.has_port {
            self.disconnect(pair);
        }
        true
    }

    /// How many pairs are in `TIME_WAIT`.
    pub(crate) fn waiting_count(&mut self, now: Instant) -> usize {
        self.forget(now);
        self.waiting.len()
    }

    /// Takes a port for a listener that has no wish.
    pub(super) fn bind_any(&mut self, now: Instant) -> Option<u16> {
        self.forget(now);
        self.ports.take(&self.used)
    }

    /// Takes a port that a listener names. False: it is taken. Who connected from it does not share it (`SO_REUSEADDR` is of
    /// listeners, and what they accept).
    pub(super) fn bind(&mut self, now: Instant, port: u16) -> bool {
        self.forget(now);
        self.ports.take_named(port, &self.used)
    }

    /// The last listener has left a port.
    pub(super) fn unbind(&mut self, port: u16) {
        self.ports.give_back(port);
    }

    /// The machine crashes, and knows nothing any more.
    pub(super) fn lose(&mut self) {
        self.ports.give_all_back();
        self.routes.clear();
        self.users.clear();
        self.used = Runs::default();
        self.waiting.clear();
        self.ends.clear();
    }

    /// Forgets the pairs that have waited long enough.
    fn forget(&mut self, now: Instant) {
        while let Some((until, pair)) = self.ends.first().copied()
            && until <= now
        {
            self.ends.pop_first();
            let waiting = self.waiting.remove(&pair).expect("who has an end waits for it");
            if waiting.has_port {
                self.disconnect(pair);
            }
        }
    }
}
