//! `SimDriver`: one machine of the room, as a shard of the program on it sees it. It only passes on: the work is done in
//! `room`, `net` and `jobs`.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::cell::{RefCell, RefMut};
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use mainspring_executor::driver::{
    Address, Detached, Driver, Ended, ExitStatus, Heartbeat, Instant, Job, Keepalive,
    ListenOptions, Observer, Readiness, Received, Refused, Schedule, Signal, Token, Transfer,
    Unpark,
};

use crate::calls::Call;
use crate::event::ShardId;
use crate::observer::SimObserver;
use crate::power::LifeNumber;
use crate::room::Room;
use crate::schedule::SimSchedule;
use crate::tokens::Resource;
use crate::trace::Kind;

/// The driver of one shard of a simulated host. Made by [`World::host`](crate::World::host).
pub struct SimDriver {
    room: Rc<RefCell<Room>>,
    shard: ShardId,
    life: LifeNumber,
    unparker: Arc<SimUnpark>,
}

impl SimDriver {
    /// That of the life which the shard has now.
    pub(crate) fn new(room: &Rc<RefCell<Room>>, shard: ShardId, unparked: &Arc<Unparked>) -> Self {
        let life = room.borrow().shard(shard).life;
        let unparker = SimUnpark {
            shard,
            is_unparked: AtomicBool::new(false),
            unparked: Arc::clone(unparked),
        };
        Self { room: Rc::clone(room), shard, life, unparker: Arc::new(unparker) }
    }

    /// The kernel.
    ///
    /// # Errors
    /// `NetworkDown`, for ever, after a crash of the machine: so that destructors of what ran on it ask in vain.
    fn kernel(&self) -> io::Result<RefMut<'_, Room>> {
        let mut room = self.room.borrow_mut();
        room.begin_call();
        match self.life >= room.shard(self.shard).cut {
            true => Ok(room),
            false => Err(ErrorKind::NetworkDown.into()),
        }
    }

    /// The kernel, for a call of the program.
    ///
    /// # Errors
    /// As [`SimDriver::kernel`], and where this call is to fail.
    fn call(&self, call: Call) -> io::Result<RefMut<'_, Room>> {
        let mut room = self.kernel()?;
        room.call(self.shard, call)?;
        Ok(room)
    }

    fn end(&self, token: Token, is_abort: bool) {
        // What it gives is dropped with nothing borrowed.
        let left = self.kernel().map(|mut room| room.close(self.shard, token, is_abort));
        drop(left);
    }
}

impl core::fmt::Debug for SimDriver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SimDriver({})", self.room.borrow().shard(self.shard).name)
    }
}

impl Driver for SimDriver {
    fn now(&self) -> Instant {
        self.room.borrow().clock(self.shard)
    }

    fn wall_clock(&self) -> Duration {
        let room = self.room.borrow();
        room.wall_clock(room.host_of(self.shard))
    }

    fn entropy(&self) -> u64 {
        let room = &mut *self.room.borrow_mut();
        let bits = room.choices.bits(self.shard);
        room.note(self.shard, Kind::Entropy, bits, 0);
        bits
    }

    /// Drawn also where the world is not shuffled: with the same answer every time a busy branch would starve the others,
    /// as it does on no machine.
    fn choose(&self, count: usize) -> usize {
        let room = &mut *self.room.borrow_mut();
        let index = room.choices.branch(self.shard, count);
        room.note(self.shard, Kind::Choose, index as u64, count as u64);
        index
    }

    fn schedule(&self) -> Option<Box<dyn Schedule>> {
        Some(Box::new(SimSchedule::new(&self.room, self.shard)))
    }

    /// Hands over the edges there are. Time moves only when no shard has anything left to do, and that is the world's
    /// affair: `until` means nothing here.
    fn wait(&self, events: &mut Vec<Readiness>, _until: Option<Instant>) -> io::Result<()> {
        self.unparker.is_unparked.store(false, Ordering::Relaxed);
        if let Ok(mut room) = self.kernel() {
            room.take_edges(self.shard, events);
        }
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::clone(&self.unparker) as Arc<dyn Unpark>
    }

    fn watch(&self, heartbeat: Arc<Heartbeat>) {
        self.room.borrow_mut().shard_mut(self.shard).spent.watch(heartbeat);
    }

    fn observer(&self) -> Option<Rc<dyn Observer>> {
        Some(Rc::new(SimObserver::new(&self.room, self.shard)))
    }

    fn listen(&self, address: &Address, options: ListenOptions) -> io::Result<Token> {
        self.call(Call::Listen)?.listen(self.shard, address, options)
    }

    fn accept(&self, listener: Token) -> io::Result<(Token, Address)> {
        self.call(Call::Accept)?.accept(self.shard, listener)
    }

    fn connect(&self, address: &Address) -> io::Result<Token> {
        self.call(Call::Connect)?.connect(self.shard, address)
    }

