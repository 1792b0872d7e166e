//! `Client`, and the way of a request through it.

use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, header};
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::now;
use mainspring_executor::{Instant, Scope, deadline};

use super::body::ResponseBody;
use super::bounds::Bounds;
use super::builder::ClientBuilder;
use super::connect::connect;
use super::conversation::Conversation;
use super::error::{Error, ErrorKind, Phase};
use super::origin::Origin;
use super::pool::{ClientStats, Lease, Pool};
use super::reaper::reap;
use super::upload::{Source, Upload};
use crate::Body;
use crate::http1::BodyLength;
use crate::http1::exchange::{Exchange, RequestError, RequestParts, ResponseLimits, TargetForm};

/// Room for the head of a request, as most of them are.
const HEAD_BYTES: usize = 256;

/// An HTTP/1.1 client of the current shard. Clones share its connections; with the last of them the idle ones are closed.
#[derive(Clone)]
pub struct Client {
    shared: Rc<Shared>,
}

struct Shared {
    pool: Rc<Pool>,
    limits: Rc<ResponseLimits>,
    proxy: Option<Origin>,
    /// Holds the reaper.
    _scope: Scope,
}

/// One request that is to be sent, perhaps twice.
struct Call<'c> {
    pool: &'c Rc<Pool>,
    limits: &'c Rc<ResponseLimits>,
    parts: &'c http::request::Parts,
    origin: &'c Origin,
    length: BodyLength,
    form: TargetForm,
    total: Instant,
    progress: Progress,
}

/// How far it has come, for who ends it from outside.
struct Progress {
    phase: Cell<Phase>,
    may_be_processed: Cell<bool>,
}

impl Client {
    /// A client with the default limits and timeouts.
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        ClientBuilder::default().build()
    }

    /// Makes one that differs.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    #[track_caller]
    pub(super) fn with(bounds: Bounds, proxy: Option<Origin>) -> Self {
        let limits = Rc::new(bounds.limits.response.clone());
        let pool = Rc::new(Pool::new(bounds));
        let scope = Scope::new();
        drop(scope.spawn_named("client: idle connections", reap(Rc::downgrade(&pool))));
        Self { shared: Rc::new(Shared { pool, limits, proxy, _scope: scope }) }
    }

    /// What it is doing.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.shared.pool.stats()
    }

    /// Sends a request, and waits for the head of its response; interim ones are passed over. Redirects are not followed.
    ///
    /// The URI is absolute, with the scheme `http`; for `CONNECT` it is an authority. `Host` is made from it where the
    /// request has none.
    ///
    /// Cancel-safe in that dropping the future closes the connection that it used, and nothing else. Whether the server acted
    /// on the request is not known then.
    ///
    /// # Errors
    /// What went wrong, where, and whether the request may have been processed: see [`Error`].
    pub async fn send(&self, request: Request<Body>) -> Result<Response<ResponseBody>, Error> {
        self.send_informed(request, |_| {}).await
    }

    /// As [`Client::send`], with a look at the interim responses (100, 103, …) when they come.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_informed(
        &self,
        request: Request<Body>,
        mut on_interim: impl FnMut(Response<()>),
    ) -> Result<Response<ResponseBody>, Error> {
        let (mut parts, body) = request.into_parts();
        if let Some(media_type) = body.media_type()
            && !parts.headers.contains_key(header::CONTENT_TYPE)
        {
            let value = HeaderValue::from_static(media_type.as_str());
            parts.headers.insert(header::CONTENT_TYPE, value);
        }
        let shared = &*self.shared;
        let origin = self.origin(&parts)?;
        let call = Call {
            pool: &shared.pool,
            limits: &shared.limits,
            parts: &parts,
            origin: &origin,
            length: body.length(),
            form: if shared.proxy.is_some() { TargetForm::Absolute } else { TargetForm::Origin },
            total: now() + shared.pool.bounds.timeouts.total,
            progress: Progress {
                phase: Cell::new(Phase::Queue),
                may_be_processed: Cell::new(false),
            },
        };
        let running = deadline::until(call.total, call.run(body, &mut on_interim));
        running.await.unwrap_or_else(|_| Err(call.too_late()))
    }

    /// Whom to connect to.
    fn origin(&self, parts: &http::request::Parts) -> Result<Origin, Error> {
        let is_tunnel = parts.method == Method::CONNECT;
        let target = Origin::of(&parts.uri);
        let refused = |kind| {
            let host = target.as_ref().map(ToString::to_string).unwrap_or_default();
            Error::new(kind, host, Phase::Check, false)
        };
        match parts.uri.scheme() {
            None if is_tunnel => {}
            Some(scheme) if !is_tunnel && *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme != Scheme::HTTP => return Err(refused(ErrorKind::Scheme)),
            _ => return Err(refused(ErrorKind::Request(RequestError::Target))),
        }
        match (&self.shared.proxy, &target) {
            (_, None) => Err(refused(ErrorKind::Request(RequestError::Target))),
            (Some(proxy), Some(_)) => Ok(proxy.clone()),
            (None, Some(target)) => Ok(target.clone()),
        }
    }
}

