//! One connection, from its first byte to its close: the only place that sees both sockets and HTTP.
//!
//! ```text
//!   ┌─► head ──► handler ──► response ──► rest of the request ─┐ keep-alive
//!   └──────────────────────────────────────────────────────────┘
//!         │          │            │                │
//!         ▼          ▼            ▼                ▼
//!     nothing or   client      client           close, or too
//!     bad: close   gone: reset gone: reset      much: close
//! ```
//!
//! Nothing is written before something has to be awaited: the answers to a batch of pipelined requests leave in one
//! write. A connection that never has to wait lets others run after [`BURST_MAX`] exchanges.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame};
use mainspring_executor::net::TcpStream;
use mainspring_executor::{CancelToken, time};

use crate::body::BoxError;
use crate::date::DateCache;
use crate::http1::{BodyLength, UsageError};
use crate::limits::{BURST_MAX, Limits};
use crate::link::{Head, Link, Piece};
use crate::telemetry::Stats;
use crate::timeouts::Timeouts;
use crate::{Body, Handler, Incoming, IntoResponse, OnClientFin, Response};

/// What all connections of a server share.
pub(crate) struct Context<H> {
    pub(crate) handler: H,
    pub(crate) limits: Rc<Limits>,
    pub(crate) timeouts: Timeouts,
    pub(crate) on_client_fin: OnClientFin,
    pub(crate) draining: CancelToken,
    /// Connections that are done but for the peer's FIN.
    pub(crate) lingering: Cell<usize>,
    pub(crate) date: DateCache,
    pub(crate) stats: Arc<Stats>,
}

/// How a connection ends.
enum End {
    /// In good order: what was written is delivered, then FIN.
    Close,
    /// At once: the peer is gone.
    Drop,
    /// By a reset: the peer must see that its response is not whole.
    Reset,
}

/// Why a response did not get to its end.
enum SendError {
    /// The client is gone, or takes nothing.
    Disconnected,
    /// The body failed half way.
    Body(BoxError),
    /// The body panicked half way; the panic hook has told where and what.
    Panic,
    /// The body was not as long as the head said.
    Usage(UsageError),
}

type SharedLink = Rc<RefCell<Link>>;

/// Serves one connection to its end.
pub(crate) async fn serve_connection<H: Handler>(stream: TcpStream, context: Rc<Context<H>>) {
    let limits = Rc::clone(&context.limits);
    let link = Link::new(stream, limits, context.timeouts, &context.draining);
    let link = Rc::new(RefCell::new(link));
    let end = serve_exchanges(&link, &context).await;
    if let End::Close = end {
        close(&link, &context).await;
    }
    let link = Rc::try_unwrap(link).ok().expect("bodies hold their connection weakly");
    let link = link.into_inner();
    if matches!(end, End::Reset) || link.has_stalled() {
        link.reset();
    }
}

/// Serves request after request.
async fn serve_exchanges<H: Handler>(link: &SharedLink, context: &Context<H>) -> End {
    for exchange in 1u64.. {
        let response = match poll_fn(|cx| link.borrow_mut().poll_head(cx)).await {
            Head::Request(request) => respond(link, context, request).await,
            Head::Closed => return End::Close,
            Head::Rejected(error) => {
                reject(link, context, error);
                return End::Close;
            }
        };
        let Some(response) = response else {
            context.stats.handlers_cancelled.add(1);
            return End::Drop;
        };
        if let Some(error) = { link.borrow().failure() } {
            reject(link, context, error);
            return End::Close;
        }
        if let Err(error) = send(link, context, response).await {
            return end_of_cut_response(link, context, &error);
        }
        if !finish_request(link, &context.timeouts).await {
            return End::Close;
        }
        if exchange % BURST_MAX == 0 {
            time::yield_now().await;
        }
    }
    unreachable!("nobody serves 2^64 requests")
}

/// Answers a peer that broke the protocol or was too slow. False: a response has begun already, or nobody is there.
fn reject<H>(link: &SharedLink, context: &Context<H>, error: crate::http1::Error) -> bool {
    context.stats.rejections.add(1);
    let date = context.date.at(time::now());
    let answered = link.borrow_mut().reject(error, &date);
    if let Some(status) = answered {
        context.stats.count_response(status);
    }
    answered.is_some()
}

