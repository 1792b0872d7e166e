//! `Seen`: what a stand-in has seen, one entry for each thing, for assertions.

use mainspring_executor::Instant;

/// Something that happened to a stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<Q> {
    /// When.
    pub at: Instant,
    /// On which connection: 1 is the first that was accepted.
    pub connection: u64,
    /// What.
    pub what: What<Q>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What<Q> {
    /// A connection was accepted.
    Connected,
    /// A question was read whole, whether it was answered or not.
    Asked(Q),
    /// A connection ended, whoever ended it: its client, a rule, the end of the stand-in, or a crash of its machine.
    Ended,
}
