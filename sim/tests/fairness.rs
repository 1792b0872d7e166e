//! What the bound of a turn promises, whichever ready task goes next: whoever waits is woken in time.
//!
//! First in, first out, a task that is woken is also polled soon: after those that were ready before it. Where the tasks are
//! shuffled any of them may be drawn, again and again, so a bound on polls until a task is polled does not exist.
//! What is left is that of the turn, which looks at its driver after so many polls at the latest: a timer that is due, an
//! edge, and what another shard sent are found then. So it is wakes that are measured here, not polls.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Wake;

use mainspring_executor::driver::{Driver, Instant};
use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::{sleep_until, yield_now};
use mainspring_sim::{Host, Order, World, WorldConfig, spend};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

/// So many polls lie between two looks at the driver, at most.
const POLLS_PER_TURN_MAX: u64 = 64;

/// How long each poll takes, so that the clock of the room counts the polls.
const POLL: Duration = Duration::from_micros(1);

/// How long the tasks are busy, in polls.
const POLLS: u64 = 1000;

/// How many polls the busy tasks have had so far.
type Polls = Arc<AtomicU64>;

fn count(polls: &AtomicU64) -> u64 {
    polls.load(Ordering::Relaxed)
}

/// Wakes a task, and notes how many polls there were by the first time.
struct Noted {
    polls: Polls,
    first_wake: AtomicU64,
    task: Waker,
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.first_wake.fetch_min(count(&self.polls), Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// How many polls there were when a future was polled first, when it was woken, and when it was polled for that.
struct Served {
    begun: u64,
    woken: u64,
    polled: u64,
}

/// Awaits `future`, and notes when it was served.
async fn served<F: Future>(polls: Polls, future: F) -> Served {
    let mut future = pin!(future);
    let mut last: Option<Arc<Noted>> = None;
    let begun = count(&polls);
    poll_fn(|cx| {
        let (first_wake, task) = (AtomicU64::new(u64::MAX), cx.waker().clone());
        let noted = Arc::new(Noted { polls: Arc::clone(&polls), first_wake, task });
        let waker = Waker::from(Arc::clone(&noted));
        let is_ready = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let before = last.replace(noted);
        if !is_ready {
            return Poll::Pending;
        }
        let polled = count(&polls);
        let woken = before.map_or(polled, |noted| count(&noted.first_wake));
        Poll::Ready(Served { begun, woken: woken.min(polled), polled })
    })
    .await
}

/// A room with one shard that is busy.
struct Room {
    is_shuffled: bool,
    /// How many tasks of the shard are always ready.
    busy_count: u64,
    /// When timers are due, in nanoseconds.
    timers: Vec<u64>,
    /// When another host sends a datagram, in nanoseconds.
    datagrams: Vec<u64>,
    latency: Duration,
    /// At which polls a closure is sent to the shard.
    closures: Vec<u64>,
}

impl Room {
    /// So many tasks may be ready before another.
    fn task_count(&self) -> u64 {
        let others = self.timers.len() + self.datagrams.len();
        self.busy_count + u64::try_from(others).expect("few tasks")
    }

    /// Asserts that what was due at an instant, in nanoseconds, was found in time.
    fn check(&self, what: &str, due: u64, served: &Served) {
        // All were ready from the start.
        let in_line = served.begun;
        assert!(self.is_shuffled || in_line <= self.task_count(), "{what}: after {in_line} polls");
        // Nobody is late for one who was not there.
        let due = due.max(served.begun * nanos(POLL));
        let delay = |polls: u64| (polls * nanos(POLL)).saturating_sub(due);
        let found = delay(served.woken);
        assert!(found <= POLLS_PER_TURN_MAX * nanos(POLL), "{what}: found after {found} ns");
        let polled = delay(served.polled);
        let in_line_max = (POLLS_PER_TURN_MAX + self.task_count()) * nanos(POLL);
        assert!(self.is_shuffled || polled <= in_line_max, "{what}: polled after {polled} ns");
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("short")
}

fn at(nanos: u64) -> Instant {
    Instant::START + Duration::from_nanos(nanos)
}

fn bind(port: u16) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port).into()).expect("a free port")
}

