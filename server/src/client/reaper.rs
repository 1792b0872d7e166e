//! The reaper: a task that closes idle connections whose time is over, or at which something came.
//!
//! It is woken once for all connections that go idle within [`WATCH_DELAY`], and looks at them after it; from then on what
//! comes there wakes it. It holds no client: when the last one goes, it goes.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Weak;

use mainspring_executor::Instant;
use mainspring_executor::time::{Sleep, now, sleep_until};

use super::bounds::WATCH_DELAY;
use super::pool::Pool;

/// Runs for as long as there is a pool.
pub(super) async fn reap(pool: Weak<Pool>) {
    let mut sleep = sleep_until(Instant::FAR_FUTURE);
    poll_fn(|cx| match pool.upgrade() {
        Some(pool) => look(&pool, &mut sleep, cx),
        None => Poll::Ready(()),
    })
    .await;
}

fn look(pool: &Pool, sleep: &mut Sleep, cx: &mut Context<'_>) -> Poll<()> {
    let before = pool.reaper.replace(Some(cx.waker().clone()));
    drop(before);
    if pool.is_fresh.take() {
        sleep.reset(sleep.deadline().min(now() + WATCH_DELAY));
    } else {
        sleep.reset(pool.sweep(cx).unwrap_or(Instant::FAR_FUTURE));
    }
    while Pin::new(&mut *sleep).poll(cx).is_ready() {
        sleep.reset(pool.sweep(cx).unwrap_or(Instant::FAR_FUTURE));
    }
    Poll::Pending
}
