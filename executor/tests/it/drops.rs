//! Values that count their ends.

use std::cell::Cell;
use std::rc::Rc;

/// How many of the values made here were dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }

    /// A value that is counted when it is dropped.
    pub(crate) fn value(&self) -> Counted {
        Counted(self.clone())
    }
}

/// See [`Drops::value`].
pub(crate) struct Counted(Drops);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() + 1);
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
