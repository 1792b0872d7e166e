//! What is done with a program in the room: run it with many seeds, each twice; replay one; make a failure small; run all
//! of its orders.
//!
//! A [`Scenario`] is a function that sets up a [`World`](crate::World), runs it, and tells whether what it saw was right. A
//! binary whose `main` is [`main`] has the command line for some of them: `list`, `run`, `sweep`, `replay`, `minimise`, `explain`, `cancel`,
//! `view`, `explore`.
//!
//! ```
//! use core::time::Duration;
//! use mainspring_executor::time::{sleep, timeout};
//! use mainspring_sim::WorldConfig;
//! use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
//!
//! const NAPS: Scenario = Scenario::new("naps", "who sleeps for a second is back within two", run);
//!
//! fn run(setup: &Setup) -> Result<Run, String> {
//!     let world = setup.world(WorldConfig::rough());
//!     world.host("sleeper").run(async {
//!         timeout(Duration::from_secs(2), sleep(Duration::from_secs(1))).await.expect("back in time");
//!     });
//!     conclude(&world, 1)
//! }
//!
//! let sweep = NAPS.sweep(0..100);
//! assert!(sweep.failures.is_empty(), "{}", sweep.failures[0]);
//! ```

mod cancelled;
mod captures;
mod check;
mod cli;
mod coverage;
mod explained;
mod explore;
mod failure;
mod journal;
mod kinds;
mod progress;
mod regressions;
mod scenario;
mod story;
mod sweep;
mod sweeping;
mod test;
mod variables;
mod view;
mod viewing;

pub use cancelled::{CancelFailure, Cancelled};
pub use check::{Check, InTheEnd, check};
pub use cli::main;
pub use coverage::{Count, SiteCount, SweepCoverage};
pub use explained::{Explained, Point, Rate};
pub use explore::Explored;
pub use failure::ScenarioFailure;
pub use kinds::{Kind, Kinds};
pub use scenario::{Run, Scenario, Setup, conclude};
pub use story::Story;
pub use sweep::Sweep;
pub use view::View;
