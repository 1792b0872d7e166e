//! One connection, seen from the server: two state machines, one that reads requests and one that
//! writes responses, and the few facts that tie them together.
//!
//! It keeps no bytes: what is not consumed stays with the caller, what is written goes to the
//! caller's buffer. It does not know sockets, time, or handlers. The diagram is in the
//! documentation of the module above.

use std::rc::Rc;

use http::{HeaderMap, Method, StatusCode, Version};

use super::chunked::{ChunkedDecoder, Decoded};
use super::encode::{self, Date};
use super::error::{Error, UsageError};
use super::event::{Event, Phase, Step};
use super::framing::{Asked, BodyLength, ResponseBody};
use super::head::{self, HeadScanner, Meaning};
use super::head_pool::HeadPool;
use super::request_head::{HeadParts, RequestHead};
use super::response::{self, ResponseFields, ResponseHead};
use super::trailers;
use crate::limits::Limits;

/// The server's side of one HTTP/1.1 connection.
#[derive(Debug)]
pub struct Connection {
    limits: Rc<Limits>,
    heads: Rc<HeadPool>,
    reading: Reading,
    writing: Writing,
    expectation: Expectation,
    asks_upgrade: bool,
    asked: Asked,
    body_length: BodyLength,
    /// Nothing comes after the current response.
    close: bool,
}

/// The state of the request.
#[derive(Debug)]
enum Reading {
    Head(HeadScanner),
    /// A body of known length: bytes still to come, more than 0.
    Length(u64),
    /// In a box: few connections are in one, and all would be as big.
    Chunked(Box<ChunkedDecoder>),
    /// All bytes are read; the caller has not been told.
    End,
    Done,
    Failed(Error),
    Closed,
}

/// The state of the response.
#[derive(Debug)]
enum Writing {
    /// No request to answer.
    Waiting,
    /// A request, and not a byte of the final response.
    Ready,
    Body {
        framing: ResponseBody,
        /// Between `data_prefix` and `data_suffix` of a chunk.
        in_chunk: bool,
    },
    Done,
}

/// RFC 9110 §10.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expectation {
    /// There is none, or it has been met, or the client did not wait.
    None,
    /// The client may be waiting for 100 (Continue).
    Pending,
}

impl Connection {
    /// A connection before its first request.
    ///
    /// # Panics
    /// If [`Limits::check`] does.
    #[must_use]
    pub fn new(limits: Rc<Limits>) -> Self {
        Self::with_pool(limits, Rc::default())
    }

    /// A connection that shares the memory of its heads with others.
    ///
    /// # Panics
    /// If [`Limits::check`] does.
    #[must_use]
    pub fn with_pool(limits: Rc<Limits>, heads: Rc<HeadPool>) -> Self {
        limits.check();
        Self {
            limits,
            heads,
            reading: Reading::Head(HeadScanner::default()),
            writing: Writing::Waiting,
            expectation: Expectation::None,
            asks_upgrade: false,
            asked: Asked { is_head: false, version: Version::HTTP_11 },
            body_length: BodyLength::Known(0),
            close: false,
        }
    }

    /// Reads on, from the front of all bytes that were received and not consumed.
    ///
    /// The caller drops `consumed` bytes, acts on the event and calls again; without an event it
    /// needs more bytes first. Bytes that were shown and not consumed must be shown again. The next
    /// head is not looked at before [`next_cycle`](Self::next_cycle): requests that the peer has
    /// sent ahead wait in the caller's buffer.
    ///
    /// # Errors
    /// What the peer did wrong. The connection is then [`Phase::Closed`], and each later call gives
    /// the same error.
    ///
    /// # Panics
    /// If bytes that were shown and not consumed are not shown again.
    pub fn next_event<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, Error> {
        match &mut self.reading {
            Reading::Head(_) => self.read_head(input),
            Reading::Length(_) | Reading::Chunked(_) => self.read_body(input),
            Reading::End => {
                self.reading = Reading::Done;
                Ok(Step { consumed: 0, event: Some(Event::End { trailers: None }) })
            }
            Reading::Done | Reading::Closed => Ok(Step { consumed: 0, event: None }),
            Reading::Failed(error) => Err(*error),
        }
    }

