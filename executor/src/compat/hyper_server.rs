//! `HyperServer`: hyper's HTTP/1.1 server on a listener: one task for each connection, a bound on them, and an end.
//!
//! It adds to hyper what every program would have to write around it, and nothing else: it reads no request, and
//! answers none.

use core::error::Error as StdError;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;

use futures::{FutureExt, select_biased};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::HttpService;
#[cfg(feature = "tower")]
use hyper_util::service::TowerToHyperService;

use super::{HyperIo, HyperTimer, OnThread};
use crate::CancelToken;
use crate::net::{TcpListener, TcpStream};
use crate::scope::{Scope, ScopeError};
use crate::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time, unless it is told otherwise; beyond, they wait in the backlog.
const CONNECTIONS_MAX: usize = 10_000;

/// What runs when it is told to end has so long, unless it is told otherwise.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// hyper's HTTP/1.1 server, the same on the operating system and in a simulated room. What it serves is a service of
/// hyper; with the feature `tower` also one of that, such as a `Router` of axum, by `HyperServer::serve_tower`.
///
/// ```
/// use core::convert::Infallible;
/// use hyper::{Request, Response, body::Incoming, service::service_fn};
/// use mainspring_executor::compat::HyperServer;
/// use mainspring_executor::net::{TcpListener, TcpStream};
/// use mainspring_executor::{CancelToken, Scope};
/// # use mainspring_executor::{Shard, os::OsDriver};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new("hello".to_owned()))
/// }
///
/// let listener = TcpListener::bind(([127, 0, 0, 1], 0).into(), Default::default())?;
/// let address = listener.local_addr()?;
/// let (scope, stop) = (Scope::new(), CancelToken::new());
/// // In a program: until `Signals::next`.
/// let serving = HyperServer::new().serve(listener, |_| service_fn(hello), stop.cancelled());
/// let serving = scope.spawn(serving);
///
/// let mut client = TcpStream::connect(address).await?;
/// client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
/// while !client.buffered().ends_with(b"hello") {
///     assert_ne!(client.fill().await?, 0);
/// }
/// stop.cancel();
/// let summary = serving.await.expect("the server's task goes to its end");
/// assert_eq!(summary.expect("no handler panics").connections_cut, 0);
/// # Ok::<(), std::io::Error>(())
/// # })??;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # What it bears
/// Of hyper: a head that does not come to its end, and a connection that says nothing, are closed after 30 s; heads have at
/// most 100 fields and some 400 KiB. There is no bound on how long a handler takes, how slowly a body comes, and how
/// slowly a client takes its answer: set one in a middleware, or serve with `mainspring`, which has all of them.
///
/// Of its own: [`connections_max`](HyperServer::connections_max), and the [drain](HyperServer::drain_timeout). When a client
/// leaves, its handler is dropped where it waits, with what it owns; what it has spawned goes on.
#[derive(Clone, Debug)]
pub struct HyperServer {
    http1: Builder,
    connections_max: usize,
    drain_timeout: Duration,
}

/// What became of a [`HyperServer`] that was told to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperSummary {
    /// Connections that were cut, for the time of the drain was over.
    pub connections_cut: usize,
}

impl Default for HyperServer {
    fn default() -> Self {
        Self::new()
    }
}

impl HyperServer {
    /// One with hyper's settings, on the driver's time; 10,000 connections at most, and 30 s to drain.
    #[must_use]
    pub fn new() -> Self {
        let mut http1 = Builder::new();
        http1.timer(HyperTimer);
        Self { http1, connections_max: CONNECTIONS_MAX, drain_timeout: DRAIN_TIMEOUT }
    }

