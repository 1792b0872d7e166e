//! `Visitor`: a client of a service, who comes several times, at drawn instants.

use core::time::Duration;

use mainspring_executor::time::sleep;
use mainspring_sim::{Host, World};

/// A client. What is drawn for it is drawn by a host of its own, so that a client or a visit less shifts nobody else's draws.
#[derive(Debug)]
pub(crate) struct Visitor {
    host: Host,
    visits_left: u64,
    pause_millis: u64,
}

/// At least one client, and at most so many, with at most so many visits each, each after a pause of whole milliseconds below
/// `pause_millis`: some come at one instant. The simplest is one with one visit at once.
pub(crate) fn visitors(
    world: &World,
    count_max: u64,
    visits_max: u64,
    pause_millis: u64,
) -> Vec<Visitor> {
    let visitor = |number| {
        let host = world.host(&format!("client-{number}"));
        let visits_left = 1 + host.choose_named("further visits", visits_max);
        Visitor { host, visits_left, pause_millis }
    };
    (0..1 + world.choose_named("further clients", count_max)).map(visitor).collect()
}

/// How many visits they will make.
pub(crate) fn visit_count(visitors: &[Visitor]) -> u64 {
    visitors.iter().map(|visitor| visitor.visits_left).sum()
}

impl Visitor {
    /// Waits for the next visit; false where there is none.
    pub(crate) async fn comes(&mut self) -> bool {
        if self.visits_left == 0 {
            return false;
        }
        self.visits_left -= 1;
        let pause = self.host.choose_named("milliseconds before a visit", self.pause_millis);
        sleep(Duration::from_millis(pause)).await;
        true
    }

    /// A number below `bound`, drawn, which is called so in the story of a failure; 0 is the simplest.
    pub(crate) fn choose_named(&self, name: &'static str, bound: u64) -> u64 {
        self.host.choose_named(name, bound)
    }

    /// A number below `bound`, drawn; 0 is the simplest.
    pub(crate) fn choose(&self, bound: u64) -> u64 {
        self.host.choose(bound)
    }

    /// Whether something that happens once in so many times happens now.
    pub(crate) fn once_in(&self, times: u64) -> bool {
        self.choose(times) == times - 1
    }

    /// [`Visitor::once_in`], which is called so.
    pub(crate) fn once_in_named(&self, name: &'static str, times: u64) -> bool {
        self.choose_named(name, times) == times - 1
    }

    /// A time below so many milliseconds, drawn; 0 is the simplest.
    pub(crate) fn millis(&self, below: u64) -> Duration {
        Duration::from_millis(self.choose(below))
    }
}
