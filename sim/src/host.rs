//! `Host`: a machine with its program, as a scenario handles it.

use core::future::Future;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
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
use crate::clock::DateError;
use crate::coverage::Fault;
use crate::driver::SimDriver;
use crate::event::{HostId, ShardId};
use crate::poll_cost::{PollCost, PolledTask};
use crate::power::LifeNumber;
use crate::room::Room;
use crate::seat::{Seat, Seats};
use crate::spend::in_turn;

/// A simulated machine with a shard of its program: one address, one executor. [`World::add_shard`](crate::World::add_shard)
/// gives it more, each a `Host` of its own. Clones are handles to the same one.
#[derive(Clone)]
pub struct Host {
    pub(crate) id: HostId,
    pub(crate) shard_id: ShardId,
    pub(crate) seat: Rc<Seat>,
    /// Of all shards of the program.
    pub(crate) seats: Seats,
    name: Rc<str>,
    ip: Ipv4Addr,
    ip_v6: Ipv6Addr,
    room: Rc<RefCell<Room>>,
    foreground: Rc<RefCell<Foreground>>,
}

impl Host {
    pub(crate) fn new(
        seat: Rc<Seat>,
        seats: Seats,
        room: &Rc<RefCell<Room>>,
        foreground: &Rc<RefCell<Foreground>>,
    ) -> Self {
        let shard_id = seat.id;
        let (id, name, ip, ip_v6) = {
            let room = room.borrow();
            let id = room.host_of(shard_id);
            let machine = room.machine(id);
            (id, Rc::clone(&room.shard(shard_id).name), machine.ip, machine.ip_v6)
        };
        let (room, foreground) = (Rc::clone(room), Rc::clone(foreground));
        Self { id, shard_id, seat, seats, name, ip, ip_v6, room, foreground }
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

    /// Its executor; another one after [`Host::restart`]. The shard counts as having something to do afterwards, for one may
    /// give it that.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.room.borrow_mut().wake(self.shard_id);
        self.seat.shard()
    }

