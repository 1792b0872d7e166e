//! `Bell`: wakes whoever waits for something to have changed, also tasks of other simulated machines.

use core::cell::RefCell;

use mainspring_executor::CancelToken;
use mainspring_executor::cancel::Cancelled;

/// Rings for all who listen at that moment. Who listens before looking misses nothing.
#[derive(Default)]
pub(crate) struct Bell(RefCell<CancelToken>);

impl Bell {
    pub(crate) fn ring(&self) {
        let before = self.0.take();
        before.cancel();
    }

    /// Ready when it has rung since this was made.
    pub(crate) fn listen(&self) -> Cancelled {
        self.0.borrow().cancelled()
    }
}
