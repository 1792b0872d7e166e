//! `select!`, `join!` and `try_join!`: several futures within one task; and in `check` what a program says of itself.
//!
//! They know nothing of tasks and drivers but one thing: which branch they look at first is drawn from the driver.
//! What they expand to has no unsafe code, and allocates nothing.

mod check;
mod join;
mod select;

#[doc(hidden)]
pub use crate::check::{eventually, fires, pass, promise};
#[doc(hidden)]
pub use futures::future::try_maybe_done;

use core::convert::Infallible;

use futures::FutureExt;
use futures::future::NeverError;

use crate::current;

/// A future of `join!`, as `try_join!` takes it.
#[doc(hidden)]
pub fn never_fails<F: IntoFuture>(future: F) -> NeverError<F::IntoFuture> {
    future.into_future().never_error()
}

/// The outputs of futures that never fail.
#[doc(hidden)]
pub fn outputs<T>(joined: Result<T, Infallible>) -> T {
    let Ok(outputs) = joined;
    outputs
}

/// The branch that is polled first. Outside of a shard it is always the first.
#[doc(hidden)]
#[must_use]
pub fn draw_branch(count: usize) -> usize {
    // Not `with`: a driver may be anybody's.
    let Some(core) = current::try_core() else { return 0 };
    let first = core.driver.choose(count);
    assert!(first < count, "a driver chooses one of the alternatives");
    first
}

/// The branch that is polled first in the biased form.
#[doc(hidden)]
#[must_use]
pub fn first_branch(_count: usize) -> usize {
    0
}

/// The branch that a `join!` polls first in its next poll.
#[doc(hidden)]
#[must_use]
pub fn next_branch(first: usize, count: usize) -> usize {
    (first + 1) % count
}

/// The same in the biased form.
#[doc(hidden)]
#[must_use]
pub fn first_branch_again(first: usize, _count: usize) -> usize {
    first
}
