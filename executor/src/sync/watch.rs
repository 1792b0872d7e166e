//! `watch`: one value that changes, and who wants to see its latest state. What was there in between may be missed.
//!
//! A look at the value is a snapshot: it holds what was there, whatever is sent meanwhile, and it never blocks a sender.
//! While nobody looks, a new value takes the memory of the old one; else it gets its own.
//!
//! ```
//! # use mainspring_executor::{Shard, os::OsDriver, spawn, sync::watch};
//! # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! # shard.run(async {
//! let (sender, mut receiver) = watch::channel("starting");
//! assert_eq!(*receiver.borrow(), "starting");
//! spawn(async move {
//!     sender.send("ready")?;
//!     sender.send("draining")
//! });
//! while receiver.changed().await.is_ok() {
//!     println!("{}", *receiver.borrow_and_update());
//! }
//! assert_eq!(*receiver.borrow(), "draining", "the sender is gone, the value is not");
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

use super::Closed;
pub use super::SendError;
use super::bell::{Bell, BellWait};
use super::ends::Ends;
use crate::waits::Resource;

/// A channel whose value is `initial` to begin with. The receiver has seen it.
#[must_use]
pub fn channel<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let channel = Rc::new(Channel {
        value: Cell::new(Some(Rc::new(initial))),
        version: Cell::new(0),
        senders: Ends::default(),
        receivers: Ends::default(),
        changes: Bell::default(),
        endings: Bell::default(),
        resource: Resource::default(),
    });
    (Sender::new(&channel), Receiver::new(&channel, 0))
}

/// What all ends share.
struct Channel<T> {
    /// `None` only while [`Sender::send_modify`] runs.
    value: Cell<Option<Rc<T>>>,
    /// How often it changed.
    version: Cell<u64>,
    senders: Ends,
    receivers: Ends,
    /// Who waits for a change; rung at the senders' end, too.
    changes: Bell,
    /// Who waits for the receivers' end.
    endings: Bell,
    resource: Resource,
}

impl<T> Channel<T> {
    fn take(&self) -> Rc<T> {
        self.value.take().expect("the value is not looked at by what modifies it")
    }

    fn borrow(&self) -> Ref<T> {
        let value = self.take();
        let shared = Rc::clone(&value);
        self.value.set(Some(value));
        Ref(shared)
    }

    fn replace(&self, value: T) {
        let mut current = self.take();
        let before = match Rc::get_mut(&mut current) {
            Some(place) => Ok(core::mem::replace(place, value)),
            // Somebody looks at it.
            None => Err(core::mem::replace(&mut current, Rc::new(value))),
        };
        self.value.set(Some(current));
        self.announce();
        drop(before);
    }

    fn announce(&self) {
        self.version.set(self.version.get() + 1);
        self.changes.ring();
    }

    /// Whether the value is newer than version `seen`. An error when it is not, and never will be.
    fn has_changed(&self, seen: u64) -> Result<bool, Closed> {
        match seen != self.version.get() {
            true => Ok(true),
            false if self.senders.are_gone() => Err(Closed),
            false => Ok(false),
        }
    }

    /// Waits for a change, or for the last sender to be gone.
    #[track_caller]
    fn wait_for_change(&self) -> BellWait<'_> {
        self.changes.wait("a change", &self.resource)
    }
}

/// Changes the value. Clones change the same one. Made by [`channel`].
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    fn new(channel: &Rc<Channel<T>>) -> Self {
        channel.senders.add();
        Self { channel: Rc::clone(channel) }
    }

    /// Replaces the value, and wakes who waits for a change, in the order in which they came. It never waits.
    ///
    /// # Errors
    /// When there is no receiver: the value is not replaced, and comes back.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        self.channel.replace(value);
        Ok(())
    }

    /// Replaces the value, whether or not there are receivers: those that [`Sender::subscribe`] later will find it.
    pub fn set(&self, value: T) {
        self.channel.replace(value);
    }

    /// Changes the value in place, whether or not there are receivers. Where somebody looks at it, a clone is changed.
    ///
    /// # Panics
    /// When `modify` does, or when it looks at the value in another way than through its argument. In the first case no
    /// change is announced, and the value is what was made of it.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// As [`Sender::send_modify`]; a change is announced if `modify` says that there was one. Gives what it said.
    ///
    /// # Panics
    /// As [`Sender::send_modify`].
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        T: Clone,
    {
        let mut lent = Lent { channel: &self.channel, value: Some(self.channel.take()) };
        let value = lent.value.as_mut().expect("lent until it is dropped");
        let is_modified = modify(Rc::make_mut(value));
        drop(lent);
        if is_modified {
            self.channel.announce();
        }
        is_modified
    }

    /// The value as it is.
    #[must_use]
    pub fn borrow(&self) -> Ref<T> {
        self.channel.borrow()
    }

    /// One more receiver. It has seen the value as it is.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.channel, self.channel.version.get())
    }

    /// Waits until there is no receiver. Cancel-safe.
    #[track_caller]
    pub fn closed(&self) -> WhenClosed<'_, T> {
        let channel = &*self.channel;
        let wait = channel.endings.wait("the end of the receivers", &channel.resource);
        WhenClosed { channel, wait }
    }

    /// Whether there is no receiver.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.receivers.are_gone()
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.channel.receivers.count()
    }
}

