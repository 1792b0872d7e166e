//! What the macros of `macros/check.rs` call: brings what a [`Site`] says to the observer of the shard, if there is one.
//!
//! Invariant: without an observer nothing is drawn, noted or allocated, unless a promise is broken.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::current;
use crate::driver::{Observer, Site};
use crate::time;

/// An [`eventually!`](crate::eventually) looks so often at its condition, besides the first time.
const LOOKS: u32 = 100;

/// What a shard has for its checks.
pub(crate) struct Checks {
    observer: Option<Rc<dyn Observer>>,
    /// Sites whose promises were broken, and of which the log tells.
    told: RefCell<BTreeSet<&'static Site>>,
}

impl Checks {
    pub(crate) fn new(observer: Option<Rc<dyn Observer>>) -> Self {
        Self { observer, told: RefCell::default() }
    }
}

/// Whether anybody wants to know.
#[inline]
fn is_observed() -> bool {
    current::with(|core| core.is_some_and(|core| core.checks.observer.is_some()))
}

/// A site that promises something is passed.
#[inline]
pub fn promise(site: &'static Site, holds: bool) {
    if !holds {
        break_promise(site);
    } else if is_observed() {
        tell(site, true);
    }
}

/// A site that promises nothing is passed.
#[inline]
pub fn pass(site: &'static Site, holds: bool) {
    if is_observed() {
        tell(site, holds);
    }
}

/// Whether something goes wrong here.
#[inline]
#[must_use]
pub fn fires(site: &'static Site, permille: u32) -> bool {
    is_observed() && ask(site, permille)
}

#[cold]
#[inline(never)]
fn tell(site: &'static Site, holds: bool) {
    // Not `with`: an observer may be anybody's.
    let Some(core) = current::try_core() else { return };
    if let Some(observer) = &core.checks.observer {
        observer.passed(site, core.running(), holds);
    }
}

#[cold]
#[inline(never)]
fn ask(site: &'static Site, permille: u32) -> bool {
    let core = current::try_core();
    core.is_some_and(|core| {
        core.checks.observer.as_ref().is_some_and(|it| it.fires(site, permille))
    })
}

/// Counts it, tells the log the first time, and tells the observer. Outside of a shard, the log each time.
#[cold]
#[inline(never)]
fn break_promise(site: &'static Site) {
    let core = current::try_core();
    let (mut is_news, mut task) = (true, None);
    if let Some(core) = &core {
        core.metrics.promises_broken.add(1);
        is_news = core.checks.told.borrow_mut().insert(site);
        task = core.running();
    }
    if is_news {
        tracing::error!(target: "mainspring::check", task = task.map(|id| id.0), "broken: {site}");
    }
    tell(site, false);
}

/// See [`eventually!`](crate::eventually).
pub async fn eventually(
    site: &'static Site,
    within: Duration,
    mut holds: impl FnMut() -> bool,
) -> bool {
    let until = time::now() + within;
    let pause = (within / LOOKS).max(Duration::from_nanos(1));
    loop {
        let (is_held, now) = (holds(), time::now());
        if is_held || now >= until {
            promise(site, is_held);
            return is_held;
        }
        time::sleep_until((now + pause).min(until)).await;
    }
}