    fn connect_outcome(&self, socket: Token) -> io::Result<()> {
        self.call(Call::ConnectOutcome)?.connect_outcome(self.shard, socket)
    }

    fn stream_pair(&self) -> io::Result<(Token, Token)> {
        self.call(Call::StreamPair)?.stream_pair(self.shard)
    }

    fn read(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Transfer> {
        self.call(Call::Read)?.read(self.shard, socket, buffer)
    }

    fn write(&self, socket: Token, buffers: &[IoSlice<'_>]) -> io::Result<Transfer> {
        self.call(Call::Write)?.write(self.shard, socket, buffers)
    }

    fn shutdown_write(&self, socket: Token) -> io::Result<()> {
        self.call(Call::ShutdownWrite)?.shutdown_write(self.shard, socket)
    }

    fn set_nodelay(&self, socket: Token, is_on: bool) -> io::Result<()> {
        self.call(Call::SetNodelay)?.set_nodelay(self.shard, socket, is_on);
        Ok(())
    }

    fn set_keepalive(&self, socket: Token, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.call(Call::SetKeepalive)?.set_keepalive(self.shard, socket, keepalive)
    }

    fn local_addr(&self, socket: Token) -> io::Result<Address> {
        let room = self.call(Call::LocalAddr)?;
        match room.resource(self.shard, socket) {
            Resource::Socket(socket) => Ok(room.socket_address(*socket)),
            other => panic!("{socket:?} has no address, for it is a {}", other.name()),
        }
    }

    fn bind_datagram(&self, address: SocketAddr) -> io::Result<Token> {
        self.call(Call::BindDatagram)?.bind_datagram(self.shard, address)
    }

    fn connect_datagram(&self, socket: Token, peer: SocketAddr) -> io::Result<()> {
        self.call(Call::ConnectDatagram)?.connect_datagram(self.shard, socket, peer)
    }

    fn receive_from(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Received> {
        self.call(Call::ReceiveFrom)?.receive_from(self.shard, socket, buffer)
    }

    fn send_to(&self, socket: Token, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        self.call(Call::SendTo)?.send_to(self.shard, socket, datagram, to)
    }

    fn close(&self, token: Token) {
        self.end(token, false);
    }

    fn abort(&self, socket: Token) {
        self.end(socket, true);
    }

    fn detach(&self, socket: Token) -> io::Result<Detached> {
        // What cannot be let go, or be watched, is closed.
        let fails = self.call(Call::Detach).err();
        let detached = self.kernel()?.detach(self.shard, socket);
        fails.map_or(Ok(detached), Err)
    }

    fn adopt(&self, socket: Detached) -> io::Result<Token> {
        self.call(Call::Adopt)?.adopt(self.shard, socket)
    }

    fn subscribe_signals(&self, signals: &[Signal]) -> io::Result<Token> {
        self.call(Call::SubscribeSignals)?.subscribe_signals(self.shard, signals)
    }

    fn next_signal(&self, signals: Token) -> io::Result<Signal> {
        self.kernel()?.next_signal(self.shard, signals)
    }

    fn submit(&self, job: Job) -> Result<Token, Refused> {
        match self.call(Call::Submit) {
            Ok(mut room) => room.submit(self.shard, job),
            Err(error) => Err(Refused { job, error }),
        }
    }

    fn collect(&self, job: Token) -> io::Result<Ended> {
        self.kernel()?.collect(self.shard, job)
    }

    fn process_exit(&self, process: Token) -> io::Result<ExitStatus> {
        self.call(Call::ProcessExit)?.process_exit(self.shard, process)
    }

    fn signal_process(&self, process: Token, signal: Option<Signal>) -> io::Result<()> {
        self.call(Call::SignalProcess)?.signal_process(self.shard, process, signal);
        Ok(())
    }
}

/// The shards that were unparked since the world last looked. Behind a lock, for [`Unpark`] may cross threads; in a run
/// that is to be repeated, it does not.
#[derive(Debug, Default)]
pub(crate) struct Unparked {
    any: AtomicBool,
    shards: Mutex<Vec<ShardId>>,
}

impl Unparked {
    /// Takes the shards, in the order in which they were unparked.
    pub(crate) fn take(&self) -> Vec<ShardId> {
        if !self.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: who comes later sets it again.
        self.any.store(false, Ordering::Relaxed);
        core::mem::take(&mut shards)
    }
}

/// Ends a wait of one shard: brings it back into the world's queue.
struct SimUnpark {
    shard: ShardId,
    /// Unparked since its last `wait`: once is enough.
    is_unparked: AtomicBool,
    unparked: Arc<Unparked>,
}

impl Unpark for SimUnpark {
    fn unpark(&self) {
        if self.is_unparked.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut shards = self.unparked.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.push(self.shard);
        self.unparked.any.store(true, Ordering::Relaxed);
    }
}
