//! `Upload`: a request on its way to the socket. It asks its body for more only when all before is written.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use mainspring_executor::net::TcpStream;

use super::error::ErrorKind;
use crate::Body;
use crate::http1::exchange::Exchange;

/// What is still to be written.
pub(super) struct Upload {
    /// The head, or the line before a chunk; then `data`; then `after`.
    before: Vec<u8>,
    data: Bytes,
    after: Vec<u8>,
    source: Source,
    /// Bytes that the socket took.
    written: u64,
}

/// Where the body comes from.
pub(super) enum Source {
    Full(Bytes),
    Stream(Body),
    Ended,
}

/// Why a request cannot be sent to its end.
pub(super) enum Failure {
    Socket(io::Error),
    Body(ErrorKind),
}

impl Upload {
    /// One that begins with `head`.
    pub(super) fn new(head: Vec<u8>, source: Source) -> Self {
        Self { before: head, data: Bytes::new(), after: Vec::new(), source, written: 0 }
    }

    /// Whether nothing waits for the socket.
    pub(super) fn is_flushed(&self) -> bool {
        self.before.is_empty() && self.data.is_empty() && self.after.is_empty()
    }

    /// Bytes that the socket took.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Forgets what was not sent.
    pub(super) fn give_up(&mut self) {
        let written = self.written;
        *self = Self { written, ..Self::new(Vec::new(), Source::Ended) };
    }

    /// Sends what can be sent. Ready when there is nothing more to send. Pending on the socket if not
    /// [`Upload::is_flushed`], on 100 (Continue) if [`Exchange::expects_continue`], else on the body.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
        exchange: &mut Exchange,
    ) -> Poll<Result<(), Failure>> {
        loop {
            ready!(self.poll_flush(cx, stream)).map_err(Failure::Socket)?;
            if !exchange.writes_body() {
                return Poll::Ready(Ok(()));
            }
            if exchange.expects_continue() {
                return Poll::Pending;
            }
            ready!(self.poll_next_piece(cx, exchange)).map_err(Failure::Body)?;
        }
    }

    fn poll_flush(&mut self, cx: &Context<'_>, stream: &mut TcpStream) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let slices = [&self.before, &self.data[..], &self.after].map(IoSlice::new);
            let count = ready!(stream.poll_write(cx, &slices))?;
            self.written += count as u64;
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let of_before = count.min(self.before.len());
        let of_data = (count - of_before).min(self.data.len());
        let of_after = count - of_before - of_data;
        assert!(of_after <= self.after.len(), "a write takes no more than it was given");
        self.before.drain(..of_before);
        self.data.advance(of_data);
        self.after.drain(..of_after);
    }

    /// Takes one piece from the body, or its end.
    fn poll_next_piece(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Poll<Result<(), ErrorKind>> {
        let failed = |error: crate::http1::UsageError| ErrorKind::RequestBody(error.into());
        let frame = match &mut self.source {
            Source::Full(bytes) => {
                self.data = core::mem::take(bytes);
                self.source = Source::Ended;
                exchange.data_prefix(self.data.len(), &mut self.before).map_err(failed)?;
                exchange.data_suffix(&mut self.after);
                return Poll::Ready(exchange.finish(None, &mut self.after).map_err(failed));
            }
            Source::Stream(body) => ready!(Pin::new(body).poll_frame(cx)),
            Source::Ended => None,
        };
        let frame = frame.transpose().map_err(ErrorKind::RequestBody)?;
        let Some(frame) = frame else {
            return Poll::Ready(self.finish(None, exchange));
        };
        Poll::Ready(match frame.into_data() {
            Ok(data) => {
                exchange.data_prefix(data.len(), &mut self.before).map_err(failed)?;
                exchange.data_suffix(&mut self.after);
                self.data = data;
                Ok(())
            }
            Err(frame) => self.finish(frame.into_trailers().ok().as_ref(), exchange),
        })
    }

    fn finish(
        &mut self,
        trailers: Option<&http::HeaderMap>,
        exchange: &mut Exchange,
    ) -> Result<(), ErrorKind> {
        self.source = Source::Ended;
        let finished = exchange.finish(trailers, &mut self.before);
        finished.map_err(|error| ErrorKind::RequestBody(error.into()))
    }
}
