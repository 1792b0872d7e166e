//! `Request`: what a handler gets: a head, a body that streams, and what others on the way to the handler have to say.

use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use std::rc::{Rc, Weak};

use http::{Extensions, HeaderMap, Method, Uri, Version};
use mainspring_executor::Scope;

use crate::http1::RequestHead;
use crate::link::Link;
use crate::{Incoming, OnDisconnect, RequestId};

/// A request.
///
/// What of it is looked at is read in place: [`Request::path`] and [`Request::field`] cost no allocation. For the types
/// of the `http` crate there are [`Request::uri`], [`Request::headers`] and [`Request::into_parts`].
pub struct Request {
    head: RequestHead,
    body: Incoming,
    extensions: Extensions,
    /// Weak: a request that is kept must not keep its connection.
    link: Weak<RefCell<Link>>,
    id: RequestId,
}

impl Request {
    pub(crate) fn new(
        head: RequestHead,
        body: Incoming,
        link: Weak<RefCell<Link>>,
        id: RequestId,
    ) -> Self {
        Self { head, body, extensions: Extensions::new(), link, id }
    }

    /// Its name in logs, and in what clients are told when something went wrong.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The address of the client; `None` once its connection is gone.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.link.upgrade()?.borrow().peer_addr()
    }

    /// The scope of this request: what is spawned in there ends with the response, or with whatever ends the handler. In
    /// it the handler's deadline is known to all.
    #[must_use]
    pub fn scope(&self) -> Rc<Scope> {
        match self.link.upgrade() {
            Some(link) => link.borrow_mut().scope(),
            None => Rc::default(),
        }
    }

    /// What becomes of the handler of this request when the client goes away, if not what [`Server::on_disconnect`] says.
    ///
    /// [`Server::on_disconnect`]: crate::Server::on_disconnect
    pub fn set_on_disconnect(&self, on_disconnect: OnDisconnect) {
        if let Some(link) = self.link.upgrade() {
            link.borrow_mut().set_on_disconnect(on_disconnect);
        }
    }

    /// The protocols that the client would rather speak, as its `Upgrade` has them (RFC 9110 §7.8), where
    /// [`upgrade`](crate::upgrade()) may answer: not with a body, and not in HTTP/1.0.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        let may_upgrade = self.link.upgrade()?.borrow().may_upgrade();
        if may_upgrade { self.field("upgrade") } else { None }
    }

    /// The whole head.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The method. Any token is one.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// HTTP/1.1 or HTTP/1.0.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// The path as it was sent; see [`RequestHead::path`].
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// What follows the first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.head.query()
    }

    /// The value of the first field of that name; see [`RequestHead::field`].
    #[must_use]
    pub fn field<'h>(&'h self, name: &'h str) -> Option<&'h [u8]> {
        self.head.field(name)
    }

    /// The target as a URI. Made at the first call.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.head.uri()
    }

    /// All fields as a map. Made at the first call.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Values that code before the handler has left for it, by their type.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// As [`Request::extensions`], to be added to.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Incoming {
        &self.body
    }

    /// The body, to be read.
    pub fn body_mut(&mut self) -> &mut Incoming {
        &mut self.body
    }

    /// Only the body.
    #[must_use]
    pub fn into_body(self) -> Incoming {
        self.body
    }

    /// The head in the types of the `http` crate, and the body.
    #[must_use]
    pub fn into_parts(self) -> (http::request::Parts, Incoming) {
        let Self { head, body, extensions, .. } = self;
        let (mut parts, ()) = head.into_request().into_parts();
        parts.extensions = extensions;
        (parts, body)
    }
}

impl From<Request> for http::Request<Incoming> {
    fn from(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        Self::from_parts(parts, body)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?}, {:?})", self.head, self.body)
    }
}
