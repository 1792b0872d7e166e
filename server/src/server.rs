//! `Server`: accepts connections, serves each in a task of its scope, and drains.

use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use futures::future::{FutureExt, join, join_all};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::{timeout, yield_now};
use mainspring_executor::{CancelToken, Scope, Shard, always, buggify, reachable, sometimes};

use crate::balance::{Balance, Seating};
use crate::context::Context;
use crate::exchange::Exchanges;
use crate::house::House;
use crate::limits::{CONNECTIONS_MAX, Limits};
use crate::peers::Peers;
use crate::telemetry::Stats;
use crate::timeouts::Timeouts;
use crate::{Handler, Shutdown, Telemetry};

/// What the end of a client's stream means while its request is being handled.
///
/// A client that closes its socket and one that only ends its own side look the same: both send FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnClientFin {
    /// It left: the handler is dropped. Few clients end their side and still wait; many leave.
    #[default]
    Cancel,
    /// It may still wait for the answer: only a reset cancels.
    Finish,
}

/// What becomes of a handler when its client goes away. [`OnClientFin`] says what counts as going.
///
/// It is about the handler only: nobody reads the body of a response of which nobody takes the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnDisconnect {
    /// It is dropped, and with it all that it awaits and has spawned in the scope of its request.
    #[default]
    Cancel,
    /// It goes on to its end, and its connection counts as open until then.
    Finish,
    /// It goes on to its end as a task of the server, for which a drain waits; its connection is closed at once.
    Detach,
}

/// An HTTP/1.1 server with one handler for all requests.
pub struct Server<H> {
    handler: H,
    limits: Limits,
    timeouts: Timeouts,
    connections_max: usize,
    peer_connections_max: usize,
    on_client_fin: OnClientFin,
    on_disconnect: OnDisconnect,
    stats: Option<Arc<Stats>>,
    balance: Option<Balance>,
}

/// What became of the connections of a server that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Connections that were cut: by [`Shutdown::stop_now`], or when the time for the drain was over.
    pub connections_cut: usize,
}

