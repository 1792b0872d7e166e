//! `Exchange`: the two state machines, and what ties them together. The diagram is in the
//! documentation of the module above.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::super::chunked::{ChunkedDecoder, Decoded};
use super::super::encode;
use super::super::error::{Error, UsageError};
use super::super::trailers;
use super::error::{RequestError, ResponseError};
use super::event::{ResponseEvent, ResponseStep};
use super::head::{self, HeadScanner};
use super::length::{self, Asked, AskedMethod, ResponseLength};
use super::limits::ResponseLimits;
use super::request::{self, RequestBody, RequestParts};

/// One request and its response, seen from the client.
#[derive(Debug)]
pub struct Exchange {
    limits: Rc<ResponseLimits>,
    asked: Asked,
    writing: Writing,
    reading: Reading,
    /// RFC 9110 §10.1.1: the body waits for 100 (Continue).
    expects_continue: bool,
    interim_count: u32,
    /// A byte of a response has come.
    has_begun: bool,
    /// Nothing comes after this exchange.
    close: bool,
}

/// The state of the request.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Body {
        framing: RequestBody,
        /// Between `data_prefix` and `data_suffix` of a chunk.
        in_chunk: bool,
    },
    Done,
    /// Given up before its end.
    Stopped,
}

/// The state of the response.
#[derive(Debug)]
enum Reading {
    Head(HeadScanner),
    /// A body of known length: bytes still to come, more than 0.
    Length(u64),
    Chunked(ChunkedDecoder),
    /// A body that the end of the connection ends: bytes so far.
    UntilClose(u64),
    /// All bytes are read; the caller has not been told.
    End,
    Done,
    /// The stream speaks another protocol from here on.
    HandedOver,
    Failed(ResponseError),
}

impl Exchange {
    /// Writes the head of a request, and waits for its response.
    ///
    /// # Errors
    /// What the caller did wrong; then nothing is written.
    ///
    /// # Panics
    /// If [`ResponseLimits::check`] does.
    pub fn start(
        limits: Rc<ResponseLimits>,
        request: &RequestParts<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Self, RequestError> {
        limits.check();
        let meaning = request::write_head(request, out)?;
        Ok(Self {
            limits,
            asked: Asked { method: AskedMethod::from(request.method), upgrade: meaning.upgrade },
            writing: match meaning.body {
                RequestBody::Length(0) => Writing::Done,
                framing => Writing::Body { framing, in_chunk: false },
            },
            reading: Reading::Head(HeadScanner::default()),
            expects_continue: meaning.expects_continue,
            interim_count: 0,
            has_begun: false,
            close: meaning.close,
        })
    }

    /// True while there is body to be written: neither all of it is, nor was it given up.
    #[must_use]
    pub fn writes_body(&self) -> bool {
        matches!(self.writing, Writing::Body { .. })
    }

    /// True once the whole request is written.
    #[must_use]
    pub fn is_request_done(&self) -> bool {
        matches!(self.writing, Writing::Done)
    }

    /// True while the body should wait for 100 (Continue). Ends when that comes, when the final
    /// response does, and with [`stop_waiting`](Self::stop_waiting).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// The server has been waited for long enough. RFC 9110 §10.1.1: a client does not wait for
    /// ever, since the server may not know the expectation.
    pub fn stop_waiting(&mut self) {
        self.expects_continue = false;
    }

    /// Gives up the rest of the request. The connection closes after the response, for the server
    /// still waits for what never comes.
    ///
    /// Does nothing to a request that is whole.
    pub fn stop_sending(&mut self) {
        if self.writes_body() {
            self.writing = Writing::Stopped;
            self.expects_continue = false;
            self.close = true;
        }
    }

    /// Writes the next bytes of the body, framed.
    ///
    /// # Errors
    /// As [`data_prefix`](Self::data_prefix).
    pub fn send_data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), UsageError> {
        self.data_prefix(data.len(), out)?;
        out.extend_from_slice(data);
        self.data_suffix(out);
        Ok(())
    }

    /// Writes what stands before `length` bytes of body that the caller writes itself, without
    /// copying them. It must write all of them, then call [`data_suffix`](Self::data_suffix).
    ///
    /// # Errors
    /// [`UsageError::BodyTooLong`] or [`UsageError::OutOfOrder`]. The request can then not be
    /// completed, and the connection must close.
    ///
    /// # Panics
    /// If the chunk before it was not ended with [`data_suffix`](Self::data_suffix); so does
    /// [`finish`](Self::finish).
    pub fn data_prefix(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), UsageError> {
        match &mut self.writing {
            Writing::Body { in_chunk: true, .. } => panic!("data_suffix follows each data_prefix"),
            Writing::Body { framing: RequestBody::Length(remaining), .. } => {
                let Some(rest) = remaining.checked_sub(length as u64) else {
                    self.stop_sending();
                    return Err(UsageError::BodyTooLong);
                };
                *remaining = rest;
            }
            // RFC 9112 §7.1: a chunk of no bytes would be the last one.
            Writing::Body { framing: RequestBody::Chunked, in_chunk } if length > 0 => {
                encode::chunk_line(length, out);
                *in_chunk = true;
            }
            Writing::Body { framing: RequestBody::Chunked, .. } => {}
            // What has no more to say may say so twice.
            Writing::Done if length == 0 => {}
            Writing::Done => return Err(UsageError::BodyTooLong),
            Writing::Stopped => return Err(UsageError::OutOfOrder),
        }
        Ok(())
    }

