//! The parts of the executor that threads share, compiled against a model checker: the very files of the executor, whose
//! atomics come from a module that is another here. Each model runs in every order of steps that the memory model of
//! the language allows, up to a bound on preemptions.
//!
//! The models are in `tests/`.

#![expect(dead_code, reason = "each model uses a part of what it includes")]
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "the models are for the tests of this very package"
)]

/// What the executor takes from `core` and `std`.
mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

/// What the included files know of the driver.
pub mod driver {
    /// As in the executor.
    pub trait Unpark: Send + Sync {
        fn unpark(&self);
    }
}

#[path = "../../src/task/biased.rs"]
mod biased;
#[path = "../../src/task/inject.rs"]
mod inject;
#[path = "../../src/task/shared.rs"]
mod shared;

pub mod models;
