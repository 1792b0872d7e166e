//! `oneshot`: one value, from one sender to one receiver.
//!
//! ```
//! # use mainspring_executor::{Shard, os::OsDriver, spawn, sync::oneshot};
//! # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! # shard.run(async {
//! let (sender, receiver) = oneshot::channel();
//! spawn(async move { sender.send("done") });
//! assert_eq!(receiver.await, Ok("done"));
//!
//! let (sender, receiver) = oneshot::channel::<u8>();
//! drop(sender);
//! assert!(receiver.await.is_err());
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

use super::Closed;
pub use super::SendError;
use super::wait_list::Reason;
use super::waker_slot::WakerSlot;
use crate::waits::{Resource, Ticket};

/// A channel for one value.
#[track_caller]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Rc::new(Channel {
        value: Cell::new(None),
        sender_is_gone: Cell::new(false),
        is_closed: Cell::new(false),
        reader: WakerSlot::default(),
        writer: WakerSlot::default(),
        resource: Resource::default(),
        origin: Location::caller(),
    });
    (Sender { channel: Rc::clone(&channel) }, Receiver { channel, ticket: None })
}

/// What both ends share.
struct Channel<T> {
    value: Cell<Option<T>>,
    /// It sent, or was dropped.
    sender_is_gone: Cell<bool>,
    /// The receiver wants no value any more, or was dropped.
    is_closed: Cell<bool>,
    reader: WakerSlot,
    /// The sender, while it waits for the receiver's end.
    writer: WakerSlot,
    resource: Resource,
    /// Where it was made.
    origin: &'static Location<'static>,
}

impl<T> Channel<T> {
    fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.value.take() {
            Some(value) => Ok(value),
            None if self.is_over() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Whether no value can come any more.
    fn is_over(&self) -> bool {
        self.sender_is_gone.get() || self.is_closed.get()
    }
}

/// Sends the value. Made by [`channel`].
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends `value`. It never waits. A value that was sent may still get lost with the receiver.
    ///
    /// # Errors
    /// When the receiver is gone or wants none, with the value.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        self.channel.value.set(Some(value));
        // The rest is done by the drop.
        Ok(())
    }

    /// Waits until the receiver is gone or wants no value: what makes it can stop. Cancel-safe.
    #[track_caller]
    pub fn closed(&mut self) -> WhenClosed<'_, T> {
        WhenClosed { sender: self, ticket: None, origin: Location::caller() }
    }

    /// Whether the receiver is gone or wants no value.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed.get()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.channel.sender_is_gone.set(true);
        self.channel.reader.wake();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({})", if self.is_closed() { "closed" } else { "open" })
    }
}

/// Receives the value, as a future. Made by [`channel`]. In the records its wait has the place where that was called.
///
/// Cancel-safe: the value is received by the poll that gives it; until then `&mut receiver` may be polled, dropped and
/// polled again. Who drops the receiver itself drops the value.
#[must_use = "a future does nothing unless it is polled"]
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// While it waits.
    ticket: Option<Ticket>,
}

impl<T> Receiver<T> {
    /// The value, if it was sent.
    ///
    /// # Errors
    /// When it was not, or was received already.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.channel.try_recv()
    }

    /// Wants no value any more. One that was sent before can still be received.
    pub fn close(&mut self) {
        self.channel.is_closed.set(true);
        self.channel.writer.wake();
    }
}

impl<T> Future for Receiver<T> {
    /// The value; an error where the sender was dropped without one, and after the value was received.
    type Output = Result<T, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { channel, ticket } = &mut *self;
        let Channel { resource, origin, .. } = &**channel;
        let reason = Reason { what: "a value", resource, origin, is_bound: false };
        channel.reader.poll_until(ticket, cx, reason, || match channel.try_recv() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Closed) => Some(Err(Closed)),
            Err(TryRecvError::Empty) => None,
        })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        self.ticket = None;
        self.channel.reader.clear();
        drop(self.channel.value.take());
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", if self.channel.is_over() { "closed" } else { "open" })
    }
}

/// See [`Sender::closed`].
#[must_use = "a future does nothing unless it is polled"]
pub struct WhenClosed<'a, T> {
    sender: &'a mut Sender<T>,
    ticket: Option<Ticket>,
    origin: &'static Location<'static>,
}

impl<T> Future for WhenClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { sender, ticket, origin } = &mut *self;
        let Channel { writer, resource, .. } = &*sender.channel;
        let reason = Reason { what: "the end of a receiver", resource, origin, is_bound: false };
        writer.poll_until(ticket, cx, reason, || sender.is_closed().then_some(()))
    }
}

impl<T> Drop for WhenClosed<'_, T> {
    fn drop(&mut self) {
        self.ticket = None;
        self.sender.channel.writer.clear();
    }
}

impl<T> fmt::Debug for WhenClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WhenClosed(at {})", self.origin)
    }
}

/// Why no value was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// It was not sent yet.
    Empty,
    /// It will not be sent, or was received already.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no value for now",
            Self::Closed => "no value will be sent",
        })
    }
}

impl core::error::Error for TryRecvError {}
