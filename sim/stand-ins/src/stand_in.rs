//! `StandIn`: a server that stands in for another one, as a scenario holds it; and how it accepts.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use futures::{FutureExt, select_biased};
use mainspring_executor::driver::{Exhausted, ListenOptions};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep, sleep_until, wall_clock};
use mainspring_executor::{CancelToken, Scope, random};
use mainspring_sim::Host;

use crate::behaviour::{Behaviour, Beyond};
use crate::call::Call;
use crate::rules::{Act, Rule, Rules};
use crate::seen::{Seen, What};

/// Things that a stand-in remembers; beyond, the oldest are forgotten.
const SEEN_MAX: usize = 1_000_000;

/// How long nothing is accepted when the machine is out of sockets.
const EXHAUSTED_PAUSE: core::time::Duration = core::time::Duration::from_millis(100);

/// What a stand-in speaks. The crate brings [`Http`](crate::Http), [`Postgres`](crate::Postgres), [`Redis`](crate::Redis) and
/// [`Feed`](crate::Feed); another one implements this, and has every [`Behaviour`] for free.
///
/// ```
/// use mainspring_stand_ins::{Act, Behaviour, Call, Protocol, StandIn};
///
/// /// Answers each line with its length.
/// struct Lengths;
///
/// impl Protocol for Lengths {
///     type Behaviour = Never;
///     type Question = String;
///
///     async fn converse(mut call: Call<Self>) -> std::io::Result<()> {
///         loop {
///             let Some(end) = call.received().iter().position(|byte| *byte == b'\n') else {
///                 if call.receive().await? == 0 {
///                     return Ok(());
///                 }
///                 continue;
///             };
///             let line = String::from_utf8_lossy(&call.received()[..end]).into_owned();
///             call.consume(end + 1);
///             call.ask(line.clone())?;
///             call.answer(format!("{}\n", line.len()).as_bytes()).await?;
///         }
///     }
/// }
///
/// #[derive(Clone, Debug)]
/// enum Never {}
/// # let world = mainspring_sim::World::new(1, mainspring_sim::WorldConfig::calm());
/// # let host = world.host("lengths");
/// let lengths = StandIn::serve(Lengths, &host, 7);
/// lengths.behave(Behaviour::Break).one_in(10);
/// # let address = host.address(7);
/// # world.host("client").run(async move {
/// #     let mut stream = mainspring_executor::net::TcpStream::connect(address).await.unwrap();
/// #     stream.write_all(b"four\n").await.unwrap();
/// #     lengths.behave_well();
/// #     assert_eq!(stream.fill().await.unwrap(), 2);
/// #     assert_eq!(stream.buffered(), b"4\n");
/// #     stream.consume(2);
/// # });
/// # world.run().unwrap();
/// # assert!(world.leaks().is_empty());
/// ```
pub trait Protocol: Sized + 'static {
    /// How it misbehaves in its own words.
    type Behaviour: Clone + fmt::Debug + 'static;
    /// What it is asked.
    type Question: Clone + fmt::Debug + 'static;

    /// Talks with one client to the end of its connection. An error ends it, and is nobody's concern: most are the clients'
    /// ends.
    fn converse(call: Call<Self>) -> impl Future<Output = io::Result<()>> + 'static;
}

/// A server that stands in for another one. Clones are handles to the same one; it ends with the last of them, or when it is
/// [stopped](StandIn::stop): connections that are left are closed.
pub struct StandIn<P: Protocol> {
    shared: Rc<Shared<P>>,
    handles: Rc<Handles>,
}

/// Of all handles: dropped with the last.
struct Handles {
    stop: CancelToken,
}