impl Call<'_> {
    async fn run(
        &self,
        body: Body,
        on_interim: &mut dyn FnMut(Response<()>),
    ) -> Result<Response<ResponseBody>, Error> {
        // What is wrong with the request is said before anything is done.
        let (mut exchange, mut head) = self.start()?;
        let (mut source, again) = match body.into_full() {
            Ok(bytes) => (Source::Full(bytes.clone()), Some(bytes)),
            Err(body) => (Source::Stream(body), None),
        };
        let lease = self.pool.acquire(self.origin).await;
        let mut lease = lease.map_err(|kind| Error::unsent(kind, self.origin, Phase::Queue))?;
        if let Some(stream) = lease.take_idle() {
            let upload = Upload::new(head, source);
            let first = self.converse(stream, lease, exchange, upload, on_interim).await;
            let (conversation, kind) = match first {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let again = self.may_retry(&conversation, &kind, again);
            let Some(bytes) = again else { return Err(conversation.error(kind)) };
            lease = conversation.into_lease();
            lease.note_retried();
            source = Source::Full(bytes);
            (exchange, head) = self.start()?;
        }
        let stream = self.connect(&lease).await?;
        let upload = Upload::new(head, source);
        let second = self.converse(stream, lease, exchange, upload, on_interim).await;
        second.map_err(|(conversation, kind)| conversation.error(kind))
    }

    fn start(&self) -> Result<(Exchange, Vec<u8>), Error> {
        let parts = RequestParts {
            method: &self.parts.method,
            uri: &self.parts.uri,
            headers: &self.parts.headers,
            body: self.length,
            form: self.form,
        };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let exchange = Exchange::start(Rc::clone(self.limits), &parts, &mut head);
        let exchange = exchange
            .map_err(|error| Error::unsent(ErrorKind::Request(error), self.origin, Phase::Check))?;
        Ok((exchange, head))
    }

    async fn connect(&self, lease: &Lease) -> Result<TcpStream, Error> {
        self.progress.phase.set(Phase::Connect);
        let connected = connect(self.origin, self.pool.bounds.timeouts.connect).await;
        let may_be_processed = self.progress.may_be_processed.get();
        let stream = connected
            .map_err(|(phase, kind)| Error::new(kind, self.origin, phase, may_be_processed))?;
        lease.note_opened();
        Ok(stream)
    }

    /// Sends the request on `stream`, and waits for the head of the response.
    async fn converse(
        &self,
        stream: TcpStream,
        lease: Lease,
        exchange: Exchange,
        upload: Upload,
        on_interim: &mut dyn FnMut(Response<()>),
    ) -> Result<Response<ResponseBody>, (Box<Conversation>, ErrorKind)> {
        let conversation =
            Conversation::new(stream, lease, exchange, upload, self.origin, self.total);
        let mut conversation = Box::new(conversation);
        let head = poll_fn(|cx| {
            let head = conversation.poll_head(cx, on_interim);
            self.note(&conversation);
            head
        });
        match head.await {
            Ok(head) => Ok(head.map(|()| ResponseBody::new(conversation))),
            Err(kind) => Err((conversation, kind)),
        }
    }

    fn note(&self, conversation: &Conversation) {
        self.progress.phase.set(conversation.phase());
        if conversation.written() > 0 {
            self.progress.may_be_processed.set(true);
        }
    }

    /// The body to send again, if that is safe. RFC 9112 §9.3.1: a request that was lost with its connection may be repeated
    /// by itself only if its method is idempotent, or if it surely was not processed.
    fn may_retry(
        &self,
        conversation: &Conversation,
        kind: &ErrorKind,
        body: Option<Bytes>,
    ) -> Option<Bytes> {
        let written = conversation.written_in_vain(kind)?;
        body.filter(|_| written == 0 || self.parts.method.is_idempotent())
    }

    fn too_late(&self) -> Error {
        let (phase, may_be_processed) =
            (self.progress.phase.get(), self.progress.may_be_processed.get());
        Error::new(ErrorKind::Deadline, self.origin, phase, may_be_processed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl Default for Client {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.stats())
    }
}
