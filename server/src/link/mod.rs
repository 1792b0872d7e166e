//! `Link`: one connection as the loop that serves it and the body of its current request share it: the socket, the
//! protocol, what is still to be written, and the deadlines of both directions.
//!
//! Everything here is poll-level and borrows nothing across a wait.

mod reading;
mod writing;

use core::cell::RefCell;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll, Waker, ready};
use std::rc::Rc;

use mainspring_executor::cancel::Cancelled;
use mainspring_executor::net::{RECV_BUFFER_BYTES, TcpStream};
use mainspring_executor::time::{self, Sleep};
use mainspring_executor::{Instant, Scope};

use crate::context::Context;
use crate::http1::{self, BodyLength};
use crate::limits::{HEAD_BYTES_LIMIT, MOVES_MAX};
use crate::meter::Meter;
use crate::output::Output;
use crate::{OnClientFin, OnDisconnect, RequestId};

// A head and the line of a chunk fit into the receive buffer whole, or a connection could starve with it full.
const _: () = assert!(HEAD_BYTES_LIMIT < RECV_BUFFER_BYTES);

pub(crate) use reading::Head;
pub(crate) use writing::Piece;

/// A link as all who need it hold it.
pub(crate) type SharedLink = Rc<RefCell<Link>>;

/// One connection.
pub(crate) struct Link {
    /// `None` once it is given up, while a handler still runs, or used for something else.
    stream: Option<TcpStream>,
    protocol: http1::Connection,
    output: Output,
    context: Rc<Context>,
    draining: Cancelled,
    /// What the peer did wrong in the body of the current request: its answer is due.
    failure: Option<http1::Error>,
    /// Ordinal of this connection among those of its server.
    ordinal: u64,
    /// Ordinal of the current request: bodies of earlier ones read nothing more.
    exchange: u64,
    /// Its response is complete: its body reads nothing more, either.
    is_answered: bool,
    /// Until when the handler may take; `None` while there is none.
    handling_until: Option<Instant>,
    /// What becomes of it when the peer goes.
    on_disconnect: OnDisconnect,
    /// What the handler has spawned, if anything.
    scope: Option<Rc<Scope>>,
    read_timer: Sleep,
    /// For writes, and for the handler: both are the business of the loop that serves this connection.
    timer: Sleep,
    reading: Meter,
    writing: Meter,
    /// When the head that is being read began.
    head_since: Option<Instant>,
    /// The peer made no room for a write in time.
    has_stalled: bool,
    /// The peer may send another request: it has sent one that did not say otherwise.
    may_ask_on: bool,
    /// Reads and writes since this connection last let others run.
    moves: u32,
    /// Who reads the body of the current request.
    reader: Reader,
    /// The loop that serves this connection, while a body may be read by someone else.
    server: Option<Waker>,
}

/// Who waits for the body of a request. It may be another task than the one that serves the connection, and is told
/// when there is nothing more to wait for, be it that the connection is dropped.
#[derive(Default)]
struct Reader {
    waker: Option<Waker>,
    /// It waits for room to ask for the body.
    awaits_room: bool,
}

impl Reader {
    fn wait(&mut self, cx: &TaskContext<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        self.awaits_room = false;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.wake();
    }
}

impl Link {
    pub(crate) fn new(stream: TcpStream, context: Rc<Context>) -> Self {
        let (limits, heads) = (Rc::clone(&context.limits), Rc::clone(&context.heads));
        Self {
            stream: Some(stream),
            protocol: http1::Connection::with_pool(limits, heads),
            output: Output::default(),
            draining: context.draining.cancelled(),
            failure: None,
            ordinal: context.next_connection(),
            exchange: 0,
            is_answered: false,
            handling_until: None,
            on_disconnect: context.on_disconnect,
            scope: None,
            read_timer: time::sleep_until(Instant::FAR_FUTURE),
            timer: time::sleep_until(Instant::FAR_FUTURE),
            reading: Meter::default(),
            writing: Meter::default(),
            head_since: None,
            has_stalled: false,
            may_ask_on: false,
            moves: 0,
            reader: Reader::default(),
            server: None,
            context,
        }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    fn consume(&mut self, count: usize) {
        if let Some(stream) = &mut self.stream {
            stream.consume(count);
        }
    }

    /// Lets others run once in a while, though there is more to do at once.
    fn poll_turn(&mut self, cx: &TaskContext<'_>) -> Poll<()> {
        if self.moves < MOVES_MAX {
            self.moves += 1;
            return Poll::Ready(());
        }
        self.moves = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits until `deadline`, or until the handler has taken too long.
    fn poll_timer(&mut self, cx: &mut TaskContext<'_>, deadline: Instant) -> Poll<()> {
        self.timer.reset(self.handling_until.map_or(deadline, |until| until.min(deadline)));
        Pin::new(&mut self.timer).poll(cx)
    }

    /// While an exchange waits: lets the peer have what there is, and waits until it is gone: at its FIN, or only at a
    /// reset, or when it takes nothing; or until the handler has taken too long.
    pub(crate) fn poll_absence(&mut self, cx: &mut TaskContext<'_>) -> Poll<Absence> {
        if self.handling_until.is_some_and(|until| time::now() >= until) {
            return Poll::Ready(Absence::Handler);
        }
        let Some(_) = &self.stream else {
            return match self.handling_until {
                // The rest of the exchange finds out by itself.
                None => Poll::Pending,
                Some(until) => self.poll_timer(cx, until).map(|()| Absence::Handler),
            };
        };
        let is_known = self.server.as_ref().is_some_and(|server| server.will_wake(cx.waker()));
        if !is_known && !self.protocol.request_body_done() {
            self.server = Some(cx.waker().clone());
        }
        match self.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Absence::Peer),
            // It was the handler's time, perhaps.
            Poll::Pending => return self.poll_absence_of_handler(),
        }
        if let Some(stream) = &self.stream {
            let fin_counts = self.context.on_client_fin == OnClientFin::Cancel;
            let gone =
                if fin_counts { stream.poll_peer_closed(cx) } else { stream.poll_broken(cx) };
            if gone.is_ready() {
                return Poll::Ready(Absence::Peer);
            }
        }
        if self.handling_until.is_some() {
            ready!(self.poll_timer(cx, Instant::FAR_FUTURE));
            return Poll::Ready(Absence::Handler);
        }
        Poll::Pending
    }

