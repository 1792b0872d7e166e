//! `Balance`: evens out the connections among the servers of a program, of which each shard has one; and the seats of each,
//! which are what is counted.
//!
//! Which shard accepts a connection is the machine's choice, made without regard to what the shards have to do: by a hash
//! of its addresses where they share a port, by chance elsewhere. A server with clearly more connections than another, or
//! without a free seat, hands over those that it accepts, before any task depends on them. Those that it serves it keeps.
//!
//! Invariant: a connection takes its seat at the moment at which it is decided where it goes, so that a crowd of new ones is
//! not sent to the one server that had the fewest before, and whoever is sent somewhere has a seat there.
//!
//! Invariant: of the seats of a server no more are taken than there are.

use core::fmt;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use mainspring_executor::channel::{Receiver, SendError, Sender, channel};
use mainspring_executor::net::DetachedStream;

/// Connections that may wait for a server to take them in, and one more for each listener elsewhere; further ones stay with
/// whoever accepted them.
const INTAKE_MAX: usize = 64;

/// By how many connections a server has to be ahead at least before it hands one over. Below that, what the hand-over costs
/// (the poller is told twice, and a shard is woken) is more than it gains.
const LEAD_MIN: usize = 8;

/// And by which part of its own connections, for the same reason.
const LEAD_DIVISOR: usize = 8;

/// The part of one server in the balance. Made before the shards start; each of them takes one.
pub struct Balance {
    seating: Seating,
    intake: Receiver<Handed>,
}

/// The seats of all servers, as one of them sees them. Each of its listeners has a clone.
#[derive(Clone)]
pub(crate) struct Seating {
    houses: Arc<[House]>,
    own: usize,
    servers: Vec<Sender<Handed>>,
}

/// The seats for connections in one server.
#[derive(Default)]
struct House {
    taken: AtomicUsize,
    /// None, until it serves.
    max: AtomicUsize,
}

/// A seat of a server, taken until this is dropped.
pub(crate) struct Seat {
    houses: Arc<[House]>,
    server: usize,
}

/// A connection on its way to its seat in another server.
pub(crate) struct Handed {
    pub(crate) stream: DetachedStream,
    pub(crate) seat: Seat,
}

impl Balance {
    /// The parts of `count` servers.
    #[must_use]
    pub fn among(count: NonZeroUsize) -> Vec<Self> {
        let houses: Arc<[House]> = (0..count.get()).map(|_| House::default()).collect();
        let (servers, intakes): (Vec<_>, Vec<_>) =
            (0..count.get()).map(|_| channel(INTAKE_MAX)).unzip();
        let part = |(own, intake)| {
            let (houses, servers) = (Arc::clone(&houses), servers.clone());
            Self { seating: Seating { houses, own, servers }, intake }
        };
        intakes.into_iter().enumerate().map(part).collect()
    }

    /// The part of a server that is alone.
    pub(crate) fn alone() -> Self {
        let parts = Self::among(NonZeroUsize::MIN);
        parts.into_iter().next().expect("one")
    }

    /// The two ends, for a server that begins now and has so many seats.
    pub(crate) fn open(self, seats_max: usize) -> (Seating, Receiver<Handed>) {
        self.seating.houses[self.seating.own].max.store(seats_max, Ordering::Relaxed);
        (self.seating, self.intake)
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Balance({} of {})", self.seating.own, self.seating.houses.len())
    }
}

impl Seating {
    /// Whether there are no other servers.
    pub(crate) fn is_alone(&self) -> bool {
        self.houses.len() == 1
    }

    /// Whether there is a free seat anywhere.
    pub(crate) fn has_room(&self) -> bool {
        self.houses[self.own].has_room() || self.others().any(|other| self.houses[other].has_room())
    }

    /// Takes a seat for a connection that was just accepted: in the server with the fewest connections where this one is
    /// clearly ahead of it; else here; and where this one is full, anywhere. `None` where all are full.
    pub(crate) fn take(&self) -> Option<Seat> {
        let own = self.houses[self.own].taken();
        let lead = LEAD_MIN.max(own / LEAD_DIVISOR);
        let fewest = self.others().min_by_key(|other| self.houses[*other].taken());
        let better = fewest.filter(|other| self.houses[*other].taken() + lead <= own);
        better.and_then(|other| self.take_in(other)).or_else(|| self.take_own()).or_else(|| {
            let mut others: Vec<usize> = self.others().collect();
            others.sort_by_key(|other| self.houses[*other].taken());
            others.into_iter().find_map(|other| self.take_in(other))
        })
    }

    /// Takes a seat here, if there is one.
    pub(crate) fn take_own(&self) -> Option<Seat> {
        self.take_in(self.own)
    }

    /// Whether a seat is one of this server.
    pub(crate) fn is_own(&self, seat: &Seat) -> bool {
        seat.server == self.own
    }

