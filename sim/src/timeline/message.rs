//! `Message`: what is under way from one lane to another.

use std::sync::Arc;

use mainspring_executor::driver::Instant;

/// A packet: a flight of bytes, a datagram, an acknowledgement, a reset, a step of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The lane that it leaves.
    pub from: usize,
    /// The lane that it goes to; `None`: nobody is there.
    pub to: Option<usize>,
    /// The event that sent it.
    pub sent: usize,
    /// The event as which it arrived.
    pub arrived: Option<usize>,
    /// When it is to arrive; of what got lost, when it was sent.
    pub due: Instant,
    /// What became of it.
    pub fate: Fate,
    /// What it is, in words: `SYN`, `120 bytes`.
    pub text: Arc<str>,
    /// It carries no bytes of a program.
    pub is_control: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It arrives.
    Arrives,
    /// It arrives, later than others sent behind it.
    Late,
    /// It arrives once more.
    Again,
    /// It gets lost.
    Lost,
    /// It breaks the connection.
    Reset,
    /// It was under way when the run ended.
    UnderWay,
}

impl Fate {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrives => "arrives",
            Self::Late => "is late",
            Self::Again => "arrives once more",
            Self::Lost => "is lost",
            Self::Reset => "breaks the connection",
            Self::UnderWay => "is under way at the end",
        }
    }
}
