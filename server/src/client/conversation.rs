//! `Conversation`: one exchange on one socket, with a clock. It moves only while it is polled, and owns all that it moves: dropped at
//! any point, the socket is closed, unless the exchange was whole.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{Sleep, now, sleep_until};
use mainspring_executor::{Instant, deadline};

use super::bounds::Timeouts;
use super::error::{Error, ErrorKind, Phase};
use super::origin::Origin;
use super::pool::Lease;
use super::upload::{self, Upload};
use crate::http1::exchange::{Exchange, ResponseEvent};

/// See the file.
pub(super) struct Conversation {
    /// `None` once somebody else has it. Closed before the lease lets the next in.
    stream: Option<TcpStream>,
    lease: Option<Lease>,
    exchange: Exchange,
    upload: Upload,
    /// Why the rest of the request was not sent. The answer may have come all the same.
    write_error: Option<io::Error>,
    /// Bytes of the request were thrown away: nothing can follow.
    is_cut: bool,
    origin: Origin,
    /// Until when all of it is to be done.
    total: Instant,
    sleep: Sleep,
    /// Since when nothing moves, each way.
    send_since: Option<Instant>,
    read_since: Option<Instant>,
    has_head: bool,
}

/// What an error says besides what it is.
pub(super) struct Asked {
    origin: Origin,
    phase: Phase,
    may_be_processed: bool,
}

impl Asked {
    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.origin, self.phase, self.may_be_processed)
    }
}

/// What was read, without the buffer that it was read from.
enum Read {
    Interim(Response<()>),
    Head(Response<()>),
    Data(Bytes),
    End(Option<HeaderMap>),
}

impl Conversation {
    pub(super) fn new(
        stream: TcpStream,
        lease: Lease,
        exchange: Exchange,
        upload: Upload,
        origin: &Origin,
        total: Instant,
    ) -> Self {
        Self {
            stream: Some(stream),
            lease: Some(lease),
            exchange,
            upload,
            write_error: None,
            is_cut: false,
            origin: origin.clone(),
            total,
            sleep: sleep_until(Instant::FAR_FUTURE),
            send_since: None,
            read_since: None,
            has_head: false,
        }
    }

