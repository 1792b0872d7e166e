//! Shards on threads: one a core, sharing nothing but the addresses they listen on.

use core::future::Future;
use core::net::SocketAddr;
use core::num::NonZeroUsize;
use std::io;
use std::rc::Rc;
use std::thread;

use super::{OsDriver, sockets};
use crate::driver::ListenOptions;
use crate::shard::Shard;

/// Runs `main` on `count` shards, each on a thread of its own with a driver of its own, and gives their outputs in
/// order. `main` is called on the thread it will run on, with the index of the shard, so what it makes need not be
/// `Send`. With a count of one it runs on the calling thread.
///
/// # Errors
/// When a driver cannot be made or fails for good; the other shards still run to their end.
///
/// # Panics
/// When a `main` does.
pub fn run_shards<F, T>(count: NonZeroUsize, main: impl Fn(usize) -> F + Sync) -> Vec<io::Result<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let run_one = |index: usize| -> io::Result<T> {
        let shard = Shard::new(Rc::new(OsDriver::new()?));
        // Inside the shard already, so that `main` may open sockets before its first await.
        let main = shard.enter(|| main(index));
        shard.run(main)
    };
    let run_one = &run_one;
    thread::scope(|threads| {
        let others: Vec<_> = (1..count.get())
            .map(|index| {
                thread::Builder::new()
                    .name(format!("shard-{index}"))
                    .spawn_scoped(threads, move || run_one(index))
            })
            .collect();
        let mut outputs = vec![run_one(0)];
        for other in others {
            outputs.push(other.and_then(|thread| match thread.join() {
                Ok(output) => output,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
        }
        outputs
    })
}

/// How many cores this process may use.
#[must_use]
pub fn available_cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Finds out whether `address` is free, and which port a 0 stands for.
///
/// Shards share an address through `SO_REUSEPORT`, and so would, by accident, a second process of the same user. This
/// asks for the address once without sharing, so that a port in use is an error.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`.
pub fn reserve_address(address: SocketAddr) -> io::Result<SocketAddr> {
    use std::os::fd::AsFd;
    let socket = sockets::listen(address, ListenOptions { backlog: 1, reuse_port: false })?;
    sockets::local_addr(socket.as_fd())
}