    /// Sends a connection to the server in which it has a seat.
    ///
    /// # Errors
    /// The connection, without its seat, where that server takes in no more at the moment, or has ended.
    pub(crate) fn hand_over(
        &mut self,
        stream: DetachedStream,
        seat: Seat,
    ) -> Result<(), DetachedStream> {
        let server = seat.server;
        let sent = self.servers[server].try_send(Handed { stream, seat });
        sent.map_err(|error| match error {
            SendError::Full(handed) | SendError::Closed(handed) => handed.stream,
        })
    }

    /// The other servers that have not ended, in their order.
    fn others(&self) -> impl Iterator<Item = usize> + '_ {
        let others = (0..self.houses.len()).filter(|server| *server != self.own);
        others.filter(|server| !self.servers[*server].is_closed())
    }

    fn take_in(&self, server: usize) -> Option<Seat> {
        let House { taken, max } = &self.houses[server];
        let max = max.load(Ordering::Relaxed);
        let more = |taken| (taken < max).then_some(taken + 1);
        // Others may take a seat at the same moment: of the last one, only one of them gets it.
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Seat { houses: Arc::clone(&self.houses), server })
    }
}

impl House {
    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        self.taken() < self.max.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.houses[self.server].taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Balance> {
        Balance::among(NonZeroUsize::new(3).expect("three"))
    }

    /// Three servers, each of which has so many of its seats taken; where the next connection at the first one goes.
    #[track_caller]
    fn check(seats: [(usize, usize); 3], expected: Option<usize>) {
        let parts = parts();
        let seating = &parts[0].seating;
        for (house, (taken, max)) in seating.houses.iter().zip(seats) {
            house.taken.store(taken, Ordering::Relaxed);
            house.max.store(max, Ordering::Relaxed);
        }
        assert_eq!(seating.has_room(), expected.is_some(), "{seats:?}");
        let seat = seating.take();
        assert_eq!(seat.as_ref().map(|seat| seat.server), expected, "{seats:?}");
        let taken = |server: usize| seating.houses[server].taken();
        for (server, (before, _)) in seats.into_iter().enumerate() {
            assert_eq!(taken(server), before + usize::from(expected == Some(server)));
        }
        drop(seat);
        assert_eq!([taken(0), taken(1), taken(2)], seats.map(|(taken, _)| taken));
    }

    #[test]
    fn only_who_is_clearly_ahead_or_full_hands_over() {
        let of = |max| move |taken: usize| (taken, max);
        check([0, 0, 0].map(of(9)), Some(0));
        check([7, 0, 0].map(of(9)), Some(0));
        check([8, 0, 0].map(of(9)), Some(1));
        check([8, 1, 0].map(of(9)), Some(2));
        check([9, 9, 8].map(of(9)), Some(2));
        check([9, 8, 8].map(of(9)), Some(1));
        check([9, 9, 9].map(of(9)), None);
        check([20, 13, 12].map(of(1000)), Some(2));
        check([20, 13, 13].map(of(1000)), Some(0));
        check([800, 701, 700].map(of(1000)), Some(2));
        check([800, 701, 701].map(of(1000)), Some(0));
        // One that does not serve yet has no seats.
        check([(8, 9), (0, 0), (0, 0)], Some(0));
        check([(9, 9), (0, 0), (3, 3)], None);
        check([(9, 9), (2, 2), (3, 9)], Some(2));
        check([(8, 9), (0, 0), (7, 9)], Some(0));
    }

    #[test]
    fn who_is_gone_is_given_nothing() {
        let mut parts = parts();
        let last = parts.pop().expect("three").open(100);
        let gone = parts.pop().expect("two").open(100);
        let (seating, _intake) = parts.remove(0).open(50);
        let server = |seat: &Seat| seat.server;
        let mut seats: Vec<Seat> = (0..8).filter_map(|_| seating.take_own()).collect();
        let one = seating.take();
        assert_eq!(one.as_ref().map(server), Some(1));
        drop((one, gone));
        assert_eq!(seating.take().as_ref().map(server), Some(2));
        drop(last);
        assert_eq!(seating.take().as_ref().map(server), Some(0));
        seats.extend((8..50).filter_map(|_| seating.take()));
        assert_eq!(seats.len(), 50);
        assert!(seating.take().is_none() && !seating.has_room());
        drop(seats);
        assert_eq!(seating.houses[0].taken(), 0);
    }

    /// However many take seats at one time, no more are taken than there are, and none is lost.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the shards of a test")]
    fn threads_do_not_share_a_seat() {
        let opened: Vec<_> = parts().into_iter().map(|part| part.open(10)).collect();
        let seatings: Vec<&Seating> = opened.iter().map(|(seating, _)| seating).collect();
        std::thread::scope(|threads| {
            for seating in &seatings {
                threads.spawn(|| {
                    for _ in 0..20_000 {
                        let seats: Vec<Seat> = (0..15).filter_map(|_| seating.take()).collect();
                        assert!(seating.houses.iter().all(|house| house.taken() <= 10));
                        drop(seats);
                    }
                });
            }
        });
        assert!(seatings[0].houses.iter().all(|house| house.taken() == 0));
    }
}
