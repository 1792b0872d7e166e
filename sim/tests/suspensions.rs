//! Each future that waits for another shard, or for the machine, may be dropped wherever it is suspended: nothing is lost,
//! nothing comes twice, nobody waits for ever.
//!
//! As `executor/tests/it/suspensions.rs` does it for what needs no machine: a scene is played once to count how often
//! its victim is suspended, then twice for each of these points, with the victim dropped as soon as it is pending, and with it
//! dropped when it was woken. Each seed is another order of shards and tasks, with other latencies and edges for nothing.
#![expect(clippy::await_holding_refcell_ref, reason = "the heir waits until the victim is gone")]

use core::cell::{Cell, RefCell};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;
use mainspring_executor::driver::{Instant, Signal};
use mainspring_executor::net::UdpSocket;
use mainspring_executor::offload::{self, OffloadError, Offloaded};
use mainspring_executor::process::{Child, Command, ExitStatus, Stdio};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{RemoteJoinHandle, channel};
use mainspring_sim::{Host, World, WorldConfig};

#[path = "../../executor/tests/it/victim.rs"]
mod victim;

use victim::{Cut, Victim};

const SEEDS: u64 = 100;

/// What happens in a room besides the tasks that were started.
struct Scene {
    /// Where the victim runs.
    host: Host,
    victim: LocalBoxFuture<'static, ()>,
    /// Is told at the end whether the victim came to its own.
    check: Box<dyn FnOnce(bool)>,
}

impl Scene {
    fn new(
        host: &Host,
        victim: impl Future<Output = ()> + 'static,
        check: impl FnOnce(bool) + 'static,
    ) -> Self {
        Self { host: host.clone(), victim: victim.boxed_local(), check: Box::new(check) }
    }
}

/// Plays the scenes of `make` with their victims dropped at each point.
#[track_caller]
fn drop_at_each(config: &WorldConfig, make: impl Fn(&World) -> Scene) {
    for seed in 0..SEEDS {
        let suspensions = play(seed, config, &make, Cut::Never);
        assert!(suspensions > 0, "seed {seed}: a victim that never waits tests nothing");
        for point in 1..=suspensions {
            play(seed, config, &make, Cut::WhenSuspended(point));
            play(seed, config, &make, Cut::WhenWoken(point));
        }
    }
}

/// Plays one scene. Says how often the victim was suspended.
#[track_caller]
fn play(seed: u64, config: &WorldConfig, make: &impl Fn(&World) -> Scene, cut: Cut) -> usize {
    // Seen only where the test fails.
    println!("seed {seed}, {cut:?}");
    let world = World::new(seed, config.clone());
    let Scene { host, victim, check } = make(&world);
    let (victim, fate) = Victim::new(victim, cut);
    host.run(victim);
    if let Err(failure) = world.run() {
        panic!("{failure}");
    }
    assert_eq!(world.leaks(), Vec::<String>::new());
    let driver = Rc::downgrade(&host.driver());
    drop((host, world));
    check(fate.has_ended());
    assert_eq!(driver.strong_count(), 0, "a record of a wait holds the shard");
    fate.suspensions()
}

/// What the victim does with something that it shares, and the same for its heir, who begins when the victim is gone.
fn in_turn<F: Future<Output = ()> + 'static>(
    use_it: impl Fn() -> F,
) -> (LocalBoxFuture<'static, ()>, LocalBoxFuture<'static, ()>) {
    let (is_there, is_gone) = oneshot::channel::<()>();
    let (victim, heir) = (use_it(), use_it());
    let victim = async move {
        let _is_there = is_there;
        victim.await;
    };
    let heir = async move {
        is_gone.await.expect_err("nothing is sent");
        heir.await;
    };
    (victim.boxed_local(), heir.boxed_local())
}

/// What `make` gives on a host, before the scene begins.
fn made_on<T: 'static>(world: &World, host: &Host, make: impl FnOnce() -> T + 'static) -> T {
    let made = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&made);
    host.run(async move { *keep.borrow_mut() = Some(make()) });
    world.run().expect("it ends well");
    made.take().expect("it was made")
}

fn shared<T>(value: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(value))
}

type Log<T> = Rc<RefCell<Vec<T>>>;

/// All that goes wrong on the way of a datagram does, but for losing it or bringing it twice.
fn rough() -> WorldConfig {
    WorldConfig {
        datagram_loss_permille: 0,
        datagram_duplication_permille: 0,
        ..WorldConfig::rough()
    }
}

/// Two shards of one machine.
fn shards(world: &World) -> [Host; 2] {
    let one = world.host("server");
    let other = world.add_shard(&one);
    [one, other]
}

/// Time for the others.
async fn rest() {
    sleep(Duration::from_millis(1)).await;
}

