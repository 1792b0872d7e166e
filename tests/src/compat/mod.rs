//! What programs of other people need around them: a way to serve. The programs themselves are in `tests/tests/compat/`, the
//! servers that they talk to in `sim/stand-ins`.

mod accept;

pub use accept::accept_each;
