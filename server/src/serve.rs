//! One connection, from its first byte to its close: the only place that sees both sockets and HTTP.
//!
//! ```text
//!   ┌─► head ──► handler ──► response ──► rest of the request ─┐ keep-alive
//!   └──────────────────────────────────────────────────────────┘
//!         │          │            │                │
//!         ▼          ▼            ▼                ▼
//!     nothing or   client      client           close, or too
//!     bad: close   gone: drop  gone: reset      much: close
//! ```
//!
//! Nothing is written before something has to be awaited: the answers to a batch of pipelined requests leave in one
//! write. A connection that never has to wait lets others run after [`BURST_MAX`] exchanges.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::task::{Context as TaskContext, Poll, ready};
use std::rc::{Rc, Weak};

use http::StatusCode;
use mainspring_executor::net::TcpStream;
use mainspring_executor::{Scope, deadline, reachable, sometimes, time};

use crate::context::Context;
use crate::exchange::{BoxExchange, End, Next};
use crate::http1::{BodyLength, RequestHead};
use crate::limits::BURST_MAX;
use crate::link::{Absence, Head, Link, SharedLink};
use crate::upgrade::{OnUpgrade, Upgraded};
use crate::{Incoming, IntoResponse, OnDisconnect, Problem, Request};

/// Serves one connection to its end; then `held` is dropped. `house` is where handlers go on that outlive their connections.
///
/// Its future is what an idle connection costs most, so it holds each thing once, and nothing that is needed only at the end.
pub(crate) fn serve_connection(
    stream: TcpStream,
    context: Rc<Context>,
    house: Weak<Scope>,
    held: impl Sized + 'static,
) -> impl Future<Output = ()> + 'static {
    let link = Rc::new(RefCell::new(Link::new(stream, Rc::clone(&context))));
    let mut service = Service { link, context, house, exchange: None, is_busy: false, burst: 0 };
    async move {
        let left = poll_fn(|cx| service.poll(cx)).await;
        Box::pin(service.end(left)).await;
        drop(held);
    }
}

/// What is left to do with a connection after its last exchange.
enum Left {
    End(End),
    Upgrade(OnUpgrade),
}

/// A connection that is served.
struct Service {
    link: SharedLink,
    context: Rc<Context>,
    house: Weak<Scope>,
    /// The place of what is under way; kept for what comes next until that has to be waited for.
    exchange: Option<BoxExchange>,
    /// Something is under way in it.
    is_busy: bool,
    /// Exchanges since others last ran.
    burst: u64,
}

impl Service {
    /// Ends the connection, or hands it over.
    async fn end(mut self, left: Left) {
        self.leave_place();
        let end = match left {
            Left::End(end) => end,
            Left::Upgrade(then) => return self.upgrade(then).await,
        };
        let Self { link, context, .. } = self;
        if let End::Close = end {
            close(&link, &context).await;
        }
        let has_stalled = link.borrow().has_stalled();
        let stream = link.borrow_mut().take_stream();
        if (matches!(end, End::Reset) || has_stalled)
            && let Some(stream) = stream
        {
            stream.abort();
        }
    }

    /// Serves request after request.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Left> {
        loop {
            if self.is_busy {
                match ready!(self.poll_exchange(cx)) {
                    Next::Go => {}
                    Next::End(end) => return Poll::Ready(Left::End(end)),
                    Next::Upgrade(then) => return Poll::Ready(Left::Upgrade(then)),
                }
                self.burst += 1;
                if self.burst == BURST_MAX {
                    reachable!("a burst of requests lets others run");
                    self.burst = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            let head = { self.link.borrow_mut().poll_head(cx) };
            let head = match head {
                Poll::Ready(Head::Request(head)) => head,
                Poll::Ready(Head::Closed) => return Poll::Ready(Left::End(End::Close)),
                Poll::Ready(Head::Rejected(error)) => {
                    self.link.borrow_mut().reject(error);
                    return Poll::Ready(Left::End(End::Close));
                }
                Poll::Pending => {
                    self.burst = 0;
                    self.leave_place();
                    return Poll::Pending;
                }
            };
            self.context.stats.requests.add(1);
            let request = request(&self.link, head);
            let place = self.exchange.get_or_insert_with(|| self.context.exchanges.take());
            place.as_mut().begin(Rc::clone(&self.link), Rc::clone(&self.context), request);
            self.is_busy = true;
        }
    }

    /// Goes on with the exchange, until it ends or whoever it needs is gone.
    fn poll_exchange(&mut self, cx: &mut TaskContext<'_>) -> Poll<Next> {
        let exchange = self.exchange.as_mut().expect("what is under way has a place").as_mut();
        let until = self.link.borrow().handling_until();
        let polled = match until {
            Some(until) => deadline::enter(until, || exchange.poll(cx)),
            None => exchange.poll(cx),
        };
        if let Poll::Ready(next) = polled {
            self.end_exchange();
            return Poll::Ready(next);
        }
        let absence = { self.link.borrow_mut().poll_absence(cx) };
        match ready!(absence) {
            Absence::Peer => self.go_on_without_peer(),
            Absence::Handler => Poll::Ready(self.go_on_without_handler()),
        }
    }

    /// Drops what is left of the exchange, and what its handler has spawned.
    fn end_exchange(&mut self) {
        self.is_busy = false;
        if let Some(exchange) = &mut self.exchange {
            exchange.as_mut().clear();
        }
        let scope = self.link.borrow_mut().take_scope();
        if let Some(scope) = scope {
            scope.cancel();
        }
    }

    /// Leaves the place to the exchanges of other connections.
    fn leave_place(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.context.exchanges.give_back(exchange);
        }
    }

