//! The atomics of the parts that threads share: a file of its own, so that a model checker can compile those parts
//! against its own atomics without a branch in them.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
