//! `ClientBuilder`: a client that differs from the default.

use http::Uri;
use http::uri::Scheme;

use super::bounds::{Bounds, Limits, Timeouts};
use super::call::Client;
use super::origin::Origin;

/// Makes a [`Client`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct ClientBuilder {
    bounds: Bounds,
    proxy: Option<Origin>,
}

impl ClientBuilder {
    /// Other limits.
    ///
    /// # Panics
    /// As [`Limits::check`].
    pub fn limits(mut self, limits: Limits) -> Self {
        limits.check();
        self.bounds.limits = limits;
        self
    }

    /// Other timeouts.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.bounds.timeouts = timeouts;
        self
    }

    /// Sends all requests to a proxy, with the whole URI as their target (RFC 9112 §3.2.2). `proxy` is an `http` URI, of
    /// which host and port count.
    ///
    /// # Panics
    /// When it is none.
    pub fn proxy(mut self, proxy: &Uri) -> Self {
        assert!(proxy.scheme() == Some(&Scheme::HTTP), "a proxy is named by an http URI");
        self.proxy = Some(Origin::of(proxy).expect("a URI with a scheme has a host"));
        self
    }

    /// The client, in the current shard.
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> Client {
        Client::with(self.bounds, self.proxy)
    }
}
