//! `broadcast`: each message to each receiver, through a ring of bounded length.
//!
//! Sending never waits. Where the ring is full, a new message takes the place of the oldest, and the receivers that had not
//! seen that one are told how many they missed. A message is dropped once all receivers that were there when it was sent
//! have it, or are gone.
//!
//! ```
//! # use mainspring_executor::{Shard, os::OsDriver, sync::broadcast};
//! # use mainspring_executor::sync::broadcast::RecvError;
//! # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! # shard.run(async {
//! let (sender, mut early) = broadcast::channel(2);
//! for number in 1..=2 {
//!     assert!(sender.send(number).is_ok());
//! }
//! let mut late = sender.subscribe();
//! assert_eq!(sender.send(3), Ok(2), "two receivers");
//! assert_eq!(early.recv().await, Err(RecvError::Lagged(1)));
//! assert_eq!(early.recv().await, Ok(2));
//! assert_eq!(late.recv().await, Ok(3));
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

pub use super::SendError;
use super::bell::{Bell, BellWait};
use super::ends::Ends;
use super::ring::{Next, Ring};
use crate::waits::Resource;

/// A channel that keeps up to `capacity` messages. Memory is taken as it fills.
///
/// # Panics
/// When `capacity` is 0: no message would ever be seen.
#[must_use]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one message");
    let channel = Rc::new(Channel {
        ring: RefCell::new(Ring::new(capacity)),
        senders: Ends::default(),
        receivers: Ends::default(),
        arrivals: Bell::default(),
        resource: Resource::default(),
    });
    (Sender::new(&channel), Receiver::new(&channel))
}

/// What all ends share.
struct Channel<T> {
    ring: RefCell<Ring<T>>,
    senders: Ends,
    receivers: Ends,
    /// Who waits for a message; rung at the senders' end, too.
    arrivals: Bell,
    resource: Resource,
}

impl<T: Clone> Channel<T> {
    /// The message that is next at `position`, and counts it as received.
    fn try_recv(&self, position: &mut u64) -> Result<T, TryRecvError> {
        let next = self.ring.borrow_mut().next(position);
        match next {
            Next::Last(message) => Ok(message),
            // Cloned with nothing borrowed: it is the user's code.
            Next::Shared(message) => Ok(message.get()),
            Next::Missed(count) => Err(TryRecvError::Lagged(count)),
            Next::Nothing if self.senders.are_gone() => Err(TryRecvError::Closed),
            Next::Nothing => Err(TryRecvError::Empty),
        }
    }
}

/// Sends messages to all receivers. Clones send into the same channel. Made by [`channel`].
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T: Clone> Sender<T> {
    /// Sends `message` to all receivers that there are now, and wakes those who wait, in the order in which they came.
    /// Says how many receivers there are. It never waits.
    ///
    /// # Errors
    /// When there is none, with the message.
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        let receivers = self.receiver_count();
        if receivers == 0 {
            return Err(SendError(message));
        }
        let displaced = self.channel.ring.borrow_mut().push(message, receivers);
        self.channel.arrivals.ring();
        // Last, and with nothing borrowed: the oldest message may know this channel.
        drop(displaced);
        Ok(receivers)
    }

    /// One more receiver. It gets what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.channel)
    }
}

impl<T> Sender<T> {
    fn new(channel: &Rc<Channel<T>>) -> Self {
        channel.senders.add();
        Self { channel: Rc::clone(channel) }
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.channel.receivers.count()
    }

    /// How many messages are kept: sent, and not yet received by all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channel.ring.borrow().len()
    }

    /// Whether no message is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(&self.channel)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.channel.senders.remove() {
            self.channel.arrivals.ring();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (receivers, waiting) = (self.receiver_count(), self.channel.arrivals.waiting());
        write!(f, "Sender({} kept, {receivers} receivers, {waiting} waiting)", self.len())
    }
}

/// Receives each message that was sent since it was made. Made by [`channel`] and [`Sender::subscribe`].
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// The number of the next message.
    position: u64,
}

impl<T: Clone> Receiver<T> {
    /// The next message. Cancel-safe: it counts as received by the poll that gives it.
    ///
    /// # Errors
    /// `Lagged` once after messages were missed; the next call gives the oldest that is kept. `Closed` when there is none
    /// and the last sender is gone.
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        let channel = &*self.channel;
        let wait = channel.arrivals.wait("a message", &channel.resource);
        Recv { channel, position: &mut self.position, wait }
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// `Empty` when there is none yet; else as [`Receiver::recv`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.channel.try_recv(&mut self.position)
    }
}

impl<T> Receiver<T> {
    /// One that gets what is sent from now on.
    fn new(channel: &Rc<Channel<T>>) -> Self {
        channel.receivers.add();
        let position = channel.ring.borrow().end();
        Self { channel: Rc::clone(channel), position }
    }

    /// How many messages wait to be received, those included that were missed meanwhile.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.channel.ring.borrow().end() - self.position
    }

    /// Whether no message waits to be received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more receiver. It gets what is sent from now on.
    #[must_use]
    pub fn resubscribe(&self) -> Self {
        Self::new(&self.channel)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.receivers.remove();
        self.channel.ring.borrow_mut().unsubscribe(self.position);
        // One at a time, with nothing borrowed: they may know this channel.
        while let Some(unwanted) = { self.channel.ring.borrow_mut().pop_unwanted() } {
            drop(unwanted);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} to come)", self.len())
    }
}

/// See [`Receiver::recv`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Recv<'a, T> {
    channel: &'a Channel<T>,
    /// The receiver's.
    position: &'a mut u64,
    wait: BellWait<'a>,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { channel, position, wait } = &mut *self;
        wait.poll_until(cx, || match channel.try_recv(position) {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Lagged(count)) => Some(Err(RecvError::Lagged(count))),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        })
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recv({:?})", self.wait)
    }
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// So many messages were missed; those after them are still to come.
    Lagged(u64),
    /// There is none and none will come.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(count) => write!(f, "{count} messages were missed"),
            Self::Closed => f.write_str("nobody sends any more"),
        }
    }
}

impl core::error::Error for RecvError {}

/// Why no message was received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is none for now.
    Empty,
    /// So many messages were missed; those after them are still to come.
    Lagged(u64),
    /// There is none and none will come.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message for now"),
            Self::Lagged(count) => write!(f, "{count} messages were missed"),
            Self::Closed => f.write_str("nobody sends any more"),
        }
    }
}

impl core::error::Error for TryRecvError {}