    /// Writes what stands after these bytes.
    pub fn data_suffix(&mut self, out: &mut Vec<u8>) {
        if let Writing::Body { in_chunk: in_chunk @ true, .. } = &mut self.writing {
            *in_chunk = false;
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Ends the request. Trailers are written if the body is chunked, and dropped if not (RFC 9110
    /// §6.5.1 allows that to anyone on the way).
    ///
    /// # Errors
    /// [`UsageError::BodyTooShort`] (the connection must close without more),
    /// [`UsageError::TrailerForbidden`] (may be called again with other trailers), or
    /// [`UsageError::OutOfOrder`] for a request that was given up.
    ///
    /// # Panics
    /// If the last chunk was not ended with [`data_suffix`](Self::data_suffix).
    pub fn finish(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        match self.writing {
            Writing::Body { in_chunk: true, .. } => panic!("data_suffix follows each data_prefix"),
            Writing::Body { framing: RequestBody::Length(1..), .. } => {
                self.stop_sending();
                return Err(UsageError::BodyTooShort);
            }
            Writing::Body { framing: RequestBody::Chunked, .. } => {
                if trailers.is_some_and(|trailers| trailers.keys().any(trailers::is_forbidden)) {
                    return Err(UsageError::TrailerForbidden);
                }
                encode::last_chunk(trailers, out);
            }
            Writing::Body { framing: RequestBody::Length(0), .. } | Writing::Done => {}
            Writing::Stopped => return Err(UsageError::OutOfOrder),
        }
        self.writing = Writing::Done;
        Ok(())
    }

    /// Reads on, from the front of all bytes that were received and not consumed.
    ///
    /// The caller drops `consumed` bytes, acts on the event and calls again; without an event it
    /// needs more bytes first. Bytes that were shown and not consumed must be shown again.
    ///
    /// # Errors
    /// What the server did wrong; each later call gives the same error.
    ///
    /// # Panics
    /// If bytes that were shown and not consumed are not shown again.
    pub fn next_event<'i>(&mut self, input: &'i [u8]) -> Result<ResponseStep<'i>, ResponseError> {
        match &mut self.reading {
            Reading::Head(_) => self.read_head(input),
            Reading::Length(_) | Reading::Chunked(_) | Reading::UntilClose(_) => {
                self.read_body(input)
            }
            Reading::End => {
                self.reading = Reading::Done;
                Ok(ResponseStep { consumed: 0, event: Some(ResponseEvent::End { trailers: None }) })
            }
            Reading::Done | Reading::HandedOver => Ok(ResponseStep { consumed: 0, event: None }),
            Reading::Failed(error) => Err(*error),
        }
    }

    /// Tells that the server has ended its side. Call [`next_event`](Self::next_event) until it
    /// needs more bytes first; and again after this, for the end that it may mean.
    ///
    /// # Errors
    /// [`Error::Incomplete`] before the end of the response; each later call gives the same error.
    /// [`has_begun`](Self::has_begun) tells whether there was anything of it.
    pub fn end_of_input(&mut self) -> Result<(), ResponseError> {
        self.close = true;
        match &self.reading {
            // RFC 9112 §8: only a response without any framing ends in this way.
            Reading::UntilClose(_) => {
                self.reading = Reading::End;
                Ok(())
            }
            Reading::Head(_) | Reading::Length(_) | Reading::Chunked(_) => {
                Err(self.fail(Error::Incomplete.into()))
            }
            Reading::End | Reading::Done | Reading::HandedOver => Ok(()),
            Reading::Failed(error) => Err(*error),
        }
    }

    /// True once a byte of any response has come, whatever became of it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// True once the whole response has been read, and told.
    #[must_use]
    pub fn is_response_done(&self) -> bool {
        matches!(self.reading, Reading::Done)
    }

    /// True once the stream speaks another protocol: a 101 that was asked for, or a 2xx to
    /// `CONNECT`. What was not consumed belongs to that protocol.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        matches!(self.reading, Reading::HandedOver)
    }

