//! The receiving end: [`Receiver`] and what it waits with.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

use futures::Stream;

use super::{Channel, TryRecvError, filling};
use crate::sync::wait_list::Reason;
use crate::waits::Ticket;

/// Receives the messages of a channel. Made by [`channel`](super::channel). Also a [`Stream`] of them.
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// While it waits.
    ticket: Option<Ticket>,
}

impl<T> Receiver<T> {
    pub(super) fn new(channel: Rc<Channel<T>>) -> Self {
        Self { channel, ticket: None }
    }

    /// The next message; `None` when there is none and none will come. Cancel-safe: a message is received by the poll
    /// that gives it, so none is lost.
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self, origin: Location::caller() }
    }

    /// As [`Receiver::recv`], for those who write futures by hand. The last to poll is woken. Cancel-safe.
    #[track_caller]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll(cx, Location::caller())
    }

    fn poll(&mut self, cx: &Context<'_>, origin: &'static Location<'static>) -> Poll<Option<T>> {
        let Self { channel, ticket } = self;
        let reason =
            Reason { what: "a message", resource: &channel.resource, origin, is_bound: false };
        channel.reader.poll_until(ticket, cx, reason, || match channel.try_recv() {
            Ok(message) => Some(Some(message)),
            Err(TryRecvError::Disconnected) => Some(None),
            Err(TryRecvError::Empty) => None,
        })
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.channel.try_recv()
    }

    /// Wants no more: nothing can be sent from now on, and who waits to send gets its value back. What is in the channel
    /// can still be received, and what [permits](super::Permit) that are out send.
    pub fn close(&mut self) {
        self.channel.room.close();
        self.channel.endings.ring();
    }

    /// Whether nothing can be sent any more: it was closed, or the last sender is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.room.is_closed() || self.channel.senders.are_gone()
    }

    filling!();

    /// Waits no more.
    fn stop(&mut self) {
        if self.channel.reader.is_waiting() {
            self.channel.reader.clear();
        }
        self.ticket = None;
    }
}

/// Cancel-safe, as [`Receiver::recv`]. In the records its waits have the place where the channel was made.
impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let origin = self.channel.origin;
        self.poll(cx, origin)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.is_gone.set(true);
        self.close();
        self.ticket = None;
        self.channel.reader.clear();
        // One at a time, with nothing borrowed: they may know this channel.
        while let Ok(message) = self.try_recv() {
            drop(message);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = if self.is_closed() { ", closed" } else { "" };
        write!(f, "Receiver({} of {}{closed})", self.len(), self.capacity())
    }
}

/// See [`Receiver::recv`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    origin: &'static Location<'static>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let origin = self.origin;
        self.receiver.poll(cx, origin)
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        self.receiver.stop();
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recv(at {})", self.origin)
    }
}
