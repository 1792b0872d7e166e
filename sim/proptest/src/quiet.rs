//! While a failure is made small it comes back some hundred times: its panics are no news then. It knows the hook of panics, and
//! nothing else.

use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether panics of this thread are told to nobody.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Tells again, also where a panic goes on.
struct Quiet {
    before: bool,
}

impl Drop for Quiet {
    fn drop(&mut self) {
        IS_QUIET.set(self.before);
    }
}

/// Does something whose panics the process's hook is not told of; it is of those of other threads.
pub(crate) fn quietly<R>(body: impl FnOnce() -> R) -> R {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                told(panic);
            }
        }));
    });
    let _quiet = Quiet { before: IS_QUIET.replace(true) };
    body()
}