/// Runs the handler. `None`: the client went away first.
///
/// No `async fn`: that would move the request once more before the handler gets it, and it is big.
fn respond<H: Handler>(
    link: &SharedLink,
    context: &Context<H>,
    request: http::Request<()>,
) -> impl Future<Output = Option<Response>> {
    context.stats.requests.add(1);
    let (exchange, length) = {
        let link = link.borrow();
        (link.exchange(), link.request_body_length())
    };
    let incoming = match length {
        BodyLength::Known(0) => Incoming::empty(),
        _ => Incoming::new(Rc::downgrade(link), exchange, length),
    };
    let request = request.map(|()| incoming);
    let fin_counts = context.on_client_fin == OnClientFin::Cancel;
    async move {
        // In an async block, so that a panic before the first await is caught, too.
        let mut handler = pin!(async move { context.handler.call(request).await.into_response() });
        poll_fn(|cx| {
            // A handler that panicked is not called again with what it left behind: only with what it shares on
            // purpose.
            let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx)));
            match polled {
                Ok(Poll::Ready(response)) => return Poll::Ready(Some(response)),
                Ok(Poll::Pending) => {}
                // The panic hook has told where and what.
                Err(_panic) => {
                    context.stats.handler_panics.add(1);
                    let response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
                    return Poll::Ready(Some(response));
                }
            }
            // While this handler waits, the clients of earlier ones must not.
            link.borrow_mut().poll_peer_gone(cx, fin_counts).map(|()| None)
        })
        .await
    }
}

/// Writes a response; what is small stays in the output until something has to be awaited.
async fn send<H: Handler>(
    link: &SharedLink,
    context: &Context<H>,
    response: Response,
) -> Result<(), SendError> {
    let (head, mut body) = response.into_parts();
    let length = body.length();
    // A client that waits for 100 (Continue) must get it before the final head, if the response is made of what the
    // client has yet to send, as an echo is. Asking for the first frame finds out.
    let mut first = None;
    if !body.is_full() && link.borrow().expects_continue() {
        first = next_frame(link, context, &mut body).await?;
    }
    room(link).await?;
    if !start(link, context, &head, length, &mut body)? {
        return finish(link, None);
    }
    match body.into_full() {
        Ok(bytes) => {
            send_piece(link, bytes).await?;
            finish(link, None)
        }
        Err(body) => send_frames(link, context, first, body).await,
    }
}

/// Writes a body frame by frame, and ends the response.
async fn send_frames<H: Handler>(
    link: &SharedLink,
    context: &Context<H>,
    mut first: Option<Frame<Bytes>>,
    mut body: Body,
) -> Result<(), SendError> {
    loop {
        let next = match first.take() {
            Some(frame) => Some(frame),
            None => next_frame(link, context, &mut body).await?,
        };
        room(link).await?;
        let Some(frame) = next else { return finish(link, None) };
        match frame.into_data() {
            Ok(piece) => send_piece(link, piece).await?,
            Err(frame) => return finish(link, frame.into_trailers().ok()),
        }
    }
}

/// Writes the head of a response. True: its body is to follow, which is another one if the handler's cannot be sent.
fn start<H: Handler>(
    link: &SharedLink,
    context: &Context<H>,
    head: &http::response::Parts,
    length: BodyLength,
    body: &mut Body,
) -> Result<bool, SendError> {
    let mut link = link.borrow_mut();
    if context.draining.is_cancelled() {
        link.set_close();
    }
    let date = context.date.at(time::now());
    let (body_is_wanted, status) = match link.start_response(head, length, &date) {
        Ok(body_is_wanted) => (body_is_wanted, head.status),
        Err(error) => {
            tracing::error!("a handler gave a response that cannot be sent: {error}");
            let (head, instead) = StatusCode::INTERNAL_SERVER_ERROR.into_response().into_parts();
            *body = instead;
            let started = link.start_response(&head, body.length(), &date);
            (started.map_err(SendError::Usage)?, head.status)
        }
    };
    context.stats.count_response(status);
    Ok(body_is_wanted)
}

