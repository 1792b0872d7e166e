//! Random programs of operations, with futures dropped at random: each answer, each wake and their order as in the plainest
//! model there is.

use core::cell::{Cell, RefCell};
use core::task::Poll;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use mainspring_executor::sync::{
    Closed, Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock,
    Semaphore, TryAcquireError, broadcast, mpsc, watch,
};
use proptest::prelude::*;

use crate::permits_model::PermitsModel;
use crate::polled::{Polled, WakeLog};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() }
}

/// Removes one of `things`, whatever the number.
fn take_any<T>(things: &mut Vec<T>, index: usize) -> Option<T> {
    if things.is_empty() { None } else { Some(things.remove(index % things.len())) }
}

/// One of `things`, whatever the number.
fn any_of<T>(things: &mut [T], index: usize) -> Option<&mut T> {
    let count = things.len();
    things.get_mut(index.checked_rem(count)?)
}

// Semaphore.

#[derive(Clone, Debug)]
enum SemaphoreOp {
    Acquire(usize),
    TryAcquire(usize),
    Poll(usize, bool),
    DropFuture(usize),
    Release(usize),
    Forget(usize),
    Add(usize),
    ForgetFree(usize),
    Close,
}

fn semaphore_op() -> impl Strategy<Value = SemaphoreOp> {
    use SemaphoreOp::*;
    prop_oneof![
        8 => (0..5usize).prop_map(Acquire),
        4 => (0..4usize).prop_map(TryAcquire),
        8 => any::<(usize, bool)>().prop_map(|(index, change)| Poll(index, change)),
        4 => any::<usize>().prop_map(DropFuture),
        8 => any::<usize>().prop_map(Release),
        1 => any::<usize>().prop_map(Forget),
        2 => (0..3usize).prop_map(Add),
        1 => (0..3usize).prop_map(ForgetFree),
        1 => Just(Close),
    ]
}

/// A semaphore, its model, and what came of both.
struct Semaphores {
    semaphore: Rc<Semaphore>,
    model: PermitsModel,
    log: WakeLog,
    futures: Vec<Polled<'static, Result<OwnedSemaphorePermit, Closed>>>,
    permits: Vec<OwnedSemaphorePermit>,
    made: usize,
}

impl Semaphores {
    fn step(&mut self, op: SemaphoreOp) {
        match op {
            SemaphoreOp::Acquire(wanted) => {
                let acquire = self.semaphore.clone().acquire_many_owned(wanted);
                let mut future = self.log.future(self.made, acquire);
                let expected = self.model.request(self.made, wanted);
                self.made += 1;
                let polled = future.poll();
                self.check_poll(future, polled, expected);
            }
            SemaphoreOp::TryAcquire(wanted) => {
                let tried = self.semaphore.clone().try_acquire_many_owned(wanted);
                let expected = match self.model.try_take(wanted) {
                    Some(Ok(())) => Ok(wanted),
                    Some(Err(())) => Err(TryAcquireError::Closed),
                    None => Err(TryAcquireError::NoPermits),
                };
                assert_eq!(
                    tried.as_ref().map(OwnedSemaphorePermit::count),
                    expected.as_ref().copied()
                );
                self.permits.extend(tried);
            }
            SemaphoreOp::Poll(index, change) => {
                let Some(mut future) = take_any(&mut self.futures, index) else { return };
                if change {
                    future.change_waker(&self.log);
                }
                let expected = self.model.poll(future.id);
                let polled = future.poll();
                self.check_poll(future, polled, expected);
            }
            SemaphoreOp::DropFuture(index) => {
                let Some(future) = take_any(&mut self.futures, index) else { return };
                self.model.leave(future.id);
            }
            SemaphoreOp::Release(index) => {
                let Some(permit) = take_any(&mut self.permits, index) else { return };
                self.model.put(permit.count());
            }
            SemaphoreOp::Forget(index) => {
                if let Some(permit) = take_any(&mut self.permits, index) {
                    permit.forget();
                }
            }
            SemaphoreOp::Add(count) => {
                self.semaphore.add_permits(count);
                self.model.put(count);
            }
            SemaphoreOp::ForgetFree(count) => {
                let expected = count.min(self.model.free);
                self.model.free -= expected;
                assert_eq!(self.semaphore.forget_permits(count), expected);
            }
            SemaphoreOp::Close => {
                self.semaphore.close();
                self.model.close();
            }
        }
    }

    fn check_poll(
        &mut self,
        future: Polled<'static, Result<OwnedSemaphorePermit, Closed>>,
        polled: Poll<Result<OwnedSemaphorePermit, Closed>>,
        expected: Poll<Result<(), ()>>,
    ) {
        match (polled, expected) {
            (Poll::Pending, Poll::Pending) => self.futures.push(future),
            (Poll::Ready(Ok(permit)), Poll::Ready(Ok(()))) => self.permits.push(permit),
            (Poll::Ready(Err(Closed)), Poll::Ready(Err(()))) => {}
            (polled, expected) => panic!("{polled:?} instead of {expected:?}"),
        }
    }

