//! Bodies: [`Incoming`] streams that of a request from its connection, [`Body`] is that of a response.

use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::rc::Weak;

use bytes::Bytes;
use futures::stream::Stream;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::http1::{self, BodyLength};
use crate::link::Link;
use crate::upgrade::OnUpgrade;
use crate::{MediaType, Problem, RequestId};

/// Any error of a body that a handler made.
pub(crate) type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// The body of a request. It is read from the connection only as fast as it is polled here: a handler that waits makes
/// the client wait.
///
/// Dropped before its end, the rest is discarded up to a bound, or the connection closes after the response.
pub struct Incoming {
    /// `None`: there is nothing more to come. Weak: a body that is kept must not keep its connection.
    link: Option<Weak<RefCell<Link>>>,
    /// Which request of the connection it belongs to.
    exchange: u64,
    length: BodyLength,
}

/// Why the body of a request cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client broke the protocol or was too slow; whatever the handler answers, the client gets the status of
    /// this error.
    Protocol(http1::Error),
    /// The connection is gone.
    Disconnected,
    /// The response to this request is complete: its body can no longer be read.
    ExchangeOver,
    /// It is longer than the reader wants.
    TooLong,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "bad request body: {error}"),
            Self::Disconnected => f.write_str("the client is gone"),
            Self::ExchangeOver => f.write_str("the response to this request is complete"),
            Self::TooLong => f.write_str("the body is longer than its reader wants"),
        }
    }
}

impl core::error::Error for BodyError {}

impl Incoming {
    /// A body of no bytes, for requests that are made and not received.
    #[must_use]
    pub fn empty() -> Self {
        Self { link: None, exchange: 0, length: BodyLength::Known(0) }
    }

    pub(crate) fn new(link: Weak<RefCell<Link>>, exchange: u64, length: BodyLength) -> Self {
        Self { link: Some(link), exchange, length }
    }

    /// The next bytes; `None` after the last. Cancel-safe.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        let waiting = Waiting(self);
        loop {
            let frame =
                poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *waiting.0), cx)).await?;
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers: whoever wants them polls frames.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// All bytes together, if there are no more than `bytes_max`.
    ///
    /// # Errors
    /// [`BodyError::TooLong`], or why the body could not be read.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > bytes_max {
                return Err(BodyError::TooLong);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }
}

/// Whoever waits for a chunk. When it does so no longer, be it that it has one or that it does something else, time is not
/// the client's any more.
struct Waiting<'a>(&'a mut Incoming);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.0.link.as_ref().and_then(Weak::upgrade) {
            link.borrow_mut().end_body_wait(self.0.exchange);
        }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(link) = &self.link else { return Poll::Ready(None) };
        let frame = match link.upgrade() {
            Some(link) => ready!(link.borrow_mut().poll_request_body(self.exchange, cx)),
            None => Some(Err(BodyError::Disconnected)),
        };
        let is_data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if !is_data {
            // Trailers, an error and the end are all the last.
            self.link = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.link.is_none()
    }

    /// As the head of the request announced it; of no use after the first frame.
    fn size_hint(&self) -> SizeHint {
        match self.length {
            BodyLength::Known(length) => SizeHint::with_exact(length),
            BodyLength::Unknown => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({:?})", self.length)
    }
}

/// The body of a response.
///
/// It may know what kind of content it is: that is the `Content-Type` where the response has none.
pub struct Body {
    kind: Kind,
    media_type: Option<MediaType>,
}

enum Kind {
    Full(Bytes),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError>>>),
    /// Rendered when it is known for which request.
    Problem(Box<Problem>),
    /// None at all: the connection is used for something else.
    Upgrade(OnUpgrade),
}

impl Body {
    const fn of(kind: Kind) -> Self {
        Self { kind, media_type: None }
    }

    /// The same of that media type.
    #[must_use]
    pub fn with_media_type(mut self, media_type: MediaType) -> Self {
        self.media_type = Some(media_type);
        self
    }

