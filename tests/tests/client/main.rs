//! The client over the wire: each case is one program, with its servers inside, that runs on the operating system by both pollers,
//! and in the simulator, calm and rough.

#![expect(clippy::unwrap_used, reason = "an unwrap asserts, outside of test functions as well")]

mod bodies;
mod bounds;
mod cancelling;
mod keeping;
mod peer;
mod stage;
mod switching;
