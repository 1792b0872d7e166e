//! `Pool`: the threads of a process that do what would block its shards. One may be shared by all of them.
//!
//! It does not know what a job does, only in which lane it waits and whom to tell.
//!
//! Invariants: of each shard, a bounded number of jobs waits in each lane. A job that was taken is announced exactly
//! once, or taken back before it begins, or its shard is gone. What a job holds and gives is foreign: it is dropped with
//! no lock held.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::available_cores;
use super::jobs::{Finished, Work, final_error};
use crate::driver::{Exhausted, Lane, Token, Unpark};

/// Threads for work that waits, for each core: a disk does some calls at one time, and while some hang, others go on.
const BLOCKING_THREADS_PER_CORE: usize = 4;

/// However many cores there are: more would only queue in the kernel instead of here.
const BLOCKING_THREADS_MAX: usize = 64;

/// Threads that look up names. Most answers are cached; these are as many that may hang at one time.
const NAME_THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");

/// Jobs of one shard that wait in one lane. Beyond it `submit` refuses, and the caller sheds load. Enough for a burst;
/// what waits behind a thousand others is late anyway.
const WAITING_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// A thread without work stays for so long: starting one costs as much as a few hundred jobs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How large a [`Pool`] may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Threads of [`Lane::Blocking`]. By default four for each core, at most 64.
    pub blocking_threads_max: NonZeroUsize,
    /// Threads of [`Lane::Compute`]. By default as many as cores.
    pub compute_threads_max: NonZeroUsize,
    /// Threads of [`Lane::Names`]. By default four.
    pub name_threads_max: NonZeroUsize,
    /// Jobs of one shard that may wait in one lane; one more is refused. By default 1,024.
    pub waiting_max: NonZeroUsize,
    /// After so long without work a thread ends. By default ten seconds.
    pub idle_timeout: Duration,
}

impl Default for PoolOptions {
    /// By the cores that this process may use. See [`available_cores`].
    fn default() -> Self {
        let cores = available_cores();
        let blocking = (cores.get() * BLOCKING_THREADS_PER_CORE).min(BLOCKING_THREADS_MAX);
        Self {
            blocking_threads_max: NonZeroUsize::new(blocking).expect("a product of what is not 0"),
            compute_threads_max: cores,
            name_threads_max: NAME_THREADS,
            waiting_max: WAITING_MAX,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

impl PoolOptions {
    fn threads_max(&self, lane: Lane) -> usize {
        match lane {
            Lane::Blocking => self.blocking_threads_max.get(),
            Lane::Compute => self.compute_threads_max.get(),
            Lane::Names => self.name_threads_max.get(),
        }
    }
}

/// Threads for what would block a shard. Clones are handles to the same ones; give one to each driver with
/// [`OsDriverBuilder::pool`](super::OsDriverBuilder::pool).
///
/// A thread starts when it is first needed, and ends when it was idle for a while or the last handle is dropped. That
/// does not wait for jobs which have begun: one may hang in a call to a disk that is gone.
#[derive(Clone, Default)]
pub struct Pool {
    owner: Arc<Owner>,
}

/// Ends the threads when the last handle goes. Threads themselves hold `Shared`.
struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    options: PoolOptions,
    lanes: [LaneQueue; Lane::ALL.len()],
}

/// The queue of a lane, and its threads.
#[derive(Default)]
struct LaneQueue {
    queue: Mutex<Queue>,
    work_came: Condvar,
}

#[derive(Default)]
struct Queue {
    /// By ticket, which is the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    tickets: u64,
    threads: usize,
    idle_threads: usize,
    is_closed: bool,
}

/// A job that no thread has begun.
struct Waiting {
    inbox: Arc<Inbox>,
    token: Token,
    work: Work,
    since: Instant,
}

impl Pool {
    /// A pool without threads as yet.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        let shared = Shared { options, lanes: Default::default() };
        Self { owner: Arc::new(Owner { shared: Arc::new(shared) }) }
    }

    fn lane(&self, lane: Lane) -> &LaneQueue {
        self.owner.shared.lane(lane)
    }

    /// Starts one more thread. `queue` is that of `lane`.
    fn start_thread(&self, lane: Lane, queue: &mut Queue) -> io::Result<()> {
        let shared = Arc::clone(&self.owner.shared);
        let name = format!("{}-{}", lane.name(), queue.threads);
        std::thread::Builder::new().name(name).spawn(move || shared.work(lane))?;
        queue.threads += 1;
        Ok(())
    }
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pool({:?})", self.owner.shared.options)
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared { options: PoolOptions::default(), lanes: Default::default() }),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        for lane in &self.shared.lanes {
            let mut queue = lane.lock();
            queue.is_closed = true;
            assert!(queue.waiting.is_empty(), "a port holds the pool, and takes its jobs along");
            drop(queue);
            lane.work_came.notify_all();
        }
    }
}

impl Shared {
    fn lane(&self, lane: Lane) -> &LaneQueue {
        &self.lanes[lane as usize]
    }

    /// The life of a thread.
    fn work(&self, lane: Lane) {
        while let Some(waiting) = self.lane(lane).next(lane, self.options.idle_timeout) {
            let Waiting { inbox, token, work, since } = waiting;
            let begun = Instant::now();
            // A panic is ours, or a length that no memory can hold; the thread goes on, and somebody waits for an answer.
            let result = catch_unwind(AssertUnwindSafe(|| work.run()))
                .unwrap_or_else(|_| Err(io::Error::other("the job panicked")))
                .map_err(final_error);
            inbox.push(Done { token, result, waited: begun - since, ran: begun.elapsed() });
        }
    }
}

