//! Stub.
pub mod http1;
pub mod limits;