    fn check(&mut self) {
        assert_eq!(self.log.take(), self.model.take_woken());
        assert_eq!(self.semaphore.available_permits(), self.model.free);
        assert_eq!(self.semaphore.is_closed(), self.model.is_closed);
        let closed = if self.model.is_closed { ", closed" } else { "" };
        let (free, waiting) = (self.model.free, self.model.line.len());
        let expected = format!("Semaphore({free} free, {waiting} waiting{closed})");
        assert_eq!(format!("{:?}", self.semaphore), expected);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn semaphore_is_as_its_model(
        permits in 0..4usize,
        ops in proptest::collection::vec(semaphore_op(), 0..60),
    ) {
        let mut world = Semaphores {
            semaphore: Rc::new(Semaphore::new(permits)),
            model: PermitsModel::new(permits),
            log: WakeLog::default(),
            futures: Vec::new(),
            permits: Vec::new(),
            made: 0,
        };
        for op in ops {
            world.step(op);
            world.check();
        }
    }
}

// RwLock: permits without end for readers, all of them for a writer.

/// More readers than a program has here.
const READERS_MAX: usize = 1000;

#[derive(Clone, Debug)]
enum RwLockOp {
    Read,
    Write,
    TryRead,
    TryWrite,
    Poll(usize, bool),
    DropFuture(usize),
    Unlock(usize),
}

fn rwlock_op() -> impl Strategy<Value = RwLockOp> {
    use RwLockOp::*;
    prop_oneof![
        4 => Just(Read),
        2 => Just(Write),
        1 => Just(TryRead),
        1 => Just(TryWrite),
        5 => any::<(usize, bool)>().prop_map(|(index, change)| Poll(index, change)),
        2 => any::<usize>().prop_map(DropFuture),
        5 => any::<usize>().prop_map(Unlock),
    ]
}

/// A lock for reading or writing.
enum Guard {
    Read(OwnedRwLockReadGuard<u32>),
    Write(OwnedRwLockWriteGuard<u32>),
}

impl Guard {
    fn count(&self) -> usize {
        match self {
            Self::Read(_) => 1,
            Self::Write(_) => READERS_MAX,
        }
    }
}

struct RwLocks {
    lock: Rc<RwLock<u32>>,
    model: PermitsModel,
    log: WakeLog,
    futures: Vec<Polled<'static, Guard>>,
    guards: Vec<Guard>,
    made: usize,
    writes: u32,
}

impl RwLocks {
    fn step(&mut self, op: RwLockOp) {
        let lock = self.lock.clone();
        match op {
            RwLockOp::Read => {
                let read = async move { Guard::Read(lock.read_owned().await) };
                self.request(self.log.future(self.made, read), 1);
            }
            RwLockOp::Write => {
                let write = async move { Guard::Write(lock.write_owned().await) };
                self.request(self.log.future(self.made, write), READERS_MAX);
            }
            RwLockOp::TryRead => {
                let tried = lock.try_read_owned().ok().map(Guard::Read);
                assert_eq!(tried.is_some(), self.model.try_take(1).is_some());
                self.guards.extend(tried);
            }
            RwLockOp::TryWrite => {
                let tried = lock.try_write_owned().ok().map(Guard::Write);
                assert_eq!(tried.is_some(), self.model.try_take(READERS_MAX).is_some());
                self.guards.extend(tried);
            }
            RwLockOp::Poll(index, change) => {
                let Some(mut future) = take_any(&mut self.futures, index) else { return };
                if change {
                    future.change_waker(&self.log);
                }
                let expected = self.model.poll(future.id);
                self.check_poll(future, expected);
            }
            RwLockOp::DropFuture(index) => {
                let Some(future) = take_any(&mut self.futures, index) else { return };
                self.model.leave(future.id);
            }
            RwLockOp::Unlock(index) => {
                let Some(mut guard) = take_any(&mut self.guards, index) else { return };
                match &mut guard {
                    Guard::Read(value) => assert_eq!(**value, self.writes),
                    Guard::Write(value) => {
                        self.writes += 1;
                        **value += 1;
                    }
                }
                self.model.put(guard.count());
            }
        }
    }

    fn request(&mut self, future: Polled<'static, Guard>, wanted: usize) {
        self.made += 1;
        let expected = self.model.request(future.id, wanted);
        self.check_poll(future, expected);
    }

    fn check_poll(&mut self, mut future: Polled<'static, Guard>, expected: Poll<Result<(), ()>>) {
        let polled = future.poll();
        assert_eq!(polled.is_ready(), expected.is_ready());
        match polled {
            Poll::Ready(guard) => self.guards.push(guard),
            Poll::Pending => self.futures.push(future),
        }
    }

