//! `Topology`: how many servers there are, and how far they are from everybody.

use core::fmt::Debug;
use core::ops::RangeInclusive;
use core::time::Duration;

use mainspring_sim::{Host, World};
use proptest::strategy::Strategy;

use crate::items::items;
use crate::number::number;

/// Servers, each at the end of a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Of each server, how long a packet is on its line, beside the latency of the room.
    pub distances: Vec<Duration>,
}

impl Topology {
    /// Makes the servers: hosts `server-0`, `server-1`, … A packet between two of them takes both of their lines.
    ///
    /// # Panics
    /// When the world has hosts of these names.
    #[must_use]
    pub fn build(&self, world: &World) -> Vec<Host> {
        let names = (0..self.distances.len()).map(|number| format!("server-{number}"));
        let servers: Vec<_> = names.map(|name| world.host(&name)).collect();
        for (number, server) in servers.iter().enumerate() {
            for (earlier, distance) in servers[..number].iter().zip(&self.distances) {
                lengthen(world, server, earlier, *distance + self.distances[number]);
            }
        }
        servers
    }

    /// Connects another host with the servers that [`Topology::build`] has made: packets take the server's line.
    pub fn connect(&self, world: &World, host: &Host, servers: &[Host]) {
        for (server, distance) in servers.iter().zip(&self.distances) {
            lengthen(world, host, server, *distance);
        }
    }
}

/// Both directions of a link.
fn lengthen(world: &World, one: &Host, other: &Host, by: Duration) {
    if by.is_zero() {
        return;
    }
    for (from, to) in [(one, other), (other, one)] {
        let latency = world.latency(from, to);
        world.set_latency(from, to, *latency.start() + by..=*latency.end() + by);
    }
}

/// So many servers, each up to so far away. Shrinks to fewer and nearer ones.
///
/// # Panics
/// When there would be none.
pub fn topology(
    servers: RangeInclusive<usize>,
    distance_max: Duration,
) -> impl Strategy<Value = Topology> {
    assert!(*servers.start() > 0, "a topology has servers");
    let max = u64::try_from(distance_max.as_millis()).expect("a distance below 584 million years");
    let distance = number(0..=max).prop_map(Duration::from_millis);
    items(distance, servers).prop_map(|distances| Topology { distances })
}
