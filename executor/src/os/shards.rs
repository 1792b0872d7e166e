//! Shards on threads: one a core, sharing nothing but the addresses they listen on.

use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::muster::Muster;
use super::{OsDriver, Pool, hold_signals, sockets};
use crate::driver::Signal;
use crate::shard::{Peers, Shard};

/// How long a poll may take before [`run_shards`] has it told, with its stack: a task that holds up all others for so long
/// blocks, or computes what should be [offloaded](crate::offload).
pub const POLL_BUDGET: Duration = Duration::from_millis(100);

/// Runs `main` on `count` shards, each on a thread of its own with a driver of its own and all with one [`Pool`], and
/// gives their outputs in order. `main` is called on the thread it will run on, so what it makes need not be `Send`; it is
/// given the shard's place among all of them, whose handles it may use from the start. With a count of one it runs on the
/// calling thread. A poll that takes longer than [`POLL_BUDGET`] is told by [the watchdog](OsDriver::watchdog).
///
/// SIGINT and SIGTERM are held until each `main` was polled once: one that subscribes to them before its first wait is
/// told of those that came since this was called, however late its thread started. See [`hold_signals`].
///
/// # Errors
/// When a driver or a thread cannot be had; no `main` is called then. When a driver fails for good; the other shards still
/// run to their end.
///
/// # Panics
/// When a `main` does.
pub fn run_shards<F, T>(count: NonZeroUsize, main: impl Fn(Peers) -> F + Sync) -> Vec<io::Result<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let held = hold_signals(&[Signal::Interrupt, Signal::Terminate]);
    // Without it, what is lost is a signal in the first moments.
    let held = held.inspect_err(|error| tracing::warn!(%error, "signals are not held")).ok();
    let held = Arc::new(held);
    let pool = Pool::default();
    let muster = Muster::new(count);
    let run_one = |index: usize, mut held: Option<Arc<_>>| -> io::Result<T> {
        let place = muster.place(index);
        let shard = Shard::new(Rc::new(watched(OsDriver::builder().pool(&pool).build()?)));
        let peers = place.report(shard.handle())?;
        // Inside the shard already, so that `main` may open sockets before its first await.
        let main = shard.enter(|| main(peers));
        shard.run(async move {
            let mut main = pin!(main);
            poll_fn(move |cx| {
                let polled = main.as_mut().poll(cx);
                drop(held.take());
                polled
            })
            .await
        })
    };
    let (run_one, muster) = (&run_one, &muster);
    thread::scope(|threads| {
        let others: Vec<_> = (1..count.get())
            .map(|index| {
                let held = Some(Arc::clone(&held));
                let thread = thread::Builder::new().name(format!("shard-{index}"));
                let started = thread.spawn_scoped(threads, move || run_one(index, held));
                // Who never starts is not waited for.
                started.inspect_err(|_| drop(muster.place(index)))
            })
            .collect();
        let mut outputs = vec![run_one(0, Some(held))];
        for other in others {
            outputs.push(other.and_then(|thread| match thread.join() {
                Ok(output) => output,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
        }
        outputs
    })
}

/// Under the eyes of the watchdog, if that can be had.
fn watched(mut driver: OsDriver) -> OsDriver {
    if let Err(error) = driver.watch_polls(POLL_BUDGET) {
        tracing::warn!(%error, "polls that take too long will not be told");
    }
    driver
}

/// How many cores this process may use: of those it is bound to, no more than its control group's share of time
/// (`cpu.max`, rounded down) lets it keep busy.
#[must_use]
pub fn available_cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Finds out whether `address` is free, and which port a 0 stands for.
///
/// Shards share an address through `SO_REUSEPORT`, and so would, by accident, a second process of the same user. This
/// asks for the address once without sharing, so that a port in use is an error. It never listens: nobody connects to a
/// socket that is closed the next moment.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`.
pub fn reserve_address(address: SocketAddr) -> io::Result<SocketAddr> {
    use std::os::fd::AsFd;
    let socket = sockets::bind_listener(address, false)?;
    let address = sockets::local_addr(socket.as_fd())?;
    address.ip().ok_or(io::ErrorKind::AddrNotAvailable.into())
}
