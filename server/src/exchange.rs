//! `Exchange`: one request on its way: through the handler, and its response out to the client.
//!
//! Its future holds the handler's, which may be big. So it does not lie in the connection, most of which are idle, but in
//! a place that one exchange leaves to the next.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context as TaskContext, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame};
use mainspring_executor::time;
use pin_project_lite::pin_project;

use crate::body::BoxError;
use crate::context::Context;
use crate::http1::UsageError;
use crate::limits::EXCHANGES_KEPT_MAX;
use crate::link::{Piece, SharedLink};
use crate::upgrade::OnUpgrade;
use crate::{Body, Handler, IntoResponse, Problem, Request, RequestId, Response};

/// What an exchange leaves its connection with.
pub(crate) enum Next {
    /// Both messages are complete. The next request, if there may be one.
    Go,
    /// The connection ends.
    End(End),
    /// It is used for something else.
    Upgrade(OnUpgrade),
}

/// How a connection ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
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

/// A place for exchanges, one after the other.
pub(crate) trait Exchange {
    /// Puts an exchange into the place, which is empty.
    fn begin(self: Pin<&mut Self>, link: SharedLink, context: Rc<Context>, request: Request);

    /// Polls it; once it is ready the place is empty.
    ///
    /// # Panics
    /// When the place is empty.
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Next>;

    /// Drops what is in the place.
    fn clear(self: Pin<&mut Self>);
}

/// An exchange of any handler, in its place.
pub(crate) type BoxExchange = Pin<Box<dyn Exchange>>;

pin_project! {
    struct Place<R, F> {
        run: R,
        #[pin]
        future: Option<F>,
    }
}

impl<R, F> Exchange for Place<R, F>
where
    R: Fn(SharedLink, Rc<Context>, Request) -> F,
    F: Future<Output = Next>,
{
    fn begin(self: Pin<&mut Self>, link: SharedLink, context: Rc<Context>, request: Request) {
        let mut this = self.project();
        this.future.set(Some((this.run)(link, context, request)));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Next> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("an exchange was begun");
        let next = core::task::ready!(future.poll(cx));
        this.future.set(None);
        Poll::Ready(next)
    }

    fn clear(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }
}

/// The places of a server.
pub(crate) struct Exchanges {
    make: Box<dyn Fn() -> BoxExchange>,
    empty: RefCell<Vec<BoxExchange>>,
}

impl Exchanges {
    /// Places for what `handler` has to do.
    pub(crate) fn new<H: Handler>(handler: H) -> Self {
        let handler = Rc::new(handler);
        let make = move || -> BoxExchange {
            let handler = Rc::clone(&handler);
            let run =
                move |link, context, request| run(Rc::clone(&handler), link, context, request);
            Box::pin(Place { run, future: None })
        };
        Self { make: Box::new(make), empty: RefCell::default() }
    }

    /// An empty place.
    pub(crate) fn take(&self) -> BoxExchange {
        let kept = self.empty.borrow_mut().pop();
        kept.unwrap_or_else(|| (self.make)())
    }

    /// Takes back a place, which is empty.
    pub(crate) fn give_back(&self, place: BoxExchange) {
        let mut empty = self.empty.borrow_mut();
        if empty.len() < EXCHANGES_KEPT_MAX {
            empty.push(place);
        }
    }
}

/// The whole of an exchange.
async fn run<H: Handler>(
    handler: Rc<H>,
    link: SharedLink,
    context: Rc<Context>,
    request: Request,
) -> Next {
    let id = request.id();
    // It goes there right away: a response is big, and handed on it would be copied at each step.
    let mut response = None;
    handle(&*handler, request, id, &context, &mut response).await;
    {
        let mut link = link.borrow_mut();
        link.end_handling();
        if link.is_given_up() {
            return Next::End(End::Drop);
        }
        if let Some(error) = link.failure() {
            link.reject(error);
            return Next::End(End::Close);
        }
    }
    let at_once = response.as_mut().and_then(|response| link.borrow_mut().answer_at_once(response));
    if let Some(next) = at_once {
        return next;
    }
    answer(&link, &context, response.expect("the handler was waited for"), id).await
}