/// Puts the value back, also when what changes it panics.
struct Lent<'a, T> {
    channel: &'a Channel<T>,
    value: Option<Rc<T>>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.channel.value.set(self.value.take());
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
            self.channel.changes.ring();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (receivers, waiting) = (self.receiver_count(), self.channel.changes.waiting());
        write!(f, "Sender({receivers} receivers, {waiting} waiting)")
    }
}

/// Sees the value. Clones have seen what this one has. Made by [`channel`] and [`Sender::subscribe`].
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// The version that counts as seen.
    seen: u64,
}

impl<T> Receiver<T> {
    fn new(channel: &Rc<Channel<T>>, seen: u64) -> Self {
        channel.receivers.add();
        Self { channel: Rc::clone(channel), seen }
    }

    /// The value as it is. Does not mark it as seen.
    #[must_use]
    pub fn borrow(&self) -> Ref<T> {
        self.channel.borrow()
    }

    /// The value as it is, and marks it as seen.
    #[must_use]
    pub fn borrow_and_update(&mut self) -> Ref<T> {
        self.mark_unchanged();
        self.channel.borrow()
    }

    /// Waits until there is a value that was not seen, and marks it as seen. Cancel-safe: it is marked by the poll that is
    /// ready.
    ///
    /// # Errors
    /// When there is none and the last sender is gone.
    #[track_caller]
    pub fn changed(&mut self) -> Changed<'_, T> {
        let Self { channel, seen } = self;
        Changed { wait: channel.wait_for_change(), channel, seen }
    }

    /// Waits until `predicate` holds for the value, as it is or as it becomes, and marks that as seen. Cancel-safe.
    ///
    /// # Errors
    /// When it does not hold and the last sender is gone.
    #[track_caller]
    pub fn wait_for<P: FnMut(&T) -> bool>(&mut self, predicate: P) -> WaitFor<'_, T, P> {
        let Self { channel, seen } = self;
        WaitFor { wait: channel.wait_for_change(), channel, seen, predicate }
    }

    /// Whether there is a value that was not seen. Does not mark it.
    ///
    /// # Errors
    /// When there is none and the last sender is gone.
    pub fn has_changed(&self) -> Result<bool, Closed> {
        self.channel.has_changed(self.seen)
    }

    /// Marks the value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.channel.version.get();
    }

    /// Marks the value as not seen.
    pub fn mark_changed(&mut self) {
        // Before the first version comes the last one, which is never reached.
        self.seen = self.channel.version.get().wrapping_sub(1);
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(&self.channel, self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.channel.receivers.remove() {
            self.channel.endings.ring();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.has_changed() {
            Ok(true) => "Receiver(changed)",
            Ok(false) => "Receiver(unchanged)",
            Err(Closed) => "Receiver(closed)",
        })
    }
}

/// The value as it was at one moment.
pub struct Ref<T>(Rc<T>);

impl<T> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: fmt::Display> fmt::Display for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// See [`Receiver::changed`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Changed<'a, T> {
    channel: &'a Channel<T>,
    /// The receiver's.
    seen: &'a mut u64,
    wait: BellWait<'a>,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { channel, seen, wait } = &mut *self;
        wait.poll_until(cx, || match channel.has_changed(**seen) {
            Ok(true) => {
                **seen = channel.version.get();
                Some(Ok(()))
            }
            Ok(false) => None,
            Err(Closed) => Some(Err(Closed)),
        })
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changed({:?})", self.wait)
    }
}

/// See [`Receiver::wait_for`].
#[must_use = "a future does nothing unless it is polled"]
pub struct WaitFor<'a, T, P> {
    channel: &'a Channel<T>,
    /// The receiver's.
    seen: &'a mut u64,
    wait: BellWait<'a>,
    predicate: P,
}

// The predicate is called, never pinned.
impl<T, P> Unpin for WaitFor<'_, T, P> {}

impl<T, P: FnMut(&T) -> bool> Future for WaitFor<'_, T, P> {
    type Output = Result<Ref<T>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { channel, seen, wait, predicate } = &mut *self;
        wait.poll_until(cx, || {
            **seen = channel.version.get();
            let value = channel.borrow();
            if predicate(&value) {
                return Some(Ok(value));
            }
            match channel.has_changed(**seen) {
                Err(Closed) => Some(Err(Closed)),
                Ok(false) => None,
                Ok(true) => {
                    // The predicate itself made a change, before anybody waits for it: look again in the next poll.
                    cx.waker().wake_by_ref();
                    None
                }
            }
        })
    }
}

impl<T, P> fmt::Debug for WaitFor<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitFor({:?})", self.wait)
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
        wait.poll_until(cx, || channel.receivers.are_gone().then_some(()))
    }
}

impl<T> fmt::Debug for WhenClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WhenClosed({:?})", self.wait)
    }
}
