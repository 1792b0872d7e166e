//! Signals as descriptors that become readable, and as what kills a process that does not ask for them.
//!
//! A handler counts its signal, and wakes each subscriber by a byte. What a subscriber is told comes from the counts alone:
//! all that came since it last asked is one signal, as POSIX has it for signals that are pending, and no byte that is
//! late or lost makes a difference.
//!
//! Invariant: a signal that somebody wants is counted; one that nobody wants does what it does by default. The handler
//! stays in the process for good (no system call could tell whose it has become), so it is the handler that decides.
#![expect(unsafe_code, reason = "a signal handler may run anywhere, and must not do just anything")]

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::SeqCst;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level::{emulate_default_handler, pipe, register, unregister};

use crate::driver::Signal;

/// How many kinds of signals there are.
const KINDS: usize = Signal::ALL.len();

/// What the handlers know, by [`Signal`].
static WATCHED: [Watched; KINDS] = [const { Watched::new() }; KINDS];

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// One kind of signal, as its handler sees it.
struct Watched {
    /// How often it came while somebody wanted it.
    count: AtomicUsize,
    /// Subscriptions and [`HeldSignals`].
    wanted: AtomicUsize,
}

/// What no handler looks at.
struct Registry {
    /// Whether the handler is there.
    is_installed: [bool; KINDS],
    /// How many subscriptions there are, and how many there ever were.
    subscribed: [usize; KINDS],
    subscriptions_made: [usize; KINDS],
    holds: Vec<Hold>,
    holds_made: u64,
}

/// What was when a [`HeldSignals`] was made.
struct Hold {
    id: u64,
    signals: Vec<Signal>,
    counts: [usize; KINDS],
    subscriptions_made: [usize; KINDS],
    was_subscribed: [bool; KINDS],
}

impl Watched {
    const fn new() -> Self {
        Self { count: AtomicUsize::new(0), wanted: AtomicUsize::new(0) }
    }

    /// What the handler does.
    fn came(&self, number: i32) {
        if self.wanted.load(SeqCst) == 0 {
            // It fails for signals that it does not know; it knows ours.
            drop(emulate_default_handler(number));
        } else {
            self.count.fetch_add(1, SeqCst);
        }
    }
}

impl Registry {
    const fn new() -> Self {
        Self {
            is_installed: [false; KINDS],
            subscribed: [0; KINDS],
            subscriptions_made: [0; KINDS],
            holds: Vec::new(),
            holds_made: 0,
        }
    }

    fn lock() -> MutexGuard<'static, Self> {
        // A panic in here would be ours, and each change is a step of its own.
        REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a signal is counted. Its handler comes before those of all subscribers, for handlers run in the order
    /// in which they were registered.
    fn want(&mut self, signal: Signal) -> io::Result<()> {
        let watched = &WATCHED[signal as usize];
        watched.wanted.fetch_add(1, SeqCst);
        if self.is_installed[signal as usize] {
            return Ok(());
        }
        let number = number(signal);
        // SAFETY: it touches atomics, and calls what the crate says may be called in a handler.
        let registered = unsafe { register(number, move || watched.came(number)) };
        if let Err(error) = registered {
            watched.wanted.fetch_sub(1, SeqCst);
            return Err(error);
        }
        self.is_installed[signal as usize] = true;
        Ok(())
    }

    fn want_no_longer(signal: Signal) {
        WATCHED[signal as usize].wanted.fetch_sub(1, SeqCst);
    }

    /// The count after which signals are news to a subscriber: the present one, or that of the first who holds them.
    fn known_count(&self, signal: Signal) -> usize {
        let mut holds = self.holds.iter().filter(|hold| hold.signals.contains(&signal));
        holds.next().map_or_else(|| count(signal), |hold| hold.counts[signal as usize])
    }
}

/// A subscription.
pub(super) struct SignalPipe {
    reader: UnixStream,
    subscribed: Vec<Subscribed>,
}

/// One kind of signal of a subscription.
struct Subscribed {
    signal: Signal,
    /// Its count when it was last told.
    seen: Cell<usize>,
    handler: SigId,
}