/// Sets `response` to what the handler gives, or to what stands for it if it panics.
async fn handle<H: Handler>(
    handler: &H,
    request: Request,
    id: RequestId,
    context: &Context,
    response: &mut Option<Response>,
) {
    let (mut request, mut handling) = (Some(request), pin!(None));
    poll_fn(|cx| {
        // A handler that panicked is not called again with what it left behind: only with what it shares on purpose.
        let poll = || {
            if let Some(request) = request.take() {
                handling.set(Some(handler.call(request)));
            }
            let handling = handling.as_mut().as_pin_mut().expect("the handler was called");
            match handling.poll(cx) {
                Poll::Ready(output) => *response = Some(output.into_response()),
                Poll::Pending => {}
            }
        };
        if catch_unwind(AssertUnwindSafe(poll)).is_err() {
            *response = Some(answer_to_panic(id, context));
        }
        if response.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The panic hook has told where and what.
fn answer_to_panic(id: RequestId, context: &Context) -> Response {
    context.stats.handler_panics.add(1);
    tracing::error!(request_id = %id, "the handler panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
}

/// Brings the response to the client, and the request to its end.
async fn answer(link: &SharedLink, context: &Context, response: Response, id: RequestId) -> Next {
    let (mut head, mut body) = response.into_parts();
    if let Some(problem) = body.render_problem(id)
        && let Some(cause) = problem.cause()
    {
        tracing::error!(request_id = %id, "the handler failed: {cause}");
    }
    if let Some(then) = body.take_upgrade() {
        let written = link.borrow_mut().upgrade(&head);
        match written {
            Ok(()) if flush(link).await.is_ok() => return Next::Upgrade(then),
            Ok(()) => return Next::End(End::Drop),
            Err(error) => {
                refuse_response(id, &error);
                let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR);
                (head, body) = problem.into_response().into_parts();
                body.render_problem(id);
            }
        }
    }
    if let Err(error) = send(link, &head, body, id).await {
        return Next::End(end_of_cut_response(link, &error, id));
    }
    // A peer that failed while its response was written already got no other answer than that.
    if link.borrow().must_close() || link.borrow().failure().is_some() {
        return Next::End(End::Close);
    }
    if !link.borrow().request_body_done() && !discard_body(link, context).await {
        return Next::End(End::Close);
    }
    if link.borrow_mut().next_cycle() { Next::Go } else { Next::End(End::Close) }
}

/// Writes a response; what is small stays in the output until something has to be awaited.
async fn send(
    link: &SharedLink,
    head: &Parts,
    mut body: Body,
    id: RequestId,
) -> Result<(), SendError> {
    // A client that waits for 100 (Continue) must get it before the final head, if the response is made of what the
    // client has yet to send, as an echo is. Asking for the first frame finds out.
    let mut first = None;
    if !body.is_full() && link.borrow().expects_continue() {
        first = next_frame(link, &mut body).await?;
    }
    room(link).await?;
    if !start(link, head, &mut body, id)? {
        return finish(link, None);
    }
    match body.into_full() {
        Ok(bytes) => {
            send_piece(link, bytes).await?;
            finish(link, None)
        }
        Err(body) => send_frames(link, first, body).await,
    }
}

/// Writes a body frame by frame, and ends the response.
async fn send_frames(
    link: &SharedLink,
    mut first: Option<Frame<Bytes>>,
    mut body: Body,
) -> Result<(), SendError> {
    loop {
        let next = match first.take() {
            Some(frame) => Some(frame),
            None => next_frame(link, &mut body).await?,
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
fn start(
    link: &SharedLink,
    head: &Parts,
    body: &mut Body,
    id: RequestId,
) -> Result<bool, SendError> {
    let mut link = link.borrow_mut();
    match link.start_response(head.status, &head.headers, body.media_type(), body.length()) {
        Ok(body_is_wanted) => Ok(body_is_wanted),
        Err(error) => {
            refuse_response(id, &error);
            let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR);
            let (head, instead) = problem.into_response().into_parts();
            *body = instead;
            body.render_problem(id);
            let started =
                link.start_response(head.status, &head.headers, body.media_type(), body.length());
            started.map_err(SendError::Usage)
        }
    }
}

fn refuse_response(id: RequestId, error: &UsageError) {
    tracing::error!(request_id = %id, "a handler gave a response that cannot be sent: {error}");
}

/// Waits for the next frame of a response's body.
async fn next_frame(link: &SharedLink, body: &mut Body) -> Result<Option<Frame<Bytes>>, SendError> {
    let frame = poll_fn(|cx| {
        // A body that panicked is not polled again.
        let poll = || Pin::new(&mut *body).poll_frame(cx).map(Ok);
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|_| {
            link.borrow().context().stats.handler_panics.add(1);
            Poll::Ready(Err(SendError::Panic))
        })
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

/// Gets rid of what the handler left unread. False: that is not worth while.
async fn discard_body(link: &SharedLink, context: &Context) -> bool {
    let (deadline, mut discarded) = (time::now() + context.timeouts.linger, 0);
    poll_fn(|cx| link.borrow_mut().poll_discard_body(cx, deadline, &mut discarded)).await
}

/// How to end a connection whose response did not get to its end: so that a client that still reads does not take a
/// part for the whole.
fn end_of_cut_response(link: &SharedLink, error: &SendError, id: RequestId) -> End {
    let failure = link.borrow().failure();
    match (error, failure) {
        // Clients leave; nobody has to look into it.
        (SendError::Disconnected, _) => {
            tracing::debug!(request_id = %id, "the client left before the response's end");
        }
        (SendError::Panic, _) => {
            tracing::error!(request_id = %id, "the body of a response panicked");
        }
        // The response was to be made of the request: if it has not begun, there is still another to give.
        (SendError::Body(_), Some(failure)) => {
            if link.borrow_mut().reject(failure) {
                return End::Close;
            }
        }
        (SendError::Body(error), None) => {
            tracing::error!(request_id = %id, "the body of a response failed: {error}");
        }
        (SendError::Usage(error), _) => {
            tracing::error!(request_id = %id, "a response was cut: {error}");
        }
    }
    End::Reset
}
