//! `Host`: a machine with its program, as a scenario handles it.

use core::future::Future;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::panic::Location;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

use mainspring_executor::driver::Signal;
use mainspring_executor::{JoinError, JoinHandle, Shard, TaskId};
use slab::Slab;

use crate::choice::Label;
use crate::driver::SimDriver;
use crate::event::{HostId, ShardId};
use crate::room::{DateError, Room};

/// A simulated machine with a shard of its program: one address, one executor. [`World::add_shard`](crate::World::add_shard)
/// gives it more, each a `Host` of its own. Clones are handles to the same one.
#[derive(Clone)]
pub struct Host {
    pub(crate) id: HostId,
    pub(crate) shard_id: ShardId,
    pub(crate) shard: Shard,
    name: Rc<str>,
    ip: Ipv4Addr,
    ip_v6: Ipv6Addr,
    driver: Rc<SimDriver>,
    room: Rc<RefCell<Room>>,
    foreground: Rc<RefCell<Foreground>>,
}

impl Host {
    pub(crate) fn new(
        shard_id: ShardId,
        driver: Rc<SimDriver>,
        shard: Shard,
        room: &Rc<RefCell<Room>>,
        foreground: &Rc<RefCell<Foreground>>,
    ) -> Self {
        let (id, name, ip, ip_v6) = {
            let room = room.borrow();
            let id = room.host_of(shard_id);
            let machine = room.machine(id);
            (id, Rc::clone(&room.shard(shard_id).name), machine.ip, machine.ip_v6)
        };
        let (room, foreground) = (Rc::clone(room), Rc::clone(foreground));
        Self { id, shard_id, shard, name, ip, ip_v6, driver, room, foreground }
    }

    /// Its name; that of a second shard of `server` is `server/1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address; others reach it there, and itself also at 127.0.0.1.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Its IPv6 address, as [`Host::ip`] is its IPv4 address; itself it reaches also at ::1.
    #[must_use]
    pub fn ip_v6(&self) -> Ipv6Addr {
        self.ip_v6
    }

    /// Its address with a port, to connect to.
    #[must_use]
    pub fn address(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    /// Its IPv6 address with a port, to connect to.
    #[must_use]
    pub fn address_v6(&self, port: u16) -> SocketAddr {
        (self.ip_v6, port).into()
    }

    /// Its executor. The shard counts as having something to do afterwards, for one may give it that.
    #[must_use]
    pub fn shard(&self) -> &Shard {
        self.room.borrow_mut().wake(self.shard_id);
        &self.shard
    }

    /// Its driver.
    #[must_use]
    pub fn driver(&self) -> &Rc<SimDriver> {
        &self.driver
    }

    /// A choice of the scenario on behalf of this host, as [`World::choose`](crate::World::choose): tasks of it may ask. Those
    /// of one host shift none of another.
    ///
    /// # Panics
    /// When `bound` is 0.
    #[must_use]
    pub fn choose(&self, bound: u64) -> u64 {
        self.room.borrow_mut().choices.choose(Some(self.shard_id), Label::Scenario, bound)
    }

    /// Puts the machine's clock ahead of the right date by so much, from now on: [`time::wall_clock`] jumps. Timers and
    /// [`time::now`] go on as before.
    ///
    /// [`time::wall_clock`]: mainspring_executor::time::wall_clock
    /// [`time::now`]: mainspring_executor::time::now
    pub fn set_date_ahead(&self, by: Duration) {
        self.room.borrow_mut().machine_mut(self.id).date_error = DateError::Ahead(by);
    }

    /// As [`Host::set_date_ahead`], behind; never before 1970.
    pub fn set_date_behind(&self, by: Duration) {
        self.room.borrow_mut().machine_mut(self.id).date_error = DateError::Behind(by);
    }

    /// Starts a task that the run waits for. Its panic fails the run.
    #[track_caller]
    pub fn run(&self, future: impl Future<Output = ()> + 'static) {
        let ticket = Ticket::new(&self.foreground, self.shard_id);
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

    /// Puts a file into the host's file tree, with the folders that it lies in, in place of one at the same path. Files
    /// that are open stay as they are.
    ///
    /// # Panics
    /// Where one of these folders is a file.
    pub fn add_file(&self, root: impl AsRef<Path>, path: impl AsRef<Path>, bytes: &[u8]) {
        let room = &mut *self.room.borrow_mut();
        let modified = room.wall_clock(self.id);
        let path = root.as_ref().join(path);
        room.machine_mut(self.id).files.add(path, bytes, modified);
    }

    /// Makes a folder in the host's file tree, with those that it lies in. One that is there stays as it is.
    ///
    /// # Panics
    /// Where there is a file.
    pub fn add_folder(&self, path: impl AsRef<Path>) {
        self.room.borrow_mut().machine_mut(self.id).files.add_folder(path.as_ref());
    }

    /// What is in a file of the host's file tree; `None` where there is none.
    #[must_use]
    pub fn file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let room = self.room.borrow();
        let inode = room.machine(self.id).files.at(path.as_ref()).ok()?.file().ok()?;
        let inode = inode.borrow();
        Some(inode.read_at(0, usize::MAX))
    }

    /// What is on the disk of a file: without the changes that no sync has put there as yet. `None` where there is none.
    #[must_use]
    pub fn file_on_disk(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let room = self.room.borrow();
        let inode = room.machine(self.id).files.at(path.as_ref()).ok()?.file().ok()?;
        let inode = inode.borrow();
        Some(inode.on_disk())
    }

    /// The numbers of the processes of this machine that were started and have not ended, in the order of their starts.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.room.borrow().running_processes(self.shard_id)
    }

    /// Sends a signal to the program, with all its shards. One that has not subscribed to it, or no longer, is killed by
    /// it: its tasks are dropped before virtual time goes on, and its kernel closes what they held.
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
    shard: ShardId,
    origin: &'static Location<'static>,
    /// `None` only while it is being spawned.
    handle: Option<JoinHandle<()>>,
}

/// How a foreground task ended.
pub(crate) struct ForegroundEnd {
    pub(crate) shard: ShardId,
    pub(crate) origin: &'static Location<'static>,
    pub(crate) result: Result<(), JoinError>,
}

impl Foreground {
    /// How many have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Those that have not ended, by shard and id.
    pub(crate) fn list(&self) -> Vec<(ShardId, TaskId)> {
        let tasks = self.tasks.iter().map(|(_, task)| task);
        let ids = tasks.filter_map(|task| Some((task.shard, task.handle.as_ref()?.id())));
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids
    }

    /// One that has ended since.
    pub(crate) fn take_ended(&mut self) -> Option<ForegroundEnd> {
        let task = self.tasks.remove(self.ended.pop_front()?);
        let mut handle = task.handle.expect("a task ends after it was spawned");
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        match core::pin::Pin::new(&mut handle).poll(&mut cx) {
            core::task::Poll::Ready(result) => {
                Some(ForegroundEnd { shard: task.shard, origin: task.origin, result })
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
    fn new(foreground: &Rc<RefCell<Foreground>>, shard: ShardId) -> Self {
        let task = ForegroundTask { shard, origin: Location::caller(), handle: None };
        let key = foreground.borrow_mut().tasks.insert(task);
        Self { foreground: Rc::clone(foreground), key }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.foreground.borrow_mut().ended.push_back(self.key);
    }
}