impl Drop for Handles {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the handles and the connections share.
pub(crate) struct Shared<P: Protocol> {
    pub(crate) protocol: P,
    pub(crate) rules: Rules<P::Behaviour>,
    stop: CancelToken,
    seen: RefCell<VecDeque<Seen<P::Question>>>,
    accepted_count: Cell<u64>,
    open_count: Cell<usize>,
}

impl<P: Protocol> StandIn<P> {
    /// Starts it on a host of a simulated room, on its IPv4 address, as a task that the run waits for: a stand-in that nobody ends is
    /// a run that deadlocks. Open choices are drawn on behalf of the host. After [`Host::restart`] it is made anew.
    ///
    /// # Panics
    /// In its task, which fails the run, where the port is taken.
    #[must_use = "a stand-in ends with its last handle"]
    #[track_caller]
    pub fn serve(protocol: P, host: &Host, port: u16) -> Self {
        let chooser = host.clone();
        let stand_in = Self::new(protocol, Box::new(move |bound| chooser.choose(bound)));
        let shared = Rc::clone(&stand_in.shared);
        host.run(async move {
            let address = ([0, 0, 0, 0], port).into();
            shared.serve(address, None).await;
        });
        stand_in
    }

    /// For any shard, the operating system's too: gives the stand-in and the future that is its server, which ends when the
    /// stand-in does. Open choices come from the driver's entropy.
    ///
    /// # Panics
    /// Where the listener has no address. In the future, where it cannot listen again after [`Behaviour::Refuse`].
    pub fn serve_on(
        protocol: P,
        listener: TcpListener,
    ) -> (Self, impl Future<Output = ()> + 'static) {
        let stand_in = Self::new(protocol, Box::new(|bound| random() % bound));
        let shared = Rc::clone(&stand_in.shared);
        let address = listener.local_addr().expect("a listener has an address");
        (stand_in, async move { shared.serve(address, Some(listener)).await })
    }

    fn new(protocol: P, choose: Box<dyn Fn(u64) -> u64>) -> Self {
        let stop = CancelToken::new();
        let shared = Rc::new(Shared {
            protocol,
            rules: Rules::new(choose),
            stop: stop.clone(),
            seen: RefCell::default(),
            accepted_count: Cell::new(0),
            open_count: Cell::new(0),
        });
        Self { shared, handles: Rc::new(Handles { stop }) }
    }

    /// Misbehaves so from now on, in place of all that was set before. What has begun, a silent connection or half an answer, stays
    /// as it is. The rule that is given can be narrowed: to one in ten, to a time, to a connection.
    ///
    /// # Panics
    /// Where a value makes no sense, such as a drip of no bytes.
    pub fn behave(&self, act: impl Into<Act<P::Behaviour>>) -> Rule<'_, P::Behaviour> {
        self.shared.rules.clear();
        self.also(act)
    }

    /// Misbehaves so as well.
    ///
    /// # Panics
    /// As [`StandIn::behave`].
    pub fn also(&self, act: impl Into<Act<P::Behaviour>>) -> Rule<'_, P::Behaviour> {
        self.shared.rules.add(act.into())
    }

    /// Does what is right from now on.
    pub fn behave_well(&self) {
        self.shared.rules.clear();
    }

    /// All that it has seen, in order; of more than a million things the last.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen<P::Question>> {
        self.shared.seen.borrow().iter().cloned().collect()
    }

    /// The questions of all that it has [seen](StandIn::seen).
    #[must_use]
    pub fn asked(&self) -> Vec<P::Question> {
        let seen = self.shared.seen.borrow();
        let questions = seen.iter().filter_map(|seen| match &seen.what {
            What::Asked(question) => Some(question.clone()),
            _ => None,
        });
        questions.collect()
    }

    /// How many connections are accepted and have not ended.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.shared.open_count.get()
    }

    /// Closes all, and ends. Again is the same as once.
    pub fn stop(&self) {
        self.handles.stop.cancel();
    }

    /// Its protocol, with what that lets a scenario do.
    #[must_use]
    pub fn protocol(&self) -> &P {
        &self.shared.protocol
    }
}

impl<P: Protocol> Clone for StandIn<P> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), handles: Rc::clone(&self.handles) }
    }
}

impl<P: Protocol> fmt::Debug for StandIn<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, accepted) = (self.open_count(), self.shared.accepted_count.get());
        write!(f, "StandIn({open} of {accepted} connections open)")
    }
}