impl LaneQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Waits for the next job. `None`: the thread has to end.
    fn next(&self, lane: Lane, idle_timeout: Duration) -> Option<Waiting> {
        let mut queue = self.lock();
        let mut is_tired = false;
        loop {
            if let Some((_, waiting)) = queue.waiting.pop_first() {
                waiting.inbox.count(lane).fetch_sub(1, Ordering::Relaxed);
                return Some(waiting);
            }
            if queue.is_closed || is_tired {
                queue.threads -= 1;
                return None;
            }
            queue.idle_threads += 1;
            let (after, timeout) = self
                .work_came
                .wait_timeout(queue, idle_timeout)
                .unwrap_or_else(PoisonError::into_inner);
            queue = after;
            queue.idle_threads -= 1;
            is_tired = timeout.timed_out();
        }
    }
}

/// A driver's access to a pool. Dropped, it takes its jobs along; of those that have begun the results are dropped.
pub(super) struct Port {
    pool: Pool,
    inbox: Arc<Inbox>,
}

impl Port {
    pub(super) fn new(pool: Pool, unpark: Arc<dyn Unpark>) -> Self {
        let inbox = Inbox {
            waiting: Default::default(),
            done: Mutex::new(Some(Vec::new())),
            has_done: AtomicBool::new(false),
            unpark,
        };
        Self { pool, inbox: Arc::new(inbox) }
    }

    /// Queues work under `token`, and gives the ticket to take it back with.
    pub(super) fn submit(&self, token: Token, work: Work) -> Result<u64, (Work, io::Error)> {
        let options = &self.pool.owner.shared.options;
        let lane = work.job.lane();
        let lane_queue = self.pool.lane(lane);
        let mut queue = lane_queue.lock();
        let count = self.inbox.count(lane);
        if count.load(Ordering::Relaxed) >= options.waiting_max.get() {
            return Err((work, Exhausted.into()));
        }
        let is_short = queue.idle_threads <= queue.waiting.len();
        if is_short
            && queue.threads < options.threads_max(lane)
            && let Err(error) = self.pool.start_thread(lane, &mut queue)
            && queue.threads == 0
        {
            // With no thread at all nobody would ever do the work; with one it only waits longer.
            return Err((work, error));
        }
        let ticket = queue.tickets;
        queue.tickets += 1;
        count.fetch_add(1, Ordering::Relaxed);
        let inbox = Arc::clone(&self.inbox);
        queue.waiting.insert(ticket, Waiting { inbox, token, work, since: Instant::now() });
        drop(queue);
        lane_queue.work_came.notify_one();
        Ok(ticket)
    }

    /// Takes a job back, unless a thread has begun it.
    pub(super) fn take_back(&self, lane: Lane, ticket: u64) -> Option<Work> {
        let waiting = self.pool.lane(lane).lock().waiting.remove(&ticket)?;
        assert!(Arc::ptr_eq(&waiting.inbox, &self.inbox), "a ticket is for one's own job");
        self.inbox.count(lane).fetch_sub(1, Ordering::Relaxed);
        Some(waiting.work)
    }

    /// Moves the jobs that ended since to `target`.
    pub(super) fn take_done(&self, target: &mut Vec<Done>) {
        if self.inbox.has_done.swap(false, Ordering::AcqRel)
            && let Some(done) = &mut *lock(&self.inbox.done)
        {
            target.append(done);
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut left = Vec::new();
        for lane in &self.pool.owner.shared.lanes {
            let mut queue = lane.lock();
            let own = |_: &u64, waiting: &mut Waiting| Arc::ptr_eq(&waiting.inbox, &self.inbox);
            left.extend(queue.waiting.extract_if(.., own));
        }
        let done = lock(&self.inbox.done).take();
        left.into_iter().for_each(discard);
        done.into_iter().flatten().for_each(discard);
    }
}

/// Where the results of a shard's jobs arrive.
struct Inbox {
    /// Jobs that wait in each lane; changed under the lock of that.
    waiting: [AtomicUsize; Lane::ALL.len()],
    /// `None`: the driver is gone.
    done: Mutex<Option<Vec<Done>>>,
    /// Whether `done` holds something: lets the shard look without the lock.
    has_done: AtomicBool,
    unpark: Arc<dyn Unpark>,
}

impl Inbox {
    fn count(&self, lane: Lane) -> &AtomicUsize {
        &self.waiting[lane as usize]
    }

    fn push(&self, done: Done) {
        let refused = match &mut *lock(&self.done) {
            Some(list) => {
                list.push(done);
                None
            }
            None => Some(done),
        };
        if let Some(done) = refused {
            discard(done);
            return;
        }
        self.has_done.store(true, Ordering::Release);
        self.unpark.unpark();
    }
}

/// A job that ended.
pub(super) struct Done {
    pub(super) token: Token,
    pub(super) result: io::Result<Finished>,
    pub(super) waited: Duration,
    pub(super) ran: Duration,
}

/// Drops what nobody waits for. Its destructor is foreign: a panic of it is nobody's fault here.
pub(super) fn discard<T>(value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        tracing::error!("the result of a job that nobody waits for panicked when it was dropped");
    }
}

/// A panic in here would be ours, and leaves no half-done change behind: each is one push or pop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
