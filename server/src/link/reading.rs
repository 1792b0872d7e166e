//! What a link receives: heads, bodies, and what is thrown away.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll, ready};
use std::io;

use bytes::Bytes;
use http_body::Frame;
use mainspring_executor::net::{CHUNK_BYTES, Chunk, TcpStream};
use mainspring_executor::{Instant, buggify, reachable, sometimes, time};

use super::{Link, buffered};
use crate::body::BodyError;
use crate::http1::{self, Event, Phase, RequestHead, Step};
use crate::limits::DISCARD_BYTES_MAX;
use crate::meter::Meter;

/// What a connection has for its loop.
pub(crate) enum Head {
    /// A request; its body is still to be read.
    Request(RequestHead),
    /// Something that is none: to be answered, and the last.
    Rejected(http1::Error),
    /// Nothing more.
    Closed,
}

/// What was received of a body.
enum Received {
    /// So many bytes, into the buffer; 0 is the peer's FIN.
    Buffered(usize),
    /// Bytes that are not in the buffer.
    Chunk(Chunk),
}

/// Why nothing was received.
enum ReceiveError {
    Gone,
    TimedOut,
}

/// Where at least so many bytes of a body come next, they are received as a chunk, and one of at least so many is passed on
/// as it is: smaller ones are not worth the memory that they would hold.
const CHUNK_BYTES_MIN: usize = CHUNK_BYTES / 4;

/// The bytes of a chunk, copied where they are few.
fn into_bytes(chunk: Chunk) -> Bytes {
    if chunk.len() < CHUNK_BYTES_MIN {
        return Bytes::copy_from_slice(&chunk);
    }
    Bytes::from_owner(chunk)
}

