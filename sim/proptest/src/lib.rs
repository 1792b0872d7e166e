//! What must hold whatever the plan: who asks what when, what goes wrong, what the room is like. `proptest` draws the plan and makes
//! it small; the choices of the room are made small by [`minimise`](mainspring_sim::minimise) afterwards.
//!
//! A [`Property`] is a strategy for plans, and a body that runs one in a room. One seed decides both. The strategies that
//! most of them need are here, and all of them shrink towards a calm day: [`config()`], [`faults()`], [`workload()`], [`topology()`].
//!
//! ```
//! use core::time::Duration;
//!
//! use mainspring_executor::time::{sleep, timeout};
//! use mainspring_sim::harness::{Run, Setup, conclude};
//! use mainspring_sim_proptest::{FaultKind, FaultPlan, Property, Workload, faults, number, together, workload};
//!
//! const WITHIN: Duration = Duration::from_secs(60);
//!
//! /// Whoever sleeps is back within a second of its time, once the machine has gone on.
//! fn naps((naps, faults): &(Workload<u64>, FaultPlan), setup: &Setup) -> Result<Run, String> {
//!     let world = setup.world(Default::default());
//!     let sleeper = world.host("sleeper");
//!     for client in naps.clients.clone() {
//!         sleeper.run(async move {
//!             sleep(client.start).await;
//!             for step in client.steps {
//!                 sleep(step.pause).await;
//!                 let nap = sleep(Duration::from_millis(step.request));
//!                 timeout(WITHIN + Duration::from_secs(1), nap).await.expect("back in time");
//!             }
//!         });
//!     }
//!     faults.apply(&world, |_| unreachable!("none of them is a crash"));
//!     conclude(&world, naps.request_count())
//! }
//!
//! let pauses = faults(&[FaultKind::Pause], &["sleeper"], WITHIN);
//! let plans = together((workload(number(0..=999), 3, 5, WITHIN), pauses));
//! Property::new("naps", plans, naps).assert_holds(0..50);
//! ```

#![forbid(unsafe_code)]

mod checked;
mod config;
mod failure;
mod fault;
mod faults;
mod items;
mod number;
mod property;
mod quiet;
mod search;
mod sooner;
mod together;
mod topology;
mod workload;

pub use checked::Checked;
pub use config::config;
pub use failure::{PropertyFailure, RunSize, Shrunk};
pub use fault::{Fault, FaultKind};
pub use faults::{FaultPlan, faults};
pub use items::{Items, ItemsTree, items};
pub use number::{Number, NumberTree, number};
pub use property::Property;
pub use sooner::sooner;
pub use together::{Together, TogetherTree, together};
pub use topology::{Topology, topology};
pub use workload::{Client, Step, Workload, workload};