impl SignalPipe {
    pub(super) fn subscribe(signals: &[Signal]) -> io::Result<Self> {
        let (reader, mut writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let mut registry = Registry::lock();
        // What is in here already is undone when it is dropped, should a later step fail.
        let mut pipe = Self { reader, subscribed: Vec::with_capacity(signals.len()) };
        for signal in signals {
            if !pipe.subscribed.iter().any(|other| other.signal == *signal) {
                pipe.subscribed.push(Subscribed::new(&mut registry, *signal, &writer)?);
            }
        }
        drop(registry);
        if pipe.is_any_new() {
            // Held back for it, or come meanwhile: nobody else makes the edge.
            writer.write_all(&[0])?;
        }
        Ok(pipe)
    }

    /// One signal that arrived; two of different kind have no order that anyone could know.
    pub(super) fn next(&self) -> io::Result<Signal> {
        // Bytes first: a signal that comes after the look at its count has a byte that is still there.
        loop {
            match (&self.reader).read(&mut [0; 64]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let new = self.subscribed.iter().find(|subscribed| subscribed.is_new());
        let new = new.ok_or(io::ErrorKind::WouldBlock)?;
        new.seen.set(count(new.signal));
        Ok(new.signal)
    }

    fn is_any_new(&self) -> bool {
        self.subscribed.iter().any(Subscribed::is_new)
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Subscribed {
    fn new(registry: &mut Registry, signal: Signal, writer: &UnixStream) -> io::Result<Self> {
        let writer = writer.try_clone()?;
        // Before it is wanted: a signal that comes between is told, or kills; it is not lost.
        let seen = registry.known_count(signal);
        registry.want(signal)?;
        let handler = pipe::register(number(signal), writer)
            .inspect_err(|_| Registry::want_no_longer(signal))?;
        registry.subscribed[signal as usize] += 1;
        registry.subscriptions_made[signal as usize] += 1;
        Ok(Self { signal, seen: Cell::new(seen), handler })
    }

    fn is_new(&self) -> bool {
        self.seen.get() != count(self.signal)
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        let mut registry = Registry::lock();
        for subscribed in &self.subscribed {
            unregister(subscribed.handler);
            registry.subscribed[subscribed.signal as usize] -= 1;
            Registry::want_no_longer(subscribed.signal);
        }
    }
}

/// Signals that are kept for who subscribes later. Made by [`hold_signals`].
#[must_use = "signals are held as long as this is"]
pub struct HeldSignals {
    id: u64,
}

/// Keeps `signals` from now on: they do not kill the process, and each subscriber to come is told of those that came
/// since. For programs whose subscribers start one after the other, as shards on threads do: without it, a late one
/// would miss what came before it.
///
/// When what this gives is dropped, later subscribers are told of later signals only. A signal that came meanwhile and
/// that nobody subscribed to then does what it does by default: it kills the process.
///
/// [`run_shards`](super::run_shards) does this by itself.
///
/// # Errors
/// Where the system cannot watch signals.
pub fn hold_signals(signals: &[Signal]) -> io::Result<HeldSignals> {
    let mut registry = Registry::lock();
    let counts = Signal::ALL.map(count);
    let mut wanted: Vec<Signal> = Vec::with_capacity(signals.len());
    for signal in signals {
        if wanted.contains(signal) {
            continue;
        }
        if let Err(error) = registry.want(*signal) {
            wanted.into_iter().for_each(Registry::want_no_longer);
            return Err(error);
        }
        wanted.push(*signal);
    }
    let id = registry.holds_made;
    registry.holds_made += 1;
    let hold = Hold {
        id,
        signals: wanted,
        counts,
        subscriptions_made: registry.subscriptions_made,
        was_subscribed: registry.subscribed.map(|count| count > 0),
    };
    registry.holds.push(hold);
    Ok(HeldSignals { id })
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        let mut registry = Registry::lock();
        let place = registry.holds.iter().position(|hold| hold.id == self.id);
        let hold = registry.holds.remove(place.expect("a hold ends once"));
        for signal in hold.signals {
            let kind = signal as usize;
            let is_told = hold.was_subscribed[kind]
                || hold.subscriptions_made[kind] != registry.subscriptions_made[kind];
            let is_new = hold.counts[kind] != count(signal);
            Registry::want_no_longer(signal);
            if is_new && !is_told && WATCHED[kind].wanted.load(SeqCst) == 0 {
                tracing::debug!(?signal, "came while it was held, and nobody asked for it");
                drop(emulate_default_handler(number(signal)));
            }
        }
    }
}

impl fmt::Debug for HeldSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldSignals")
    }
}

fn count(signal: Signal) -> usize {
    WATCHED[signal as usize].count.load(SeqCst)
}

const fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Interrupt => SIGINT,
        Signal::Terminate => SIGTERM,
        Signal::Hangup => SIGHUP,
        Signal::User1 => SIGUSR1,
        Signal::User2 => SIGUSR2,
    }
}
