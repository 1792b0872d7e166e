//! The sending end: [`Sender`], the permits that it reserves, and what it waits with.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::rc::Rc;

use super::{Channel, SendError, TrySendError, filling};
use crate::sync::bell::BellWait;
use crate::sync::permits::{Parts, Request, Source};
use crate::sync::{Closed, TryAcquireError};

const WHAT: &str = "room in a channel";

/// Sends messages into a channel. Clones send into the same one. Made by [`channel`](super::channel).
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

/// Room for one message in a channel whose sender is borrowed.
pub type Permit<'a, T> = PermitOf<&'a Sender<T>>;
/// Room for one message, with the sender.
pub type OwnedPermit<T> = PermitOf<Sender<T>>;
/// See [`Sender::reserve`].
pub type Reserve<'a, T> = ReserveOf<&'a Sender<T>>;
/// See [`Sender::reserve_owned`].
pub type OwnedReserve<T> = ReserveOf<Sender<T>>;

impl<T> Sender<T> {
    pub(super) fn new(channel: Rc<Channel<T>>) -> Self {
        channel.senders.add();
        Self { channel }
    }

    /// Sends `message`, when there is room for it. Cancel-safe in this sense: the message is sent or it is dropped with
    /// the future, and a slot that it was given goes to the next in line. To keep the message, [`Sender::reserve`] first.
    ///
    /// # Errors
    /// When the receiver is gone or wants no more, before or meanwhile; with the message.
    #[track_caller]
    pub fn send(&self, message: T) -> Sending<'_, T> {
        let request = Request::new(self, 1, WHAT, Location::caller());
        Sending { request, message: Some(message) }
    }

    /// Sends `message` if there is room and nobody waits for it.
    ///
    /// # Errors
    /// When not, with the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.channel.room.try_take(1) {
            Ok(()) => self.channel.push(message).map_err(|SendError(it)| TrySendError::Closed(it)),
            Err(TryAcquireError::NoPermits) => Err(TrySendError::Full(message)),
            Err(TryAcquireError::Closed) => Err(TrySendError::Closed(message)),
        }
    }

    /// Room for one message, which then is sent without waiting. Cancel-safe: dropping it loses its place in line; a slot
    /// that it was given goes to the next.
    ///
    /// # Errors
    /// When the receiver is gone or wants no more, before or meanwhile.
    #[track_caller]
    pub fn reserve(&self) -> Reserve<'_, T> {
        ReserveOf::new(self, Location::caller())
    }

    /// As [`Sender::reserve`], with a permit that holds this sender. Cancel-safe; the sender is dropped with the future.
    ///
    /// # Errors
    /// As [`Sender::reserve`].
    #[track_caller]
    pub fn reserve_owned(self) -> OwnedReserve<T> {
        ReserveOf::new(self, Location::caller())
    }

    /// Room for one message if there is some and nobody waits for it.
    ///
    /// # Errors
    /// When not.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        match self.channel.room.try_take(1) {
            Ok(()) => Ok(PermitOf::new(self)),
            Err(TryAcquireError::NoPermits) => Err(TrySendError::Full(())),
            Err(TryAcquireError::Closed) => Err(TrySendError::Closed(())),
        }
    }

    /// Waits until the receiver is gone or wants no more. Cancel-safe.
    #[track_caller]
    pub fn closed(&self) -> WhenClosed<'_, T> {
        let channel = &*self.channel;
        let wait = channel.endings.wait("the end of a receiver", &channel.resource);
        WhenClosed { channel, wait }
    }

    /// Whether nothing can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.room.is_closed()
    }

    filling!();
}

impl<T> Source for Sender<T> {
    const IS_LOCK: bool = false;

    #[inline]
    fn parts(&self) -> Parts<'_> {
        Parts { permits: &self.channel.room, resource: &self.channel.resource }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.channel))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.channel.senders.remove() {
            self.channel.reader.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.channel.room.waiting();
        let closed = if self.is_closed() { ", closed" } else { "" };
        write!(f, "Sender({} of {}, {waiting} waiting{closed})", self.len(), self.capacity())
    }
}

