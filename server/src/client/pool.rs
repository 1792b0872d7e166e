//! `Pool`: the connections of a client between exchanges, and the right to have one.
//!
//! Invariant: the connections to an origin, in use or idle, are never more than its cap. A [`Lease`] is the right to one in use; a new
//! one is made only where none is idle. Nothing foreign, a waker or a socket, is dropped while the state is borrowed.

use core::cell::{Cell, RefCell};
use core::task::{Context, Waker};
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::{OwnedSemaphorePermit, Semaphore};
use mainspring_executor::time::{now, timeout};

use super::bounds::Bounds;
use super::error::ErrorKind;
use super::origin::Origin;

/// See the file.
pub(super) struct Pool {
    pub(super) bounds: Bounds,
    state: RefCell<State>,
    leases: Cell<usize>,
    opened: Cell<u64>,
    reused: Cell<u64>,
    retried: Cell<u64>,
    /// The reaper's, once there is something to look after.
    pub(super) reaper: RefCell<Option<Waker>>,
    /// A connection went idle since the reaper last looked.
    pub(super) is_fresh: Cell<bool>,
}

#[derive(Default)]
struct State {
    origins: BTreeMap<Origin, Entry>,
    /// By when they went idle: the first is idle for the longest time.
    idle: BTreeMap<u64, Idle>,
    idle_next: u64,
    /// Nothing is kept any more.
    is_closed: bool,
}

struct Entry {
    permits: Rc<Semaphore>,
    /// Keys of [`State::idle`], in order.
    idle: Vec<u64>,
    /// Those who have a lease, or wait for one.
    seats: usize,
}

struct Idle {
    stream: TcpStream,
    since: Instant,
    origin: Origin,
}

/// What a client is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Connections in use, or being made.
    pub in_use: usize,
    /// Connections that are kept for later.
    pub idle: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections made so far.
    pub opened: u64,
    /// Exchanges that began on a connection that was idle before.
    pub reused: u64,
    /// Requests that were sent a second time.
    pub retried: u64,
}

/// A place in line, or at a connection.
struct Seat {
    pool: Rc<Pool>,
    origin: Origin,
}

/// The right to one connection in use. Dropping it lets the next in.
pub(super) struct Lease {
    permit: Option<OwnedSemaphorePermit>,
    seat: Seat,
}

impl Pool {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: RefCell::default(),
            leases: Cell::new(0),
            opened: Cell::new(0),
            reused: Cell::new(0),
            retried: Cell::new(0),
            reaper: RefCell::default(),
            is_fresh: Cell::new(false),
        }
    }

    /// Waits in line for the right to a connection. Cancel-safe.
    pub(super) async fn acquire(self: &Rc<Self>, origin: &Origin) -> Result<Lease, ErrorKind> {
        let (permits, seat) = self.take_seat(origin).ok_or(ErrorKind::QueueFull)?;
        let permit = match Rc::clone(&permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let acquired = timeout(self.bounds.timeouts.queue, permits.acquire_owned()).await;
                acquired.map_err(|_| ErrorKind::Timeout)?.expect("nobody closes it")
            }
        };
        self.leases.set(self.leases.get() + 1);
        Ok(Lease { permit: Some(permit), seat })
    }

    fn take_seat(self: &Rc<Self>, origin: &Origin) -> Option<(Rc<Semaphore>, Seat)> {
        let limits = &self.bounds.limits;
        let mut state = self.state.borrow_mut();
        if !state.origins.contains_key(origin) {
            let permits = Rc::new(Semaphore::new(limits.connections_per_origin_max));
            state.origins.insert(origin.clone(), Entry { permits, idle: Vec::new(), seats: 0 });
        }
        let entry = state.origins.get_mut(origin).expect("it is there now");
        if entry.seats >= limits.connections_per_origin_max.saturating_add(limits.queue_max) {
            return None;
        }
        entry.seats += 1;
        let seat = Seat { pool: Rc::clone(self), origin: origin.clone() };
        Some((Rc::clone(&entry.permits), seat))
    }

    pub(super) fn stats(&self) -> ClientStats {
        let state = self.state.borrow();
        let seats: usize = state.origins.values().map(|entry| entry.seats).sum();
        ClientStats {
            in_use: self.leases.get(),
            idle: state.idle.len(),
            waiting: seats - self.leases.get(),
            opened: self.opened.get(),
            reused: self.reused.get(),
            retried: self.retried.get(),
        }
    }

    /// Closes what is idle, and keeps nothing from now on.
    pub(super) fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.is_closed = true;
        let idle = core::mem::take(&mut state.idle);
        state.origins.retain(|_, entry| {
            entry.idle.clear();
            entry.seats > 0
        });
        drop(state);
        let reaper = self.reaper.take();
        drop((idle, reaper));
    }

    /// Closes the idle connections at which something came, and those that are idle for too long. The others wake `cx` when
    /// something comes. Gives when the next is idle for too long.
    pub(super) fn sweep(&self, cx: &Context<'_>) -> Option<Instant> {
        let keys: Vec<u64> = self.state.borrow().idle.keys().copied().collect();
        for key in keys {
            let idle = self.state.borrow_mut().idle.remove(&key);
            let Some(mut idle) = idle else { continue };
            // With nothing borrowed: a waker that is replaced may be the last reference to its task.
            let is_over = now() >= idle.since + self.bounds.timeouts.idle;
            let is_dead = is_over || idle.stream.poll_fill(cx).is_ready();
            let mut state = self.state.borrow_mut();
            let is_closed = state.is_closed;
            let before = state.idle.insert(key, idle);
            assert!(before.is_none(), "each idle connection has a key of its own");
            let dead = if is_dead || is_closed { state.take(key) } else { None };
            drop(state);
            drop(dead);
        }
        let state = self.state.borrow();
        state.idle.values().next().map(|idle| idle.since + self.bounds.timeouts.idle)
    }

    fn wake_reaper(&self) {
        if self.is_fresh.replace(true) {
            return;
        }
        let waker = self.reaper.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// Takes an idle connection out.
    fn take(&mut self, key: u64) -> Option<Idle> {
        let idle = self.idle.remove(&key)?;
        // There is none where the pool was closed meanwhile.
        if let Some(entry) = self.origins.get_mut(&idle.origin) {
            entry.idle.retain(|other| *other != key);
        }
        self.forget_unused(&idle.origin);
        Some(idle)
    }

    /// Origins that are not in use take no memory.
    fn forget_unused(&mut self, origin: &Origin) {
        if let Some(entry) = self.origins.get(origin)
            && entry.seats == 0
            && entry.idle.is_empty()
        {
            self.origins.remove(origin);
        }
    }
}