    /// Tells that the peer has ended its side, with `leftover` not consumed. Call
    /// [`next_event`](Self::next_event) until it needs more bytes first.
    ///
    /// `Ok`: nothing was cut off. Between messages the connection is then [`Phase::Closed`]; after
    /// a complete request it is not, for the peer may still be reading the response.
    ///
    /// # Errors
    /// [`Error::Incomplete`] in the middle of a message; but if what there is of a head could never
    /// become a valid one, the error of that head.
    pub fn end_of_input(&mut self, leftover: &[u8]) -> Result<(), Error> {
        let error = match &mut self.reading {
            Reading::Head(scanner) if !scanner.has_begun() && matches!(leftover, [] | [b'\r']) => {
                self.reading = Reading::Closed;
                self.close = true;
                return Ok(());
            }
            Reading::Head(scanner) => scanner.cut_off(leftover, &self.limits),
            Reading::Length(_) | Reading::Chunked(_) => Error::Incomplete,
            Reading::End | Reading::Done | Reading::Closed => return Ok(()),
            Reading::Failed(error) => *error,
        };
        Err(self.fail(error))
    }

    /// Where the exchange is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (&self.reading, &self.writing) {
            (Reading::Head(scanner), _) if scanner.has_begun() => Phase::Head,
            (Reading::Head(_), _) => Phase::Idle,
            (Reading::Length(_) | Reading::Chunked(_), _) => Phase::Body,
            (Reading::End | Reading::Done, Writing::Done) => Phase::Done,
            (Reading::End | Reading::Done, _) => Phase::Respond,
            (Reading::Failed(_) | Reading::Closed, _) => Phase::Closed,
        }
    }

    /// The length of the current request's body, as its head announced it.
    #[must_use]
    pub fn request_body_length(&self) -> BodyLength {
        self.body_length
    }

    /// True once no byte of the current request is still to come, whether or not `End` has been
    /// fetched.
    #[must_use]
    pub fn request_body_done(&self) -> bool {
        matches!(self.reading, Reading::End | Reading::Done)
    }

    /// How many of the bytes that come next are data of the current request's body, and nothing else, as far as is known.
    #[must_use]
    pub fn data_bytes_ahead(&self) -> u64 {
        match &self.reading {
            Reading::Length(remaining) => *remaining,
            Reading::Chunked(decoder) => decoder.data_bytes_ahead(),
            _ => 0,
        }
    }

    /// True while the client may be waiting for [`send_continue`](Self::send_continue) before it
    /// sends its body. Ends when that is called, when the first byte of the body comes, and when
    /// the final response begins.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expectation == Expectation::Pending
    }

    /// Asks for the body with 100 (Continue), if the client is waiting for it; otherwise does
    /// nothing.
    pub fn send_continue(&mut self, out: &mut Vec<u8>) {
        if self.expects_continue() {
            self.expectation = Expectation::None;
            out.extend_from_slice(encode::CONTINUE);
        }
    }

    /// Writes the head of the final response: the handler's `fields`, and what the connection
    /// itself must say. `date` is the current date, used unless the handler has set one.
    ///
    /// A `Content-Length` of the handler is checked against `body`; with an unknown `body` it is
    /// taken as a promise. For HEAD and 304 it stands as it is. `Connection: close` from the
    /// handler is honoured.
    ///
    /// # Errors
    /// What the handler did wrong; then nothing is written, and another response may be started.
    pub fn start_response<'r>(
        &mut self,
        status: StatusCode,
        fields: impl Into<ResponseFields<'r>>,
        body: BodyLength,
        date: &Date,
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        if !matches!(self.writing, Writing::Ready) {
            return Err(UsageError::OutOfOrder);
        }
        // RFC 9110 §10.1.1: a client that was not told to continue may or may not send the body
        // after a final response. Where the next request begins is then anyone's guess.
        let close = self.close || self.expects_continue();
        let fields = fields.into();
        let head = ResponseHead { status, fields, body, asked: self.asked, close, date };
        let (framing, close) = response::write_head(&head, out)?;
        self.close = close;
        self.expectation = Expectation::None;
        self.writing = Writing::Body { framing, in_chunk: false };
        Ok(())
    }

    /// True while the current request may be answered by [`upgrade`](Self::upgrade): it asks for another protocol (RFC
    /// 9110 §7.8), and has no body.
    #[must_use]
    pub fn may_upgrade(&self) -> bool {
        self.asks_upgrade && matches!(self.writing, Writing::Ready)
    }

    /// Writes 101 (Switching Protocols) with the `fields`, of which `Upgrade` must be one. It is the last that is written
    /// here: what the peer sends behind its request belongs to the other protocol, and the connection is
    /// [`Phase::Closed`].
    ///
    /// # Errors
    /// [`UsageError::Upgrade`], or what is wrong with the fields; then nothing is written, and another response may be
    /// started.
    pub fn upgrade(&mut self, fields: &HeaderMap, out: &mut Vec<u8>) -> Result<(), UsageError> {
        if !self.may_upgrade() {
            return Err(UsageError::Upgrade);
        }
        response::write_upgrade(fields, out)?;
        self.reading = Reading::Closed;
        self.writing = Writing::Done;
        self.close = true;
        Ok(())
    }

    /// False if the response that was started has no body on the wire (HEAD, 204, 205, 304): the
    /// handler's need not be read.
    #[must_use]
    pub fn writes_body(&self) -> bool {
        match &self.writing {
            Writing::Body { framing, .. } => {
                !matches!(framing, ResponseBody::Discarded | ResponseBody::Forbidden)
            }
            Writing::Waiting | Writing::Ready | Writing::Done => false,
        }
    }

    /// Writes the next bytes of the body, framed. They are dropped if the request was HEAD.
    ///
    /// # Errors
    /// As [`data_prefix`](Self::data_prefix).
    pub fn send_data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), UsageError> {
        self.data_prefix(data.len(), out)?;
        if self.writes_body() {
            out.extend_from_slice(data);
        }
        self.data_suffix(out);
        Ok(())
    }

    /// Writes what stands before `length` bytes of body that the caller writes itself, without
    /// copying them. It must write all of them, then call [`data_suffix`](Self::data_suffix); none
    /// of them if [`writes_body`](Self::writes_body) is false.
    ///
    /// # Errors
    /// [`UsageError::BodyTooLong`], [`UsageError::BodyForbidden`], or [`UsageError::OutOfOrder`].
    /// The response can then not be completed, and the connection must close.
    ///
    /// # Panics
    /// If the chunk before it was not ended with [`data_suffix`](Self::data_suffix); so does
    /// [`finish`](Self::finish).
    pub fn data_prefix(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), UsageError> {
        let Writing::Body { framing, in_chunk } = &mut self.writing else {
            return Err(UsageError::OutOfOrder);
        };
        assert!(!*in_chunk, "data_suffix follows each data_prefix");
        let outcome = match framing {
            ResponseBody::Length(remaining) => match remaining.checked_sub(length as u64) {
                Some(rest) => {
                    *remaining = rest;
                    Ok(())
                }
                None => Err(UsageError::BodyTooLong),
            },
            ResponseBody::Forbidden if length > 0 => Err(UsageError::BodyForbidden),
            // RFC 9112 §7.1: a chunk of no bytes would be the last one.
            ResponseBody::Chunked if length > 0 => {
                encode::chunk_line(length, out);
                *in_chunk = true;
                Ok(())
            }
            ResponseBody::Chunked
            | ResponseBody::Forbidden
            | ResponseBody::Discarded
            | ResponseBody::UntilClose => Ok(()),
        };
        self.close |= outcome.is_err();
        outcome
    }

    /// Writes what stands after these bytes.
    pub fn data_suffix(&mut self, out: &mut Vec<u8>) {
        if let Writing::Body { in_chunk: in_chunk @ true, .. } = &mut self.writing {
            *in_chunk = false;
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Ends the response. Trailers are written if the body is chunked, and dropped if not (RFC 9110
    /// §6.5.1 allows that to anyone on the way).
    ///
    /// # Errors
    /// [`UsageError::BodyTooShort`] (the connection must close without more),
    /// [`UsageError::TrailerForbidden`] (may be called again with other trailers), or
    /// [`UsageError::OutOfOrder`].
    ///
    /// # Panics
    /// If the last chunk was not ended with [`data_suffix`](Self::data_suffix).
    pub fn finish(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        let Writing::Body { framing, in_chunk } = &self.writing else {
            return Err(UsageError::OutOfOrder);
        };
        assert!(!in_chunk, "data_suffix follows each data_prefix");
        match framing {
            ResponseBody::Length(1..) => {
                self.close = true;
                return Err(UsageError::BodyTooShort);
            }
            ResponseBody::Chunked => {
                if trailers.is_some_and(|trailers| trailers.keys().any(trailers::is_forbidden)) {
                    return Err(UsageError::TrailerForbidden);
                }
                encode::last_chunk(trailers, out);
            }
            // The end of such a body is the end of the connection; `start_response` has seen to it.
            ResponseBody::UntilClose => assert!(self.close, "only a close ends this body"),
            ResponseBody::Length(0) | ResponseBody::Discarded | ResponseBody::Forbidden => {}
        }
        self.writing = Writing::Done;
        Ok(())
    }

    /// Answers a message that is wrong, or too slow, with a whole response, and ends the exchange.
    /// Use it for errors of [`next_event`](Self::next_event) and
    /// [`end_of_input`](Self::end_of_input), and with [`Error::Timeout`].
    ///
    /// False if there is no answer to give: a response has begun, or the peer is gone in the middle
    /// of a message. Either way the connection is [`Phase::Closed`] and must close once `out` is
    /// written.
    pub fn reject(&mut self, error: Error, date: &Date, out: &mut Vec<u8>) -> bool {
        let answers = match self.writing {
            Writing::Waiting | Writing::Ready => error != Error::Incomplete,
            Writing::Body { .. } | Writing::Done => false,
        };
        if answers {
            // RFC 9110 §9.3.2: no content for HEAD.
            encode::refusal(error, date, !self.asked.is_head, out);
        }
        self.fail(error);
        self.expectation = Expectation::None;
        self.writing = Writing::Done;
        answers
    }

    /// True if the connection must close after the current response.
    #[must_use]
    pub fn must_close(&self) -> bool {
        self.close
    }

    /// Makes the current response the last one. If its head is not written yet, it will say
    /// `Connection: close`.
    pub fn set_close(&mut self) {
        self.close = true;
    }

    /// Makes ready for the next request, if request and response are complete and the connection
    /// stays open. If it does not, the connection is [`Phase::Closed`] from here on.
    pub fn next_cycle(&mut self) -> bool {
        if self.phase() != Phase::Done {
            return false;
        }
        if self.close {
            self.reading = Reading::Closed;
            return false;
        }
        debug_assert!(self.expectation == Expectation::None, "a response settles the expectation");
        self.reading = Reading::Head(HeadScanner::default());
        self.writing = Writing::Waiting;
        self.asked = Asked { is_head: false, version: Version::HTTP_11 };
        self.body_length = BodyLength::Known(0);
        true
    }

    fn read_head<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, Error> {
        let Reading::Head(scanner) = &mut self.reading else { unreachable!("a head is due") };
        // So does every wait for a request begin.
        if input.is_empty() && !scanner.has_begun() {
            return Ok(Step { consumed: 0, event: None });
        }
        let mut parts = self.heads.take();
        let read = head::read(scanner, input, &self.limits, &mut parts);
        let (consumed, meaning) = match read {
            Ok((consumed, Some(meaning))) => (consumed, meaning),
            unfinished => {
                self.heads.give_back(parts);
                // RFC 9110 §9.3.2: the refusal has no content, either.
                self.asked.is_head = scanner.is_head();
                let (consumed, _) = unfinished.map_err(|error| self.fail(error))?;
                return Ok(Step { consumed, event: None });
            }
        };
        self.begin_exchange(&parts, &meaning);
        let head = RequestHead::new(parts, Rc::clone(&self.heads));
        Ok(Step { consumed, event: Some(Event::Request(head)) })
    }

    fn read_body<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, Error> {
        let step = match &mut self.reading {
            Reading::Length(remaining) => {
                let (taken, rest) = take(*remaining, input);
                self.reading = if rest == 0 { Reading::End } else { Reading::Length(rest) };
                let event = (!taken.is_empty()).then_some(Event::Data(taken));
                Step { consumed: taken.len(), event }
            }
            Reading::Chunked(decoder) => {
                let decoded = decoder.decode(input, &self.limits);
                let (consumed, decoded) = decoded.map_err(|error| self.fail(error))?;
                let event = decoded.map(|decoded| match decoded {
                    Decoded::Data(data) => Event::Data(data),
                    Decoded::End(trailers) => {
                        self.reading = Reading::Done;
                        Event::End { trailers: trailers.map(Box::new) }
                    }
                });
                Step { consumed, event }
            }
            _ => unreachable!("a body is due"),
        };
        assert!(step.consumed <= input.len(), "consumed bytes that are not there");
        // RFC 9110 §10.1.1: a client that sends its body has stopped waiting.
        if step.consumed > 0 {
            self.expectation = Expectation::None;
        }
        Ok(step)
    }

    fn begin_exchange(&mut self, head: &HeadParts, meaning: &Meaning) {
        assert!(matches!(self.writing, Writing::Waiting), "one exchange at a time");
        self.reading = match meaning.body {
            BodyLength::Known(0) => Reading::End,
            BodyLength::Known(bytes) => Reading::Length(bytes),
            BodyLength::Unknown => Reading::Chunked(Box::new(ChunkedDecoder::new())),
        };
        self.writing = Writing::Ready;
        self.expectation =
            if meaning.expects_continue { Expectation::Pending } else { Expectation::None };
        self.asked = Asked { is_head: *head.method() == Method::HEAD, version: head.version() };
        self.asks_upgrade = meaning.asks_upgrade;
        self.body_length = meaning.body;
        self.close |= !meaning.keep_alive;
    }

    /// Ends the connection for `error`, which is handed back.
    fn fail(&mut self, error: Error) -> Error {
        self.reading = Reading::Failed(error);
        self.close = true;
        error
    }
}

/// Splits off the bytes of a body of which `remaining` are still to come: them, and how many are to
/// come after them.
fn take(remaining: u64, input: &[u8]) -> (&[u8], u64) {
    let length = usize::try_from(remaining).unwrap_or(usize::MAX).min(input.len());
    (&input[..length], remaining - length as u64)
}
