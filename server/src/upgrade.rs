//! Upgrades (RFC 9110 §7.8): a connection that speaks HTTP no longer.

use core::fmt;
use core::future::Future;

use futures::future::LocalBoxFuture;
use http::StatusCode;
use http::header::{HeaderValue, UPGRADE};
use mainspring_executor::CancelToken;
use mainspring_executor::net::TcpStream;

use crate::{Body, Response};

/// What a handler has to do with the connection after its response.
pub(crate) type OnUpgrade = Box<dyn FnOnce(Upgraded) -> LocalBoxFuture<'static, ()>>;

/// The connection of a request that was answered with 101 (Switching Protocols).
pub struct Upgraded {
    /// The raw stream. What the client has sent behind its request is in there, unread.
    pub stream: TcpStream,
    /// Cancelled when the server drains: then it is time to say goodbye. What still runs when the time for the drain is
    /// over is dropped.
    pub draining: CancelToken,
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upgraded({:?})", self.stream)
    }
}

/// The response that switches to `protocol`; `then` gets the connection as soon as the client has got the response.
///
/// Only a request that [asks for it](crate::Request::upgrade) may be answered so; any other gets 500, and `then` is
/// dropped. Fields may be added to the response, a body may not. The future counts as an open connection of its server.
pub fn upgrade<F, Fut>(protocol: HeaderValue, then: F) -> Response
where
    F: FnOnce(Upgraded) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let mut response = Response::new(Body::upgrade(Box::new(|upgraded| Box::pin(then(upgraded)))));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(UPGRADE, protocol);
    response
}
