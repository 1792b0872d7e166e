//! `Link`: one connection as the loop that serves it and the body of its current request share it: the socket, the
//! protocol, what is still to be written, and the deadlines of both directions.
//!
//! Everything here is poll-level and borrows nothing across a wait.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use mainspring_executor::cancel::Cancelled;
use mainspring_executor::net::{RECV_BUFFER_BYTES, TcpStream};
use mainspring_executor::time::{self, Sleep};
use mainspring_executor::{CancelToken, Instant};

use crate::body::BodyError;
use crate::http1::{self, BodyLength, Date, Event, Phase, Step, UsageError};
use crate::limits::{DISCARD_BYTES_MAX, HEAD_BYTES_LIMIT, Limits, MOVES_MAX};
use crate::output::Output;
use crate::timeouts::Timeouts;

// A head and the line of a chunk fit into the receive buffer whole, or a connection could starve with it full.
const _: () = assert!(HEAD_BYTES_LIMIT < RECV_BUFFER_BYTES);

/// One connection.
pub(crate) struct Link {
    stream: TcpStream,
    protocol: http1::Connection,
    output: Output,
    timeouts: Timeouts,
    draining: Cancelled,
    /// What the peer did wrong in the body of the current request: its answer is due.
    failure: Option<http1::Error>,
    /// Ordinal of the current request: bodies of earlier ones read nothing more.
    exchange: u64,
    read_timer: Sleep,
    write_timer: Sleep,
    /// Since when the present read or write waits; `None` while it does not.
    read_waits: Option<Instant>,
    write_waits: Option<Instant>,
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
    fn wait(&mut self, cx: &Context<'_>) {
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

/// What a connection has for its loop.
#[expect(
    clippy::large_enum_variant,
    reason = "it is moved once; a box would be an allocation a request"
)]
pub(crate) enum Head {
    /// A request; its body is still to be read.
    Request(http::Request<()>),
    /// Something that is none: to be answered, and the last.
    Rejected(http1::Error),
    /// Nothing more.
    Closed,
}

/// Why nothing was received.
enum ReceiveError {
    Gone,
    TimedOut,
}

impl Link {
    pub(crate) fn new(
        stream: TcpStream,
        limits: Rc<Limits>,
        timeouts: Timeouts,
        draining: &CancelToken,
    ) -> Self {
        Self {
            stream,
            protocol: http1::Connection::new(limits),
            output: Output::default(),
            timeouts,
            draining: draining.cancelled(),
            failure: None,
            exchange: 0,
            read_timer: time::sleep_until(Instant::FAR_FUTURE),
            write_timer: time::sleep_until(Instant::FAR_FUTURE),
            read_waits: None,
            write_waits: None,
            head_since: None,
            has_stalled: false,
            may_ask_on: false,
            moves: 0,
            reader: Reader::default(),
            server: None,
        }
    }

