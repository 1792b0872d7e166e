//! `JobPool`: a few threads that do what would block the shard.
//!
//! Invariant: what waits is bounded, and a job is announced exactly once.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::driver::Finished;
use super::files::{self, OpenFile};
use crate::driver::{Exhausted, Token, Unpark};

/// Threads of one shard's pool. File calls mostly wait for the disk, so this is not a matter of cores.
const THREADS_MAX: usize = 4;

/// Jobs that may wait for a thread. Beyond it `submit` refuses, and the caller sheds load.
const WAITING_MAX: usize = 1024;

/// A job with what it needs, ready to leave the shard's thread.
pub(super) enum Work {
    Open { root: PathBuf, path: PathBuf },
    ReadAt { file: Arc<OpenFile>, offset: u64, length: usize },
}

impl Work {
    fn run(self) -> io::Result<Finished> {
        match self {
            Self::Open { root, path } => files::open(&root, &path).map(Finished::Opened),
            Self::ReadAt { file, offset, length } => {
                files::read_at(&file, offset, length).map(Finished::Bytes)
            }
        }
    }
}

/// A job's own error as `Driver::collect` may tell it. There `WouldBlock` and `Interrupted` say that the job still runs;
/// the system says them of files, too: of one under a lease, of a path that is renamed meanwhile, of a slow server.
fn final_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => io::Error::other(error),
        _ => error,
    }
}

/// A job that ended.
pub(super) struct Done {
    pub(super) token: Token,
    pub(super) result: io::Result<Finished>,
}

/// The threads start when they are first needed, and end with the pool.
pub(super) struct JobPool {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    work_came: Condvar,
    done: Mutex<Vec<Done>>,
    /// Whether `done` holds something: lets the shard look without the lock.
    has_done: AtomicBool,
    unpark: Arc<dyn Unpark>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Token, Work)>,
    threads: usize,
    idle_threads: usize,
    closed: bool,
}

impl JobPool {
    pub(super) fn new(unpark: Arc<dyn Unpark>) -> Self {
        let shared = Shared {
            queue: Mutex::default(),
            work_came: Condvar::new(),
            done: Mutex::default(),
            has_done: AtomicBool::new(false),
            unpark,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Queues work under `token`.
    pub(super) fn submit(&self, token: Token, work: Work) -> io::Result<()> {
        let mut queue = lock(&self.shared.queue);
        if queue.waiting.len() >= WAITING_MAX {
            return Err(Exhausted.into());
        }
        if queue.idle_threads <= queue.waiting.len() && queue.threads < THREADS_MAX {
            let shared = Arc::clone(&self.shared);
            let name = format!("job-{}", queue.threads);
            let started = std::thread::Builder::new().name(name).spawn(move || shared.work());
            match started {
                Ok(_) => queue.threads += 1,
                // With no thread at all nobody would ever do the work; with one it only waits longer.
                Err(error) if queue.threads == 0 => return Err(error),
                Err(_) => {}
            }
        }
        queue.waiting.push_back((token, work));
        drop(queue);
        self.shared.work_came.notify_one();
        Ok(())
    }

    /// Moves the jobs that ended since to `target`.
    pub(super) fn take_done(&self, target: &mut Vec<Done>) {
        if self.shared.has_done.swap(false, Ordering::AcqRel) {
            target.append(&mut lock(&self.shared.done));
        }
    }
}

impl Drop for JobPool {
    /// Lets the threads end. It does not wait for them: one may hang in a call to a disk that is gone.
    fn drop(&mut self) {
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        queue.waiting.clear();
        drop(queue);
        self.shared.work_came.notify_all();
    }
}

impl Shared {
    /// The life of a thread.
    fn work(&self) {
        while let Some((token, work)) = self.next() {
            // A panic is ours, or a length that no memory can hold; the thread goes on, and somebody waits for an answer.
            let result = catch_unwind(AssertUnwindSafe(|| work.run()))
                .unwrap_or_else(|_| Err(io::Error::other("the job panicked")))
                .map_err(final_error);
            lock(&self.done).push(Done { token, result });
            self.has_done.store(true, Ordering::Release);
            self.unpark.unpark();
        }
    }

    fn next(&self) -> Option<(Token, Work)> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(work) = queue.waiting.pop_front() {
                return Some(work);
            }
            if queue.closed {
                return None;
            }
            queue.idle_threads += 1;
            queue = self.work_came.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle_threads -= 1;
        }
    }
}

/// A panic in here would be ours, and leaves no half-done change behind: each is one push or pop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such an error would leave the reader waiting for an edge that never comes, with a token that is spent.
    #[test]
    fn the_error_of_a_job_never_says_ask_again() {
        for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
            assert_eq!(final_error(kind.into()).kind(), io::ErrorKind::Other);
        }
        assert_eq!(final_error(io::ErrorKind::NotFound.into()).kind(), io::ErrorKind::NotFound);
    }
}