#[test]
fn channel_recv() {
    const COUNT: u32 = 6;
    for capacity in [0, 1, 10] {
        drop_at_each(&rough(), |world| {
            let [one, other] = shards(world);
            let (mut sender, receiver) = channel::channel(capacity);
            let (receiver, log) = (shared(receiver), Log::default());
            other.run(async move {
                for message in 0..COUNT {
                    sender.send(message).await.expect("somebody receives");
                    if message % 2 == 0 {
                        rest().await;
                    }
                }
            });
            let (victim, heir) = in_turn(|| {
                let (receiver, log) = (Rc::clone(&receiver), Rc::clone(&log));
                async move {
                    let mut receiver = receiver.borrow_mut();
                    while let Some(message) = receiver.recv().await {
                        log.borrow_mut().push(message);
                    }
                }
            });
            one.run(heir);
            let check = move |_| assert!(log.borrow().iter().copied().eq(0..COUNT), "{log:?}");
            Scene::new(&one, victim, check)
        });
    }
}

#[test]
fn channel_send() {
    const COUNT: u32 = 4;
    for capacity in [0, 1, 2] {
        drop_at_each(&rough(), |world| {
            let [one, other] = shards(world);
            let (sender, mut receiver) = channel::channel(capacity);
            let log = Log::default();
            let hears = Rc::clone(&log);
            other.run(async move {
                while let Some(message) = receiver.recv().await {
                    hears.borrow_mut().push(message);
                    rest().await;
                }
            });
            let users = ["victim", "neighbour", "stranger"];
            for (user, host) in [(users[1], &one), (users[2], &other)] {
                let mut sender = sender.clone();
                host.run(async move {
                    for number in 0..COUNT {
                        sender.send((user, number)).await.expect("somebody receives");
                    }
                });
            }
            let (sender, sent) = (shared(sender), Rc::new(Cell::new(0)));
            let (victim, heir) = in_turn(|| {
                let (sender, sent) = (Rc::clone(&sender), Rc::clone(&sent));
                async move {
                    while sent.get() < COUNT {
                        let message = (users[0], sent.get());
                        sender.borrow_mut().send(message).await.expect("somebody receives");
                        sent.set(sent.get() + 1);
                    }
                }
            });
            one.run(heir);
            Scene::new(&one, victim, move |_| {
                let log = log.borrow();
                for user in users {
                    let its = log.iter().filter(|(sender, _)| *sender == user);
                    assert!(its.map(|(_, number)| *number).eq(0..COUNT), "{user}: {log:?}");
                }
            })
        });
    }
}

/// A task of another shard that takes a while, counts that it came to its end, and gives a number.
fn sent_to(other: &Host, ends: &Arc<AtomicU32>) -> RemoteJoinHandle<u32> {
    let ends = Arc::clone(ends);
    other.shard().handle().spawn(move || async move {
        rest().await;
        ends.fetch_add(1, Ordering::Relaxed);
        7
    })
}

#[test]
fn remote_join_handle() {
    drop_at_each(&rough(), |world| {
        let [one, other] = shards(world);
        let (ends, log) = (Arc::default(), Log::default());
        let handle = shared(sent_to(&other, &ends));
        let (victim, heir) = in_turn(|| {
            let (handle, log) = (Rc::clone(&handle), Rc::clone(&log));
            async move {
                if log.borrow().is_empty() {
                    let output = (&mut *handle.borrow_mut()).await;
                    log.borrow_mut().push(output.expect("it does not panic"));
                }
            }
        });
        one.run(heir);
        Scene::new(&one, victim, move |_| {
            assert_eq!((ends.load(Ordering::Relaxed), &*log.borrow()), (1, &vec![7]));
        })
    });
    // Dropped with the handle: the task runs on.
    drop_at_each(&rough(), |world| {
        let [one, other] = shards(world);
        let ends = Arc::default();
        let handle = sent_to(&other, &ends);
        let victim = async move { assert_eq!(handle.await.expect("it does not panic"), 7) };
        // A run goes on for who is waited for.
        other.run(async { sleep(Duration::from_millis(2)).await });
        Scene::new(&one, victim, move |_| assert_eq!(ends.load(Ordering::Relaxed), 1))
    });
}

/// Each kind of signal, and when it comes, in milliseconds.
const SIGNALS: [(u64, Signal); 5] = [
    (1, Signal::Hangup),
    (1, Signal::User1),
    (2, Signal::Terminate),
    (3, Signal::User2),
    (3, Signal::Interrupt),
];

/// Waits for signals until all have come.
async fn hear(signals: Rc<RefCell<Signals>>, log: Log<Signal>) {
    let mut signals = signals.borrow_mut();
    while log.borrow().len() < SIGNALS.len() {
        let signal = signals.next().await.expect("signals can be watched");
        log.borrow_mut().push(signal);
    }
}