    /// True if the exchange is over, and another may follow on the same connection. Bytes that are
    /// there already answer nothing that was asked: a connection with such bytes is not to be used.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.is_request_done() && self.is_response_done() && !self.close
    }

    /// The length of the response's body, as its head announced it; `None` where it did not, or
    /// before the head.
    #[must_use]
    pub fn remaining_length(&self) -> Option<u64> {
        match self.reading {
            Reading::Length(length) => Some(length),
            Reading::End | Reading::Done => Some(0),
            _ => None,
        }
    }

    fn read_head<'i>(&mut self, input: &'i [u8]) -> Result<ResponseStep<'i>, ResponseError> {
        let Reading::Head(scanner) = &mut self.reading else { unreachable!("a head is due") };
        self.has_begun |= !input.is_empty();
        let whole = scanner.next_head(input, &self.limits);
        let whole = whole.map_err(|error| self.fail(error))?;
        let Some(whole) = whole else { return Ok(ResponseStep { consumed: 0, event: None }) };
        let shared = Bytes::copy_from_slice(whole.bytes);
        let event = head::parse(&whole, &shared)
            .and_then(|(response, fields)| self.judge(response, &fields))
            .map_err(|error| self.fail(error))?;
        Ok(ResponseStep { consumed: whole.bytes.len(), event: Some(event) })
    }

    /// What a head means.
    fn judge(
        &mut self,
        response: Response<()>,
        fields: &head::ProtocolFields<'_>,
    ) -> Result<ResponseEvent<'static>, ResponseError> {
        let (status, version) = (response.status(), response.version());
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let answered = response.headers().get_all(http::header::UPGRADE);
            // RFC 9110 §7.8: not before the request is whole.
            if !self.is_request_done() || !self.asked.offers(answered.iter()) {
                return Err(ResponseError::Upgrade);
            }
            return Ok(self.hand_over(response));
        }
        // RFC 9110 §9.3.6: framing fields are ignored in what opens a tunnel.
        if self.asked.method == AskedMethod::Connect && status.is_success() {
            return Ok(self.hand_over(response));
        }
        let length =
            length::response_length(self.asked.method, status, version, fields, &self.limits)?;
        self.close |= !fields.persists(version) || length == ResponseLength::NoneAndClose;
        if status.is_informational() {
            return self.interim(response);
        }
        if self.expects_continue {
            // RFC 9110 §10.1.1: the answer is there without the body. Whether the server still wants
            // that is anyone's guess, so it is not sent, and nothing else is either.
            self.stop_sending();
        }
        self.reading = match length {
            ResponseLength::None | ResponseLength::NoneAndClose => Reading::End,
            ResponseLength::Known(length) => Reading::Length(length),
            ResponseLength::Chunked => Reading::Chunked(ChunkedDecoder::new()),
            ResponseLength::UntilClose => {
                self.close = true;
                Reading::UntilClose(0)
            }
        };
        Ok(ResponseEvent::Head(response))
    }

    fn hand_over(&mut self, response: Response<()>) -> ResponseEvent<'static> {
        self.reading = Reading::HandedOver;
        self.close = true;
        ResponseEvent::Head(response)
    }

    /// RFC 9110 §15.2: a client reads any number of 1xx before the final response. Any number that
    /// is sane.
    fn interim(&mut self, response: Response<()>) -> Result<ResponseEvent<'static>, ResponseError> {
        if self.interim_count == self.limits.interim_count_max {
            return Err(ResponseError::TooManyInterim);
        }
        self.interim_count += 1;
        self.expects_continue &= response.status() != StatusCode::CONTINUE;
        self.reading = Reading::Head(HeadScanner::default());
        Ok(ResponseEvent::Interim(response))
    }

    fn read_body<'i>(&mut self, input: &'i [u8]) -> Result<ResponseStep<'i>, ResponseError> {
        let step = match &mut self.reading {
            Reading::Length(remaining) => {
                let length = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
                *remaining -= length as u64;
                if *remaining == 0 {
                    self.reading = Reading::End;
                }
                data(&input[..length])
            }
            Reading::UntilClose(bytes) => {
                let room = self.limits.body_bytes_max - *bytes;
                let length = usize::try_from(room).unwrap_or(usize::MAX).min(input.len());
                // Only once what fits has been told: how the bytes were cut must not show.
                if length == 0 && !input.is_empty() {
                    return Err(self.fail(Error::BodyTooLong.into()));
                }
                *bytes += length as u64;
                data(&input[..length])
            }
            Reading::Chunked(decoder) => {
                let decoded = decoder.decode(input, &self.limits.of_messages());
                let (consumed, decoded) = decoded.map_err(|error| self.fail(error.into()))?;
                let event = decoded.map(|decoded| match decoded {
                    Decoded::Data(data) => ResponseEvent::Data(data),
                    Decoded::End(trailers) => {
                        self.reading = Reading::Done;
                        ResponseEvent::End { trailers }
                    }
                });
                ResponseStep { consumed, event }
            }
            _ => unreachable!("a body is due"),
        };
        assert!(step.consumed <= input.len(), "consumed bytes that are not there");
        Ok(step)
    }

    /// Ends the exchange for `error`, which is handed back.
    fn fail(&mut self, error: ResponseError) -> ResponseError {
        self.reading = Reading::Failed(error);
        self.close = true;
        error
    }
}

/// Bytes of a body, all of which are consumed.
fn data(bytes: &[u8]) -> ResponseStep<'_> {
    let event = (!bytes.is_empty()).then_some(ResponseEvent::Data(bytes));
    ResponseStep { consumed: bytes.len(), event }
}