impl Lease {
    pub(super) fn pool(&self) -> &Rc<Pool> {
        &self.seat.pool
    }

    /// The connection to this origin that was used last, if one is idle and nothing came there meanwhile. Those at which
    /// something did are closed.
    pub(super) fn take_idle(&self) -> Option<TcpStream> {
        loop {
            let mut stream = self.pop_idle()?;
            // Whatever is ready, bytes, the end or an error: nobody has asked for it.
            let is_quiet = stream.poll_fill(&Context::from_waker(Waker::noop())).is_pending();
            if is_quiet && stream.buffered().is_empty() {
                self.pool().reused.set(self.pool().reused.get() + 1);
                return Some(stream);
            }
        }
    }

    fn pop_idle(&self) -> Option<TcpStream> {
        let mut state = self.pool().state.borrow_mut();
        let key = *state.origins.get(&self.seat.origin)?.idle.last()?;
        state.take(key).map(|idle| idle.stream)
    }

    pub(super) fn note_opened(&self) {
        self.pool().opened.set(self.pool().opened.get() + 1);
    }

    pub(super) fn note_retried(&self) {
        self.pool().retried.set(self.pool().retried.get() + 1);
    }

    /// Keeps a connection at which nothing is under way, and lets the next one in.
    pub(super) fn give_back(self, stream: TcpStream) {
        let pool = Rc::clone(self.pool());
        let limits = &pool.bounds.limits;
        let mut state = pool.state.borrow_mut();
        if state.is_closed || limits.idle_max == 0 {
            drop(state);
            drop(stream);
            return;
        }
        let key = state.idle_next;
        state.idle_next += 1;
        let origin = self.seat.origin.clone();
        let entry = state.origins.get_mut(&origin).expect("who has a seat has an entry");
        entry.idle.push(key);
        state.idle.insert(key, Idle { stream, since: now(), origin });
        let is_over = state.idle.len() > limits.idle_max;
        let oldest = state.idle.keys().next().copied().filter(|_| is_over);
        let evicted = oldest.and_then(|key| state.take(key));
        drop(state);
        drop(evicted);
        pool.wake_reaper();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let leases = &self.seat.pool.leases;
        leases.set(leases.get() - 1);
        drop(self.permit.take());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.pool.state.borrow_mut();
        let entry = state.origins.get_mut(&self.origin).expect("who has a seat has an entry");
        entry.seats -= 1;
        state.forget_unused(&self.origin);
    }
}
