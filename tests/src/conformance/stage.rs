//! `Stage`: what a case gets besides its shard.

use std::path::PathBuf;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
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
    pub(super) elsewhere: Rc<dyn Fn(Errand)>,
    pub(super) has_children: Rc<dyn Fn() -> bool>,
}

/// Makes a task where it is to run.
pub(super) type Errand = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// Threads of each machine for closures that compute.
pub(super) const COMPUTE_THREADS: usize = 2;

/// Jobs that may wait on each machine for a thread of one kind.
pub(super) const JOBS_WAITING_MAX: usize = 256;

/// A name of 127.0.0.1 that every machine has to look up: so short a way to write an address is the resolver's affair.
pub(super) const KNOWN_NAME: &str = "127.1";

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

    /// Runs a task in another shard of this machine: a new one each time. The case has to wait for it.
    pub(super) fn elsewhere(&self, errand: Errand) {
        (self.elsewhere)(errand);
    }

    /// Whether this program has a child that runs, or one that has ended and was not waited for.
    pub(super) fn has_children(&self) -> bool {
        (self.has_children)()
    }

    /// Sends a signal to this very program, as its user or service manager would.
    pub(super) fn raise(&self, signal: Signal) {
        (self.raise)(signal);
    }
}
