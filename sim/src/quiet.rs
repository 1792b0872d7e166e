//! `quietly`: panics of runs that are told in the end, and not as they come.

use core::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use mainspring_sim_allocator::Entered as Uncharged;

/// So many panics of a run are kept, the first ones.
const HEARD_MAX: usize = 5;

thread_local! {
    /// Whether panics of this thread are no news.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };

    /// Those of the run that is on this thread, where they are no news.
    static HEARD: RefCell<Vec<Heard>> = const { RefCell::new(Vec::new()) };
}

/// A panic that nobody was told of when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Where it was.
    pub(crate) site: String,
    /// What it said.
    pub(crate) message: String,
}

/// Runs `body` without a word about panics on this thread, and on those that runs are given by it: the same one over and over is no news.
/// Those of other threads are told as ever.
pub(crate) fn quietly<R>(body: impl FnOnce() -> R) -> R {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_QUIET.get() {
                hear(info);
            } else {
                before(info);
            }
        }));
    });
    with(true, body)
}

fn hear(info: &PanicHookInfo<'_>) {
    let _bookkeeping = Uncharged::nobody();
    let site = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = info.payload_as_str().unwrap_or("a panic without words").to_owned();
    HEARD.with_borrow_mut(|heard| {
        if heard.len() < HEARD_MAX {
            heard.push(Heard { site, message });
        }
    });
}

/// The first panics on this thread since [`forget`], where they are no news.
pub(crate) fn heard() -> Vec<Heard> {
    HEARD.with_borrow(Clone::clone)
}

/// A run begins.
pub(crate) fn forget() {
    HEARD.with_borrow_mut(Vec::clear);
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

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use mainspring_executor::time::sleep;

    use super::*;
    use crate::{World, WorldConfig};

    /// A failure in a run of which a background task panicked before, if it says something.
    fn failure(before: Option<&'static str>) -> String {
        let world = World::new(0, WorldConfig::calm());
        let host = world.host("host");
        if let Some(before) = before {
            drop(host.spawn(async move { panic!("{before}") }));
        }
        host.run(async {
            sleep(Duration::from_secs(1)).await;
            panic!("no answer");
        });
        world.run().expect_err("it panics").to_string()
    }

    #[test]
    fn what_panicked_before_is_told_with_the_failure() {
        let text = quietly(|| failure(Some("called from the context of a Tokio 1.x runtime")));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].ends_with("the task panicked: no answer"), "{text}");
        assert!(lines[1].starts_with("a panic before that, at sim/src/quiet.rs:"), "{text}");
        assert!(lines[1].ends_with(": called from the context of a Tokio 1.x runtime"), "{text}");
        assert!(lines[2].starts_with("tokio's runtime is not in here: take spawn"), "{text}");
    }

    #[test]
    fn the_panics_of_another_run_are_not_told() {
        let texts = quietly(|| [failure(Some("one")), failure(None)]);
        assert!(texts[0].contains("a panic before that"), "{}", texts[0]);
        assert!(!texts[1].contains("a panic before that"), "{}", texts[1]);
    }
}
