//! `SimDriver`: one host of the room, as the program on it sees it. It only passes on: the work is done in `room`,
//! `net` and `jobs`.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use mainspring_executor::driver::{
    Driver, Instant, Job, ListenOptions, Outcome, Readiness, Schedule, Signal, Token, Transfer,
    Unpark,
};

use crate::event::HostId;
use crate::room::{Resource, Room};
use crate::schedule::SimSchedule;
use crate::trace::Kind;

/// The driver of one simulated host. Made by [`World::host`](crate::World::host).
pub struct SimDriver {
    room: Rc<RefCell<Room>>,
    host: HostId,
    unparker: Arc<SimUnpark>,
}

impl SimDriver {
    pub(crate) fn new(room: &Rc<RefCell<Room>>, host: HostId, unparked: &Arc<Unparked>) -> Self {
        let unparker =
            SimUnpark { host, is_unparked: AtomicBool::new(false), unparked: Arc::clone(unparked) };
        Self { room: Rc::clone(room), host, unparker: Arc::new(unparker) }
    }
}

impl core::fmt::Debug for SimDriver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SimDriver({})", self.room.borrow().machine(self.host).name)
    }
}

impl Driver for SimDriver {
    fn now(&self) -> Instant {
        self.room.borrow().now
    }

    fn wall_clock(&self) -> Duration {
        self.room.borrow().wall_clock()
    }

    fn entropy(&self) -> u64 {
        let room = &mut *self.room.borrow_mut();
        let bits = room.choices.bits(self.host);
        room.note(self.host, Kind::Entropy, bits, 0);
        bits
    }

    fn schedule(&self) -> Option<Box<dyn Schedule>> {
        Some(Box::new(SimSchedule::new(&self.room, self.host)))
    }

    /// Hands over the edges there are. Time moves only when no host has anything left to do, and that is the world's
    /// affair: `until` means nothing here.
    fn wait(&self, events: &mut Vec<Readiness>, _until: Option<Instant>) -> io::Result<()> {
        self.unparker.is_unparked.store(false, Ordering::Relaxed);
        self.room.borrow_mut().take_edges(self.host, events);
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::clone(&self.unparker) as Arc<dyn Unpark>
    }

    fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<Token> {
        self.room.borrow_mut().listen(self.host, address, options)
    }

    fn accept(&self, listener: Token) -> io::Result<(Token, SocketAddr)> {
        self.room.borrow_mut().accept(self.host, listener)
    }

    fn connect(&self, address: SocketAddr) -> io::Result<Token> {
        self.room.borrow_mut().connect(self.host, address)
    }

    fn connect_outcome(&self, socket: Token) -> io::Result<()> {
        self.room.borrow_mut().connect_outcome(self.host, socket)
    }

    fn read(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Transfer> {
        self.room.borrow_mut().read(self.host, socket, buffer)
    }

    fn write(&self, socket: Token, buffers: &[IoSlice<'_>]) -> io::Result<Transfer> {
        self.room.borrow_mut().write(self.host, socket, buffers)
    }

    fn shutdown_write(&self, socket: Token) -> io::Result<()> {
        self.room.borrow_mut().shutdown_write(self.host, socket)
    }

    fn local_addr(&self, socket: Token) -> io::Result<SocketAddr> {
        let room = &mut *self.room.borrow_mut();
        match &room.machine(self.host).table.get(socket).resource {
            Resource::Socket(id, side) => Ok(room.socket_address(*id, *side)),
            Resource::Listener(listener) => Ok(listener.address.into()),
            other => panic!("{socket:?} has no address, for it is a {}", other.name()),
        }
    }

    fn close(&self, token: Token) {
        self.room.borrow_mut().close(self.host, token, false);
    }

    fn abort(&self, socket: Token) {
        self.room.borrow_mut().close(self.host, socket, true);
    }

    fn subscribe_signals(&self) -> io::Result<Token> {
        self.room.borrow_mut().subscribe_signals(self.host)
    }

    fn next_signal(&self, signals: Token) -> io::Result<Signal> {
        self.room.borrow_mut().next_signal(self.host, signals)
    }

    fn submit(&self, job: Job) -> io::Result<Token> {
        self.room.borrow_mut().submit(self.host, job)
    }

    fn collect(&self, job: Token) -> io::Result<Outcome> {
        self.room.borrow_mut().collect(self.host, job)
    }
}

/// The hosts that were unparked since the world last looked. Behind a lock, for [`Unpark`] may cross threads; in a run
/// that is to be repeated, it does not.
#[derive(Debug, Default)]
pub(crate) struct Unparked {
    any: AtomicBool,
    hosts: Mutex<Vec<HostId>>,
}

impl Unparked {
    /// Takes the hosts, in the order in which they were unparked.
    pub(crate) fn take(&self) -> Vec<HostId> {
        if !self.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: who comes later sets it again.
        self.any.store(false, Ordering::Relaxed);
        core::mem::take(&mut hosts)
    }
}

/// Ends a wait of one host: brings it back into the world's queue.
struct SimUnpark {
    host: HostId,
    /// Unparked since its last `wait`: once is enough.
    is_unparked: AtomicBool,
    unparked: Arc<Unparked>,
}

impl Unpark for SimUnpark {
    fn unpark(&self) {
        if self.is_unparked.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut hosts = self.unparked.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.push(self.host);
        self.unparked.any.store(true, Ordering::Relaxed);
    }
}
