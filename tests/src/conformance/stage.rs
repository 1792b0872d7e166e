//! `Stage`: what a case gets besides its shard.

use std::path::PathBuf;
use std::rc::Rc;

use mainspring_executor::driver::Signal;

use super::witness::Witness;
use super::{Case, Expectation, Machine};

/// Where a case runs, and what it may ask of the outside.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) case: Case,
    pub(super) machine: Machine,
    pub(super) witness: Rc<Witness>,
    /// A folder with [`FILES`].
    pub(super) files: PathBuf,
    pub(super) raise: Rc<dyn Fn(Signal)>,
}

/// The files that a case finds, by path.
pub(super) const FILES: [(&str, &[u8]); 4] = [
    ("hello.txt", b"hello, files"),
    ("empty.txt", b""),
    ("folder/inner.txt", b"inner"),
    ("folder/large.bin", &LARGE),
];

/// The content of `folder/large.bin`.
pub(super) static LARGE: [u8; 200_000] = {
    let mut bytes = [0; 200_000];
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = super::pair::pattern(index);
        index += 1;
    }
    bytes
};

impl Stage {
    /// Whether this machine is one on which the case sees something else.
    pub(super) fn differs(&self) -> bool {
        self.case.expectation(self.machine) == Expectation::Differs
    }

    /// Sends a signal to this very program, as its user or service manager would.
    pub(super) fn raise(&self, signal: Signal) {
        (self.raise)(signal);
    }
}
