//! Values that count their ends.

use std::cell::Cell;
use std::rc::Rc;

/// How many of the values made here were dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Counts>);

#[derive(Default)]
struct Counts {
    made: Cell<usize>,
    dropped: Cell<usize>,
}

impl Drops {
    pub(crate) fn count(&self) -> usize {
        self.0.dropped.get()
    }

    /// How many were not.
    pub(crate) fn live(&self) -> usize {
        self.0.made.get() - self.count()
    }

    /// A value that is counted when it is dropped.
    pub(crate) fn value(&self) -> Counted {
        self.0.made.set(self.0.made.get() + 1);
        Counted(self.clone())
    }
}

/// See [`Drops::value`].
pub(crate) struct Counted(Drops);

impl Drop for Counted {
    fn drop(&mut self) {
        let dropped = &self.0.0.dropped;
        dropped.set(dropped.get() + 1);
    }
}

/// Does something when it is dropped.
pub(crate) struct OnDrop<F: FnOnce()>(Option<F>);

/// Does `act` when the result is dropped.
pub(crate) fn on_drop<F: FnOnce()>(act: F) -> OnDrop<F> {
    OnDrop(Some(act))
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0.take().expect("a value is dropped once"))();
    }
}