    /// What kind of content it is, as far as it knows.
    #[must_use]
    pub fn media_type(&self) -> Option<MediaType> {
        self.media_type
    }

    /// A body of no bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self::of(Kind::Full(Bytes::new()))
    }

    pub(crate) fn problem(problem: Problem) -> Self {
        Self::of(Kind::Problem(Box::new(problem)))
    }

    pub(crate) fn upgrade(then: OnUpgrade) -> Self {
        Self::of(Kind::Upgrade(then))
    }

    /// Makes a document of a problem, which is given back, in answer to that request.
    pub(crate) fn render_problem(&mut self, id: RequestId) -> Option<Box<Problem>> {
        let Kind::Problem(_) = &self.kind else { return None };
        let kind = core::mem::replace(&mut self.kind, Kind::Full(Bytes::new()));
        let Kind::Problem(problem) = kind else { unreachable!("it is one") };
        self.kind = Kind::Full(problem.render(Some(id)));
        Some(problem)
    }

    /// What is to be done with the connection instead, if it is that.
    pub(crate) fn take_upgrade(&mut self) -> Option<OnUpgrade> {
        let Kind::Upgrade(_) = &self.kind else { return None };
        let kind = core::mem::replace(&mut self.kind, Kind::Full(Bytes::new()));
        let Kind::Upgrade(then) = kind else { unreachable!("it is one") };
        Some(then)
    }

    /// Any body of the `http-body` crate.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        Self::of(Kind::Boxed(Box::pin(MapError { body })))
    }

    /// Pieces that come one by one, sent as they come. An error, or more or less than `length` bytes where it is
    /// known, cuts the connection: the client must not take a part for the whole.
    pub fn stream<S, E>(length: Option<u64>, pieces: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<BoxError>,
    {
        Self::new(Pieces { length, pieces })
    }

    /// Its length, if it is known before it is read.
    pub(crate) fn length(&self) -> BodyLength {
        match http_body::Body::size_hint(self).exact() {
            Some(length) => BodyLength::Known(length),
            None => BodyLength::Unknown,
        }
    }

    /// Whether all of its bytes are here.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.kind, Kind::Full(_))
    }

    /// How many bytes there are, if all of them are here.
    pub(crate) fn full_length(&self) -> Option<usize> {
        if let Kind::Full(bytes) = &self.kind { Some(bytes.len()) } else { None }
    }

    /// The bytes, of which all have to be here.
    pub(crate) fn take_full(&mut self) -> Bytes {
        let Kind::Full(bytes) = &mut self.kind else { unreachable!("asked for before") };
        core::mem::take(bytes)
    }

    /// The bytes, if all of them are here.
    pub(crate) fn into_full(self) -> Result<Bytes, Self> {
        match self.kind {
            Kind::Full(bytes) => Ok(bytes),
            kind => Err(Self { kind, ..self }),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(core::mem::take(bytes))))),
            Kind::Incoming(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| Some(frame?.map_err(Into::into)))
            }
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
            Kind::Problem(problem) => {
                let document = problem.render(None);
                self.kind = Kind::Full(Bytes::new());
                Poll::Ready(Some(Ok(Frame::data(document))))
            }
            Kind::Upgrade(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Incoming(incoming) => incoming.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
            Kind::Problem(_) => false,
            Kind::Upgrade(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(incoming) => incoming.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
            Kind::Problem(_) => SizeHint::default(),
            Kind::Upgrade(_) => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?})", self.length())
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self::of(Kind::Incoming(incoming))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::of(Kind::Full(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

pin_project! {
    /// A body whose error is boxed.
    struct MapError<B> {
        #[pin]
        body: B,
    }
}

impl<B> http_body::Body for MapError<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map(|frame| Some(frame?.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// A stream as a body.
    struct Pieces<S> {
        length: Option<u64>,
        #[pin]
        pieces: S,
    }
}

impl<S, E> http_body::Body for Pieces<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.project().pieces.poll_next(cx).map(|piece| Some(piece?.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}
