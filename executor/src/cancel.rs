//! `CancelToken`: a flag that tasks of one shard can wait for, and the tree of such flags.
//!
//! A child is cancelled with its parent, and also by itself. The parent knows its children weakly, a child its parent
//! strongly: a token in the middle that nobody holds any more still hands on what comes from above.
//!
//! Invariants: below a token that is cancelled all are. Nothing here recurses, so a tree may be as deep as memory allows.

use core::cell::{Cell, RefCell};
use core::cmp::Reverse;
use core::fmt;
use core::future::{Future, poll_fn};
use core::panic::Location;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::rc::{Rc, Weak};

use slab::Slab;

use crate::waiters::{Place, Waiters};
use crate::waits::{Resource, Ticket};

/// Set once, seen by all clones and by all [children](CancelToken::child).
///
/// ```
/// # use mainspring_executor::{CancelToken, Shard, os::OsDriver, spawn, time::sleep};
/// # use core::time::Duration;
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let server = CancelToken::new();
/// let connection = server.child();
/// let task = spawn(async move { connection.run_until_cancelled(sleep(Duration::MAX)).await });
/// server.cancel();
/// assert_eq!(task.await.expect("no panic"), None);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CancelToken {
    node: Rc<Node>,
}

#[derive(Default)]
struct Node {
    is_cancelled: Cell<bool>,
    waiters: Waiters,
    /// `None` for a root, and for a child of a token that was cancelled before.
    parent: Cell<Option<Parent>>,
    /// Empty once this is cancelled: what is to be done with them is done then.
    children: RefCell<Slab<Child>>,
    /// How many there ever were.
    children_made: Cell<u64>,
    resource: Resource,
}

struct Parent {
    node: Rc<Node>,
    /// The place among its children.
    key: usize,
}

struct Child {
    /// Its ordinal: places are used again, so they do not tell who was first.
    ordinal: u64,
    node: Weak<Node>,
}

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled when this one is, or by itself, which this one does not notice.
    ///
    /// Making one and dropping one take constant time, however many others there are.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        if self.is_cancelled() {
            child.node.is_cancelled.set(true);
            return child;
        }
        let made = &self.node.children_made;
        let ordinal = made.replace(made.get() + 1);
        let node = Rc::downgrade(&child.node);
        let key = self.node.children.borrow_mut().insert(Child { ordinal, node });
        child.node.parent.set(Some(Parent { node: Rc::clone(&self.node), key }));
        child
    }

    /// Sets the flag of this token and of all below it, then wakes who waits for them. Again is the same as once.
    ///
    /// The order of waking: a token comes before its children, the children in the order in which they were made, each
    /// with all that is below it before the next. Those who wait for one token come in the order in which they came.
    pub fn cancel(&self) {
        let mut woken: Vec<Waker> = Vec::new();
        let mut ahead = vec![Rc::clone(&self.node)];
        while let Some(node) = ahead.pop() {
            if node.is_cancelled.replace(true) {
                continue;
            }
            woken.extend(node.waiters.take());
            let children = node.children.take();
            let mut children: Vec<Child> = children.into_iter().map(|(_, child)| child).collect();
            // The first is to be on top.
            children.sort_unstable_by_key(|child| Reverse(child.ordinal));
            ahead.extend(children.iter().filter_map(|child| child.node.upgrade()));
        }
        // Foreign wakers run foreign code: nothing is borrowed here, and all flags are set.
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.node.is_cancelled.get()
    }

    /// Waits for the flag. Cancel-safe: nothing but a place among the waiters is lost.
    #[track_caller]
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { token: self.clone(), place: None, origin: Location::caller() }
    }

    /// Runs `future` to its end, or until this is cancelled: then it is dropped before this gives `None`. It is not even
    /// begun where the token was cancelled before; once begun it comes first, so that what is ready is not thrown away.
    ///
    /// Cancel-safe where `future` is.
    #[track_caller]
    pub fn run_until_cancelled<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + use<F> {
        let mut cancelled = self.cancelled();
        async move {
            if cancelled.token.is_cancelled() {
                return None;
            }
            let mut future = pin!(future);
            poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => Pin::new(&mut cancelled).poll(cx).map(|()| None),
            })
            .await
        }
    }

    /// Cancels this token when the result is dropped: however a function is left, also by a panic.
    pub fn guard(&self) -> CancelGuard {
        CancelGuard { token: Some(self.clone()) }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelToken({})", if self.is_cancelled() { "cancelled" } else { "active" })
    }
}

impl Node {
    /// A child is gone.
    fn forget(&self, key: usize) {
        if !self.is_cancelled.get() {
            self.children.borrow_mut().remove(key);
        }
    }
}

impl Drop for Node {
    /// Tells the parent, which may be gone with its last child, and so on: a loop, for a chain may be longer than the
    /// stack is.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(Parent { node, key }) = next {
            node.forget(key);
            next = Rc::into_inner(node).and_then(|node| node.parent.take());
        }
    }
}

/// See [`CancelToken::cancelled`]. May be polled again after it is ready.
#[must_use = "a future does nothing unless it is polled"]
pub struct Cancelled {
    token: CancelToken,
    place: Option<Place>,
    origin: &'static Location<'static>,
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { token, place, origin } = &mut *self;
        let node = &token.node;
        if node.is_cancelled.get() {
            node.waiters.leave(place);
            return Poll::Ready(());
        }
        node.waiters.wait(place, cx, || {
            Ticket::wait_by("a cancellation", &node.resource, origin, cx.waker())
        });
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.token.node.waiters.leave(&mut self.place);
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancelled({:?}, awaited at {})", self.token, self.origin)
    }
}

/// See [`CancelToken::guard`].
#[derive(Debug)]
#[must_use = "dropping it cancels the token"]
pub struct CancelGuard {
    /// `None` once it is disarmed.
    token: Option<CancelToken>,
}

impl CancelGuard {
    /// Lets the token be.
    pub fn disarm(mut self) {
        self.token = None;
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_keeps_nothing_of_a_child_that_is_gone() {
        // Nor of one that nobody holds but its own child, once that is gone, too.
        let root = CancelToken::new();
        let children = || root.node.children.borrow().len();
        let kept = root.child();
        let leaf = root.child().child().child();
        drop(root.child());
        assert_eq!((children(), Rc::strong_count(&root.node)), (2, 3));
        drop(leaf);
        assert_eq!((children(), Rc::strong_count(&root.node)), (1, 2));
        root.cancel();
        assert_eq!(children(), 0);
        drop(kept);
        assert_eq!(Rc::strong_count(&root.node), 1);
    }
}