    /// Changes hyper's settings.
    #[must_use]
    pub fn http1(mut self, change: impl FnOnce(&mut Builder)) -> Self {
        change(&mut self.http1);
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

    /// How long requests that run may go on when it is told to end; what is left then is dropped where it waits.
    #[must_use]
    pub fn drain_timeout(mut self, drain_timeout: Duration) -> Self {
        self.drain_timeout = drain_timeout;
        self
    }

    /// Serves until `stop` is ready: then it accepts no more, and answers what runs and what waits in the backlog, with
    /// `Connection: close`. Connections that say nothing are closed at once, whether a request is on its way or not.
    /// When it returns, none of its tasks and sockets is left; dropping the future has the same effect at once.
    ///
    /// `service` gives each connection its service, and may look at it or set its options before. A service may take up
    /// an upgrade; the stream is then no longer this server's: a drain does not wait for it, and its place is free for another.
    ///
    /// # Errors
    /// When a service panicked: with the first panic, at the end, in place of the summary. Its connection was closed without an
    /// answer, and all others went on.
    ///
    /// # Panics
    /// Outside of a shard. When `service` itself does, which makes them: all connections go with it.
    pub async fn serve<S, B>(
        self,
        listener: TcpListener,
        service: impl Fn(&TcpStream) -> S,
        stop: impl Future,
    ) -> Result<HyperSummary, ScopeError>
    where
        S: HttpService<Incoming, ResBody = B> + 'static,
        S::Error: Into<Box<dyn StdError + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let connections = Scope::new();
        let places = Rc::new(Semaphore::new(self.connections_max));
        let start = |stream: TcpStream, place| {
            let (service, closing) = (service(&stream), connections.token());
            drop(connections.spawn(converse(self.http1.clone(), stream, service, closing, place)));
        };
        let mut stop = pin!(stop.fuse());
        loop {
            let mut next = pin!(accept(&listener, &places).fuse());
            select_biased! {
                _ = stop => break,
                (stream, place) = next => start(stream, Some(place)),
            }
        }
        let mut backlog = listener.sweep();
        while let Some(stream) = backlog.next().await {
            start(stream, None);
        }
        drop(listener);
        let connections_cut = connections.drain_for(self.drain_timeout).await;
        connections.join().await?;
        Ok(HyperSummary { connections_cut })
    }

    /// As [`HyperServer::serve`], with a clone of a service of `tower` for each connection.
    ///
    /// What a service wants to know of its client is for `serve` to tell it: with a
    /// `TowerToHyperService::new(router.clone().layer(Extension(ConnectInfo(stream.peer_addr()))))` for each stream axum's
    /// `ConnectInfo` is there.
    ///
    /// # Errors
    /// As for `serve`.
    ///
    /// # Panics
    /// Outside of a shard.
    #[cfg(feature = "tower")]
    pub async fn serve_tower<S, B>(
        self,
        listener: TcpListener,
        service: S,
        stop: impl Future,
    ) -> Result<HyperSummary, ScopeError>
    where
        S: Clone,
        TowerToHyperService<S>: HttpService<Incoming, ResBody = B> + 'static,
        <TowerToHyperService<S> as HttpService<Incoming>>::Error:
            Into<Box<dyn StdError + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.serve(listener, |_| TowerToHyperService::new(service.clone()), stop).await
    }
}

/// The next connection, when there is a place for it. Cancel-safe.
async fn accept(
    listener: &TcpListener,
    places: &Rc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Rc::clone(places).acquire_owned().await.expect("nobody closes it");
    (listener.accept_patiently().await.0, place)
}

/// Serves a connection to its end; when `closing` is cancelled, to the end of what was asked by then.
async fn converse<S, B>(
    http1: Builder,
    stream: TcpStream,
    service: S,
    closing: CancelToken,
    _place: Option<OwnedSemaphorePermit>,
) where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // Bound to its thread, for it may be upgraded, and what is upgraded has to be `Send`.
    let stream = HyperIo::new(OnThread::new(stream));
    let mut connection = pin!(http1.serve_connection(stream, service).with_upgrades());
    let mut closing = pin!(closing.cancelled());
    let mut is_closing = false;
    let ended = poll_fn(|cx| {
        // First, for hyper closes one that has read nothing at once.
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        if is_closing || closing.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        is_closing = true;
        connection.as_mut().graceful_shutdown();
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        // Most are the clients' ends.
        tracing::debug!("a connection ended: {error}");
    }
}