    fn check(&mut self) {
        assert_eq!(self.log.take(), self.model.take_woken());
        let writers = self.guards.iter().filter(|guard| matches!(guard, Guard::Write(_))).count();
        assert!(writers == 0 || self.guards.len() == 1, "a writer is alone");
        let waiting = self.model.line.len();
        let expected = match READERS_MAX - self.model.free {
            READERS_MAX => format!("RwLock(written, {waiting} waiting)"),
            readers => format!("RwLock({readers} reading, {waiting} waiting)"),
        };
        assert_eq!(format!("{:?}", self.lock), expected);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rwlock_is_as_its_model(ops in proptest::collection::vec(rwlock_op(), 0..60)) {
        let mut world = RwLocks {
            lock: Rc::new(RwLock::new(0)),
            model: PermitsModel::new(READERS_MAX),
            log: WakeLog::default(),
            futures: Vec::new(),
            guards: Vec::new(),
            made: 0,
            writes: 0,
        };
        for op in ops {
            world.step(op);
            world.check();
        }
    }
}

// mpsc.

#[derive(Clone, Debug)]
enum MpscOp {
    Send,
    TrySend,
    Reserve,
    Poll(usize, bool),
    DropFuture(usize),
    Use(usize),
    Release(usize),
    /// A receive, or another poll of the one that waits.
    Recv,
    DropRecv,
    TryRecv,
    Close,
    DropSender,
    DropReceiver,
}

fn mpsc_op() -> impl Strategy<Value = MpscOp> {
    use MpscOp::*;
    prop_oneof![
        12 => Just(Send),
        6 => Just(TrySend),
        6 => Just(Reserve),
        8 => any::<(usize, bool)>().prop_map(|(index, change)| Poll(index, change)),
        4 => any::<usize>().prop_map(DropFuture),
        4 => any::<usize>().prop_map(Use),
        2 => any::<usize>().prop_map(Release),
        12 => Just(Recv),
        2 => Just(DropRecv),
        4 => Just(TryRecv),
        1 => Just(Close),
        1 => Just(DropSender),
        1 => Just(DropReceiver),
    ]
}

/// What the future of a sender gives.
enum Sent {
    Message(Result<(), u32>),
    Permit(Option<mpsc::OwnedPermit<u32>>),
}

/// The id of the receiver among the wakes.
const RECEIVER: usize = usize::MAX;

struct Channels {
    /// Dropped at some time; the futures and permits of senders have their own.
    sender: Option<mpsc::Sender<u32>>,
    receiver: Option<Rc<RefCell<mpsc::Receiver<u32>>>>,
    recv: Option<Polled<'static, Option<u32>>>,
    log: WakeLog,
    futures: Vec<(Polled<'static, Sent>, Option<u32>)>,
    permits: Vec<mpsc::OwnedPermit<u32>>,
    made: usize,
    capacity: usize,
    room: PermitsModel,
    queue: VecDeque<u32>,
    /// The receiver waits and was not woken.
    is_waiting: bool,
    receiver_woken: bool,
}

impl Channels {
    fn step(&mut self, op: MpscOp) {
        match op {
            MpscOp::Send => self.send(),
            MpscOp::TrySend => self.try_send(),
            MpscOp::Reserve => self.reserve(),
            MpscOp::Poll(index, change) => {
                let Some((mut future, message)) = take_any(&mut self.futures, index) else {
                    return;
                };
                if change {
                    future.change_waker(&self.log);
                }
                let expected = self.room.poll(future.id);
                self.check_poll(future, message, expected);
            }
            MpscOp::DropFuture(index) => {
                let Some((future, _)) = take_any(&mut self.futures, index) else { return };
                self.room.leave(future.id);
                drop(future);
                self.check_end();
            }
            MpscOp::Use(index) => {
                let Some(permit) = take_any(&mut self.permits, index) else { return };
                drop(permit.send(7));
                self.push(7);
                self.check_end();
            }
            MpscOp::Release(index) => {
                if take_any(&mut self.permits, index).is_some() {
                    self.room.put(1);
                    self.check_end();
                    if self.room.is_closed {
                        self.wake_receiver();
                    }
                }
            }
            MpscOp::Recv => self.recv(),
            MpscOp::DropRecv => {
                if self.recv.take().is_some() {
                    self.is_waiting = false;
                }
            }
            MpscOp::TryRecv => self.try_recv(),
            MpscOp::Close => {
                let Some(receiver) = &self.receiver else { return };
                if self.recv.is_none() {
                    receiver.borrow_mut().close();
                    self.room.close();
                }
            }
            MpscOp::DropSender => {
                self.sender = None;
                self.check_end();
            }
            MpscOp::DropReceiver => {
                self.recv = None;
                self.is_waiting = false;
                if self.receiver.take().is_some() {
                    self.room.close();
                    self.room.free += self.queue.len();
                    self.queue.clear();
                }
            }
        }
    }

    fn send(&mut self) {
        let Some(sender) = self.sender.clone() else { return };
        let message = u32::try_from(self.made).expect("few");
        let send = async move {
            Sent::Message(sender.send(message).await.map_err(|mpsc::SendError(it)| it))
        };
        let future = self.log.future(self.made, send);
        self.made += 1;
        let expected = self.room.request(future.id, 1);
        self.check_poll(future, Some(message), expected);
    }

    fn reserve(&mut self) {
        let Some(sender) = self.sender.clone() else { return };
        let reserve = async move { Sent::Permit(sender.reserve_owned().await.ok()) };
        let future = self.log.future(self.made, reserve);
        self.made += 1;
        let expected = self.room.request(future.id, 1);
        self.check_poll(future, None, expected);
    }

