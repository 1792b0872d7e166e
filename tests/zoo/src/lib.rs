//! Small services, each with one bug that such services have, and its twin without.
//!
//! They show what the simulator finds, by which search, in how many seeds, and how small it makes a failure: `docs/ZOO.md` has
//! the table, and `zoo-table` prints it. A file is a specimen; the two twins share all of it but the lines that [`Twin`]
//! decides.

#![forbid(unsafe_code)]

mod disk;
mod net;
mod process;
mod reports;
mod specimen;
mod sync;
mod table;
mod time;
mod visitor;

pub use reports::reports;
pub use specimen::{Specimen, Twin};
pub use table::{Row, Silence, header, observe, summary, watch};

/// All specimens.
#[must_use]
pub fn all() -> Vec<&'static Specimen> {
    [sync::ALL, time::ALL, net::ALL, disk::ALL, process::ALL].concat()
}

/// The specimen of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Specimen> {
    all().into_iter().find(|specimen| specimen.bug.name == name)
}
