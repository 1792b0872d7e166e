//! The chat of `executor/examples/chat.rs`: the very function of the example, in the simulator and on the operating system.

#![expect(clippy::unwrap_used, reason = "a test: an unwrap asserts")]

#[path = "../../executor/examples/chat.rs"]
mod room;

use core::cell::Cell;
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::rc::Rc;

use futures::future::join_all;
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::os::OsDriver;
use mainspring_executor::signal::Signals;
use mainspring_executor::sync::oneshot;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{Instant, Shard, random, spawn};
use mainspring_sim::{World, WorldConfig};
use room::{FAREWELL, LINE_BYTES_MAX, LINES_BEHIND_MAX, chat};

const PORT: u16 = 7000;
const CLOSING: &str = "* the room is closing";

/// A test on the operating system that takes longer hangs.
const OS_TIME_MAX: Duration = Duration::from_secs(30);

/// Somebody with a connection to the room.
struct Guest {
    stream: TcpStream,
}

impl Guest {
    /// Comes in.
    async fn new(address: SocketAddr) -> Self {
        let mut guest = Self { stream: TcpStream::connect(address).await.unwrap() };
        let welcome = guest.line().await.unwrap();
        assert!(welcome.starts_with("* welcome, "), "{welcome}");
        guest
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line; `None` at the end of the stream, or where the room cut it.
    async fn line(&mut self) -> Option<String> {
        loop {
            let bytes = self.stream.buffered();
            if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8(bytes[..end].to_vec()).unwrap();
                self.stream.consume(end + 1);
                return Some(line);
            }
            if self.stream.fill().await.unwrap_or(0) == 0 {
                assert!(self.stream.buffered().is_empty(), "a line was cut");
                return None;
            }
        }
    }

    /// The next line that a guest said, not the room.
    async fn heard(&mut self) -> String {
        loop {
            let line = self.line().await.expect("the room is open");
            if !line.starts_with('*') {
                return line;
            }
        }
    }

    /// Listens until the room closes.
    async fn stay(&mut self) {
        let mut last = None;
        while let Some(line) = self.line().await {
            last = Some(line);
        }
        assert_eq!(last.as_deref(), Some(CLOSING));
    }
}

/// Where the room is, and how it is closed.
#[derive(Clone)]
struct Stage {
    address: SocketAddr,
    close: Rc<dyn Fn()>,
    /// More lines of full length than the sockets between the room and a guest hold, and the room itself.
    lines_too_many: usize,
}

/// Runs a room and `play` in a simulated world. Gives how many guests were cut off, and the hash of the trace.
fn simulate<F: Future<Output = ()> + 'static>(
    seed: u64,
    config: WorldConfig,
    play: impl FnOnce(Stage) -> F,
    close_at: Option<Instant>,
) -> (usize, World) {
    let world = World::new(seed, config);
    let host = world.host("room");
    let cut = Rc::new(Cell::new(None));
    let cut_by = Rc::clone(&cut);
    host.run(async move {
        let mut signals = Signals::subscribe().unwrap();
        let address = (Ipv4Addr::UNSPECIFIED, PORT).into();
        let listener = TcpListener::bind(address, ListenOptions::default()).unwrap();
        let closing = async move { drop(signals.next().await) };
        cut_by.set(Some(chat(listener, closing).await));
    });
    if let Some(instant) = close_at {
        let host = host.clone();
        world.at(instant, move |_| host.signal(Signal::Interrupt));
    }
    let address = host.address(PORT);
    let close = Rc::new(move || host.signal(Signal::Interrupt));
    let stage = Stage { address, close, lines_too_many: 600 };
    world.host("guests").run(play(stage));
    if let Err(failure) = world.run() {
        panic!("seed {seed}: {failure}");
    }
    assert_eq!(world.leaks(), Vec::<String>::new(), "seed {seed}");
    (cut.get().expect("the room has closed"), world)
}