    /// The client is gone: what becomes of the handler is a matter of policy; a response is of no use.
    fn go_on_without_peer(&mut self) -> Poll<Next> {
        let handling = self.link.borrow().handling();
        match handling {
            Some(OnDisconnect::Cancel) => {
                reachable!("a handler is dropped, for its client is gone");
                self.context.stats.handlers_cancelled.add(1);
                self.end_exchange();
                Poll::Ready(Next::End(End::Drop))
            }
            Some(OnDisconnect::Finish) => {
                let stream = self.link.borrow_mut().take_stream();
                drop(stream);
                Poll::Pending
            }
            Some(OnDisconnect::Detach) => {
                self.detach_exchange();
                Poll::Ready(Next::End(End::Drop))
            }
            None => {
                reachable!("a client leaves before the end of its response");
                tracing::debug!("the client left before the response's end");
                self.end_exchange();
                Poll::Ready(Next::End(End::Reset))
            }
        }
    }

    /// Lets the handler go on by itself, without the connection.
    fn detach_exchange(&mut self) {
        let stream = self.link.borrow_mut().take_stream();
        drop(stream);
        let Some(house) = self.house.upgrade() else { return self.end_exchange() };
        let (link, context) = (Rc::clone(&self.link), Rc::clone(&self.context));
        let exchange = self.exchange.take();
        let is_busy = core::mem::take(&mut self.is_busy);
        let house_of_it = Weak::clone(&self.house);
        let mut service = Self { link, context, house: house_of_it, exchange, is_busy, burst: 0 };
        self.context.stats.handlers_detached.add(1);
        // The scope waits for it; its handle has nothing to say.
        drop(house.spawn(async move {
            poll_fn(|cx| service.poll_exchange(cx)).await;
            service.leave_place();
        }));
    }

    /// The handler has taken too long.
    fn go_on_without_handler(&mut self) -> Next {
        reachable!("a handler takes too long");
        self.context.stats.handlers_timed_out.add(1);
        let id = self.link.borrow().request_id();
        tracing::warn!(request_id = %id, "the handler took too long");
        self.end_exchange();
        let mut link = self.link.borrow_mut();
        link.end_handling();
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE);
        let problem = problem.detail("the request could not be handled in time");
        let (head, mut body) = problem.into_response().into_parts();
        body.render_problem(id);
        link.set_close();
        let Ok(body_is_wanted) =
            link.start_response(head.status, &head.headers, body.media_type(), body.length())
        else {
            return Next::End(End::Reset);
        };
        let document = body.into_full().expect("it was rendered");
        if body_is_wanted && link.send_piece(document).is_err() {
            return Next::End(End::Reset);
        }
        let is_whole = link.finish(None).is_ok();
        Next::End(if is_whole { End::Close } else { End::Reset })
    }

    /// Hands the connection over to what its last handler wants with it.
    async fn upgrade(self, then: OnUpgrade) {
        let Self { link, context, .. } = self;
        let stream = link.borrow_mut().take_stream();
        drop(link);
        if let Some(stream) = stream {
            context.stats.upgrades.add(1);
            then(Upgraded { stream, draining: context.draining.clone() }).await;
        }
    }
}

/// What the handler gets.
fn request(link: &SharedLink, head: RequestHead) -> Request {
    let (exchange, length, id) = {
        let link = link.borrow();
        (link.exchange(), link.request_body_length(), link.request_id())
    };
    let incoming = match length {
        BodyLength::Known(0) => Incoming::empty(),
        _ => Incoming::new(Rc::downgrade(link), exchange, length),
    };
    Request::new(head, incoming, Rc::downgrade(link), id)
}

/// Delivers what is written, then FIN; and waits for the peer's where a reset could overtake the answer.
async fn close(link: &SharedLink, context: &Context) {
    let flushed = poll_fn(|cx| link.borrow_mut().poll_flush(cx)).await;
    if flushed.is_err() || !link.borrow_mut().shutdown_write() {
        return;
    }
    if link.borrow().is_cut_short() {
        let _lingering = Lingering::new(&context.lingering);
        let deadline = link.borrow().quiet_since() + context.timeouts.linger;
        poll_fn(|cx| link.borrow_mut().poll_linger(cx, deadline)).await;
        sometimes!(time::now() < deadline, "a lingering close ends with the client");
        sometimes!(time::now() >= deadline, "a lingering close ends by its deadline");
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
