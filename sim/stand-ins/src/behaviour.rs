//! `Behaviour`: what a server of any protocol may do to those who depend on it. It knows connections and bytes, no messages.

use core::time::Duration;

/// How a server misbehaves, whatever it speaks. An answer is what one question gets: a response, the results of a query, a
/// reply, a message of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Does not listen: connecting is refused at once. Who is connected stays so. Of the whole server.
    Refuse,
    /// Serves so many connections at one time. Of the whole server.
    Limit {
        /// How many.
        connections: usize,
        /// What becomes of the others.
        beyond: Beyond,
    },
    /// Accepts, reads, and never says anything: a connection that begins now, to its end.
    Silence,
    /// Accepts, and reads nothing: what is sent to it piles up until the client's machine takes no more. A connection that begins
    /// now, to its end.
    Deaf,
    /// Thinks for so long before it answers. Whoever waits learns nothing meanwhile.
    Pause(Duration),
    /// Thinks before it answers, for a time that is drawn, up to this one.
    PauseUpTo(Duration),
    /// Answers in pieces of so many bytes, with so much time between two of them.
    Drip {
        /// Of a piece; at least 1.
        bytes: usize,
        /// From one piece to the next.
        every: Duration,
    },
    /// Stops after so many bytes of an answer, or before its last if it is shorter. Nothing more comes, and the connection stays
    /// open.
    Stall {
        /// How many bytes come.
        after: usize,
    },
    /// Stops after so many bytes of an answer for a while, and goes on as if nothing had been.
    Hiccup {
        /// How many bytes come before.
        after: usize,
        /// How long it lasts.
        lasting: Duration,
    },
    /// Closes after so many bytes of an answer, or before its last: FIN.
    Close {
        /// How many bytes come.
        after: usize,
    },
    /// Resets after so many bytes of an answer, or before its last: RST. Bytes that were on their way may be lost with it.
    Reset {
        /// How many bytes are sent.
        after: usize,
    },
    /// Says nothing for so long, and then resets: what a firewall does that has forgotten the connection.
    ResetLate(Duration),
    /// Breaks off somewhere in an answer, by a stall, a close or a reset: where and how is drawn.
    Break,
    /// Answers so many questions of a connection, and closes when the next one comes, without acting on it: a kept connection
    /// that was dead already, as far as its user can tell.
    Leave {
        /// How many questions are answered.
        answers: u64,
    },
}

/// What becomes of connections beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// They wait, connected but not accepted, until there is room: up to the backlog of the listener.
    Wait,
    /// They are accepted and reset at once.
    Reset,
    /// They are told by the protocol, and closed: a 503, FATAL 53300, `-ERR max number of clients reached`.
    Tell,
}

impl Behaviour {
    /// Whether it is of the server as a whole, not of a connection or an answer.
    pub(crate) fn is_of_server(&self) -> bool {
        matches!(self, Self::Refuse | Self::Limit { .. })
    }

    /// Whether it is decided on when a connection begins.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Silence | Self::Deaf)
    }

    /// Whether it is decided on when a question has come.
    pub(crate) fn is_of_question(&self) -> bool {
        matches!(self, Self::Leave { .. })
    }

    /// Whether it is decided on when there is an answer.
    pub(crate) fn is_of_answer(&self) -> bool {
        !self.is_of_server() && !self.is_of_connection() && !self.is_of_question()
    }

    /// Says where a value makes no sense.
    ///
    /// # Panics
    /// There.
    pub(crate) fn check(&self) {
        if let Self::Drip { bytes, .. } = self {
            assert!(*bytes > 0, "Behaviour::Drip: bytes is 0, and a piece has at least 1");
        }
    }
}