    /// Its driver; another one after [`Host::restart`].
    #[must_use]
    pub fn driver(&self) -> Rc<SimDriver> {
        self.seat.driver()
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

    /// [`Host::choose`] of something that has a name, as [`World::choose_named`](crate::World::choose_named).
    ///
    /// # Panics
    /// When `bound` is 0.
    #[must_use]
    pub fn choose_named(&self, name: &'static str, bound: u64) -> u64 {
        self.room.borrow_mut().choices.choose_named(Some(self.shard_id), name, bound)
    }

    /// Puts the machine's clock ahead of the right date by so much, from now on: [`time::wall_clock`] jumps. Timers and
    /// [`time::now`] go on as before.
    ///
    /// [`time::wall_clock`]: mainspring_executor::time::wall_clock
    /// [`time::now`]: mainspring_executor::time::now
    pub fn set_date_ahead(&self, by: Duration) {
        self.set_date_error(DateError::Ahead(by));
    }

    /// As [`Host::set_date_ahead`], behind; never before 1970.
    pub fn set_date_behind(&self, by: Duration) {
        self.set_date_error(DateError::Behind(by));
    }

    /// Lets the machine's clock go too fast, from now on, by so many millionths of a second in each second; too slow where that
    /// is negative. Everything that the program measures by it is wrong by as much: timers, deadlines, the date. 0 is right
    /// again, with the error that there is by then.
    ///
    /// # Panics
    /// When it would stand still, or go back: at -1,000,000 and below.
    pub fn set_drift(&self, millionths: i32) {
        self.room.borrow_mut().set_drift(self.id, millionths);
    }

    /// Lets each poll of the machine's tasks take as long as `cost` says, from now on, in place of
    /// [`WorldConfig::poll_cost`](crate::WorldConfig::poll_cost): a range is drawn from for each poll, and `ZERO..=ZERO` takes no
    /// time. Each shard has a processor of its own; its tasks wait for each other, and what came meanwhile waits for all of them. A poll
    /// has done nothing before its time is over: what it sends leaves then, and deadlines count from the turn before, as ever.
    ///
    /// `cost` is asked in the middle of things. It is to look at the task, and at nothing else: whatever asks the host, the world or the
    /// executor in it finds them in use, and panics; and its panic ends the run.
    ///
    /// ```
    /// use core::time::Duration;
    /// use mainspring_executor::time::{sleep, yield_now};
    /// use mainspring_sim::{World, WorldConfig};
    ///
    /// let world = World::new(1, WorldConfig::calm());
    /// let host = world.host("busy");
    /// host.set_poll_cost(|task| {
    ///     let is_report = task.name.as_deref() == Some("report");
    ///     let cost = Duration::from_micros(if is_report { 900 } else { 20 });
    ///     cost..=cost
    /// });
    /// host.run(async { yield_now().await });
    /// assert_eq!(world.run().expect("it ends").at.as_nanos(), 40_000);
    /// ```
    pub fn set_poll_cost(&self, cost: impl Fn(&PolledTask) -> RangeInclusive<Duration> + 'static) {
        let cost = PollCost::new(cost);
        let before = self.room.borrow_mut().machine_mut(self.id).poll_cost.replace(cost);
        // A model is foreign code: nothing is borrowed here.
        drop(before);
    }

    /// Gives the machine so many bytes of memory for the buffers of its sockets, from now on
    /// ([`WorldConfig::socket_memory_bytes`](crate::WorldConfig::socket_memory_bytes)); `None` is no bound. What is in buffers stays
    /// there, though it may be more. Who waits for memory to write into is woken when there is some.
    pub fn set_socket_memory(&self, bytes: Option<usize>) {
        self.room.borrow_mut().set_socket_memory(self.id, bytes);
    }

    /// Starts a task that the run waits for. Its panic fails the run. Where a signal kills its program, or the machine crashes,
    /// it counts as ended.
    ///
    /// # Panics
    /// As [`Host::spawn`].
    #[track_caller]
    pub fn run(&self, future: impl Future<Output = ()> + 'static) {
        let life = self.room.borrow().shard(self.shard_id).life;
        let ticket = Ticket::new(&self.foreground, self.shard_id, life);
        let key = ticket.key;
        let handle = self.spawn(async move {
            let _ticket = ticket;
            future.await;
        });
        self.foreground.borrow_mut().tasks[key].handle = Some(handle);
    }

    /// Starts a task that the run does not wait for.
    ///
    /// # Panics
    /// When the machine has crashed, or a signal has killed its program, and it was not restarted.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let is_over = self.room.borrow().is_program_over(self.shard_id);
        assert!(
            !is_over,
            "{} has crashed, or was killed: it is restarted before a program starts on it",
            self.name
        );
        let shard = self.shard();
        let _charged = self.seat.charged();
        shard.spawn(future)
    }

