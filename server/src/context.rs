//! `Context`: what all connections of a server share.

use core::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use mainspring_executor::{CancelToken, random};

use crate::date::DateCache;
use crate::exchange::Exchanges;
use crate::http1::HeadPool;
use crate::limits::Limits;
use crate::output::OutputPool;
use crate::peers::Peers;
use crate::server::{OnClientFin, OnDisconnect};
use crate::telemetry::Stats;
use crate::timeouts::Timeouts;

/// What a server is made of, but for its connections.
pub(crate) struct Context {
    pub(crate) exchanges: Exchanges,
    pub(crate) limits: Rc<Limits>,
    pub(crate) heads: Rc<HeadPool>,
    pub(crate) outputs: OutputPool,
    pub(crate) timeouts: Timeouts,
    pub(crate) peers: Rc<Peers>,
    pub(crate) on_client_fin: OnClientFin,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) draining: CancelToken,
    /// Connections that are done but for the peer's FIN.
    pub(crate) lingering: Cell<usize>,
    pub(crate) date: DateCache,
    pub(crate) stats: Arc<Stats>,
    /// Tells this server from others in the ids of requests.
    pub(crate) id: u32,
    /// How many there were.
    pub(crate) connections: Cell<u64>,
}

impl Context {
    /// A server's, with defaults for all but what makes it this one.
    ///
    /// # Panics
    /// Outside of a shard.
    #[expect(clippy::cast_possible_truncation, reason = "half of what is drawn is enough")]
    pub(crate) fn new(exchanges: Exchanges, draining: CancelToken, stats: Arc<Stats>) -> Self {
        Self {
            exchanges,
            limits: Rc::default(),
            heads: Rc::default(),
            outputs: OutputPool::default(),
            timeouts: Timeouts::default(),
            peers: Peers::new(usize::MAX),
            on_client_fin: OnClientFin::default(),
            on_disconnect: OnDisconnect::default(),
            draining,
            lingering: Cell::new(0),
            date: DateCache::new(),
            stats,
            id: random() as u32,
            connections: Cell::new(0),
        }
    }

    /// The ordinal of one more connection, from 1 on.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.set(self.connections.get() + 1);
        self.connections.get()
    }
}
