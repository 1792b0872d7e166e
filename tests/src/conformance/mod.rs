//! Conformance: the same programs on the operating system and in the simulator. What a simulated run shows is worth as
//! much as what is shown here.
//!
//! A [`Case`] is an `async fn` that runs inside a shard, uses what every program uses, and asserts what it sees. The
//! table of them is in `cases`; `machine` runs one on each [`Machine`], behind a `witness` that checks the driver
//! contract from both sides, once as it is and once with edges that come late, out of order and for nothing. `score`
//! is the table in `docs/SIMULATION.md`.
//!
//! Nothing here waits for a moment to pass: what a case needs to have happened, it waits for. Times-out appear only
//! where the point is that something does *not* happen; there a slow machine makes a check weaker, never red.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though the compiler does not know: an unwrap asserts"
)]

mod cases;
mod child;
mod connecting;
mod datagrams;
mod ending;
mod files;
mod handover;
mod machine;
mod names;
mod offload;
mod pair;
mod processes;
mod programs;
mod score;
mod signals;
mod stage;
mod streaming;
mod timing;
mod tokens;
mod unix;
mod witness;
mod writing;

use core::fmt;

use futures::future::LocalBoxFuture;
use mainspring_executor::driver::Signal;

pub use cases::CASES;
pub use child::run_as_child;
pub use machine::{Machine, run, simulate_all};
pub use score::{Score, section};
use stage::Stage;

/// A program that must see the same on every machine.
#[derive(Clone, Copy)]
pub struct Case {
    /// By which it is called.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// Machines on which it sees something else, or cannot run, and why.
    pub exceptions: &'static [Exception],
    /// The signal that kills it; else it ends by itself.
    death: Option<Signal>,
    /// It takes so many events that a sweep runs one of these a seed.
    is_long: bool,
    body: fn(Stage) -> LocalBoxFuture<'static, ()>,
}

impl Case {
    const fn new(
        name: &'static str,
        about: &'static str,
        body: fn(Stage) -> LocalBoxFuture<'static, ()>,
    ) -> Self {
        Self { name, about, exceptions: &[], death: None, is_long: false, body }
    }

    const fn except(self, exceptions: &'static [Exception]) -> Self {
        Self { exceptions, ..self }
    }

    const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }

    /// It holds when this signal kills its program. On the operating system that is a process of its own.
    const fn dies_of(self, signal: Signal) -> Self {
        Self { death: Some(signal), ..self }
    }

    /// What is expected of it on `machine`.
    #[must_use]
    pub fn expectation(&self, machine: Machine) -> Expectation {
        let exception =
            self.exceptions.iter().find(|exception| exception.machines.contains(&machine));
        exception.map_or(Expectation::Holds, |exception| exception.expectation)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.name)
    }
}

/// Machines that a case has to treat apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Which.
    pub machines: &'static [Machine],
    /// In what way.
    pub expectation: Expectation,
    /// Why it is so, and why it stays so.
    pub reason: &'static str,
}

/// What is expected of a case on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// It sees what every program sees there.
    Holds,
    /// It sees something else, which it checks instead.
    Differs,
    /// It cannot run there.
    Absent,
}