impl Link {
    /// Reads the next head. Before it waits for the peer, it lets the peer have all answers so far.
    pub(crate) fn poll_head(&mut self, cx: &mut TaskContext<'_>) -> Poll<Head> {
        loop {
            match self.protocol.next_event(buffered(&self.stream)) {
                Ok(Step { consumed, event: Some(Event::Request(head)) }) => {
                    self.consume(consumed);
                    self.begin_exchange();
                    return Poll::Ready(Head::Request(head));
                }
                Ok(Step { event: Some(Event::Data(_) | Event::End { .. }), .. }) => {
                    unreachable!("the exchange before was finished with next_cycle")
                }
                Ok(Step { consumed, event: None }) => self.consume(consumed),
                Err(error) => return Poll::Ready(Head::Rejected(error)),
            }
            if ready!(self.poll_flush(cx)).is_err() {
                return Poll::Ready(Head::Closed);
            }
            ready!(self.poll_turn(cx));
            self.output.release_memory(&self.context.outputs);
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

    fn begin_exchange(&mut self) {
        self.head_since = None;
        self.exchange += 1;
        self.is_answered = false;
        self.may_ask_on = !self.protocol.must_close();
        self.reading.reset();
        // Answers to earlier requests may still be on their way out: one wait, whichever answer it is for.
        if self.writing.since().is_none() {
            self.writing.reset();
        }
        self.on_disconnect = self.context.on_disconnect;
        self.handling_until = Some(time::now() + self.context.timeouts.handler);
    }

    /// Receives bytes of a head, or ends the wait for one: at its deadline, or in a drain.
    fn poll_receive_head(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<usize, ReceiveError>> {
        if self.protocol.phase() == Phase::Head {
            let since = *self.head_since.get_or_insert_with(time::now);
            let deadline = since + self.context.timeouts.head;
            return self.poll_receive(cx, |_| deadline);
        }
        let idle = self.context.timeouts.idle;
        match self.poll_receive(cx, |wait| wait.begin() + idle) {
            // A drain closes only what waits.
            Poll::Pending => ready!(Pin::new(&mut self.draining).poll(cx)),
            Poll::Ready(Err(ReceiveError::TimedOut)) => {}
            received => return received,
        }
        Poll::Ready(self.receive_at_last())
    }

    /// What has come, though the shard may not have been told of it yet, to a connection that is about to be closed as
    /// idle: bytes that are here are a request, and are served. Those that come after our FIN are nobody's fault
    /// (RFC 9112 §9.5).
    fn receive_at_last(&mut self) -> Result<usize, ReceiveError> {
        let Some(stream) = &mut self.stream else { return Err(ReceiveError::Gone) };
        match stream.try_fill() {
            Ok(Some(count)) => {
                sometimes!(count > 0, "a request comes as its connection is about to be closed");
                self.reading.end(count);
                Ok(count)
            }
            Ok(None) | Err(_) => Err(ReceiveError::Gone),
        }
    }

    /// The peer's FIN came while a head was awaited.
    fn end_of_heads(&mut self) -> Head {
        let leftover = buffered(&self.stream);
        sometimes!(!leftover.is_empty(), "a client ends in the middle of a head");
        match self.protocol.end_of_input(leftover) {
            Ok(()) | Err(http1::Error::Incomplete) => Head::Closed,
            Err(error) => Head::Rejected(error),
        }
    }

    /// Reads more of the body of request `exchange`: data, then perhaps trailers, then `None`.
    pub(crate) fn poll_request_body(
        &mut self,
        exchange: u64,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if exchange != self.exchange || self.is_answered {
            return Poll::Ready(Some(Err(BodyError::ExchangeOver)));
        }
        let Poll::Ready(event) = self.poll_body_event(cx) else {
            self.reader.wait(cx);
            return Poll::Pending;
        };
        // It makes progress.
        self.handling_until =
            self.handling_until.map(|_| time::now() + self.context.timeouts.handler);
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

    /// Nobody waits for the body of request `exchange` any more, or not now.
    pub(crate) fn end_body_wait(&mut self, exchange: u64) {
        if exchange == self.exchange && !self.is_answered {
            self.reading.end(0);
        }
    }

    fn poll_body_event(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        if let Some(error) = self.failure {
            return Poll::Ready(Err(BodyError::Protocol(error)));
        }
        loop {
            let step =
                self.protocol.next_event(buffered(&self.stream)).map_err(BodyError::Protocol)?;
            let consumed = step.consumed;
            let frame = match step.event {
                Some(Event::Data(data)) => Some(Some(Frame::data(Bytes::copy_from_slice(data)))),
                Some(Event::End { trailers }) => {
                    Some(trailers.map(|trailers| Frame::trailers(*trailers)))
                }
                Some(Event::Request(_)) => unreachable!("one request at a time"),
                // Its end was told before.
                None if self.protocol.request_body_done() => Some(None),
                None => None,
            };
            self.consume(consumed);
            if let Some(frame) = frame {
                return Poll::Ready(Ok(frame));
            }
            if self.protocol.expects_continue() && self.ask_for_body(cx).is_pending() {
                return Poll::Pending;
            }
            ready!(self.poll_turn(cx));
            match ready!(self.poll_receive_body(cx)) {
                Ok(Received::Buffered(0)) => {
                    let leftover = buffered(&self.stream);
                    let ended = self.protocol.end_of_input(leftover);
                    sometimes!(ended.is_err(), "a client ends in the middle of a body");
                    ended.map_err(BodyError::Protocol)?;
                }
                Ok(Received::Buffered(_)) => {}
                Ok(Received::Chunk(chunk)) => {
                    let step = self.protocol.next_event(&chunk).map_err(BodyError::Protocol)?;
                    assert!(step.consumed == chunk.len(), "a chunk is data to its end");
                    return Poll::Ready(Ok(Some(Frame::data(into_bytes(chunk)))));
                }
                Err(ReceiveError::Gone) => return Poll::Ready(Err(BodyError::Disconnected)),
                Err(ReceiveError::TimedOut) => {
                    reachable!("a body does not come");
                    return Poll::Ready(Err(BodyError::Protocol(http1::Error::Timeout)));
                }
            }
        }
    }

    /// Says 100 (Continue). It is the loop that writes it, as it does everything: two tasks that wait for one socket
    /// would take each other's wake-ups.
    fn ask_for_body(&mut self, cx: &TaskContext<'_>) -> Poll<()> {
        if !self.output.takes_more() {
            self.reader.awaits_room = true;
            return Poll::Pending;
        }
        self.protocol.send_continue(self.output.buffer(&self.context.outputs));
        // A handler's own poll is followed by a flush anyway.
        if let Some(server) = &self.server
            && !server.will_wake(cx.waker())
        {
            server.wake_by_ref();
        }
        Poll::Ready(())
    }

    /// Receives bytes of a body: where many are to come, into memory that is passed on.
    fn poll_receive_body(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Received, ReceiveError>> {
        let timeouts = self.context.timeouts;
        let deadline = |wait: &mut Meter| wait.deadline(timeouts.body, timeouts.pace);
        let data_bytes = self.protocol.data_bytes_ahead();
        if data_bytes < CHUNK_BYTES_MIN as u64 || !buffered(&self.stream).is_empty() {
            let received = ready!(self.poll_receive(cx, deadline));
            return Poll::Ready(received.map(Received::Buffered));
        }
        let bytes_max = usize::try_from(data_bytes).unwrap_or(usize::MAX);
        let receive =
            |stream: &mut TcpStream, cx: &TaskContext<'_>| stream.poll_chunk(cx, bytes_max);
        let received = ready!(self.poll_receive_by(cx, deadline, receive, |chunk| chunk.len()));
        Poll::Ready(received.map(|chunk| match chunk.len() {
            0 => Received::Buffered(0),
            _ => Received::Chunk(chunk),
        }))
    }

    /// Receives bytes, for as long as `deadline` allows of the wait for them; 0 is the peer's FIN.
    fn poll_receive(
        &mut self,
        cx: &mut TaskContext<'_>,
        deadline: impl FnOnce(&mut Meter) -> Instant,
    ) -> Poll<Result<usize, ReceiveError>> {
        self.poll_receive_by(cx, deadline, TcpStream::poll_fill, |count| *count)
    }

    /// The same by a call of the stream, of whose outcome `count` tells how many bytes it is.
    #[inline]
    fn poll_receive_by<T>(
        &mut self,
        cx: &mut TaskContext<'_>,
        deadline: impl FnOnce(&mut Meter) -> Instant,
        receive: impl FnOnce(&mut TcpStream, &TaskContext<'_>) -> Poll<io::Result<T>>,
        count: impl FnOnce(&T) -> usize,
    ) -> Poll<Result<T, ReceiveError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(ReceiveError::Gone));
        };
        if let Poll::Ready(received) = receive(stream, cx) {
            self.reading.end(received.as_ref().map_or(0, count));
            return Poll::Ready(received.map_err(|_| ReceiveError::Gone));
        }
        self.moves = 0;
        self.read_timer.reset(deadline(&mut self.reading));
        ready!(Pin::new(&mut self.read_timer).poll(cx));
        self.reading.end(0);
        Poll::Ready(Err(ReceiveError::TimedOut))
    }

    /// Discards the rest of the current request's body. False: it is too long, too late or broken.
    pub(crate) fn poll_discard_body(
        &mut self,
        cx: &mut TaskContext<'_>,
        deadline: Instant,
        discarded: &mut usize,
    ) -> Poll<bool> {
        while !self.protocol.request_body_done() {
            let Ok(step) = self.protocol.next_event(buffered(&self.stream)) else {
                return Poll::Ready(false);
            };
            let consumed = step.consumed;
            let moved_on = step.event.is_some() || consumed > 0;
            self.consume(consumed);
            *discarded += consumed;
            let is_too_long = *discarded > DISCARD_BYTES_MAX;
            sometimes!(is_too_long, "a body is too long to be thrown away");
            if is_too_long || buggify!("a body is not thrown away") {
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
    pub(crate) fn poll_linger(&mut self, cx: &mut TaskContext<'_>, deadline: Instant) -> Poll<()> {
        loop {
            self.consume(buffered(&self.stream).len());
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
        match (self.protocol.phase(), self.reading.since()) {
            (Phase::Idle, Some(since)) => since,
            _ => time::now(),
        }
    }

    /// Whether the peer may still be sending something that nobody will read.
    pub(crate) fn is_cut_short(&self) -> bool {
        !buffered(&self.stream).is_empty()
            || self.may_ask_on
            || matches!(self.protocol.phase(), Phase::Head | Phase::Body | Phase::Closed)
    }
}