#[test]
fn signals_next() {
    drop_at_each(&rough(), |world| {
        let [one, other] = shards(world);
        let subscribe = || Signals::subscribe_to(&Signal::ALL).expect("it can be watched");
        let subscribed = [&one, &one, &other].map(|host| shared(made_on(world, host, subscribe)));
        let logs = [(); 3].map(|()| Log::default());
        let (victim, heir) = in_turn(|| hear(Rc::clone(&subscribed[0]), Rc::clone(&logs[0])));
        one.run(heir);
        one.run(hear(Rc::clone(&subscribed[1]), Rc::clone(&logs[1])));
        other.run(hear(Rc::clone(&subscribed[2]), Rc::clone(&logs[2])));
        for (millis, signal) in SIGNALS {
            let raise = other.clone();
            let instant = Instant::START + Duration::from_millis(millis);
            world.at(instant, move |_| raise.signal(signal));
        }
        Scene::new(&one, victim, move |_| {
            for log in logs {
                let log = log.borrow();
                assert_eq!(log.len(), SIGNALS.len(), "{log:?}");
                assert!(SIGNALS.iter().all(|(_, signal)| log.contains(signal)), "{log:?}");
            }
        })
    });
}

fn bind(port: u16) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port).into()).expect("a free port")
}

/// Receives numbers.
async fn receive(socket: &UdpSocket) -> u32 {
    let mut buffer = [0; 4];
    let received = socket.recv_from(&mut buffer).await.expect("nothing is refused");
    assert!(received.count == 4 && !received.is_truncated);
    u32::from_be_bytes(buffer)
}

/// Asserts that each number up to `count` is there once: they may have overtaken each other.
#[track_caller]
fn check_each_once(log: &Log<u32>, count: u32) {
    log.borrow_mut().sort_unstable();
    assert!(log.borrow().iter().copied().eq(0..count), "{log:?}");
}

#[test]
fn udp_recv_from() {
    const COUNT: u32 = 6;
    drop_at_each(&rough(), |world| {
        let (one, other) = (world.host("receiver"), world.host("sender"));
        let socket = Rc::new(made_on(world, &one, || bind(53)));
        let (to, log) = (one.address(53), Log::default());
        other.run(async move {
            let socket = bind(0);
            for number in 0..COUNT {
                socket.send_to(&number.to_be_bytes(), to).await.expect("there is room");
                if number % 2 == 0 {
                    rest().await;
                }
            }
        });
        let (victim, heir) = in_turn(|| {
            let (socket, log) = (Rc::clone(&socket), Rc::clone(&log));
            async move {
                while log.borrow().len() < COUNT as usize {
                    let number = receive(&socket).await;
                    log.borrow_mut().push(number);
                }
            }
        });
        one.run(heir);
        Scene::new(&one, victim, move |_| check_each_once(&log, COUNT))
    });
}

/// Sends numbers until all were sent, each from where the last one left it.
async fn send_all(socket: Rc<UdpSocket>, to: Option<SocketAddr>, sent: Rc<Cell<u32>>, count: u32) {
    while sent.get() < count {
        let number = sent.get().to_be_bytes();
        let sending = match to {
            Some(to) => socket.send_to(&number, to).await,
            None => socket.send(&number).await,
        };
        sending.expect("nothing is refused");
        sent.set(sent.get() + 1);
    }
}

#[test]
fn udp_send_and_send_to() {
    const COUNT: u32 = 8;
    // Room for two datagrams: who sends more waits until one has arrived.
    let config = WorldConfig { send_buffer_bytes: 1000, ..rough() };
    for is_connected in [false, true] {
        drop_at_each(&config, |world| {
            let (one, other) = (world.host("sender"), world.host("receiver"));
            let socket = made_on(world, &one, || bind(0));
            let receiver = made_on(world, &other, || bind(53));
            let (to, log) = (other.address(53), Log::default());
            if is_connected {
                socket.connect(to).expect("there is a way");
            }
            let hears = Rc::clone(&log);
            other.run(async move {
                // What comes twice would come within a second.
                while let Ok(number) = timeout(Duration::from_secs(1), receive(&receiver)).await {
                    hears.borrow_mut().push(number);
                }
            });
            let (socket, sent) = (Rc::new(socket), Rc::new(Cell::new(0)));
            let to = (!is_connected).then_some(to);
            let (victim, heir) =
                in_turn(|| send_all(Rc::clone(&socket), to, Rc::clone(&sent), COUNT));
            one.run(heir);
            Scene::new(&one, victim, move |_| check_each_once(&log, COUNT))
        });
    }
}