/// Waits for the next frame of a response's body; meanwhile the client gets what there is, and may leave.
async fn next_frame<H: Handler>(
    link: &SharedLink,
    context: &Context<H>,
    body: &mut Body,
) -> Result<Option<Frame<Bytes>>, SendError> {
    let fin_counts = context.on_client_fin == OnClientFin::Cancel;
    let frame = poll_fn(|cx| {
        // A body that panicked is not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *body).poll_frame(cx)));
        match polled {
            Ok(Poll::Ready(frame)) => return Poll::Ready(Ok(frame)),
            Ok(Poll::Pending) => {}
            Err(_panic) => {
                context.stats.handler_panics.add(1);
                return Poll::Ready(Err(SendError::Panic));
            }
        }
        let gone = link.borrow_mut().poll_peer_gone(cx, fin_counts);
        gone.map(|()| Err(SendError::Disconnected))
    })
    .await?;
    frame.transpose().map_err(SendError::Body)
}

/// Ends a response. There has to be room for the trailers.
fn finish(link: &SharedLink, trailers: Option<HeaderMap>) -> Result<(), SendError> {
    link.borrow_mut().finish(trailers.as_ref()).map_err(SendError::Usage)
}

/// Writes a piece of a body. There has to be room for it.
async fn send_piece(link: &SharedLink, piece: Bytes) -> Result<(), SendError> {
    if piece.is_empty() {
        return Ok(());
    }
    let sent = link.borrow_mut().send_piece(piece).map_err(SendError::Usage)?;
    if let Piece::Referenced = sent {
        flush(link).await?;
        link.borrow_mut().end_piece();
    }
    Ok(())
}

async fn room(link: &SharedLink) -> Result<(), SendError> {
    let room = poll_fn(|cx| link.borrow_mut().poll_room(cx)).await;
    room.map_err(|_| SendError::Disconnected)
}

async fn flush(link: &SharedLink) -> Result<(), SendError> {
    let flushed = poll_fn(|cx| link.borrow_mut().poll_flush(cx)).await;
    flushed.map_err(|_| SendError::Disconnected)
}

/// Gets rid of what the handler left unread. True: the connection is ready for the next request.
async fn finish_request(link: &SharedLink, timeouts: &Timeouts) -> bool {
    // A peer that failed while its response was written already got no other answer than that.
    if link.borrow().must_close() || link.borrow().failure().is_some() {
        return false;
    }
    if !link.borrow().request_body_done() {
        let (deadline, mut discarded) = (time::now() + timeouts.linger, 0);
        let discard =
            poll_fn(|cx| link.borrow_mut().poll_discard_body(cx, deadline, &mut discarded));
        if !discard.await {
            return false;
        }
    }
    link.borrow_mut().next_cycle()
}

/// Delivers what is written, then FIN; and waits for the peer's where a reset could overtake the answer.
async fn close<H>(link: &SharedLink, context: &Context<H>) {
    if flush(link).await.is_err() || !link.borrow_mut().shutdown_write() {
        return;
    }
    if link.borrow().is_cut_short() {
        let _lingering = Lingering::new(&context.lingering);
        let deadline = link.borrow().quiet_since() + context.timeouts.linger;
        poll_fn(|cx| link.borrow_mut().poll_linger(cx, deadline)).await;
    }
}

/// Counts a connection as lingering for as long as it lives.
struct Lingering<'a>(&'a Cell<usize>);

impl<'a> Lingering<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// How to end a connection whose response did not get to its end: so that a client that still reads does not take a
/// part for the whole.
fn end_of_cut_response<H>(link: &SharedLink, context: &Context<H>, error: &SendError) -> End {
    let failure = link.borrow().failure();
    match (error, failure) {
        // Clients leave; nobody has to look into it.
        (SendError::Disconnected, _) => {
            tracing::debug!("the client left before the response's end");
        }
        (SendError::Panic, _) => {}
        // The response was to be made of the request: if it has not begun, there is still another to give.
        (SendError::Body(_), Some(failure)) => {
            if reject(link, context, failure) {
                return End::Close;
            }
        }
        (SendError::Body(error), None) => tracing::error!("the body of a response failed: {error}"),
        (SendError::Usage(error), _) => tracing::error!("a response was cut: {error}"),
    }
    End::Reset
}
