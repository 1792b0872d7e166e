//! `Ticking`: the smallest driver there can be. It has a clock, which jumps to where the shard would wait for, and nothing
//! else. It shows that the seam can be implemented from outside of the crate.

use core::net::SocketAddr;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainspring_executor::driver::{
    Address, Detached, Driver, Ended, ExitStatus, Instant, Job, Keepalive, ListenOptions, Observer,
    Readiness, Received, Refused, Schedule, Signal, Token, Transfer, Unpark,
};
use mainspring_executor::{MetricsSnapshot, Shard};

/// A clock.
#[derive(Default)]
pub(crate) struct Ticking {
    now: Cell<Instant>,
    schedule: RefCell<Option<Box<dyn Schedule>>>,
    choose: RefCell<Option<Choose>>,
    observer: Option<Rc<dyn Observer>>,
    unpark: Arc<Unparked>,
}

/// One of so many.
pub(crate) type Choose = Box<dyn FnMut(usize) -> usize>;

#[derive(Default)]
struct Unparked(AtomicBool);

impl Unpark for Unparked {
    fn unpark(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Ticking {
    /// One whose program is heard.
    pub(crate) fn observed(observer: Rc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..Self::default() }
    }

    /// Lets time pass by itself, as a task that computes would.
    pub(crate) fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
    }
}

fn only_time<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Driver for Ticking {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn wall_clock(&self) -> Duration {
        Duration::from_nanos(self.now.get().as_nanos())
    }

    fn entropy(&self) -> u64 {
        4
    }

    /// The first, unless it was told how to choose.
    fn choose(&self, count: usize) -> usize {
        self.choose.borrow_mut().as_mut().map_or(0, |choose| choose(count))
    }

    fn schedule(&self) -> Option<Box<dyn Schedule>> {
        self.schedule.take()
    }

    fn wait(&self, _: &mut Vec<Readiness>, until: Option<Instant>) -> io::Result<()> {
        if self.unpark.0.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let until = until.expect("a shard without tasks that are ready or timers waits for ever");
        self.now.set(self.now.get().max(until));
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::<Unparked>::clone(&self.unpark)
    }

    fn observer(&self) -> Option<Rc<dyn Observer>> {
        self.observer.clone()
    }

    fn listen(&self, _: &Address, _: ListenOptions) -> io::Result<Token> {
        only_time()
    }

    fn accept(&self, _: Token) -> io::Result<(Token, Address)> {
        only_time()
    }

    fn connect(&self, _: &Address) -> io::Result<Token> {
        only_time()
    }

    fn connect_outcome(&self, _: Token) -> io::Result<()> {
        only_time()
    }

    fn stream_pair(&self) -> io::Result<(Token, Token)> {
        only_time()
    }

    fn read(&self, _: Token, _: &mut [u8]) -> io::Result<Transfer> {
        only_time()
    }

    fn write(&self, _: Token, _: &[IoSlice<'_>]) -> io::Result<Transfer> {
        only_time()
    }

    fn shutdown_write(&self, _: Token) -> io::Result<()> {
        only_time()
    }

    fn set_nodelay(&self, _: Token, _: bool) -> io::Result<()> {
        only_time()
    }

    fn set_keepalive(&self, _: Token, _: Option<Keepalive>) -> io::Result<()> {
        only_time()
    }

    fn local_addr(&self, _: Token) -> io::Result<Address> {
        only_time()
    }

    fn bind_datagram(&self, _: SocketAddr) -> io::Result<Token> {
        only_time()
    }

    fn connect_datagram(&self, _: Token, _: SocketAddr) -> io::Result<()> {
        only_time()
    }

    fn receive_from(&self, _: Token, _: &mut [u8]) -> io::Result<Received> {
        only_time()
    }

    fn send_to(&self, _: Token, _: &[u8], _: Option<SocketAddr>) -> io::Result<()> {
        only_time()
    }

    fn close(&self, token: Token) {
        unreachable!("{token:?} was never given out")
    }

    fn abort(&self, socket: Token) {
        unreachable!("{socket:?} was never given out")
    }

    fn detach(&self, _: Token) -> io::Result<Detached> {
        only_time()
    }

    fn adopt(&self, _: Detached) -> io::Result<Token> {
        only_time()
    }

    fn subscribe_signals(&self, _: &[Signal]) -> io::Result<Token> {
        only_time()
    }

    fn next_signal(&self, _: Token) -> io::Result<Signal> {
        only_time()
    }

    fn submit(&self, job: Job) -> Result<Token, Refused> {
        Err(Refused { job, error: io::ErrorKind::Unsupported.into() })
    }

    fn collect(&self, _: Token) -> io::Result<Ended> {
        only_time()
    }

    fn process_exit(&self, _: Token) -> io::Result<ExitStatus> {
        only_time()
    }

    fn signal_process(&self, _: Token, _: Option<Signal>) -> io::Result<()> {
        only_time()
    }
}

/// A shard on a clock.
pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) driver: Rc<Ticking>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(Ticking::default())
    }

    /// A shard whose tasks run in the order of `schedule`.
    pub(crate) fn with_schedule(schedule: impl Schedule + 'static) -> Self {
        let schedule: Box<dyn Schedule> = Box::new(schedule);
        Self::on(Ticking { schedule: RefCell::new(Some(schedule)), ..Ticking::default() })
    }

    /// A shard whose driver chooses as `choose` says.
    pub(crate) fn with_choices(choose: impl FnMut(usize) -> usize + 'static) -> Self {
        let choose: Choose = Box::new(choose);
        Self::on(Ticking { choose: RefCell::new(Some(choose)), ..Ticking::default() })
    }

    fn on(driver: Ticking) -> Self {
        let driver = Rc::new(driver);
        Self { shard: Shard::new(Rc::<Ticking>::clone(&driver)), driver }
    }

    /// Runs `future` to its end.
    #[track_caller]
    pub(crate) fn run<F: Future + 'static>(&self, future: F) -> F::Output {
        self.shard.run(future).expect("this driver does not fail")
    }

    pub(crate) fn metrics(&self) -> MetricsSnapshot {
        self.shard.metrics().snapshot()
    }

    /// Ends the shard. Gives what is left of it in memory: how many hold the driver, and how many its unparker. Each task
    /// holds the unparker until its memory is freed.
    pub(crate) fn end_with_leftovers(self) -> (usize, usize) {
        let Self { shard, driver } = self;
        drop(shard);
        (Rc::strong_count(&driver) - 1, Arc::strong_count(&driver.unpark) - 1)
    }

    /// Ends the shard, and sees to it that nothing of it is left, not even the memory of a task.
    #[track_caller]
    pub(crate) fn end(self) {
        assert_eq!(self.end_with_leftovers(), (0, 0), "the shard or one of its tasks leaked");
    }
}

/// Runs a main task on a shard of its own, then [`World::end`]s it.
#[track_caller]
pub(crate) fn run<F: Future + 'static>(future: F) -> F::Output {
    let world = World::new();
    let output = world.run(future);
    world.end();
    output
}