/// A host with a program that works for a while.
fn host_with_program(world: &World) -> Host {
    world.add_program("/bin/works", |_| async {
        rest().await;
        7
    });
    world.host("host")
}

fn works() -> Command {
    let mut command = Command::new("/bin/works");
    command.stdin(Stdio::Piped).stdout(Stdio::Piped);
    command
}

async fn started() -> Child {
    works().spawn().await.expect("there is such a program")
}

#[test]
fn child_wait() {
    drop_at_each(&rough(), |world| {
        let host = host_with_program(world);
        let (begin, begins) = oneshot::channel();
        host.run(async move {
            let child = started().await;
            begin.send(shared(child)).map_err(drop).expect("somebody waits for it");
        });
        let (begins, log) = (begins.shared(), Log::default());
        let (victim, heir) = in_turn(|| {
            let (begins, log) = (begins.clone(), Rc::clone(&log));
            async move {
                let child = begins.await.expect("it starts");
                // Whoever asks is told, as often as he likes.
                let status = child.borrow_mut().wait().await.expect("nobody else waits");
                log.borrow_mut().push(status);
            }
        });
        host.run(heir);
        let machine = host.clone();
        Scene::new(&host, victim, move |has_ended| {
            assert_eq!(*log.borrow(), vec![ExitStatus::Exited(7); 1 + usize::from(has_ended)]);
            assert!(machine.processes().is_empty());
        })
    });
}

#[test]
fn child_that_goes_with_who_waits_for_it() {
    for gathers in [false, true] {
        drop_at_each(&rough(), |world| {
            let host = host_with_program(world);
            let victim = async move {
                let status = match gathers {
                    true => works().output().await.expect("it can be started").status,
                    false => started().await.wait().await.expect("nobody else waits"),
                };
                assert_eq!(status, ExitStatus::Exited(7));
            };
            // Another, which it does not take along.
            host.run(async {
                let status = works().status().await.expect("it can be started");
                assert_eq!(status, ExitStatus::Exited(7));
            });
            let machine = host.clone();
            Scene::new(&host, victim, move |_| assert!(machine.processes().is_empty()))
        });
    }
}

/// One thread, few places to wait for it, and a line for who is patient.
fn crowded(jobs_waiting_max: usize) -> WorldConfig {
    WorldConfig { compute_threads_max: 1, jobs_waiting_max, ..rough() }
}

/// A closure that counts that it ran, and gives a number.
fn counts(runs: &Arc<AtomicU32>) -> Offloaded<u32> {
    let runs = Arc::clone(runs);
    offload::compute(move || runs.fetch_add(1, Ordering::Relaxed) + 7).patient()
}

/// Asks again where a thread is at what nobody waits for any more: no end of it is told, so there is no line for that.
async fn counted(runs: Arc<AtomicU32>) -> u32 {
    loop {
        match counts(&runs).await {
            Err(OffloadError::Full) => rest().await,
            returned => return returned.expect("it does not panic"),
        }
    }
}

#[test]
fn offloaded() {
    for jobs_waiting_max in [0, 1] {
        drop_at_each(&crowded(jobs_waiting_max), |world| {
            let host = world.host("host");
            let (victims, others) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
            for _ in 0..4 {
                let others = Arc::clone(&others);
                host.run(async move { assert!(counted(others).await >= 7) });
            }
            let runs = Arc::clone(&victims);
            let victim = async move {
                assert_eq!(counted(Arc::clone(&runs)).await, 7);
                assert_eq!(counted(runs).await, 8);
            };
            Scene::new(&host, victim, move |has_ended| {
                assert_eq!(others.load(Ordering::Relaxed), 4);
                let ran = victims.load(Ordering::Relaxed);
                assert!(ran <= 2 && (ran == 2 || !has_ended), "{ran}");
            })
        });
    }
    // Only who waits for it goes, and somebody else asks.
    drop_at_each(&crowded(1), |world| {
        let host = world.host("host");
        let (runs, log) = (Arc::<AtomicU32>::default(), Log::default());
        for _ in 0..3 {
            host.run(async { assert_eq!(counted(Arc::default()).await, 7) });
        }
        let its_runs = Arc::clone(&runs);
        let job = shared(made_on(world, &host, move || counts(&its_runs)));
        let (victim, heir) = in_turn(|| {
            let (job, log) = (Rc::clone(&job), Rc::clone(&log));
            async move {
                if log.borrow().is_empty() {
                    let output = (&mut *job.borrow_mut()).await;
                    log.borrow_mut().push(output.expect("it waits for a place"));
                }
            }
        });
        host.run(heir);
        Scene::new(&host, victim, move |_| {
            assert_eq!((runs.load(Ordering::Relaxed), &*log.borrow()), (1, &vec![7]));
        })
    });
}
