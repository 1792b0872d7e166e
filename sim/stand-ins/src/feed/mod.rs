//! `Feed`: a stand-in for a WebSocket server that tells what happens: numbered messages by the clock, whatever a scenario says, and
//! an echo where one is wanted. Frames are those of the crate `tungstenite`, sent by hand, so that they can be wrong.

mod handshake;
mod session;

use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use http::StatusCode;
use mainspring_sim::Host;

use crate::call::Call;
use crate::mailbox::Mailbox;
use crate::rules::Act;
use crate::stand_in::{Protocol, StandIn};

/// How a feed misbehaves in words of WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedBehaviour {
    /// Refuses the handshake with this status.
    Refuse(StatusCode),
    /// Accepts the handshake with a key that is not the client's.
    WrongKey,
    /// Does not answer pings.
    NoPong,
    /// Does not answer a close frame, and keeps the connection.
    NoClose,
    /// A close frame in place of a message, and the end.
    CloseFrame {
        /// 1001 is going away, 1011 an error, 1013 try again later.
        code: u16,
        /// In words.
        reason: String,
    },
    /// Half of a frame, then nothing.
    HalfFrame,
    /// Half of a message, in a frame that is not the last, then nothing.
    HalfMessage,
    /// Messages in frames of so many bytes: that is allowed.
    Fragments {
        /// Of a frame; 0 counts as 1.
        bytes: usize,
    },
    /// Leaves a message out.
    Gap,
    /// Sends a message twice.
    Twice,
    /// Sends a message after the one that follows it.
    Overtaken,
    /// So many more copies of a message, at once.
    Flood {
        /// How many.
        copies: usize,
    },
    /// So many pings before a message.
    Pings {
        /// How many.
        count: usize,
    },
    /// A message of so many bytes in place of the right one.
    Long {
        /// How many.
        bytes: usize,
    },
    /// A masked frame, which a server must not send (RFC 6455 §5.1).
    Masked,
    /// A frame with a bit that means nothing (RFC 6455 §5.2).
    ReservedBit,
    /// A text that is no UTF-8 (RFC 6455 §8.1).
    NotText,
}

impl From<FeedBehaviour> for Act<FeedBehaviour> {
    fn from(behaviour: FeedBehaviour) -> Self {
        Self::Own(behaviour)
    }
}

/// What a client of a feed has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedQuestion {
    /// The handshake, for this target.
    Upgrade(String),
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// A ping.
    Ping,
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

/// The messages by the clock.
struct Ticking {
    every: Duration,
    message: Box<dyn Fn(u64) -> String>,
}

/// A WebSocket feed.
///
/// ```
/// # use core::time::Duration;
/// # use mainspring_sim::{World, WorldConfig};
/// use mainspring_stand_ins::{Feed, FeedBehaviour};
/// # let world = World::new(1, WorldConfig::calm());
/// let prices = Feed::new()
///     .every(Duration::from_millis(100), |number| format!("price {number}"))
///     .serve(&world.host("prices"), 80);
/// prices.behave(FeedBehaviour::Gap).one_in(20);
/// # prices.stop();
/// # world.run().unwrap();
/// ```
#[derive(Default)]
pub struct Feed {
    ticking: Option<Ticking>,
    echoes: bool,
    mailboxes: RefCell<BTreeMap<u64, Rc<Mailbox<String>>>>,
}

impl Feed {
    /// One that says nothing by itself.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends message number n to all who are connected when n times `every` have passed on the machine's clock. Who comes
    /// later, or comes back, has missed those before.
    ///
    /// # Panics
    /// Where no time is between two of them.
    #[must_use]
    pub fn every(mut self, every: Duration, message: impl Fn(u64) -> String + 'static) -> Self {
        assert!(!every.is_zero(), "Feed::every: there is time between two messages");
        self.ticking = Some(Ticking { every, message: Box::new(message) });
        self
    }

    /// Sends back what clients send.
    #[must_use]
    pub fn echo(mut self) -> Self {
        self.echoes = true;
        self
    }

    /// Sends a text to all who are connected, as soon as it is their turn. A client for which 65,536 texts wait is too slow for one
    /// more: they are dropped, and its connection ends, as soon as what is being sent to it has gone out.
    pub fn tell(&self, text: &str) {
        for mailbox in self.mailboxes.borrow().values() {
            mailbox.put(text.to_owned());
        }
    }

    /// Serves on a simulated host. See [`StandIn::serve`].
    ///
    /// # Panics
    /// As [`StandIn::serve`].
    #[must_use = "a stand-in ends with its last handle"]
    #[track_caller]
    pub fn serve(self, host: &Host, port: u16) -> StandIn<Self> {
        StandIn::serve(self, host, port)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed({} clients)", self.mailboxes.borrow().len())
    }
}

impl Protocol for Feed {
    type Behaviour = FeedBehaviour;
    type Question = FeedQuestion;

    async fn converse(mut call: Call<Self>) -> io::Result<()> {
        if handshake::accept(&mut call).await? { session::run(call).await } else { Ok(()) }
    }
}