impl<H: Handler> Server<H> {
    /// A server with the default limits and timeouts.
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            connections_max: CONNECTIONS_MAX,
            peer_connections_max: usize::MAX,
            on_client_fin: OnClientFin::default(),
            on_disconnect: OnDisconnect::default(),
            stats: None,
            balance: None,
        }
    }

    /// Other limits.
    ///
    /// # Panics
    /// When they contradict each other; see [`Limits::check`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        limits.check();
        self.limits = limits;
        self
    }

    /// Other timeouts.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// At most so many connections at once; further ones wait in the kernel's backlog.
    ///
    /// # Panics
    /// At zero.
    #[must_use]
    pub fn connections_max(mut self, connections_max: usize) -> Self {
        assert!(connections_max > 0, "a server without connections serves nobody");
        self.connections_max = connections_max;
        self
    }

    /// At most so many connections at once from one peer, which is an IPv4 address or an IPv6 network of 64 bits; further
    /// ones are reset. No bound unless set, as in nginx and Envoy: behind a proxy all clients have one address. Where
    /// several shards serve, each counts its own.
    ///
    /// # Panics
    /// At zero.
    #[must_use]
    pub fn peer_connections_max(mut self, peer_connections_max: usize) -> Self {
        assert!(peer_connections_max > 0, "a server without connections serves nobody");
        self.peer_connections_max = peer_connections_max;
        self
    }

    /// What a client's FIN means for its handler.
    #[must_use]
    pub fn on_client_fin(mut self, on_client_fin: OnClientFin) -> Self {
        self.on_client_fin = on_client_fin;
        self
    }

    /// What becomes of a handler when its client goes away; a handler may say otherwise by
    /// [`Request::set_on_disconnect`](crate::Request::set_on_disconnect).
    #[must_use]
    pub fn on_disconnect(mut self, on_disconnect: OnDisconnect) -> Self {
        self.on_disconnect = on_disconnect;
        self
    }

    /// Counts into `telemetry`, as one more shard of it.
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    pub fn telemetry(mut self, telemetry: &Telemetry) -> Self {
        self.stats = Some(telemetry.add_shard());
        self
    }

    /// Shares its connections with the other servers of the [`Balance`].
    #[must_use]
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = Some(balance);
        self
    }

    /// Serves on `address`, on one shard on this thread, until SIGINT or SIGTERM. For more than that, see
    /// [`run_shards`](mainspring_executor::os::run_shards) and [`Server::serve`].
    ///
    /// # Errors
    /// When the address cannot be listened on, or the system fails for good.
    ///
    /// # Panics
    /// Inside of a shard.
    pub fn run(self, address: SocketAddr) -> io::Result<Summary> {
        let shard = Shard::new(Rc::new(OsDriver::new()?));
        shard.run(async move {
            let listener = TcpListener::bind(address, ListenOptions::default())?;
            Ok(self.serve(vec![listener], Shutdown::on_signals()?).await)
        })?
    }

    /// Serves until `shutdown` says otherwise: then it accepts no more, closes what is idle, gives what runs
    /// [`Timeouts::drain`] to end, and cuts the rest; only what handlers have shielded it lets end. When it returns, no task
    /// and no socket of it is left; dropping the future has the same effect at once, but for what is shielded.
    ///
    /// # Panics
    /// Outside of a shard; without listeners and without a [`Balance`], by which others give it connections.
    pub async fn serve(self, listeners: Vec<TcpListener>, shutdown: Shutdown) -> Summary {
        let has_clients = !listeners.is_empty() || self.balance.is_some();
        assert!(has_clients, "a server listens somewhere, or is given connections");
        let Timeouts { drain: drain_timeout, lame_duck, .. } = self.timeouts;
        let exchanges = Exchanges::new(self.handler);
        let stats = self.stats.unwrap_or_default();
        let house = House::new(Context {
            limits: Rc::new(self.limits),
            timeouts: self.timeouts,
            peers: Peers::new(self.peer_connections_max),
            on_client_fin: self.on_client_fin,
            on_disconnect: self.on_disconnect,
            ..Context::new(exchanges, shutdown.draining().clone(), stats)
        });
        let signals = Scope::new();
        drop(signals.spawn(shutdown.clone().obey_signals(lame_duck)));
        let balance = self.balance.unwrap_or_else(Balance::alone);
        let (seating, intake) = balance.open(self.connections_max);
        let accepts = listeners.into_iter().map(|it| accept(it, &house, seating.clone()));
        join(join_all(accepts), house.take_in(intake)).await;
        let House { connections, context, .. } = &house;
        tracing::info!(connections = connections.len(), "draining: what runs may end");
        drain(connections, drain_timeout, shutdown.stopping()).await;
        always!(context.lingering.get() <= connections.len(), "who lingers is a connection");
        // Those that linger have all that they were to get.
        let connections_cut = connections.len().saturating_sub(context.lingering.get());
        sometimes!(connections_cut > 0, "a drain cuts what takes too long");
        connections.cancel();
        // What a handler has shielded ends by its own bound.
        ended(connections).await;
        always!(connections.is_empty(), "a server that has ended serves nobody");
        Summary { connections_cut }
    }
}

/// Accepts connections until the drain begins, and then those that wait already.
async fn accept(listener: TcpListener, house: &House, mut seating: Seating) {
    let mut draining = house.context.draining.cancelled();
    while !house.context.draining.is_cancelled() {
        let (stream, _peer) = {
            let next = async {
                house.room(&seating).await;
                listener.accept_patiently().await
            };
            let mut next = pin!(next.fuse());
            futures::select_biased! {
                next = next => next,
                () = (&mut draining).fuse() => break,
            }
        };
        take(stream, house, &mut seating).await;
    }
    let mut backlog = listener.sweep();
    while let Some(stream) = backlog.next().await {
        reachable!("a drain takes what waits in the backlog");
        take(stream, house, &mut seating).await;
    }
}

/// Brings a connection that was accepted to its seat.
async fn take(stream: TcpStream, house: &House, seating: &mut Seating) {
    house.context.stats.connections_accepted.add(1);
    if buggify!("a connection waits for its seat") {
        yield_now().await;
    }
    if let Err(error) = house.place(stream, seating).await {
        tracing::warn!("a connection was lost on its way: {error}");
    }
}

/// Waits for the connections, for as long as they may take.
async fn drain(connections: &Scope, drain_timeout: Duration, stopping: &CancelToken) {
    let mut stopping = stopping.cancelled();
    let mut ended = pin!(timeout(drain_timeout, ended(connections)).fuse());
    futures::select_biased! {
        _ = ended => {}
        () = (&mut stopping).fuse() => {}
    }
}

/// Waits for the connections, however long they take.
async fn ended(connections: &Scope) {
    while let Err(error) = connections.join().await {
        // A connection's task catches its handler's panics: this one is ours.
        tracing::error!("a connection ended badly: {error}");
    }
}
