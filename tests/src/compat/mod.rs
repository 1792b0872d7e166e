//! What programs of other people need around them: a way to serve, and a stand-in for the PostgreSQL server, for
//! programs in the simulated room. The programs themselves are in `tests/tests/compat/`.

mod accept;
pub mod postgres;

pub use accept::accept_each;
