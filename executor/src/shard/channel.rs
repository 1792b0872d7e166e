//! A channel between shards: bounded, first in first out, with any number of senders and one receiver.
//!
//! The queue is that of the `futures` crate, which knows nothing but wakers. Within one shard take
//! a channel of its own, which pays for no locks.

use core::fmt;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::Stream;
use futures::channel::mpsc;

use crate::budget;
use crate::waits::{Resource, Ticket};

/// The sending end, for any thread. Clones send to the same receiver.
pub struct Sender<T>(mpsc::Sender<T>);

/// The receiving end. May be sent to the thread on which it is used.
pub struct Receiver<T>(mpsc::Receiver<T>);

/// A message that was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError<T> {
    /// As many messages wait as may.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// A channel in which `capacity` messages may wait, and one more for each sender.
#[must_use]
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Sender(sender), Receiver(receiver))
}

impl<T> Sender<T> {
    /// Sends a message if there is room.
    ///
    /// # Errors
    /// The message, where there is no room or no receiver.
    pub fn try_send(&mut self, message: T) -> Result<(), SendError<T>> {
        self.0.try_send(message).map_err(|error| match error.is_full() {
            true => SendError::Full(error.into_inner()),
            false => SendError::Closed(error.into_inner()),
        })
    }

    /// Waits for room, and sends. Cancel-safe: dropped half way, nothing was sent.
    ///
    /// # Errors
    /// The message, where the receiver is gone.
    ///
    /// # Panics
    /// When polled again after it was ready.
    #[track_caller]
    pub fn send(&mut self, message: T) -> impl Future<Output = Result<(), SendError<T>>> {
        let (resource, origin) = (Resource::default(), Location::caller());
        let (mut message, mut wait) = (Some(message), None);
        core::future::poll_fn(move |cx| {
            ready!(budget::poll_left(cx));
            let room = self.0.poll_ready(cx);
            if room.is_pending() && wait.is_none() {
                wait = Ticket::wait("room for a message to another shard", &resource, origin);
            }
            // An error says that the receiver is gone, and so will `try_send`.
            let _ = ready!(room);
            wait = None;
            budget::spend();
            Poll::Ready(self.try_send(message.take().expect("polled again after it was ready")))
        })
    }

    /// Whether the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Receiver<T> {
    /// Waits for the next message; `None` when all senders are gone and nothing is left. Cancel-safe.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> {
        let (resource, origin) = (Resource::default(), Location::caller());
        let mut wait = None;
        core::future::poll_fn(move |cx: &mut Context<'_>| {
            ready!(budget::poll_left(cx));
            let next = Pin::new(&mut self.0).poll_next(cx);
            if next.is_pending() {
                if wait.is_none() {
                    wait = Ticket::wait("a message from another shard", &resource, origin);
                }
                return Poll::Pending;
            }
            wait = None;
            budget::spend();
            next
        })
    }

    /// Takes no more messages: senders get [`SendError::Closed`]; what was sent can still be received.
    pub fn close(&mut self) {
        self.0.close();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender to another shard")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver from other shards")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Closed(_) => "the receiver is gone",
        })
    }
}

impl<T: fmt::Debug> core::error::Error for SendError<T> {}
