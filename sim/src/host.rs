//! `Host`: a machine with its program, as a scenario handles it.

use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::panic::Location;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

use mainspring_executor::driver::Signal;
use mainspring_executor::{JoinError, JoinHandle, Shard};
use slab::Slab;

use crate::driver::SimDriver;
use crate::event::HostId;
use crate::room::Room;

/// A simulated machine: one address, one shard. Clones are handles to the same one.
#[derive(Clone)]
pub struct Host {
    pub(crate) id: HostId,
    pub(crate) shard: Shard,
    name: Rc<str>,
    ip: Ipv4Addr,
    driver: Rc<SimDriver>,
    room: Rc<RefCell<Room>>,
    foreground: Rc<RefCell<Foreground>>,
}

impl Host {
    pub(crate) fn new(
        id: HostId,
        driver: Rc<SimDriver>,
        shard: Shard,
        room: &Rc<RefCell<Room>>,
        foreground: &Rc<RefCell<Foreground>>,
    ) -> Self {
        let (name, ip) = {
            let room = room.borrow();
            (Rc::clone(&room.machine(id).name), room.machine(id).ip)
        };
        let (room, foreground) = (Rc::clone(room), Rc::clone(foreground));
        Self { id, shard, name, ip, driver, room, foreground }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address; others reach it there, and itself also at 127.0.0.1.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Its address with a port, to connect to.
    #[must_use]
    pub fn address(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    /// Its executor. The host counts as having something to do afterwards, for one may give it that.
    #[must_use]
    pub fn shard(&self) -> &Shard {
        self.room.borrow_mut().wake(self.id);
        &self.shard
    }

    /// Its driver.
    #[must_use]
    pub fn driver(&self) -> &Rc<SimDriver> {
        &self.driver
    }

    /// Starts a task that the run waits for. Its panic fails the run.
    #[track_caller]
    pub fn run(&self, future: impl Future<Output = ()> + 'static) {
        let ticket = Ticket::new(&self.foreground, self.id);
        let key = ticket.key;
        let handle = self.spawn(async move {
            let _ticket = ticket;
            future.await;
        });
        self.foreground.borrow_mut().tasks[key].handle = Some(handle);
    }

    /// Starts a task that the run does not wait for.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.shard().spawn(future)
    }

    /// Puts a file into the host's file tree, in place of one at the same path. Files that are open stay as they are.
    pub fn add_file(&self, root: impl AsRef<Path>, path: impl AsRef<Path>, bytes: &[u8]) {
        let room = &mut *self.room.borrow_mut();
        let modified = room.wall_clock();
        let path = root.as_ref().join(path);
        room.machine_mut(self.id).files.add(path, bytes, modified);
    }

    /// Sends a signal to the program. One that never subscribed to signals is killed by it: its tasks are dropped
    /// before virtual time goes on, and its kernel closes what they held. One whose subscriptions are all gone ignores
    /// it, as on the operating system.
    pub fn signal(&self, signal: Signal) {
        self.room.borrow_mut().signal(self.id, signal);
    }
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Host({} at {})", self.name, self.ip)
    }
}

/// The tasks that a run waits for.
#[derive(Default)]
pub(crate) struct Foreground {
    tasks: Slab<ForegroundTask>,
    /// Those whose futures are gone, so that nobody has to look at all.
    ended: VecDeque<usize>,
}

struct ForegroundTask {
    host: HostId,
    origin: &'static Location<'static>,
    /// `None` only while it is being spawned.
    handle: Option<JoinHandle<()>>,
}

/// How a foreground task ended.
pub(crate) struct ForegroundEnd {
    pub(crate) host: HostId,
    pub(crate) origin: &'static Location<'static>,
    pub(crate) result: Result<(), JoinError>,
}

impl Foreground {
    /// How many have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// One that has ended since.
    pub(crate) fn take_ended(&mut self) -> Option<ForegroundEnd> {
        let task = self.tasks.remove(self.ended.pop_front()?);
        let mut handle = task.handle.expect("a task ends after it was spawned");
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        match core::pin::Pin::new(&mut handle).poll(&mut cx) {
            core::task::Poll::Ready(result) => {
                Some(ForegroundEnd { host: task.host, origin: task.origin, result })
            }
            core::task::Poll::Pending => unreachable!("its future is gone, so it has ended"),
        }
    }
}

/// Lies in the future of a foreground task, and tells when that is dropped: by its end, a panic or an abort.
struct Ticket {
    foreground: Rc<RefCell<Foreground>>,
    key: usize,
}

impl Ticket {
    #[track_caller]
    fn new(foreground: &Rc<RefCell<Foreground>>, host: HostId) -> Self {
        let task = ForegroundTask { host, origin: Location::caller(), handle: None };
        let key = foreground.borrow_mut().tasks.insert(task);
        Self { foreground: Rc::clone(foreground), key }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.foreground.borrow_mut().ended.push_back(self.key);
    }
}