/// The same on the operating system, with each of its pollers.
fn on_system<F: Future<Output = ()> + 'static>(play: impl Fn(Stage) -> F) -> [usize; 2] {
    [OsDriver::new(), OsDriver::portable()].map(|driver| {
        let shard = Shard::new(Rc::new(driver.unwrap()));
        let (close, closing) = oneshot::channel::<()>();
        let close = Cell::new(Some(close));
        let listener = shard.enter(|| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into(), ListenOptions::default()).unwrap()
        });
        let address = listener.local_addr().unwrap();
        let close = Rc::new(move || drop(close.take()));
        let played = play(Stage { address, close, lines_too_many: 15_000 });
        let run = async move {
            let closing = async move { closing.await.unwrap_or_default() };
            let room = spawn(chat(listener, closing));
            played.await;
            room.await.unwrap()
        };
        let run = shard.run(async { timeout(OS_TIME_MAX, run).await });
        let cut = run.unwrap().expect("it takes no half a minute");
        assert!(shard.ledger().is_empty(), "left behind:\n{}", shard.ledger());
        cut
    })
}

/// Runs `play` everywhere; in the simulator twice each, with equal traces. So many guests are cut off.
fn check<F: Future<Output = ()> + 'static>(cut: usize, play: impl Fn(Stage) -> F) {
    for seed in 0..10 {
        for config in [WorldConfig::calm(), WorldConfig::rough()] {
            let run = || {
                let (cut, world) = simulate(seed, config.clone(), &play, None);
                (cut, world.trace_hash())
            };
            let first = run();
            assert_eq!(first, run(), "seed {seed}");
            assert_eq!(first.0, cut, "seed {seed}");
        }
    }
    assert_eq!(on_system(play), [cut; 2]);
}

/// Four guests, each of which says some lines; all hear all others, each in order.
async fn conversation(stage: Stage) {
    const LINES: usize = 8;
    let guests = join_all((0..4).map(|_| Guest::new(stage.address))).await;
    let talks = guests.into_iter().enumerate().map(|(own, mut guest)| async move {
        for number in 0..LINES {
            sleep(Duration::from_micros(random() % 3000)).await;
            guest.say(&format!("{own} {number}\n")).await;
        }
        let mut next = [0; 4];
        for _ in 0..3 * LINES {
            let line = guest.heard().await;
            let (who, number) = line.split_once(": ").unwrap().1.split_once(' ').unwrap();
            let (who, number): (usize, usize) = (who.parse().unwrap(), number.parse().unwrap());
            assert_ne!(who, own);
            assert_eq!(number, next[who], "in the order in which they were said");
            next[who] += 1;
        }
        guest
    });
    let mut guests = join_all(talks).await;
    // One leaves, and another one is told.
    let leaver = guests.pop().unwrap();
    let address = leaver.stream.local_addr().unwrap();
    drop(leaver);
    while guests[0].line().await.unwrap() != format!("* {address} leaves") {}
    (stage.close)();
    join_all(guests.iter_mut().map(Guest::stay)).await;
}

#[test]
fn all_hear_all() {
    check(0, conversation);
}

/// Whoever says more than a line may have is shown out; the others learn why.
#[test]
fn a_line_has_an_end() {
    check(0, |stage| async move {
        let mut witness = Guest::new(stage.address).await;
        let mut fits = Guest::new(stage.address).await;
        fits.say(&format!("{}\n", "x".repeat(LINE_BYTES_MAX - 1))).await;
        assert!(witness.heard().await.ends_with(&"x".repeat(LINE_BYTES_MAX - 1)));
        let mut chatty = Guest::new(stage.address).await;
        chatty.say(&"x".repeat(LINE_BYTES_MAX)).await;
        while chatty.line().await.is_some() {}
        let told = loop {
            let line = witness.line().await.unwrap();
            if line.contains(" leaves") {
                break line;
            }
        };
        assert!(told.ends_with("leaves: a line has at most 1024 bytes"), "{told}");
        (stage.close)();
        join_all([witness.stay(), fits.stay()]).await;
    });
}

