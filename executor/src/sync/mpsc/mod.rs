//! `mpsc`: a bounded queue of messages, from many senders to one receiver.
//!
//! Each message is received once, in the order in which they were sent; those of one sender keep their order. The bound
//! is the capacity: beyond it senders wait in line, and each message that is received lets the first of them send. A slot
//! that somebody [reserved](Sender::reserve) counts as taken.
//!
//! ```text
//!   open ── last sender dropped, or Receiver::close ──► closed: the receiver gets what is there, and what permits that
//!    │                                                    │     are out still send; then None
//!    └──────────────── receiver dropped ──────────────────┴──► gone: what is there is dropped
//! ```
//!
//! ```
//! # use mainspring_executor::{Shard, os::OsDriver, spawn, sync::mpsc};
//! # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! # shard.run(async {
//! let (sender, mut receiver) = mpsc::channel(2);
//! spawn(async move {
//!     for number in 1..=5 {
//!         // From the third on it waits for the receiver.
//!         if sender.send(number).await.is_err() {
//!             return;
//!         }
//!     }
//! });
//! assert_eq!(receiver.recv().await, Some(1));
//! assert_eq!(receiver.recv().await, Some(2));
//! drop(receiver);
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod receiver;
mod sender;

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use std::collections::VecDeque;
use std::rc::Rc;

pub use super::SendError;
use super::bell::Bell;
use super::ends::Ends;
use super::permits::Permits;
use super::waker_slot::WakerSlot;
use crate::waits::Resource;

pub use receiver::{Receiver, Recv};
pub use sender::{
    OwnedPermit, OwnedReserve, Permit, PermitOf, Reserve, ReserveOf, Sender, Sending, WhenClosed,
};

/// A channel for up to `capacity` messages at a time. Memory is taken as it fills.
///
/// # Panics
/// When `capacity` is 0: no message would ever get through.
#[must_use]
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one message");
    let channel = Rc::new(Channel {
        capacity,
        room: Permits::new(capacity),
        messages: RefCell::default(),
        reader: WakerSlot::default(),
        is_gone: Cell::new(false),
        endings: Bell::default(),
        senders: Ends::default(),
        resource: Resource::default(),
        origin: Location::caller(),
    });
    (Sender::new(Rc::clone(&channel)), Receiver::new(channel))
}

/// What both ends share.
struct Channel<T> {
    capacity: usize,
    /// A permit for each message that may still be sent. Closed: the receiver wants no more.
    room: Permits,
    messages: RefCell<VecDeque<T>>,
    /// The receiver, while it waits.
    reader: WakerSlot,
    /// The receiver was dropped.
    is_gone: Cell<bool>,
    /// Who waits for the receiver's end.
    endings: Bell,
    senders: Ends,
    resource: Resource,
    /// Where it was made.
    origin: &'static Location<'static>,
}

impl<T> Channel<T> {
    /// Sends with a permit that was taken from `room`; the message stands for it until it is received.
    fn push(&self, message: T) -> Result<(), SendError<T>> {
        if self.is_gone.get() {
            self.room.put(1);
            return Err(SendError(message));
        }
        self.messages.borrow_mut().push_back(message);
        self.reader.wake();
        Ok(())
    }

    /// Gives back a permit without a message.
    fn put_back(&self) {
        self.room.put(1);
        if self.room.is_closed() {
            // It may have been the last that the receiver waits for.
            self.reader.wake();
        }
    }

    /// The next message, which makes room for another.
    fn try_recv(&self) -> Result<T, TryRecvError> {
        let message = self.messages.borrow_mut().pop_front();
        match message {
            Some(message) => {
                self.room.put(1);
                Ok(message)
            }
            None if self.is_over() => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Whether no message can come any more, with the queue empty.
    fn is_over(&self) -> bool {
        // Permits that are out keep a sender alive.
        self.senders.are_gone() || (self.room.is_closed() && self.room.free() == self.capacity)
    }
}

/// The methods of either end that tell how full the channel is.
macro_rules! filling {
    () => {
        /// How many messages are in the channel.
        #[must_use]
        pub fn len(&self) -> usize {
            self.channel.messages.borrow().len()
        }

        /// Whether no message is in the channel.
        #[must_use]
        pub fn is_empty(&self) -> bool {
            self.len() == 0
        }

        /// How many messages it has room for, as given to [`channel`](super::channel); free or not.
        #[must_use]
        pub fn capacity(&self) -> usize {
            self.channel.capacity
        }
    };
}

use filling;

/// Why nothing was sent, and the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The channel is full, or others wait to send.
    Full(T),
    /// The receiver is gone, or wants no more.
    Closed(T),
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Closed(_) => "nobody receives any more",
        })
    }
}

impl<T> core::error::Error for TrySendError<T> {}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no message for now.
    Empty,
    /// There is none and none will come.
    Disconnected,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no message for now",
            Self::Disconnected => "nobody sends any more",
        })
    }
}

impl core::error::Error for TryRecvError {}