    fn try_send(&mut self) {
        let Some(sender) = &self.sender else { return };
        let tried = sender.try_send(9);
        let expected = match self.room.try_take(1) {
            Some(Ok(())) => Ok(()),
            Some(Err(())) => Err(mpsc::TrySendError::Closed(9)),
            None => Err(mpsc::TrySendError::Full(9)),
        };
        assert_eq!(tried, expected);
        if tried.is_ok() {
            self.push(9);
        }
    }

    fn check_poll(
        &mut self,
        mut future: Polled<'static, Sent>,
        message: Option<u32>,
        expected: Poll<Result<(), ()>>,
    ) {
        match (future.poll(), expected) {
            (Poll::Pending, Poll::Pending) => return self.futures.push((future, message)),
            (Poll::Ready(Sent::Message(Ok(()))), Poll::Ready(Ok(()))) => {
                self.push(message.expect("the model knows it"));
            }
            (Poll::Ready(Sent::Message(Err(back))), Poll::Ready(Err(()))) => {
                assert_eq!(Some(back), message);
            }
            (Poll::Ready(Sent::Permit(Some(permit))), Poll::Ready(Ok(()))) => {
                self.permits.push(permit);
            }
            (Poll::Ready(Sent::Permit(None)), Poll::Ready(Err(()))) => {}
            (_, expected) => panic!("a sender's future was to be {expected:?}"),
        }
        drop(future);
        self.check_end();
    }

    /// A message with a permit.
    fn push(&mut self, message: u32) {
        if self.receiver.is_none() {
            self.room.put(1);
            return;
        }
        self.queue.push_back(message);
        self.wake_receiver();
    }

    /// A sender may have been the last.
    fn check_end(&mut self) {
        if self.senders() == 0 {
            self.wake_receiver();
        }
    }

    fn senders(&self) -> usize {
        usize::from(self.sender.is_some()) + self.futures.len() + self.permits.len()
    }

    fn wake_receiver(&mut self) {
        if self.is_waiting {
            self.is_waiting = false;
            self.receiver_woken = true;
        }
    }

    /// What a receive gives now; `None` where it waits.
    fn next(&mut self) -> Option<Option<u32>> {
        if let Some(message) = self.queue.pop_front() {
            self.room.put(1);
            return Some(Some(message));
        }
        let all_back = self.room.is_closed && self.room.free == self.capacity;
        (self.senders() == 0 || all_back).then_some(None)
    }

    fn recv(&mut self) {
        let Some(receiver) = &self.receiver else { return };
        let mut recv = self.recv.take().unwrap_or_else(|| {
            let receiver = receiver.clone();
            #[expect(clippy::await_holding_refcell_ref, reason = "nobody else uses it meanwhile")]
            self.log.future(RECEIVER, async move { receiver.borrow_mut().recv().await })
        });
        let polled = recv.poll();
        match self.next() {
            Some(received) => assert_eq!(polled, Poll::Ready(received)),
            None => {
                assert_eq!(polled, Poll::Pending);
                self.recv = Some(recv);
            }
        }
        self.is_waiting = self.recv.is_some();
    }

    fn try_recv(&mut self) {
        let Some(receiver) = self.receiver.clone() else { return };
        if self.recv.is_some() {
            return;
        }
        let tried = receiver.borrow_mut().try_recv();
        let expected = match self.next() {
            Some(Some(message)) => Ok(message),
            Some(None) => Err(mpsc::TryRecvError::Disconnected),
            None => Err(mpsc::TryRecvError::Empty),
        };
        assert_eq!(tried, expected);
    }