    /// Reads the next head. Before it waits for the peer, it lets the peer have all answers so far.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Head> {
        loop {
            match self.protocol.next_event(self.stream.buffered()) {
                Ok(Step { consumed, event: Some(Event::Request(request)) }) => {
                    self.stream.consume(consumed);
                    self.head_since = None;
                    self.exchange += 1;
                    self.may_ask_on = !self.protocol.must_close();
                    return Poll::Ready(Head::Request(request));
                }
                Ok(Step { event: Some(Event::Data(_) | Event::End { .. }), .. }) => {
                    unreachable!("the exchange before was finished with next_cycle")
                }
                Ok(Step { consumed, event: None }) => self.stream.consume(consumed),
                Err(error) => return Poll::Ready(Head::Rejected(error)),
            }
            if ready!(self.poll_flush(cx)).is_err() {
                return Poll::Ready(Head::Closed);
            }
            ready!(self.poll_turn(cx));
            match ready!(self.poll_receive_head(cx)) {
                Ok(0) => return Poll::Ready(self.end_of_heads()),
                Ok(_) => {}
                Err(ReceiveError::TimedOut) if self.protocol.phase() == Phase::Head => {
                    return Poll::Ready(Head::Rejected(http1::Error::Timeout));
                }
                Err(ReceiveError::TimedOut | ReceiveError::Gone) => {
                    return Poll::Ready(Head::Closed);
                }
            }
        }
    }

    /// Receives bytes of a head, or ends the wait for one: at its deadline, or in a drain.
    fn poll_receive_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ReceiveError>> {
        if self.protocol.phase() == Phase::Head {
            let since = *self.head_since.get_or_insert_with(time::now);
            let deadline = since + self.timeouts.head;
            return self.poll_receive(cx, |_| deadline);
        }
        let idle = self.timeouts.idle;
        match self.poll_receive(cx, |since| since + idle) {
            // A drain closes only what waits: bytes that are here are a request, and are served.
            Poll::Pending => {
                Pin::new(&mut self.draining).poll(cx).map(|()| Err(ReceiveError::Gone))
            }
            received => received,
        }
    }

    /// The peer's FIN came while a head was awaited.
    fn end_of_heads(&mut self) -> Head {
        match self.protocol.end_of_input(self.stream.buffered()) {
            Ok(()) | Err(http1::Error::Incomplete) => Head::Closed,
            Err(error) => Head::Rejected(error),
        }
    }

    /// Reads more of the body of request `exchange`: data, then perhaps trailers, then `None`.
    pub(crate) fn poll_request_body(
        &mut self,
        exchange: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if exchange != self.exchange {
            return Poll::Ready(Some(Err(BodyError::ExchangeOver)));
        }
        let Poll::Ready(event) = self.poll_body_event(cx) else {
            self.reader.wait(cx);
            return Poll::Pending;
        };
        match event {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(error) => {
                if let BodyError::Protocol(error) = error {
                    self.failure = Some(error);
                }
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn poll_body_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        if let Some(error) = self.failure {
            return Poll::Ready(Err(BodyError::Protocol(error)));
        }
        loop {
            let step = self.protocol.next_event(self.stream.buffered());
            let step = step.map_err(BodyError::Protocol)?;
            let consumed = step.consumed;
            let frame = match step.event {
                Some(Event::Data(data)) => Some(Some(Frame::data(Bytes::copy_from_slice(data)))),
                Some(Event::End { trailers }) => Some(trailers.map(Frame::trailers)),
                Some(Event::Request(_)) => unreachable!("one request at a time"),
                None => None,
            };
            self.stream.consume(consumed);
            if let Some(frame) = frame {
                return Poll::Ready(Ok(frame));
            }
            if self.protocol.expects_continue() && self.ask_for_body(cx).is_pending() {
                return Poll::Pending;
            }
            ready!(self.poll_turn(cx));
            let timeout = self.timeouts.body;
            match ready!(self.poll_receive(cx, |since| since + timeout)) {
                Ok(0) => {
                    let ended = self.protocol.end_of_input(self.stream.buffered());
                    ended.map_err(BodyError::Protocol)?;
                }
                Ok(_) => {}
                Err(ReceiveError::Gone) => return Poll::Ready(Err(BodyError::Disconnected)),
                Err(ReceiveError::TimedOut) => {
                    return Poll::Ready(Err(BodyError::Protocol(http1::Error::Timeout)));
                }
            }
        }
    }

    /// Says 100 (Continue). It is the loop that writes it, as it does everything: two tasks that wait for one socket
    /// would take each other's wake-ups.
    fn ask_for_body(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.output.takes_more() {
            self.reader.awaits_room = true;
            return Poll::Pending;
        }
        self.protocol.send_continue(self.output.buffer());
        // A handler's own poll is followed by a flush anyway.
        if let Some(server) = &self.server
            && !server.will_wake(cx.waker())
        {
            server.wake_by_ref();
        }
        Poll::Ready(())
    }

    /// Lets others run once in a while, though there is more to do at once.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.moves < MOVES_MAX {
            self.moves += 1;
            return Poll::Ready(());
        }
        self.moves = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Receives bytes, for as long as `deadline` allows a wait that began at a given moment; 0 is the peer's FIN.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deadline: impl FnOnce(Instant) -> Instant,
    ) -> Poll<Result<usize, ReceiveError>> {
        if let Poll::Ready(received) = self.stream.poll_fill(cx) {
            self.read_waits = None;
            return Poll::Ready(received.map_err(|_| ReceiveError::Gone));
        }
        self.moves = 0;
        let since = *self.read_waits.get_or_insert_with(time::now);
        self.read_timer.reset(deadline(since));
        ready!(Pin::new(&mut self.read_timer).poll(cx));
        self.read_waits = None;
        Poll::Ready(Err(ReceiveError::TimedOut))
    }

    /// Writes all that there is to write.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            ready!(self.poll_turn(cx));
            let stream = &mut self.stream;
            match self.output.with_slices(|slices| stream.poll_write(cx, slices)) {
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.write_waits = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.moves = 0;
                    let since = *self.write_waits.get_or_insert_with(time::now);
                    self.write_timer.reset(since + self.timeouts.write);
                    ready!(Pin::new(&mut self.write_timer).poll(cx));
                    self.has_stalled = true;
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        if self.reader.awaits_room {
            self.reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until more may be added.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.takes_more() { Poll::Ready(Ok(())) } else { self.poll_flush(cx) }
    }

    /// While a handler or the body of its response waits: lets the peer have what there is, and waits until it is gone:
    /// at its FIN, or only at a reset, or when it takes nothing.
    pub(crate) fn poll_peer_gone(&mut self, cx: &mut Context<'_>, fin_counts: bool) -> Poll<()> {
        let is_known = self.server.as_ref().is_some_and(|server| server.will_wake(cx.waker()));
        if !is_known && !self.protocol.request_body_done() {
            self.server = Some(cx.waker().clone());
        }
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            return Poll::Ready(());
        }
        if fin_counts { self.stream.poll_peer_closed(cx) } else { self.stream.poll_broken(cx) }
    }

    /// Discards the rest of the current request's body. False: it is too long, too late or broken.
    pub(crate) fn poll_discard_body(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
        discarded: &mut usize,
    ) -> Poll<bool> {
        while !self.protocol.request_body_done() {
            let Ok(step) = self.protocol.next_event(self.stream.buffered()) else {
                return Poll::Ready(false);
            };
            let consumed = step.consumed;
            let moved_on = step.event.is_some() || consumed > 0;
            self.stream.consume(consumed);
            *discarded += consumed;
            if *discarded > DISCARD_BYTES_MAX {
                return Poll::Ready(false);
            }
            if moved_on {
                continue;
            }
            if ready!(self.poll_flush(cx)).is_err() {
                return Poll::Ready(false);
            }
            ready!(self.poll_turn(cx));
            match ready!(self.poll_receive(cx, |_| deadline)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }

    /// After our FIN: reads and discards until the peer's, so that unread bytes do not turn our close into a reset
    /// that overtakes the answer (RFC 9112 §9.6). Not for longer than `deadline`.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            self.stream.consume(self.stream.buffered().len());
            // A peer that never stops sending would never have us wait for the timer.
            if time::now() >= deadline {
                return Poll::Ready(());
            }
            ready!(self.poll_turn(cx));
            match ready!(self.poll_receive(cx, |_| deadline)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Since when nothing was said either way. What was said before that has arrived long ago, and cannot be overtaken.
    pub(crate) fn quiet_since(&self) -> Instant {
        match (self.protocol.phase(), self.read_waits) {
            (Phase::Idle, Some(since)) => since,
            _ => time::now(),
        }
    }

    /// Whether the peer may still be sending something that nobody will read.
    pub(crate) fn is_cut_short(&self) -> bool {
        !self.stream.buffered().is_empty()
            || self.may_ask_on
            || matches!(self.protocol.phase(), Phase::Head | Phase::Body | Phase::Closed)
    }

    /// Sends FIN. False: the connection is gone.
    pub(crate) fn shutdown_write(&mut self) -> bool {
        self.stream.shutdown_write().is_ok()
    }

    /// Whether the peer takes nothing: what the kernel still holds for it is not worth its memory.
    pub(crate) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.stream.abort();
    }

    /// Writes the answer to what the peer did wrong, if there may be one; gives its status.
    pub(crate) fn reject(&mut self, error: http1::Error, date: &Date) -> Option<StatusCode> {
        self.protocol.reject(error, date, self.output.buffer()).then(|| error.status())
    }

    /// What the peer did wrong in the body of the current request.
    pub(crate) fn failure(&self) -> Option<http1::Error> {
        self.failure
    }

    /// Ordinal of the current request.
    pub(crate) fn exchange(&self) -> u64 {
        self.exchange
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

    /// Writes the head of a response. True: its body is wanted.
    pub(crate) fn start_response(
        &mut self,
        head: &http::response::Parts,
        length: BodyLength,
        date: &Date,
    ) -> Result<bool, UsageError> {
        let output = self.output.buffer();
        self.protocol.start_response(head.status, &head.headers, length, date, output)?;
        Ok(self.protocol.writes_body())
    }

    /// Writes a piece of a response's body. Where it says `Referenced`, flush and then call
    /// [`Link::end_piece`].
    pub(crate) fn send_piece(&mut self, piece: Bytes) -> Result<Piece, UsageError> {
        if !Output::prefers_reference(piece.len()) {
            self.protocol.send_data(&piece, self.output.buffer())?;
            return Ok(Piece::Copied);
        }
        self.protocol.data_prefix(piece.len(), self.output.buffer())?;
        self.output.refer(piece);
        Ok(Piece::Referenced)
    }

    /// Writes what stands behind a piece by reference.
    pub(crate) fn end_piece(&mut self) {
        self.protocol.data_suffix(self.output.buffer());
    }

    /// Ends the response.
    pub(crate) fn finish(&mut self, trailers: Option<&http::HeaderMap>) -> Result<(), UsageError> {
        // From here on the body of the request is the connection's to discard: whoever kept it reads no more.
        self.exchange += 1;
        self.reader.wake();
        self.protocol.finish(trailers, self.output.buffer())
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

/// How a piece went into the output.
pub(crate) enum Piece {
    Copied,
    Referenced,
}