/// Why accepting pauses.
enum Next {
    Stop,
    /// Look again at what is in force.
    Look,
}

impl<P: Protocol> Shared<P> {
    async fn serve(self: Rc<Self>, address: SocketAddr, mut listener: Option<TcpListener>) {
        // Dropped at the end, with the connections that are left.
        let connections = Scope::new();
        loop {
            let next = if self.rules.refuses() {
                listener = None;
                self.change().await
            } else {
                let listener = listener.get_or_insert_with(|| listen(address));
                self.accept(listener, &connections).await
            };
            if matches!(next, Next::Stop) {
                return;
            }
        }
    }

    /// Accepts one connection, if there is room for it.
    async fn accept(self: &Rc<Self>, listener: &TcpListener, connections: &Scope) -> Next {
        let limit = self.rules.limit();
        let is_full = limit.is_some_and(|(limit, _)| self.open_count.get() >= limit);
        let beyond = limit.filter(|_| is_full).map(|(_, beyond)| beyond);
        if beyond == Some(Beyond::Wait) {
            return self.change().await;
        }
        let accepted = select_biased! {
            next = pin!(self.change().fuse()) => return next,
            accepted = pin!(listener.accept().fuse()) => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Counted now: the limit is looked at again before the task runs.
                let open = Open::new(self);
                if beyond == Some(Beyond::Reset) {
                    stream.abort();
                } else {
                    drop(connections.spawn(run(open, stream, beyond.is_some())));
                }
            }
            Err(error) if Exhausted::is(&error) => sleep(EXHAUSTED_PAUSE).await,
            // The client has given up.
            Err(_) => {}
        }
        Next::Look
    }

    /// Waits until something is in force that was not, or a connection has ended.
    async fn change(&self) -> Next {
        select_biased! {
            () = pin!(self.stop.cancelled().fuse()) => Next::Stop,
            () = pin!(self.rules.changed.listen().fuse()) => Next::Look,
            () = pin!(sleep_until(self.rules.next_change()).fuse()) => Next::Look,
        }
    }

    pub(crate) fn note(&self, connection: u64, what: What<P::Question>) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() == SEEN_MAX {
            seen.pop_front();
        }
        seen.push_back(Seen { at: now(), connection, what });
    }
}

/// Serves a connection to its end.
async fn run<P: Protocol>(open: Open<P>, stream: TcpStream, is_beyond_limit: bool) {
    let Open { shared, number } = &open;
    let drawn = shared.rules.draw_first(*number, |act| match act {
        Act::Any(behaviour) if behaviour.is_of_connection() => Some(behaviour.clone()),
        _ => None,
    });
    let mut call = Call::new(Rc::clone(shared), *number, stream, is_beyond_limit);
    let ended = match drawn {
        Some(Behaviour::Deaf) => call.wait_for_end().await,
        Some(_) => Err(call.stall().await),
        None => P::converse(call).await,
    };
    // A client that goes away or talks nonsense ends its own connection only.
    drop(ended);
}

fn listen(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address, ListenOptions::default())
        .unwrap_or_else(|error| panic!("a stand-in cannot listen on {address}: {error}"))
}

/// Counts a connection for as long as it is there, and notes when it begins and ends.
struct Open<P: Protocol> {
    shared: Rc<Shared<P>>,
    /// The first is 1.
    number: u64,
}

impl<P: Protocol> Open<P> {
    fn new(shared: &Rc<Shared<P>>) -> Self {
        let number = shared.accepted_count.get() + 1;
        shared.accepted_count.set(number);
        shared.open_count.set(shared.open_count.get() + 1);
        shared.note(number, What::Connected);
        Self { shared: Rc::clone(shared), number }
    }
}

impl<P: Protocol> Drop for Open<P> {
    fn drop(&mut self) {
        self.shared.open_count.set(self.shared.open_count.get() - 1);
        // A world that is dropped has no time any more, and nobody asks.
        if wall_clock().is_some() {
            self.shared.note(self.number, What::Ended);
        }
        self.shared.rules.changed.ring();
    }
}