    fn poll_absence_of_handler(&self) -> Poll<Absence> {
        match self.handling_until {
            Some(until) if time::now() >= until => Poll::Ready(Absence::Handler),
            _ => Poll::Pending,
        }
    }

    /// Sends FIN. False: the connection is gone.
    pub(crate) fn shutdown_write(&mut self) -> bool {
        self.stream.as_mut().is_some_and(|stream| stream.shutdown_write().is_ok())
    }

    /// Whether the peer takes nothing: what the kernel still holds for it is not worth its memory.
    pub(crate) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Takes the socket out: for this link, the peer is gone.
    pub(crate) fn take_stream(&mut self) -> Option<TcpStream> {
        // Whoever waits for the body waits for nothing.
        self.reader.wake();
        self.stream.take()
    }

    /// Whether the socket was taken out.
    pub(crate) fn is_given_up(&self) -> bool {
        self.stream.is_none()
    }

    /// What the peer did wrong in the body of the current request.
    pub(crate) fn failure(&self) -> Option<http1::Error> {
        self.failure
    }

    /// Ordinal of the current request.
    pub(crate) fn exchange(&self) -> u64 {
        self.exchange
    }

    /// Its name.
    pub(crate) fn request_id(&self) -> RequestId {
        let (server, connection) = (self.context.id, self.ordinal);
        RequestId { server, connection, exchange: self.exchange }
    }

    /// The peer's address, while it is there.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.stream.as_ref().map(TcpStream::peer_addr)
    }

    /// The scope of the current request.
    pub(crate) fn scope(&mut self) -> Rc<Scope> {
        Rc::clone(self.scope.get_or_insert_with(|| Rc::new(Scope::new())))
    }

    /// The same, for its end.
    pub(crate) fn take_scope(&mut self) -> Option<Rc<Scope>> {
        self.scope.take()
    }

    /// Whether a handler is at work; then what becomes of it when the peer goes.
    pub(crate) fn handling(&self) -> Option<OnDisconnect> {
        self.handling_until.map(|_| self.on_disconnect)
    }

    pub(crate) fn set_on_disconnect(&mut self, on_disconnect: OnDisconnect) {
        self.on_disconnect = on_disconnect;
    }

    /// Until when the handler may take.
    pub(crate) fn handling_until(&self) -> Option<Instant> {
        self.handling_until
    }

    /// The handler has a response.
    pub(crate) fn end_handling(&mut self) {
        self.handling_until = None;
    }

    /// Whether the request asks for another protocol, and may have it.
    pub(crate) fn may_upgrade(&self) -> bool {
        self.protocol.may_upgrade()
    }

    /// Whether no byte of the current request is still to come.
    pub(crate) fn request_body_done(&self) -> bool {
        self.protocol.request_body_done()
    }

    /// Whether the client waits for 100 (Continue) before it sends its body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.protocol.expects_continue()
    }

    /// How long the body of the current request is.
    pub(crate) fn request_body_length(&self) -> BodyLength {
        self.protocol.request_body_length()
    }

    /// Makes the current response the last.
    pub(crate) fn set_close(&mut self) {
        self.protocol.set_close();
    }

    /// Whether the connection ends with this response.
    pub(crate) fn must_close(&self) -> bool {
        self.protocol.must_close()
    }

    /// Ready for the next request, if there may be one.
    pub(crate) fn next_cycle(&mut self) -> bool {
        self.protocol.next_cycle()
    }
}

/// Bytes that were received and not consumed.
fn buffered(stream: &Option<TcpStream>) -> &[u8] {
    stream.as_ref().map_or(&[], TcpStream::buffered)
}

/// Who an exchange has to go on without.
pub(crate) enum Absence {
    /// The client is gone, or takes nothing.
    Peer,
    /// The handler has taken too long.
    Handler,
}
