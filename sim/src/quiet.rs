//! `quietly`: panics of runs that are told in the end, and not as they come.

use core::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// Whether panics of this thread are no news.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` without a word about panics on this thread, and on those that runs are given by it: the same one over and over is no news.
/// Those of other threads are told as ever.
pub(crate) fn quietly<R>(body: impl FnOnce() -> R) -> R {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                before(info);
            }
        }));
    });
    with(true, body)
}

/// Whether panics of this thread are no news; for who starts others.
pub(crate) fn is_quiet() -> bool {
    IS_QUIET.get()
}

/// Runs `body` on a thread that is, or is not, quiet.
pub(crate) fn with<R>(is_quiet: bool, body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_QUIET.set(self.0);
        }
    }
    let _restore = Restore(IS_QUIET.replace(is_quiet));
    body()
}