/// A guest that does not read holds up nobody: it misses lines, then it is cut off.
#[test]
fn a_guest_that_does_not_read_holds_up_nobody() {
    let play = |stage: Stage| async move {
        let deaf = Guest::new(stage.address).await;
        let (mut one, mut other) =
            (Guest::new(stage.address).await, Guest::new(stage.address).await);
        let line = format!("{}\n", "x".repeat(LINE_BYTES_MAX - 1));
        let mut told = None;
        for _ in 0..50 * LINES_BEHIND_MAX {
            one.say(&line).await;
            loop {
                let line = other.line().await.unwrap();
                if !line.starts_with('*') {
                    break;
                }
                told = Some(line).filter(|line| line.contains(" leaves")).or(told);
            }
        }
        let told = told.expect("the talk takes longer than the room is patient");
        let address = deaf.stream.local_addr().unwrap();
        assert!(told.starts_with(&format!("* {address} leaves: ")), "{told}");
        (stage.close)();
        join_all([one.stay(), other.stay()]).await;
        drop(deaf);
    };
    for config in [WorldConfig::calm(), WorldConfig::rough()] {
        let run = || {
            let (cut, world) = simulate(0, config.clone(), play, None);
            (cut, world.trace_hash())
        };
        assert_eq!(run(), run());
    }
}

/// One guest says many numbered lines; another one hears them.
async fn say_much(lines: usize, one: &mut Guest, other: &mut Guest) {
    let batch = LINES_BEHIND_MAX / 2;
    for number in 0..lines {
        one.say(&format!("{number} {}\n", "x".repeat(LINE_BYTES_MAX - 16))).await;
        if number % batch == batch - 1 {
            for _ in 0..batch {
                other.heard().await;
            }
        }
    }
}

/// A guest that reads late misses the oldest lines, is told how many, and has the latest.
#[test]
fn a_guest_that_reads_late_is_told_what_it_missed() {
    check(0, |stage| async move {
        let mut late = Guest::new(stage.address).await;
        let (mut one, mut other) =
            (Guest::new(stage.address).await, Guest::new(stage.address).await);
        let lines = stage.lines_too_many;
        say_much(lines, &mut one, &mut other).await;
        let (mut heard, mut missed) = (0, 0);
        while heard + missed < lines {
            let line = late.line().await.unwrap();
            if let Some(rest) = line.strip_prefix("* you missed ") {
                missed += rest.split(' ').next().unwrap().parse::<usize>().unwrap();
            } else if !line.starts_with('*') {
                let number = line.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
                assert_eq!(number, heard + missed);
                heard += 1;
            }
        }
        assert!(missed > 0 && heard >= LINES_BEHIND_MAX, "{heard} heard, {missed} missed");
        (stage.close)();
        join_all([late.stay(), one.stay(), other.stay()]).await;
    });
}

/// Who has not read what was said by the time at which the room is closed is cut off, and counted.
#[test]
fn a_guest_that_does_not_read_to_the_end_is_cut_off() {
    for config in [WorldConfig::calm(), WorldConfig::rough()] {
        let (cut, _) = simulate(
            0,
            config,
            |stage| async move {
                let deaf = Guest::new(stage.address).await;
                let (mut one, mut other) =
                    (Guest::new(stage.address).await, Guest::new(stage.address).await);
                say_much(stage.lines_too_many, &mut one, &mut other).await;
                (stage.close)();
                join_all([one.stay(), other.stay()]).await;
                sleep(2 * FAREWELL).await;
                drop(deaf);
            },
            None,
        );
        assert_eq!(cut, 1);
    }
}

/// Ctrl-C at each instant of a conversation: every guest hears the end, or was never let in; no line is cut.
#[test]
fn it_closes_at_every_instant() {
    async fn interrupted(stage: Stage) {
        let guests = (0..3).map(|own| async move {
            let Ok(stream) = TcpStream::connect(stage.address).await else { return };
            let mut guest = Guest { stream };
            for number in 0..3 {
                sleep(Duration::from_millis(1)).await;
                // The room may be closed by now.
                let _ = guest.stream.write_all(format!("{own} {number}\n").as_bytes()).await;
            }
            let mut last = None;
            while let Some(line) = guest.line().await {
                last = Some(line);
            }
            assert!(last.is_none_or(|last| last == CLOSING));
        });
        join_all(guests).await;
    }
    for (seed, config) in [(0, WorldConfig::calm()), (1, WorldConfig::rough())] {
        let record = WorldConfig { record: true, ..config.clone() };
        let end = Some(Instant::START + Duration::from_secs(10));
        let (_, whole) = simulate(seed, record, interrupted, end);
        for instant in whole.instants() {
            let run = || simulate(seed, config.clone(), interrupted, Some(instant)).1.trace_hash();
            assert_eq!(run(), run(), "seed {seed}, closed at {instant}");
        }
    }
}
