//! The reactor: remembers which edges the driver reported on each token, and who waits for the next.
//!
//! Invariant: a source is here from the call that opened its token until the call that closes it, so that an edge
//! always finds its owner, and no edge is counted for a stranger.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use crate::driver::{Readiness, Ready, Token};
use crate::instant::Instant;
use crate::task::TaskId;

/// What a source is, for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Listener,
    Stream,
    Pipe,
    Datagrams,
    Signals,
    Job,
    File,
    Process,
}

impl Kind {
    /// In a word or two.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Stream => "stream",
            Self::Pipe => "pipe",
            Self::Datagrams => "datagram socket",
            Self::Signals => "signal subscription",
            Self::Job => "job",
            Self::File => "file",
            Self::Process => "child",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one may wait for. Each has one place for one waiter: the last to poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    /// The peer's end: FIN or reset.
    Closed,
    /// A reset.
    Broken,
}

/// How many kinds of interest there are.
const INTERESTS: usize = 4;

impl Interest {
    const ALL: [Self; INTERESTS] = [Self::Read, Self::Write, Self::Closed, Self::Broken];

    /// What is waited for on a source of `kind`, in words.
    pub(crate) const fn of(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Read, Kind::Listener) => "a connection",
            (Self::Read, Kind::Stream | Kind::Pipe | Kind::Datagrams | Kind::File) => {
                "something to read"
            }
            (Self::Read, Kind::Signals) => "a signal",
            (Self::Read, Kind::Job | Kind::Process) => "its end",
            (Self::Write, _) => "room to write",
            (Self::Closed, _) => "the peer's end",
            (Self::Broken, _) => "a reset",
        }
    }

    /// The edges that end the wait.
    const fn edges(self) -> Ready {
        match self {
            // A FIN or a reset is found by reading and by writing, so it wakes these, too.
            Self::Read => Ready::READABLE,
            Self::Write => Ready::WRITABLE,
            Self::Closed => Ready::READ_CLOSED,
            // What every interest ends with is all there is to this one.
            Self::Broken => Ready::NONE,
        }
    }
}

/// One token of the driver, as the executor sees it.
pub(crate) struct Source {
    pub(crate) token: Token,
    pub(crate) kind: Kind,
    pub(crate) origin: &'static Location<'static>,
    pub(crate) owner: Option<TaskId>,
    /// Edges reported and not yet used up.
    ready: Cell<Ready>,
    waiters: RefCell<[Option<Waiter>; INTERESTS]>,
}

/// Who waits for an interest.
pub(crate) struct Waiter {
    pub(crate) waker: Waker,
    pub(crate) asker: Asker,
}

/// Who asks whether something is ready: the task that runs, for a waker may be that of code in between; and when.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) task: Option<TaskId>,
    pub(crate) since: Instant,
}

impl Source {
    /// Whether `interest` may succeed, as far as is known.
    pub(crate) fn is_ready(&self, interest: Interest) -> bool {
        self.ready.get().intersects(interest.edges() | Ready::BROKEN)
    }

    /// Waits for the next edge of `interest` unless it is there.
    pub(crate) fn poll_ready(
        &self,
        interest: Interest,
        cx: &Context<'_>,
        asker: Asker,
    ) -> Poll<()> {
        if self.is_ready(interest) {
            return Poll::Ready(());
        }
        if !self.is_waited_for(interest, cx.waker(), asker) {
            // With nothing borrowed: to clone a foreign waker is foreign code, and one that is replaced may be the last
            // reference to its task.
            let waiter = Waiter { waker: cx.waker().clone(), asker };
            let before = self.waiters.borrow_mut()[interest as usize].replace(waiter);
            drop(before);
        }
        Poll::Pending
    }

    /// Whether `waker` will be woken for `interest` already; then on behalf of `asker`.
    fn is_waited_for(&self, interest: Interest, waker: &Waker, asker: Asker) -> bool {
        match &mut self.waiters.borrow_mut()[interest as usize] {
            Some(waiter) if waiter.waker.will_wake(waker) => {
                if waiter.asker.task != asker.task {
                    waiter.asker = asker;
                }
                true
            }
            _ => false,
        }
    }

    /// Calls `body` with each who waits here, and for what.
    pub(crate) fn for_each_waiter(&self, mut body: impl FnMut(Interest, &Waiter)) {
        for (interest, waiter) in Interest::ALL.into_iter().zip(&*self.waiters.borrow()) {
            if let Some(waiter) = waiter {
                body(interest, waiter);
            }
        }
    }

    /// The driver said that `interest` is used up; only a new edge brings it back.
    pub(crate) fn exhaust(&self, interest: Interest) {
        self.ready.set(self.ready.get().without(interest.edges()));
    }

    /// The driver said `WouldBlock`: `interest` is used up, and the connection is not broken, whatever an edge said.
    pub(crate) fn would_block(&self, interest: Interest) {
        self.ready.set(self.ready.get().without(interest.edges() | Ready::BROKEN));
    }
}

/// The sources of a shard, by token.
#[derive(Default)]
pub(crate) struct Reactor {
    sources: Vec<Option<Rc<Source>>>,
    count: usize,
}

impl Reactor {
    /// Adds a source, with what is assumed of it before its first edge.
    pub(crate) fn add(
        &mut self,
        token: Token,
        kind: Kind,
        ready: Ready,
        origin: &'static Location<'static>,
        owner: Option<TaskId>,
    ) -> Rc<Source> {
        let index = token.index as usize;
        if self.sources.len() <= index {
            self.sources.resize(index + 1, None);
        }
        assert!(self.sources[index].is_none(), "the driver gave out a token twice");
        let source = Rc::new(Source {
            token,
            kind,
            origin,
            owner,
            ready: Cell::new(ready),
            waiters: RefCell::default(),
        });
        self.sources[index] = Some(Rc::clone(&source));
        self.count += 1;
        source
    }

    /// Forgets a source.
    pub(crate) fn remove(&mut self, token: Token) {
        let place = self.sources.get_mut(token.index as usize);
        let removed = place.and_then(Option::take).expect("a source is removed once");
        assert_eq!(removed.token, token, "a source is removed by its owner");
        self.count -= 1;
    }

    /// Notes one edge, and gives who waited for it.
    pub(crate) fn deliver(&self, event: Readiness, woken: &mut Vec<Waker>) {
        let Some(Some(source)) = self.sources.get(event.token.index as usize) else { return };
        if source.token != event.token {
            // The edge was under way when its token was closed and the index given out again.
            return;
        }
        source.ready.set(source.ready.get() | event.ready);
        let mut waiters = source.waiters.borrow_mut();
        for interest in Interest::ALL {
            if event.ready.intersects(interest.edges() | Ready::BROKEN) {
                woken.extend(waiters[interest as usize].take().map(|waiter| waiter.waker));
            }
        }
    }

    /// All sources, by token.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<Source>> {
        self.sources.iter().flatten()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}
