//! Wakers of nobody's task: each does something of its own when it is woken, as those of a foreign library may.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};

thread_local! {
    /// A waker may cross threads, what it does here may not; so it knows its place in this list.
    static ACTS: RefCell<Vec<Rc<dyn Fn()>>> = const { RefCell::new(Vec::new()) };
}

struct Foreign {
    place: usize,
}

/// A waker that calls `act`. To be woken on this thread.
pub(crate) fn waker(act: impl Fn() + 'static) -> Waker {
    let place = ACTS.with_borrow_mut(|acts| {
        acts.push(Rc::new(act));
        acts.len() - 1
    });
    Arc::new(Foreign { place }).into()
}

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        let act = ACTS.with_borrow(|acts| Rc::clone(&acts[self.place]));
        act();
    }
}