    /// Sends, and waits for the head of the final response. Those before it go to `on_interim`.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        on_interim: &mut dyn FnMut(Response<()>),
    ) -> Poll<Result<Response<()>, ErrorKind>> {
        loop {
            self.send(cx)?;
            match self.read(cx) {
                Poll::Ready(Ok(Read::Interim(response))) => on_interim(response),
                Poll::Ready(Ok(Read::Head(response))) => {
                    self.has_head = true;
                    self.read_since = None;
                    // RFC 9112 §9.5: an error that comes early means that the rest is not wanted.
                    if response.status().as_u16() >= 400 {
                        self.stop_sending();
                    }
                    return Poll::Ready(Ok(response));
                }
                Poll::Ready(Ok(Read::Data(_) | Read::End(_))) => unreachable!("a head is due"),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.is_time_over(cx)? => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads the next of the body; sends what is left of the request.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.stream.is_none() || self.is_handed_over() {
            return Poll::Ready(None);
        }
        let frame = loop {
            if let Err(kind) = self.send(cx) {
                break Some(Err(kind));
            }
            match self.read(cx) {
                Poll::Ready(Ok(Read::Data(data))) => {
                    self.read_since = None;
                    break Some(Ok(Frame::data(data)));
                }
                Poll::Ready(Ok(Read::End(trailers))) => {
                    self.end();
                    break trailers.map(|trailers| Ok(Frame::trailers(trailers)));
                }
                Poll::Ready(Ok(Read::Interim(_) | Read::Head(_))) => unreachable!("a body is due"),
                Poll::Ready(Err(kind)) => break Some(Err(kind)),
                Poll::Pending => match self.is_time_over(cx) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                    Err(kind) => break Some(Err(kind)),
                },
            }
        };
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|kind| {
                let error = self.error(kind);
                self.close();
                error
            })
        }))
    }

    /// Whether the response is whole; the connection is given back or closed then.
    pub(super) fn settle(&mut self) -> bool {
        if self.stream.is_some() && self.exchange.remaining_length() == Some(0) {
            let step = self.exchange.next_event(&[]).expect("there is nothing left to be wrong");
            assert!(matches!(step.event, None | Some(ResponseEvent::End { .. })), "the end is due");
            self.end();
        }
        self.stream.is_none()
    }

    /// Reads to the end as far as that has come already, up to a bound; else closes the connection.
    pub(super) fn discard(&mut self) {
        let Some(lease) = &self.lease else { return };
        let mut room = lease.pool().bounds.limits.discard_bytes_max;
        let mut cx = Context::from_waker(Waker::noop());
        // Nobody will send the rest of the request.
        while self.exchange.is_request_done() && self.upload.is_flushed() && !self.is_handed_over()
        {
            match self.read(&mut cx) {
                Poll::Ready(Ok(Read::Data(data))) if data.len() <= room => room -= data.len(),
                Poll::Ready(Ok(Read::End(_))) => return self.end(),
                _ => break,
            }
        }
        self.close();
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.exchange.is_handed_over()
    }

    pub(super) fn remaining_length(&self) -> Option<u64> {
        self.exchange.remaining_length()
    }

    /// The connection, which does not count any more.
    pub(super) fn take_stream(&mut self) -> Option<TcpStream> {
        self.lease = None;
        self.stream.take()
    }

    /// Whether the request was lost before anybody looked at it, as far as can be known: not a byte of an answer came. Says
    /// how much of it was written, too.
    pub(super) fn written_in_vain(&self, kind: &ErrorKind) -> Option<u64> {
        let is_lost = matches!(kind, ErrorKind::Io(_) | ErrorKind::Closed);
        (is_lost && !self.exchange.has_begun()).then(|| self.upload.written())
    }

    /// Closes the connection, and keeps the right to have one.
    pub(super) fn into_lease(mut self) -> Lease {
        drop(self.stream.take());
        self.lease.take().expect("nothing has ended yet")
    }

    pub(super) fn written(&self) -> u64 {
        self.upload.written()
    }

    pub(super) fn phase(&self) -> Phase {
        let is_sent = self.exchange.is_request_done() && self.upload.is_flushed() && !self.is_cut;
        match (self.has_head, is_sent) {
            (true, _) => Phase::Body,
            (false, true) => Phase::Head,
            (false, false) => Phase::Send,
        }
    }

    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        self.asked().error(kind)
    }

    /// Who was asked, and how far that has come.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            origin: self.origin.clone(),
            phase: self.phase(),
            may_be_processed: self.upload.written() > 0,
        }
    }

    /// Sends what can be sent now.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), ErrorKind> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let before = self.upload.written();
        match self.upload.poll(cx, stream, &mut self.exchange) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(upload::Failure::Body(kind))) => return Err(kind),
            // The server may have answered before it closed.
            Poll::Ready(Err(upload::Failure::Socket(error))) => {
                self.write_error = Some(error);
                self.stop_sending();
            }
        }
        let is_waiting = !self.upload.is_flushed() || self.exchange.expects_continue();
        if self.upload.written() > before || !is_waiting {
            self.send_since = None;
        }
        Ok(())
    }

    fn stop_sending(&mut self) {
        self.exchange.stop_sending();
        // What is framed may not be written.
        if !self.upload.is_flushed() {
            self.upload.give_up();
            self.is_cut = true;
        }
    }

    /// Reads on, and waits for bytes where there are none.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Read, ErrorKind>> {
        loop {
            let stream = self.stream.as_mut().expect("who reads has not ended");
            let step = self.exchange.next_event(stream.buffered());
            let step = step.map_err(ErrorKind::Response)?;
            let consumed = step.consumed;
            let read = step.event.map(|event| match event {
                ResponseEvent::Interim(response) => Read::Interim(response),
                ResponseEvent::Head(response) => Read::Head(response),
                ResponseEvent::Data(data) => Read::Data(Bytes::copy_from_slice(data)),
                ResponseEvent::End { trailers } => Read::End(trailers),
            });
            stream.consume(consumed);
            if let Some(read) = read {
                return Poll::Ready(Ok(read));
            }
            match stream.poll_fill(cx) {
                Poll::Ready(Ok(0)) => self.at_end_of_input()?,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    let error = self.write_error.take().unwrap_or(error);
                    return Poll::Ready(Err(ErrorKind::Io(error)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn at_end_of_input(&mut self) -> Result<(), ErrorKind> {
        let has_begun = self.exchange.has_begun();
        let ended = self.exchange.end_of_input();
        ended.map_err(|error| match self.write_error.take() {
            Some(error) => ErrorKind::Io(error),
            None if has_begun => ErrorKind::Response(error),
            None => ErrorKind::Closed,
        })
    }

    /// Whether something is to be done because of the time. What is waited for is the slower of both sides, and for the caller's own
    /// body nobody but the caller has to wait.
    ///
    /// # Errors
    /// Some time is over.
    fn is_time_over(&mut self, cx: &mut Context<'_>) -> Result<bool, ErrorKind> {
        let timeouts = self.timeouts();
        let now = now();
        let since =
            |since: &mut Option<Instant>, patience: Duration| *since.get_or_insert(now) + patience;
        let patience = if self.has_head { timeouts.body } else { timeouts.head };
        let stall = if !self.upload.is_flushed() {
            since(&mut self.send_since, timeouts.write)
        } else if self.exchange.expects_continue() {
            since(&mut self.send_since, timeouts.continue_wait)
        } else if self.exchange.writes_body() {
            Instant::FAR_FUTURE
        } else {
            since(&mut self.read_since, patience)
        };
        let whole = deadline::current().map_or(self.total, |current| current.min(self.total));
        self.sleep.reset(stall.min(whole));
        if Pin::new(&mut self.sleep).poll(cx).is_pending() {
            return Ok(false);
        }
        if whole <= now {
            return Err(ErrorKind::Deadline);
        }
        if self.upload.is_flushed() && self.exchange.expects_continue() {
            self.exchange.stop_waiting();
            self.send_since = None;
            return Ok(true);
        }
        Err(ErrorKind::Timeout)
    }

    fn timeouts(&self) -> Timeouts {
        let lease = self.lease.as_ref().expect("who waits has not ended");
        lease.pool().bounds.timeouts
    }

    /// The response is whole: gives the connection back, if another request may follow.
    fn end(&mut self) {
        let (Some(stream), Some(lease)) = (self.stream.take(), self.lease.take()) else { return };
        let is_quiet = stream.buffered().is_empty() && self.upload.is_flushed();
        if is_quiet && !self.is_cut && self.exchange.is_reusable() {
            lease.give_back(stream);
        } else {
            drop(stream);
            drop(lease);
        }
    }

    fn close(&mut self) {
        drop(self.stream.take());
        drop(self.lease.take());
    }
}