/// See [`Sender::send`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Sending<'a, T> {
    request: Request<&'a Sender<T>>,
    /// `None` once it was sent.
    message: Option<T>,
}

// The message is moved, never pinned.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reserved = ready!(self.request.poll(cx));
        let message = self.message.take().expect("a future is not polled after it was ready");
        Poll::Ready(match reserved {
            Ok(sender) => sender.channel.push(message),
            Err(Closed) => Err(SendError(message)),
        })
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sending({:?})", self.request)
    }
}

/// A request for room, in line. See [`Sender::reserve`].
#[must_use = "a future does nothing unless it is polled"]
pub struct ReserveOf<S: AsSender>(Request<S>);

impl<S: AsSender> ReserveOf<S> {
    fn new(sender: S, origin: &'static Location<'static>) -> Self {
        Self(Request::new(sender, 1, WHAT, origin))
    }
}

impl<S: AsSender> Future for ReserveOf<S> {
    type Output = Result<PermitOf<S>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map_ok(PermitOf::new)
    }
}

impl<S: AsSender> fmt::Debug for ReserveOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserve({:?})", self.0)
    }
}

/// A sender, or a reference to one, which a permit then holds.
pub trait AsSender: Source {
    #[doc(hidden)]
    type Message;

    #[doc(hidden)]
    fn as_sender(&self) -> &Sender<Self::Message>;
}

impl<T> AsSender for Sender<T> {
    type Message = T;

    fn as_sender(&self) -> &Self {
        self
    }
}

impl<T> AsSender for &Sender<T> {
    type Message = T;

    fn as_sender(&self) -> &Sender<T> {
        self
    }
}

/// Room for one message. Given back when it is dropped without one.
#[must_use = "a permit that is dropped is given back"]
pub struct PermitOf<S: AsSender> {
    /// `None` once it was used.
    sender: Option<S>,
}

impl<S: AsSender> PermitOf<S> {
    fn new(sender: S) -> Self {
        Self { sender: Some(sender) }
    }

    fn send_message(mut self, message: S::Message) -> S {
        let sender = self.sender.take().expect("a permit is used once");
        // Where the receiver is gone the message ends here.
        drop(sender.as_sender().channel.push(message));
        sender
    }
}

impl<T> PermitOf<&Sender<T>> {
    /// Sends `message`. After [`Receiver::close`](super::Receiver::close) it is still received; where the receiver is
    /// gone it is dropped.
    pub fn send(self, message: T) {
        self.send_message(message);
    }
}

impl<T> PermitOf<Sender<T>> {
    /// Sends `message`, and gives the sender back. After [`Receiver::close`](super::Receiver::close) it is still
    /// received; where the receiver is gone it is dropped.
    pub fn send(self, message: T) -> Sender<T> {
        self.send_message(message)
    }

    /// Gives back the room, and the sender.
    ///
    /// # Panics
    /// Never: a permit has its sender until it is used.
    #[must_use = "the sender is dropped otherwise"]
    pub fn release(mut self) -> Sender<T> {
        let sender = self.sender.take().expect("a permit is used once");
        sender.channel.put_back();
        sender
    }
}

impl<S: AsSender> Drop for PermitOf<S> {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.as_sender().channel.put_back();
        }
    }
}

impl<S: AsSender> fmt::Debug for PermitOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sender {
            Some(sender) => write!(f, "Permit({:?})", sender.as_sender()),
            None => f.write_str("Permit(used)"),
        }
    }
}

/// See [`Sender::closed`].
#[must_use = "a future does nothing unless it is polled"]
pub struct WhenClosed<'a, T> {
    channel: &'a Channel<T>,
    wait: BellWait<'a>,
}

impl<T> Future for WhenClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { channel, wait } = &mut *self;
        wait.poll_until(cx, || channel.room.is_closed().then_some(()))
    }
}

impl<T> fmt::Debug for WhenClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WhenClosed({:?})", self.wait)
    }
}