    fn check(&mut self) {
        let (receiver, senders): (Vec<_>, Vec<_>) =
            self.log.take().into_iter().partition(|id| *id == RECEIVER);
        assert_eq!(senders, self.room.take_woken());
        assert_eq!(!receiver.is_empty(), core::mem::take(&mut self.receiver_woken));
        if let Some(sender) = &self.sender {
            assert_eq!((sender.len(), sender.is_closed()), (self.queue.len(), self.room.is_closed));
            assert_eq!(sender.capacity(), self.capacity);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mpsc_is_as_its_model(
        capacity in 1..4usize,
        ops in proptest::collection::vec(mpsc_op(), 0..80),
    ) {
        let (sender, receiver) = mpsc::channel(capacity);
        let mut world = Channels {
            sender: Some(sender),
            receiver: Some(Rc::new(RefCell::new(receiver))),
            recv: None,
            log: WakeLog::default(),
            futures: Vec::new(),
            permits: Vec::new(),
            made: 0,
            capacity,
            room: PermitsModel::new(capacity),
            queue: VecDeque::new(),
            is_waiting: false,
            receiver_woken: false,
        };
        for op in ops {
            world.step(op);
            world.check();
        }
    }
}

// broadcast.

#[derive(Clone, Debug)]
enum BroadcastOp {
    Send,
    Subscribe,
    Resubscribe(usize),
    /// A receive, or another poll of the one that waits.
    Recv(usize),
    DropRecv(usize),
    TryRecv(usize),
    DropReceiver(usize),
    DropSender,
}

fn broadcast_op() -> impl Strategy<Value = BroadcastOp> {
    use BroadcastOp::*;
    prop_oneof![
        10 => Just(Send),
        2 => Just(Subscribe),
        1 => any::<usize>().prop_map(Resubscribe),
        8 => any::<usize>().prop_map(Recv),
        2 => any::<usize>().prop_map(DropRecv),
        4 => any::<usize>().prop_map(TryRecv),
        2 => any::<usize>().prop_map(DropReceiver),
        1 => Just(DropSender),
    ]
}

/// A receiver, and what it will get.
struct Listener {
    id: usize,
    receiver: Rc<RefCell<broadcast::Receiver<Rc<u64>>>>,
    recv: Option<Polled<'static, Result<Rc<u64>, broadcast::RecvError>>>,
    /// The number of the next message.
    next: u64,
}

struct Broadcasts {
    sender: Option<broadcast::Sender<Rc<u64>>>,
    listeners: Vec<Listener>,
    log: WakeLog,
    capacity: u64,
    /// All messages ever sent: the number of each is its place.
    sent: Vec<std::rc::Weak<u64>>,
    /// Who waits, in order.
    line: Vec<usize>,
    woken: Vec<usize>,
    made: usize,
}

impl Broadcasts {
    fn listen(&mut self, receiver: broadcast::Receiver<Rc<u64>>) {
        let receiver = Rc::new(RefCell::new(receiver));
        let next = self.sent.len() as u64;
        self.listeners.push(Listener { id: self.made, receiver, recv: None, next });
        self.made += 1;
    }

    fn step(&mut self, op: BroadcastOp) {
        match op {
            BroadcastOp::Send => {
                let Some(sender) = &self.sender else { return };
                let message = Rc::new(self.sent.len() as u64);
                let weak = Rc::downgrade(&message);
                let sent = sender.send(message).map_err(|broadcast::SendError(back)| *back);
                if self.listeners.is_empty() {
                    assert_eq!(sent, Err(self.sent.len() as u64));
                } else {
                    assert_eq!(sent, Ok(self.listeners.len()));
                    self.sent.push(weak);
                    self.woken.append(&mut self.line);
                }
            }
            BroadcastOp::Subscribe => {
                let Some(sender) = &self.sender else { return };
                let receiver = sender.subscribe();
                self.listen(receiver);
            }
            BroadcastOp::Resubscribe(index) => {
                let Some(listener) = any_of(&mut self.listeners, index) else { return };
                if listener.recv.is_none() {
                    let receiver = listener.receiver.borrow().resubscribe();
                    self.listen(receiver);
                }
            }
            BroadcastOp::Recv(index) => self.recv(index),
            BroadcastOp::DropRecv(index) => {
                let Some(listener) = any_of(&mut self.listeners, index) else { return };
                listener.recv = None;
                let id = listener.id;
                self.line.retain(|waiting| *waiting != id);
            }
            BroadcastOp::TryRecv(index) => {
                let expected = self.expected(index);
                let Some(listener) = any_of(&mut self.listeners, index) else { return };
                if listener.recv.is_some() {
                    return;
                }
                let tried = listener.receiver.borrow_mut().try_recv();
                match expected {
                    Err(broadcast::TryRecvError::Lagged(count)) => listener.next += count,
                    Ok(_) => listener.next += 1,
                    Err(_) => {}
                }
                assert_eq!(tried.map(|message| *message), expected);
            }
            BroadcastOp::DropReceiver(index) => {
                let Some(listener) = take_any(&mut self.listeners, index) else { return };
                self.line.retain(|waiting| *waiting != listener.id);
            }
            BroadcastOp::DropSender => {
                if self.sender.take().is_some() {
                    self.woken.append(&mut self.line);
                }
            }
        }
    }

    /// What the listener would get now.
    fn expected(&self, index: usize) -> Result<u64, broadcast::TryRecvError> {
        let count = self.listeners.len();
        let Some(listener) = index.checked_rem(count).map(|index| &self.listeners[index]) else {
            return Err(broadcast::TryRecvError::Empty);
        };
        let end = self.sent.len() as u64;
        let oldest = end.saturating_sub(self.capacity);
        if listener.next < oldest {
            Err(broadcast::TryRecvError::Lagged(oldest - listener.next))
        } else if listener.next < end {
            Ok(listener.next)
        } else if self.sender.is_none() {
            Err(broadcast::TryRecvError::Closed)
        } else {
            Err(broadcast::TryRecvError::Empty)
        }
    }

    fn recv(&mut self, index: usize) {
        let expected = self.expected(index);
        let Some(listener) = any_of(&mut self.listeners, index) else { return };
        let mut recv = listener.recv.take().unwrap_or_else(|| {
            let receiver = listener.receiver.clone();
            #[expect(clippy::await_holding_refcell_ref, reason = "nobody else uses it meanwhile")]
            self.log.future(listener.id, async move { receiver.borrow_mut().recv().await })
        });
        let polled = recv.poll().map_ok(|message| *message);
        match expected {
            Ok(number) => {
                assert_eq!(polled, Poll::Ready(Ok(number)));
                listener.next += 1;
            }
            Err(broadcast::TryRecvError::Lagged(count)) => {
                assert_eq!(polled, Poll::Ready(Err(broadcast::RecvError::Lagged(count))));
                listener.next += count;
            }
            Err(broadcast::TryRecvError::Closed) => {
                assert_eq!(polled, Poll::Ready(Err(broadcast::RecvError::Closed)));
            }
            Err(broadcast::TryRecvError::Empty) => {
                assert_eq!(polled, Poll::Pending);
                listener.recv = Some(recv);
                if !self.line.contains(&listener.id) {
                    self.line.push(listener.id);
                }
            }
        }
    }

    fn check(&mut self) {
        assert_eq!(self.log.take(), core::mem::take(&mut self.woken));
        // Kept is what somebody has yet to see, and is not too old.
        let end = self.sent.len() as u64;
        let slowest = self.listeners.iter().map(|listener| listener.next).min().unwrap_or(end);
        let first = slowest.max(end.saturating_sub(self.capacity));
        for (number, message) in self.sent.iter().enumerate() {
            assert_eq!(message.strong_count() > 0, number as u64 >= first, "message {number}");
        }
        if let Some(sender) = &self.sender {
            assert_eq!(sender.len() as u64, end - first);
            assert_eq!(sender.receiver_count(), self.listeners.len());
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn broadcast_is_as_its_model(
        capacity in 1..5usize,
        ops in proptest::collection::vec(broadcast_op(), 0..80),
    ) {
        let (sender, receiver) = broadcast::channel(capacity);
        let mut world = Broadcasts {
            sender: Some(sender),
            listeners: Vec::new(),
            log: WakeLog::default(),
            capacity: capacity as u64,
            sent: Vec::new(),
            line: Vec::new(),
            woken: Vec::new(),
            made: 0,
        };
        world.listen(receiver);
        for op in ops {
            world.step(op);
            world.check();
        }
    }
}

// watch.

#[derive(Clone, Debug)]
enum WatchOp {
    Send,
    Set,
    Modify,
    ModifyNothing,
    Subscribe,
    Clone(usize),
    Look(usize),
    DropLook(usize),
    Update(usize),
    MarkChanged(usize),
    /// A wait for a change, or another poll of it.
    Changed(usize),
    DropChanged(usize),
    DropReceiver(usize),
    /// A wait for the receivers' end, or another poll of it.
    Closed,
    DropSender,
}

fn watch_op() -> impl Strategy<Value = WatchOp> {
    use WatchOp::*;
    prop_oneof![
        6 => Just(Send),
        2 => Just(Set),
        2 => Just(Modify),
        1 => Just(ModifyNothing),
        1 => Just(Subscribe),
        1 => any::<usize>().prop_map(Clone),
        2 => any::<usize>().prop_map(Look),
        2 => any::<usize>().prop_map(DropLook),
        2 => any::<usize>().prop_map(Update),
        1 => any::<usize>().prop_map(MarkChanged),
        8 => any::<usize>().prop_map(Changed),
        2 => any::<usize>().prop_map(DropChanged),
        2 => any::<usize>().prop_map(DropReceiver),
        2 => Just(Closed),
        1 => Just(DropSender),
    ]
}

/// A receiver, and whether it has seen the value.
struct Watcher {
    id: usize,
    receiver: Rc<RefCell<watch::Receiver<u32>>>,
    changed: Option<Polled<'static, Result<(), Closed>>>,
    has_seen: bool,
}

/// The id of who waits for the receivers' end.
const SENDER: usize = usize::MAX;

struct Watches {
    sender: Option<watch::Sender<u32>>,
    closed: Option<Polled<'static, ()>>,
    watchers: Vec<Watcher>,
    looks: Vec<(watch::Ref<u32>, u32)>,
    log: WakeLog,
    value: u32,
    line: Vec<usize>,
    closed_waits: bool,
    woken: Vec<usize>,
    made: usize,
}

impl Watches {
    fn watch(&mut self, receiver: watch::Receiver<u32>, has_seen: bool) {
        let receiver = Rc::new(RefCell::new(receiver));
        self.watchers.push(Watcher { id: self.made, receiver, changed: None, has_seen });
        self.made += 1;
    }

    fn change(&mut self) {
        self.value += 1;
        for watcher in &mut self.watchers {
            watcher.has_seen = false;
        }
        self.woken.append(&mut self.line);
    }

    fn step(&mut self, op: WatchOp) {
        let next = self.value + 1;
        match op {
            WatchOp::Send => {
                let Some(sender) = &self.sender else { return };
                let sent = sender.send(next);
                assert_eq!(sent.is_ok(), !self.watchers.is_empty());
                match sent {
                    Ok(()) => self.change(),
                    Err(watch::SendError(back)) => assert_eq!(back, next),
                }
            }
            WatchOp::Set => {
                let Some(sender) = &self.sender else { return };
                sender.set(next);
                self.change();
            }
            WatchOp::Modify => {
                let Some(sender) = &self.sender else { return };
                sender.send_modify(|value| *value += 1);
                self.change();
            }
            WatchOp::ModifyNothing => {
                let Some(sender) = &self.sender else { return };
                assert!(!sender.send_if_modified(|_| false));
            }
            WatchOp::Subscribe => {
                let Some(sender) = &self.sender else { return };
                let receiver = sender.subscribe();
                self.watch(receiver, true);
            }
            WatchOp::Clone(index) => {
                let Some(watcher) = any_of(&mut self.watchers, index) else { return };
                if watcher.changed.is_none() {
                    let (twin, has_seen) = (watcher.receiver.borrow().clone(), watcher.has_seen);
                    self.watch(twin, has_seen);
                }
            }
            WatchOp::Look(index) => {
                let Some(watcher) = any_of(&mut self.watchers, index) else { return };
                if watcher.changed.is_none() {
                    self.looks.push((watcher.receiver.borrow().borrow(), self.value));
                }
            }
            WatchOp::DropLook(index) => drop(take_any(&mut self.looks, index)),
            WatchOp::Update(index) => {
                let Some(watcher) = any_of(&mut self.watchers, index) else { return };
                if watcher.changed.is_none() {
                    assert_eq!(*watcher.receiver.borrow_mut().borrow_and_update(), self.value);
                    watcher.has_seen = true;
                }
            }
            WatchOp::MarkChanged(index) => {
                let Some(watcher) = any_of(&mut self.watchers, index) else { return };
                if watcher.changed.is_none() {
                    watcher.receiver.borrow_mut().mark_changed();
                    watcher.has_seen = false;
                }
            }
            WatchOp::Changed(index) => self.changed(index),
            WatchOp::DropChanged(index) => {
                let Some(watcher) = any_of(&mut self.watchers, index) else { return };
                watcher.changed = None;
                let id = watcher.id;
                self.line.retain(|waiting| *waiting != id);
            }
            WatchOp::DropReceiver(index) => {
                let Some(watcher) = take_any(&mut self.watchers, index) else { return };
                self.line.retain(|waiting| *waiting != watcher.id);
                if self.watchers.is_empty() && core::mem::take(&mut self.closed_waits) {
                    self.woken.push(SENDER);
                }
            }
            WatchOp::Closed => self.closed(),
            WatchOp::DropSender => {
                // The future has a sender of its own.
                let senders =
                    usize::from(self.sender.is_some()) + usize::from(self.closed.is_some());
                (self.sender, self.closed, self.closed_waits) = (None, None, false);
                if senders > 0 {
                    self.woken.append(&mut self.line);
                }
            }
        }
    }

    fn changed(&mut self, index: usize) {
        let is_over = self.sender.is_none() && self.closed.is_none();
        let Some(watcher) = any_of(&mut self.watchers, index) else { return };
        let mut changed = watcher.changed.take().unwrap_or_else(|| {
            let receiver = watcher.receiver.clone();
            #[expect(clippy::await_holding_refcell_ref, reason = "nobody else uses it meanwhile")]
            self.log.future(watcher.id, async move { receiver.borrow_mut().changed().await })
        });
        let polled = changed.poll();
        if !watcher.has_seen {
            assert_eq!(polled, Poll::Ready(Ok(())));
            watcher.has_seen = true;
        } else if is_over {
            assert_eq!(polled, Poll::Ready(Err(Closed)));
        } else {
            assert_eq!(polled, Poll::Pending);
            watcher.changed = Some(changed);
            if !self.line.contains(&watcher.id) {
                self.line.push(watcher.id);
            }
        }
    }

    fn closed(&mut self) {
        if self.closed.is_none() {
            let Some(sender) = self.sender.clone() else { return };
            self.closed = Some(self.log.future(SENDER, async move { sender.closed().await }));
        }
        let polled = self.closed.as_mut().expect("the model knows it").poll();
        assert_eq!(polled.is_ready(), self.watchers.is_empty());
        self.closed_waits = polled.is_pending();
        if polled.is_ready() {
            self.closed = None;
        }
    }

    fn check(&mut self) {
        assert_eq!(self.log.take(), core::mem::take(&mut self.woken));
        let is_over = self.sender.is_none() && self.closed.is_none();
        for watcher in self.watchers.iter().filter(|watcher| watcher.changed.is_none()) {
            let receiver = watcher.receiver.borrow();
            assert_eq!(*receiver.borrow(), self.value);
            let expected = match watcher.has_seen {
                true if is_over => Err(Closed),
                has_seen => Ok(!has_seen),
            };
            assert_eq!(receiver.has_changed(), expected);
        }
        assert!(self.looks.iter().all(|(look, value)| **look == *value), "a look stays");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn watch_is_as_its_model(ops in proptest::collection::vec(watch_op(), 0..80)) {
        let (sender, receiver) = watch::channel(0);
        let mut world = Watches {
            sender: Some(sender),
            closed: None,
            watchers: Vec::new(),
            looks: Vec::new(),
            log: WakeLog::default(),
            value: 0,
            line: Vec::new(),
            closed_waits: false,
            woken: Vec::new(),
            made: 0,
        };
        world.watch(receiver, true);
        for op in ops {
            world.step(op);
            world.check();
        }
    }
}

// Notify.

#[derive(Clone, Debug)]
enum NotifyOp {
    /// Makes a future, and does not poll it.
    Notified,
    Enable(usize),
    Poll(usize, bool),
    DropFuture(usize),
    NotifyOne,
    NotifyWaiters,
}

fn notify_op() -> impl Strategy<Value = NotifyOp> {
    use NotifyOp::*;
    prop_oneof![
        4 => Just(Notified),
        2 => any::<usize>().prop_map(Enable),
        8 => any::<(usize, bool)>().prop_map(|(index, change)| Poll(index, change)),
        3 => any::<usize>().prop_map(DropFuture),
        4 => Just(NotifyOne),
        1 => Just(NotifyWaiters),
    ]
}

/// Where a future of the model is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Made,
    InLine,
    GivenOne,
    GivenAll,
}

/// A future, and the command whether to enable it only when it is polled.
type Commanded<'a> = (Polled<'a, ()>, Rc<Cell<bool>>);

struct Notifies<'a> {
    notify: &'a Notify,
    futures: Vec<Commanded<'a>>,
    log: WakeLog,
    is_kept: bool,
    line: Vec<usize>,
    at: BTreeMap<usize, At>,
    /// Those that were polled, not only enabled: they have a waker.
    polled: BTreeSet<usize>,
    woken: Vec<usize>,
    made: usize,
}

impl Notifies<'_> {
    fn step(&mut self, op: NotifyOp) {
        match op {
            NotifyOp::Notified => {
                let command = Rc::new(Cell::new(false));
                let enables_only = command.clone();
                let mut notified = Box::pin(self.notify.notified());
                let future = core::future::poll_fn(move |cx| match enables_only.get() {
                    true if notified.as_mut().enable() => Poll::Ready(()),
                    true => Poll::Pending,
                    false => notified.as_mut().poll(cx),
                });
                self.at.insert(self.made, At::Made);
                self.futures.push((self.log.future(self.made, future), command));
                self.made += 1;
            }
            NotifyOp::Enable(index) => self.poll(index, true, false),
            NotifyOp::Poll(index, change) => self.poll(index, false, change),
            NotifyOp::DropFuture(index) => {
                let Some((future, _)) = take_any(&mut self.futures, index) else { return };
                self.line.retain(|waiting| *waiting != future.id);
                let at = self.at.remove(&future.id);
                drop(future);
                if at == Some(At::GivenOne) {
                    self.give_one();
                }
            }
            NotifyOp::NotifyOne => {
                self.notify.notify_one();
                self.give_one();
            }
            NotifyOp::NotifyWaiters => {
                self.notify.notify_waiters();
                for id in core::mem::take(&mut self.line) {
                    self.give(id, At::GivenAll);
                }
                for at in self.at.values_mut().filter(|at| **at == At::Made) {
                    *at = At::GivenAll;
                }
            }
        }
    }

    fn give_one(&mut self) {
        if self.line.is_empty() {
            self.is_kept = true;
            return;
        }
        let id = self.line.remove(0);
        self.give(id, At::GivenOne);
    }

    fn give(&mut self, id: usize, what: At) {
        self.at.insert(id, what);
        if self.polled.contains(&id) {
            self.woken.push(id);
        }
    }

    fn poll(&mut self, index: usize, enables_only: bool, change: bool) {
        let Some((mut future, command)) = take_any(&mut self.futures, index) else { return };
        if change {
            future.change_waker(&self.log);
        }
        command.set(enables_only);
        let polled = future.poll();
        let at = self.at.get_mut(&future.id).expect("the model knows it");
        let is_ready = match at {
            At::Made => core::mem::take(&mut self.is_kept),
            At::InLine => false,
            At::GivenOne | At::GivenAll => true,
        };
        assert_eq!(polled.is_ready(), is_ready, "{at:?}");
        if is_ready {
            self.at.remove(&future.id);
            return;
        }
        if *at == At::Made {
            *at = At::InLine;
            self.line.push(future.id);
        }
        if !enables_only {
            self.polled.insert(future.id);
        }
        self.futures.push((future, command));
    }

    fn check(&mut self) {
        assert_eq!(self.log.take(), core::mem::take(&mut self.woken));
        let kept = if self.is_kept { ", one kept" } else { "" };
        let expected = format!("Notify({} waiting{kept})", self.line.len());
        assert_eq!(format!("{:?}", self.notify), expected);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn notify_is_as_its_model(ops in proptest::collection::vec(notify_op(), 0..60)) {
        let notify = Notify::new();
        let mut world = Notifies {
            notify: &notify,
            futures: Vec::new(),
            log: WakeLog::default(),
            is_kept: false,
            line: Vec::new(),
            at: BTreeMap::new(),
            polled: BTreeSet::new(),
            woken: Vec::new(),
            made: 0,
        };
        for op in ops {
            world.step(op);
            world.check();
        }
    }
}
