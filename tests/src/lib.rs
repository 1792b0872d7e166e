//! Stub.
pub mod fuzz;