    /// How many bytes are alive of what this shard has allocated: its tasks in their polls, its executor, and what the room
    /// keeps for them, such as bytes that they sent and that are under way. It counts for who allocated it, whoever frees it. What a
    /// scenario makes outside of tasks, and moves into one, is not counted, nor is what a run keeps of itself: trace, recording,
    /// [latencies](crate::Latencies).
    ///
    /// Spare receive buffers, of 64 KiB each, belong to all shards of a thread as long as there are any: one counts for the shard that
    /// needed it first, whoever reads into it later, in this world or in another one of the thread.
    ///
    /// # Panics
    /// Where the program does not use the allocator that counts: a test names
    /// [`CountingAllocator`](mainspring_sim_allocator::CountingAllocator) as its `#[global_allocator]`. And beyond 65,535 shards that
    /// there are, or that have left bytes behind.
    #[must_use]
    pub fn bytes_live(&self) -> usize {
        self.seat
            .bytes_live()
            .expect("a test that asks for bytes has a CountingAllocator as its #[global_allocator], and fewer than 65,536 shards")
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

    /// What is on the disk of the file that has this name now: without the changes that no sync has put there as yet. `None`
    /// where there is none.
    #[must_use]
    pub fn file_on_disk(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let room = self.room.borrow();
        let inode = room.machine(self.id).files.at(path.as_ref()).ok()?.file().ok()?;
        let inode = inode.borrow();
        Some(inode.on_disk())
    }

    /// How many address pairs of this machine are in `TIME_WAIT`: connections that ended in order within the last 60 s, and that
    /// were closed here first (on the way back to itself, within the last second: `tcp_tw_reuse`).
    #[must_use]
    pub fn time_wait_count(&self) -> usize {
        let room = &mut *self.room.borrow_mut();
        let now = room.now;
        room.machine_mut(self.id).sockets.pairs.waiting_count(now)
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

    /// Cuts the machine's power, if it has any. All of its programs end, child processes as well: their tasks are dropped before
    /// virtual time goes on, and what their destructors ask for has no effect. The kernel says nothing to anybody: what
    /// it had sent still arrives, and what is sent to the machine from now on finds nobody, until [`Host::restart`].
    ///
    /// Jobs under way have no effect. Files keep what was synced; of what was written since, the seed decides whether all
    /// of it is there, none, or some changes in part. Names that were made, removed or given to others since the last sync
    /// of any folder are as they were after one of these changes, or before all; those of Unix sockets stay.
    ///
    /// Asked for by a task of the machine itself it happens when the turn of that shard ends.
    pub fn crash(&self) {
        if self.is_in_turn() {
            self.room.borrow_mut().machine_mut(self.id).is_crashing = true;
        } else {
            self.room.borrow_mut().crash(self.id);
        }
    }

    /// Brings the machine back, for a program to be started on it by [`Host::run`] or [`Host::spawn`]. Names, addresses, disk,
    /// date and links are as they were, all else is empty: each shard has a new executor and a new driver. Draws go on where
    /// they were. A packet for a connection from before the crash is answered with a reset.
    ///
    /// A machine that is up crashes first, as by its reset button. One whose program was killed by a signal does not: its
    /// kernel stays, with the child processes that are left, and the next program starts when the tasks of the last are
    /// dropped.
    ///
    /// # Panics
    /// When a task of the machine itself asks for it: that would not be there any more.
    pub fn restart(&self) {
        assert!(!self.is_in_turn(), "{} is not restarted by its own program", self.name);
        self.room.borrow_mut().restart(self.id);
        // What a scenario puts around the driver is foreign code: nothing is borrowed here.
        let seats = self.seats.borrow().clone();
        for seat in seats {
            seat.begin_life();
        }
    }

    /// Lets the program stand still, with all its shards, until [`Host::resume`], as a collection of garbage does.
    /// Its kernel goes on: it takes connections into backlogs and bytes into buffers, and acknowledges them; jobs end,
    /// closures run. Child processes go on, too. Signals wait.
    ///
    /// Where a task of the program asks for it, its turn goes on to its end. A program that has ended does not pause.
    pub fn pause(&self) {
        self.room.borrow_mut().pause(self.id);
    }

    /// Lets the program go on after [`Host::pause`]: edges and timers that came due meanwhile come now, and signals.
    pub fn resume(&self) {
        self.room.borrow_mut().resume(self.id);
    }

    fn set_date_error(&self, error: DateError) {
        let room = &mut *self.room.borrow_mut();
        room.coverage.add_fault(Fault::DateJump);
        room.machine_mut(self.id).clock.set_date_error(error);
    }

    /// Whether a task of this machine runs now.
    fn is_in_turn(&self) -> bool {
        in_turn(&self.room).is_some_and(|shard| self.room.borrow().host_of(shard) == self.id)
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
    life: LifeNumber,
    origin: &'static Location<'static>,
    /// `None` only while it is being spawned.
    handle: Option<JoinHandle<()>>,
}

/// How a foreground task ended.
pub(crate) struct ForegroundEnd {
    pub(crate) shard: ShardId,
    pub(crate) life: LifeNumber,
    pub(crate) id: TaskId,
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
        let id = handle.id();
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        match core::pin::Pin::new(&mut handle).poll(&mut cx) {
            core::task::Poll::Ready(result) => {
                let ForegroundTask { shard, life, origin, .. } = task;
                Some(ForegroundEnd { shard, life, id, origin, result })
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
    fn new(foreground: &Rc<RefCell<Foreground>>, shard: ShardId, life: LifeNumber) -> Self {
        let task = ForegroundTask { shard, life, origin: Location::caller(), handle: None };
        let key = foreground.borrow_mut().tasks.insert(task);
        Self { foreground: Rc::clone(foreground), key }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.foreground.borrow_mut().ended.push_back(self.key);
    }
}