/// Where the datagram of this number goes.
fn port(number: usize) -> u16 {
    1000 + u16::try_from(number).expect("few datagrams")
}

/// Runs the room until its busy tasks have had their polls. A task that notes when it was served runs for each thing that
/// the shard waits for.
fn check(seed: u64, room: Room) {
    let order = if room.is_shuffled { Order::Random } else { Order::Fifo };
    let config = WorldConfig {
        order,
        latency: room.latency..=room.latency,
        datagram_loss_permille: 0,
        datagram_duplication_permille: 0,
        ..WorldConfig::rough()
    };
    let world = World::new(seed, config);
    let (busy, sender) = (world.host("busy"), world.host("sender"));
    let (polls, room) = (Polls::default(), Rc::new(room));
    // There before anybody sends.
    let sockets = Rc::<RefCell<Vec<UdpSocket>>>::default();
    let (binds, numbers) = (Rc::clone(&sockets), 0..room.datagrams.len());
    busy.run(
        async move { binds.borrow_mut().extend(numbers.rev().map(|number| bind(port(number)))) },
    );
    world.run().expect("it ends well");
    assert_eq!(world.now(), Instant::START);
    for &due in &room.timers {
        let (room, polls) = (Rc::clone(&room), Arc::clone(&polls));
        busy.run(async move {
            let served = served(polls, sleep_until(at(due))).await;
            room.check("a timer", due, &served);
        });
    }
    for (number, &sent) in room.datagrams.iter().enumerate() {
        // When it arrives, once that is known.
        let due = Rc::new(Cell::new(u64::MAX));
        let (tells, to) = (Rc::clone(&due), busy.address(port(number)));
        let (all, latency) = (Arc::clone(&polls), nanos(room.latency));
        sender.run(async move {
            let socket = bind(0);
            sleep_until(at(sent)).await;
            tells.set(count(&all) * nanos(POLL) + latency);
            socket.send_to(b"x", to).await.expect("there is room");
        });
        let (room, polls) = (Rc::clone(&room), Arc::clone(&polls));
        let socket = sockets.borrow_mut().pop().expect("one for each");
        busy.run(async move {
            let served = served(polls, socket.recv_from(&mut [0; 1])).await;
            room.check("an edge", due.get(), &served);
        });
    }
    let found = Arc::<AtomicU64>::default();
    for _ in 0..room.busy_count {
        busy.run(work(busy.clone(), Rc::clone(&room), Arc::clone(&polls), Arc::clone(&found)));
    }
    world.run().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(count(&found), u64::try_from(room.closures.len()).expect("few closures"));
}

/// Is ready until there were [`POLLS`], each of which takes some time; some send a closure to their shard.
async fn work(busy: Host, room: Rc<Room>, polls: Polls, found: Arc<AtomicU64>) {
    let handle = busy.shard().handle();
    while count(&polls) < POLLS {
        let number = polls.fetch_add(1, Ordering::Relaxed) + 1;
        spend(POLL);
        assert_eq!(busy.driver().now(), at(number * nanos(POLL)), "nothing else takes time");
        if room.closures.contains(&number) {
            let (polls, found) = (Arc::clone(&polls), Arc::clone(&found));
            let sent = handle.run(move || {
                let delay = count(&polls) - number;
                assert!(delay < POLLS_PER_TURN_MAX, "a closure: found after {delay} polls");
                found.fetch_add(1, Ordering::Relaxed);
            });
            sent.expect("it is there");
        }
        yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_waits_is_woken_within_64_polls_whichever_task_goes_next(
        seed in any::<u64>(),
        is_shuffled in any::<bool>(),
        busy_count in 1..200_u64,
        // While it is busy.
        timers in vec(1..900_000_u64, 0..30),
        datagrams in vec(1..900_000_u64, 0..10),
        latency in (1..90_000_u64).prop_map(Duration::from_nanos),
        closures in btree_set(1..POLLS, 0..30),
    ) {
        let closures = closures.into_iter().collect();
        check(seed, Room { is_shuffled, busy_count, timers, datagrams, latency, closures });
    }
}
