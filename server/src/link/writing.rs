//! What a link sends: responses, and refusals.

use core::task::{Context as TaskContext, Poll, ready};
use std::io;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use mainspring_executor::{reachable, sometimes, time};

use super::Link;
use crate::exchange::{End, Next};
use crate::http1::{self, BodyLength, ResponseFields, UsageError};
use crate::output::Output;
use crate::{MediaType, Response};

/// How a piece went into the output.
pub(crate) enum Piece {
    Copied,
    Referenced,
}

impl Link {
    /// Writes all that there is to write.
    pub(crate) fn poll_flush(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            ready!(self.poll_turn(cx));
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            match self.output.with_slices(|slices| stream.poll_write(cx, slices)) {
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.writing.end(count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.moves = 0;
                    let timeouts = &self.context.timeouts;
                    let deadline = self.writing.deadline(timeouts.write, timeouts.pace);
                    if time::now() >= deadline {
                        reachable!("a client takes nothing for too long");
                        self.has_stalled = true;
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    ready!(self.poll_timer(cx, deadline));
                }
            }
        }
        if self.reader.awaits_room {
            self.reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until more may be added.
    pub(crate) fn poll_room(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if self.output.takes_more() {
            return Poll::Ready(Ok(()));
        }
        match self.poll_flush(cx) {
            // Not all of it is written, but enough.
            Poll::Pending if self.output.takes_more() => Poll::Ready(Ok(())),
            flushed => flushed,
        }
    }

    /// Writes 101 (Switching Protocols).
    pub(crate) fn upgrade(&mut self, head: &Parts) -> Result<(), UsageError> {
        self.protocol.upgrade(&head.headers, self.output.buffer(&self.context.outputs))?;
        self.context.stats.count_response(head.status);
        Ok(())
    }

    /// Writes the head of a response. True: its body is wanted.
    pub(crate) fn start_response(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        media_type: Option<MediaType>,
        length: BodyLength,
    ) -> Result<bool, UsageError> {
        if self.context.draining.is_cancelled() {
            self.protocol.set_close();
        }
        let date = self.context.date.at(time::now());
        let media_type = media_type.map(MediaType::as_str);
        let fields = ResponseFields { headers, media_type };
        let output = self.output.buffer(&self.context.outputs);
        self.protocol.start_response(status, fields, length, &date, output)?;
        self.context.stats.count_response(status);
        Ok(self.protocol.writes_body())
    }

    /// Writes a response of which all is there and nothing has to be awaited, as most are; `None` where it is another one.
    pub(crate) fn answer_at_once(&mut self, response: &mut Response) -> Option<Next> {
        let body = response.body();
        let length = body.full_length().filter(|length| !Output::prefers_reference(*length))?;
        if !self.output.takes_more() || !self.protocol.request_body_done() {
            return None;
        }
        let (media_type, known) = (body.media_type(), BodyLength::Known(length as u64));
        // What is wrong with it is found once more, and told, by the long way.
        let is_wanted =
            self.start_response(response.status(), response.headers(), media_type, known).ok()?;
        let bytes = response.body_mut().take_full();
        if is_wanted && length > 0 {
            self.protocol
                .send_data(&bytes, self.output.buffer(&self.context.outputs))
                .expect("as long as announced");
        }
        self.finish(None).expect("the body is complete");
        let goes_on = self.failure.is_none() && self.next_cycle();
        Some(if goes_on { Next::Go } else { Next::End(End::Close) })
    }

    /// Writes a piece of a response's body. Where it says `Referenced`, flush and then call
    /// [`Link::end_piece`].
    pub(crate) fn send_piece(&mut self, piece: Bytes) -> Result<Piece, UsageError> {
        if !Output::prefers_reference(piece.len()) {
            self.protocol.send_data(&piece, self.output.buffer(&self.context.outputs))?;
            return Ok(Piece::Copied);
        }
        self.protocol.data_prefix(piece.len(), self.output.buffer(&self.context.outputs))?;
        self.output.refer(piece);
        Ok(Piece::Referenced)
    }

    /// Writes what stands behind a piece by reference.
    pub(crate) fn end_piece(&mut self) {
        self.protocol.data_suffix(self.output.buffer(&self.context.outputs));
    }

    /// Ends the response.
    pub(crate) fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), UsageError> {
        // From here on the body of the request is the connection's to discard: whoever kept it reads no more.
        self.is_answered = true;
        self.reader.wake();
        self.protocol.finish(trailers, self.output.buffer(&self.context.outputs))
    }

    /// Answers what the peer did wrong, or that it was too slow. False: a response has begun already, or nobody is there.
    pub(crate) fn reject(&mut self, error: http1::Error) -> bool {
        let stats = &self.context.stats;
        stats.rejections.add(1);
        let is_late = matches!(error, http1::Error::Timeout);
        sometimes!(is_late, "a request that does not come is answered with 408");
        sometimes!(!is_late, "a request that is none is refused");
        let date = self.context.date.at(time::now());
        let is_answered =
            self.protocol.reject(error, &date, self.output.buffer(&self.context.outputs));
        if is_answered {
            stats.count_response(error.status());
        }
        is_answered
    }
}
